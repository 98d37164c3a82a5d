//! Opening the database: its durability, and its migrations.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::error::broken;
use crate::{StoreError, migrations};

/// How long a connection waits for another one's write: the command line's, beside a server.
const BUSY: Duration = Duration::from_secs(10);
/// Between two tries of what SQLite itself does not wait for.
const TRY_AGAIN: Duration = Duration::from_millis(5);
/// Statements that a connection keeps prepared.
const STATEMENTS: usize = 128;

/// The one connection that writes, with all migrations applied.
pub(super) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    make_private(path)?;
    let mut connection = Connection::open(path)?;
    prepare(&connection)?;
    turn_wal_on(&connection)?;
    // FULL: a commit is on the disk when it returns, which an acknowledged order relies on.
    connection.execute_batch(
        "PRAGMA synchronous = FULL;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -65536;
         PRAGMA wal_autocheckpoint = 4000;",
    )?;
    migrate(&mut connection)?;
    Ok(connection)
}

/// A connection that only reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    prepare(&connection)?;
    connection.execute_batch("PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192;")?;
    Ok(connection)
}

/// A new database is its owner's alone, as the files beside it then are: it holds people's addresses.
/// One that is there is not opened: closing it would end the locks that this process has on it.
fn make_private(path: &Path) -> Result<(), StoreError> {
    let mut private = OpenOptions::new();
    private.write(true).mode(0o600);
    let made = match private.clone().create_new(true).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.exists() => return Ok(()),
        // A link to where nothing is yet.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => private.create(true).truncate(false).open(path),
        made => made,
    };
    made.map(drop).map_err(|error| StoreError::Unavailable(format!("{}: {error}", path.display()).into()))
}

/// A new database's log is not waited for, whatever the busy timeout: of two that turn it on at once, each would wait
/// for the other's lock, so SQLite refuses one of them.
#[expect(clippy::disallowed_methods, reason = "nothing tells when the other's lock is gone")]
fn turn_wal_on(connection: &Connection) -> rusqlite::Result<()> {
    let started = Instant::now();
    loop {
        let turned_on = connection.execute_batch("PRAGMA journal_mode = WAL");
        let is_busy = |error: &rusqlite::Error| error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy);
        if !turned_on.as_ref().is_err_and(is_busy) || started.elapsed() > BUSY {
            return turned_on;
        }
        std::thread::sleep(TRY_AGAIN);
    }
}

pub(super) fn prepare(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // One plan for a statement, whatever is bound: without it SQLite plans every join anew at each execution.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Applies what is missing, each migration in a transaction of its own.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    connection.execute_batch(
        "BEGIN IMMEDIATE;
         CREATE TABLE IF NOT EXISTS schema_migrations (number INTEGER PRIMARY KEY) STRICT;
         COMMIT",
    )?;
    for migration in migrations::ALL {
        // The version is read inside: another process may be migrating at this moment.
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        if schema_version(&transaction)? < migration.number {
            transaction.execute_batch(migration.sqlite)?;
            transaction.execute("INSERT INTO schema_migrations (number) VALUES (?1)", [migration.number])?;
        }
        transaction.commit()?;
    }
    check_schema(connection)
}

/// Whether the schema is exactly this binary's.
pub(super) fn check_schema(connection: &Connection) -> Result<(), StoreError> {
    let (found, latest) = (schema_version(connection)?, migrations::latest());
    if found == latest {
        return Ok(());
    }
    let mend = if found > latest { "start a newer giftd" } else { "start this giftd once to migrate it" };
    Err(StoreError::Schema(format!("it is at migration {found}, this giftd needs {latest}: {mend}").into()))
}

pub(super) fn schema_version(connection: &Connection) -> Result<i64, StoreError> {
    let version = connection.query_row("SELECT COALESCE(MAX(number), 0) FROM schema_migrations", [], |row| row.get(0));
    version.map_err(|error| match StoreError::from(error) {
        StoreError::Broken(text) => broken(format!("no schema_migrations: {text}")),
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn all_that_open_a_new_database_at_once_open_it() {
        for _ in 0..20 {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("giftd.db");
            std::thread::scope(|scope| {
                let opening: Vec<_> = (0..8).map(|_| scope.spawn(|| open_writer(&path).map(drop))).collect();
                for opened in opening {
                    opened.join().expect("no panic").expect("a database");
                }
            });
        }
    }

    #[test]
    fn a_new_database_is_its_owners_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("giftd.db");
        let _open = open_writer(&path).expect("a database");
        assert_all_private(folder.path());
    }

    #[test]
    fn so_is_a_new_one_that_a_link_leads_to() {
        let (folder, elsewhere) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("another"));
        let path = folder.path().join("giftd.db");
        std::os::unix::fs::symlink(elsewhere.path().join("its.db"), &path).expect("a link to where nothing is");
        let _open = open_writer(&path).expect("a database");
        assert_all_private(elsewhere.path());
    }

    fn assert_all_private(folder: &Path) {
        let files: Vec<_> =
            std::fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("a file")).collect();
        assert!(!files.is_empty());
        for file in files {
            let mode = file.metadata().expect("its metadata").permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", file.path().display());
        }
    }
}
