//! The last mails of each sandbox, and how many previews an account mailed.

use std::collections::HashMap;

use giftd_domain::Timestamp;
use giftd_domain::history::{Page, PageRequest, Span};
use giftd_domain::ids::{AccountId, OrderId, TimeId};
use giftd_domain::limits;
use giftd_domain::text::folded;
use jiff::SignedDuration;
use tokio_postgres::Row;
use uuid::Uuid;

use super::accounts;
use super::batch::{Batch, parameters};
use super::error::{Failure, broken};
use super::operation::Connection;
use super::rows::{Columns as _, clean, micros, signed, uuid};
use crate::CapturedMail;

/// Keeps mails, and forgets what is too old or too much. Inside a transaction.
pub(super) async fn keep_mails(
    connection: &Connection,
    account: AccountId,
    mails: &[CapturedMail],
    now: Timestamp,
    entropy: u128,
) -> Result<(), Failure> {
    // Two that keep mails at once don't take the same place, nor wait for each other.
    accounts::hold(connection, &[account.0]).await?;
    let mut batch = Batch::new(connection);
    if !mails.is_empty() {
        let last = last(connection, account).await?;
        add(&mut batch, account, mails, last, now, entropy).await?;
    }
    batch
        .add(
            "DELETE FROM sandbox_mails WHERE account_id = $1 AND (mail_id < $2 OR mail_id <= (
                SELECT mail_id FROM sandbox_mails WHERE account_id = $1 ORDER BY mail_id DESC LIMIT 1 OFFSET $3))",
            parameters![account.0, uuid(oldest(now)), signed(limits::SANDBOX_MAILS)?],
        )
        .await?;
    batch.send().await
}

/// Forgets what is too old, of accounts that keep no new mails too. Inside a transaction.
pub(super) async fn drop_old_mails(connection: &Connection, now: Timestamp) -> Result<u64, Failure> {
    // Account by account: an index of the instants alone would be written with each mail.
    let drop = connection
        .prepare_cached(
            "DELETE FROM sandbox_mails WHERE account_id = ANY (ARRAY(SELECT account_id FROM accounts)) AND mail_id < $1",
        )
        .await?;
    Ok(connection.execute(&drop, &[&uuid(oldest(now))]).await?)
}

/// The id of the newest mail.
async fn last(connection: &Connection, account: AccountId) -> Result<Option<TimeId>, Failure> {
    let statement = connection
        .prepare_cached("SELECT mail_id FROM sandbox_mails WHERE account_id = $1 ORDER BY mail_id DESC LIMIT 1")
        .await?;
    connection.query_opt(&statement, &[&account.0]).await?.map(|row| row.id("mail_id")).transpose()
}

/// Mails are kept from this id on.
fn oldest(now: Timestamp) -> TimeId {
    let age = SignedDuration::from_hours(limits::SANDBOX_MAIL_DAYS * 24);
    TimeId::first_at(now.saturating_sub(age).unwrap_or(Timestamp::MIN))
}

async fn add(
    batch: &mut Batch<'_>,
    account: AccountId,
    mails: &[CapturedMail],
    mut last: Option<TimeId>,
    now: Timestamp,
    entropy: u128,
) -> Result<(), Failure> {
    // Of two with one id the last counts, in the place of the first.
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut kept: Vec<&CapturedMail> = Vec::with_capacity(mails.len());
    for mail in mails {
        match places.get(&clean(&mail.message_id)).and_then(|place| kept.get_mut(*place)) {
            Some(earlier) => *earlier = mail,
            None => {
                places.insert(clean(&mail.message_id), kept.len());
                kept.push(mail);
            }
        }
    }
    let mut ids: Vec<Uuid> = Vec::with_capacity(kept.len());
    for _ in &kept {
        let id = TimeId::next(last, now, entropy).ok_or_else(|| broken("the ids of this millisecond are used up"))?;
        last = Some(id);
        ids.push(uuid(id));
    }
    let texts = |text: fn(&CapturedMail) -> &str| kept.iter().map(|mail| clean(text(mail))).collect::<Vec<_>>();
    let orders: Vec<Option<String>> = kept.iter().map(|mail| mail.order_id.map(|order| order.to_string())).collect();
    let created: Vec<i64> = kept.iter().map(|mail| micros(mail.created_at)).collect();
    batch
        .add(
            "INSERT INTO sandbox_mails (account_id, mail_id, message_id, recipient, order_id, subject, body, html,
                created_at)
             SELECT $1, * FROM unnest($2::UUID[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], $7::TEXT[],
                $8::TEXT[], $9::BIGINT[])
             ON CONFLICT (account_id, message_id) DO UPDATE SET recipient = excluded.recipient,
                order_id = excluded.order_id, subject = excluded.subject, body = excluded.body, html = excluded.html,
                created_at = excluded.created_at",
            parameters![
                account.0,
                ids,
                texts(|mail| &mail.message_id),
                texts(|mail| &mail.to),
                orders,
                texts(|mail| &mail.subject),
                texts(|mail| &mail.text),
                texts(|mail| &mail.html),
                created,
            ],
        )
        .await
}

