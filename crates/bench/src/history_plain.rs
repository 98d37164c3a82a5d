//! The plain way to page a history, on the same data: COUNT(*) for the total, OFFSET for the page, LIKE for
//! the keyword.

use std::path::Path;

use anyhow::Result;
use giftd_domain::history::{OrderFilter, PageRequest};
use giftd_domain::ids::{AccountId, TimeId};
use rusqlite::{Connection, OpenFlags, params_from_iter};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use crate::databases::{Database, connect};

/// A connection beside the store's.
pub enum Plain {
    /// To the file.
    Sqlite(Connection),
    /// To the server.
    Postgres(Client),
}

/// A page of it, ready to be asked for again and again.
pub enum PlainPage<'a> {
    /// The statements and their parameters.
    Sqlite(&'a Connection, [String; 2], Vec<rusqlite::types::Value>),
    /// The same, prepared.
    Postgres(&'a Client, [Statement; 2], Vec<Box<dyn ToSql + Sync + Send>>),
}

/// A parameter of either database.
enum Parameter {
    Number(i64),
    Text(String),
    Id(TimeId),
}

impl Plain {
    /// Connects, and gives PostgreSQL's planner the statistics that it would have gathered by itself.
    pub async fn open(database: &Database) -> Result<Self> {
        match database.url.strip_prefix("sqlite:") {
            Some(path) => {
                let connection = Connection::open_with_flags(Path::new(path), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
                // As giftd's own connections that read.
                connection.execute_batch("PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192;")?;
                Ok(Self::Sqlite(connection))
            }
            None => {
                let client = connect(&database.url).await?;
                client.batch_execute("VACUUM ANALYZE").await?;
                Ok(Self::Postgres(client))
            }
        }
    }

    /// Prepares a page.
    pub async fn page(&self, account: AccountId, filter: &OrderFilter, page: PageRequest) -> Result<PlainPage<'_>> {
        let (conditions, parameters) = conditions(account, filter);
        let from = format!(
            "FROM orders o JOIN order_kinds k ON k.account_id = o.account_id AND k.kind_id = o.kind_id WHERE {conditions}"
        );
        let (size, offset) = (page.page_size, page.offset());
        let statements = [
            format!("SELECT COUNT(*) {from}"),
            format!(
                "SELECT o.*, k.order_type, k.card_type, k.card_name, k.creator {from}
                 ORDER BY o.order_id DESC LIMIT {size} OFFSET {offset}"
            ),
        ];
        Ok(match self {
            Self::Sqlite(connection) => {
                PlainPage::Sqlite(connection, statements, parameters.into_iter().map(Parameter::sqlite).collect())
            }
            Self::Postgres(client) => {
                let [count, page] = statements;
                let prepared = [client.prepare(&count).await?, client.prepare(&page).await?];
                PlainPage::Postgres(client, prepared, parameters.into_iter().map(Parameter::postgres).collect())
            }
        })
    }
}

impl PlainPage<'_> {
    /// How many orders match, and the ids of those on the page; all columns are read.
    pub async fn read(&self) -> Result<(u64, Vec<TimeId>)> {
        match self {
            Self::Sqlite(connection, [count, page], parameters) => {
                let total: i64 = connection
                    .prepare_cached(count)?
                    .query_row(params_from_iter(parameters.iter()), |row| row.get(0))?;
                let mut page = connection.prepare_cached(page)?;
                let columns = page.column_count();
                let mut rows = page.query(params_from_iter(parameters.iter()))?;
                let mut ids = Vec::new();
                while let Some(row) = rows.next()? {
                    for column in 0..columns {
                        std::hint::black_box(row.get_ref(column)?);
                    }
                    let bytes: [u8; 16] = row.get("order_id")?;
                    ids.push(TimeId::from_bits(u128::from_be_bytes(bytes)));
                }
                Ok((u64::try_from(total)?, ids))
            }
            Self::Postgres(client, [count, page], parameters) => {
                let parameters: Vec<&(dyn ToSql + Sync)> =
                    parameters.iter().map(|parameter| parameter.as_ref() as &(dyn ToSql + Sync)).collect();
                let total: i64 = client.query_one(count, &parameters).await?.get(0);
                let rows = client.query(page, &parameters).await?;
                let ids = rows.iter().map(|row| TimeId::from_bits(row.get::<_, Uuid>("order_id").as_u128()));
                Ok((u64::try_from(total)?, ids.collect()))
            }
        }
    }
}

impl Parameter {
    fn sqlite(self) -> rusqlite::types::Value {
        match self {
            Self::Number(number) => number.into(),
            Self::Text(text) => text.into(),
            Self::Id(id) => id.to_bits().to_be_bytes().to_vec().into(),
        }
    }

    fn postgres(self) -> Box<dyn ToSql + Sync + Send> {
        match self {
            Self::Number(number) => Box::new(number),
            Self::Text(text) => Box::new(text),
            Self::Id(id) => Box::new(Uuid::from_u128(id.to_bits())),
        }
    }
}

/// What follows WHERE, its parameters numbered as they come.
fn conditions(account: AccountId, filter: &OrderFilter) -> (String, Vec<Parameter>) {
    let mut conditions = vec!["o.account_id = $1".to_owned()];
    let mut parameters = vec![Parameter::Number(account.0)];
    let mut add = |condition: &str, given: Vec<Parameter>| {
        let mut condition = condition.to_owned();
        for parameter in given {
            parameters.push(parameter);
            condition = condition.replacen('?', &format!("${}", parameters.len()), 1);
        }
        conditions.push(condition);
    };
    let text = |text: &str| Parameter::Text(text.to_owned());
    if let Some(order_type) = filter.order_type {
        add("k.order_type = ?", vec![text(order_type.into())]);
    }
    if let Some(card_type) = filter.card_type {
        add("k.card_type = ?", vec![text(card_type.into())]);
    }
    if let Some(status) = filter.status {
        add("o.status = ?", vec![text(status.into())]);
    }
    if filter.days.from.is_some() || filter.days.to.is_some() {
        let (first, end) = filter.days.ids();
        add("o.order_id >= ? AND o.order_id < ?", vec![Parameter::Id(first), Parameter::Id(end)]);
    }
    if let Some(keyword) = &filter.keyword {
        let like = format!("%{}%", keyword.to_lowercase());
        add("(LOWER(k.card_name) LIKE ? OR LOWER(k.creator) LIKE ?)", vec![text(&like), text(&like)]);
    }
    if let Some(key) = &filter.client_order_id {
        add("o.idempotency_key = ?", vec![text(key)]);
    }
    (conditions.join(" AND "), parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_number_their_parameters_in_order() {
        let filter = OrderFilter { keyword: Some("Tea".to_owned()), ..OrderFilter::default() };
        let (sql, parameters) = conditions(AccountId(7), &filter);
        assert_eq!(sql, "o.account_id = $1 AND (LOWER(k.card_name) LIKE $2 OR LOWER(k.creator) LIKE $3)");
        assert_eq!(parameters.len(), 3);
    }
}
