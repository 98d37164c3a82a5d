//! Settling what became of claimed deliveries.

use std::collections::BTreeMap;

use giftd_domain::Timestamp;
use giftd_domain::gifts::{DeliveryOutcome, DeliveryStatus, Settlement, expires_at};
use giftd_domain::ids::{AccountId, OrderId};
use giftd_domain::orders::OrderStatus;
use rusqlite::params;

use super::error::broken;
use super::group::Group;
use super::rows::{Column, Named};
use crate::{SettleDelivery, Settled, StoreError};

/// Gifts of one order that this settlement sent or failed for the first time.
#[derive(Default)]
struct Closed {
    gifts: i64,
    cents: i64,
}

/// Settles each outcome whose claim is still the latest, then the orders that they belong to.
pub(super) fn settle_deliveries(
    group: &mut Group<'_>,
    settlements: Vec<SettleDelivery>,
    now: Timestamp,
    entropy: u128,
) -> Result<Settled, StoreError> {
    let mut settled = Settled::default();
    let mut closed: BTreeMap<(AccountId, OrderId), Closed> = BTreeMap::new();
    for SettleDelivery { settlement, retry_at } in settlements {
        let is_retry = matches!(settlement.outcome, DeliveryOutcome::Retry { .. });
        if !release(group, &settlement, is_retry.then_some(retry_at))? {
            settled.dropped += 1;
            continue;
        }
        settled.settled += 1;
        let (before, cost) = record(group, &settlement)?;
        if !is_retry && before == DeliveryStatus::Pending {
            let order = closed.entry((settlement.account_id, settlement.gift.order)).or_default();
            order.gifts += 1;
            order.cents += cost;
        }
    }
    for ((account, order), closed) in closed {
        if close_gifts(group, account, order, &closed, now, entropy)? {
            settled.completed_orders += 1;
        }
    }
    Ok(settled)
}

/// Ends the claim: the delivery is gone, or due again. `false` where the claim isn't the latest.
fn release(group: &Group<'_>, settlement: &Settlement, retry_at: Option<Timestamp>) -> Result<bool, StoreError> {
    let (account, gift, claim) = (settlement.account_id.0, settlement.gift, settlement.claim);
    let order = Column(gift.order.time);
    let released = match retry_at {
        Some(retry_at) => group
            .connection()
            .prepare_cached(
                "UPDATE mails SET run_at = ?5, claim = claim + 1
                 WHERE account_id = ?1 AND order_id = ?2 AND position = ?3 AND claim = ?4",
            )?
            .execute(params![account, order, gift.position, claim, Column(retry_at)])?,
        None => group
            .connection()
            .prepare_cached(
                "DELETE FROM mails WHERE account_id = ?1 AND order_id = ?2 AND position = ?3 AND claim = ?4",
            )?
            .execute(params![account, order, gift.position, claim])?,
    };
    Ok(released == 1)
}

/// Writes the outcome into the gift; tells its delivery status before, and its cost in cents.
fn record(group: &Group<'_>, settlement: &Settlement) -> Result<(DeliveryStatus, i64), StoreError> {
    let (account, gift) = (settlement.account_id.0, settlement.gift);
    let key = params![account, Column(gift.order.time), gift.position];
    let (before, cost, refund_option) = group
        .connection()
        .prepare_cached(
            "SELECT g.delivery_status, g.cost, o.refund_option FROM gifts g JOIN orders o USING (account_id, order_id)
             WHERE g.account_id = ?1 AND g.order_id = ?2 AND g.position = ?3",
        )?
        .query_row(key, |row| Ok((row.get::<_, Named<DeliveryStatus>>(0)?.0, row.get(1)?, row.get(2)?)))?;
    let (status, sent_at, expires, error) = match &settlement.outcome {
        DeliveryOutcome::Sent { at } => {
            (DeliveryStatus::Sent, Some(Column(*at)), Some(Column(expires_at(*at, refund_option))), None)
        }
        DeliveryOutcome::Failed { error, .. } => (DeliveryStatus::Failed, None, None, Some(error)),
        DeliveryOutcome::Retry { error, .. } => (before, None, None, Some(error)),
    };
    group
        .connection()
        .prepare_cached(
            "UPDATE gifts SET delivery_status = ?4, delivery_attempts = delivery_attempts + 1, delivery_error = ?5,
                sent_at = COALESCE(sent_at, ?6), expires_at = COALESCE(expires_at, ?7)
             WHERE account_id = ?1 AND order_id = ?2 AND position = ?3",
        )?
        .execute(params![
            account,
            Column(gift.order.time),
            gift.position,
            super::rows::name(status),
            error,
            sent_at,
            expires
        ])?;
    Ok((before, cost))
}

/// Posts the closed gifts of an order as issued; `true` where they were the last open ones, so that the
/// order is complete now.
fn close_gifts(
    group: &mut Group<'_>,
    account_id: AccountId,
    order: OrderId,
    closed: &Closed,
    now: Timestamp,
    entropy: u128,
) -> Result<bool, StoreError> {
    let mut account = group.account(account_id)?.ok_or_else(|| broken(format!("no account {account_id}")))?;
    let entry = account
        .issue(closed.cents, &order.to_string(), now, entropy)
        .map_err(|error| broken(format!("issuing {} cents of {order}: {error}", closed.cents)))?;
    group.post(account_id, &entry)?;
    group.set_account(account);
    let (open, kind, status, refund_option) = group
        .connection()
        .prepare_cached(
            "UPDATE orders SET open_gifts = open_gifts - ?3 WHERE account_id = ?1 AND order_id = ?2
             RETURNING open_gifts, kind_id, status, refund_option",
        )?
        .query_row(params![account_id.0, Column(order.time), closed.gifts], |row| {
            Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get::<_, Named<OrderStatus>>(2)?.0, row.get(3)?))
        })?;
    if open > 0 {
        return Ok(false);
    }
    group
        .connection()
        .prepare_cached(
            "UPDATE orders SET status = 'COMPLETE', completed_at = ?3 WHERE account_id = ?1 AND order_id = ?2",
        )?
        .execute(params![account_id.0, Column(order.time), Column(now)])?;
    group
        .connection()
        .prepare_cached(
            "UPDATE gifts SET expires_at = ?3
             WHERE account_id = ?1 AND order_id = ?2 AND delivery_status = 'FAILED' AND expires_at IS NULL",
        )?
        .execute(params![account_id.0, Column(order.time), Column(expires_at(now, refund_option))])?;
    group.count_order(account_id, order.time, kind, Some(status), OrderStatus::Complete);
    Ok(true)
}
