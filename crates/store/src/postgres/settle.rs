//! Settling what became of claimed deliveries, in one transaction of two round trips: hold the accounts
//! and read what the outcomes belong to, then write everything and commit.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use giftd_domain::Timestamp;
use giftd_domain::account::Account;
use giftd_domain::gifts::{DeliveryOutcome, DeliveryStatus, expires_at};
use giftd_domain::ids::{AccountId, OrderId};
use giftd_domain::ledger::Entry;
use giftd_domain::orders::OrderStatus;
use tokio_postgres::Row;
use uuid::Uuid;

use super::accounts::{self, Held};
use super::batch::{Batch, parameters};
use super::counts::Counts;
use super::error::{Failure, broken};
use super::ledger;
use super::operation::Connection;
use super::rows::{Columns as _, Parameters, micros, name, uuid};
use crate::{SettleDelivery, Settled};

/// What an outcome belongs to, where its claim is still the latest.
struct Claimed {
    delivery_status: DeliveryStatus,
    cost: i64,
    refund_option: bool,
    kind: i64,
    order_status: OrderStatus,
    open_gifts: i64,
}

/// Gifts of one order that this settlement sent or failed for the first time.
struct Closed {
    gifts: i64,
    cents: i64,
    refund_option: bool,
    kind: i64,
    order_status: OrderStatus,
    open_before: i64,
}

/// Settles each outcome whose claim is still the latest, then the orders that they belong to; commits.
pub(super) async fn settle_deliveries(
    connection: &Connection,
    settlements: &[SettleDelivery],
    now: Timestamp,
    entropy: u128,
) -> Result<Settled, Failure> {
    let (mut held, claimed) = begin(connection, settlements).await?;
    let mut settled = Settled::default();
    let mut batch = Batch::new(connection);
    let closed = add_outcomes(&mut batch, settlements, &claimed, &mut settled).await?;
    if !closed.is_empty() {
        settled.completed_orders = close(&mut batch, &closed, &mut held, now, entropy).await?;
    }
    batch.commit().await?;
    Ok(settled)
}

/// BEGIN, the account rows and the claimed deliveries in one round trip.
async fn begin(
    connection: &Connection,
    settlements: &[SettleDelivery],
) -> Result<(Held, HashMap<usize, Claimed>), Failure> {
    let hold = accounts::prepare_hold(connection).await?;
    // A delivery that is locked is about to be claimed anew: then this outcome is too late. Waiting for it
    // here could be a deadlock, since claiming holds deliveries before accounts.
    let read = connection
        .prepare_cached(
            "SELECT w.n, g.delivery_status, g.cost, o.refund_option, o.kind_id, o.status, o.open_gifts
             FROM unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[], $4::BIGINT[])
                    WITH ORDINALITY AS w (account_id, order_id, position, claim, n),
                LATERAL (SELECT 1 FROM mails
                    WHERE account_id = w.account_id AND order_id = w.order_id AND position = w.position
                        AND claim = w.claim LIMIT 1 FOR UPDATE SKIP LOCKED) d,
                LATERAL (SELECT delivery_status, cost FROM gifts
                    WHERE account_id = w.account_id AND order_id = w.order_id AND position = w.position LIMIT 1) g,
                LATERAL (SELECT refund_option, kind_id, status, open_gifts FROM orders
                    WHERE account_id = w.account_id AND order_id = w.order_id LIMIT 1) o",
        )
        .await?;
    let each = || settlements.iter().map(|settle| &settle.settlement);
    let ids = accounts::ids(each().map(|settlement| settlement.account_id));
    let owners: Vec<i64> = each().map(|settlement| settlement.account_id.0).collect();
    let orders: Vec<Uuid> = each().map(|settlement| uuid(settlement.gift.order.time)).collect();
    let positions: Vec<i64> = each().map(|settlement| i64::from(settlement.gift.position)).collect();
    let claims: Vec<i64> = each().map(|settlement| settlement.claim).collect();
    let wanted: Parameters<'_> = vec![&owners, &orders, &positions, &claims];
    let (begun, held, rows) = tokio::join!(
        biased;
        connection.batch_execute("BEGIN"),
        accounts::hold_prepared(connection, &hold, &ids),
        connection.query(&read, &wanted),
    );
    begun?;
    let held = held?;
    let mut claimed = HashMap::new();
    for row in &rows? {
        claimed.insert(row.count::<usize>("n")?, read_claimed(row)?);
    }
    Ok((held, claimed))
}

