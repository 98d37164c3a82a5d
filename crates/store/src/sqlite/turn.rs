//! Gifts whose next instant has come: they are reminded of, or expire.

use std::collections::{BTreeMap, HashMap};

use giftd_domain::Timestamp;
use giftd_domain::account::AccountClock;
use giftd_domain::gifts::events::NewEvent;
use giftd_domain::gifts::{Expiry, Gift, MailKind, Reminders, Turn};
use giftd_domain::ids::{AccountId, GiftKey, OrderId, TimeId};
use giftd_domain::limits;
use rusqlite::{Connection, Row, params};

use super::clock::moving_until;
use super::error::broken;
use super::events::insert;
use super::group::Group;
use super::mails::queue_mail;
use super::orders::{GIFT, GIFT_COLUMNS, gift};
use super::rows::{Column, Named, kept};
use crate::{StoreError, Turned, Work};

/// A gift whose instant has come.
struct Waking {
    account_id: AccountId,
    order: OrderId,
    refund_option: bool,
    /// By the node's clock.
    wake_at: Timestamp,
    gift: Gift,
}

/// Turns the gifts whose instant is `until` or before, oldest first.
pub(super) fn turn_gifts(
    group: &mut Group<'_>,
    work: Work,
    until: Timestamp,
    reminders: &Reminders,
    entropy: u128,
) -> Result<Turned, StoreError> {
    let until = kept(until);
    let waking = match work {
        Work::Everyone => waking_of_all(group.connection(), until)?,
        Work::Moving(account) => match moving_until(group, account, until)? {
            Some(until) => waking_of(group.connection(), account, until)?,
            None => Vec::new(),
        },
    };
    let mut turned = Turned::default();
    let mut clocks: HashMap<AccountId, AccountClock> = HashMap::new();
    // Of each account by instant and order: so their entries follow one another.
    let mut refunds: BTreeMap<(AccountId, Timestamp, OrderId), i64> = BTreeMap::new();
    for waking in waking {
        let clock = match clocks.get(&waking.account_id) {
            Some(clock) => *clock,
            None => group.existing_account(waking.account_id)?.clock,
        };
        clocks.insert(waking.account_id, clock);
        let node = if work == Work::Everyone { until } else { waking.wake_at };
        let at = clock.shown_at(node);
        let key = GiftKey { account_id: waking.account_id, order: waking.order.time, position: waking.gift.position };
        turned.gifts += 1;
        match waking.gift.turn(waking.refund_option, at, reminders) {
            Turn::Remind { number, next } => {
                queue_mail(group, key, MailKind::Reminder, number, node)?;
                set_wake_at(group, key, Some(clock.node_time(next)))?;
                turned.reminded += 1;
            }
            Turn::Wait { next } => set_wake_at(group, key, Some(clock.node_time(next)))?,
            Turn::Rest => set_wake_at(group, key, None)?,
            Turn::Expire(expiry) => {
                write_expiry(group, key, expiry, at)?;
                turned.expired += 1;
                turned.refunded += expiry.refund;
                if expiry.refund > 0 {
                    *refunds.entry((waking.account_id, at, waking.order)).or_default() += expiry.refund;
                }
            }
        }
    }
    for ((account, at, order), cents) in refunds {
        post_refund(group, account, order, cents, at, entropy)?;
    }
    Ok(turned)
}

/// The columns that [`waking`] reads.
const WAKING: &str = "g.wake_at, g.account_id, g.order_id, o.refund_option, k.order_type";
/// `CROSS`: from the few gifts to their orders, never the other way round.
const ORDER_OF_GIFT: &str = "CROSS JOIN orders o USING (account_id, order_id)
    CROSS JOIN order_kinds k ON k.account_id = o.account_id AND k.kind_id = o.kind_id";

