//! Proving that one controls the address of a gift: a mail with a link that is good for ten minutes, once.
//! All of this goes by real time, also in a sandbox.

use jiff::{SignedDuration, Timestamp};

use super::redemption::NotRedeemable;
use crate::limits;

/// What became of asking for a verification mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerificationRequested {
    /// It will be mailed; the number makes its link.
    Requested {
        /// Counts the gift's verifications, from 1.
        number: u32,
    },
    /// Too many were asked for.
    TooMany {
        /// How long until one more may be.
        wait: SignedDuration,
    },
    /// The gift is not there, canceled, or hasn't gone out; or it has no address.
    Refused(NotRedeemable),
}

/// What became of a verification's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// Whoever has it controls the address.
    Yes,
    /// It was used before.
    Used,
    /// It is older than ten minutes.
    TooOld,
    /// There is no such verification, or the gift moved to another address since.
    Unknown,
}

/// Whether one more verification may be asked for at `now`, after those asked for at `earlier` (at least the
/// last day's). `Err` is how long to wait.
pub fn may_request(earlier: &[Timestamp], now: Timestamp) -> Result<(), SignedDuration> {
    let short = (limits::VERIFICATIONS_SHORTLY, SignedDuration::from_mins(limits::VERIFICATION_MINUTES));
    let long = (limits::VERIFICATIONS_A_DAY, SignedDuration::from_hours(24));
    let mut wait = SignedDuration::ZERO;
    for (most, window) in [short, long] {
        let mut within: Vec<Timestamp> =
            earlier.iter().copied().filter(|at| now.duration_since(*at) < window).collect();
        within.sort_unstable();
        // One more may come once the `most`th youngest leaves the window.
        if let Some(at) = within.len().checked_sub(most).and_then(|index| within.get(index)) {
            wait = wait.max(window.saturating_sub(now.duration_since(*at)));
        }
    }
    if wait.is_positive() { Err(wait) } else { Ok(()) }
}

/// Whether a verification asked for at `requested_at` is still good at `now`.
pub fn is_good(requested_at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(requested_at) <= SignedDuration::from_mins(limits::VERIFICATION_MINUTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH.saturating_add(SignedDuration::from_mins(minutes)).expect("an instant")
    }

    #[test]
    fn at_most_3_in_10_minutes_and_10_a_day() {
        assert_eq!(may_request(&[], at(0)), Ok(()));
        assert_eq!(may_request(&[at(0), at(1)], at(2)), Ok(()));
        assert_eq!(may_request(&[at(0), at(1), at(2)], at(3)), Err(SignedDuration::from_mins(7)));
        assert_eq!(may_request(&[at(0), at(1), at(2)], at(10)), Ok(()));
        let ten: Vec<_> = (0..10).map(|n| at(n * 20)).collect();
        assert_eq!(may_request(&ten, at(200)), Err(SignedDuration::from_mins(24 * 60 - 200)));
        assert_eq!(may_request(&ten, at(24 * 60)), Ok(()));
    }

    #[test]
    fn a_link_is_good_for_10_minutes() {
        assert!(is_good(at(0), at(10)));
        assert!(!is_good(at(0), at(11)));
    }
}