fn read_claimed(row: &Row) -> Result<Claimed, Failure> {
    Ok(Claimed {
        delivery_status: row.named("delivery_status")?,
        cost: row.value("cost")?,
        refund_option: row.value("refund_option")?,
        kind: row.value("kind_id")?,
        order_status: row.named("status")?,
        open_gifts: row.value("open_gifts")?,
    })
}

/// A gift's changes, column by column.
#[derive(Default)]
struct Outcomes {
    accounts: Vec<i64>,
    orders: Vec<Uuid>,
    positions: Vec<i64>,
    statuses: Vec<&'static str>,
    errors: Vec<Option<String>>,
    sent: Vec<Option<i64>>,
    expire: Vec<Option<i64>>,
    /// When a retry is due; none ends the delivery.
    retries: Vec<Option<i64>>,
}

/// Ends or repeats the deliveries and writes the outcomes into the gifts.
async fn add_outcomes(
    batch: &mut Batch<'_>,
    settlements: &[SettleDelivery],
    claimed: &HashMap<usize, Claimed>,
    settled: &mut Settled,
) -> Result<BTreeMap<(AccountId, OrderId), Closed>, Failure> {
    let mut outcomes = Outcomes::default();
    let mut closed: BTreeMap<(AccountId, OrderId), Closed> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (place, SettleDelivery { settlement, retry_at }) in (1_usize..).zip(settlements) {
        let (account, gift) = (settlement.account_id, settlement.gift);
        // The first outcome of a claim settles it.
        let Some(claim) = claimed.get(&place).filter(|_| seen.insert((account, gift))) else {
            settled.dropped += 1;
            continue;
        };
        settled.settled += 1;
        let before = claim.delivery_status;
        let (status, sent_at, error) = match &settlement.outcome {
            DeliveryOutcome::Sent { at } => (DeliveryStatus::Sent, Some(*at), None),
            DeliveryOutcome::Failed { error, .. } => (DeliveryStatus::Failed, None, Some(error.clone())),
            DeliveryOutcome::Retry { error, .. } => (before, None, Some(error.clone())),
        };
        let is_retry = matches!(settlement.outcome, DeliveryOutcome::Retry { .. });
        outcomes.accounts.push(account.0);
        outcomes.orders.push(uuid(gift.order.time));
        outcomes.positions.push(i64::from(gift.position));
        outcomes.statuses.push(name(status));
        // PostgreSQL can't hold U+0000, and a mail server's answer may be anything.
        outcomes.errors.push(error.map(|error| error.replace('\0', "\u{fffd}")));
        outcomes.sent.push(sent_at.map(micros));
        outcomes.expire.push(sent_at.map(|at| micros(expires_at(at, claim.refund_option))));
        outcomes.retries.push(is_retry.then(|| micros(*retry_at)));
        if !is_retry && before == DeliveryStatus::Pending {
            let closed = closed.entry((account, gift.order)).or_insert_with(|| Closed {
                gifts: 0,
                cents: 0,
                refund_option: claim.refund_option,
                kind: claim.kind,
                order_status: claim.order_status,
                open_before: claim.open_gifts,
            });
            closed.gifts += 1;
            closed.cents = closed.cents.checked_add(claim.cost).ok_or_else(|| broken("costs leave 64 bits"))?;
        }
    }
    outcomes.add_to(batch).await?;
    Ok(closed)
}

impl Outcomes {
    async fn add_to(self, batch: &mut Batch<'_>) -> Result<(), Failure> {
        if self.accounts.is_empty() {
            return Ok(());
        }
        let (ended, repeated): (Vec<_>, Vec<_>) =
            (0..self.accounts.len()).partition(|index| self.retries.get(*index).is_none_or(Option::is_none));
        let keys = |of: &[usize]| (pick(&self.accounts, of), pick(&self.orders, of), pick(&self.positions, of));
        if !ended.is_empty() {
            let (accounts, orders, positions) = keys(&ended);
            let sql = "DELETE FROM mails d
                 USING unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[]) AS w (account_id, order_id, position)
                 WHERE d.account_id = w.account_id AND d.order_id = w.order_id AND d.position = w.position";
            batch.add(sql, parameters![accounts, orders, positions]).await?;
        }
        if !repeated.is_empty() {
            let (accounts, orders, positions) = keys(&repeated);
            // The claim is over: its number settles nothing any more.
            let sql = "UPDATE mails d SET run_at = w.run_at, claim = d.claim + 1
                 FROM unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[], $4::BIGINT[])
                    AS w (account_id, order_id, position, run_at)
                 WHERE d.account_id = w.account_id AND d.order_id = w.order_id AND d.position = w.position";
            let run_at: Vec<i64> = pick(&self.retries, &repeated).into_iter().flatten().collect();
            batch.add(sql, parameters![accounts, orders, positions, run_at]).await?;
        }
        let Self { accounts, orders, positions, statuses, errors, sent, expire, .. } = self;
        batch
            .add(
                "UPDATE gifts g
                 SET delivery_status = w.status, delivery_attempts = g.delivery_attempts + 1, delivery_error = w.error,
                    sent_at = COALESCE(g.sent_at, w.sent_at), expires_at = COALESCE(g.expires_at, w.expires_at)
                 FROM unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[], $4::TEXT[], $5::TEXT[], $6::BIGINT[], $7::BIGINT[])
                    AS w (account_id, order_id, position, status, error, sent_at, expires_at)
                 WHERE g.account_id = w.account_id AND g.order_id = w.order_id AND g.position = w.position",
                parameters![accounts, orders, positions, statuses, errors, sent, expire],
            )
            .await
    }
}

