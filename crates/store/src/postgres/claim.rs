//! Claiming mails that are due.
//!
//! An order's first mail changes the order, so its account is held, and as everywhere before anything else.
//! Whose these are is looked at without a lock, and what is taken then is looked at anew.

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
use super::gifts::recipient;
use super::operation::Connection;
use super::rows::{Columns as _, Parameters, micros, name, uuid};
use super::templates;
use crate::{Backlog, Mails};

/// How many claims' worth of due mails one claim looks at: those of other nodes lie before its own.
const WINDOW: i64 = 4;

/// What a look for due mails came to.
#[derive(Clone, Debug)]
pub(super) enum Claimed {
    /// These, at least one.
    Some(Vec<ClaimedDelivery>),
    /// Nothing is due.
    Nothing,
    /// Other nodes took all that was seen: another look may find more.
    Missed,
}

/// What the mails of one order have in common.
struct Mailing {
    order_id: OrderId,
    environment: Environment,
    clock: AccountClock,
    currency: Currency,
    card_name: String,
    sender_name: String,
    subject: String,
    message: Option<String>,
    template: TemplateContent,
    refund_option: bool,
    status: OrderStatus,
}

/// Mails, column by column.
#[derive(Default)]
struct Keys {
    accounts: Vec<i64>,
    orders: Vec<Uuid>,
    positions: Vec<i64>,
    kinds: Vec<String>,
}

/// Takes up to `limit` due mails, verifications first and then oldest due first, until `now` + `lease`. Inside a
/// transaction.
pub(super) async fn claim_deliveries(
    connection: &Connection,
    mails: Mails,
    now: Timestamp,
    lease: SignedDuration,
    limit: u32,
) -> Result<Claimed, Failure> {
    let Some(beginning) = look(connection, mails, now, limit).await? else { return Ok(Claimed::Nothing) };
    let due = take_due(connection, mails, &beginning, now, limit).await?;
    if due.positions.is_empty() {
        return Ok(Claimed::Missed);
    }
    let lease_end = now.saturating_add(lease).unwrap_or(Timestamp::MAX);
    let (claimed, mailings) = claim(connection, &due, now, lease_end).await?;
    begin_mailings(connection, &mailings).await?;
    let mut deliveries = claimed.iter().map(|row| delivery(row, &mailings)).collect::<Result<Vec<_>, _>>()?;
    deliveries.sort_by_key(|claimed| {
        let waits = claimed.kind != MailKind::Verification;
        (waits, claimed.due_at, claimed.account_id, claimed.gift, claimed.kind)
    });
    Ok(Claimed::Some(deliveries))
}

/// The first mails that are due at `$1`, as many as `$2`. One account's (`$3`) are found by its own key: by the
/// instant stand those of all others too, and where the one's clock is moved that is far ahead. Nobody goes past
/// the target of a move, as one might whose move another has ended meanwhile.
///
/// Verifications are the first, each kind with an index of its own and one behind the other, so that no more is
/// read than is taken.
fn due(mails: Mails) -> String {
    let stays = match mails {
        Mails::All => "",
        Mails::Outgoing => "AND NOT stays",
        Mails::Staying => "AND stays",
        Mails::Moving(_) => {
            return "SELECT account_id, order_id, position, kind FROM mails
                WHERE account_id = $3 AND run_at + 0 <= (
                    SELECT LEAST($1::BIGINT, clock_target - clock_ahead) FROM accounts
                    WHERE account_id = $3 AND clock_at IS NOT NULL)
                ORDER BY kind <> 'VERIFICATION', run_at + 0 LIMIT $2"
                .to_owned();
        }
    };
    let [verifications, others] = ["=", "<>"].map(|is| {
        format!(
            "SELECT account_id, order_id, position, kind FROM mails
             WHERE kind {is} 'VERIFICATION' {stays} AND run_at <= $1 AND $3::BIGINT IS NULL
                AND account_id <> ALL (ARRAY(SELECT account_id FROM accounts WHERE clock_at IS NOT NULL))
             ORDER BY run_at LIMIT $2"
        )
    });
    format!("SELECT * FROM (({verifications}) UNION ALL ({others})) due LIMIT $2")
}

