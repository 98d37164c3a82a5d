//! When a gift is reminded of, when it expires, and what returns then.

use jiff::{SignedDuration, Timestamp};

use super::{DeliveryStatus, Gift, RedemptionStatus};
use crate::limits;

/// When a gift expires that was sent (or, never sent, whose order was completed) at `from`.
pub fn expires_at(from: Timestamp, refund_option: bool) -> Timestamp {
    from.saturating_add(lasts(refund_option)).unwrap_or(Timestamp::MAX)
}

/// How long a gift lasts.
pub fn lasts(refund_option: bool) -> SignedDuration {
    SignedDuration::from_hours(if refund_option { limits::EXPIRY_HOURS_WITH_REFUND } else { limits::EXPIRY_HOURS })
}

/// How long before its expiry a gift's recipient is reminded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reminders(Vec<SignedDuration>);

impl Reminders {
    /// Reminders so long before expiry; none that isn't before it.
    pub fn new(before: impl IntoIterator<Item = SignedDuration>) -> Self {
        let mut before: Vec<_> = before.into_iter().filter(|before| before.is_positive()).collect();
        before.sort_unstable();
        before.dedup();
        before.reverse();
        Self(before)
    }

    /// The first instant after `after` at which something happens to a gift that expires at `expires_at`:
    /// a reminder or, after the last one, the expiry.
    pub fn next(&self, expires_at: Timestamp, after: Timestamp) -> Timestamp {
        let reminder = self.0.iter().filter_map(|before| expires_at.checked_sub(*before).ok()).find(|at| *at > after);
        reminder.unwrap_or(expires_at)
    }

    /// Which reminder an instant belongs to, from 1: those that are due then.
    pub fn number(&self, expires_at: Timestamp, at: Timestamp) -> u32 {
        let due = self.0.iter().filter(|before| expires_at.checked_sub(**before).is_ok_and(|due| due <= at)).count();
        u32::try_from(due).unwrap_or(u32::MAX)
    }
}

/// As the setting is written: `7d,1d`, or `none`.
impl std::fmt::Display for Reminders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (index, before) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let (hours, seconds) = (before.as_hours(), before.as_secs());
            match hours.checked_rem(24) {
                Some(0) if hours.saturating_mul(3_600) == seconds => {
                    write!(f, "{comma}{}d", hours.checked_div(24).unwrap_or(0))?;
                }
                _ if hours.saturating_mul(3_600) == seconds => write!(f, "{comma}{hours}h")?,
                _ => write!(f, "{comma}{seconds}s")?,
            }
        }
        Ok(())
    }
}

/// What happens to a gift whose next instant has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Its recipient is reminded; then it waits until `next`.
    Remind {
        /// The reminder's number, from 1.
        number: u32,
        /// The instant of the account's clock at which it turns again.
        next: Timestamp,
    },
    /// Nobody needs a reminder; it waits until `next`.
    Wait {
        /// The instant of the account's clock at which it turns again.
        next: Timestamp,
    },
    /// It expires.
    Expire(Expiry),
    /// Nothing happens to it any more by itself: it is used up or canceled, or redemptions under way hold
    /// all that is left; when such a one is released, that part expires ([`Gift::expire`]).
    Rest,
}

/// What a gift's expiry does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// Cents of the cost that become void now.
    pub voided: i64,
    /// Cents that return to available now; 0 without the refund option.
    pub refund: i64,
    /// What `refunded` is afterwards.
    pub refunded: Option<i64>,
}

impl Gift {
    /// What happens at `at`, by the account's clock.
    pub fn turn(&self, refund_option: bool, at: Timestamp, reminders: &Reminders) -> Turn {
        let Some(expires_at) = self.expires_at else { return Turn::Rest };
        let is_open =
            matches!(self.redemption_status, RedemptionStatus::Unredeemed | RedemptionStatus::PartiallyRedeemed);
        if !is_open {
            return Turn::Rest;
        }
        if at >= expires_at {
            return if self.open() > 0 { Turn::Expire(self.expire(refund_option)) } else { Turn::Rest };
        }
        let next = reminders.next(expires_at, at);
        let reaches_someone = self.delivery_status == DeliveryStatus::Sent && self.recipient.email.is_some();
        match reminders.number(expires_at, at) {
            number if number > 0 && reaches_someone && self.open() > 0 => Turn::Remind { number, next },
            _ => Turn::Wait { next },
        }
    }

    /// Makes what is open void, and tells what returns. Refunds are 70 % of all that was ever void of this
    /// gift, rounded half-up once, so that parts never add up to more or less.
    pub fn expire(&self, refund_option: bool) -> Expiry {
        let voided = self.open();
        if !refund_option {
            return Expiry { voided, refund: 0, refunded: self.refunded };
        }
        let before = self.refunded.unwrap_or(0);
        let total = seventy_percent(self.voided.saturating_add(voided));
        Expiry { voided, refund: total.saturating_sub(before).max(0), refunded: Some(total.max(before)) }
    }
}

