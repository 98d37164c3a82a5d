//! The workers that mail, and the servers that they mail to: what becomes of each claimed mail, and when its worker
//! hears of it, in time or long after its lease.

use giftd_domain::Timestamp;
use giftd_domain::gifts::{ClaimedDelivery, DeliveryOutcome, MailKind, Settlement};
use giftd_store::SettleDelivery;
use jiff::SignedDuration;

use crate::dice::Dice;

/// What may become of an attempt: the variants of the server's `mail::Outcome`, and no answer at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Sent,
    Refused,
    OurFault,
    Transient,
    /// The worker died, or its answer never comes: the lease runs out.
    Silence,
}

/// A mail in the hands of a worker.
#[derive(Clone, Debug)]
struct Attempt {
    delivery: ClaimedDelivery,
    outcome: Outcome,
    /// When its worker hears of it.
    heard_at: Timestamp,
}

/// All mails in the hands of workers.
#[derive(Default)]
pub struct MailServer {
    attempts: Vec<Attempt>,
}

/// Attempts that are remembered; the oldest are forgotten first.
const REMEMBERED: usize = 200;

impl MailServer {
    /// Takes what was claimed at `now`, and decides what becomes of each.
    pub fn take(&mut self, claimed: &[ClaimedDelivery], now: Timestamp, dice: &mut Dice) {
        for delivery in claimed {
            use Outcome::{OurFault, Refused, Sent, Silence, Transient};
            let outcome = dice.weighted(&[(55, Sent), (12, Refused), (8, OurFault), (15, Transient), (10, Silence)]);
            // Some hear of it only after the lease.
            let late = if dice.chance(12) { dice.between(1, 200) } else { 0 };
            let heard_at = now + SignedDuration::from_secs(late);
            self.attempts.push(Attempt { delivery: delivery.clone(), outcome, heard_at });
        }
        let too_many = self.attempts.len().saturating_sub(REMEMBERED);
        self.attempts.drain(..too_many);
    }

    /// Whether some worker has something to settle.
    pub fn has_news(&self, now: Timestamp) -> bool {
        self.attempts.iter().any(|attempt| attempt.is_known(now))
    }

    /// Outcomes to be settled now, up to `most`; now and then one is settled a second time later.
    pub fn settlements(&mut self, most: usize, now: Timestamp, dice: &mut Dice) -> Vec<SettleDelivery> {
        let mut settlements = Vec::new();
        let mut kept = Vec::new();
        for attempt in std::mem::take(&mut self.attempts) {
            if settlements.len() < most && attempt.is_known(now) {
                settlements.push(settlement(&attempt.delivery, attempt.outcome, now, dice));
                if dice.chance(90) {
                    continue;
                }
            }
            kept.push(attempt);
        }
        self.attempts = kept;
        settlements
    }
}

impl Attempt {
    fn is_known(&self, now: Timestamp) -> bool {
        self.outcome != Outcome::Silence && self.heard_at <= now
    }
}

/// That a mail was sent.
pub fn sent(delivery: &ClaimedDelivery, now: Timestamp, dice: &mut Dice) -> SettleDelivery {
    settlement(delivery, Outcome::Sent, now, dice)
}

/// What a worker makes of an outcome: what isn't sent nor refused is tried for 24 hours, a verification for ten
/// minutes.
fn settlement(delivery: &ClaimedDelivery, outcome: Outcome, now: Timestamp, dice: &mut Dice) -> SettleDelivery {
    let (since, tried_for) = match delivery.kind {
        MailKind::Verification => (delivery.due_at, SignedDuration::from_mins(10)),
        MailKind::Gift | MailKind::Reminder => (delivery.tried_since, SignedDuration::from_hours(24)),
    };
    let mut retry_at = now;
    let error = format!("attempt {} of claim {}: {outcome:?}", delivery.attempts + 1, delivery.claim);
    let outcome = match outcome {
        Outcome::Sent => DeliveryOutcome::Sent { at: now },
        Outcome::Refused => DeliveryOutcome::Failed { at: now, error },
        _ if now >= since + tried_for => DeliveryOutcome::Failed { at: now, error },
        _ => {
            retry_at = (now + SignedDuration::from_secs(dice.between(0, 3_600))).min(since + tried_for);
            DeliveryOutcome::Retry { at: now, error }
        }
    };
    let ClaimedDelivery { account_id, gift, kind, claim, .. } = *delivery;
    SettleDelivery { settlement: Settlement { account_id, gift, kind, claim, outcome }, retry_at }
}
