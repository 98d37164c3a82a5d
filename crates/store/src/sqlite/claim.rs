//! Claiming deliveries that are due.

use std::collections::HashMap;

use giftd_domain::Timestamp;
use giftd_domain::access::Environment;
use giftd_domain::account::AccountClock;
use giftd_domain::gifts::{ClaimedDelivery, MailKind, Recipient};
use giftd_domain::ids::{AccountId, GiftId, OrderId, TimeId};
use giftd_domain::money::{Currency, Money};
use giftd_domain::orders::OrderStatus;
use giftd_domain::templates::TemplateContent;
use jiff::SignedDuration;
use rusqlite::params;

use super::group::Group;
use super::rows::{Column, Named};
use crate::StoreError;

/// What the mails of one order have in common.
struct Mailing {
    order_id: OrderId,
    environment: Environment,
    currency: Currency,
    card_name: String,
    sender_name: String,
    subject: String,
    message: Option<String>,
}

struct Claim {
    account: AccountId,
    order: TimeId,
    position: u32,
    claim: i64,
    send_number: u32,
    due_at: Timestamp,
    tried_since: Timestamp,
}

/// Takes up to `limit` due deliveries, oldest due first, until `now` + `lease`.
pub(super) fn claim_deliveries(
    group: &mut Group<'_>,
    now: Timestamp,
    lease: SignedDuration,
    limit: u32,
) -> Result<Vec<ClaimedDelivery>, StoreError> {
    let lease_end = now.saturating_add(lease).unwrap_or(Timestamp::MAX);
    let mut claims = group
        .connection()
        .prepare_cached(
            "UPDATE mails SET run_at = ?2, claim = claim + 1, tried_since = COALESCE(tried_since, ?1)
             WHERE (account_id, order_id, position) IN (
                SELECT account_id, order_id, position FROM mails INDEXED BY mails_by_run_at
                WHERE run_at <= ?1 ORDER BY run_at LIMIT ?3)
             RETURNING account_id, order_id, position, claim, send_number, due_at, tried_since",
        )?
        .query_map(params![Column(now), Column(lease_end), limit], |row| {
            Ok(Claim {
                account: AccountId(row.get(0)?),
                order: row.get::<_, Column<TimeId>>(1)?.0,
                position: row.get(2)?,
                claim: row.get(3)?,
                send_number: row.get(4)?,
                due_at: row.get::<_, Column<Timestamp>>(5)?.0,
                tried_since: row.get::<_, Column<Timestamp>>(6)?.0,
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    // RETURNING has no order.
    claims.sort_by_key(|claim| (claim.due_at, claim.account, claim.order, claim.position));
    let mut mailings = HashMap::new();
    let mut deliveries = Vec::with_capacity(claims.len());
    for claim in claims {
        let key = (claim.account, claim.order);
        if let std::collections::hash_map::Entry::Vacant(vacant) = mailings.entry(key) {
            vacant.insert(begin_mailing(group, claim.account, claim.order)?);
        }
        if let Some(mailing) = mailings.get(&key) {
            deliveries.push(delivery(group, claim, mailing)?);
        }
    }
    Ok(deliveries)
}

/// The order is IN_PROGRESS from its first delivery on.
fn begin_mailing(group: &mut Group<'_>, account: AccountId, order: TimeId) -> Result<Mailing, StoreError> {
    let (mailing, kind, status) = group
        .connection()
        .prepare_cached(
            "SELECT k.order_type, a.environment, o.currency, k.card_name, o.sender_name, o.subject, o.message,
                o.kind_id, o.status
             FROM orders o JOIN order_kinds k USING (account_id, kind_id) JOIN accounts a USING (account_id)
             WHERE o.account_id = ?1 AND o.order_id = ?2",
        )?
        .query_row(params![account.0, Column(order)], |row| {
            let mailing = Mailing {
                order_id: OrderId { order_type: row.get::<_, Named<_>>(0)?.0, time: order },
                environment: row.get::<_, Named<_>>(1)?.0,
                currency: row.get::<_, Column<_>>(2)?.0,
                card_name: row.get(3)?,
                sender_name: row.get(4)?,
                subject: row.get(5)?,
                message: row.get(6)?,
            };
            Ok((mailing, row.get::<_, i64>(7)?, row.get::<_, Named<OrderStatus>>(8)?.0))
        })?;
    if status == OrderStatus::Pending {
        group
            .connection()
            .prepare_cached("UPDATE orders SET status = 'IN_PROGRESS' WHERE account_id = ?1 AND order_id = ?2")?
            .execute(params![account.0, Column(order)])?;
        group.count_order(account, order, kind, Some(status), OrderStatus::InProgress);
    }
    Ok(mailing)
}

fn delivery(group: &Group<'_>, claim: Claim, mailing: &Mailing) -> Result<ClaimedDelivery, StoreError> {
    let delivery = group
        .connection()
        .prepare_cached(
            "SELECT email, first_name, last_name, company, department, amount, delivery_attempts, link_version
             FROM gifts WHERE account_id = ?1 AND order_id = ?2 AND position = ?3",
        )?
        .query_row(params![claim.account.0, Column(claim.order), claim.position], |row| {
            Ok(ClaimedDelivery {
                account_id: claim.account,
                environment: mailing.environment,
                clock: AccountClock::default(),
                kind: MailKind::Gift,
                gift: GiftId { order: mailing.order_id, position: claim.position },
                claim: claim.claim,
                send_number: claim.send_number,
                attempts: row.get(6)?,
                due_at: claim.due_at,
                tried_since: claim.tried_since,
                link_version: row.get(7)?,
                recipient: Recipient {
                    email: row.get(0)?,
                    first_name: row.get(1)?,
                    last_name: row.get(2)?,
                    company: row.get(3)?,
                    department: row.get(4)?,
                },
                amount: Money::new(row.get(5)?, mailing.currency),
                card_name: mailing.card_name.clone(),
                sender_name: mailing.sender_name.clone(),
                subject: mailing.subject.clone(),
                message: mailing.message.clone(),
                template: TemplateContent::first(""),
                refund_option: false,
                expires_at: None,
            })
        })?;
    Ok(delivery)
}
