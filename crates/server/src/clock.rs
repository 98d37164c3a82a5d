//! The one place that reads time, sleeps and makes randomness. Everything else is given the time and
//! random bits, so that tests freeze them and the sandbox's clock is the same mechanism.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::watch;

/// Bytes of a secret: too many to guess, so that a plain SHA-256 of it may be kept.
const SECRET_BYTES: usize = 32;

/// Time and randomness, shared by all its clones.
#[derive(Clone)]
pub struct Clock(Arc<Source>);

enum Source {
    /// The machine's, and a cryptographically secure generator.
    System { started: Instant },
    /// A test's: stands still until advanced, and repeats its random numbers in each run.
    Manual { now: watch::Sender<Timestamp>, started: Timestamp, random: Box<Mutex<StdRng>> },
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Arc::new(Source::System { started: Instant::now() }))
    }

    /// A clock for tests, which stands at `at` until [`Self::advance`]; its random numbers repeat.
    pub fn fixed(at: Timestamp) -> Self {
        let at = whole_microseconds(at);
        Self(Arc::new(Source::Manual {
            now: watch::Sender::new(at),
            started: at,
            random: Box::new(Mutex::new(StdRng::seed_from_u64(0))),
        }))
    }

    /// Moves a fixed clock forward and wakes who sleeps until then. The machine's clock can't be moved.
    pub fn advance(&self, by: Duration) {
        match &*self.0 {
            Source::System { .. } => panic!("only a fixed clock can be advanced"),
            Source::Manual { now, .. } => now.send_modify(|now| *now = later(*now, by)),
        }
    }

    /// Now, in whole microseconds: what both databases keep.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the time")]
    pub fn now(&self) -> Timestamp {
        match &*self.0 {
            Source::System { .. } => whole_microseconds(Timestamp::now()),
            Source::Manual { now, .. } => *now.borrow(),
        }
    }

    /// Time since the clock was made; never steps back, whatever is done to the machine's time.
    pub fn elapsed(&self) -> Duration {
        match &*self.0 {
            Source::System { started } => started.elapsed(),
            Source::Manual { now, started, .. } => {
                Duration::try_from(now.borrow().duration_since(*started)).unwrap_or_default()
            }
        }
    }

    /// Returns after `duration`; of a fixed clock, once it was advanced that far.
    #[expect(clippy::disallowed_methods, reason = "the one place that sleeps")]
    pub async fn sleep(&self, duration: Duration) {
        match &*self.0 {
            Source::System { .. } => tokio::time::sleep(duration).await,
            Source::Manual { now, .. } => {
                let until = later(*now.borrow(), duration);
                let mut ticks = now.subscribe();
                // Fails only when the clock is gone, and `self` holds it.
                let _ = ticks.wait_for(|now| *now >= until).await;
            }
        }
    }

    /// 128 random bits, for ids.
    pub fn entropy(&self) -> u128 {
        u128::from_le_bytes(self.random_bytes())
    }

    /// `N` random bytes, fit for keys.
    pub fn random_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        match &*self.0 {
            Source::System { .. } => rand::rng().fill_bytes(&mut bytes),
            Source::Manual { random, .. } => {
                random.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
            }
        }
        bytes
    }

    /// A new secret: 43 characters of base64url.
    pub fn secret(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.random_bytes::<SECRET_BYTES>())
    }

    /// A new request id: a UUID of version 7, so that the logs of a moment sort together.
    pub fn request_id(&self) -> String {
        let milliseconds = u64::try_from(self.now().as_millisecond()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(milliseconds, &self.random_bytes()).into_uuid().to_string()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

fn whole_microseconds(instant: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(instant.as_microsecond()).unwrap_or(instant)
}

fn later(instant: Timestamp, by: Duration) -> Timestamp {
    instant.checked_add(by).map_or(Timestamp::MAX, whole_microseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().expect("an instant")
    }

    #[test]
    fn time_has_whole_microseconds() {
        assert_eq!(Clock::system().now().subsec_nanosecond() % 1_000, 0);
        let fixed = Clock::fixed(noon() + Duration::from_nanos(1_999));
        assert_eq!(fixed.now(), noon() + Duration::from_micros(1));
    }

    #[tokio::test]
    async fn a_fixed_clock_stands_still_until_advanced_and_wakes_sleepers_on_time() {
        let clock = Clock::fixed(noon());
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move {
                clock.sleep(Duration::from_secs(60)).await;
                clock.now()
            }
        });
        tokio::task::yield_now().await;
        assert_eq!(clock.now(), noon());
        clock.advance(Duration::from_secs(59));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        assert_eq!(sleeper.await.expect("woken"), noon() + Duration::from_secs(60));
        assert_eq!(clock.elapsed(), Duration::from_secs(60));
    }

    #[test]
    fn secrets_are_256_random_bits_and_a_fixed_clock_repeats_them() {
        let clock = Clock::system();
        assert_eq!(clock.secret().len(), 43);
        assert_ne!(clock.secret(), clock.secret());
        assert_ne!(clock.entropy(), clock.entropy());
        assert_eq!(Clock::fixed(noon()).secret(), Clock::fixed(noon()).secret());
    }

    #[test]
    fn request_ids_differ_and_begin_with_the_time() {
        let clock = Clock::fixed(noon());
        let (first, second) = (clock.request_id(), clock.request_id());
        assert_ne!(first, second);
        assert_eq!(first[..13], second[..13]);
        assert_eq!(first.len(), 36);
    }
}
