//! Claiming mails that are due.

use std::collections::HashMap;

use giftd_domain::Timestamp;
use giftd_domain::access::Environment;
use giftd_domain::account::AccountClock;
use giftd_domain::gifts::{ClaimedDelivery, MailKind, Recipient};
use giftd_domain::ids::{AccountId, GiftId, OrderId, TemplateId, TimeId};
use giftd_domain::money::{Currency, Money};
use giftd_domain::orders::OrderStatus;
use giftd_domain::templates::TemplateContent;
use jiff::SignedDuration;
use rusqlite::{Row, params};

use super::clock::moving_until;
use super::error::broken;
use super::group::Group;
use super::rows::{Column, Named, instant};
use super::templates::content_of;
use crate::{Mails, StoreError};

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
    kind_id: i64,
    status: OrderStatus,
}

struct Claim {
    account: AccountId,
    order: TimeId,
    position: u32,
    kind: MailKind,
    claim: i64,
    send_number: u32,
    attempts: u32,
    due_at: Timestamp,
    tried_since: Timestamp,
}

/// Takes up to `limit` due mails, verifications first and then oldest due first, until `now` + `lease`.
pub(super) fn claim_deliveries(
    group: &mut Group<'_>,
    mails: Mails,
    now: Timestamp,
    lease: SignedDuration,
    limit: u32,
) -> Result<Vec<ClaimedDelivery>, StoreError> {
    let lease_end = now.saturating_add(lease).unwrap_or(Timestamp::MAX);
    let mut claims = take(group, mails, now, lease_end, limit)?;
    // RETURNING has no order.
    claims.sort_by_key(|claim| {
        let waits = claim.kind != MailKind::Verification;
        (waits, claim.due_at, claim.account, claim.order, claim.position, claim.kind)
    });
    let mut mailings = HashMap::new();
    let mut deliveries = Vec::with_capacity(claims.len());
    for claim in claims {
        let key = (claim.account, claim.order);
        let mailing = match mailings.entry(key) {
            std::collections::hash_map::Entry::Occupied(found) => found.into_mut(),
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(mailing(group, claim.account, claim.order)?)
            }
        };
        if claim.kind == MailKind::Gift {
            begin(group, claim.account, mailing)?;
        }
        deliveries.push(delivery(group, claim, mailing)?);
    }
    Ok(deliveries)
}

/// What is claimed, as [`read_claim`] reads it, of the few mails `w` that are looked up by `LOOK`: found by an index, and
/// changed one by one by their whole key. (`IN` would walk all mails of their accounts.)
const CLAIM: &str = "UPDATE mails SET run_at = ?2, claim = claim + 1, tried_since = COALESCE(tried_since, ?1)
    FROM (LOOK) w
    WHERE (mails.account_id, mails.order_id, mails.position, mails.kind) = (w.account_id, w.order_id, w.position, w.kind)
    RETURNING account_id, order_id, position, kind, claim, send_number, attempts, due_at, tried_since";

/// Two looks for mails of all accounts: verifications, for which a backlog of others isn't looked at, and others.
fn looks(mails: Mails) -> [String; 2] {
    let (stays, index) = match mails {
        Mails::Outgoing => ("AND stays = 0", "mails_by_run_at"),
        Mails::Staying => ("AND stays = 1", "mails_staying"),
        Mails::All | Mails::Moving(_) => ("", "mails_by_run_at"),
    };
    [("=", "mails_verifications"), ("<>", index)].map(|(is, index)| {
        format!(
            "SELECT account_id, order_id, position, kind FROM mails INDEXED BY {index}
            WHERE kind {is} 'VERIFICATION' {stays} AND run_at <= ?1 AND account_id NOT IN (
                SELECT account_id FROM accounts INDEXED BY accounts_moving WHERE clock_at IS NOT NULL)
            ORDER BY run_at LIMIT ?3"
        )
    })
}

/// An account's waiting mails are few beside those of all: by the primary key.
const LOOK_OF_ACCOUNT: &str = "SELECT account_id, order_id, position, kind FROM mails
    WHERE account_id = ?4 AND +run_at <= ?5 ORDER BY kind <> 'VERIFICATION', +run_at LIMIT ?3";

fn take(
    group: &Group<'_>,
    mails: Mails,
    now: Timestamp,
    lease_end: Timestamp,
    limit: u32,
) -> Result<Vec<Claim>, StoreError> {
    let claims = match mails {
        Mails::All | Mails::Outgoing | Mails::Staying => {
            let mut claims: Vec<Claim> = Vec::new();
            for look in looks(mails) {
                let left = limit.saturating_sub(u32::try_from(claims.len()).unwrap_or(u32::MAX));
                let mut statement = group.connection().prepare_cached(&CLAIM.replace("LOOK", &look))?;
                for claim in statement.query_map(params![Column(now), Column(lease_end), left], read_claim)? {
                    claims.push(claim?);
                }
            }
            claims
        }
        Mails::Moving(account) => {
            let Some(until) = moving_until(group, account, now)? else { return Ok(Vec::new()) };
            group
                .connection()
                .prepare_cached(&CLAIM.replace("LOOK", LOOK_OF_ACCOUNT))?
                .query_map(params![Column(now), Column(lease_end), limit, account.0, Column(until)], read_claim)?
                .collect::<Result<_, _>>()?
        }
    };
    Ok(claims)
}

