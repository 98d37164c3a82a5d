//! Failed authentications: after ten in a minute, for a client id and address, neither wrong nor right
//! secrets are looked at until that minute has passed.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use giftd_domain::limits;
use moka::future::Cache;
use sha2::{Digest as _, Sha256};

use crate::clock::Clock;

/// How long a failure counts.
const WINDOW: Duration = Duration::from_secs(60);

/// Who failed when.
pub struct Failures {
    clock: Clock,
    /// A hash of client id and address, so that long ids cost nothing → the instants of the latest failures.
    recent: Cache<[u8; 32], Arc<Mutex<VecDeque<Duration>>>>,
}

impl Failures {
    /// Nobody failed yet.
    pub fn new(clock: Clock) -> Self {
        let recent = Cache::builder()
            .max_capacity(limits::TOKEN_FAILURES_REMEMBERED)
            .eviction_policy(moka::policy::EvictionPolicy::lru())
            .time_to_idle(2 * WINDOW)
            .build();
        Self { clock, recent }
    }

    /// How long to wait before trying again; none where one may try.
    pub async fn wait(&self, client_id: &str, address: IpAddr) -> Option<Duration> {
        let recent = self.recent.get(&key(client_id, address)).await?;
        let recent = recent.lock().unwrap_or_else(PoisonError::into_inner);
        // The tenth last failure: until it is a minute old, ten lie within a minute.
        let tenth = recent.front().filter(|_| recent.len() >= most())?;
        let until = tenth.saturating_add(WINDOW);
        until.checked_sub(self.clock.elapsed()).filter(|wait| !wait.is_zero())
    }

    /// Counts a failure.
    pub async fn count(&self, client_id: &str, address: IpAddr) {
        let recent = self.recent.get_with(key(client_id, address), async { Arc::default() }).await;
        let mut recent = recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= most() {
            recent.pop_front();
        }
        recent.push_back(self.clock.elapsed());
    }
}

fn most() -> usize {
    usize::try_from(limits::TOKEN_FAILURES_A_MINUTE).unwrap_or(usize::MAX)
}

fn key(client_id: &str, address: IpAddr) -> [u8; 32] {
    Sha256::new().chain_update(client_id).chain_update([0]).chain_update(address.to_string()).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn after_ten_failures_in_a_minute_one_waits_until_that_has_passed() {
        let clock = Clock::fixed("2026-11-22T12:00:00Z".parse().expect("an instant"));
        let failures = Failures::new(clock.clone());
        let (here, there) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        for _ in 0..10 {
            assert_eq!(failures.wait("app", here).await, None);
            failures.count("app", here).await;
            clock.advance(Duration::from_secs(1));
        }
        assert_eq!(failures.wait("app", here).await, Some(Duration::from_secs(50)));
        assert_eq!(failures.wait("app", there).await, None, "another address");
        assert_eq!(failures.wait("other", here).await, None, "another app");
        clock.advance(Duration::from_secs(50));
        assert_eq!(failures.wait("app", here).await, None);
        failures.count("app", here).await;
        assert_eq!(failures.wait("app", here).await, Some(Duration::from_secs(1)), "nine of the last minute, and one");
    }
}
