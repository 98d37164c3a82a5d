//! Gifts whose next instant has come: they are reminded of, or expire.

use std::collections::BTreeMap;

use giftd_domain::Timestamp;
use giftd_domain::account::Account;
use giftd_domain::gifts::events::NewEvent;
use giftd_domain::gifts::{Expiry, MailKind, RedemptionStatus, Reminders, Turn};
use giftd_domain::ids::{AccountId, GiftKey, OrderId};
use giftd_domain::ledger::Entry;

use super::accounts::{self, Held};
use super::batch::Batch;
use super::counts::Counts;
use super::error::{Failure, broken};
use super::events::NewEvents;
use super::gifts::{self, COLUMNS, HeldGift, Keys};
use super::ledger;
use super::mails::NewMails;
use super::operation::Connection;
use super::rows::{Columns as _, micros, signed};
use crate::{Turned, Work};

/// What returns of expired gifts: to which account, when by its clock, of which order.
pub(super) type Refunds = BTreeMap<(AccountId, Timestamp, OrderId), i64>;

/// A gift whose instant has come.
struct Waking {
    held: HeldGift,
    order_id: OrderId,
    refund_option: bool,
}

/// What a round of turning came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Round {
    /// What was done.
    pub(super) turned: Turned,
    /// Whether as many gifts were due as were asked for: more may be, also where others turned some of them first.
    pub(super) is_full: bool,
}

/// Turns up to `limit` gifts, oldest first. Inside a transaction.
pub(super) async fn turn_gifts(
    connection: &Connection,
    work: Work,
    until: Timestamp,
    limit: u64,
    reminders: &Reminders,
    entropy: u128,
) -> Result<Round, Failure> {
    let due = due(connection, work, until, signed(limit)?).await?;
    let mut turned = Turned::default();
    if due.is_empty() {
        return Ok(Round::default());
    }
    let mut held = accounts::hold(connection, &accounts::ids(due.iter().map(|gift| gift.account_id))).await?;
    let waking = hold_due(connection, work, until, &due, &held).await?;
    turned.gifts = u64::try_from(waking.len()).unwrap_or(u64::MAX);
    let (mut changed, mut refunds) = (Vec::with_capacity(waking.len()), Refunds::new());
    let (mut mails, mut events) = (NewMails::default(), NewEvents::default());
    for Waking { held: mut gift, order_id, refund_option } in waking {
        let account_id = gift.key.account_id;
        let clock = held.get(&account_id).map(|account| account.clock).unwrap_or_default();
        let instant = match work {
            Work::Everyone => until,
            Work::Moving(_) => gift.wake_at.unwrap_or(until),
        };
        let at = clock.shown_at(instant);
        match gift.gift.turn(refund_option, at, reminders) {
            Turn::Remind { number, next } => {
                mails.add(gift.key, MailKind::Reminder, number, instant);
                gift.wake_at = Some(clock.node_time(next));
                turned.reminded += 1;
            }
            Turn::Wait { next } => gift.wake_at = Some(clock.node_time(next)),
            Turn::Rest => gift.wake_at = None,
            Turn::Expire(expiry) => {
                expire(&mut gift, expiry, at, &mut events);
                turned.expired += 1;
                turned.refunded += expiry.refund;
                *refunds.entry((account_id, at, order_id)).or_default() += expiry.refund;
            }
        }
        changed.push(gift);
    }
    let mut batch = Batch::new(connection);
    gifts::write_use(&mut batch, &changed).await?;
    events.write(&mut batch).await?;
    mails.write(&mut batch).await?;
    add_refunds(&mut batch, refunds, &mut held, entropy).await?;
    batch.send().await?;
    Ok(Round { turned, is_full: u64::try_from(due.len()).is_ok_and(|due| due >= limit) })
}

/// Gifts whose instant is `until` or before, oldest first; without a lock, so some may be turned by others
/// until they are held. One account's are found by an index of the accounts: by the instant stand those of all
/// others too, and where the one's clock is moved that is far ahead.
async fn due(connection: &Connection, work: Work, until: Timestamp, limit: i64) -> Result<Vec<GiftKey>, Failure> {
    let (sql, only) = match work {
        Work::Everyone => (
            "SELECT account_id, order_id, position FROM gifts
             WHERE wake_at <= $1 AND $2::BIGINT IS NULL
                AND account_id <> ALL (ARRAY(SELECT account_id FROM accounts WHERE clock_at IS NOT NULL))
             ORDER BY wake_at LIMIT $3",
            None,
        ),
        Work::Moving(account) => (
            "SELECT account_id, order_id, position FROM gifts
             WHERE account_id = $2 AND wake_at + 0 <= (SELECT LEAST($1::BIGINT, clock_target - clock_ahead) FROM accounts
                WHERE account_id = $2 AND clock_at IS NOT NULL)
             ORDER BY wake_at + 0 LIMIT $3",
            Some(account.0),
        ),
    };
    let statement = connection.prepare_cached(sql).await?;
    let rows = connection.query(&statement, &[&micros(until), &only, &limit]).await?;
    let key = |row: &tokio_postgres::Row| {
        Ok(GiftKey {
            account_id: AccountId(row.value("account_id")?),
            order: row.id("order_id")?,
            position: row.count("position")?,
        })
    };
    rows.iter().map(key).collect()
}