fn waking_of_all(connection: &Connection, until: Timestamp) -> Result<Vec<Waking>, StoreError> {
    let found = connection
        .prepare_cached(&format!(
            "SELECT {GIFT}, {WAKING} FROM gifts g INDEXED BY gifts_by_wake_at {ORDER_OF_GIFT}
             WHERE g.wake_at <= ?1 AND g.account_id NOT IN (
                SELECT account_id FROM accounts INDEXED BY accounts_moving WHERE clock_at IS NOT NULL)
             ORDER BY g.wake_at LIMIT ?2"
        ))?
        .query_map(params![Column(until), limits::TURN_GIFTS], waking)?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

/// By an index of the accounts: neither what waits in all of them is read, nor the account's gifts that rest.
fn waking_of(connection: &Connection, account: AccountId, until: Timestamp) -> Result<Vec<Waking>, StoreError> {
    let found = connection
        .prepare_cached(&format!(
            "SELECT {GIFT}, {WAKING} FROM gifts g INDEXED BY gifts_by_account_wake_at {ORDER_OF_GIFT}
             WHERE g.account_id = ?1 AND g.wake_at <= ?2 ORDER BY g.wake_at LIMIT ?3"
        ))?
        .query_map(params![account.0, Column(until), limits::TURN_GIFTS], waking)?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

fn waking(row: &Row<'_>) -> rusqlite::Result<Waking> {
    let time = row.get::<_, Column<TimeId>>(GIFT_COLUMNS + 2)?.0;
    Ok(Waking {
        account_id: AccountId(row.get(GIFT_COLUMNS + 1)?),
        order: OrderId { order_type: row.get::<_, Named<_>>(GIFT_COLUMNS + 4)?.0, time },
        refund_option: row.get(GIFT_COLUMNS + 3)?,
        wake_at: row.get::<_, Column<_>>(GIFT_COLUMNS)?.0,
        gift: gift(row)?,
    })
}

fn set_wake_at(group: &Group<'_>, gift: GiftKey, wake_at: Option<Timestamp>) -> Result<(), StoreError> {
    group
        .connection()
        .prepare_cached("UPDATE gifts SET wake_at = ?4 WHERE account_id = ?1 AND order_id = ?2 AND position = ?3")?
        .execute(params![gift.account_id.0, Column(gift.order), gift.position, wake_at.map(Column)])?;
    Ok(())
}

/// Writes what a gift's expiry does to it; its refund is posted by [`post_refund`].
pub(super) fn write_expiry(group: &Group<'_>, gift: GiftKey, expiry: Expiry, at: Timestamp) -> Result<(), StoreError> {
    let refunded = (expiry.refund > 0).then(|| NewEvent::refunded(expiry.refund));
    // Its events are counted here, so that its row is written once.
    let last: u32 = group
        .connection()
        .prepare_cached(
            "UPDATE gifts SET voided = voided + ?4, refunded = ?5, redemption_status = 'EXPIRED', wake_at = NULL,
                events = events + ?6
             WHERE account_id = ?1 AND order_id = ?2 AND position = ?3 RETURNING events",
        )?
        .query_row(
            params![
                gift.account_id.0,
                Column(gift.order),
                gift.position,
                expiry.voided,
                expiry.refunded,
                1 + u32::from(refunded.is_some())
            ],
            |row| row.get(0),
        )?;
    insert(group, gift, last - u32::from(refunded.is_some()), at, &NewEvent::expired(expiry.voided))?;
    match refunded {
        Some(refunded) => insert(group, gift, last, at, &refunded),
        None => Ok(()),
    }
}

/// Returns cents of an order's expired gifts.
pub(super) fn post_refund(
    group: &mut Group<'_>,
    account_id: AccountId,
    order: OrderId,
    cents: i64,
    at: Timestamp,
    entropy: u128,
) -> Result<(), StoreError> {
    let mut account = group.existing_account(account_id)?;
    let entry = account
        .refund(cents, &order.to_string(), at, entropy)
        .map_err(|error| broken(format!("refunding {cents} cents of {order}: {error}")))?;
    group.post(account_id, &entry)?;
    group.set_account(account);
    Ok(())
}
