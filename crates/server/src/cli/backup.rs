//! `giftd backup`

use std::path::{Path, PathBuf};

use clap::Args;
use giftd_store::{BackupError, BackupProgress, LedgerReport, back_up};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use strum::VariantArray as _;

use super::Context;
use super::output::{Failure, Output, table};
use crate::keys::{Fingerprints, KeyName, Keys};
use crate::settings::Database;

#[derive(Args)]
#[command(
    after_help = "Examples:\n  giftd backup /backup/giftd-$(date +%F).db\n  cp -a giftd-data/keys /backup/\n\nTo restore: stop the server, put the file where the database was, remove what begins with its name and ends in\n-wal or -shm, and put the keys back.\nExit code 1 where no backup was made, or where the books in it don't balance.\nOn PostgreSQL use pg_dump: this command says how."
)]
pub struct Backup {
    /// The copy, which must not be there yet
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    file: String,
    bytes: u64,
    /// The last migration of the schema in it.
    migration: i64,
    /// None where the schema is another giftd's: its books can't be read by this one.
    books: Option<Books>,
    /// What to keep with the file.
    keys: Vec<KeyToKeep>,
    /// Why these aren't the keys that the file needs.
    keys_problem: Option<String>,
}

#[derive(Serialize)]
struct Books {
    balanced: bool,
    accounts: u64,
    entries: u64,
    orders: u64,
    differences: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyToKeep {
    file: String,
    without_it: &'static str,
}

impl Backup {
    pub async fn run(self, context: &Context) -> Result<Output, Failure> {
        let settings = context.settings()?;
        let Database::Sqlite(database) = settings.database else { return Err(use_pg_dump(&settings.keys_dir)) };
        if !database.exists() {
            let message = format!("there is no database at {}: see GIFTD_DATABASE_URL", database.display());
            return Err(Failure::new("NOT_FOUND", message));
        }
        let file = self.file.clone();
        let copying = tokio::task::spawn_blocking(move || {
            // Shown only on a terminal, and gone at the end.
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{bar:40} {percent} %, {eta} left {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            let backup = back_up(&database, &file, |progress| match progress {
                BackupProgress::Copied { pages, of } => {
                    bar.set_length(of);
                    bar.set_position(pages);
                }
                BackupProgress::Checking => {
                    bar.set_style(ProgressStyle::default_spinner());
                    bar.set_message("checking the copy");
                    bar.enable_steady_tick(std::time::Duration::from_millis(100));
                }
            });
            bar.finish_and_clear();
            backup
        });
        let backup = copying.await.map_err(|error| Failure::new("FAILED", error))??;
        let made = Made {
            file: self.file.display().to_string(),
            bytes: backup.bytes,
            migration: backup.migration,
            books: backup.books.map(Books::from),
            keys: keys_to_keep(&settings.keys_dir),
            keys_problem: keys_problem(&settings.keys_dir, &backup.key_fingerprints),
        };
        let balanced = made.books.as_ref().is_none_or(|books| books.balanced);
        Ok(Output::new(&made, in_words(&made))?.exit_well_if(balanced))
    }
}

impl From<LedgerReport> for Books {
    fn from(report: LedgerReport) -> Self {
        let LedgerReport { accounts, entries, orders, differences } = report;
        Self { balanced: differences.is_empty(), accounts, entries, orders, differences }
    }
}

fn keys_to_keep(folder: &Path) -> Vec<KeyToKeep> {
    let keep = |key: &KeyName| KeyToKeep { file: shown(&folder.join(key.file())), without_it: key.loss() };
    KeyName::VARIANTS.iter().map(keep).collect()
}

/// A database that no server has worked on yet needs no keys.
fn keys_problem(folder: &Path, needed: &Fingerprints) -> Option<String> {
    if needed.is_empty() {
        return None;
    }
    Keys::load(folder).and_then(|keys| keys.check(folder, needed)).err().map(|error| error.to_string())
}

fn in_words(made: &Made) -> String {
    let Made { file, bytes, migration, books, keys, keys_problem } = made;
    let mut text = format!("{file}: {:.1} MiB, whole and sound. ", *bytes as f64 / 1024.0 / 1024.0);
    text += &match books {
        Some(Books { balanced: true, accounts, entries, orders, .. }) => {
            format!("Its books balance: {accounts} accounts, {entries} entries, {orders} orders.\n")
        }
        Some(Books { differences, .. }) => format!(
            "Its books DON'T balance, nor do the database's: stop the servers before anything else.\n  {}\n",
            differences.join("\n  ")
        ),
        None => format!("Its books were not looked at: it is at migration {migration}, which this giftd can't read.\n"),
    };
    text += "\nKeep these with it, and apart from it, for with them it can be read:\n";
    text += &table(
        ["KEY", "WITHOUT IT"],
        keys.iter().map(|KeyToKeep { file, without_it }| [file.clone(), (*without_it).to_owned()]),
    );
    if let Some(problem) = keys_problem {
        text += &format!("\nThe backup needs other keys than those that are there: {problem}.\n");
    }
    text
}

fn use_pg_dump(keys: &Path) -> Failure {
    let message = format!(
        "this installation is on PostgreSQL, whose own tool copies it consistently beside running servers:\n  \
         pg_dump --format=custom --no-owner --file=giftd.dump \"$GIFTD_DATABASE_URL\"\n\
         and, into a new database:\n  \
         pg_restore --no-owner --exit-on-error --single-transaction --dbname=\"$GIFTD_DATABASE_URL\" giftd.dump\n\
         Keep {} with it: without the keys every link is dead and no code can be read",
        keys.display()
    );
    Failure::new("NOT_SQLITE", message)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Exists(_) | BackupError::File { .. } => Self::new("FILE", error),
            BackupError::Interrupted { .. } | BackupError::Damaged(_) => Self::new("FAILED", error),
            BackupError::Store(error) => error.into(),
        }
    }
}
