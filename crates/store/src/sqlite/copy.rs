//! SQLite at either end of a copy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};
use tokio::sync::mpsc::{Receiver, Sender};

use super::connection::{check_schema, migrate, open_writer, prepare};
use super::error::broken;
use super::rows::unsigned;
use super::verify::verify_ledger;
use crate::copy::{BATCH_ROWS, Batch, End, Kind, MIGRATIONS, Schema, Table, quoted};
use crate::{CopyError, LedgerReport, StoreError};

/// A database in a file, in one transaction.
pub(crate) struct SqliteEnd {
    connection: Arc<Mutex<Connection>>,
}

impl SqliteEnd {
    /// Whose rows are read. Until it is dropped others can read and not write; after 10 s they are told so.
    pub(crate) async fn source(path: &str) -> Result<Self, CopyError> {
        let path = PathBuf::from(path);
        Self::open(move || {
            let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            prepare(&connection)?;
            check_schema(&connection)?;
            connection.execute_batch("BEGIN IMMEDIATE")?;
            Ok(connection)
        })
        .await
    }

    /// Which is written, and made where it isn't there. Nobody else can open it until it is dropped.
    pub(crate) async fn target(path: &str) -> Result<Self, CopyError> {
        let path = PathBuf::from(path);
        Self::open(move || {
            let connection = open_writer(Path::new(&path))?;
            // The log that serving needs would hold all rows before the file does. This journal holds what was there
            // before, which is next to nothing; whoever serves next changes it back.
            connection.execute_batch("PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE")?;
            Ok(connection)
        })
        .await
    }

    async fn open(open: impl FnOnce() -> Result<Connection, StoreError> + Send + 'static) -> Result<Self, CopyError> {
        let connection = blocking(open).await?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)) })
    }

    async fn on<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let connection = Arc::clone(&self.connection);
        blocking(move || work(&connection.lock().unwrap_or_else(PoisonError::into_inner))).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| StoreError::Unavailable(error.to_string().into()))?
}

#[async_trait]
impl End for SqliteEnd {
    async fn schema(&self) -> Result<Schema, StoreError> {
        self.on(schema).await
    }

    async fn count(&self, table: &Table) -> Result<u64, StoreError> {
        let name = table.name.clone();
        self.on(move |connection| count(connection, &name)).await
    }

    async fn read(&self, table: &Table, to: Sender<Batch>) -> Result<(), StoreError> {
        let sql = format!("SELECT {} FROM {}", table.quoted_columns(), table.quoted());
        let columns = table.columns.len();
        self.on(move |connection| {
            let mut statement = connection.prepare(&sql)?;
            let (mut rows, mut batch) = (statement.query([])?, Batch::new());
            while let Some(row) = rows.next()? {
                for column in 0..columns {
                    batch.push(row.get::<_, Value>(column)?);
                }
                if batch.len() == BATCH_ROWS * columns && to.blocking_send(std::mem::take(&mut batch)).is_err() {
                    return Ok(());
                }
            }
            if !batch.is_empty() {
                // Who doesn't take it any more has failed, and says why.
                drop(to.blocking_send(batch));
            }
            Ok(())
        })
        .await
    }

    async fn write(&self, table: &Table, mut from: Receiver<Batch>) -> Result<(), StoreError> {
        let (name, columns) = (table.quoted(), table.columns.len());
        let values = vec!["?"; columns].join(", ");
        let insert = format!("INSERT INTO {name} ({}) VALUES ({values})", table.quoted_columns());
        self.on(move |connection| {
            connection.execute(&format!("DELETE FROM {name}"), [])?;
            let mut statement = connection.prepare(&insert)?;
            while let Some(batch) = from.blocking_recv() {
                for row in batch.chunks(columns) {
                    statement.execute(params_from_iter(row))?;
                }
            }
            Ok(())
        })
        .await
    }

    async fn verify(&self) -> Result<LedgerReport, StoreError> {
        self.on(verify_ledger).await
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        self.on(|connection| Ok(connection.execute_batch("COMMIT")?)).await
    }
}

fn schema(connection: &Connection) -> Result<Schema, StoreError> {
    let mut statement = connection.prepare(
        "SELECT t.name, c.name, c.type FROM sqlite_schema t JOIN pragma_table_info(t.name) c
         WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND t.name <> ?1",
    )?;
    let mut rows = statement.query([MIGRATIONS])?;
    let mut schema = Schema::new();
    while let Some(row) = rows.next()? {
        let (table, column): (String, String) = (row.get(0)?, row.get(1)?);
        let kind = match row.get::<_, String>(2)?.as_str() {
            "INTEGER" => Kind::Integer,
            "TEXT" => Kind::Text,
            "BLOB" => Kind::Bytes,
            other => return Err(broken(format!("copying doesn't know what {table}.{column} is: {other}"))),
        };
        schema.entry(table).or_default().insert(column, kind);
    }
    Ok(schema)
}

fn count(connection: &Connection, table: &str) -> Result<u64, StoreError> {
    unsigned(connection.query_row(&format!("SELECT COUNT(*) FROM {}", quoted(table)), [], |row| row.get(0))?)
}

/// How many rows each table has when nothing but migrations was there: the same on both databases.
pub(crate) fn rows_of_a_new_database() -> Result<BTreeMap<String, u64>, StoreError> {
    let mut new = Connection::open_in_memory()?;
    migrate(&mut new)?;
    let tables = schema(&new)?.into_keys();
    tables.map(|table| count(&new, &table).map(|rows| (table, rows))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::example::database;

    #[test]
    fn a_type_that_copying_does_not_know_is_named_with_its_column() {
        let connection = database();
        connection.execute_batch("CREATE TABLE later (share REAL NOT NULL) STRICT").expect("a table");
        let error = schema(&connection).expect_err("refused").to_string();
        assert!(error.contains("later.share is: REAL"), "{error}");
    }
}
