//! The rows that say what work waits, the codes, and the resends and verifications: no method of `Store` tells all of
//! them, so they are read beside the store.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow};
use giftd_domain::Timestamp;
use giftd_domain::gifts::MailKind;
use giftd_domain::gifts::redemption::RedemptionId;
use giftd_domain::history::Span;
use giftd_domain::ids::{AccountId, GiftKey, TimeId};
use rusqlite::types::ValueRef;

/// A mail that waits. Instants are the node's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns")]
pub struct MailRow {
    pub run_at: Timestamp,
    pub due_at: Timestamp,
    pub tried_since: Option<Timestamp>,
    pub send_number: i64,
    pub attempts: i64,
}

/// A verification that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns")]
pub struct VerificationRow {
    pub link_version: i64,
    pub requested_at: Timestamp,
    pub is_used: bool,
}

/// All rows that say what work waits, who has which code, and what no method tells of recipients and previews.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Mails.
    pub mails: BTreeMap<(GiftKey, MailKind), MailRow>,
    /// When gifts turn.
    pub wakes: BTreeMap<GiftKey, Timestamp>,
    /// When suppliers are asked again.
    pub asks: BTreeMap<(GiftKey, RedemptionId), Timestamp>,
    /// Imported codes by hash, and the redemptions that got them.
    pub codes: BTreeMap<[u8; 32], Option<RedemptionId>>,
    /// From which address to which each send of a gift moved it.
    pub resends: BTreeMap<(GiftKey, i64), (String, Option<String>)>,
    /// By number.
    pub verifications: BTreeMap<(GiftKey, i64), VerificationRow>,
    /// How many previews an account mailed on a day.
    pub previews: BTreeMap<(AccountId, Span), i64>,
}

impl Rows {
    /// When the next of all this is due, if anything is.
    pub fn next(&self) -> Option<Timestamp> {
        let mails = self.mails.values().map(|mail| mail.run_at);
        mails.chain(self.wakes.values().copied()).chain(self.asks.values().copied()).min()
    }
}

/// A value of a row, as both databases have it.
enum Cell {
    Nothing,
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// Looks into the database beside the store.
pub enum Eyes {
    /// Another connection to the file.
    Sqlite(rusqlite::Connection),
    /// Another session.
    Postgres(tokio_postgres::Client),
}

impl Eyes {
    /// Reads all rows.
    pub async fn rows(&self) -> Result<Rows> {
        let mut rows = Rows::default();
        let mails =
            "SELECT account_id, ID(order_id), position, kind, run_at, due_at, tried_since, send_number, attempts
            FROM mails";
        for cells in self.query(mails, "nbntnnnnn").await? {
            let kind = cells[3].text()?.parse().context("a kind of mail")?;
            let row = MailRow {
                run_at: cells[4].instant()?,
                due_at: cells[5].instant()?,
                tried_since: cells[6].some().map(Cell::instant).transpose()?,
                send_number: cells[7].number()?,
                attempts: cells[8].number()?,
            };
            rows.mails.insert((gift(&cells)?, kind), row);
        }
        let wakes = "SELECT account_id, ID(order_id), position, wake_at FROM gifts WHERE wake_at IS NOT NULL";
        for cells in self.query(wakes, "nbnn").await? {
            rows.wakes.insert(gift(&cells)?, cells[3].instant()?);
        }
        let asks = "SELECT account_id, ID(order_id), position, ID(redemption_id), ask_at FROM redemptions
            WHERE ask_at IS NOT NULL";
        for cells in self.query(asks, "nbnbn").await? {
            rows.asks.insert((gift(&cells)?, RedemptionId(cells[3].bits()?)), cells[4].instant()?);
        }
        for cells in self.query("SELECT hash, ID(redemption_id) FROM codes", "bb").await? {
            let hash = <[u8; 32]>::try_from(cells[0].bytes()?).context("a hash")?;
            rows.codes.insert(hash, cells[1].some().map(Cell::bits).transpose()?.map(RedemptionId));
        }
        let resends = "SELECT account_id, ID(order_id), position, send_number, from_email, to_email FROM resends";
        for cells in self.query(resends, "nbnntt").await? {
            let to = cells[5].some().map(Cell::text).transpose()?.map(str::to_owned);
            rows.resends.insert((gift(&cells)?, cells[3].number()?), (cells[4].text()?.to_owned(), to));
        }
        let verifications = "SELECT account_id, ID(order_id), position, number, link_version, requested_at, used_at
            FROM verifications";
        for cells in self.query(verifications, "nbnnnnn").await? {
            let row = VerificationRow {
                link_version: cells[4].number()?,
                requested_at: cells[5].instant()?,
                is_used: cells[6].some().is_some(),
            };
            rows.verifications.insert((gift(&cells)?, cells[3].number()?), row);
        }
        for cells in self.query("SELECT account_id, day, n FROM test_mails", "nnn").await? {
            let of = (AccountId(cells[0].number()?), Span(cells[1].number()?));
            rows.previews.insert(of, cells[2].number()?);
        }
        Ok(rows)
    }

