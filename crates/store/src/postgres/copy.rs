//! PostgreSQL at either end of a copy.

use std::collections::BTreeMap;
use std::error::Error;
use std::pin::pin;

use async_trait::async_trait;
use bytes::BytesMut;
use deadpool_postgres::Object;
use rusqlite::types::Value;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use super::connect::Target;
use super::error::{Failure, broken};
use super::migrate;
use super::operation::Connection;
use super::rows::Columns as _;
use super::verify::verify_ledger;
use crate::copy::{BATCH_ROWS, Batch, End, Kind, MIGRATIONS, Schema, Table, quoted};
use crate::{CopyError, LedgerReport, StoreError};

/// Tenths of a second for others to go: a command that has ended is seen a moment longer.
const LOOKS: usize = 20;

/// A database of a server, in one transaction.
pub(crate) struct PostgresEnd {
    connection: Object,
    /// The type of each column of each table.
    types: BTreeMap<String, BTreeMap<String, Type>>,
}

impl PostgresEnd {
    /// Whose rows are read. Refused while others are connected to it; from then on until it is dropped others can
    /// read and not write.
    pub(crate) async fn source(url: &str) -> Result<Self, CopyError> {
        let pool = Target::parse(url)?.writer_pool()?;
        migrate::ready(&pool).await?;
        let connection = pool.get().await.map_err(store)?;
        let others = others(&connection).await.map_err(StoreError::from)?;
        if !others.is_empty() {
            return Err(CopyError::InUse(others));
        }
        Ok(Self::begin(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "SHARE").await?)
    }

    /// Which is written. Nobody else can even read until it is dropped.
    pub(crate) async fn target(url: &str) -> Result<Self, CopyError> {
        let pool = Target::parse(url)?.writer_pool()?;
        migrate::migrate(&pool).await?;
        let connection = pool.get().await.map_err(store)?;
        Ok(Self::begin(connection, "BEGIN", "ACCESS EXCLUSIVE").await?)
    }

    /// Locks all tables before anything is read: what is read then is the state that the lock keeps.
    async fn begin(connection: Object, begin: &str, lock: &str) -> Result<Self, StoreError> {
        let types = types(&connection).await?;
        let tables = types.keys().map(|table| quoted(table)).collect::<Vec<_>>().join(", ");
        let sql = format!(
            "{begin}; LOCK TABLE {tables} IN {lock} MODE;
             SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0;
             SET LOCAL enable_seqscan = on"
        );
        connection.batch_execute(&sql).await.map_err(store)?;
        Ok(Self { connection, types })
    }

    fn type_of(&self, table: &str, column: &str) -> Result<Type, StoreError> {
        let known = self.types.get(table).and_then(|columns| columns.get(column)).cloned();
        known.ok_or_else(|| broken(format!("there is no {table}.{column}")))
    }
}

fn store(error: impl Into<Failure>) -> StoreError {
    error.into().into()
}

#[async_trait]
impl End for PostgresEnd {
    async fn schema(&self) -> Result<Schema, StoreError> {
        let mut schema = Schema::new();
        for (table, columns) in &self.types {
            let kinds = columns.iter().map(|(column, of_type)| {
                let kind = match *of_type {
                    Type::INT8 | Type::BOOL => Kind::Integer,
                    Type::TEXT => Kind::Text,
                    Type::BYTEA | Type::UUID => Kind::Bytes,
                    ref other => return Err(broken(format!("copying doesn't know what {table}.{column} is: {other}"))),
                };
                Ok((column.clone(), kind))
            });
            schema.insert(table.clone(), kinds.collect::<Result<_, StoreError>>()?);
        }
        Ok(schema)
    }

    async fn count(&self, table: &Table) -> Result<u64, StoreError> {
        let sql = format!("SELECT COUNT(*) AS n FROM {}", table.quoted());
        let row = self.connection.query_one(&sql, &[]).await.map_err(store)?;
        Ok(row.count("n")?)
    }

    async fn read(&self, table: &Table, to: Sender<Batch>) -> Result<(), StoreError> {
        Ok(read(&self.connection, table, to).await?)
    }

    async fn write(&self, table: &Table, from: Receiver<Batch>) -> Result<(), StoreError> {
        let types = table.columns.iter().map(|column| self.type_of(&table.name, column));
        Ok(write(&self.connection, table, &types.collect::<Result<Vec<_>, _>>()?, from).await?)
    }

    async fn verify(&self) -> Result<LedgerReport, StoreError> {
        Ok(verify_ledger(&self.connection).await?)
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        self.connection.batch_execute("COMMIT").await.map_err(store)
    }
}

/// Where other connections of giftd to this database come from.
async fn others(connection: &Connection) -> Result<Vec<String>, Failure> {
    let sql = "SELECT COALESCE(host(client_addr), 'this machine') AS address FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
            AND application_name IN ('giftd', current_setting('application_name'))";
    let mut found = Vec::new();
    for look in 0..LOOKS {
        if look > 0 {
            connection.batch_execute("SELECT pg_sleep(0.1)").await?;
        }
        let rows = connection.query(sql, &[]).await?;
        found = rows.iter().map(|row| row.value("address")).collect::<Result<_, _>>()?;
        if found.is_empty() {
            break;
        }
    }
    Ok(found)
}