/// 70 % of `cents`, rounded half-up.
fn seventy_percent(cents: i64) -> i64 {
    let tenths = i128::from(cents).saturating_mul(7).saturating_add(5);
    i64::try_from(tenths.checked_div(10).unwrap_or(0)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::Recipient;
    use super::*;

    fn gift(cost: i64) -> Gift {
        Gift {
            position: 1,
            recipient: Recipient {
                email: Some("alice@example.com".to_owned()),
                first_name: None,
                last_name: None,
                company: None,
                department: None,
            },
            amount: cost,
            cost,
            delivery_status: DeliveryStatus::Sent,
            delivery_attempts: 1,
            delivery_error: None,
            sent_at: Some(sent()),
            redemption_status: RedemptionStatus::Unredeemed,
            redeemed_at: None,
            expires_at: Some(expires_at(sent(), true)),
            redeemed: 0,
            reserved: 0,
            voided: 0,
            refunded: None,
            link_version: 1,
        }
    }

    fn sent() -> Timestamp {
        "2026-11-22T18:30:00Z".parse().expect("an instant")
    }

    fn later(days: i64) -> Timestamp {
        sent().saturating_add(SignedDuration::from_hours(days.saturating_mul(24))).expect("an instant")
    }

    fn reminders() -> Reminders {
        Reminders::new([24, 7 * 24].map(SignedDuration::from_hours))
    }

    #[test]
    fn a_gift_turns_at_its_reminders_and_at_its_expiry() {
        let expires_at = later(30);
        assert_eq!(reminders().next(expires_at, sent()), later(23));
        assert_eq!(reminders().next(expires_at, later(23)), later(29));
        assert_eq!(reminders().next(expires_at, later(29)), expires_at);
        assert_eq!(Reminders::default().next(expires_at, sent()), expires_at);
        let gift = gift(1_000);
        assert_eq!(gift.turn(true, later(23), &reminders()), Turn::Remind { number: 1, next: later(29) });
        assert_eq!(gift.turn(true, later(29), &reminders()), Turn::Remind { number: 2, next: later(30) });
        // After a day without a node both are due: one mail.
        let late = later(29).saturating_add(SignedDuration::from_hours(5)).expect("an instant");
        assert_eq!(gift.turn(true, late, &reminders()), Turn::Remind { number: 2, next: later(30) });
        let expiry = Expiry { voided: 1_000, refund: 700, refunded: Some(700) };
        assert_eq!(gift.turn(true, later(30), &reminders()), Turn::Expire(expiry));
    }

    #[test]
    fn nobody_is_reminded_of_a_gift_that_reached_nobody_or_is_used_up() {
        let failed = Gift { delivery_status: DeliveryStatus::Failed, ..gift(1_000) };
        assert_eq!(failed.turn(true, later(23), &reminders()), Turn::Wait { next: later(29) });
        let used = Gift { redeemed: 1_000, redemption_status: RedemptionStatus::Redeemed, ..gift(1_000) };
        assert_eq!(used.turn(true, later(23), &reminders()), Turn::Rest);
        assert_eq!(used.turn(true, later(30), &reminders()), Turn::Rest);
    }

    #[test]
    fn a_refund_is_70_percent_of_the_unredeemed_part_rounded_half_up() {
        for (cost, refund) in [(10_000, 7_000), (1, 1), (2, 1), (3, 2), (5, 4), (15, 11), (3_338, 2_337)] {
            assert_eq!(gift(cost).expire(true).refund, refund, "{cost}");
            let none = Expiry { voided: cost, refund: 0, refunded: None };
            assert_eq!(gift(cost).expire(false), none);
        }
        let partly = Gift { redeemed: 2_500, ..gift(10_000) };
        assert_eq!(partly.expire(true), Expiry { voided: 7_500, refund: 5_250, refunded: Some(5_250) });
    }

    #[test]
    fn a_reserved_part_does_not_expire_and_when_released_later_the_parts_add_up_to_the_whole() {
        let whole = Gift { reserved: 1_000, ..gift(1_000) };
        assert_eq!(whole.turn(true, later(30), &reminders()), Turn::Rest);
        let partly = Gift { reserved: 5, ..gift(15) };
        let first = partly.expire(true);
        assert_eq!(first, Expiry { voided: 10, refund: 7, refunded: Some(7) });
        let released = Gift { reserved: 0, voided: 10, refunded: Some(7), ..gift(15) };
        assert_eq!(released.expire(true), Expiry { voided: 5, refund: 4, refunded: Some(11) });
    }
}