fn pick<T: Clone>(column: &[T], indexes: &[usize]) -> Vec<T> {
    indexes.iter().filter_map(|index| column.get(*index).cloned()).collect()
}

/// Posts the closed gifts as issued, an entry for each order; completes the orders that have no open gift
/// left, and says how many these are.
async fn close(
    batch: &mut Batch<'_>,
    closed: &BTreeMap<(AccountId, OrderId), Closed>,
    held: &mut Held,
    now: Timestamp,
    entropy: u128,
) -> Result<u64, Failure> {
    let mut counts = Counts::default();
    let mut entries: Vec<(AccountId, Entry)> = Vec::new();
    let (mut owners, mut orders, mut gifts) = (Vec::new(), Vec::new(), Vec::new());
    let mut complete: Complete = Complete::default();
    for (&(account_id, order), closed) in closed {
        let account = held.get_mut(&account_id).ok_or_else(|| broken(format!("no account {account_id}")))?;
        let entry = account
            .issue(closed.cents, &order.to_string(), now, entropy)
            .map_err(|error| broken(format!("issuing {} cents of {order}: {error}", closed.cents)))?;
        counts.entry(account_id, &entry);
        entries.push((account_id, entry));
        owners.push(account_id.0);
        orders.push(uuid(order.time));
        gifts.push(closed.gifts);
        if closed.open_before <= closed.gifts {
            counts.order(account_id, order.time, closed.kind, Some(closed.order_status), OrderStatus::Complete);
            complete.accounts.push(account_id.0);
            complete.orders.push(uuid(order.time));
            complete.expire.push(micros(expires_at(now, closed.refund_option)));
        }
    }
    let completed = complete.orders.len();
    let entries: Vec<(AccountId, &Entry)> = entries.iter().map(|(account, entry)| (*account, entry)).collect();
    ledger::add_entries(batch, &entries).await?;
    let ids: BTreeSet<AccountId> = closed.keys().map(|(account, _)| *account).collect();
    let changed: Vec<&Account> = ids.iter().filter_map(|account| held.get(account)).collect();
    accounts::write(batch, &changed).await?;
    batch
        .add(
            "UPDATE orders o
             SET open_gifts = o.open_gifts - w.gifts,
                status = CASE WHEN o.open_gifts = w.gifts THEN 'COMPLETE' ELSE o.status END,
                completed_at = CASE WHEN o.open_gifts = w.gifts THEN $4 ELSE o.completed_at END
             FROM unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[]) AS w (account_id, order_id, gifts)
             WHERE o.account_id = w.account_id AND o.order_id = w.order_id",
            parameters![owners, orders, gifts, micros(now)],
        )
        .await?;
    complete.add_to(batch).await?;
    counts.write(batch).await?;
    Ok(u64::try_from(completed).unwrap_or(u64::MAX))
}

/// Orders whose last open gift was settled, column by column.
#[derive(Default)]
struct Complete {
    accounts: Vec<i64>,
    orders: Vec<Uuid>,
    expire: Vec<i64>,
}

impl Complete {
    /// Gifts that never reached anyone expire as if they were sent when the order was completed.
    async fn add_to(self, batch: &mut Batch<'_>) -> Result<(), Failure> {
        if self.orders.is_empty() {
            return Ok(());
        }
        batch
            .add(
                "UPDATE gifts g SET expires_at = w.expires_at
                 FROM unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[]) AS w (account_id, order_id, expires_at)
                 WHERE g.account_id = w.account_id AND g.order_id = w.order_id
                    AND g.delivery_status = 'FAILED' AND g.expires_at IS NULL",
                parameters![self.accounts, self.orders, self.expire],
            )
            .await
    }
}
