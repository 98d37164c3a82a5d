//! Erasing to whom the gifts of orders went.

use giftd_domain::Timestamp;
use giftd_domain::gifts::events::EventType;
use giftd_domain::ids::{AccountId, OrderId, TimeId};
use giftd_domain::limits;
use giftd_domain::orders::erase::Retention;
use rusqlite::{Connection, ToSql, params};

use super::group::Group;
use super::rows::{Column, Named, name, signed};
use crate::{Erased, StoreError};

/// An order whose time is over.
struct Over {
    account_id: AccountId,
    order: OrderId,
    recipients: u32,
}

/// Erases some orders, and says whether there may be more.
pub(super) fn erase_recipients(group: &Group<'_>, retention: Retention, now: Timestamp) -> Result<Erased, StoreError> {
    let over = over(group.connection(), retention, now)?;
    let mut erased = Erased { more: over.len() >= limits::ERASE_ORDERS, ..Erased::default() };
    let mut gifts = 0_usize;
    for order in over {
        gifts = gifts.saturating_add(usize::try_from(order.recipients).unwrap_or(usize::MAX));
        if erased.orders > 0 && gifts > limits::GROUP_GIFTS {
            erased.more = true;
            break;
        }
        erased.orders += 1;
        erased.recipients += erase(group, &order, now)?;
    }
    Ok(erased)
}

/// Finds each account's by the index: an account's clock says what is over in it, so no instant is that of all.
const LOOK: &str = "WITH ends (status, refund_option, until) AS (VALUES
        (?1, ?2, ?3), (?4, ?5, ?6), (?7, ?8, ?9), (?10, ?11, ?12))
    SELECT o.account_id, o.order_id, k.order_type, o.recipient_count
    FROM accounts a CROSS JOIN ends e CROSS JOIN orders o INDEXED BY orders_to_erase
        CROSS JOIN order_kinds k ON k.account_id = o.account_id AND k.kind_id = o.kind_id
    WHERE a.clock_at IS NULL AND o.account_id = a.account_id AND o.status = e.status
        AND o.refund_option = e.refund_option AND COALESCE(o.completed_at, o.canceled_at) <= e.until + a.clock_ahead
        AND o.erased_at IS NULL AND COALESCE(o.completed_at, o.canceled_at) IS NOT NULL
    LIMIT ?13";

fn over(connection: &Connection, retention: Retention, now: Timestamp) -> Result<Vec<Over>, StoreError> {
    let mut statement = connection.prepare_cached(LOOK)?;
    let ends = retention.ends(now).map(|end| (name(end.status), end.refund_option, Column(end.until)));
    let limit = signed(limits::ERASE_ORDERS);
    let mut values: Vec<&dyn ToSql> = Vec::with_capacity(13);
    for (status, refund_option, until) in &ends {
        values.extend([status as &dyn ToSql, refund_option, until]);
    }
    values.push(&limit);
    let found = statement
        .query_map(values.as_slice(), |row| {
            let time = row.get::<_, Column<TimeId>>(1)?.0;
            Ok(Over {
                account_id: AccountId(row.get(0)?),
                order: OrderId { order_type: row.get::<_, Named<_>>(2)?.0, time },
                recipients: row.get(3)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

/// Erases one order: how many recipients.
fn erase(group: &Group<'_>, Over { account_id, order, .. }: &Over, now: Timestamp) -> Result<u64, StoreError> {
    let connection = group.connection();
    let at = group.existing_account(*account_id)?.clock.time(now);
    let key = params![account_id.0, Column(order.time)];
    connection
        .prepare_cached(
            "UPDATE orders SET erased_at = ?3, subject = CASE recipient_count WHEN 1 THEN '' ELSE subject END,
                message = CASE recipient_count WHEN 1 THEN NULL ELSE message END
             WHERE account_id = ?1 AND order_id = ?2",
        )?
        .execute(params![account_id.0, Column(order.time), Column(at)])?;
    let recipients = connection
        .prepare_cached(
            "UPDATE gifts SET email = NULL, first_name = NULL, last_name = NULL, company = NULL, department = NULL,
                delivery_error = NULL
             WHERE account_id = ?1 AND order_id = ?2 AND email IS NOT NULL",
        )?
        .execute(key)?;
    let mut details = connection
        .prepare_cached("UPDATE gift_events SET detail = NULL WHERE account_id = ?1 AND order_id = ?2 AND type = ?3")?;
    for event_type in EventType::NAMING {
        details.execute(params![account_id.0, Column(order.time), name(event_type)])?;
    }
    for sql in [
        "UPDATE resends SET from_email = '', to_email = CASE WHEN to_email IS NULL THEN NULL ELSE '' END
         WHERE account_id = ?1 AND order_id = ?2",
        "DELETE FROM verifications WHERE account_id = ?1 AND order_id = ?2",
        "DELETE FROM mails WHERE account_id = ?1 AND order_id = ?2",
    ] {
        connection.prepare_cached(sql)?.execute(key)?;
    }
    connection
        .prepare_cached("DELETE FROM sandbox_mails WHERE account_id = ?1 AND order_id = ?2")?
        .execute(params![account_id.0, order.to_string()])?;
    Ok(u64::try_from(recipients).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::example::database;

    #[test]
    fn what_is_over_is_found_by_the_index_alone() {
        let connection = database();
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {LOOK}")).expect("a plan");
        let plan: Vec<String> =
            statement.raw_query().mapped(|row| row.get(3)).collect::<Result<_, _>>().expect("its steps");
        let step = "SEARCH o USING INDEX orders_to_erase (account_id=? AND status=? AND refund_option=? AND <expr><?)";
        assert!(plan.iter().any(|found| found == step), "{plan:?}");
    }
}