async fn types(connection: &Connection) -> Result<BTreeMap<String, BTreeMap<String, Type>>, StoreError> {
    let sql = "SELECT c.relname::TEXT AS table_name, a.attname::TEXT AS column_name, a.atttypid AS type
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> $1
            AND a.attnum > 0 AND NOT a.attisdropped";
    let mut types: BTreeMap<String, BTreeMap<String, Type>> = BTreeMap::new();
    for row in &connection.query(sql, &[&MIGRATIONS]).await.map_err(store)? {
        let (table, column): (String, String) = (row.value("table_name")?, row.value("column_name")?);
        let oid: u32 = row.value("type")?;
        let known = Type::from_oid(oid)
            .ok_or_else(|| broken(format!("copying doesn't know what {table}.{column} is: the type {oid}")))?;
        types.entry(table).or_default().insert(column, known);
    }
    Ok(types)
}

async fn read(connection: &Connection, table: &Table, to: Sender<Batch>) -> Result<(), Failure> {
    let (name, columns) = (table.quoted(), table.quoted_columns());
    connection.batch_execute(&format!("DECLARE copied NO SCROLL CURSOR FOR SELECT {columns} FROM {name}")).await?;
    let fetch = connection.prepare(&format!("FETCH {BATCH_ROWS} FROM copied")).await?;
    loop {
        let rows = connection.query(&fetch, &[]).await?;
        if rows.is_empty() {
            break;
        }
        let mut batch = Batch::with_capacity(rows.len() * table.columns.len());
        for row in &rows {
            for column in 0..table.columns.len() {
                batch.push(row.try_get::<_, Received>(column)?.0);
            }
        }
        if to.send(batch).await.is_err() {
            break;
        }
    }
    Ok(connection.batch_execute("CLOSE copied").await?)
}

async fn write(
    connection: &Connection,
    table: &Table,
    types: &[Type],
    mut from: Receiver<Batch>,
) -> Result<(), Failure> {
    let (name, columns) = (table.quoted(), table.quoted_columns());
    // Rows of a table that is new in its own transaction never need to be looked at again by vacuum: FREEZE.
    connection.batch_execute(&format!("TRUNCATE {name}")).await?;
    let sink = connection.copy_in(&format!("COPY {name} ({columns}) FROM STDIN (FORMAT binary, FREEZE)")).await?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, types));
    while let Some(batch) = from.recv().await {
        for row in batch.chunks(types.len()) {
            let values: Vec<_> = row.iter().map(Sent).collect();
            writer.as_mut().write_raw(&values).await?;
        }
    }
    writer.finish().await?;
    // The next row gets the number after the last.
    let sequences = "SELECT attname::TEXT AS column_name, pg_get_serial_sequence($1, attname) AS sequence
        FROM pg_attribute WHERE attrelid = $1::TEXT::regclass AND attidentity <> ''";
    for row in &connection.query(sequences, &[&name]).await? {
        let (column, sequence): (String, String) = (row.value("column_name")?, row.value("sequence")?);
        let last = format!("MAX({})", quoted(&column));
        let sql = format!("SELECT setval($1::TEXT::regclass, COALESCE({last}, 1), {last} IS NOT NULL) FROM {name}");
        connection.query_one(&sql, &[&sequence]).await?;
    }
    Ok(())
}

/// A value as PostgreSQL sends it.
struct Received(Value);

impl<'a> FromSql<'a> for Received {
    fn from_sql(of: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(match *of {
            Type::INT8 => Value::Integer(i64::from_sql(of, raw)?),
            Type::BOOL => Value::Integer(bool::from_sql(of, raw)?.into()),
            Type::TEXT => Value::Text(String::from_sql(of, raw)?),
            // Bytes both; a UUID's are its 16.
            _ => Value::Blob(raw.to_vec()),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Value::Null))
    }

    fn accepts(of: &Type) -> bool {
        matches!(*of, Type::INT8 | Type::BOOL | Type::TEXT | Type::BYTEA | Type::UUID)
    }
}

/// A value for PostgreSQL.
#[derive(Debug)]
struct Sent<'a>(&'a Value);

impl ToSql for Sent<'_> {
    fn to_sql(&self, of: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match (self.0, of) {
            (Value::Null, _) => Ok(IsNull::Yes),
            (Value::Integer(number), &Type::INT8) => number.to_sql(of, out),
            (Value::Integer(number @ 0..=1), &Type::BOOL) => (*number == 1).to_sql(of, out),
            (Value::Text(text), &Type::TEXT) => text.to_sql(of, out),
            (Value::Blob(bytes), &Type::BYTEA) => bytes.to_sql(of, out),
            (Value::Blob(bytes), &Type::UUID) if bytes.len() == 16 => {
                out.extend_from_slice(bytes);
                Ok(IsNull::No)
            }
            // Not the value itself, which may be a person's.
            (_, of) => Err(format!("a value of the source is no {of}").into()),
        }
    }

    fn accepts(of: &Type) -> bool {
        <Received as FromSql>::accepts(of)
    }

    to_sql_checked!();
}