fn only(mails: Mails) -> Option<i64> {
    match mails {
        Mails::All | Mails::Outgoing | Mails::Staying => None,
        Mails::Moving(account) => Some(account.0),
    }
}

/// The accounts to be held, of due mails whose orders begin with them; none where nothing is due.
async fn look(connection: &Connection, mails: Mails, now: Timestamp, limit: u32) -> Result<Option<Vec<i64>>, Failure> {
    let statement = connection
        .prepare_cached(&format!(
            "SELECT DISTINCT w.account_id, o.status = 'PENDING' AS begins
             FROM ({}) w,
                LATERAL (SELECT status FROM orders WHERE account_id = w.account_id AND order_id = w.order_id LIMIT 1) o",
            due(mails)
        ))
        .await?;
    let rows = connection.query(&statement, &[&micros(now), &i64::from(limit), &only(mails)]).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    // Who moves a clock holds its account in any case: then nobody ends the move meanwhile.
    let mut beginning: Vec<AccountId> = match mails {
        Mails::All | Mails::Outgoing | Mails::Staying => Vec::new(),
        Mails::Moving(account) => vec![account],
    };
    for row in &rows {
        if row.value("begins")? {
            beginning.push(AccountId(row.value("account_id")?));
        }
    }
    Ok(Some(accounts::ids(beginning)))
}

/// Holds the accounts, then locks due mails that no other node is about to claim. One that begins an order
/// of another account stays for the next look.
async fn take_due(
    connection: &Connection,
    mails: Mails,
    beginning: &[i64],
    now: Timestamp,
    limit: u32,
) -> Result<Keys, Failure> {
    let hold = accounts::prepare_hold(connection).await?;
    let take = connection
        .prepare_cached(&format!(
            "SELECT w.account_id, w.order_id, w.position, w.kind
             FROM ({}) w,
                LATERAL (SELECT status FROM orders WHERE account_id = w.account_id AND order_id = w.order_id LIMIT 1) o,
                LATERAL (SELECT 1 FROM mails
                    WHERE account_id = w.account_id AND order_id = w.order_id AND position = w.position AND kind = w.kind
                        AND run_at + 0 <= $1 AND (o.status <> 'PENDING' OR w.account_id = ANY ($4))
                    LIMIT 1 FOR UPDATE SKIP LOCKED) d
             LIMIT $5",
            due(mails)
        ))
        .await?;
    let (at, limit, only) = (micros(now), i64::from(limit), only(mails));
    let window = limit.saturating_mul(WINDOW);
    let wanted: Parameters<'_> = vec![&at, &window, &only, &beginning, &limit];
    let (held, rows) = if beginning.is_empty() {
        (Ok(accounts::Held::new()), connection.query(&take, &wanted).await)
    } else {
        tokio::join!(
            biased;
            accounts::hold_prepared(connection, &hold, beginning),
            connection.query(&take, &wanted),
        )
    };
    held?;
    let mut due = Keys::default();
    for row in &rows? {
        due.accounts.push(row.value("account_id")?);
        due.orders.push(row.value("order_id")?);
        due.positions.push(row.value("position")?);
        due.kinds.push(row.value("kind")?);
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
            "UPDATE mails d SET run_at = $5, claim = d.claim + 1, tried_since = COALESCE(d.tried_since, $6)
             FROM unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[], $4::TEXT[]) AS w (account_id, order_id, position, kind)
             WHERE d.account_id = w.account_id AND d.order_id = w.order_id AND d.position = w.position
                AND d.kind = w.kind",
        )
        .await?;
    let read = connection
        .prepare_cached(
            "SELECT w.account_id, w.order_id, w.position, w.kind, d.claim, d.send_number, d.attempts, d.due_at,
                d.tried_since, g.email, g.first_name, g.last_name, g.company, g.department, g.amount, g.link_version,
                g.expires_at
             FROM unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[], $4::TEXT[]) AS w (account_id, order_id, position, kind),
                LATERAL (SELECT claim, send_number, attempts, due_at, tried_since FROM mails
                    WHERE account_id = w.account_id AND order_id = w.order_id AND position = w.position
                        AND kind = w.kind LIMIT 1) d,
                LATERAL (SELECT * FROM gifts
                    WHERE account_id = w.account_id AND order_id = w.order_id AND position = w.position LIMIT 1) g",
        )
        .await?;
    let mail = connection
        .prepare_cached(&format!(
            "SELECT w.account_id, w.order_id, k.order_type, a.environment, {clock}, o.currency, k.card_name,
                o.sender_name AS order_sender_name, o.subject, o.message AS order_message, o.refund_option, o.status,
                {template}
             FROM (SELECT DISTINCT account_id, order_id
                    FROM unnest($1::BIGINT[], $2::UUID[]) AS w (account_id, order_id)) w,
                LATERAL (SELECT * FROM orders WHERE account_id = w.account_id AND order_id = w.order_id LIMIT 1) o,
                LATERAL (SELECT * FROM order_kinds WHERE account_id = w.account_id AND kind_id = o.kind_id LIMIT 1) k,
                LATERAL (SELECT * FROM templates
                    WHERE account_id = w.account_id AND template_id = o.template_id LIMIT 1) t,
                LATERAL (SELECT * FROM accounts WHERE account_id = w.account_id LIMIT 1) a",
            clock = accounts::CLOCK,
            template = templates::CONTENT,
        ))
        .await?;
    let Keys { accounts, orders, positions, kinds } = due;
    let (now, lease_end) = (micros(now), micros(lease_end));
    let changes: Parameters<'_> = vec![accounts, orders, positions, kinds, &lease_end, &now];
    let (raised, claimed, mailings) = tokio::join!(
        biased;
        connection.execute(&raise, &changes),
        connection.query(&read, &changes[..4]),
        connection.query(&mail, &changes[..2]),
    );
    raised?;
    Ok((claimed?, mailings?.iter().map(mailing).collect::<Result<_, _>>()?))
}

