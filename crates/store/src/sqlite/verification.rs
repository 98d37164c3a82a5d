//! Proving who controls a gift's address.

use giftd_domain::Timestamp;
use giftd_domain::gifts::MailKind;
use giftd_domain::gifts::events::NewEvent;
use giftd_domain::gifts::redemption::NotRedeemable;
use giftd_domain::gifts::verification::{VerificationRequested, Verified, is_good, may_request};
use giftd_domain::ids::GiftKey;
use giftd_domain::limits;
use rusqlite::{OptionalExtension as _, params};

use super::events::record;
use super::group::Group;
use super::mails::queue_mail;
use super::orders::gift_and_order;
use super::rows::{Column, instant, signed};
use crate::StoreError;

/// Asks for a verification mail, within limits.
pub(super) fn request_verification(
    group: &Group<'_>,
    key: GiftKey,
    link_version: u32,
    now: Timestamp,
) -> Result<VerificationRequested, StoreError> {
    let Some((gift, order)) = gift_and_order(group.connection(), key)? else {
        return Ok(VerificationRequested::Refused(NotRedeemable::Unknown));
    };
    if let Err(why) = gift.may_open(order.status, link_version) {
        return Ok(VerificationRequested::Refused(why));
    }
    if gift.recipient.email.is_none() {
        return Ok(VerificationRequested::Refused(NotRedeemable::Unknown));
    }
    // As many as count.
    let last: Vec<(u32, Timestamp)> = group
        .connection()
        .prepare_cached(
            "SELECT number, requested_at FROM verifications WHERE account_id = ?1 AND order_id = ?2 AND position = ?3
             ORDER BY number DESC LIMIT ?4",
        )?
        .query_map(
            params![key.account_id.0, Column(key.order), key.position, signed(limits::VERIFICATIONS_A_DAY)],
            |row| Ok((row.get(0)?, row.get::<_, Column<_>>(1)?.0)),
        )?
        .collect::<Result<_, _>>()?;
    let instants: Vec<Timestamp> = last.iter().map(|(_, at)| *at).collect();
    if let Err(wait) = may_request(&instants, now) {
        return Ok(VerificationRequested::TooMany { wait });
    }
    let number = last.first().map_or(0, |(number, _)| *number).saturating_add(1);
    group
        .connection()
        .prepare_cached(
            "INSERT INTO verifications (account_id, order_id, position, number, link_version, requested_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![key.account_id.0, Column(key.order), key.position, number, link_version, Column(now)])?;
    queue_mail(group, key, MailKind::Verification, number, now)?;
    let at = group.existing_account(key.account_id)?.clock.time(now);
    record(group, key, at, &NewEvent::verification_requested())?;
    Ok(VerificationRequested::Requested { number })
}

/// Uses a verification, once.
pub(super) fn verify(
    group: &Group<'_>,
    key: GiftKey,
    link_version: u32,
    number: u32,
    now: Timestamp,
) -> Result<Verified, StoreError> {
    let found = group
        .connection()
        .prepare_cached(
            "SELECT v.requested_at, v.used_at FROM verifications v JOIN gifts g USING (account_id, order_id, position)
             WHERE v.account_id = ?1 AND v.order_id = ?2 AND v.position = ?3 AND v.number = ?4
                AND v.link_version = ?5 AND g.link_version = ?5",
        )?
        .query_row(params![key.account_id.0, Column(key.order), key.position, number, link_version], |row| {
            Ok((row.get::<_, Column<Timestamp>>(0)?.0, instant(row, 1)?))
        })
        .optional()?;
    let Some((requested_at, used_at)) = found else { return Ok(Verified::Unknown) };
    if used_at.is_some() {
        return Ok(Verified::Used);
    }
    if !is_good(requested_at, now) {
        return Ok(Verified::TooOld);
    }
    group
        .connection()
        .prepare_cached(
            "UPDATE verifications SET used_at = ?5
             WHERE account_id = ?1 AND order_id = ?2 AND position = ?3 AND number = ?4",
        )?
        .execute(params![key.account_id.0, Column(key.order), key.position, number, Column(now)])?;
    let at = group.existing_account(key.account_id)?.clock.time(now);
    record(group, key, at, &NewEvent::verified())?;
    Ok(Verified::Yes)
}