fn read_claim(row: &Row<'_>) -> rusqlite::Result<Claim> {
    Ok(Claim {
        account: AccountId(row.get(0)?),
        order: row.get::<_, Column<TimeId>>(1)?.0,
        position: row.get(2)?,
        kind: row.get::<_, Named<_>>(3)?.0,
        claim: row.get(4)?,
        send_number: row.get(5)?,
        attempts: row.get(6)?,
        due_at: row.get::<_, Column<Timestamp>>(7)?.0,
        tried_since: row.get::<_, Column<Timestamp>>(8)?.0,
    })
}

fn mailing(group: &Group<'_>, account: AccountId, order: TimeId) -> Result<Mailing, StoreError> {
    let owner = group.existing_account(account)?;
    let connection = group.connection();
    let mut statement = connection.prepare_cached(
        "SELECT k.order_type, o.currency, k.card_name, o.sender_name, o.subject, o.message, o.template_id,
            o.refund_option, o.kind_id, o.status
         FROM orders o JOIN order_kinds k USING (account_id, kind_id)
         WHERE o.account_id = ?1 AND o.order_id = ?2",
    )?;
    let mut rows = statement.query(params![account.0, Column(order)])?;
    let row = rows.next()?.ok_or_else(|| broken(format!("a mail of no order, {order}")))?;
    let template = TemplateId(row.get(6)?);
    let template = content_of(connection, account, template)?
        .ok_or_else(|| broken(format!("account {account} has no template {template}")))?;
    Ok(Mailing {
        order_id: OrderId { order_type: row.get::<_, Named<_>>(0)?.0, time: order },
        environment: owner.environment,
        clock: owner.clock,
        currency: row.get::<_, Column<_>>(1)?.0,
        card_name: row.get(2)?,
        sender_name: row.get(3)?,
        subject: row.get(4)?,
        message: row.get::<_, Option<_>>(5)?.or_else(|| template.message.clone()),
        template,
        refund_option: row.get(7)?,
        kind_id: row.get(8)?,
        status: row.get::<_, Named<_>>(9)?.0,
    })
}

/// An order is IN_PROGRESS from the first claim of a gift's mail on.
fn begin(group: &mut Group<'_>, account: AccountId, mailing: &mut Mailing) -> Result<(), StoreError> {
    if mailing.status != OrderStatus::Pending {
        return Ok(());
    }
    let order = mailing.order_id.time;
    group
        .connection()
        .prepare_cached("UPDATE orders SET status = 'IN_PROGRESS' WHERE account_id = ?1 AND order_id = ?2")?
        .execute(params![account.0, Column(order)])?;
    group.count_order(account, order, mailing.kind_id, Some(OrderStatus::Pending), OrderStatus::InProgress);
    mailing.status = OrderStatus::InProgress;
    Ok(())
}

fn delivery(group: &Group<'_>, claim: Claim, mailing: &Mailing) -> Result<ClaimedDelivery, StoreError> {
    let delivery = group
        .connection()
        .prepare_cached(
            "SELECT email, first_name, last_name, company, department, amount, link_version, expires_at
             FROM gifts WHERE account_id = ?1 AND order_id = ?2 AND position = ?3",
        )?
        .query_row(params![claim.account.0, Column(claim.order), claim.position], |row| {
            Ok(ClaimedDelivery {
                account_id: claim.account,
                environment: mailing.environment,
                clock: mailing.clock,
                gift: GiftId { order: mailing.order_id, position: claim.position },
                kind: claim.kind,
                claim: claim.claim,
                send_number: claim.send_number,
                attempts: claim.attempts,
                due_at: claim.due_at,
                tried_since: claim.tried_since,
                link_version: row.get(6)?,
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
                template: mailing.template.clone(),
                refund_option: mailing.refund_option,
                expires_at: instant(row, 7)?,
            })
        })?;
    Ok(delivery)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::example::database;

    #[test]
    fn a_claim_finds_the_few_that_are_due_by_an_index_and_changes_them_by_their_key() {
        let connection = database();
        let [verifications, others] = looks(Mails::All);
        let ([_, outgoing], [_, staying]) = (looks(Mails::Outgoing), looks(Mails::Staying));
        for (look, index) in [
            (verifications, "SEARCH mails USING COVERING INDEX mails_verifications (run_at<?)"),
            (others, "SEARCH mails USING COVERING INDEX mails_by_run_at (run_at<?)"),
            (outgoing, "SEARCH mails USING INDEX mails_by_run_at (run_at<?)"),
            (staying, "SEARCH mails USING COVERING INDEX mails_staying (run_at<?)"),
            (LOOK_OF_ACCOUNT.to_owned(), "SEARCH mails USING PRIMARY KEY (account_id=?)"),
        ] {
            let mut statement =
                connection.prepare(&format!("EXPLAIN QUERY PLAN {}", CLAIM.replace("LOOK", &look))).expect("a plan");
            let plan: Vec<String> =
                statement.raw_query().mapped(|row| row.get(3)).collect::<Result<_, _>>().expect("its steps");
            let key = "SEARCH mails USING PRIMARY KEY (account_id=? AND order_id=? AND position=? AND kind=?)";
            for step in [index, key] {
                assert!(plan.iter().any(|found| found == step), "{step}: {plan:?}");
            }
        }
    }
}
