//! A sandbox's clock.

use giftd_domain::Timestamp;
use giftd_domain::account::ClockMove;
use giftd_domain::gifts::MailKind;
use jiff::SignedDuration;

use super::{Account, Model};
use crate::command::Answer;

/// How long a claim of a move lasts.
const LEASE: SignedDuration = SignedDuration::from_secs(30);

impl Account {
    pub(super) fn begin_move(&mut self, by: SignedDuration, now: Timestamp) -> Answer {
        if self.clock.moving.is_some() {
            return Answer::Clock(None);
        }
        let at = self.time(now);
        self.clock_claims += 1;
        let (claim, lease_end) = (self.clock_claims, now + LEASE);
        self.clock.moving = Some(ClockMove { at, target: at + by, claim, lease_end });
        Answer::Clock(Some(self.clock))
    }

    pub(super) fn step_clock(&mut self, claim: i64, at: Timestamp, now: Timestamp) -> Answer {
        let Some(moving) = self.clock.moving.as_mut().filter(|moving| moving.claim == claim) else {
            return Answer::Was(false);
        };
        moving.at = moving.at.max(at).min(moving.target);
        moving.lease_end = now + LEASE;
        Answer::Was(true)
    }

    pub(super) fn end_move(&mut self, claim: i64, now: Timestamp) -> Answer {
        let Some(moving) = self.clock.moving.filter(|moving| moving.claim == claim) else {
            return Answer::Was(false);
        };
        let moved = moving.target.duration_since(self.shown_at(now)).max(SignedDuration::ZERO);
        self.clock.ahead += moved;
        self.clock.moving = None;
        for gift in self.orders.values_mut().flat_map(|order| &mut order.gifts) {
            gift.wake_at = gift.wake_at.map(|at| at - moved);
            for (kind, mail) in &mut gift.mails {
                if *kind == MailKind::Verification {
                    mail.run_at = mail.run_at.min(now);
                    mail.tried_since = mail.tried_since.map(|at| at.min(now));
                } else {
                    mail.run_at -= moved;
                    mail.due_at -= moved;
                    mail.tried_since = mail.tried_since.map(|at| at - moved);
                }
            }
        }
        Answer::Was(true)
    }
}

impl Model {
    pub(super) fn take_over_moves(&mut self, now: Timestamp) -> Answer {
        let mut taken = Vec::new();
        for account in self.accounts.values_mut() {
            if let Some(moving) = account.clock.moving.as_mut().filter(|moving| moving.lease_end <= now) {
                account.clock_claims += 1;
                (moving.claim, moving.lease_end) = (account.clock_claims, now + LEASE);
                taken.push((account.id, account.clock));
            }
        }
        Answer::Moves(taken)
    }
}
