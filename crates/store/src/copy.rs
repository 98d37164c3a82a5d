//! Everything of one database in another, of the same kind or the other: all rows of all tables, all or nothing.
//!
//! Nothing here knows a table. Which there are, each database's own catalog says, and both must say the same; a
//! row is values of three kinds, which each database turns into its own types.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use async_trait::async_trait;
use rusqlite::types::Value;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::postgres::copy::PostgresEnd;
use crate::sqlite::copy::{SqliteEnd, rows_of_a_new_database};
use crate::{LedgerReport, StoreError};

/// Rows that are read and written at once. No more than a handful of such batches is in memory.
pub(crate) const BATCH_ROWS: usize = 256;

/// The table that says which migrations were applied, which each database has of its own.
pub(crate) const MIGRATIONS: &str = "schema_migrations";

/// What a column holds, whatever its database calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A number, also 0 or 1 for a truth.
    Integer,
    Text,
    /// Bytes, also the 16 of an id.
    Bytes,
}

/// Tables and their columns, by name.
pub(crate) type Schema = BTreeMap<String, BTreeMap<String, Kind>>;

/// A table, and its columns in the order in which they are copied.
pub(crate) struct Table {
    pub name: String,
    pub columns: Vec<String>,
}

impl Table {
    /// Its name for a statement of either database.
    pub(crate) fn quoted(&self) -> String {
        quoted(&self.name)
    }

    /// Its columns for a statement of either database.
    pub(crate) fn quoted_columns(&self) -> String {
        self.columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ")
    }
}

/// A name for a statement of either database.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The values of some rows of a table, one row after the other.
pub(crate) type Batch = Vec<Value>;

/// A database at one end of a copy, in one transaction from the time it is opened.
#[async_trait]
pub(crate) trait End {
    /// All tables but [`MIGRATIONS`].
    async fn schema(&self) -> Result<Schema, StoreError>;

    /// How many rows a table has.
    async fn count(&self, table: &Table) -> Result<u64, StoreError>;

    /// Sends all rows of a table, until nobody takes them.
    async fn read(&self, table: &Table, to: Sender<Batch>) -> Result<(), StoreError>;

    /// Replaces all rows of a table.
    async fn write(&self, table: &Table, from: Receiver<Batch>) -> Result<(), StoreError>;

    /// Proves the books ([`crate::Store::verify_ledger`]).
    async fn verify(&self) -> Result<LedgerReport, StoreError>;

    /// Makes all that was written durable. Without it nothing was.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// What was copied, and is on the target's disk.
#[derive(Clone, Debug)]
pub struct Copied {
    /// Rows of each table, by its name.
    pub tables: BTreeMap<String, u64>,
    /// The books, which are the same at both ends.
    pub books: LedgerReport,
}

/// How far a copy is.
#[derive(Clone, Copy, Debug)]
pub enum CopyProgress<'a> {
    /// So many rows of all are copied, the last of them of this table.
    Copied {
        /// Rows that the target has.
        rows: u64,
        /// Rows of the source.
        of: u64,
        /// The table's name.
        table: &'a str,
    },
    /// So many rows of all were read again from the target.
    Compared {
        /// Rows that are as they should be.
        rows: u64,
        /// Rows of the source.
        of: u64,
    },
    /// The books of a database are being proved.
    Proving(Which),
}

/// One of the two databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Which is copied.
    Source,
    /// Into which it is copied.
    Target,
}

/// Why nothing was copied. Both databases are as they were, but that the target may have its migrations now.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CopyError {
    /// Somebody works on the source: what happens from now on would not be in the copy.
    #[error(
        "{} other giftd connections to the database that is to be copied, from {}: stop all servers and commands on \
         it first, or what happens there meanwhile is lost", .0.len(), .0.join(", ")
    )]
    InUse(Vec<String>),
    /// The target isn't new.
    #[error(
        "the target isn't empty: it has {}. A copy goes into a new database, one that no server has worked on",
        .0.iter().map(|(table, rows)| format!("{rows} rows in {table}")).collect::<Vec<_>>().join(", ")
    )]
    NotEmpty(BTreeMap<String, u64>),
    /// The source's books don't balance.
    #[error("the books of the source don't balance, and a copy would hide since when: {}", .0.join("; "))]
    Unbalanced(Vec<String>),
    /// The target isn't what the source is. A bug of ours, or a disk's fault.
    #[error("what arrived isn't what was sent: {0}")]
    Unequal(String),
    /// One of the databases.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Copies everything from one database URL to another ([`crate::open`]), and proves that it arrived: all rows are
