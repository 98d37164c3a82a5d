//! Erasing to whom the gifts of orders went.

use giftd_domain::Timestamp;
use giftd_domain::gifts::events::EventType;
use giftd_domain::ids::{AccountId, OrderId};
use giftd_domain::limits;
use giftd_domain::orders::erase::Retention;
use uuid::Uuid;

use super::accounts;
use super::batch::{Batch, parameters};
use super::error::Failure;
use super::operation::Connection;
use super::rows::{Columns as _, micros, name, signed, uuid};
use crate::Erased;

/// An order whose time is over.
struct Over {
    account_id: AccountId,
    order: OrderId,
    recipients: u32,
}

/// Orders, column by column.
#[derive(Default)]
struct Orders {
    accounts: Vec<i64>,
    orders: Vec<Uuid>,
    at: Vec<i64>,
    names: Vec<String>,
}

/// Erases some orders, and says whether there may be more. Inside a transaction.
pub(super) async fn erase_recipients(
    connection: &Connection,
    retention: Retention,
    now: Timestamp,
) -> Result<Erased, Failure> {
    let over = over(connection, retention, now).await?;
    if over.is_empty() {
        return Ok(Erased::default());
    }
    let mut more = over.len() >= limits::ERASE_ORDERS;
    let mut gifts = 0_usize;
    let mut group: Vec<Over> = Vec::with_capacity(over.len());
    for order in over {
        gifts = gifts.saturating_add(usize::try_from(order.recipients).unwrap_or(usize::MAX));
        if !group.is_empty() && gifts > limits::GROUP_GIFTS {
            more = true;
            break;
        }
        group.push(order);
    }
    let held = accounts::hold(connection, &accounts::ids(group.iter().map(|order| order.account_id))).await?;
    let mut wanted = Orders::default();
    for Over { account_id, order, .. } in group {
        // Its clock moves only ahead: what was over stays over. But whoever moves it works for it alone.
        if let Some(account) = held.get(&account_id).filter(|account| account.clock.moving.is_none()) {
            wanted.accounts.push(account_id.0);
            wanted.orders.push(uuid(order.time));
            wanted.at.push(micros(account.clock.time(now)));
            wanted.names.push(order.to_string());
        }
    }
    let erased = mark(connection, wanted).await?;
    let orders = u64::try_from(erased.orders.len()).unwrap_or(u64::MAX);
    Ok(Erased { orders, recipients: erase(connection, erased).await?, more })
}

/// Finds each account's by the index, which needs all its columns: an account's clock says what is over in it, so no
/// instant is that of all. Without a lock, so others may erase some of them first.
async fn over(connection: &Connection, retention: Retention, now: Timestamp) -> Result<Vec<Over>, Failure> {
    let look = connection
        .prepare_cached(
            "SELECT o.account_id, o.order_id, k.order_type, o.recipient_count
             FROM accounts a,
                unnest($1::TEXT[], $2::BOOLEAN[], $3::BIGINT[]) AS e (status, refund_option, until),
                LATERAL (SELECT account_id, order_id, kind_id, recipient_count FROM orders
                    WHERE account_id = a.account_id AND status = e.status AND refund_option = e.refund_option
                        AND COALESCE(completed_at, canceled_at) <= e.until + a.clock_ahead
                        AND erased_at IS NULL AND COALESCE(completed_at, canceled_at) IS NOT NULL
                    ORDER BY COALESCE(completed_at, canceled_at) LIMIT $4) o,
                LATERAL (SELECT order_type FROM order_kinds
                    WHERE account_id = o.account_id AND kind_id = o.kind_id LIMIT 1) k
             WHERE a.clock_at IS NULL LIMIT $4",
        )
        .await?;
    let ends = retention.ends(now);
    let statuses = ends.map(|end| name(end.status));
    let refunds = ends.map(|end| end.refund_option);
    let until = ends.map(|end| micros(end.until));
    let rows = connection
        .query(&look, &[&statuses.as_slice(), &refunds.as_slice(), &until.as_slice(), &signed(limits::ERASE_ORDERS)?])
        .await?;
    let over = |row: &tokio_postgres::Row| {
        Ok(Over {
            account_id: AccountId(row.value("account_id")?),
            order: OrderId { order_type: row.named("order_type")?, time: row.id("order_id")? },
            recipients: row.count("recipient_count")?,
        })
    };
    rows.iter().map(over).collect()
}

