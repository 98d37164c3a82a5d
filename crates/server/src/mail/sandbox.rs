//! A sandbox's mail: captured on this machine and in the database, where any node finds it; and the addresses that
//! rehearse failure.

use std::time::Duration;

use giftd_domain::Timestamp;
use giftd_domain::access::Environment;
use giftd_domain::ids::{AccountId, OrderId};
use giftd_store::CapturedMail;

use super::{Outcome, Rendered};
use crate::state::Giftd;

/// Where the addresses that rehearse failure live: a domain that nobody has (RFC 2606).
const DOMAIN: &str = "example.com";
/// How often a soft bounce fails before it succeeds.
const SOFT_BOUNCES: u32 = 2;
/// How long a slow one takes.
const SLOW: Duration = Duration::from_secs(3);

/// What an address of a sandbox rehearses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rehearsal {
    /// `hard-bounce@example.com` doesn't exist.
    HardBounce,
    /// `soft-bounce@example.com` is full twice, and then takes the mail.
    SoftBounce,
    /// `slow@example.com` takes its time.
    Slow,
}

impl Rehearsal {
    /// What an address rehearses in an environment: in production none does.
    pub fn of(environment: Environment, address: &str) -> Option<Self> {
        let (local, domain) = address.rsplit_once('@')?;
        if environment != Environment::Sandbox || !domain.eq_ignore_ascii_case(DOMAIN) {
            return None;
        }
        match local.to_ascii_lowercase().as_str() {
            "hard-bounce" => Some(Self::HardBounce),
            "soft-bounce" => Some(Self::SoftBounce),
            "slow" => Some(Self::Slow),
            _ => None,
        }
    }

    /// How the mail fails, after so many attempts before; none where it is sent.
    pub fn failure(self, attempts: u32) -> Option<Outcome> {
        match self {
            Self::HardBounce => Some(Outcome::refused("550 5.1.1 There is no such mailbox (rehearsed by the sandbox)")),
            Self::SoftBounce if attempts < SOFT_BOUNCES => {
                Some(Outcome::transient("452 4.2.2 The mailbox is full (rehearsed by the sandbox)"))
            }
            Self::SoftBounce | Self::Slow => None,
        }
    }

    /// How long it takes.
    pub fn takes(self) -> Duration {
        if self == Self::Slow { SLOW } else { Duration::ZERO }
    }
}

/// Keeps a mail that was captured in the database, dated `created_at`, by the account's clock. It is kept by real time,
/// also where the account's clock is moved and the mail belongs to an instant that is still to come.
pub async fn keep(
    giftd: &Giftd,
    account: AccountId,
    order_id: Option<OrderId>,
    mail: &Rendered,
    created_at: Timestamp,
) -> Outcome {
    let captured = CapturedMail {
        message_id: mail.message_id.clone(),
        to: mail.to.clone(),
        order_id,
        subject: mail.subject.clone(),
        text: mail.text.clone(),
        html: mail.html.clone(),
        created_at,
    };
    match giftd.store.keep_mails(account, vec![captured], giftd.clock.now(), giftd.clock.entropy()).await {
        Ok(()) => Outcome::Sent,
        Err(error) => {
            // Clients read the outcome: what the database said is for the log.
            tracing::warn!(%error, "a sandbox's mail can't be kept in the database");
            Outcome::transient("the sandbox's mail can't be kept at the moment")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_is_rehearsed_in_the_sandbox_only_and_at_example_com() {
        for (address, expected) in [
            ("hard-bounce@example.com", Some(Rehearsal::HardBounce)),
            ("Soft-Bounce@EXAMPLE.com", Some(Rehearsal::SoftBounce)),
            ("slow@example.com", Some(Rehearsal::Slow)),
            ("slow@example.org", None),
            ("slow@sub.example.com", None),
            ("slower@example.com", None),
            ("slow", None),
        ] {
            assert_eq!(Rehearsal::of(Environment::Sandbox, address), expected, "{address}");
            assert_eq!(Rehearsal::of(Environment::Production, address), None, "{address}");
        }
    }

    #[test]
    fn a_hard_bounce_is_final_and_a_soft_one_succeeds_at_the_third_attempt() {
        assert!(matches!(Rehearsal::HardBounce.failure(9), Some(Outcome::Refused { .. })));
        let soft = |attempts| Rehearsal::SoftBounce.failure(attempts);
        assert!(matches!((soft(0), soft(1)), (Some(Outcome::Transient { .. }), Some(Outcome::Transient { .. }))));
        assert_eq!((soft(2), Rehearsal::Slow.failure(0)), (None, None));
    }
}
