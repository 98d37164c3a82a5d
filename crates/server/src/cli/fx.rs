//! `giftd fx`

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use giftd_domain::Timestamp;
use giftd_domain::fx::{Rate, StoredRate};
use giftd_domain::money::Currency;
use giftd_domain::problems::Problems;
use jiff::SignedDuration;
use serde::Serialize;

use super::Context;
use super::output::{Failure, Output, table};
use crate::api::wire::Instant;

#[derive(Subcommand)]
pub enum Fx {
    /// Set the US dollars that one unit of a currency costs
    #[command(after_help = "Example:\n  giftd fx set JPY 0.006675")]
    Set {
        /// ISO 4217 code
        currency: String,
        /// US dollars for one unit
        rate: String,
    },
    /// Set all rates of a file with the header currency,rate
    #[command(after_help = "Example of a file:\n  currency,rate\n  JPY,0.006675\n  EUR,1.0840")]
    Import {
        /// The file
        #[arg(value_name = "FILE.csv")]
        file: PathBuf,
    },
    /// List all rates and how old they are
    List,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    currency: &'static str,
    rate: String,
    set_at: Instant,
    age_seconds: i64,
    /// Whether it may still be used.
    good: bool,
}

#[derive(Serialize)]
struct List {
    rates: Vec<Row>,
}

#[derive(Serialize)]
struct Imported {
    imported: usize,
}

impl Fx {
    pub async fn run(self, context: &Context) -> Result<Output, Failure> {
        let (settings, now) = (context.settings()?, context.clock.now());
        match self {
            Self::Set { currency, rate } => {
                let rate = one(&currency, &rate, now).map_err(|problem| Failure::new("VALIDATION_ERROR", problem))?;
                context.store().await?.set_rates(&[rate]).await?;
                let text = format!("1 {} costs {} USD; servers notice within 5 seconds.", rate.currency, rate.rate);
                Output::new(&row(rate, now, settings.fx_max_age), text)
            }
            Self::Import { file } => {
                let rates = read(&file, now)?;
                context.store().await?.set_rates(&rates).await?;
                let imported = rates.len();
                Output::new(&Imported { imported }, format!("{imported} rates set; servers notice within 5 seconds."))
            }
            Self::List => list(context, now, settings.fx_max_age).await,
        }
    }
}

async fn list(context: &Context, now: Timestamp, max_age: Duration) -> Result<Output, Failure> {
    let rates = context.store().await?.reference().await?.rates;
    let rows: Vec<_> = rates.into_values().map(|rate| row(rate, now, max_age)).collect();
    let text = match rows.as_slice() {
        [] => "There is no rate yet: only cards in USD can be ordered. Next: giftd fx set JPY 0.006675".to_owned(),
        rows => table(
            ["CURRENCY", "USD FOR ONE", "SET AT", "STATE"],
            rows.iter().map(|row| {
                let state = if row.good { "good" } else { "too old" };
                [row.currency.to_owned(), row.rate.clone(), row.set_at.to_string(), state.to_owned()]
            }),
        ),
    };
    Output::new(&List { rates: rows }, text)
}

fn row(rate: StoredRate, now: Timestamp, max_age: Duration) -> Row {
    Row {
        currency: rate.currency.code(),
        rate: rate.rate.to_string(),
        set_at: Instant(rate.set_at),
        age_seconds: now.duration_since(rate.set_at).as_secs(),
        good: rate.is_good(now, SignedDuration::try_from(max_age).unwrap_or(SignedDuration::MAX)),
    }
}

/// The rates of a CSV file, or everything that is wrong with it, by line.
fn read(file: &Path, now: Timestamp) -> Result<Vec<StoredRate>, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::new("FILE", format!("{} can't be read: {error}", file.display())))?;
    parse(&text, now)
        .map_err(|problems| Failure::invalid(format!("{} is wrong, and no rate was set:", file.display()), problems))
}

/// The rates of a CSV text with the header `currency,rate`.
pub fn parse(text: &str, now: Timestamp) -> Result<Vec<StoredRate>, Problems> {
    let mut problems = Problems::new();
    let mut rates: Vec<StoredRate> = Vec::new();
    let mut lines =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    for (index, record) in lines.records().enumerate() {
        let line = |position: Option<&csv::Position>| format!("line {}", position.map_or(0, csv::Position::line));
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                problems.add(line(error.position()), "INVALID", error.to_string());
                continue;
            }
        };
        let at = line(record.position());
        if index == 0 {
            if record.iter().map(|name| name.trim_start_matches('\u{feff}')).ne(["currency", "rate"]) {
                problems.add(at, "HEADER", "must be the header currency,rate");
                break;
            }
            continue;
        }
        let (Some(currency), Some(rate), 2) = (record.get(0), record.get(1), record.len()) else {
            problems.add(at, "COLUMNS", format!("must have 2 columns, currency and rate, and has {}", record.len()));
            continue;
        };
        match one(currency, rate, now) {
            Ok(rate) if rates.iter().any(|known| known.currency == rate.currency) => {
                problems.add(at, "TWICE", format!("{} is in the file before", rate.currency));
            }
            Ok(rate) => rates.push(rate),
            Err(problem) => problems.add(at, "INVALID", problem),
        }
    }
    if rates.is_empty() && problems.is_empty() {
        problems.add("line 1", "EMPTY", "must have the header currency,rate and at least one rate");
    }
    if problems.is_empty() { Ok(rates) } else { Err(problems) }
}

fn one(currency: &str, rate: &str, now: Timestamp) -> Result<StoredRate, String> {
    let currency: Currency = currency.parse().map_err(|error| format!("{error}"))?;
    if currency == Currency::USD {
        return Err("USD needs no rate: balances are in USD".to_owned());
    }
    let rate = Rate::parse(rate).map_err(|error| error.to_string())?;
    Ok(StoredRate { currency, rate, set_at: now })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_rates_is_read_or_all_its_problems_are_told_by_line() {
        let rates = parse("currency,rate\nJPY,0.006675\r\n EUR , 1.0840 \n", Timestamp::UNIX_EPOCH).expect("legal");
        assert_eq!(
            rates.iter().map(|rate| (rate.currency.code(), rate.rate.to_string())).collect::<Vec<_>>(),
            [("JPY", "0.006675".to_owned()), ("EUR", "1.084".to_owned())]
        );
        let problems = parse("currency,rate\nJPY,0.006675\nEUR\nXXX,1\nJPY,2\nGBP,-1\nUSD,1\n", Timestamp::UNIX_EPOCH);
        let lines: Vec<_> = problems.expect_err("wrong").into_vec().into_iter().map(|problem| problem.field).collect();
        assert_eq!(lines, ["line 3", "line 4", "line 5", "line 6", "line 7"]);
        for wrong in ["", "currency,rate\n", "JPY,0.006675\n", "rate,currency\n1,JPY"] {
            assert!(parse(wrong, Timestamp::UNIX_EPOCH).is_err(), "{wrong}");
        }
    }
}
