//! Sending gifts again.

use std::collections::HashMap;

use giftd_domain::Timestamp;
use giftd_domain::gifts::MailKind;
use giftd_domain::gifts::events::NewEvent;
use giftd_domain::ids::GiftKey;
use giftd_domain::orders::resend::{Requeue, Resend, ResendDecision, Resendable};
use jiff::SignedDuration;
use rusqlite::{Connection, params};

use super::events::record;
use super::group::Group;
use super::mails::{drop_mail, queue_mail};
use super::orders::{GIFT, GIFT_COLUMNS, gift, summary_of};
use super::rows::{Column, unsigned};
use crate::{Resent, StoreError};

/// Decides on the order's gifts as they are, and writes all of it or nothing.
pub(super) fn resend(group: &mut Group<'_>, command: &Resend) -> Result<Resent, StoreError> {
    let connection = group.connection();
    let Some(order) = summary_of(connection, command.account_id, command.order_id)? else {
        return Ok(Resent::Unknown);
    };
    let at = group.existing_account(command.account_id)?.clock.time(command.now);
    let day_ago = command.now.saturating_sub(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MIN);
    let gifts = resendable(connection, command, day_ago)?;
    let moved = moved_since(connection, &command.client_id, day_ago)?;
    match command.decide(order.status, &gifts, moved, at) {
        ResendDecision::NobodyKnown => Ok(Resent::NobodyKnown),
        ResendDecision::NotResendable => Ok(Resent::NotResendable),
        ResendDecision::TooManyMoves => Ok(Resent::TooManyMoves),
        ResendDecision::Resend { requeue, skipped } => {
            for requeued in &requeue {
                write(group, command, requeued, at)?;
            }
            Ok(Resent::Done { requeued: u32::try_from(requeue.len()).unwrap_or(u32::MAX), skipped })
        }
    }
}

/// The resends of one gift: how many in the last day, and its moves.
#[derive(Default)]
struct Earlier {
    today: u32,
    moves: Vec<(String, String)>,
}

/// All gifts of the order, with their resends of the last day and their moves.
fn resendable(connection: &Connection, command: &Resend, day_ago: Timestamp) -> Result<Vec<Resendable>, StoreError> {
    let (account, order) = (command.account_id.0, Column(command.order_id.time));
    let mut earlier: HashMap<u32, Earlier> = HashMap::new();
    let mut statement = connection.prepare_cached(
        "SELECT position, at > ?3, from_email, to_email FROM resends
         WHERE account_id = ?1 AND order_id = ?2 AND (at > ?3 OR to_email IS NOT NULL) ORDER BY position, send_number",
    )?;
    let mut rows = statement.query(params![account, order, Column(day_ago)])?;
    while let Some(row) = rows.next()? {
        let of_gift = earlier.entry(row.get(0)?).or_default();
        of_gift.today += u32::from(row.get::<_, bool>(1)?);
        if let Some(to) = row.get(3)? {
            of_gift.moves.push((row.get(2)?, to));
        }
    }
    let gifts = connection
        .prepare_cached(&format!(
            "SELECT {GIFT}, g.send_number FROM gifts g WHERE account_id = ?1 AND order_id = ?2 ORDER BY position"
        ))?
        .query_map(params![account, order], |row| {
            let gift = gift(row)?;
            let Earlier { today, moves } = earlier.remove(&gift.position).unwrap_or_default();
            Ok(Resendable { gift, send_number: row.get(GIFT_COLUMNS)?, resends_today: today, moves })
        })?
        .collect::<Result<_, _>>()?;
    Ok(gifts)
}

/// Gifts that an app moved since an instant, whichever the order.
fn moved_since(connection: &Connection, client_id: &str, since: Timestamp) -> Result<u32, StoreError> {
    let moved = connection
        .prepare_cached(
            "SELECT COUNT(*) FROM resends INDEXED BY resends_moved
             WHERE client_id = ?1 AND at > ?2 AND to_email IS NOT NULL",
        )?
        .query_row(params![client_id, Column(since)], |row| row.get(0))?;
    unsigned(moved)
}

fn write(group: &Group<'_>, command: &Resend, requeued: &Requeue, at: Timestamp) -> Result<(), StoreError> {
    let Requeue { position, send_number, from, to } = requeued;
    let gift = GiftKey { account_id: command.account_id, order: command.order_id.time, position: *position };
    group
        .connection()
        .prepare_cached(
            "UPDATE gifts SET send_number = ?4, email = COALESCE(?5, email), link_version = link_version + (?5 IS NOT NULL)
             WHERE account_id = ?1 AND order_id = ?2 AND position = ?3",
        )?
        .execute(params![gift.account_id.0, Column(gift.order), position, send_number, to])?;
    if to.is_some() {
        drop_mail(group, gift, MailKind::Verification)?;
    }
    queue_mail(group, gift, MailKind::Gift, *send_number, command.now)?;
    record(group, gift, at, &NewEvent::resent(from, to.as_deref()))?;
    group
        .connection()
        .prepare_cached(
            "INSERT INTO resends (account_id, order_id, position, send_number, at, client_id, request_id, from_email, to_email)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            gift.account_id.0,
            Column(gift.order),
            position,
            send_number,
            Column(command.now),
            command.client_id,
            command.request_id,
            from,
            to
        ])?;
    Ok(())
}
