//! Reading orders.

use giftd_domain::ids::{AccountId, OrderId, TemplateId};
use giftd_domain::money::Money;
use giftd_domain::orders::place::{Fingerprint, KnownKey};
use giftd_domain::orders::{EmailSetting, Order, OrderSummary};
use giftd_domain::schedule::{Schedule, SendTiming};
use tokio_postgres::{Row, Statement};

use super::error::{Failure, broken};
use super::gifts;
use super::operation::Connection;
use super::rows::{Columns as _, Parameters, storable, uuid};

/// The columns that [`summary`] reads, of `orders o` joined with `order_kinds k`.
pub(super) const SUMMARY: &str =
    "k.order_type, o.order_id, k.card_type, o.status, o.product_id, k.card_name, k.creator,
    o.scheduled_at, o.timezone, o.send_at, o.sender_name, o.subject, o.message, o.template_id, o.refund_option,
    o.recipient_count, o.currency, o.total_amount, o.total_cost, o.fx_rate, o.completed_at, o.canceled_at";

/// An order of an account, with up to `most` of its gifts.
pub(super) async fn order_start(
    connection: &Connection,
    account: AccountId,
    id: OrderId,
    most: usize,
) -> Result<Option<Order>, Failure> {
    let order = prepare_summary(connection).await?;
    let of_order = connection
        .prepare_cached(&format!(
            "SELECT {} FROM gifts WHERE account_id = $1 AND order_id = $2 ORDER BY position LIMIT $3",
            gifts::COLUMNS
        ))
        .await?;
    let (time, most) = (uuid(id.time), i64::try_from(most).unwrap_or(i64::MAX));
    let (key, start): (Parameters<'_>, Parameters<'_>) = (vec![&account.0, &time], vec![&account.0, &time, &most]);
    let (found, rows) = tokio::join!(biased; connection.query_opt(&order, &key), connection.query(&of_order, &start));
    let Some(row) = found? else { return Ok(None) };
    let summary = summary(&row)?;
    if summary.order_id != id {
        return Ok(None);
    }
    Ok(Some(Order { summary, gifts: rows?.iter().map(gifts::gift).collect::<Result<_, _>>()? }))
}

/// An order without its gifts.
pub(super) async fn summary_of(
    connection: &Connection,
    account: AccountId,
    id: OrderId,
) -> Result<Option<OrderSummary>, Failure> {
    let statement = prepare_summary(connection).await?;
    let found = connection.query_opt(&statement, &[&account.0, &uuid(id.time)]).await?;
    let found = found.as_ref().map(summary).transpose()?;
    Ok(found.filter(|summary| summary.order_id == id))
}

async fn prepare_summary(connection: &Connection) -> Result<Statement, Failure> {
    let sql = format!(
        "SELECT {SUMMARY} FROM orders o JOIN order_kinds k USING (account_id, kind_id)
         WHERE o.account_id = $1 AND o.order_id = $2"
    );
    Ok(connection.prepare_cached(&sql).await?)
}

/// Holds an order's row until the transaction ends: the order and its kind. Inside a transaction that holds
/// its account.
pub(super) async fn hold(
    connection: &Connection,
    account: AccountId,
    id: OrderId,
) -> Result<Option<(OrderSummary, i64)>, Failure> {
    let statement = connection
        .prepare_cached(&format!(
            "SELECT {SUMMARY}, o.kind_id FROM orders o JOIN order_kinds k USING (account_id, kind_id)
             WHERE o.account_id = $1 AND o.order_id = $2 FOR NO KEY UPDATE OF o"
        ))
        .await?;
    let Some(row) = connection.query_opt(&statement, &[&account.0, &uuid(id.time)]).await? else { return Ok(None) };
    let summary = summary(&row)?;
    Ok((summary.order_id == id).then_some((summary, row.value("kind_id")?)))
}

/// The account of an order, whoever's it is.
pub(super) async fn account_of_order(connection: &Connection, id: OrderId) -> Result<Option<AccountId>, Failure> {
    // Every index starts with the account: one look-up for each is cheaper than an index of its own.
    let statement = connection
        .prepare_cached(
            "SELECT a.account_id FROM accounts a,
                LATERAL (SELECT o.kind_id FROM orders o WHERE o.account_id = a.account_id AND o.order_id = $1 LIMIT 1) o,
                LATERAL (SELECT 1 FROM order_kinds k
                    WHERE k.account_id = a.account_id AND k.kind_id = o.kind_id AND k.order_type = $2 LIMIT 1) k
             LIMIT 1",
        )
        .await?;
    let found = connection.query_opt(&statement, &[&uuid(id.time), &super::rows::name(id.order_type)]).await?;
    found.map(|row| row.value("account_id").map(AccountId)).transpose()
}

/// The order that has an idempotency key.
pub(super) async fn order_by_key(
    connection: &Connection,
    account: AccountId,
    key: &str,
) -> Result<Option<KnownKey>, Failure> {
    if !storable(key) {
        return Ok(None);
    }
    let statement = connection
        .prepare_cached(
            "SELECT k.order_type, o.order_id, o.fingerprint
             FROM orders o JOIN order_kinds k USING (account_id, kind_id)
             WHERE o.account_id = $1 AND o.idempotency_key = $2",
        )
        .await?;
    connection.query_opt(&statement, &[&account.0, &key]).await?.as_ref().map(known_key).transpose()
}

/// A row with `order_type`, `order_id` and `fingerprint`.
pub(super) fn known_key(row: &Row) -> Result<KnownKey, Failure> {
    let bytes: &[u8] = row.value("fingerprint")?;
    let fingerprint: Fingerprint = bytes.try_into().map_err(|_| broken("a fingerprint that has not 32 bytes"))?;
    Ok(KnownKey { order_id: order_id(row)?, fingerprint })
}

fn order_id(row: &Row) -> Result<OrderId, Failure> {
    Ok(OrderId { order_type: row.named("order_type")?, time: row.id("order_id")? })
}

/// A row of [`SUMMARY`].
pub(super) fn summary(row: &Row) -> Result<OrderSummary, Failure> {
    let timing = match (row.optional_named("scheduled_at")?, row.value("timezone")?) {
        (Some(local), Some(timezone)) => {
            SendTiming::Scheduled(Schedule { local, timezone, send_at: row.instant("send_at")? })
        }
        _ => SendTiming::Immediate,
    };
    let fx_rate: Option<&str> = row.value("fx_rate")?;
    let fx_rate = fx_rate
        .map(|text| giftd_domain::fx::Rate::parse(text).map_err(|error| broken(error.to_string())))
        .transpose()?;
    Ok(OrderSummary {
        order_id: order_id(row)?,
        card_type: row.named("card_type")?,
        status: row.named("status")?,
        product_id: row.value("product_id")?,
        card_name: row.value("card_name")?,
        creator: row.value("creator")?,
        timing,
        email_setting: EmailSetting {
            sender_name: row.value("sender_name")?,
            subject: row.value("subject")?,
            message: row.value("message")?,
            template_id: TemplateId(row.value("template_id")?),
        },
        refund_option: row.value("refund_option")?,
        recipient_count: row.count("recipient_count")?,
        total_amount: Money::new(row.value("total_amount")?, row.currency("currency")?),
        total_cost: row.value("total_cost")?,
        fx_rate,
        completed_at: row.optional_instant("completed_at")?,
        canceled_at: row.optional_instant("canceled_at")?,
    })
}
