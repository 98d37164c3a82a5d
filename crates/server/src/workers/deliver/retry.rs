//! What an attempt means for its gift: sent, failed, or tried again, and when.

use std::time::Duration;

use giftd_domain::Timestamp;
use giftd_domain::gifts::{ClaimedDelivery, DeliveryOutcome, MailKind, Settlement};
use giftd_domain::limits;
use giftd_store::SettleDelivery;
use jiff::SignedDuration;

use crate::mail::Outcome;

/// The settlement of `delivery`, whose attempt ended with `outcome` at `now`. Transient failures and
/// faults of ours are retried until its time ([`MailKind::tried_for`]) after its first claim is over.
pub(super) fn settlement(
    delivery: &ClaimedDelivery,
    outcome: Outcome,
    now: Timestamp,
    base: Duration,
    random: u128,
) -> SettleDelivery {
    // A verification's link dies so long after it was asked for, whenever its mail is first tried.
    let since = if delivery.kind == MailKind::Verification { delivery.due_at } else { delivery.tried_since };
    let until = since.saturating_add(delivery.kind.tried_for()).unwrap_or(Timestamp::MAX);
    let mut retry_at = now;
    let outcome = match outcome {
        Outcome::Sent => DeliveryOutcome::Sent { at: now },
        Outcome::Refused { text } => DeliveryOutcome::Failed { at: now, error: text },
        Outcome::Transient { text } | Outcome::OurFault { text } if now >= until => {
            DeliveryOutcome::Failed { at: now, error: text }
        }
        Outcome::Transient { text } | Outcome::OurFault { text } => {
            let wait =
                SignedDuration::try_from(backoff(base, delivery.attempts, random)).unwrap_or(SignedDuration::MAX);
            retry_at = now.saturating_add(wait).unwrap_or(until).min(until);
            DeliveryOutcome::Retry { at: retry_at, error: text }
        }
    };
    let settlement = Settlement {
        account_id: delivery.account_id,
        gift: delivery.gift,
        kind: delivery.kind,
        claim: delivery.claim,
        outcome,
    };
    SettleDelivery { settlement, retry_at }
}

/// `base`, doubled with each attempt before, up to [`limits::DELIVERY_RETRY_MINUTES`]; then by chance
/// between three and five quarters of it, so that what failed together doesn't come back together.
fn backoff(base: Duration, attempts: u32, random: u128) -> Duration {
    let longest = Duration::from_secs(limits::DELIVERY_RETRY_MINUTES.unsigned_abs() * 60);
    let wait = base.saturating_mul(1_u32.checked_shl(attempts.min(31)).unwrap_or(u32::MAX)).min(longest);
    let percent = 75 + u32::try_from(random % 51).unwrap_or(0);
    wait / 100 * percent
}

#[cfg(test)]
mod tests {
    use giftd_domain::access::Environment;
    use giftd_domain::account::AccountClock;
    use giftd_domain::gifts::Recipient;
    use giftd_domain::ids::{AccountId, GiftId, OrderId, TimeId};
    use giftd_domain::money::Money;
    use giftd_domain::orders::OrderType;
    use giftd_domain::templates::TemplateContent;

    use super::*;

    const BASE: Duration = Duration::from_secs(30);

    fn due() -> Timestamp {
        "2026-11-22T18:00:00Z".parse().expect("an instant")
    }

    fn delivery(attempts: u32) -> ClaimedDelivery {
        ClaimedDelivery {
            account_id: AccountId(1),
            environment: Environment::Production,
            clock: AccountClock::default(),
            gift: GiftId { order: OrderId { order_type: OrderType::OneTime, time: TimeId::from_bits(1) }, position: 1 },
            kind: MailKind::Gift,
            claim: 7,
            send_number: 1,
            attempts,
            due_at: due(),
            tried_since: due(),
            link_version: 1,
            recipient: Recipient {
                email: Some("alice@example.com".to_owned()),
                first_name: None,
                last_name: None,
                company: None,
                department: None,
            },
            amount: Money::usd(5000),
            card_name: "Card".to_owned(),
            sender_name: "Acme".to_owned(),
            subject: "A gift".to_owned(),
            message: None,
            template: TemplateContent::first("Acme"),
            refund_option: false,
            expires_at: None,
        }
    }

    fn settled(attempts: u32, outcome: Outcome, hours: i64) -> SettleDelivery {
        settlement(&delivery(attempts), outcome, due() + SignedDuration::from_hours(hours), BASE, 25)
    }

    fn transient() -> Outcome {
        Outcome::Transient { text: "451 later".to_owned() }
    }

    #[test]
    fn a_refused_recipient_is_failed_at_once_and_everything_else_is_retried() {
        let refused = settled(0, Outcome::Refused { text: "550 no".to_owned() }, 0);
        assert_eq!(refused.settlement.outcome, DeliveryOutcome::Failed { at: due(), error: "550 no".to_owned() });
        assert_eq!(refused.settlement.claim, 7);
        for outcome in [transient(), Outcome::OurFault { text: "451 later".to_owned() }] {
            let retried = settled(0, outcome, 0);
            let at = due() + SignedDuration::from_secs(30);
            assert_eq!(retried.settlement.outcome, DeliveryOutcome::Retry { at, error: "451 later".to_owned() });
            assert_eq!(retried.retry_at, at);
        }
    }

    #[test]
    fn waits_double_with_jitter_up_to_an_hour() {
        let seconds = |attempts, random| backoff(BASE, attempts, random).as_secs_f64();
        assert_eq!((0..4).map(|attempts| seconds(attempts, 25)).collect::<Vec<_>>(), [30.0, 60.0, 120.0, 240.0]);
        assert_eq!((seconds(0, 0), seconds(0, 50)), (22.5, 37.5));
        assert_eq!((seconds(20, 25), seconds(4_000_000_000, 25)), (3600.0, 3600.0));
    }

    #[test]
    fn a_verification_is_tried_no_longer_than_its_link_is_good() {
        let verification = ClaimedDelivery { kind: MailKind::Verification, ..delivery(0) };
        let at = |minutes| due() + SignedDuration::from_mins(minutes);
        let end = at(limits::VERIFICATION_MINUTES);
        assert_eq!(settlement(&verification, transient(), at(9), BASE * 10, 25).retry_at, end);
        let last = settlement(&verification, transient(), end, BASE, 25).settlement.outcome;
        assert_eq!(last, DeliveryOutcome::Failed { at: end, error: "451 later".to_owned() });
    }

    #[test]
    fn retries_end_24_hours_after_the_first_claim() {
        let end = due() + SignedDuration::from_hours(24);
        assert_eq!(settled(40, transient(), 23).retry_at, end, "the last one lies on the end");
        for hours in [24, 48] {
            let outcome = settled(1, transient(), hours).settlement.outcome;
            assert!(matches!(&outcome, DeliveryOutcome::Failed { error, .. } if error == "451 later"), "{outcome:?}");
        }
    }
}