    /// `kinds` tells a letter for each column: `n`umber, `t`ext, `b`ytes. `ID` is a time-ordered id's 16 bytes.
    async fn query(&self, sql: &str, kinds: &str) -> Result<Vec<Vec<Cell>>> {
        match self {
            Self::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(&sql.replace("ID", ""))?;
                let mut rows = statement.query([])?;
                let mut found = Vec::new();
                while let Some(row) = rows.next()? {
                    let cells = (0..kinds.len()).map(|column| {
                        Ok(match row.get_ref(column)? {
                            ValueRef::Integer(number) => Cell::Number(number),
                            ValueRef::Text(text) => Cell::Text(String::from_utf8(text.to_vec())?),
                            ValueRef::Blob(bytes) => Cell::Bytes(bytes.to_vec()),
                            ValueRef::Null | ValueRef::Real(_) => Cell::Nothing,
                        })
                    });
                    found.push(cells.collect::<Result<_>>()?);
                }
                Ok(found)
            }
            Self::Postgres(client) => {
                let rows = client.query(&sql.replace("ID", "uuid_send"), &[]).await?;
                let cells = |row: &tokio_postgres::Row| {
                    let cell = |(column, kind)| {
                        Ok(match kind {
                            'n' => row.try_get::<_, Option<i64>>(column)?.map(Cell::Number),
                            't' => row.try_get::<_, Option<String>>(column)?.map(Cell::Text),
                            _ => row.try_get::<_, Option<Vec<u8>>>(column)?.map(Cell::Bytes),
                        }
                        .unwrap_or(Cell::Nothing))
                    };
                    kinds.chars().enumerate().map(cell).collect()
                };
                rows.iter().map(cells).collect()
            }
        }
    }
}

/// The gift that a row is about: account, order and position are its first columns.
fn gift(cells: &[Cell]) -> Result<GiftKey> {
    let position = u32::try_from(cells[2].number()?)?;
    Ok(GiftKey { account_id: AccountId(cells[0].number()?), order: TimeId::from_bits(cells[1].bits()?), position })
}

impl Cell {
    fn some(&self) -> Option<&Self> {
        (!matches!(self, Self::Nothing)).then_some(self)
    }

    fn number(&self) -> Result<i64> {
        if let Self::Number(number) = self { Ok(*number) } else { Err(anyhow!("not a number")) }
    }

    fn text(&self) -> Result<&str> {
        if let Self::Text(text) = self { Ok(text) } else { Err(anyhow!("not a text")) }
    }

    fn bytes(&self) -> Result<&[u8]> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(anyhow!("not bytes")) }
    }

    fn bits(&self) -> Result<u128> {
        Ok(u128::from_be_bytes(self.bytes()?.try_into().context("16 bytes")?))
    }

    fn instant(&self) -> Result<Timestamp> {
        Ok(Timestamp::from_microsecond(self.number()?)?)
    }
}