/// Takes the orders on, now that their accounts are held, and erases the words of those of one recipient: those that
/// nobody erased before.
async fn mark(connection: &Connection, wanted: Orders) -> Result<Orders, Failure> {
    let mark = connection
        .prepare_cached(
            "UPDATE orders o
             SET erased_at = w.at, subject = CASE recipient_count WHEN 1 THEN '' ELSE subject END,
                message = CASE recipient_count WHEN 1 THEN NULL ELSE message END
             FROM unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[], $4::TEXT[]) AS w (account_id, order_id, at, name)
             WHERE o.account_id = w.account_id AND o.order_id = w.order_id AND o.erased_at IS NULL
             RETURNING o.account_id, o.order_id, o.erased_at, w.name",
        )
        .await?;
    let Orders { accounts, orders, at, names } = &wanted;
    let mut marked = Orders::default();
    for row in &connection.query(&mark, &[accounts, orders, at, names]).await? {
        marked.accounts.push(row.value("account_id")?);
        marked.orders.push(row.value("order_id")?);
        marked.at.push(row.value("erased_at")?);
        marked.names.push(row.value("name")?);
    }
    Ok(marked)
}

/// Erases what is known of the recipients of these orders: how many.
async fn erase(connection: &Connection, Orders { accounts, orders, names, .. }: Orders) -> Result<u64, Failure> {
    let gifts = connection
        .prepare_cached(
            "UPDATE gifts g
             SET email = NULL, first_name = NULL, last_name = NULL, company = NULL, department = NULL,
                delivery_error = NULL
             FROM unnest($1::BIGINT[], $2::UUID[]) AS w (account_id, order_id)
             WHERE g.account_id = w.account_id AND g.order_id = w.order_id AND g.email IS NOT NULL",
        )
        .await?;
    let recipients = connection.execute(&gifts, &[&accounts, &orders]).await?;
    let mut batch = Batch::new(connection);
    batch
        .add(
            "UPDATE gift_events v SET detail = NULL
             FROM unnest($1::BIGINT[], $2::UUID[]) AS w (account_id, order_id)
             WHERE v.account_id = w.account_id AND v.order_id = w.order_id AND v.type = ANY ($3)",
            parameters![accounts.clone(), orders.clone(), EventType::NAMING.map(name).to_vec()],
        )
        .await?;
    for sql in [
        "UPDATE resends r SET from_email = '', to_email = CASE WHEN r.to_email IS NULL THEN NULL ELSE '' END
         FROM unnest($1::BIGINT[], $2::UUID[]) AS w (account_id, order_id)
         WHERE r.account_id = w.account_id AND r.order_id = w.order_id",
        "DELETE FROM verifications v USING unnest($1::BIGINT[], $2::UUID[]) AS w (account_id, order_id)
         WHERE v.account_id = w.account_id AND v.order_id = w.order_id",
        "DELETE FROM mails m USING unnest($1::BIGINT[], $2::UUID[]) AS w (account_id, order_id)
         WHERE m.account_id = w.account_id AND m.order_id = w.order_id",
    ] {
        batch.add(sql, parameters![accounts.clone(), orders.clone()]).await?;
    }
    batch
        .add(
            "DELETE FROM sandbox_mails m USING unnest($1::BIGINT[], $2::TEXT[]) AS w (account_id, order_id)
             WHERE m.account_id = w.account_id AND m.order_id = w.order_id",
            parameters![accounts, names],
        )
        .await?;
    batch.send().await?;
    Ok(recipients)
}
