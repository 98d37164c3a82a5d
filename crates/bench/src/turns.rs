//! Variants that take turns, so that a busy minute of the machine hits all of them, and what came of their rounds.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

use crate::machine::{self, Usage};
use crate::report::{self, Spread, number, rounded};

/// What every comparison is asked with.
#[derive(clap::Args)]
pub struct Options {
    /// Rounds, in each of which every variant has its turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Folder on the disk to measure; otherwise the system's for temporary files
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// One of the variants that are compared.
pub trait Named: Copy + PartialEq {
    /// For machines.
    fn name(self) -> &'static str;
}

/// One variant in one round.
pub struct Measured<Row> {
    /// Which.
    pub row: Row,
    /// Figures by name, with their unit in it.
    pub figures: Vec<(String, f64)>,
    /// What it took.
    pub usage: Usage,
    /// What doesn't agree, a sentence each.
    pub failures: Vec<String>,
}

/// Figures by name.
pub fn figures<const N: usize>(figures: [(&str, f64); N]) -> Vec<(String, f64)> {
    figures.map(|(name, figure)| (name.to_owned(), figure)).into()
}

/// All rounds of all variants.
pub struct Turns<Row> {
    rounds: u32,
    measured: Vec<Measured<Row>>,
}

impl<Row: Named> Turns<Row> {
    /// Measures each of `rows` in each of so many rounds.
    pub async fn take(
        rounds: u32,
        rows: &[Row],
        title: impl Fn(Row) -> String,
        measure: impl AsyncFn(Row) -> Result<Measured<Row>>,
    ) -> Result<Self> {
        let progress = ProgressBar::new(u64::from(rounds) * rows.len() as u64);
        progress.set_style(ProgressStyle::with_template("{bar:24} {pos}/{len} {msg}")?);
        let mut measured = Vec::new();
        for round in 1..=rounds {
            for &row in rows {
                progress.set_message(format!("round {round}: {}", title(row)));
                progress.tick();
                measured.push(measure(row).await.with_context(|| format!("round {round}, {}", row.name()))?);
                progress.inc(1);
            }
        }
        progress.finish_and_clear();
        Ok(Self { rounds, measured })
    }

    fn of(&self, row: Row) -> impl Iterator<Item = &Measured<Row>> {
        self.measured.iter().filter(move |measured| measured.row == row)
    }

    /// A figure of all rounds; none where the variant doesn't have it.
    pub fn spread(&self, row: Row, figure: &str) -> Option<Spread> {
        let found = |measured: &Measured<Row>| Some(measured.figures.iter().find(|(name, _)| name == figure)?.1);
        Spread::of(self.of(row).filter_map(found))
    }

    /// The same for a table.
    pub fn cell(&self, row: Row, figure: &str, decimals: usize) -> String {
        self.spread(row, figure).map_or_else(none, |spread| spread.text(decimals))
    }

    /// Its median; not a number where there is none.
    pub fn median(&self, row: Row, figure: &str) -> f64 {
        self.spread(row, figure).map_or(f64::NAN, |spread| spread.median)
    }

    /// `row`'s median, in percent of that of `limit`.
    pub fn percent(&self, row: Row, limit: Row, figure: &str) -> String {
        format!("{:.0} %", 100.0 * self.median(row, figure) / self.median(limit, figure))
    }

    /// How many times `row`'s median is that of `plain`.
    pub fn times(&self, row: Row, plain: Row, figure: &str) -> String {
        format!("{:.1} ×", self.median(row, figure) / self.median(plain, figure))
    }

    /// The cores that the servers used, and the part of the machine that others took: the last two columns.
    pub fn usage_cells(&self, row: Row) -> [String; 2] {
        let usages: Vec<Usage> = self.of(row).map(|measured| measured.usage).collect();
        let server = Spread::of(usages.iter().filter(|usage| usage.server_peak_mib > 0.0).map(|u| u.server_cores));
        [server.map_or_else(none, |cores| number(cores.median, 2)), report::foreign(&usages)]
    }

    /// What doesn't agree.
    pub fn failures(&self) -> Vec<&str> {
        self.measured.iter().flat_map(|measured| measured.failures.iter().map(String::as_str)).collect()
    }

    fn noisy(&self) -> usize {
        self.measured.iter().filter(|measured| measured.usage.is_noisy()).count()
    }

