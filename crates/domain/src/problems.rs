//! What is wrong with a request, all of it at once.

use crate::limits;

/// One thing that is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: `recipients[3].amount`.
    pub field: String,
    /// What, for programs: `NOT_A_PRICE_POINT`.
    pub code: &'static str,
    /// What was wrong and what would be right, for a person.
    pub message: String,
}

/// Collects problems, the first [`limits::PROBLEMS`] of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// No problem yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a problem, unless the list is full.
    pub fn add(&mut self, field: impl Into<String>, code: &'static str, message: impl Into<String>) {
        if self.0.len() < limits::PROBLEMS {
            self.0.push(Problem { field: field.into(), code, message: message.into() });
        }
    }

    /// Whether nothing was wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether further problems would be dropped, so that looking for them is in vain.
    pub fn is_full(&self) -> bool {
        self.0.len() >= limits::PROBLEMS
    }

    /// The problems in the order in which they were found.
    pub fn into_vec(self) -> Vec<Problem> {
        self.0
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
