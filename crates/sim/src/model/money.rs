//! Balances and the ledger.

use giftd_domain::Timestamp;
use giftd_domain::account::REFILL_REFERENCE;
use giftd_domain::ids::TimeId;
use giftd_domain::ledger::{Entry, EntryType, Postings};
use giftd_store::{OperatorEntry, OperatorOutcome};

use super::Account;
use crate::command::Answer;

/// Cents below which a sandbox is refilled, and to how many.
const REFILL: (i64, i64) = (100_000, 1_000_000);

impl Account {
    /// What its clock shows when the node's shows `node`.
    pub fn time(&self, node: Timestamp) -> Timestamp {
        self.clock.moving.map_or_else(|| self.shown_at(node), |moving| moving.at)
    }

    pub(super) fn shown_at(&self, node: Timestamp) -> Timestamp {
        node + self.clock.ahead
    }

    pub(super) fn node_time(&self, time: Timestamp) -> Timestamp {
        time - self.clock.ahead
    }

    pub(super) fn next_id(&mut self, at: Timestamp, entropy: u128) -> TimeId {
        let id = TimeId::next(self.last_id, at, entropy).expect("ids of this millisecond are left");
        self.last_id = Some(id);
        id
    }

    pub(super) fn post(
        &mut self,
        entry_type: EntryType,
        reference: &str,
        postings: Postings,
        at: Timestamp,
        entropy: u128,
    ) -> Entry {
        assert_eq!(postings.sum(), Some(0), "the model's own postings balance");
        let id = self.next_id(at, entropy);
        self.balances = self.balances.checked_add(postings).expect("few cents");
        let entry = Entry {
            id,
            entry_type,
            reference: reference.to_owned(),
            postings,
            available_after: self.balances.available,
        };
        if entry_type != EntryType::Issue {
            self.listed.push(entry.clone());
        }
        entry
    }

    pub(super) fn refill(&mut self, at: Timestamp, entropy: u128) {
        let (below, to) = REFILL;
        if self.sandbox && self.balances.available < below {
            let cents = to - self.balances.available;
            let postings = Postings { funding: -cents, available: cents, ..Postings::default() };
            self.post(EntryType::Charge, REFILL_REFERENCE, postings, at, entropy);
        }
    }

    /// Returns cents of expired gifts.
    pub(super) fn refund(&mut self, reference: &str, cents: i64, at: Timestamp, entropy: u128) {
        let postings = Postings { available: cents, issued: -cents, ..Postings::default() };
        self.post(EntryType::Refund, reference, postings, at, entropy);
    }

    pub(super) fn operate(&mut self, entry: &OperatorEntry) -> Answer {
        let OperatorEntry { entry_type, cents, now, entropy, .. } = *entry;
        let reference = (entry_type.into(), entry.reference.clone());
        Answer::Operated(match self.references.get(&reference) {
            Some(known) if *known == cents => OperatorOutcome::Known,
            Some(known) => OperatorOutcome::OtherAmount { cents: *known },
            None if entry_type == EntryType::Transfer && cents > self.balances.available => {
                OperatorOutcome::Insufficient { available: self.balances.available }
            }
            None => {
                self.references.insert(reference, cents);
                let moved = if entry_type == EntryType::Transfer { -cents } else { cents };
                let postings = Postings { funding: -moved, available: moved, ..Postings::default() };
                let at = self.time(now);
                let posted = self.post(entry_type, &entry.reference, postings, at, entropy);
                if entry_type == EntryType::Transfer {
                    self.refill(at, entropy);
                }
                OperatorOutcome::Posted(posted)
            }
        })
    }
}