/// read again and compared, and the books of both balance.
///
/// Nobody can write to the source meanwhile, or see the target before all is there. A `serve` on SQLite isn't
/// noticed here: its lock is the server's.
pub async fn copy(from: &str, to: &str, progress: impl Fn(CopyProgress<'_>)) -> Result<Copied, CopyError> {
    let source: Box<dyn End> = match from.strip_prefix("sqlite:") {
        Some(path) => Box::new(SqliteEnd::source(path).await?),
        None => Box::new(PostgresEnd::source(from).await?),
    };
    let target: Box<dyn End> = match to.strip_prefix("sqlite:") {
        Some(path) => Box::new(SqliteEnd::target(path).await?),
        None => Box::new(PostgresEnd::target(to).await?),
    };
    let tables = same_tables(&source.schema().await?, &target.schema().await?)?;
    refuse_rows(target.as_ref(), &tables).await?;
    progress(CopyProgress::Proving(Which::Source));
    let books = source.verify().await?;
    if !books.differences.is_empty() {
        return Err(CopyError::Unbalanced(books.differences));
    }

    let mut of = 0;
    for table in &tables {
        of += source.count(table).await?;
    }
    let (mut rows, mut contents) = (0, BTreeMap::new());
    for table in &tables {
        let (to_middle, from_source) = channel(1);
        let (to_target, from_middle) = channel(1);
        let tell = |more: u64| progress(CopyProgress::Copied { rows: rows + more, of, table: &table.name });
        let (read, content, written) = tokio::join!(
            source.read(table, to_middle),
            look_at(table, from_source, Some(to_target), tell),
            target.write(table, from_middle)
        );
        read?;
        written?;
        rows += content.rows;
        contents.insert(table.name.clone(), content);
    }

    rows = 0;
    for table in &tables {
        let (to_us, from_target) = channel(1);
        let tell = |more: u64| progress(CopyProgress::Compared { rows: rows + more, of });
        let (read, arrived) = tokio::join!(target.read(table, to_us), look_at(table, from_target, None, tell));
        read?;
        let sent = contents[&table.name];
        if arrived != sent {
            let Table { name, .. } = table;
            let text = format!("{} of {} rows of {name}, or others", arrived.rows, sent.rows);
            return Err(CopyError::Unequal(text));
        }
        rows += arrived.rows;
    }
    progress(CopyProgress::Proving(Which::Target));
    let arrived = target.verify().await?;
    if arrived != books {
        return Err(CopyError::Unequal(format!("the books of the target are {arrived:?}, of the source {books:?}")));
    }
    target.commit().await?;
    Ok(Copied { tables: contents.into_iter().map(|(table, content)| (table, content.rows)).collect(), books })
}

/// The tables of both, which must have the same columns.
fn same_tables(source: &Schema, target: &Schema) -> Result<Vec<Table>, StoreError> {
    let differs = |what: String| {
        StoreError::Schema(format!("{what}, though both are at the same migration: a copy would lose it").into())
    };
    for (one, other, whose) in [(source, target, "source"), (target, source, "target")] {
        for (table, columns) in one {
            let Some(others) = other.get(table) else {
                return Err(differs(format!("only the {whose} has the table {table}")));
            };
            if let Some((column, kind)) = columns.iter().find(|&(column, kind)| others.get(column) != Some(kind)) {
                return Err(differs(format!("only the {whose} has a column {column} of {kind:?} in {table}")));
            }
        }
    }
    let table = |(name, columns): (&String, &BTreeMap<String, Kind>)| Table {
        name: name.clone(),
        columns: columns.keys().cloned().collect(),
    };
    Ok(source.iter().map(table).collect())
}

/// Refuses a target with rows that migrations alone didn't make.
async fn refuse_rows(target: &dyn End, tables: &[Table]) -> Result<(), CopyError> {
    let new = rows_of_a_new_database()?;
    let mut found = BTreeMap::new();
    for table in tables {
        let rows = target.count(table).await?;
        if Some(&rows) != new.get(&table.name) {
            found.insert(table.name.clone(), rows);
        }
    }
    if found.is_empty() { Ok(()) } else { Err(CopyError::NotEmpty(found)) }
}

/// The rows of a table, whatever their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Content {
    rows: u64,
    /// The sum of the rows' hashes.
    hashes: u64,
}

