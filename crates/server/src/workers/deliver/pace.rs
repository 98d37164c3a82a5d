//! Mails a second at most: each sender takes the next moment before it sends.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Hands out moments that lie far enough apart.
pub(super) struct Pace {
    apart: Duration,
    next: Mutex<Duration>,
}

impl Pace {
    pub(super) fn new(rate: Option<u32>) -> Self {
        let apart = rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate.max(1));
        Self { apart, next: Mutex::new(Duration::ZERO) }
    }

    /// How long to wait at `now` before sending; the moment is taken.
    pub(super) fn wait(&self, now: Duration) -> Duration {
        if self.apart.is_zero() {
            return Duration::ZERO;
        }
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let moment = (*next).max(now);
        *next = moment + self.apart;
        moment - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mails_begin_no_faster_than_the_rate_and_missed_moments_are_gone() {
        let (pace, second) = (Pace::new(Some(4)), Duration::from_secs(1));
        let waits = [0, 0, 0].map(|_: u8| pace.wait(second).as_millis());
        assert_eq!(waits, [0, 250, 500]);
        assert_eq!(pace.wait(second * 10), Duration::ZERO);
        assert_eq!(pace.wait(second * 10).as_millis(), 250, "no burst after a quiet time");
        assert_eq!(Pace::new(None).wait(second), Duration::ZERO);
    }
}