    /// The lines after a table: whether the figures can be trusted, and that the checks passed, which say `agreed`.
    pub fn ending(&self, agreed: &str) -> Vec<String> {
        let mut lines = Vec::new();
        if self.noisy() > 0 {
            lines.push(format!(
                "NOISY: in {} of {} measurements (!) others took more than {:.0} % of the CPU",
                self.noisy(),
                self.measured.len(),
                100.0 * machine::NOISY
            ));
        }
        let failures = self.failures();
        if failures.is_empty() {
            lines.push(format!("checks passed: {agreed}"));
        }
        lines.extend(failures.into_iter().map(|failure| format!("CHECK FAILED: {failure}")));
        lines
    }

    /// All of it for machines, beside what the comparison itself has to say.
    pub fn json(&self, about: Value) -> Value {
        let mut json = match about {
            Value::Object(about) => about,
            _ => Map::new(),
        };
        let mut seen: Vec<Row> = Vec::new();
        for measured in &self.measured {
            if !seen.contains(&measured.row) {
                seen.push(measured.row);
                json.insert(measured.row.name().to_owned(), self.row_json(measured.row));
            }
        }
        json.insert("rounds".to_owned(), json!(self.rounds));
        json.insert("noisy_measurements".to_owned(), json!(self.noisy()));
        json.insert("failures".to_owned(), json!(self.failures()));
        json.insert("checks_passed".to_owned(), json!(self.failures().is_empty()));
        Value::Object(json)
    }

    fn row_json(&self, row: Row) -> Value {
        let mut json = Map::new();
        let mut rounds = Vec::new();
        for measured in self.of(row) {
            let mut round = Map::new();
            for (name, figure) in &measured.figures {
                round.insert(name.clone(), rounded(*figure));
                if let Some(Spread { median, min, max }) = self.spread(row, name) {
                    json.insert(name.clone(), rounded(median));
                    json.insert(format!("{name}_min"), rounded(min));
                    json.insert(format!("{name}_max"), rounded(max));
                }
            }
            let usage = &measured.usage;
            round.insert("server_cpu_cores".to_owned(), rounded(usage.server_cores));
            round.insert("generator_cpu_cores".to_owned(), rounded(usage.generator_cores));
            round.insert("server_rss_mib".to_owned(), rounded(usage.server_peak_mib));
            round.insert("foreign_cpu_share".to_owned(), json!(usage.foreign_share.map(rounded)));
            round.insert("noisy".to_owned(), json!(usage.is_noisy()));
            rounds.push(Value::Object(round));
        }
        json.insert("rounds".to_owned(), Value::Array(rounds));
        Value::Object(json)
    }
}

/// A cell without a figure.
fn none() -> String {
    "–".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Row {
        Ours,
        Plain,
    }

    impl Named for Row {
        fn name(self) -> &'static str {
            match self {
                Self::Ours => "ours",
                Self::Plain => "plain",
            }
        }
    }

    fn measured(row: Row, rate: f64, foreign: f64, failures: &[&str]) -> Measured<Row> {
        let usage = Usage { foreign_share: Some(foreign), ..Usage::default() };
        let failures = failures.iter().map(ToString::to_string).collect();
        Measured { row, figures: figures([("per_second", rate)]), usage, failures }
    }

    #[tokio::test]
    async fn variants_take_turns_and_medians_are_compared() {
        let order = std::cell::RefCell::new(Vec::new());
        let turns = Turns::take(
            3,
            &[Row::Ours, Row::Plain],
            |_| String::new(),
            async |row| {
                order.borrow_mut().push(row);
                let rate = if row == Row::Ours { 100.0 * order.borrow().len() as f64 } else { 100.0 };
                Ok(measured(row, rate, 0.0, &[]))
            },
        )
        .await
        .expect("measured");
        assert_eq!(order.into_inner(), [Row::Ours, Row::Plain].repeat(3));
        assert_eq!(turns.cell(Row::Ours, "per_second", 0), "300 (100–500)");
        assert_eq!(
            (turns.times(Row::Ours, Row::Plain, "per_second"), turns.cell(Row::Plain, "p99_ms", 0)),
            ("3.0 ×".into(), "–".into())
        );
    }

    #[test]
    fn noise_and_failures_are_told() {
        let turns = Turns {
            rounds: 1,
            measured: vec![measured(Row::Ours, 1.0, 0.5, &["lost one"]), measured(Row::Plain, 1.0, 0.0, &[])],
        };
        let ending = turns.ending("all is well");
        assert!(ending[0].starts_with("NOISY: in 1 of 2"), "{ending:?}");
        assert_eq!(ending[1..], ["CHECK FAILED: lost one"]);
        let json = turns.json(json!({"store": "sqlite"}));
        assert_eq!((&json["checks_passed"], &json["ours"]["rounds"][0]["noisy"]), (&json!(false), &json!(true)));
    }
}