/// Mails that were kept, newest first. Inside a snapshot.
pub(super) async fn kept_mails(
    connection: &Connection,
    account: AccountId,
    to: Option<&str>,
    order: Option<OrderId>,
    now: Timestamp,
    page: PageRequest,
) -> Result<Page<CapturedMail>, Failure> {
    // An account keeps few. Their letters' case is folded here, since a database's lower() goes by its locale.
    let find = connection
        .prepare_cached(
            "SELECT mail_id, recipient FROM sandbox_mails
             WHERE account_id = $1 AND mail_id >= $2 AND ($3::TEXT IS NULL OR order_id = $3) ORDER BY mail_id DESC",
        )
        .await?;
    let (to, order) = (to.map(folded), order.map(|order| order.to_string()));
    let mut ids: Vec<Uuid> = Vec::new();
    for row in &connection.query(&find, &[&account.0, &uuid(oldest(now)), &order]).await? {
        let recipient: &str = row.value("recipient")?;
        if to.as_ref().is_none_or(|to| folded(recipient) == *to) {
            ids.push(row.value("mail_id")?);
        }
    }
    let total = u64::try_from(ids.len()).unwrap_or(u64::MAX);
    let skip = usize::try_from(page.offset()).unwrap_or(usize::MAX);
    let take = usize::try_from(page.page_size).unwrap_or(usize::MAX);
    let ids: Vec<Uuid> = ids.into_iter().skip(skip).take(take).collect();
    let read = connection
        .prepare_cached(
            "SELECT message_id, recipient, order_id, subject, body, html, created_at FROM sandbox_mails
             WHERE account_id = $1 AND mail_id = ANY ($2) ORDER BY mail_id DESC",
        )
        .await?;
    let rows = connection.query(&read, &[&account.0, &ids]).await?;
    Ok(Page { items: rows.iter().map(kept_mail).collect::<Result<_, _>>()?, total })
}

fn kept_mail(row: &Row) -> Result<CapturedMail, Failure> {
    Ok(CapturedMail {
        message_id: row.value("message_id")?,
        to: row.value("recipient")?,
        order_id: row.optional_named("order_id")?,
        subject: row.value("subject")?,
        text: row.value("body")?,
        html: row.value("html")?,
        created_at: row.instant("created_at")?,
    })
}

/// Counts a preview; how many are left, or none where it would be one too many. Inside a transaction.
pub(super) async fn count_test_mail(
    connection: &Connection,
    account: AccountId,
    now: Timestamp,
) -> Result<Option<u32>, Failure> {
    let count = connection
        .prepare_cached(
            "INSERT INTO test_mails AS t (account_id, day, n) VALUES ($1, $2, 1)
             ON CONFLICT (account_id, day) DO UPDATE SET n = t.n + 1 WHERE t.n < $3 RETURNING n",
        )
        .await?;
    let most = i64::from(limits::TEST_MAILS_A_DAY);
    let row = connection.query_opt(&count, &[&account.0, &Span::day(now).0, &most]).await?;
    let mailed: Option<u32> = row.map(|row| row.count("n")).transpose()?;
    Ok(mailed.map(|mailed| limits::TEST_MAILS_A_DAY.saturating_sub(mailed)))
}
