//! Canceling an order.

use jiff::{SignedDuration, Timestamp};

use super::{OrderStatus, OrderSummary};
use crate::limits;
use crate::schedule::SendTiming;

/// Why an order can't be canceled (any more).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCancelable {
    /// It went out at once.
    #[error("The order goes out as soon as it is placed; only a scheduled order can be canceled.")]
    NotScheduled,
    /// Its first gift was picked up.
    #[error("The order is already being delivered.")]
    Dispatched,
    /// Less than an hour is left.
    #[error("The order goes out in less than an hour.")]
    TooLate,
}

/// What canceling an order means now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelDecision {
    /// All of it is taken back.
    Cancel,
    /// It was before; nothing moves.
    Already,
    /// Nothing happens.
    Refuse(NotCancelable),
}

impl OrderSummary {
    /// What canceling means at `at`, by the account's clock.
    pub fn cancel(&self, at: Timestamp) -> CancelDecision {
        let SendTiming::Scheduled(schedule) = &self.timing else {
            return CancelDecision::Refuse(NotCancelable::NotScheduled);
        };
        match self.status {
            OrderStatus::Canceled => CancelDecision::Already,
            OrderStatus::InProgress | OrderStatus::Complete => CancelDecision::Refuse(NotCancelable::Dispatched),
            OrderStatus::Pending
                if schedule.send_at.duration_since(at) < SignedDuration::from_mins(limits::CANCEL_MINUTES) =>
            {
                CancelDecision::Refuse(NotCancelable::TooLate)
            }
            OrderStatus::Pending => CancelDecision::Cancel,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{OrderId, TemplateId, TimeId};
    use crate::money::Money;
    use crate::orders::{CardType, EmailSetting, OrderType};
    use crate::schedule::Schedule;

    fn send_at() -> Timestamp {
        "2026-12-24T09:00:00Z".parse().expect("an instant")
    }

    fn order(status: OrderStatus, timing: SendTiming) -> OrderSummary {
        OrderSummary {
            order_id: OrderId { order_type: OrderType::OneTime, time: TimeId::from_bits(7 << 80) },
            card_type: CardType::BrandedCard,
            status,
            product_id: "10001".to_owned(),
            card_name: "Coffee Roasters US".to_owned(),
            creator: "Payroll".to_owned(),
            timing,
            email_setting: EmailSetting {
                sender_name: "Acme Corp".to_owned(),
                subject: "A gift for you!".to_owned(),
                message: None,
                template_id: TemplateId(12),
            },
            refund_option: false,
            recipient_count: 1,
            total_amount: Money::usd(1_000),
            total_cost: 1_000,
            fx_rate: None,
            completed_at: None,
            canceled_at: None,
        }
    }

    #[test]
    fn only_a_scheduled_pending_order_with_an_hour_left_is_canceled() {
        use CancelDecision::{Already, Cancel, Refuse};
        use OrderStatus::{Canceled, Complete, InProgress, Pending};
        let scheduled = || {
            SendTiming::Scheduled(Schedule {
                local: jiff::civil::date(2026, 12, 24).at(9, 0, 0, 0),
                timezone: "UTC".to_owned(),
                send_at: send_at(),
            })
        };
        let hour = SignedDuration::from_hours(1);
        let microsecond = SignedDuration::from_micros(1);
        let zero = SignedDuration::ZERO;
        let days = SignedDuration::from_hours(24 * 366);
        for (status, left, expected) in [
            (Pending, days, Cancel),
            (Pending, hour, Cancel),
            (Pending, hour.saturating_sub(microsecond), Refuse(NotCancelable::TooLate)),
            (Pending, zero, Refuse(NotCancelable::TooLate)),
            (Pending, zero.saturating_sub(hour), Refuse(NotCancelable::TooLate)),
            (InProgress, hour, Refuse(NotCancelable::Dispatched)),
            (InProgress, zero, Refuse(NotCancelable::Dispatched)),
            (Complete, days, Refuse(NotCancelable::Dispatched)),
            (Canceled, hour, Already),
            (Canceled, zero, Already),
        ] {
            let at = send_at().saturating_sub(left).expect("an instant");
            assert_eq!(order(status, scheduled()).cancel(at), expected, "{status:?}, {left} left");
        }
        for status in [Pending, InProgress, Complete] {
            let decision = order(status, SendTiming::Immediate).cancel(send_at());
            assert_eq!(decision, Refuse(NotCancelable::NotScheduled), "{status:?}");
        }
    }
}
