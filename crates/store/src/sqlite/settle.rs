//! Settling what became of claimed mails.

use std::collections::{BTreeMap, HashMap};

use giftd_domain::Timestamp;
use giftd_domain::account::AccountClock;
use giftd_domain::gifts::events::NewEvent;
use giftd_domain::gifts::{DeliveryOutcome, DeliveryStatus, MailKind, Reminders, Settlement, expires_at};
use giftd_domain::ids::{AccountId, GiftKey, OrderId};
use giftd_domain::orders::OrderStatus;
use rusqlite::params;

use super::error::broken;
use super::events;
use super::group::Group;
use super::rows::{Column, Named, name};
use crate::{SettleDelivery, Settled, StoreError};

/// Gifts of one order that this settlement sent or failed for the first time.
#[derive(Default)]
struct Closed {
    gifts: i64,
    cents: i64,
}

/// When a settlement happens, and when the gifts that it gives an expiry turn.
struct Settling<'a> {
    now: Timestamp,
    reminders: &'a Reminders,
}

impl Settling<'_> {
    /// When a gift that expires at `expires_at` turns first, by the node's clock.
    fn wake_at(&self, clock: &AccountClock, expires_at: Timestamp) -> Timestamp {
        clock.node_time(self.reminders.next(expires_at, clock.shown_at(self.now)))
    }
}

/// Settles each outcome whose claim is still the latest, then the orders that they belong to.
pub(super) fn settle_deliveries(
    group: &mut Group<'_>,
    settlements: Vec<SettleDelivery>,
    reminders: &Reminders,
    now: Timestamp,
    entropy: u128,
) -> Result<Settled, StoreError> {
    let settling = Settling { now, reminders };
    let mut settled = Settled::default();
    let mut clocks = HashMap::new();
    let mut closed: BTreeMap<(AccountId, OrderId), Closed> = BTreeMap::new();
    for SettleDelivery { settlement, retry_at } in settlements {
        let is_retry = matches!(settlement.outcome, DeliveryOutcome::Retry { .. });
        if !release(group, &settlement, is_retry.then_some(retry_at))? {
            settled.dropped += 1;
            continue;
        }
        settled.settled += 1;
        if settlement.kind != MailKind::Gift {
            continue;
        }
        let clock = match clocks.entry(settlement.account_id) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(group.existing_account(settlement.account_id)?.clock)
            }
        };
        let (before, cost) = settling.record(group, &settlement, clock)?;
        if !is_retry && before == DeliveryStatus::Pending {
            let order = closed.entry((settlement.account_id, settlement.gift.order)).or_default();
            order.gifts += 1;
            order.cents += cost;
        }
    }
    for ((account, order), closed) in closed {
        if settling.close_gifts(group, account, order, &closed, entropy)? {
            settled.completed_orders += 1;
        }
    }
    Ok(settled)
}

/// Ends the claim: the mail is gone, or due again. `false` where the claim isn't the latest.
fn release(group: &Group<'_>, settlement: &Settlement, retry_at: Option<Timestamp>) -> Result<bool, StoreError> {
    let (account, gift, claim) = (settlement.account_id.0, settlement.gift, settlement.claim);
    let (order, kind) = (Column(gift.order.time), name(settlement.kind));
    let released = match retry_at {
        Some(retry_at) => group
            .connection()
            .prepare_cached(
                "UPDATE mails SET run_at = ?6, claim = claim + 1, attempts = attempts + 1
                 WHERE account_id = ?1 AND order_id = ?2 AND position = ?3 AND kind = ?4 AND claim = ?5",
            )?
            .execute(params![account, order, gift.position, kind, claim, Column(retry_at)])?,
        None => group
            .connection()
            .prepare_cached(
                "DELETE FROM mails
                 WHERE account_id = ?1 AND order_id = ?2 AND position = ?3 AND kind = ?4 AND claim = ?5",
            )?
            .execute(params![account, order, gift.position, kind, claim])?,
    };
    Ok(released == 1)
}

