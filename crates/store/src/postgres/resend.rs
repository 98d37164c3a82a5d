//! Sending gifts of an order again.

use std::collections::HashMap;

use giftd_domain::Timestamp;
use giftd_domain::gifts::MailKind;
use giftd_domain::gifts::events::NewEvent;
use giftd_domain::ids::GiftKey;
use giftd_domain::orders::resend::{Requeue, Resend, ResendDecision, Resendable};
use jiff::SignedDuration;
use uuid::Uuid;

use super::accounts;
use super::batch::{Batch, parameters};
use super::error::Failure;
use super::events::NewEvents;
use super::gifts::{COLUMNS, Keys, gift};
use super::mails::NewMails;
use super::operation::Connection;
use super::orders;
use super::rows::{Columns as _, Parameters, clean, micros, name, uuid};
use crate::Resent;

/// What a limit of a day looks back at.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Sends gifts again, all that is decided or nothing. Inside a transaction.
pub(super) async fn resend(connection: &Connection, command: &Resend) -> Result<Resent, Failure> {
    let held = accounts::hold(connection, &[command.account_id.0]).await?;
    let Some(account) = held.get(&command.account_id) else { return Ok(Resent::Unknown) };
    let Some((summary, _)) = orders::hold(connection, command.account_id, command.order_id).await? else {
        return Ok(Resent::Unknown);
    };
    let at = account.clock.time(command.now);
    let since = micros(command.now.saturating_sub(DAY).unwrap_or(Timestamp::MIN));
    let order = uuid(command.order_id.time);
    let (gifts, events) = hold_gifts(connection, command, order, since).await?;
    let moved_today = moved(connection, command, since).await?;
    match command.decide(summary.status, &gifts, moved_today, at) {
        ResendDecision::NotResendable => Ok(Resent::NotResendable),
        ResendDecision::NobodyKnown => Ok(Resent::NobodyKnown),
        ResendDecision::TooManyMoves => Ok(Resent::TooManyMoves),
        ResendDecision::Resend { requeue, skipped } => {
            write(connection, command, &requeue, &events, at).await?;
            Ok(Resent::Done { requeued: u32::try_from(requeue.len()).unwrap_or(u32::MAX), skipped })
        }
    }
}

/// All gifts of the order, with what was done to them before, and how many events each has.
async fn hold_gifts(
    connection: &Connection,
    command: &Resend,
    order: Uuid,
    since: i64,
) -> Result<(Vec<Resendable>, HashMap<u32, i64>), Failure> {
    let hold = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS}, send_number, events FROM gifts WHERE account_id = $1 AND order_id = $2
             ORDER BY position FOR NO KEY UPDATE"
        ))
        .await?;
    let before = connection
        .prepare_cached(
            "SELECT position, at > $3 AS today, from_email, to_email FROM resends
             WHERE account_id = $1 AND order_id = $2 AND (at > $3 OR to_email IS NOT NULL) ORDER BY position, send_number",
        )
        .await?;
    let account = command.account_id.0;
    let wanted: Parameters<'_> = vec![&account, &order, &since];
    let (gifts, before) =
        tokio::join!(biased; connection.query(&hold, &wanted[..2]), connection.query(&before, &wanted));
    let mut resendable = Vec::new();
    let (mut events, mut places) = (HashMap::new(), HashMap::new());
    for row in &gifts? {
        let gift = gift(row)?;
        events.insert(gift.position, row.value("events")?);
        places.insert(gift.position, resendable.len());
        let send_number = row.count("send_number")?;
        resendable.push(Resendable { gift, send_number, resends_today: 0, moves: Vec::new() });
    }
    for row in &before? {
        let place = places.get(&row.count("position")?);
        let Some(gift) = place.and_then(|place| resendable.get_mut(*place)) else { continue };
        gift.resends_today += u32::from(row.value::<bool>("today")?);
        if let Some(to) = row.value("to_email")? {
            gift.moves.push((row.value("from_email")?, to));
        }
    }
    Ok((resendable, events))
}

/// Gifts that the app moved lately, whichever the order. An app is of one account, whose row is held.
async fn moved(connection: &Connection, command: &Resend, since: i64) -> Result<u32, Failure> {
    let statement = connection
        .prepare_cached("SELECT COUNT(*) AS n FROM resends WHERE client_id = $1 AND at > $2 AND to_email IS NOT NULL")
        .await?;
    connection.query_one(&statement, &[&command.client_id, &since]).await?.count("n")
}

async fn write(
    connection: &Connection,
    command: &Resend,
    requeue: &[Requeue],
    events: &HashMap<u32, i64>,
    at: Timestamp,
) -> Result<(), Failure> {
    let mut batch = Batch::new(connection);
    let key = |requeue: &Requeue| GiftKey {
        account_id: command.account_id,
        order: command.order_id.time,
        position: requeue.position,
    };
    let (mut mails, mut new_events) = (NewMails::default(), NewEvents::default());
    for requeue in requeue {
        mails.add(key(requeue), MailKind::Gift, requeue.send_number, command.now);
        let number = events.get(&requeue.position).copied().unwrap_or_default() + 1;
        new_events.add(key(requeue), number, at, NewEvent::resent(&requeue.from, requeue.to.as_deref()));
    }
    let Keys { accounts, orders, positions } = requeue.iter().map(key).collect();
    let numbers: Vec<i64> = requeue.iter().map(|requeue| i64::from(requeue.send_number)).collect();
    let to: Vec<Option<&str>> = requeue.iter().map(|requeue| requeue.to.as_deref()).collect();
    batch
        .add(
            "UPDATE gifts g
             SET send_number = w.send_number, events = g.events + 1, email = COALESCE(w.to_email, g.email),
                link_version = g.link_version + CASE WHEN w.to_email IS NULL THEN 0 ELSE 1 END
             FROM unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[], $4::BIGINT[], $5::TEXT[])
                AS w (account_id, order_id, position, send_number, to_email)
             WHERE g.account_id = w.account_id AND g.order_id = w.order_id AND g.position = w.position",
            parameters![accounts.clone(), orders.clone(), positions.clone(), numbers.clone(), to.clone()],
        )
        .await?;
    new_events.write(&mut batch).await?;
    let from: Vec<&str> = requeue.iter().map(|requeue| requeue.from.as_str()).collect();
    batch
        .add(
            "INSERT INTO resends (account_id, order_id, position, send_number, from_email, to_email, at, client_id,
                request_id)
             SELECT *, $7, $8, $9
             FROM unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[], $4::BIGINT[], $5::TEXT[], $6::TEXT[])",
            parameters![
                accounts,
                orders,
                positions,
                numbers,
                from,
                to,
                micros(command.now),
                command.client_id.as_str(),
                clean(&command.request_id),
            ],
        )
        .await?;
    let Keys { accounts, orders, positions } = requeue.iter().filter(|requeue| requeue.to.is_some()).map(key).collect();
    if !accounts.is_empty() {
        let sql = "DELETE FROM mails m
             USING unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[]) AS w (account_id, order_id, position)
             WHERE m.account_id = w.account_id AND m.order_id = w.order_id AND m.position = w.position AND m.kind = $4";
        batch.add(sql, parameters![accounts, orders, positions, name(MailKind::Verification)]).await?;
    }
    mails.write(&mut batch).await?;
    batch.send().await
}
