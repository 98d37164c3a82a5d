//! Claiming deliveries that are due.

use std::collections::{BTreeMap, HashMap};

use giftd_domain::Timestamp;
use giftd_domain::access::Environment;
use giftd_domain::account::AccountClock;
use giftd_domain::gifts::{ClaimedDelivery, MailKind};
use giftd_domain::ids::{AccountId, GiftId, OrderId, TimeId};
use giftd_domain::money::{Currency, Money};
use giftd_domain::orders::OrderStatus;
use giftd_domain::templates::TemplateContent;
use jiff::SignedDuration;
use tokio_postgres::Row;
use uuid::Uuid;

use super::accounts;
use super::batch::Batch;
use super::counts::Counts;
use super::error::{Failure, broken};
use super::operation::Connection;
use super::orders::recipient;
use super::rows::{Columns as _, Parameters, micros, name, uuid};
use crate::Backlog;

/// What the mails of one order have in common.
struct Mailing {
    order_id: OrderId,
    environment: Environment,
    currency: Currency,
    card_name: String,
    sender_name: String,
    subject: String,
    message: Option<String>,
    status: OrderStatus,
}

/// A delivery's key, column by column.
#[derive(Default)]
struct Keys {
    accounts: Vec<i64>,
    orders: Vec<Uuid>,
    positions: Vec<i64>,
}

/// Takes up to `limit` due deliveries, oldest due first, until `now` + `lease`. Inside a transaction.
pub(super) async fn claim_deliveries(
    connection: &Connection,
    now: Timestamp,
    lease: SignedDuration,
    limit: u32,
) -> Result<Vec<ClaimedDelivery>, Failure> {
    let due = take_due(connection, now, limit).await?;
    if due.positions.is_empty() {
        return Ok(Vec::new());
    }
    let lease_end = now.saturating_add(lease).unwrap_or(Timestamp::MAX);
    let (claimed, mailings) = claim(connection, &due, now, lease_end).await?;
    begin_mailings(connection, &mailings).await?;
    let mut deliveries = claimed.iter().map(|row| delivery(row, &mailings)).collect::<Result<Vec<_>, _>>()?;
    deliveries.sort_by_key(|claimed| (claimed.due_at, claimed.account_id, claimed.gift));
    Ok(deliveries)
}

/// Locks due deliveries that no other node is about to claim.
async fn take_due(connection: &Connection, now: Timestamp, limit: u32) -> Result<Keys, Failure> {
    let statement = connection
        .prepare_cached(
            "SELECT account_id, order_id, position FROM mails
             WHERE run_at <= $1 ORDER BY run_at LIMIT $2 FOR UPDATE SKIP LOCKED",
        )
        .await?;
    let mut due = Keys::default();
    for row in &connection.query(&statement, &[&micros(now), &i64::from(limit)]).await? {
        due.accounts.push(row.value("account_id")?);
        due.orders.push(row.value("order_id")?);
        due.positions.push(row.value("position")?);
    }
    Ok(due)
}

/// Raises the claims' numbers and reads all that the mails need, in one round trip.
async fn claim(
    connection: &Connection,
    due: &Keys,
    now: Timestamp,
    lease_end: Timestamp,
) -> Result<(Vec<Row>, HashMap<(AccountId, TimeId), Mailing>), Failure> {
    let raise = connection
        .prepare_cached(
            "UPDATE mails d SET run_at = $4, claim = d.claim + 1, tried_since = COALESCE(d.tried_since, $5)
             FROM unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[]) AS w (account_id, order_id, position)
             WHERE d.account_id = w.account_id AND d.order_id = w.order_id AND d.position = w.position",
        )
        .await?;
    let read = connection
        .prepare_cached(
            "SELECT w.account_id, w.order_id, w.position, d.claim, d.send_number, d.due_at, d.tried_since,
                g.email, g.first_name, g.last_name, g.company, g.department, g.amount, g.delivery_attempts, g.link_version
             FROM unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[]) AS w (account_id, order_id, position),
                LATERAL (SELECT claim, send_number, due_at, tried_since FROM mails
                    WHERE account_id = w.account_id AND order_id = w.order_id AND position = w.position LIMIT 1) d,
                LATERAL (SELECT * FROM gifts
                    WHERE account_id = w.account_id AND order_id = w.order_id AND position = w.position LIMIT 1) g",
        )
        .await?;
    let mail = connection
        .prepare_cached(
            "SELECT w.account_id, w.order_id, k.order_type, a.environment, o.currency, k.card_name, o.sender_name,
                o.subject, o.message, o.status
             FROM (SELECT DISTINCT account_id, order_id
                    FROM unnest($1::BIGINT[], $2::UUID[]) AS w (account_id, order_id)) w,
                LATERAL (SELECT * FROM orders WHERE account_id = w.account_id AND order_id = w.order_id LIMIT 1) o,
                LATERAL (SELECT * FROM order_kinds WHERE account_id = w.account_id AND kind_id = o.kind_id LIMIT 1) k,
                LATERAL (SELECT environment FROM accounts WHERE account_id = w.account_id LIMIT 1) a",
        )
        .await?;
    let Keys { accounts, orders, positions } = due;
    let (now, lease_end) = (micros(now), micros(lease_end));
    let changes: Parameters<'_> = vec![accounts, orders, positions, &lease_end, &now];
    let (raised, claimed, mailings) = tokio::join!(
        biased;
        connection.execute(&raise, &changes),
        connection.query(&read, &changes[..3]),
        connection.query(&mail, &changes[..2]),
    );
    raised?;
    Ok((claimed?, mailings?.iter().map(mailing).collect::<Result<_, _>>()?))
}