/// Looks at all rows that come, and passes them on. Ends early where nobody takes them any more.
async fn look_at(table: &Table, mut from: Receiver<Batch>, to: Option<Sender<Batch>>, tell: impl Fn(u64)) -> Content {
    let mut content = Content::default();
    while let Some(batch) = from.recv().await {
        for row in batch.chunks(table.columns.len()) {
            content.rows += 1;
            content.hashes = content.hashes.wrapping_add(hash(row));
        }
        if let Some(to) = &to
            && to.send(batch).await.is_err()
        {
            break;
        }
        tell(content.rows);
    }
    content
}

fn hash(row: &[Value]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for value in row {
        match value {
            Value::Null => 0_u8.hash(&mut hasher),
            Value::Integer(number) => (1_u8, number).hash(&mut hasher),
            Value::Real(number) => (2_u8, number.to_bits()).hash(&mut hasher),
            Value::Text(text) => (3_u8, text).hash(&mut hasher),
            Value::Blob(bytes) => (4_u8, bytes).hash(&mut hasher),
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(tables: &[(&str, &[(&str, Kind)])]) -> Schema {
        let columns = |columns: &[(&str, Kind)]| columns.iter().map(|&(name, kind)| (name.to_owned(), kind)).collect();
        tables.iter().map(|&(name, of)| (name.to_owned(), columns(of))).collect()
    }

    #[test]
    fn a_table_or_column_that_is_at_one_end_only_is_named() {
        let one = schema(&[("gifts", &[("email", Kind::Text)]), ("orders", &[("status", Kind::Text)])]);
        assert_eq!(same_tables(&one, &one).expect("the same").len(), 2);
        for (other, word) in [
            (schema(&[("gifts", &[("email", Kind::Text)])]), "the table orders"),
            (schema(&[("gifts", &[]), ("orders", &[("status", Kind::Text)])]), "a column email of Text in gifts"),
            (
                schema(&[("gifts", &[("email", Kind::Bytes)]), ("orders", &[("status", Kind::Text)])]),
                "a column email of Text in gifts",
            ),
        ] {
            let error = |from, to| same_tables(from, to).err().expect("refused").to_string();
            assert!(error(&one, &other).contains(&format!("only the source has {word}")), "{}", error(&one, &other));
            assert!(error(&other, &one).contains("in gifts") || error(&other, &one).contains("only the target has"));
        }
    }

    #[test]
    fn rows_are_the_same_in_any_order_and_no_value_passes_for_another() {
        let hashes = |rows: &[&[Value]]| rows.iter().fold(0_u64, |sum, row| sum.wrapping_add(hash(row)));
        let (one, two) = ([Value::Integer(1), Value::Null], [Value::Null, Value::Integer(1)]);
        assert_eq!(hashes(&[&one, &two]), hashes(&[&two, &one]));
        assert_ne!(hash(&one), hash(&two));
        let alike =
            [Value::Text("1".to_owned()), Value::Blob(b"1".to_vec()), Value::Integer(1), Value::Null].map(|one| [one]);
        let different: std::collections::BTreeSet<u64> = alike.iter().map(|row| hash(row)).collect();
        assert_eq!(different.len(), alike.len());
    }
}
