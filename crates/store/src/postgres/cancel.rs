//! Canceling an order.

use giftd_domain::Timestamp;
use giftd_domain::gifts::{DeliveryStatus, RedemptionStatus};
use giftd_domain::ids::{AccountId, OrderId};
use giftd_domain::limits;
use giftd_domain::orders::OrderStatus;
use giftd_domain::orders::cancel::CancelDecision;

use super::accounts;
use super::batch::{Batch, parameters};
use super::counts::Counts;
use super::error::{Failure, broken};
use super::operation::Connection;
use super::rows::{micros, name, uuid};
use super::{ledger, orders};
use crate::Cancellation;

/// Takes a scheduled order back, where it isn't too late. Inside a transaction.
pub(super) async fn cancel_order(
    connection: &Connection,
    account_id: AccountId,
    order_id: OrderId,
    now: Timestamp,
    entropy: u128,
) -> Result<Cancellation, Failure> {
    let mut held = accounts::hold(connection, &[account_id.0]).await?;
    let Some(account) = held.get_mut(&account_id) else { return Ok(Cancellation::Unknown) };
    let Some((summary, kind)) = orders::hold(connection, account_id, order_id).await? else {
        return Ok(Cancellation::Unknown);
    };
    let at = account.clock.time(now);
    match summary.cancel(at) {
        CancelDecision::Refuse(why) => return Ok(Cancellation::Refused(why)),
        CancelDecision::Already => return Ok(Cancellation::Already),
        CancelDecision::Cancel => {}
    }
    let entry = account
        .cancel(summary.total_cost, &order_id.to_string(), at, entropy)
        .map_err(|error| broken(format!("returning {} cents of {order_id}: {error}", summary.total_cost)))?;
    let mut counts = Counts::default();
    counts.order(account_id, order_id.time, kind, Some(summary.status), OrderStatus::Canceled);
    counts.entry(account_id, &entry);
    let time = uuid(order_id.time);
    let mut batch = Batch::new(connection);
    batch
        .add(
            "UPDATE orders SET status = $3, canceled_at = $4, open_gifts = 0 WHERE account_id = $1 AND order_id = $2",
            parameters![account_id.0, time, name(OrderStatus::Canceled), micros(at)],
        )
        .await?;
    batch
        .add(
            "UPDATE gifts SET delivery_status = $3, redemption_status = $4, wake_at = NULL
             WHERE account_id = $1 AND order_id = $2",
            parameters![account_id.0, time, name(DeliveryStatus::Canceled), name(RedemptionStatus::Canceled)],
        )
        .await?;
    batch.add("DELETE FROM mails WHERE account_id = $1 AND order_id = $2", parameters![account_id.0, time]).await?;
    ledger::add_entries(&mut batch, &[(account_id, &entry)]).await?;
    accounts::write(&mut batch, &held.values().collect::<Vec<_>>()).await?;
    counts.write(&mut batch).await?;
    batch.send().await?;
    let order = orders::order_start(connection, account_id, order_id, limits::RECIPIENTS).await?;
    order.map(Box::new).map(Cancellation::Canceled).ok_or_else(|| broken(format!("{order_id} is gone")).into())
}
