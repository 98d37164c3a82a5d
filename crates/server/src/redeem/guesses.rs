//! Wrong links and verifications: after so many in a minute, the next ones of that address are told to wait. Right
//! ones open all the same, so that who guesses doesn't lock out the recipients of their network.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use giftd_domain::limits;

use crate::api::client_address::network;
use crate::api::failures::Failures;
use crate::clock::Clock;

/// Who guessed when.
#[derive(Clone)]
pub struct Guesses(Arc<Failures>);

impl Guesses {
    /// Nobody guessed yet.
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(Failures::at_most(limits::GUESSES_A_MINUTE, clock)))
    }

    /// How long an address has to wait; none where it doesn't.
    pub async fn wait(&self, address: IpAddr) -> Option<Duration> {
        self.0.wait("", network(address)).await
    }

    /// Counts a wrong link or verification.
    pub async fn count(&self, address: IpAddr) {
        self.0.count("", network(address)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_waits_after_its_guesses_of_a_minute_and_so_do_its_neighbours() {
        let clock = Clock::fixed("2026-11-22T12:00:00Z".parse().expect("an instant"));
        let guesses = Guesses::new(clock.clone());
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let here = address("2001:db8:0:1::1");
        for _ in 0..limits::GUESSES_A_MINUTE {
            assert_eq!(guesses.wait(here).await, None);
            guesses.count(here).await;
        }
        let minute = Some(Duration::from_secs(60));
        assert_eq!(guesses.wait(here).await, minute);
        assert_eq!(guesses.wait(address("2001:db8:0:1:ffff::2")).await, minute);
        assert_eq!(guesses.wait(address("2001:db8:0:2::1")).await, None);
        assert_eq!(guesses.wait(address("192.0.2.1")).await, None);
        clock.advance(Duration::from_secs(60));
        assert_eq!(guesses.wait(here).await, None);
    }
}
