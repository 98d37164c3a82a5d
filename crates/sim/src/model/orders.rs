//! Placing orders, canceling them, moving their instants.

use giftd_domain::Timestamp;
use giftd_domain::gifts::{DeliveryStatus, RedemptionStatus};
use giftd_domain::ids::{AccountId, OrderId};
use giftd_domain::ledger::{EntryType, Postings};
use giftd_domain::orders::OrderStatus;
use giftd_domain::orders::cancel::NotCancelable;
use giftd_domain::orders::place::PlaceOrder;
use giftd_domain::schedule::SendTiming;
use giftd_store::{Cancellation, Placed};
use jiff::SignedDuration;

use super::{Beside, Model, PlacedOrder};
use crate::command::Answer;

impl Model {
    pub(super) fn place(&mut self, command: &PlaceOrder) -> Answer {
        let account = self.account(command.account_id);
        if let Some(known) = account.keys.get(&command.idempotency_key) {
            let known = &account.orders[known];
            let same_request = known.fingerprint == command.fingerprint;
            return Answer::Placed(Placed::Known { order_id: known.order.summary.order_id, same_request });
        }
        let (required, available) = (command.total_cost, account.balances.available);
        if required > available {
            return Answer::Placed(Placed::Insufficient { required, available });
        }
        let time = account.next_id(command.now, command.entropy);
        let order_id = OrderId { order_type: command.order_type, time };
        let postings = Postings { available: -required, pending: required, ..Postings::default() };
        account.post(EntryType::Use, &order_id.to_string(), postings, command.now, command.entropy);
        account.refill(command.now, command.entropy);
        let order = command.clone().into_order(order_id);
        let due_at = account.node_time(command.run_at());
        let (key, fingerprint) = (command.idempotency_key.clone(), command.fingerprint);
        let gifts = vec![Beside::due_at(due_at); order.gifts.len()];
        account.keys.insert(key.clone(), time);
        account.orders.insert(time, PlacedOrder { key, fingerprint, order: order.clone(), gifts, erased: false });
        self.touch(command.account_id, order_id);
        Answer::Placed(Placed::New(Box::new(order)))
    }

    pub(super) fn cancel(&mut self, account: AccountId, id: OrderId, now: Timestamp, entropy: u128) -> Answer {
        self.touch(account, id);
        let account = self.account(account);
        let at = account.time(now);
        let Some(of) = account.orders.get_mut(&id.time).filter(|of| of.order.summary.order_id == id) else {
            return Answer::Cancellation(Cancellation::Unknown);
        };
        let summary = &mut of.order.summary;
        let refused = |why| Answer::Cancellation(Cancellation::Refused(why));
        let SendTiming::Scheduled(schedule) = &summary.timing else { return refused(NotCancelable::NotScheduled) };
        match summary.status {
            OrderStatus::Canceled => return Answer::Cancellation(Cancellation::Already),
            OrderStatus::InProgress | OrderStatus::Complete => return refused(NotCancelable::Dispatched),
            OrderStatus::Pending if schedule.send_at.duration_since(at) < SignedDuration::from_hours(1) => {
                return refused(NotCancelable::TooLate);
            }
            OrderStatus::Pending => {}
        }
        (summary.status, summary.canceled_at) = (OrderStatus::Canceled, Some(at));
        for (gift, beside) in of.order.gifts.iter_mut().zip(&mut of.gifts) {
            gift.delivery_status = DeliveryStatus::Canceled;
            gift.redemption_status = RedemptionStatus::Canceled;
            beside.mails.clear();
        }
        let order = of.order.clone();
        let cents = order.summary.total_cost;
        let postings = Postings { available: cents, pending: -cents, ..Postings::default() };
        account.post(EntryType::Refund, &id.to_string(), postings, at, entropy);
        Answer::Cancellation(Cancellation::Canceled(Box::new(order)))
    }

    pub(super) fn move_schedule(&mut self, account: AccountId, id: OrderId, from: Timestamp, to: Timestamp) -> Answer {
        self.touch(account, id);
        let account = self.account(account);
        let run_at = account.node_time(to);
        let Some(of) = account.orders.get_mut(&id.time).filter(|of| of.order.summary.order_id == id) else {
            return Answer::Was(false);
        };
        match (&mut of.order.summary.timing, of.order.summary.status) {
            (SendTiming::Scheduled(schedule), OrderStatus::Pending) if schedule.send_at == from => {
                schedule.send_at = to;
            }
            _ => return Answer::Was(false),
        }
        for mail in of.gifts.iter_mut().flat_map(|gift| gift.mails.values_mut()) {
            (mail.run_at, mail.due_at) = (run_at, run_at);
        }
        Answer::Was(true)
    }
}
