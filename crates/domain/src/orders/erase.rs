//! Erasing to whom gifts went, once nobody needs it any more. The money, the codes and what happened stay.

use jiff::{SignedDuration, Timestamp};

use super::OrderStatus;
use crate::gifts::lasts;
use crate::limits;

/// How long an order's recipients are known after the last of its gifts is over: it has expired, or the order was
/// canceled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    days: i64,
}

impl Retention {
    /// So many days; none where they aren't from [`limits::RECIPIENTS_KEPT_DAYS_LEAST`] to
    /// [`limits::RECIPIENTS_KEPT_DAYS`].
    pub fn days(days: i64) -> Option<Self> {
        (limits::RECIPIENTS_KEPT_DAYS_LEAST..=limits::RECIPIENTS_KEPT_DAYS).contains(&days).then_some(Self { days })
    }

    /// Up to when orders must have ended, if their recipients are to be erased at `at`; both by the account's clock.
    /// Orders of no other status have.
    ///
    /// No gift of a completed order expires later than one that was sent, or failed, as the order was completed.
    pub fn ends(self, at: Timestamp) -> [End; 4] {
        let kept = SignedDuration::from_hours(self.days.saturating_mul(24));
        let end = |status, refund_option, lasted: SignedDuration| End {
            status,
            refund_option,
            until: at.saturating_sub(kept.saturating_add(lasted)).unwrap_or(Timestamp::MIN),
        };
        [
            end(OrderStatus::Complete, false, lasts(false)),
            end(OrderStatus::Complete, true, lasts(true)),
            end(OrderStatus::Canceled, false, SignedDuration::ZERO),
            end(OrderStatus::Canceled, true, SignedDuration::ZERO),
        ]
    }
}

/// Orders that end alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// COMPLETE or CANCELED.
    pub status: OrderStatus,
    /// Whether their gifts last shorter.
    pub refund_option: bool,
    /// When they were completed or canceled at the latest.
    pub until: Timestamp,
}

/// As the setting is written: a number of days.
impl std::fmt::Display for Retention {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.days)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gifts::expires_at;

    #[test]
    fn recipients_are_kept_as_long_as_a_code_can_be_seen() {
        for (days, is_legal) in [(-1, false), (0, false), (29, false), (30, true), (36_500, true), (36_501, false)] {
            assert_eq!(Retention::days(days).is_some(), is_legal, "{days}");
        }
        assert_eq!(Retention::days(90).map(|retention| retention.to_string()).as_deref(), Some("90"));
    }

    #[test]
    fn they_are_erased_so_long_after_the_last_gifts_expiry_or_the_cancellation() {
        let ended: Timestamp = "2026-11-22T18:30:00.000001Z".parse().expect("an instant");
        let kept = SignedDuration::from_hours(45 * 24);
        let retention = Retention::days(45).expect("legal");
        let until = |status, refund_option, at| {
            let mut ends = retention.ends(at).into_iter();
            ends.find(|end| (end.status, end.refund_option) == (status, refund_option)).map(|end| end.until)
        };
        for refund_option in [false, true] {
            let over = expires_at(ended, refund_option).saturating_add(kept).expect("an instant");
            assert_eq!(until(OrderStatus::Complete, refund_option, over), Some(ended));
            let over = ended.saturating_add(kept).expect("an instant");
            assert_eq!(until(OrderStatus::Canceled, refund_option, over), Some(ended));
            for open in [OrderStatus::Pending, OrderStatus::InProgress] {
                assert_eq!(until(open, refund_option, Timestamp::MAX), None);
            }
        }
        assert!(retention.ends(Timestamp::MIN).iter().all(|end| end.until == Timestamp::MIN));
    }
}
