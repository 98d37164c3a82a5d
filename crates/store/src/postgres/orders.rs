//! Reading orders.

use giftd_domain::gifts::{Gift, Recipient};
use giftd_domain::ids::{AccountId, OrderId, TemplateId};
use giftd_domain::money::Money;
use giftd_domain::orders::place::{Fingerprint, KnownKey};
use giftd_domain::orders::{EmailSetting, Order, OrderSummary};
use giftd_domain::schedule::{Schedule, SendTiming};
use tokio_postgres::Row;

use super::error::{Failure, broken};
use super::operation::Connection;
use super::rows::{Columns as _, Parameters, storable, uuid};

/// The columns that [`summary`] reads, of `orders o` joined with `order_kinds k`.
pub(super) const SUMMARY: &str =
    "k.order_type, o.order_id, k.card_type, o.status, o.product_id, k.card_name, k.creator,
    o.scheduled_at, o.timezone, o.send_at, o.sender_name, o.subject, o.message, o.template_id, o.refund_option,
    o.recipient_count, o.currency, o.total_amount, o.total_cost, o.fx_rate, o.completed_at, o.canceled_at";

/// An order of an account.
pub(super) async fn order(connection: &Connection, account: AccountId, id: OrderId) -> Result<Option<Order>, Failure> {
    let order = connection
        .prepare_cached(&format!(
            "SELECT {SUMMARY} FROM orders o JOIN order_kinds k USING (account_id, kind_id)
             WHERE o.account_id = $1 AND o.order_id = $2"
        ))
        .await?;
    let gifts = connection
        .prepare_cached(
            "SELECT position, email, first_name, last_name, company, department, amount, cost, delivery_status,
                delivery_attempts, delivery_error, sent_at, redemption_status, redeemed_at, expires_at, refunded,
                redeemed, reserved, voided, link_version
             FROM gifts WHERE account_id = $1 AND order_id = $2 ORDER BY position",
        )
        .await?;
    let time = uuid(id.time);
    let key: Parameters<'_> = vec![&account.0, &time];
    let (found, gifts) = tokio::join!(biased; connection.query_opt(&order, &key), connection.query(&gifts, &key));
    let Some(row) = found? else { return Ok(None) };
    let summary = summary(&row)?;
    if summary.order_id != id {
        return Ok(None);
    }
    Ok(Some(Order { summary, gifts: gifts?.iter().map(gift).collect::<Result<_, _>>()? }))
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

fn gift(row: &Row) -> Result<Gift, Failure> {
    Ok(Gift {
        position: row.count("position")?,
        recipient: recipient(row)?,
        amount: row.value("amount")?,
        cost: row.value("cost")?,
        delivery_status: row.named("delivery_status")?,
        delivery_attempts: row.count("delivery_attempts")?,
        delivery_error: row.value("delivery_error")?,
        sent_at: row.optional_instant("sent_at")?,
        redemption_status: row.named("redemption_status")?,
        redeemed_at: row.optional_instant("redeemed_at")?,
        expires_at: row.optional_instant("expires_at")?,
        redeemed: row.value("redeemed")?,
        reserved: row.value("reserved")?,
        voided: row.value("voided")?,
        refunded: row.value("refunded")?,
        link_version: row.count("link_version")?,
    })
}

/// The columns of a gift that say to whom it goes.
pub(super) fn recipient(row: &Row) -> Result<Recipient, Failure> {
    Ok(Recipient {
        email: row.value("email")?,
        first_name: row.value("first_name")?,
        last_name: row.value("last_name")?,
        company: row.value("company")?,
        department: row.value("department")?,
    })
}
