//! The last mails of each sandbox, and how many previews an account mailed.

use giftd_domain::Timestamp;
use giftd_domain::history::{Page, PageRequest, Span};
use giftd_domain::ids::{AccountId, OrderId, TimeId};
use giftd_domain::limits;
use giftd_domain::text::folded;
use jiff::SignedDuration;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::error::broken;
use super::group::Group;
use super::rows::{Column, Named, signed};
use crate::{CapturedMail, StoreError};

/// Keeps mails, and forgets what is too old or too much.
pub(super) fn keep_mails(
    group: &Group<'_>,
    account: AccountId,
    mails: &[CapturedMail],
    now: Timestamp,
    entropy: u128,
) -> Result<(), StoreError> {
    let mut last = group
        .connection()
        .prepare_cached("SELECT mail_id FROM sandbox_mails WHERE account_id = ?1 ORDER BY mail_id DESC LIMIT 1")?
        .query_row([account.0], |row| Ok(row.get::<_, Column<TimeId>>(0)?.0))
        .optional()?;
    for mail in mails {
        let id = TimeId::next(last, now, entropy).ok_or_else(|| broken("the ids of this millisecond are used up"))?;
        last = Some(id);
        group
            .connection()
            .prepare_cached(
                "INSERT INTO sandbox_mails (account_id, mail_id, message_id, recipient, order_id, subject, body, html, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT (account_id, message_id) DO UPDATE SET recipient = excluded.recipient,
                    order_id = excluded.order_id, subject = excluded.subject, body = excluded.body,
                    html = excluded.html, created_at = excluded.created_at",
            )?
            .execute(params![
                account.0,
                Column(id),
                mail.message_id,
                mail.to,
                mail.order_id.map(|order| order.to_string()),
                mail.subject,
                mail.text,
                mail.html,
                Column(mail.created_at)
            ])?;
    }
    group
        .connection()
        .prepare_cached(
            "DELETE FROM sandbox_mails WHERE account_id = ?1 AND (mail_id < ?2 OR mail_id <= (
                SELECT mail_id FROM sandbox_mails WHERE account_id = ?1 ORDER BY mail_id DESC LIMIT 1 OFFSET ?3))",
        )?
        .execute(params![account.0, Column(oldest(now)), signed(limits::SANDBOX_MAILS)])?;
    Ok(())
}

/// Forgets what is too old, of accounts that keep no new mails too.
pub(super) fn drop_old_mails(group: &Group<'_>, now: Timestamp) -> Result<u64, StoreError> {
    // Account by account: the mails themselves, which are large, aren't read.
    let dropped = group
        .connection()
        .prepare_cached(
            "DELETE FROM sandbox_mails WHERE account_id IN (SELECT account_id FROM accounts) AND mail_id < ?1",
        )?
        .execute([Column(oldest(now))])?;
    Ok(u64::try_from(dropped).unwrap_or(u64::MAX))
}

/// Mails are kept from this id on.
fn oldest(now: Timestamp) -> TimeId {
    let age = SignedDuration::from_hours(limits::SANDBOX_MAIL_DAYS * 24);
    TimeId::first_at(now.saturating_sub(age).unwrap_or(Timestamp::MIN))
}

/// Mails that were kept, newest first.
pub(super) fn kept_mails(
    connection: &Connection,
    account: AccountId,
    to: Option<&str>,
    order: Option<OrderId>,
    now: Timestamp,
    page: PageRequest,
) -> Result<Page<CapturedMail>, StoreError> {
    let to = to.map(folded);
    let order = order.map(|order| order.to_string());
    // An account keeps few. Their letters' case is folded here, since SQLite's lower() knows only ASCII.
    let mut statement = connection.prepare_cached(
        "SELECT mail_id, recipient FROM sandbox_mails
         WHERE account_id = ?1 AND mail_id >= ?2 AND (?3 IS NULL OR order_id = ?3) ORDER BY mail_id DESC",
    )?;
    let mut rows = statement.query(params![account.0, Column(oldest(now)), order])?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        let recipient: String = row.get(1)?;
        if to.as_ref().is_none_or(|to| folded(&recipient) == *to) {
            ids.push(row.get::<_, Column<TimeId>>(0)?.0);
        }
    }
    let total = u64::try_from(ids.len()).unwrap_or(u64::MAX);
    let skip = usize::try_from(page.offset()).unwrap_or(usize::MAX);
    let take = usize::try_from(page.page_size).unwrap_or(usize::MAX);
    let items = ids.into_iter().skip(skip).take(take).map(|id| kept_mail(connection, account, id));
    Ok(Page { items: items.collect::<Result<_, _>>()?, total })
}

fn kept_mail(connection: &Connection, account: AccountId, id: TimeId) -> Result<CapturedMail, StoreError> {
    let mail = connection
        .prepare_cached(
            "SELECT message_id, recipient, order_id, subject, body, html, created_at FROM sandbox_mails
             WHERE account_id = ?1 AND mail_id = ?2",
        )?
        .query_row(params![account.0, Column(id)], |row| {
            Ok(CapturedMail {
                message_id: row.get(0)?,
                to: row.get(1)?,
                order_id: row.get::<_, Option<Named<_>>>(2)?.map(|named| named.0),
                subject: row.get(3)?,
                text: row.get(4)?,
                html: row.get(5)?,
                created_at: row.get::<_, Column<_>>(6)?.0,
            })
        })?;
    Ok(mail)
}

/// Counts a preview; how many are left, or none where it would be one too many.
pub(super) fn count_test_mail(
    group: &Group<'_>,
    account: AccountId,
    now: Timestamp,
) -> Result<Option<u32>, StoreError> {
    let mailed: Option<u32> = group
        .connection()
        .prepare_cached(
            "INSERT INTO test_mails (account_id, day, n) VALUES (?1, ?2, 1)
             ON CONFLICT DO UPDATE SET n = n + 1 WHERE n < ?3 RETURNING n",
        )?
        .query_row(params![account.0, Span::day(now).0, limits::TEST_MAILS_A_DAY], |row| row.get(0))
        .optional()?;
    Ok(mailed.map(|mailed| limits::TEST_MAILS_A_DAY.saturating_sub(mailed)))
}