impl Settling<'_> {
    /// Writes the outcome into the gift; tells its delivery status before, and its cost in cents.
    fn record(
        &self,
        group: &Group<'_>,
        settlement: &Settlement,
        clock: &AccountClock,
    ) -> Result<(DeliveryStatus, i64), StoreError> {
        let gift = GiftKey {
            account_id: settlement.account_id,
            order: settlement.gift.order.time,
            position: settlement.gift.position,
        };
        let key = params![gift.account_id.0, Column(gift.order), gift.position];
        let (before, cost, email, refund_option) = group
            .connection()
            .prepare_cached(
                "SELECT g.delivery_status, g.cost, g.email, o.refund_option
                 FROM gifts g JOIN orders o USING (account_id, order_id)
                 WHERE g.account_id = ?1 AND g.order_id = ?2 AND g.position = ?3",
            )?
            .query_row(key, |row| {
                let email: Option<String> = row.get(2)?;
                Ok((row.get::<_, Named<DeliveryStatus>>(0)?.0, row.get(1)?, email, row.get(3)?))
            })?;
        let (status, sent_at, error) = match &settlement.outcome {
            DeliveryOutcome::Sent { at } => (DeliveryStatus::Sent, Some(clock.shown_at(*at)), None),
            DeliveryOutcome::Failed { error, .. } => (DeliveryStatus::Failed, None, Some(error)),
            // What was sent before stays sent, and its resend is still being tried.
            DeliveryOutcome::Retry { error, .. } => (before, None, (before != DeliveryStatus::Sent).then_some(error)),
        };
        let expires = sent_at.map(|sent_at| expires_at(sent_at, refund_option));
        let event = match &settlement.outcome {
            DeliveryOutcome::Sent { at } => Some((at, NewEvent::sent(email.as_deref()))),
            DeliveryOutcome::Failed { at, error } => Some((at, NewEvent::failed(error))),
            DeliveryOutcome::Retry { .. } => None,
        };
        let events = group
            .connection()
            .prepare_cached(
                "UPDATE gifts SET delivery_status = ?4, delivery_attempts = delivery_attempts + 1, delivery_error = ?5,
                    sent_at = COALESCE(sent_at, ?6), expires_at = COALESCE(expires_at, ?7),
                    wake_at = CASE WHEN expires_at IS NULL THEN ?8 ELSE wake_at END, events = events + ?9
                 WHERE account_id = ?1 AND order_id = ?2 AND position = ?3 RETURNING events",
            )?
            .query_row(
                params![
                    gift.account_id.0,
                    Column(gift.order),
                    gift.position,
                    name(status),
                    error,
                    sent_at.map(Column),
                    expires.map(Column),
                    expires.map(|expires| Column(self.wake_at(clock, expires))),
                    event.is_some()
                ],
                |row| row.get(0),
            )?;
        if let Some((at, event)) = event {
            events::insert(group, gift, events, clock.shown_at(*at), &event)?;
        }
        Ok((before, cost))
    }

    /// Posts the closed gifts of an order as issued; `true` where they were the last open ones, so that the
    /// order is complete now.
    fn close_gifts(
        &self,
        group: &mut Group<'_>,
        account_id: AccountId,
        order: OrderId,
        closed: &Closed,
        entropy: u128,
    ) -> Result<bool, StoreError> {
        let mut account = group.existing_account(account_id)?;
        let clock = account.clock;
        let at = clock.shown_at(self.now);
        let entry = account
            .issue(closed.cents, &order.to_string(), at, entropy)
            .map_err(|error| broken(format!("issuing {} cents of {order}: {error}", closed.cents)))?;
        group.post(account_id, &entry)?;
        group.set_account(account);
        let (open, kind, status, refund_option) = group
            .connection()
            .prepare_cached(
                "UPDATE orders SET open_gifts = open_gifts - ?3 WHERE account_id = ?1 AND order_id = ?2
                 RETURNING open_gifts, kind_id, status, refund_option",
            )?
            .query_row(params![account_id.0, Column(order.time), closed.gifts], |row| {
                Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get::<_, Named<OrderStatus>>(2)?.0, row.get(3)?))
            })?;
        if open > 0 {
            return Ok(false);
        }
        group
            .connection()
            .prepare_cached(
                "UPDATE orders SET status = 'COMPLETE', completed_at = ?3 WHERE account_id = ?1 AND order_id = ?2",
            )?
            .execute(params![account_id.0, Column(order.time), Column(at)])?;
        let expires_at = expires_at(at, refund_option);
        group
            .connection()
            .prepare_cached(
                "UPDATE gifts SET expires_at = ?3, wake_at = ?4
                 WHERE account_id = ?1 AND order_id = ?2 AND delivery_status = 'FAILED' AND expires_at IS NULL",
            )?
            .execute(params![
                account_id.0,
                Column(order.time),
                Column(expires_at),
                Column(self.wake_at(&clock, expires_at))
            ])?;
        group.count_order(account_id, order.time, kind, Some(status), OrderStatus::Complete);
        Ok(true)
    }
}
