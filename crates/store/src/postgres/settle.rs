//! Settling what became of claimed mails, in one transaction of two round trips: hold the accounts and
//! read what the outcomes belong to, then write everything and commit.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use giftd_domain::Timestamp;
use giftd_domain::account::Account;
use giftd_domain::gifts::events::NewEvent;
use giftd_domain::gifts::{DeliveryOutcome, DeliveryStatus, MailKind, Reminders, Settlement, expires_at};
use giftd_domain::ids::{AccountId, GiftId, GiftKey, OrderId};
use giftd_domain::ledger::Entry;
use giftd_domain::orders::OrderStatus;
use tokio_postgres::Row;
use uuid::Uuid;

use super::accounts::{self, Held};
use super::batch::{Batch, parameters};
use super::counts::Counts;
use super::error::{Failure, broken};
use super::events::NewEvents;
use super::gifts::Keys;
use super::ledger;
use super::operation::Connection;
use super::rows::{Columns as _, Parameters, clean, micros, name, uuid};
use crate::{SettleDelivery, Settled};

/// What an outcome belongs to, where its claim is still the latest.
struct Claimed {
    email: Option<String>,
    delivery_status: DeliveryStatus,
    cost: i64,
    events: i64,
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

/// What the whole settlement goes by.
struct When<'a> {
    now: Timestamp,
    entropy: u128,
    reminders: &'a Reminders,
}

impl When<'_> {
    /// When a gift of `account` turns that expires at `end`, by the node's clock.
    fn wake_at(&self, account: &Account, end: Timestamp) -> Timestamp {
        account.clock.node_time(self.reminders.next(end, account.clock.shown_at(self.now)))
    }
}

/// Settles each outcome whose claim is still the latest, then the orders that they belong to; commits.
pub(super) async fn settle_deliveries(
    connection: &Connection,
    settlements: &[SettleDelivery],
    reminders: &Reminders,
    now: Timestamp,
    entropy: u128,
) -> Result<Settled, Failure> {
    let when = When { now, entropy, reminders };
    let (mut held, claimed) = begin(connection, settlements).await?;
    let mut settled = Settled::default();
    let mut batch = Batch::new(connection);
    let closed = add_outcomes(&mut batch, settlements, &held, &claimed, &when, &mut settled).await?;
    if !closed.is_empty() {
        settled.completed_orders = close(&mut batch, &closed, &mut held, &when).await?;
    }
    batch.commit().await?;
    Ok(settled)
}

/// BEGIN, the account rows and the claimed mails in one round trip; the latter by their places in
/// `settlements`.
async fn begin(
    connection: &Connection,
    settlements: &[SettleDelivery],
) -> Result<(Held, HashMap<usize, Claimed>), Failure> {
    let hold = accounts::prepare_hold(connection).await?;
    // The gift is held before its mail, as everywhere. A mail that is locked then is about to be claimed
    // anew: then this outcome is too late.
    let read = connection
        .prepare_cached(
            "SELECT w.n, g.email, g.delivery_status, g.cost, g.events, o.refund_option, o.kind_id, o.status, o.open_gifts
             FROM unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[], $4::TEXT[], $5::BIGINT[])
                    WITH ORDINALITY AS w (account_id, order_id, position, kind, claim, n),
                LATERAL (SELECT position, email, delivery_status, cost, events FROM gifts
                    WHERE account_id = w.account_id AND order_id = w.order_id AND position = w.position
                    LIMIT 1 FOR NO KEY UPDATE) g,
                LATERAL (SELECT 1 FROM mails
                    WHERE account_id = w.account_id AND order_id = w.order_id AND position = g.position
                        AND kind = w.kind AND claim = w.claim LIMIT 1 FOR UPDATE SKIP LOCKED) d,
                LATERAL (SELECT refund_option, kind_id, status, open_gifts FROM orders
                    WHERE account_id = w.account_id AND order_id = w.order_id LIMIT 1) o",
        )
        .await?;
    let mut sorted: Vec<(usize, &Settlement)> =
        settlements.iter().map(|settle| &settle.settlement).enumerate().collect();
    sorted.sort_by_key(|(_, settlement)| (settlement.account_id, settlement.gift.order.time, settlement.gift.position));
    let ids = accounts::ids(sorted.iter().map(|(_, settlement)| settlement.account_id));
    let Keys { accounts, orders, positions } = sorted.iter().map(|(_, settlement)| key(settlement)).collect();
    let kinds: Vec<&str> = sorted.iter().map(|(_, settlement)| name(settlement.kind)).collect();
    let claims: Vec<i64> = sorted.iter().map(|(_, settlement)| settlement.claim).collect();
    let wanted: Parameters<'_> = vec![&accounts, &orders, &positions, &kinds, &claims];
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
        let place = row.count::<usize>("n")?.checked_sub(1);
        if let Some((place, _)) = place.and_then(|place| sorted.get(place)) {
            claimed.insert(*place, read_claimed(row)?);
        }
    }
    Ok((held, claimed))
}