fn mailing(row: &Row) -> Result<((AccountId, TimeId), Mailing), Failure> {
    let (time, template) = (row.id("order_id")?, templates::content(row)?);
    let mailing = Mailing {
        order_id: OrderId { order_type: row.named("order_type")?, time },
        environment: row.named("environment")?,
        clock: accounts::clock(row)?,
        currency: row.currency("currency")?,
        card_name: row.value("card_name")?,
        sender_name: row.value("order_sender_name")?,
        subject: row.value("subject")?,
        message: row.value::<Option<String>>("order_message")?.or_else(|| template.message.clone()),
        template,
        refund_option: row.value("refund_option")?,
        status: row.named("status")?,
    };
    Ok(((AccountId(row.value("account_id")?), time), mailing))
}

/// Orders are IN_PROGRESS from their first mail on; nothing leads back to PENDING. Their accounts are held.
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
        .ok_or_else(|| broken(format!("a mail of account {account_id} without an order or template")))?;
    Ok(ClaimedDelivery {
        account_id,
        environment: mailing.environment,
        clock: mailing.clock,
        gift: GiftId { order: mailing.order_id, position: row.count("position")? },
        kind: row.named::<MailKind>("kind")?,
        claim: row.value("claim")?,
        send_number: row.count("send_number")?,
        attempts: row.count("attempts")?,
        due_at: row.instant("due_at")?,
        tried_since: row.instant("tried_since")?,
        link_version: row.count("link_version")?,
        recipient: recipient(row)?,
        amount: Money::new(row.value("amount")?, mailing.currency),
        card_name: mailing.card_name.clone(),
        sender_name: mailing.sender_name.clone(),
        subject: mailing.subject.clone(),
        message: mailing.message.clone(),
        template: mailing.template.clone(),
        refund_option: mailing.refund_option,
        expires_at: row.optional_instant("expires_at")?,
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
