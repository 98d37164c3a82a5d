//! Placing an order.

use giftd_domain::Timestamp;
use giftd_domain::ids::{AccountId, OrderId, TimeId};
use giftd_domain::orders::OrderStatus;
use giftd_domain::orders::place::{Decision, NewGift, PlaceOrder};
use giftd_domain::schedule::SendTiming;
use rusqlite::params;

use super::error::broken;
use super::group::Group;
use super::orders::order_by_key;
use super::rows::{Column, name, signed};
use crate::{Placed, StoreError};

/// Looks at the key, decides, and writes all of the order or nothing.
pub(super) fn place_order(group: &mut Group<'_>, command: PlaceOrder) -> Result<Placed, StoreError> {
    let account_id = command.account_id;
    let known = order_by_key(group.connection(), account_id, &command.idempotency_key)?;
    let mut account = group.existing_account(account_id)?;
    match command.decide(&mut account, known) {
        Decision::Known(known) => {
            Ok(Placed::Known { order_id: known.order_id, same_request: known.fingerprint == command.fingerprint })
        }
        Decision::Insufficient { required, available } => Ok(Placed::Insufficient { required, available }),
        Decision::Impossible => Err(broken(format!("account {account_id} can't take an order"))),
        Decision::Place { order_id, entries } => {
            let kind = group.kind_id(account_id, command.kind())?;
            insert_order(group, &command, order_id, kind)?;
            let run_at = account.clock.node_time(command.run_at());
            let stays = command.mails_stay(account.environment);
            for (position, gift) in (1_u32..).zip(&command.gifts) {
                insert_gift(group, &command, order_id.time, position, gift)?;
                insert_mail(group, account_id, order_id.time, position, run_at, stays)?;
            }
            for entry in &entries {
                group.post(account_id, entry)?;
            }
            group.count_order(account_id, order_id.time, kind, None, OrderStatus::Pending);
            group.set_account(account);
            Ok(Placed::New(Box::new(command.into_order(order_id))))
        }
    }
}

fn insert_order(group: &Group<'_>, command: &PlaceOrder, order_id: OrderId, kind: i64) -> Result<(), StoreError> {
    let (scheduled_at, timezone, send_at) = match &command.timing {
        SendTiming::Immediate => (None, None, order_id.time.created_at()),
        SendTiming::Scheduled(schedule) => {
            (Some(schedule.local.to_string()), Some(schedule.timezone.as_str()), schedule.send_at)
        }
    };
    group
        .connection()
        .prepare_cached(
            "INSERT INTO orders (account_id, order_id, kind_id, status, idempotency_key, fingerprint, product_id,
                scheduled_at, timezone, send_at, sender_name, subject, message, template_id, refund_option,
                currency, total_amount, total_cost, fx_rate, recipient_count, open_gifts)
             VALUES (?1, ?2, ?3, 'PENDING', ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?19)",
        )?
        .execute(params![
            command.account_id.0,
            Column(order_id.time),
            kind,
            command.idempotency_key,
            command.fingerprint,
            command.product_id,
            scheduled_at,
            timezone,
            Column(send_at),
            command.email_setting.sender_name,
            command.email_setting.subject,
            command.email_setting.message,
            command.email_setting.template_id.0,
            command.refund_option,
            command.total_amount.currency.code(),
            command.total_amount.minor,
            command.total_cost,
            command.fx_rate.map(|rate| rate.to_string()),
            signed(command.gifts.len()),
        ])?;
    Ok(())
}

fn insert_gift(
    group: &Group<'_>,
    command: &PlaceOrder,
    order: TimeId,
    position: u32,
    gift: &NewGift,
) -> Result<(), StoreError> {
    group
        .connection()
        .prepare_cached(
            "INSERT INTO gifts (account_id, order_id, position, email, first_name, last_name, company, department,
                amount, cost, delivery_status, delivery_attempts, redemption_status)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'PENDING', 0, ?11)",
        )?
        .execute(params![
            command.account_id.0,
            Column(order),
            position,
            gift.recipient.email,
            gift.recipient.first_name,
            gift.recipient.last_name,
            gift.recipient.company,
            gift.recipient.department,
            gift.amount,
            gift.cost,
            name(giftd_domain::gifts::RedemptionStatus::Unredeemed),
        ])?;
    Ok(())
}

fn insert_mail(
    group: &Group<'_>,
    account: AccountId,
    order: TimeId,
    position: u32,
    run_at: Timestamp,
    stays: bool,
) -> Result<(), StoreError> {
    group
        .connection()
        .prepare_cached(
            "INSERT INTO mails (account_id, order_id, position, kind, run_at, due_at, stays)
             VALUES (?1, ?2, ?3, 'GIFT', ?4, ?4, ?5)",
        )?
        .execute(params![account.0, Column(order), position, Column(run_at), stays])?;
    Ok(())
}
