//! Leases, and what is due, go by the time that nodes give: one whose clock is off the database's would take
//! work from others, keep it too long, or let gifts expire before their time. It works on nothing until the
//! clocks agree.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use giftd_domain::limits;
use giftd_store::{Store, StoreError};
use jiff::SignedDuration;

use crate::clock::Clock;

/// How often the node's clock is compared with the database's while they agree.
const EVERY: Duration = Duration::from_secs(5);
/// And while they don't.
const AGAIN: Duration = Duration::from_secs(1);

/// What this node's workers know of its clock.
#[derive(Default)]
pub struct ClockCheck(Mutex<Option<Compared>>);

#[derive(Clone, Copy)]
struct Compared {
    /// The clock's [`Clock::elapsed`].
    at: Duration,
    agreed: bool,
}

impl ClockCheck {
    /// Whether the node's clock agrees with the database's, as of the last few seconds.
    pub async fn agrees(&self, store: &dyn Store, clock: &Clock) -> Result<bool, StoreError> {
        let at = clock.elapsed();
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Compared { at: before, agreed }) = known
            && at.saturating_sub(before) < if agreed { EVERY } else { AGAIN }
        {
            return Ok(agreed);
        }
        let skew = clock_skew(store, clock).await?;
        metrics::gauge!("giftd_clock_skew_seconds").set(skew.as_secs_f64());
        let agreed = skew.as_millis() <= i128::from(limits::CLOCK_SKEW_MILLISECONDS);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Compared { at, agreed });
        if !agreed {
            tracing::error!(
                skew_milliseconds = %skew.as_millis(),
                "this machine's clock and the database's differ too much: this node delivers nothing and lets no gift \
                 expire until they agree; set both by NTP"
            );
        }
        Ok(agreed)
    }
}

/// How far this node's clock is off the database's, whichever way.
pub async fn clock_skew(store: &dyn Store, clock: &Clock) -> Result<SignedDuration, StoreError> {
    let before = clock.now();
    let there = store.database_time().await?;
    let after = clock.now();
    // It was read between the two: only what lies outside is a difference.
    Ok(before.duration_since(there).max(there.duration_since(after)).max(SignedDuration::ZERO))
}

/// Says what is measured here.
pub(super) fn describe_metrics() {
    use metrics::{Unit, describe_gauge};
    describe_gauge!("giftd_clock_skew_seconds", Unit::Seconds, "How far this clock and the database's differ.");
}
