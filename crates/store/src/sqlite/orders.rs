//! Reading orders.

use giftd_domain::gifts::{Gift, Recipient};
use giftd_domain::ids::{AccountId, GiftKey, OrderId, TemplateId, TimeId};
use giftd_domain::money::{Currency, Money};
use giftd_domain::orders::place::KnownKey;
use giftd_domain::orders::{EmailSetting, Order, OrderSummary};
use giftd_domain::schedule::{Schedule, SendTiming};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::rows::{Column, Named};
use crate::StoreError;

/// The columns that [`summary`] reads, of `orders o` joined with `order_kinds k`.
pub(super) const SUMMARY: &str =
    "k.order_type, o.order_id, k.card_type, o.status, o.product_id, k.card_name, k.creator,
    o.scheduled_at, o.timezone, o.send_at, o.sender_name, o.subject, o.message, o.template_id, o.refund_option,
    o.recipient_count, o.currency, o.total_amount, o.total_cost, o.fx_rate, o.completed_at, o.canceled_at";

/// The columns that [`gift`] reads, of `gifts g`.
pub(super) const GIFT: &str =
    "g.position, g.email, g.first_name, g.last_name, g.company, g.department, g.amount, g.cost,
    g.delivery_status, g.delivery_attempts, g.delivery_error, g.sent_at, g.redemption_status, g.redeemed_at,
    g.expires_at, g.refunded, g.redeemed, g.reserved, g.voided, g.link_version";

/// How many columns [`GIFT`] has.
pub(super) const GIFT_COLUMNS: usize = 20;

/// An order of an account, without its gifts.
pub(super) fn order_summary(
    connection: &Connection,
    account: AccountId,
    time: TimeId,
) -> Result<Option<OrderSummary>, StoreError> {
    let found = connection
        .prepare_cached(&format!(
            "SELECT {SUMMARY} FROM orders o JOIN order_kinds k USING (account_id, kind_id)
             WHERE o.account_id = ?1 AND o.order_id = ?2"
        ))?
        .query_row(params![account.0, Column(time)], summary)
        .optional()?;
    Ok(found)
}

/// An order of an account, with up to `most` of its gifts.
pub(super) fn order_start(
    connection: &Connection,
    account: AccountId,
    id: OrderId,
    most: usize,
) -> Result<Option<Order>, StoreError> {
    let Some(summary) = summary_of(connection, account, id)? else { return Ok(None) };
    let gifts = connection
        .prepare_cached(&format!(
            "SELECT {GIFT} FROM gifts g WHERE account_id = ?1 AND order_id = ?2 ORDER BY position LIMIT ?3"
        ))?
        .query_map(params![account.0, Column(id.time), i64::try_from(most).unwrap_or(i64::MAX)], gift)?
        .collect::<Result<_, _>>()?;
    Ok(Some(Order { summary, gifts }))
}

/// An order of an account by its whole id, without its gifts.
pub(super) fn summary_of(
    connection: &Connection,
    account: AccountId,
    id: OrderId,
) -> Result<Option<OrderSummary>, StoreError> {
    Ok(order_summary(connection, account, id.time)?.filter(|found| found.order_id == id))
}

/// One gift, and the order that it belongs to.
pub(super) fn gift_and_order(
    connection: &Connection,
    key: GiftKey,
) -> Result<Option<(Gift, OrderSummary)>, StoreError> {
    let found = connection
        .prepare_cached(&format!(
            "SELECT {GIFT} FROM gifts g WHERE account_id = ?1 AND order_id = ?2 AND position = ?3"
        ))?
        .query_row(params![key.account_id.0, Column(key.order), key.position], gift)
        .optional()?;
    let Some(gift) = found else { return Ok(None) };
    Ok(order_summary(connection, key.account_id, key.order)?.map(|order| (gift, order)))
}

