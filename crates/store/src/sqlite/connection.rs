//! Opening the database: its durability, and its migrations.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::error::broken;
use crate::{StoreError, migrations};

/// How long a connection waits for another one's write: the command line's, beside a server.
const BUSY: Duration = Duration::from_secs(10);
/// Statements that a connection keeps prepared.
const STATEMENTS: usize = 128;

/// The one connection that writes, with all migrations applied.
pub(super) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    make_private(path)?;
    let mut connection = Connection::open(path)?;
    prepare(&connection)?;
    // FULL: a commit is on the disk when it returns, which an acknowledged order relies on.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
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
fn make_private(path: &Path) -> Result<(), StoreError> {
    let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    made.map(drop).map_err(|error| StoreError::Unavailable(format!("{}: {error}", path.display()).into()))
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
    connection.execute_batch("CREATE TABLE IF NOT EXISTS schema_migrations (number INTEGER PRIMARY KEY) STRICT")?;
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
    fn a_new_database_is_its_owners_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("giftd.db");
        let _open = open_writer(&path).expect("a database");
        for entry in std::fs::read_dir(folder.path()).expect("the folder") {
            let entry = entry.expect("a file");
            let mode = entry.metadata().expect("its metadata").permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", entry.path().display());
        }
    }
}