fn key(settlement: &Settlement) -> GiftKey {
    let GiftId { order, position } = settlement.gift;
    GiftKey { account_id: settlement.account_id, order: order.time, position }
}

fn read_claimed(row: &Row) -> Result<Claimed, Failure> {
    Ok(Claimed {
        email: row.value("email")?,
        delivery_status: row.named("delivery_status")?,
        cost: row.value("cost")?,
        events: row.value("events")?,
        refund_option: row.value("refund_option")?,
        kind: row.value("kind_id")?,
        order_status: row.named("status")?,
        open_gifts: row.value("open_gifts")?,
    })
}

/// Ends or repeats the mails and writes the outcomes into the gifts.
async fn add_outcomes(
    batch: &mut Batch<'_>,
    settlements: &[SettleDelivery],
    held: &Held,
    claimed: &HashMap<usize, Claimed>,
    when: &When<'_>,
    settled: &mut Settled,
) -> Result<BTreeMap<(AccountId, OrderId), Closed>, Failure> {
    let (mut mails, mut outcomes, mut events) = (Mails::default(), Outcomes::default(), NewEvents::default());
    let mut closed: BTreeMap<(AccountId, OrderId), Closed> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (place, SettleDelivery { settlement, retry_at }) in settlements.iter().enumerate() {
        let key = key(settlement);
        // The first outcome of a claim settles it.
        let Some(claim) = claimed.get(&place).filter(|_| seen.insert((key, settlement.kind))) else {
            settled.dropped += 1;
            continue;
        };
        settled.settled += 1;
        let is_retry = matches!(settlement.outcome, DeliveryOutcome::Retry { .. });
        mails.push(key, settlement.kind, is_retry.then_some(*retry_at));
        if settlement.kind != MailKind::Gift {
            continue;
        }
        let account =
            held.get(&key.account_id).ok_or_else(|| broken(format!("no account {}", settlement.account_id)))?;
        outcomes.push(key, account, claim, &settlement.outcome, when, &mut events);
        if !is_retry && claim.delivery_status == DeliveryStatus::Pending {
            let closed = closed.entry((key.account_id, settlement.gift.order)).or_insert_with(|| Closed {
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
    outcomes.write(batch).await?;
    events.write(batch).await?;
    mails.write(batch).await?;
    Ok(closed)
}

/// Mails that end or are repeated, column by column.
#[derive(Default)]
struct Mails {
    ended: Keys,
    ended_kinds: Vec<&'static str>,
    repeated: Keys,
    repeated_kinds: Vec<&'static str>,
    run_at: Vec<i64>,
}

impl Mails {
    fn push(&mut self, gift: GiftKey, kind: MailKind, retry_at: Option<Timestamp>) {
        match retry_at {
            None => {
                self.ended.push(gift);
                self.ended_kinds.push(name(kind));
            }
            Some(retry_at) => {
                self.repeated.push(gift);
                self.repeated_kinds.push(name(kind));
                self.run_at.push(micros(retry_at));
            }
        }
    }

    async fn write(self, batch: &mut Batch<'_>) -> Result<(), Failure> {
        if !self.ended.is_empty() {
            let Keys { accounts, orders, positions } = self.ended;
            let sql = "DELETE FROM mails d
                 USING unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[], $4::TEXT[])
                    AS w (account_id, order_id, position, kind)
                 WHERE d.account_id = w.account_id AND d.order_id = w.order_id AND d.position = w.position
                    AND d.kind = w.kind";
            batch.add(sql, parameters![accounts, orders, positions, self.ended_kinds]).await?;
        }
        if !self.repeated.is_empty() {
            let Keys { accounts, orders, positions } = self.repeated;
            // The claim is over: its number settles nothing any more.
            let sql = "UPDATE mails d SET run_at = w.run_at, claim = d.claim + 1, attempts = d.attempts + 1
                 FROM unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[], $4::TEXT[], $5::BIGINT[])
                    AS w (account_id, order_id, position, kind, run_at)
                 WHERE d.account_id = w.account_id AND d.order_id = w.order_id AND d.position = w.position
                    AND d.kind = w.kind";
            batch.add(sql, parameters![accounts, orders, positions, self.repeated_kinds, self.run_at]).await?;
        }
        Ok(())
    }
}

/// Gifts' changes, column by column.
#[derive(Default)]
struct Outcomes {
    keys: Keys,
    statuses: Vec<&'static str>,
    errors: Vec<Option<String>>,
    sent: Vec<Option<i64>>,
    expire: Vec<Option<i64>>,
    wake: Vec<Option<i64>>,
    events: Vec<i64>,
}

impl Outcomes {
    fn push(
        &mut self,
        key: GiftKey,
        account: &Account,
        claim: &Claimed,
        outcome: &DeliveryOutcome,
        when: &When<'_>,
        events: &mut NewEvents,
    ) {
        let shown = |at: Timestamp| account.clock.shown_at(at);
        let (status, sent_at, error, event) = match outcome {
            DeliveryOutcome::Sent { at } => {
                let event = NewEvent::sent(claim.email.as_deref());
                (DeliveryStatus::Sent, Some(shown(*at)), None, Some((shown(*at), event)))
            }
            DeliveryOutcome::Failed { at, error } => {
                (DeliveryStatus::Failed, None, Some(clean(error)), Some((shown(*at), NewEvent::failed(error))))
            }
            // What was sent before stays sent, and its resend is still being tried.
            DeliveryOutcome::Retry { error, .. } => {
                let error = (claim.delivery_status != DeliveryStatus::Sent).then(|| clean(error));
                (claim.delivery_status, None, error, None)
            }
        };
        let end = sent_at.map(|at| expires_at(at, claim.refund_option));
        self.keys.push(key);
        self.statuses.push(name(status));
        self.errors.push(error);
        self.sent.push(sent_at.map(micros));
        self.expire.push(end.map(micros));
        self.wake.push(end.map(|end| micros(when.wake_at(account, end))));
        let mut number = claim.events;
        if let Some((at, event)) = event {
            number += 1;
            events.add(key, number, at, event);
        }
        self.events.push(number);
    }

    async fn write(self, batch: &mut Batch<'_>) -> Result<(), Failure> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let Keys { accounts, orders, positions } = self.keys;
        batch
            .add(
                "UPDATE gifts g
                 SET delivery_status = w.status, delivery_attempts = g.delivery_attempts + 1, delivery_error = w.error,
                    sent_at = COALESCE(g.sent_at, w.sent_at), expires_at = COALESCE(g.expires_at, w.expires_at),
                    wake_at = CASE WHEN g.expires_at IS NULL THEN w.wake_at ELSE g.wake_at END, events = w.events
                 FROM unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[], $4::TEXT[], $5::TEXT[], $6::BIGINT[], $7::BIGINT[],
                        $8::BIGINT[], $9::BIGINT[])
                    AS w (account_id, order_id, position, status, error, sent_at, expires_at, wake_at, events)
                 WHERE g.account_id = w.account_id AND g.order_id = w.order_id AND g.position = w.position",
                parameters![
                    accounts,
                    orders,
                    positions,
                    self.statuses,
                    self.errors,
                    self.sent,
                    self.expire,
                    self.wake,
                    self.events,
                ],
            )
            .await
    }
}

/// Posts the closed gifts as issued, an entry for each order; completes the orders that have no open gift
/// left, and says how many these are.
async fn close(
    batch: &mut Batch<'_>,
    closed: &BTreeMap<(AccountId, OrderId), Closed>,
    held: &mut Held,
    when: &When<'_>,
) -> Result<u64, Failure> {
    let mut counts = Counts::default();
    let mut entries: Vec<(AccountId, Entry)> = Vec::new();
    let (mut owners, mut orders, mut gifts, mut shown) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut complete: Complete = Complete::default();
    for (&(account_id, order), closed) in closed {
        let account = held.get_mut(&account_id).ok_or_else(|| broken(format!("no account {account_id}")))?;
        let now = account.clock.shown_at(when.now);
        let entry = account
            .issue(closed.cents, &order.to_string(), now, when.entropy)
            .map_err(|error| broken(format!("issuing {} cents of {order}: {error}", closed.cents)))?;
        counts.entry(account_id, &entry);
        entries.push((account_id, entry));
        owners.push(account_id.0);
        orders.push(uuid(order.time));
        gifts.push(closed.gifts);
        shown.push(micros(now));
        if closed.open_before <= closed.gifts {
            counts.order(account_id, order.time, closed.kind, Some(closed.order_status), OrderStatus::Complete);
            let end = expires_at(now, closed.refund_option);
            complete.accounts.push(account_id.0);
            complete.orders.push(uuid(order.time));
            complete.expire.push(micros(end));
            complete.wake.push(micros(when.wake_at(account, end)));
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
                completed_at = CASE WHEN o.open_gifts = w.gifts THEN w.now ELSE o.completed_at END
             FROM unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[], $4::BIGINT[]) AS w (account_id, order_id, gifts, now)
             WHERE o.account_id = w.account_id AND o.order_id = w.order_id",
            parameters![owners, orders, gifts, shown],
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
    wake: Vec<i64>,
}

impl Complete {
    /// Gifts that never reached anyone expire as if they were sent when the order was completed.
    async fn add_to(self, batch: &mut Batch<'_>) -> Result<(), Failure> {
        if self.orders.is_empty() {
            return Ok(());
        }
        batch
            .add(
                "UPDATE gifts g SET expires_at = w.expires_at, wake_at = w.wake_at
                 FROM unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[], $4::BIGINT[])
                    AS w (account_id, order_id, expires_at, wake_at)
                 WHERE g.account_id = w.account_id AND g.order_id = w.order_id
                    AND g.delivery_status = 'FAILED' AND g.expires_at IS NULL",
                parameters![self.accounts, self.orders, self.expire, self.wake],
            )
            .await
    }
}
