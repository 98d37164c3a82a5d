//! The plain way to let gifts expire, as textbooks have it: a transaction for each gift, a statement for each thing
//! that it does. The same schema and the same durability, and none of the counts that giftd keeps for its ledger.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use giftd::clock::Clock;
use giftd_domain::Timestamp;
use giftd_domain::ids::{AccountId, TimeId};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use tokio::task::{JoinSet, spawn_blocking};
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use crate::databases::{Database, connect};

/// Connections of a usual pool on PostgreSQL. On SQLite there is one writer.
pub const CONNECTIONS: u32 = 16;

/// What it did.
#[derive(Default)]
pub struct Plain {
    /// Gifts that expired.
    pub gifts: u64,
    /// Cents that returned.
    pub refunded: i64,
    /// How long it took.
    pub took: Duration,
    /// Kept until their CPU time is read: what a process of PostgreSQL that ended has used can't be told from the
    /// work of others.
    connections: Vec<Turner>,
}

/// Lets due gifts of `account` expire until none is left or `time` is over.
pub async fn run(database: &Database, account: AccountId, time: Duration, clock: &Clock) -> Result<Plain> {
    match database.url.strip_prefix("sqlite:") {
        Some(path) => {
            let (path, clock) = (PathBuf::from(path), clock.clone());
            spawn_blocking(move || in_sqlite(&path, account, time, &clock)).await?
        }
        None => in_postgres(&database.url, account, time, clock).await,
    }
}

/// 70 %, rounded half-up to the cent.
fn refund(cents: i64) -> i64 {
    (cents * 7 + 5) / 10
}

fn entry_id(now: Timestamp, clock: &Clock) -> Uuid {
    TimeId::next(None, now, clock.entropy()).map_or(Uuid::nil(), |id| Uuid::from_u128(id.to_bits()))
}

