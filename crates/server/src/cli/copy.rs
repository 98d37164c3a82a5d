//! `giftd copy`

use clap::Args;
use giftd_store::{Copied, CopyError, CopyProgress, Which};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::Context;
use super::output::{Failure, Output, table};
use crate::serve::lock;
use crate::settings::Database;

#[derive(Args)]
#[command(
    after_help = "Examples:\n  giftd copy --from sqlite:giftd-data/giftd.db --to postgres://giftd:secret@db/giftd\n  giftd copy --from postgres://giftd:secret@db/giftd --to sqlite:giftd-data/giftd.db\n\nStop all servers of the source first, and start them on the target after it, with the same keys. The target is a new\ndatabase: a file that isn't there, or one that the server was asked for with CREATE DATABASE. All arrives or nothing\ndoes; the source stays as it is.\nExit code 1 where nothing was copied."
)]
pub struct Copy {
    /// The database to copy: sqlite:PATH or postgres://…
    #[arg(long, value_name = "URL")]
    from: Database,
    /// Where it goes: sqlite:PATH or postgres://…
    #[arg(long, value_name = "URL")]
    to: Database,
}

#[derive(Serialize)]
struct Arrived {
    from: String,
    to: String,
    rows: u64,
    tables: Vec<Table>,
    accounts: u64,
    entries: u64,
    orders: u64,
}

#[derive(Serialize)]
struct Table {
    table: String,
    rows: u64,
}

impl Copy {
    pub async fn run(self, _: &Context) -> Result<Output, Failure> {
        let Self { from, to } = self;
        if same(&from, &to) {
            return Err(Failure::new("USAGE", format!("--from and --to are the same database: {from}")));
        }
        if let Database::Sqlite(path) = &from
            && !path.exists()
        {
            return Err(Failure::new("NOT_FOUND", format!("there is no database at {}: see --from", path.display())));
        }
        // No server works on the source, or begins to work on either before all is there.
        let _locks = (lock(&from)?, lock(&to)?);
        // Shown only on a terminal, and gone at the end.
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} rows, {eta} left: {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let copied = giftd_store::copy(&from.url(), &to.url(), |progress| show(&bar, progress)).await;
        bar.finish_and_clear();
        let Copied { tables, books } = copied?;
        let arrived = Arrived {
            from: from.to_string(),
            to: to.to_string(),
            rows: tables.values().sum(),
            tables: tables.into_iter().map(|(table, rows)| Table { table, rows }).collect(),
            accounts: books.accounts,
            entries: books.entries,
            orders: books.orders,
        };
        Output::new(&arrived, in_words(&arrived))
    }
}

fn same(one: &Database, other: &Database) -> bool {
    match (one, other) {
        (Database::Sqlite(one), Database::Sqlite(other)) => {
            one == other || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
        }
        (one, other) => one == other,
    }
}

fn show(bar: &ProgressBar, progress: CopyProgress<'_>) {
    match progress {
        CopyProgress::Copied { rows, of, table } => {
            bar.set_length(of);
            bar.set_position(rows);
            bar.set_message(format!("copying {table}"));
        }
        CopyProgress::Compared { rows, of } => {
            bar.set_length(of);
            bar.set_position(rows);
            bar.set_message("reading them again");
        }
        CopyProgress::Proving(Which::Source) => bar.set_message("proving the books of the source"),
        CopyProgress::Proving(Which::Target) => bar.set_message("proving the books of the target"),
    }
}

fn in_words(arrived: &Arrived) -> String {
    let rows = arrived.tables.iter().map(|Table { table, rows }| [table.clone(), rows.to_string()]);
    table(["TABLE", "ROWS"], rows)
        + &format!(
            "\n{} rows are in {}, the same as in {}, and the books of both balance: {} accounts, {} entries, {} orders.\n\
             Next: set GIFTD_DATABASE_URL to the target, keep the folder of keys, and start giftd serve. What anybody \
             does on the source from now on isn't in the copy.",
            arrived.rows, arrived.to, arrived.from, arrived.accounts, arrived.entries, arrived.orders
        )
}

impl From<CopyError> for Failure {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::InUse(_) => Self::new("IN_USE", error),
            CopyError::NotEmpty(_) => Self::new("NOT_EMPTY", error),
            CopyError::Unbalanced(_) | CopyError::Unequal(_) => Self::new("FAILED", error),
            CopyError::Store(error) => Self::from(error).and("Nothing was copied"),
        }
    }
}