/// Holds the gifts that are still due, now that nobody else turns gifts of their accounts. Each is found by its key:
/// no index of instants knows what `IS TRUE` says of them.
async fn hold_due(
    connection: &Connection,
    work: Work,
    until: Timestamp,
    due: &[GiftKey],
    accounts: &Held,
) -> Result<Vec<Waking>, Failure> {
    let mut wanted: Vec<(GiftKey, i64)> = due
        .iter()
        .filter_map(|gift| {
            let until = turns_until(accounts.get(&gift.account_id)?, work, until)?;
            Some((*gift, micros(until)))
        })
        .collect();
    wanted.sort_unstable();
    let hold = connection
        .prepare_cached(&format!(
            "SELECT g.account_id, g.order_id, {COLUMNS}, events, wake_at, refund_option, order_type
             FROM unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[], $4::BIGINT[]) AS w (account_id, order_id, place, until),
                LATERAL (SELECT * FROM gifts
                    WHERE account_id = w.account_id AND order_id = w.order_id AND position = w.place
                        AND (wake_at <= w.until) IS TRUE LIMIT 1 FOR NO KEY UPDATE) g,
                LATERAL (SELECT refund_option, kind_id FROM orders
                    WHERE account_id = w.account_id AND order_id = w.order_id LIMIT 1) o,
                LATERAL (SELECT order_type FROM order_kinds
                    WHERE account_id = w.account_id AND kind_id = o.kind_id LIMIT 1) k"
        ))
        .await?;
    let Keys { accounts, orders, positions } = wanted.iter().map(|(gift, _)| *gift).collect();
    let until: Vec<i64> = wanted.iter().map(|(_, until)| *until).collect();
    let rows = connection.query(&hold, &[&accounts, &orders, &positions, &until]).await?;
    let waking = |row: &tokio_postgres::Row| {
        let order = row.id("order_id")?;
        Ok(Waking {
            held: HeldGift::read(AccountId(row.value("account_id")?), order, row)?,
            order_id: OrderId { order_type: row.named("order_type")?, time: order },
            refund_option: row.value("refund_option")?,
        })
    };
    rows.iter().map(waking).collect()
}

/// Up to when gifts of an account are turned; none where that isn't ours. Nobody goes past the target of a
/// move, as one might whose move another has ended meanwhile.
fn turns_until(account: &Account, work: Work, until: Timestamp) -> Option<Timestamp> {
    match (work, account.clock.moving) {
        (Work::Everyone, None) => Some(until),
        (Work::Moving(_), Some(moving)) => Some(account.clock.node_time(moving.target).min(until)),
        _ => None,
    }
}

/// Makes what is open of a gift void, at `at` by its account's clock. Its refund is posted by [`add_refunds`].
pub(super) fn expire(held: &mut HeldGift, expiry: Expiry, at: Timestamp, events: &mut NewEvents) {
    held.gift.voided += expiry.voided;
    held.gift.refunded = expiry.refunded;
    held.gift.redemption_status = RedemptionStatus::Expired;
    held.wake_at = None;
    let number = held.next_event();
    events.add(held.key, number, at, NewEvent::expired(expiry.voided));
    if expiry.refund > 0 {
        let number = held.next_event();
        events.add(held.key, number, at, NewEvent::refunded(expiry.refund));
    }
}

/// Posts refunds: one entry for each order and instant, of each account the oldest first.
pub(super) async fn add_refunds(
    batch: &mut Batch<'_>,
    refunds: Refunds,
    held: &mut Held,
    entropy: u128,
) -> Result<(), Failure> {
    let mut counts = Counts::default();
    let mut entries: Vec<(AccountId, Entry)> = Vec::new();
    for ((account_id, at, order), cents) in refunds.into_iter().filter(|(_, cents)| *cents > 0) {
        let account = held.get_mut(&account_id).ok_or_else(|| broken(format!("no account {account_id}")))?;
        let entry = account
            .refund(cents, &order.to_string(), at, entropy)
            .map_err(|error| broken(format!("refunding {cents} cents of {order}: {error}")))?;
        counts.entry(account_id, &entry);
        entries.push((account_id, entry));
    }
    if entries.is_empty() {
        return Ok(());
    }
    let added: Vec<(AccountId, &Entry)> = entries.iter().map(|(account, entry)| (*account, entry)).collect();
    ledger::add_entries(batch, &added).await?;
    let ids = accounts::ids(entries.iter().map(|(account, _)| *account));
    let changed: Vec<&Account> = ids.iter().filter_map(|id| held.get(&AccountId(*id))).collect();
    accounts::write(batch, &changed).await?;
    counts.write(batch).await
}