fn in_sqlite(path: &PathBuf, account: AccountId, time: Duration, clock: &Clock) -> Result<Plain> {
    let mut connection = Connection::open(path)?;
    // As giftd's own connection that writes.
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536;")?;
    let (begun, mut done) = (Instant::now(), Plain::default());
    while begun.elapsed() < time {
        let now = clock.now();
        let at = now.as_microsecond();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let due: Option<(Vec<u8>, i64, i64, bool)> = transaction
            .prepare_cached(
                "SELECT g.order_id, g.position, g.cost - g.redeemed - g.reserved - g.voided, o.refund_option
                 FROM gifts g INDEXED BY gifts_by_wake_at CROSS JOIN orders o USING (account_id, order_id)
                 WHERE g.wake_at <= ?1 ORDER BY g.wake_at LIMIT 1",
            )?
            .query_row([at], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .optional()?;
        let Some((order, position, open, refund_option)) = due else { break };
        let returns = if refund_option { refund(open) } else { 0 };
        transaction
            .prepare_cached(
                "UPDATE gifts SET redemption_status = 'EXPIRED', voided = voided + ?4, refunded = ?5, wake_at = NULL,
                    events = events + ?6
                 WHERE account_id = ?1 AND order_id = ?2 AND position = ?3",
            )?
            .execute(params![
                account.0,
                order,
                position,
                open,
                refund_option.then_some(returns),
                1 + i64::from(returns > 0)
            ])?;
        let mut event = transaction.prepare_cached(
            "INSERT INTO gift_events (account_id, order_id, at, position, number, type, detail)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        event.execute(params![account.0, order, at, position, 2, "EXPIRED", "25.00 USD unredeemed"])?;
        if returns > 0 {
            event.execute(params![account.0, order, at, position, 3, "REFUNDED", "17.50 USD"])?;
            let available: i64 = transaction
                .prepare_cached(
                    "UPDATE accounts SET available = available + ?2, issued = issued - ?2 WHERE account_id = ?1
                     RETURNING available",
                )?
                .query_row(params![account.0, returns], |row| row.get(0))?;
            let reference = Uuid::from_slice(&order)?.to_string();
            transaction
                .prepare_cached(
                    "INSERT INTO ledger (account_id, entry_id, type, reference, funding, available, pending, issued,
                        available_after)
                     VALUES (?1, ?2, 'REFUND', ?3, 0, ?4, 0, -?4, ?5)",
                )?
                .execute(params![account.0, entry_id(now, clock).as_bytes(), reference, returns, available])?;
        }
        drop(event);
        transaction.commit()?;
        done.gifts += 1;
        done.refunded += returns;
    }
    done.took = begun.elapsed();
    Ok(done)
}

async fn in_postgres(url: &str, account: AccountId, time: Duration, clock: &Clock) -> Result<Plain> {
    let mut turners = Vec::new();
    for _ in 0..CONNECTIONS {
        turners.push(Turner::connect(url).await?);
    }
    let (begun, mut turning) = (Instant::now(), JoinSet::new());
    for mut turner in turners {
        let clock = clock.clone();
        turning.spawn(async move {
            let (mut gifts, mut refunded) = (0, 0);
            while begun.elapsed() < time {
                let Some(returns) = turner.turn(account, &clock).await? else { break };
                (gifts, refunded) = (gifts + 1, refunded + returns);
            }
            anyhow::Ok((gifts, refunded, turner))
        });
    }
    let mut done = Plain::default();
    while let Some(ended) = turning.join_next().await {
        let (gifts, refunded, turner) = ended??;
        done.gifts += gifts;
        done.refunded += refunded;
        done.connections.push(turner);
    }
    done.took = begun.elapsed();
    Ok(done)
}

struct Turner {
    client: Client,
    due: Statement,
    expire: Statement,
    event: Statement,
    refund: Statement,
    entry: Statement,
}

impl Turner {
    async fn connect(url: &str) -> Result<Self> {
        let client = connect(url).await?;
        Ok(Self {
            due: client
                .prepare(
                    "SELECT g.order_id, g.position, g.cost - g.redeemed - g.reserved - g.voided, o.refund_option
                     FROM gifts g JOIN orders o USING (account_id, order_id)
                     WHERE g.wake_at <= $1 ORDER BY g.wake_at LIMIT 1 FOR UPDATE OF g SKIP LOCKED",
                )
                .await?,
            expire: client
                .prepare(
                    "UPDATE gifts SET redemption_status = 'EXPIRED', voided = voided + $4, refunded = $5, wake_at = NULL,
                        events = events + $6
                     WHERE account_id = $1 AND order_id = $2 AND position = $3",
                )
                .await?,
            event: client
                .prepare(
                    "INSERT INTO gift_events (account_id, order_id, at, position, number, type, detail)
                     VALUES ($1, $2, $3, $4, $5, $6, $7)",
                )
                .await?,
            refund: client
                .prepare(
                    "UPDATE accounts SET available = available + $2, issued = issued - $2 WHERE account_id = $1
                     RETURNING available",
                )
                .await?,
            entry: client
                .prepare(
                    "INSERT INTO ledger (account_id, entry_id, type, reference, funding, available, pending, issued,
                        available_after)
                     VALUES ($1, $2, 'REFUND', $3, 0, $4, 0, -$4::BIGINT, $5)",
                )
                .await?,
            client,
        })
    }

    /// The cents that return of one gift; none where no gift is due.
    async fn turn(&mut self, account: AccountId, clock: &Clock) -> Result<Option<i64>> {
        let now = clock.now();
        let at = now.as_microsecond();
        let transaction = self.client.transaction().await?;
        let Some(due) = transaction.query_opt(&self.due, &[&at]).await? else { return Ok(None) };
        let (order, position, open, refund_option): (Uuid, i64, i64, bool) =
            (due.get(0), due.get(1), due.get(2), due.get(3));
        let returns = if refund_option { refund(open) } else { 0 };
        let (refunded, events) = (refund_option.then_some(returns), 1 + i64::from(returns > 0));
        let changed =
            transaction.execute(&self.expire, &[&account.0, &order, &position, &open, &refunded, &events]).await?;
        if changed != 1 {
            bail!("{changed} gifts expired at once");
        }
        let (second, third) = (2_i64, 3_i64);
        transaction
            .execute(&self.event, &[&account.0, &order, &at, &position, &second, &"EXPIRED", &"25.00 USD unredeemed"])
            .await?;
        if returns > 0 {
            transaction
                .execute(&self.event, &[&account.0, &order, &at, &position, &third, &"REFUNDED", &"17.50 USD"])
                .await?;
            let available: i64 = transaction.query_one(&self.refund, &[&account.0, &returns]).await?.get(0);
            let entry = entry_id(now, clock);
            transaction.execute(&self.entry, &[&account.0, &entry, &order.to_string(), &returns, &available]).await?;
        }
        transaction.commit().await?;
        Ok(Some(returns))
    }
}