fn mailing(row: &Row) -> Result<((AccountId, TimeId), Mailing), Failure> {
    let time = row.id("order_id")?;
    let mailing = Mailing {
        order_id: OrderId { order_type: row.named("order_type")?, time },
        environment: row.named("environment")?,
        currency: row.currency("currency")?,
        card_name: row.value("card_name")?,
        sender_name: row.value("sender_name")?,
        subject: row.value("subject")?,
        message: row.value("message")?,
        status: row.named("status")?,
    };
    Ok(((AccountId(row.value("account_id")?), time), mailing))
}

/// Orders are IN_PROGRESS from their first delivery on. Accounts are held only where one may be the
/// first: nothing leads back to PENDING.
async fn begin_mailings(
    connection: &Connection,
    mailings: &HashMap<(AccountId, TimeId), Mailing>,
) -> Result<(), Failure> {
    let pending: BTreeMap<(AccountId, TimeId), &Mailing> = mailings
        .iter()
        .filter(|(_, mailing)| mailing.status == OrderStatus::Pending)
        .map(|(key, mailing)| (*key, mailing))
        .collect();
    if pending.is_empty() {
        return Ok(());
    }
    accounts::hold(connection, &accounts::ids(pending.keys().map(|(account, _)| *account))).await?;
    let begin = connection
        .prepare_cached(
            "UPDATE orders o SET status = 'IN_PROGRESS'
             FROM unnest($1::BIGINT[], $2::UUID[]) AS w (account_id, order_id)
             WHERE o.account_id = w.account_id AND o.order_id = w.order_id AND o.status = $3
             RETURNING o.account_id, o.order_id, o.kind_id",
        )
        .await?;
    let ids: Vec<i64> = pending.keys().map(|(account, _)| account.0).collect();
    let orders: Vec<Uuid> = pending.keys().map(|(_, order)| uuid(*order)).collect();
    let mut counts = Counts::default();
    for row in &connection.query(&begin, &[&ids, &orders, &name(OrderStatus::Pending)]).await? {
        let (account, kind) = (AccountId(row.value("account_id")?), row.value("kind_id")?);
        counts.order(account, row.id("order_id")?, kind, Some(OrderStatus::Pending), OrderStatus::InProgress);
    }
    let mut batch = Batch::new(connection);
    counts.write(&mut batch).await?;
    batch.send().await
}

fn delivery(row: &Row, mailings: &HashMap<(AccountId, TimeId), Mailing>) -> Result<ClaimedDelivery, Failure> {
    let account_id = AccountId(row.value("account_id")?);
    let mailing = mailings
        .get(&(account_id, row.id("order_id")?))
        .ok_or_else(|| broken(format!("a delivery of account {account_id} without an order")))?;
    Ok(ClaimedDelivery {
        account_id,
        environment: mailing.environment,
        clock: AccountClock::default(),
        kind: MailKind::Gift,
        gift: GiftId { order: mailing.order_id, position: row.count("position")? },
        claim: row.value("claim")?,
        send_number: row.count("send_number")?,
        attempts: row.count("delivery_attempts")?,
        due_at: row.instant("due_at")?,
        tried_since: row.instant("tried_since")?,
        link_version: row.count("link_version")?,
        recipient: recipient(row)?,
        amount: Money::new(row.value("amount")?, mailing.currency),
        card_name: mailing.card_name.clone(),
        sender_name: mailing.sender_name.clone(),
        subject: mailing.subject.clone(),
        message: mailing.message.clone(),
        template: TemplateContent::first(""),
        refund_option: false,
        expires_at: None,
    })
}

/// What waits to be delivered.
pub(super) async fn backlog(connection: &Connection, now: Timestamp) -> Result<Backlog, Failure> {
    let statement = connection
        .prepare_cached("SELECT COUNT(*) AS due, MIN(run_at) AS oldest_due FROM mails WHERE run_at <= $1")
        .await?;
    let row = connection.query_one(&statement, &[&micros(now)]).await?;
    Ok(Backlog { due: row.count("due")?, oldest_due: row.optional_instant("oldest_due")? })
}
