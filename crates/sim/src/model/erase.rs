//! Forgetting to whom gifts went.

use giftd_domain::Timestamp;
use giftd_domain::gifts::Recipient;
use giftd_domain::gifts::events::EventType;
use giftd_domain::orders::OrderStatus;
use giftd_domain::orders::erase::Retention;
use giftd_store::Erased;
use jiff::SignedDuration;

use super::mails::lifetime;
use super::{Account, Model, PlacedOrder};
use crate::command::Answer;

/// Who is left.
pub const NOBODY: Recipient =
    Recipient { email: None, first_name: None, last_name: None, company: None, department: None };

impl Account {
    /// When the recipients of one of its orders are to be forgotten, by its own clock.
    fn forgotten_at(order: &PlacedOrder, kept: SignedDuration) -> Option<Timestamp> {
        let summary = &order.order.summary;
        let over = match summary.status {
            OrderStatus::Complete => summary.completed_at? + lifetime(summary.refund_option),
            OrderStatus::Canceled => summary.canceled_at?,
            OrderStatus::Pending | OrderStatus::InProgress => return None,
        };
        Some(over + kept)
    }
}

impl Model {
    /// All at once: a run never has so many orders at hand as one transaction takes.
    pub(super) fn erase(&mut self, retention: Retention, now: Timestamp) -> Answer {
        let days: i64 = retention.to_string().parse().expect("days");
        let kept = SignedDuration::from_hours(24 * days);
        let mut erased = Erased::default();
        let mut touched = Vec::new();
        for account in self.accounts.values_mut().filter(|account| account.clock.moving.is_none()) {
            let (id, at) = (account.id, account.time(now));
            for order in account.orders.values_mut().filter(|order| !order.erased) {
                if Account::forgotten_at(order, kept).is_none_or(|forgotten_at| forgotten_at > at) {
                    continue;
                }
                erased.orders += 1;
                erased.recipients += order.forget();
                let order_id = order.order.summary.order_id;
                account.kept_mails.retain(|(_, mail)| mail.order_id != Some(order_id));
                touched.push((id, order_id));
            }
        }
        touched.into_iter().for_each(|(account, order)| self.touch(account, order));
        Answer::Erased(erased)
    }
}

impl PlacedOrder {
    /// How many recipients it had.
    fn forget(&mut self) -> u64 {
        self.erased = true;
        if self.gifts.len() == 1 {
            let setting = &mut self.order.summary.email_setting;
            (setting.subject, setting.message) = (String::new(), None);
        }
        let mut recipients = 0;
        for (gift, beside) in self.order.gifts.iter_mut().zip(&mut self.gifts) {
            if gift.recipient.email.is_some() {
                recipients += 1;
                gift.recipient = NOBODY;
                gift.delivery_error = None;
            }
            beside.mails.clear();
            beside.verifications.clear();
            for event in &mut beside.events {
                if matches!(event.event_type, EventType::Sent | EventType::Failed | EventType::Resent) {
                    event.detail = None;
                }
            }
            for resend in &mut beside.resends {
                resend.from.clear();
                resend.to.iter_mut().for_each(String::clear);
            }
        }
        recipients
    }
}
