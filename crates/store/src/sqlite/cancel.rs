//! Canceling an order.

use giftd_domain::Timestamp;
use giftd_domain::ids::{AccountId, OrderId};
use giftd_domain::limits;
use giftd_domain::orders::OrderStatus;
use giftd_domain::orders::cancel::CancelDecision;
use rusqlite::params;

use super::error::broken;
use super::group::Group;
use super::orders::{order_start, summary_of};
use super::rows::Column;
use crate::{Cancellation, StoreError};

/// Takes back all of a scheduled order, or nothing.
pub(super) fn cancel_order(
    group: &mut Group<'_>,
    account_id: AccountId,
    id: OrderId,
    now: Timestamp,
    entropy: u128,
) -> Result<Cancellation, StoreError> {
    let Some(summary) = summary_of(group.connection(), account_id, id)? else { return Ok(Cancellation::Unknown) };
    let mut account = group.existing_account(account_id)?;
    let at = account.clock.time(now);
    match summary.cancel(at) {
        CancelDecision::Refuse(why) => return Ok(Cancellation::Refused(why)),
        CancelDecision::Already => return Ok(Cancellation::Already),
        CancelDecision::Cancel => {}
    }
    let entry = account
        .cancel(summary.total_cost, &id.to_string(), at, entropy)
        .map_err(|error| broken(format!("canceling {id}: {error}")))?;
    group.post(account_id, &entry)?;
    group.set_account(account);
    cancel_rows(group, account_id, id, at)?;
    let order = order_start(group.connection(), account_id, id, limits::RECIPIENTS)?;
    order.map(Box::new).map(Cancellation::Canceled).ok_or_else(|| broken(format!("{id} is gone")))
}

fn cancel_rows(group: &mut Group<'_>, account: AccountId, id: OrderId, at: Timestamp) -> Result<(), StoreError> {
    let connection = group.connection();
    let kind = connection
        .prepare_cached(
            "UPDATE orders SET status = 'CANCELED', canceled_at = ?3, open_gifts = 0
             WHERE account_id = ?1 AND order_id = ?2 RETURNING kind_id",
        )?
        .query_row(params![account.0, Column(id.time), Column(at)], |row| row.get(0))?;
    connection
        .prepare_cached(
            "UPDATE gifts SET delivery_status = 'CANCELED', redemption_status = 'CANCELED', wake_at = NULL
             WHERE account_id = ?1 AND order_id = ?2",
        )?
        .execute(params![account.0, Column(id.time)])?;
    connection
        .prepare_cached("DELETE FROM mails WHERE account_id = ?1 AND order_id = ?2")?
        .execute(params![account.0, Column(id.time)])?;
    group.count_order(account, id.time, kind, Some(OrderStatus::Pending), OrderStatus::Canceled);
    Ok(())
}
