//! A relay that refuses us refuses every mail: after some faults of ours in a row sending pauses, so
//! that a misconfigured relay doesn't use up the attempts of 10,000 gifts. After the pause one mail at
//! a time tries whether it was mended.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Faults in a row that pause sending.
const FAULTS: u32 = 20;
/// How long it pauses.
const PAUSE: Duration = Duration::from_secs(60);

/// Counts faults in a row.
pub(super) struct Pause(Mutex<State>);

struct State {
    in_a_row: u32,
    until: Duration,
}

impl Pause {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State { in_a_row: 0, until: Duration::ZERO }))
    }

    /// How many mails may be claimed at `now`.
    pub(super) fn limit(&self, now: Duration) -> u32 {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state.in_a_row {
            0..FAULTS => u32::MAX,
            _ if now < state.until => 0,
            _ => 1,
        }
    }

    /// The relay took a mail, or had something to say about its recipient.
    pub(super) fn works(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).in_a_row = 0;
    }

    /// A fault of ours at `now`. Whether this begins a pause, and how long it is.
    pub(super) fn fault(&self, now: Duration) -> Option<Duration> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.in_a_row = state.in_a_row.saturating_add(1);
        let begins = state.in_a_row >= FAULTS && now >= state.until;
        if begins {
            state.until = now + PAUSE;
        }
        begins.then_some(PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_faults_in_a_row_pause_sending_and_then_one_mail_tries() {
        let (pause, now) = (Pause::new(), Duration::from_secs(1));
        for _ in 0..19 {
            assert_eq!(pause.fault(now), None);
        }
        pause.works();
        for _ in 0..19 {
            assert_eq!(pause.fault(now), None);
        }
        assert_eq!(pause.limit(now), u32::MAX);
        assert_eq!(pause.fault(now), Some(PAUSE));
        assert_eq!(pause.fault(now), None, "what was in hand makes it no longer");
        assert_eq!(pause.limit(now), 0);
        let later = now + PAUSE;
        assert_eq!(pause.limit(later), 1);
        assert_eq!(pause.fault(later), Some(PAUSE));
        assert_eq!(pause.limit(later), 0);
        pause.works();
        assert_eq!(pause.limit(later), u32::MAX);
    }
}
