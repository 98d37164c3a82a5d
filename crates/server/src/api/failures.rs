//! Failed attempts: after so many in a minute, for a name and address, neither wrong nor right secrets are
//! looked at until that minute has passed. Ten for a client id at the token endpoint.

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
    /// Failures in a minute before one has to wait.
    most: usize,
    /// A hash of client id and address, so that long ids cost nothing → the instants of the latest failures.
    recent: Cache<[u8; 32], Arc<Mutex<VecDeque<Duration>>>>,
}

impl Failures {
    /// Nobody failed yet to authenticate.
    pub fn new(clock: Clock) -> Self {
        Self::at_most(limits::TOKEN_FAILURES_A_MINUTE, clock)
    }

    /// Nobody failed yet, and `most` in a minute may.
    pub fn at_most(most: u32, clock: Clock) -> Self {
        let recent = Cache::builder()
            .max_capacity(limits::TOKEN_FAILURES_REMEMBERED)
            .eviction_policy(moka::policy::EvictionPolicy::lru())
            .time_to_idle(2 * WINDOW)
            .build();
        Self { clock, most: usize::try_from(most).unwrap_or(usize::MAX), recent }
    }

    /// How long to wait before trying again; none where one may try.
    pub async fn wait(&self, client_id: &str, address: IpAddr) -> Option<Duration> {
        let recent = self.recent.get(&key(client_id, address)).await?;
        let recent = recent.lock().unwrap_or_else(PoisonError::into_inner);
        // The earliest of the last `most` failures: until it is a minute old, so many lie within a minute.
        let earliest = recent.front().filter(|_| recent.len() >= self.most)?;
        let until = earliest.saturating_add(WINDOW);
        until.checked_sub(self.clock.elapsed()).filter(|wait| !wait.is_zero())
    }

    /// Counts a failure.
    pub async fn count(&self, client_id: &str, address: IpAddr) {
        let recent = self.recent.get_with(key(client_id, address), async { Arc::default() }).await;
        let mut recent = recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= self.most {
            recent.pop_front();
        }
        recent.push_back(self.clock.elapsed());
    }
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
