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
