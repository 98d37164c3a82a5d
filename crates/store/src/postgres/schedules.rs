//! Scheduled orders that wait.

use giftd_domain::Timestamp;
use giftd_domain::ids::{AccountId, OrderId};
use giftd_domain::orders::OrderStatus;
use giftd_domain::schedule::SendTiming;

use super::accounts;
use super::batch::{Batch, parameters};
use super::error::Failure;
use super::operation::Connection;
use super::orders::{self, SUMMARY, summary};
use super::rows::{Columns as _, micros, uuid};
use crate::WaitingSchedule;

/// Those of all accounts, by the instant they go out.
pub(super) async fn waiting_schedules(connection: &Connection) -> Result<Vec<WaitingSchedule>, Failure> {
    // Each account's by the index of the orders that aren't done: few beside those that are.
    let statement = connection
        .prepare_cached(&format!(
            "SELECT {SUMMARY}, o.account_id
             FROM accounts a,
                LATERAL (SELECT * FROM orders
                    WHERE account_id = a.account_id AND status = 'PENDING' AND status <> 'COMPLETE'
                        AND scheduled_at IS NOT NULL OFFSET 0) o,
                LATERAL (SELECT * FROM order_kinds WHERE account_id = a.account_id AND kind_id = o.kind_id LIMIT 1) k
             ORDER BY o.send_at, o.account_id, o.order_id"
        ))
        .await?;
    let mut waiting = Vec::new();
    for row in &connection.query(&statement, &[]).await? {
        let order = summary(row)?;
        if let SendTiming::Scheduled(schedule) = order.timing {
            let account_id = AccountId(row.value("account_id")?);
            waiting.push(WaitingSchedule { account_id, order_id: order.order_id, schedule });
        }
    }
    Ok(waiting)
}

/// Moves a waiting order's instant, with its mails. Inside a transaction.
pub(super) async fn move_schedule(
    connection: &Connection,
    account_id: AccountId,
    id: OrderId,
    from: Timestamp,
    to: Timestamp,
) -> Result<bool, Failure> {
    let held = accounts::hold(connection, &[account_id.0]).await?;
    let Some(account) = held.get(&account_id) else { return Ok(false) };
    let waits = orders::hold(connection, account_id, id).await?.is_some_and(|(order, _)| {
        order.status == OrderStatus::Pending
            && matches!(order.timing, SendTiming::Scheduled(schedule) if micros(schedule.send_at) == micros(from))
    });
    if !waits {
        return Ok(false);
    }
    let run_at = micros(account.clock.node_time(to));
    let mut batch = Batch::new(connection);
    batch
        .add(
            "UPDATE orders SET send_at = $3 WHERE account_id = $1 AND order_id = $2",
            parameters![account_id.0, uuid(id.time), micros(to)],
        )
        .await?;
    batch
        .add(
            "UPDATE mails SET run_at = $3, due_at = $3 WHERE account_id = $1 AND order_id = $2",
            parameters![account_id.0, uuid(id.time), run_at],
        )
        .await?;
    batch.send().await?;
    Ok(true)
}