/// The account of an order, whoever's it is.
pub(super) fn account_of_order(connection: &Connection, id: OrderId) -> Result<Option<AccountId>, StoreError> {
    let accounts: Vec<i64> = connection
        .prepare_cached("SELECT account_id FROM accounts ORDER BY account_id")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    // Every index starts with the account: one look-up for each is cheaper than an index of its own.
    for account in accounts.into_iter().map(AccountId) {
        if order_summary(connection, account, id.time)?.is_some_and(|found| found.order_id == id) {
            return Ok(Some(account));
        }
    }
    Ok(None)
}

/// The order that has an idempotency key.
pub(super) fn order_by_key(
    connection: &Connection,
    account: AccountId,
    key: &str,
) -> Result<Option<KnownKey>, StoreError> {
    let found = connection
        .prepare_cached(
            "SELECT k.order_type, o.order_id, o.fingerprint
             FROM orders o JOIN order_kinds k USING (account_id, kind_id)
             WHERE o.account_id = ?1 AND o.idempotency_key = ?2",
        )?
        .query_row(params![account.0, key], |row| {
            let time = row.get::<_, Column<TimeId>>(1)?.0;
            let order_id = OrderId { order_type: row.get::<_, Named<_>>(0)?.0, time };
            Ok(KnownKey { order_id, fingerprint: row.get(2)? })
        })
        .optional()?;
    Ok(found)
}

/// A row of [`SUMMARY`].
pub(super) fn summary(row: &Row<'_>) -> rusqlite::Result<OrderSummary> {
    let local = row.get::<_, Option<Named<_>>>(7)?.map(|named| named.0);
    let timing = match (local, row.get(8)?) {
        (Some(local), Some(timezone)) => {
            SendTiming::Scheduled(Schedule { local, timezone, send_at: row.get::<_, Column<_>>(9)?.0 })
        }
        _ => SendTiming::Immediate,
    };
    let fx_rate: Option<String> = row.get(19)?;
    let fx_rate = fx_rate
        .map(|rate| giftd_domain::fx::Rate::parse(&rate))
        .transpose()
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(19, rusqlite::types::Type::Text, Box::new(error)))?;
    Ok(OrderSummary {
        order_id: OrderId { order_type: row.get::<_, Named<_>>(0)?.0, time: row.get::<_, Column<_>>(1)?.0 },
        card_type: row.get::<_, Named<_>>(2)?.0,
        status: row.get::<_, Named<_>>(3)?.0,
        product_id: row.get(4)?,
        card_name: row.get(5)?,
        creator: row.get(6)?,
        timing,
        email_setting: EmailSetting {
            sender_name: row.get(10)?,
            subject: row.get(11)?,
            message: row.get(12)?,
            template_id: TemplateId(row.get(13)?),
        },
        refund_option: row.get(14)?,
        recipient_count: row.get(15)?,
        total_amount: Money::new(row.get(17)?, row.get::<_, Column<Currency>>(16)?.0),
        total_cost: row.get(18)?,
        fx_rate,
        completed_at: row.get::<_, Option<Column<_>>>(20)?.map(|at| at.0),
        canceled_at: row.get::<_, Option<Column<_>>>(21)?.map(|at| at.0),
    })
}

/// A row of [`GIFT`].
pub(super) fn gift(row: &Row<'_>) -> rusqlite::Result<Gift> {
    Ok(Gift {
        position: row.get(0)?,
        recipient: Recipient {
            email: row.get(1)?,
            first_name: row.get(2)?,
            last_name: row.get(3)?,
            company: row.get(4)?,
            department: row.get(5)?,
        },
        amount: row.get(6)?,
        cost: row.get(7)?,
        delivery_status: row.get::<_, Named<_>>(8)?.0,
        delivery_attempts: row.get(9)?,
        delivery_error: row.get(10)?,
        sent_at: row.get::<_, Option<Column<_>>>(11)?.map(|at| at.0),
        redemption_status: row.get::<_, Named<_>>(12)?.0,
        redeemed_at: row.get::<_, Option<Column<_>>>(13)?.map(|at| at.0),
        expires_at: row.get::<_, Option<Column<_>>>(14)?.map(|at| at.0),
        redeemed: row.get(16)?,
        reserved: row.get(17)?,
        voided: row.get(18)?,
        refunded: row.get(15)?,
        link_version: row.get(19)?,
    })
}
