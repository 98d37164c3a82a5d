//! Finds out in which order operations at once happened, and which of those without an answer did: any order will do in
//! which the model says what the callers were told, and holds what the store holds.

use crate::command::Command;
use crate::model::{Contradiction, Heard, Model};
use crate::rows::Rows;
use crate::stand::Outcome;

/// What was asked for at once, and what came of it.
pub type Asked = [(Command, Outcome)];

/// The model after all of it, if some order explains it; else why the first order that was tried doesn't.
///
/// `rows` is what the database holds, where an answer was lost. `fits` tells what is wrong with a model in which all has
/// happened.
pub fn explain(
    model: &Model,
    asked: &Asked,
    rows: Option<&Rows>,
    fits: &dyn Fn(&Model) -> Option<String>,
) -> Result<Model, Contradiction> {
    let alone = asked.len() == 1;
    let mut search = Search { asked, rows, alone, fits, first: None };
    let left = (0..asked.len()).filter(|place| !matches!(asked[*place].1, Outcome::NotDone)).collect();
    search.go_on(model, left).ok_or_else(|| search.first.unwrap_or_else(|| Contradiction("nothing fits".to_owned())))
}

/// The model after all of it happened in this order, one after the other.
pub fn in_order(model: &Model, asked: &Asked, rows: Option<&Rows>) -> Result<Model, Contradiction> {
    let mut model = model.clone();
    for (command, outcome) in asked {
        let answer = match outcome {
            Outcome::NotDone => continue,
            Outcome::Told(answer) => Some(answer),
            Outcome::Untold | Outcome::Unknown => None,
        };
        model.apply(command, Heard { answer, rows, alone: true }).map_err(|why| of(command, why))?;
    }
    Ok(model)
}

fn of(command: &Command, Contradiction(why): Contradiction) -> Contradiction {
    Contradiction(format!("{command:?}\n{why}"))
}

struct Search<'a> {
    asked: &'a Asked,
    rows: Option<&'a Rows>,
    alone: bool,
    fits: &'a dyn Fn(&Model) -> Option<String>,
    first: Option<Contradiction>,
}

impl Search<'_> {
    fn go_on(&mut self, model: &Model, left: Vec<usize>) -> Option<Model> {
        for (index, place) in left.iter().enumerate() {
            let (command, outcome) = &self.asked[*place];
            let answer = if let Outcome::Told(answer) = outcome { Some(answer) } else { None };
            let mut next = model.clone();
            match next.apply(command, Heard { answer, rows: self.rows, alone: self.alone }) {
                Ok(()) => {
                    let mut rest = left.clone();
                    rest.remove(index);
                    if let Some(found) = self.go_on(&next, rest) {
                        return Some(found);
                    }
                }
                Err(why) => drop(self.first.get_or_insert_with(|| of(command, why))),
            }
        }
        // What is left may not have happened.
        if left.iter().any(|place| !matches!(self.asked[*place].1, Outcome::Unknown)) {
            return None;
        }
        match (self.fits)(model) {
            None => Some(model.clone()),
            Some(why) => {
                self.first.get_or_insert(Contradiction(why));
                None
            }
        }
    }
}
