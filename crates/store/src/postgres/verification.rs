//! Proving who controls a gift's address.

use giftd_domain::Timestamp;
use giftd_domain::gifts::MailKind;
use giftd_domain::gifts::events::NewEvent;
use giftd_domain::gifts::redemption::NotRedeemable;
use giftd_domain::gifts::verification::{VerificationRequested, Verified, is_good, may_request};
use giftd_domain::ids::GiftKey;
use giftd_domain::limits;

use super::batch::{Batch, parameters};
use super::error::Failure;
use super::events::NewEvents;
use super::gifts;
use super::mails::NewMails;
use super::operation::Connection;
use super::rows::{Columns as _, micros, signed, uuid};

/// Asks for a verification mail, within limits. Inside a transaction.
pub(super) async fn request_verification(
    connection: &Connection,
    key: GiftKey,
    link_version: u32,
    now: Timestamp,
) -> Result<VerificationRequested, Failure> {
    let Some(mut of) = gifts::hold(connection, key).await? else {
        return Ok(VerificationRequested::Refused(NotRedeemable::Unknown));
    };
    if let Err(why) = of.held.gift.may_open(of.order_status, link_version) {
        return Ok(VerificationRequested::Refused(why));
    }
    if of.held.gift.recipient.email.is_none() {
        return Ok(VerificationRequested::Refused(NotRedeemable::Unknown));
    }
    // As many as count.
    let last = connection
        .prepare_cached(
            "SELECT number, requested_at FROM verifications WHERE account_id = $1 AND order_id = $2 AND position = $3
             ORDER BY number DESC LIMIT $4",
        )
        .await?;
    let (order, position, most) = (uuid(key.order), i64::from(key.position), signed(limits::VERIFICATIONS_A_DAY)?);
    let rows = connection.query(&last, &[&key.account_id.0, &order, &position, &most]).await?;
    let instants: Vec<Timestamp> = rows.iter().map(|row| row.instant("requested_at")).collect::<Result<_, _>>()?;
    if let Err(wait) = may_request(&instants, now) {
        return Ok(VerificationRequested::TooMany { wait });
    }
    let number = rows.first().map_or(Ok(0), |row| row.count::<u32>("number"))?.saturating_add(1);
    let event = of.held.next_event();
    let (mut mails, mut events) = (NewMails::default(), NewEvents::default());
    mails.add(key, MailKind::Verification, number, now);
    events.add(key, event, of.clock.time(now), NewEvent::verification_requested());
    let mut batch = Batch::new(connection);
    batch
        .add(
            "INSERT INTO verifications (account_id, order_id, position, number, link_version, requested_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
            parameters![key.account_id.0, order, position, i64::from(number), i64::from(link_version), micros(now)],
        )
        .await?;
    gifts::write_use(&mut batch, &[of.held]).await?;
    events.write(&mut batch).await?;
    mails.write(&mut batch).await?;
    batch.send().await?;
    Ok(VerificationRequested::Requested { number })
}

/// Uses a verification, once. Inside a transaction.
pub(super) async fn verify(
    connection: &Connection,
    key: GiftKey,
    link_version: u32,
    number: u32,
    now: Timestamp,
) -> Result<Verified, Failure> {
    let Some(mut of) = gifts::hold(connection, key).await? else { return Ok(Verified::Unknown) };
    if of.held.gift.link_version != link_version {
        return Ok(Verified::Unknown);
    }
    let found = connection
        .prepare_cached(
            "SELECT requested_at, used_at FROM verifications
             WHERE account_id = $1 AND order_id = $2 AND position = $3 AND number = $4 AND link_version = $5",
        )
        .await?;
    let (order, position) = (uuid(key.order), i64::from(key.position));
    let (number, link_version) = (i64::from(number), i64::from(link_version));
    let found = connection.query_opt(&found, &[&key.account_id.0, &order, &position, &number, &link_version]).await?;
    let Some(row) = found else { return Ok(Verified::Unknown) };
    if row.optional_instant("used_at")?.is_some() {
        return Ok(Verified::Used);
    }
    if !is_good(row.instant("requested_at")?, now) {
        return Ok(Verified::TooOld);
    }
    let event = of.held.next_event();
    let mut events = NewEvents::default();
    events.add(key, event, of.clock.time(now), NewEvent::verified());
    let mut batch = Batch::new(connection);
    batch
        .add(
            "UPDATE verifications SET used_at = $5
             WHERE account_id = $1 AND order_id = $2 AND position = $3 AND number = $4",
            parameters![key.account_id.0, order, position, number, micros(now)],
        )
        .await?;
    gifts::write_use(&mut batch, &[of.held]).await?;
    events.write(&mut batch).await?;
    batch.send().await?;
    Ok(Verified::Yes)
}
