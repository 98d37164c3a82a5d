//! Scheduled orders that wait.

use giftd_domain::Timestamp;
use giftd_domain::ids::{AccountId, OrderId};
use giftd_domain::orders::OrderStatus;
use giftd_domain::schedule::SendTiming;
use rusqlite::{Connection, params};

use super::group::Group;
use super::orders::{SUMMARY, summary, summary_of};
use super::rows::{Column, kept};
use crate::{StoreError, WaitingSchedule};

/// Those of all accounts, by the instant they go out.
pub(super) fn waiting_schedules(connection: &Connection) -> Result<Vec<WaitingSchedule>, StoreError> {
    // Each account's by the index of the orders that aren't done: few beside those that are.
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {SUMMARY}, o.account_id
         FROM accounts a CROSS JOIN orders o INDEXED BY orders_by_open_status USING (account_id)
            CROSS JOIN order_kinds k ON k.account_id = o.account_id AND k.kind_id = o.kind_id
         WHERE o.status = 'PENDING' AND o.status <> 'COMPLETE' AND o.scheduled_at IS NOT NULL
         ORDER BY o.send_at, o.account_id, o.order_id"
    ))?;
    let mut rows = statement.query([])?;
    let mut waiting = Vec::new();
    while let Some(row) = rows.next()? {
        let order = summary(row)?;
        if let SendTiming::Scheduled(schedule) = order.timing {
            let account_id = AccountId(row.get("account_id")?);
            waiting.push(WaitingSchedule { account_id, order_id: order.order_id, schedule });
        }
    }
    Ok(waiting)
}

/// Moves a waiting order's instant, with its mails.
pub(super) fn move_schedule(
    group: &Group<'_>,
    account: AccountId,
    id: OrderId,
    from: Timestamp,
    to: Timestamp,
) -> Result<bool, StoreError> {
    let waits = summary_of(group.connection(), account, id)?.is_some_and(|order| {
        order.status == OrderStatus::Pending
            && matches!(order.timing, SendTiming::Scheduled(schedule) if schedule.send_at == kept(from))
    });
    if !waits {
        return Ok(false);
    }
    let run_at = group.existing_account(account)?.clock.node_time(to);
    group
        .connection()
        .prepare_cached("UPDATE orders SET send_at = ?3 WHERE account_id = ?1 AND order_id = ?2")?
        .execute(params![account.0, Column(id.time), Column(to)])?;
    group
        .connection()
        .prepare_cached("UPDATE mails SET run_at = ?3, due_at = ?3 WHERE account_id = ?1 AND order_id = ?2")?
        .execute(params![account.0, Column(id.time), Column(run_at)])?;
    Ok(true)
}
