//! An account: the balances of an organization in one environment, and the only way to move them; and its
//! clock.

use jiff::{SignedDuration, Timestamp};

use crate::access::Environment;
use crate::ids::{AccountId, OrganizationId, TimeId};
use crate::ledger::{Entry, EntryType, Postings};
use crate::limits;

/// The reference of the sandbox's refills.
pub const REFILL_REFERENCE: &str = "sandbox refill";

/// An account's row, which each transaction that moves its money holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub account_id: AccountId,
    /// Whose.
    pub organization_id: OrganizationId,
    /// In which environment.
    pub environment: Environment,
    /// The sums of all its postings.
    pub balances: Postings,
    /// The last id that an order or entry of it got.
    pub last_id: Option<TimeId>,
    /// Its clock.
    pub clock: AccountClock,
}

/// An account's clock: what orders, gifts, events and entries of it are dated by. It runs with the node's
/// clock, `ahead` of it by what a sandbox's `POST /sandbox/clock` has added; in production by nothing.
///
/// Rows that say when work is due (`run_at`, `wake_at`) hold the node's time, so that one look finds what
/// is due in all accounts; when an account's clock has moved, what waits comes nearer by as much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountClock {
    /// How far it is ahead of the node's.
    pub ahead: SignedDuration,
    /// Where it stands while it is being moved.
    pub moving: Option<ClockMove>,
}

/// A clock on its way from due instant to due instant. Until it arrives, only who holds the move works
/// for the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockMove {
    /// What the clock shows.
    pub at: Timestamp,
    /// What it will show at the end.
    pub target: Timestamp,
    /// The number of the latest claim of the move; only with it can it go on.
    pub claim: i64,
    /// When another node may take the move over, by the node's clock.
    pub lease_end: Timestamp,
}

impl AccountClock {
    /// What it shows when the node's clock shows `node`; while it is being moved, where it stands.
    pub fn time(&self, node: Timestamp) -> Timestamp {
        self.moving.map_or_else(|| self.shown_at(node), |moving| moving.at)
    }

    /// What it shows at an instant of the node's clock, whether it stands or not: who moves a clock works with
    /// instants of the node's clock that are still to come.
    pub fn shown_at(&self, node: Timestamp) -> Timestamp {
        node.saturating_add(self.ahead).unwrap_or(Timestamp::MAX)
    }

    /// The instant of the node's clock at which it shows `time`.
    pub fn node_time(&self, time: Timestamp) -> Timestamp {
        time.saturating_sub(self.ahead).unwrap_or(Timestamp::MIN)
    }
}

/// Why money can't be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotPost {
    /// More than is available.
    #[error("insufficient balance: {required} cents required, {available} available")]
    Insufficient {
        /// Cents asked for.
        required: i64,
        /// Cents there are.
        available: i64,
    },
    /// A balance would leave 64 bits or its legal range, or ids of this millisecond are used up: a bug or an attack.
    #[error("the account's balances don't allow this entry")]
    Impossible,
}

impl Account {
    /// An account as it starts.
    pub fn new(account_id: AccountId, organization_id: OrganizationId, environment: Environment) -> Self {
        Self {
            account_id,
            organization_id,
            environment,
            balances: Postings::default(),
            last_id: None,
            clock: AccountClock::default(),
        }
    }

    /// The next id of an order or entry.
    pub fn next_id(&mut self, now: Timestamp, entropy: u128) -> Result<TimeId, CannotPost> {
        let id = TimeId::next(self.last_id, now, entropy).ok_or(CannotPost::Impossible)?;
        self.last_id = Some(id);
        Ok(id)
    }

    /// A top-up of `cents`.
    pub fn charge(&mut self, cents: i64, reference: &str, now: Timestamp, entropy: u128) -> Result<Entry, CannotPost> {
        let funding = positive(cents)?.checked_neg().ok_or(CannotPost::Impossible)?;
        self.post(
            EntryType::Charge,
            reference,
            Postings { funding, available: cents, ..Postings::default() },
            now,
            entropy,
        )
    }

    /// An operator's debit of `cents`, never below zero.
    pub fn transfer(
        &mut self,
        cents: i64,
        reference: &str,
        now: Timestamp,
        entropy: u128,
    ) -> Result<Entry, CannotPost> {
        self.require(positive(cents)?)?;
        let available = cents.checked_neg().ok_or(CannotPost::Impossible)?;
        self.post(
            EntryType::Transfer,
            reference,
            Postings { funding: cents, available, ..Postings::default() },
            now,
            entropy,
        )
    }

    /// An order's hold of `cents`, and the refill that it makes necessary in a sandbox.
    pub fn hold(&mut self, cents: i64, order: &str, now: Timestamp, entropy: u128) -> Result<Vec<Entry>, CannotPost> {
        self.require(positive(cents)?)?;
        let available = cents.checked_neg().ok_or(CannotPost::Impossible)?;
        let hold = Postings { available, pending: cents, ..Postings::default() };
        let mut entries = vec![self.post(EntryType::Use, order, hold, now, entropy)?];
        entries.extend(self.refill(now, entropy)?);
        Ok(entries)
    }

    /// Moves `cents` of gifts that were sent or failed from pending to issued.
    pub fn issue(&mut self, cents: i64, order: &str, now: Timestamp, entropy: u128) -> Result<Entry, CannotPost> {
        let pending = positive(cents)?.checked_neg().ok_or(CannotPost::Impossible)?;
        self.post(EntryType::Issue, order, Postings { pending, issued: cents, ..Postings::default() }, now, entropy)
    }

    /// Takes back an order of `cents` that was canceled: pending → available.
    pub fn cancel(&mut self, cents: i64, order: &str, now: Timestamp, entropy: u128) -> Result<Entry, CannotPost> {
        let pending = positive(cents)?.checked_neg().ok_or(CannotPost::Impossible)?;
        let postings = Postings { pending, available: cents, ..Postings::default() };
        self.post(EntryType::Refund, order, postings, now, entropy)
    }

    /// Returns `cents` of gifts that expired: issued → available.
    pub fn refund(&mut self, cents: i64, order: &str, now: Timestamp, entropy: u128) -> Result<Entry, CannotPost> {
        let issued = positive(cents)?.checked_neg().ok_or(CannotPost::Impossible)?;
        let postings = Postings { issued, available: cents, ..Postings::default() };
        self.post(EntryType::Refund, order, postings, now, entropy)
    }

    /// Play money up to the start's amount, where a sandbox has fallen too low.
    pub fn refill(&mut self, now: Timestamp, entropy: u128) -> Result<Option<Entry>, CannotPost> {
        if self.environment != Environment::Sandbox || self.balances.available >= limits::SANDBOX_REFILL_BELOW_CENTS {
            return Ok(None);
        }
        let cents = limits::SANDBOX_CENTS.checked_sub(self.balances.available).ok_or(CannotPost::Impossible)?;
        self.charge(cents, REFILL_REFERENCE, now, entropy).map(Some)
    }

    fn require(&self, cents: i64) -> Result<(), CannotPost> {
        let available = self.balances.available;
        if cents > available { Err(CannotPost::Insufficient { required: cents, available }) } else { Ok(()) }
    }

    fn post(
        &mut self,
        entry_type: EntryType,
        reference: &str,
        postings: Postings,
        now: Timestamp,
        entropy: u128,
    ) -> Result<Entry, CannotPost> {
        let balances = self.balances.checked_add(postings).ok_or(CannotPost::Impossible)?;
        if postings.sum() != Some(0) || balances.available < 0 || balances.pending < 0 || balances.issued < 0 {
            return Err(CannotPost::Impossible);
        }
        let id = self.next_id(now, entropy)?;
        self.balances = balances;
        Ok(Entry { id, entry_type, reference: reference.to_owned(), postings, available_after: balances.available })
    }
}

fn positive(cents: i64) -> Result<i64, CannotPost> {
    if cents > 0 { Ok(cents) } else { Err(CannotPost::Impossible) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(environment: Environment) -> Account {
        Account::new(AccountId(1), OrganizationId(1), environment)
    }

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn available_never_falls_below_zero() {
        let mut account = account(Environment::Production);
        account.charge(100, "r", NOW, 1).expect("a charge");
        let refused = Err(CannotPost::Insufficient { required: 101, available: 100 });
        assert_eq!(account.clone().transfer(101, "r", NOW, 1), refused.clone());
        assert_eq!(account.hold(101, "o", NOW, 1).map(|_| ()), refused.map(|_: Entry| ()));
        assert_eq!(account.hold(100, "o", NOW, 1).expect("a hold").len(), 1);
        assert_eq!(account.balances, Postings { funding: -100, available: 0, pending: 100, issued: 0 });
        assert_eq!(account.issue(101, "o", NOW, 1), Err(CannotPost::Impossible));
        account.issue(100, "o", NOW, 1).expect("an issue");
        assert_eq!(account.balances, Postings { funding: -100, available: 0, pending: 0, issued: 100 });
    }

    #[test]
    fn what_is_canceled_returns_from_pending_and_what_expires_from_issued() {
        let mut account = account(Environment::Production);
        account.charge(1_000, "r", NOW, 1).expect("a charge");
        account.hold(600, "o", NOW, 1).expect("a hold");
        let entry = account.cancel(200, "o", NOW, 1).expect("a refund");
        assert_eq!((entry.entry_type, entry.available_after), (EntryType::Refund, 600));
        account.issue(400, "o", NOW, 1).expect("an issue");
        assert_eq!(account.cancel(1, "o", NOW, 1), Err(CannotPost::Impossible));
        account.refund(280, "o", NOW, 1).expect("a refund");
        assert_eq!(account.balances, Postings { funding: -1_000, available: 880, pending: 0, issued: 120 });
        assert_eq!(account.refund(121, "o", NOW, 1), Err(CannotPost::Impossible));
    }

    #[test]
    fn an_accounts_clock_runs_ahead_of_the_nodes_and_stands_while_it_is_moved() {
        let at = |seconds| Timestamp::from_second(seconds).expect("an instant");
        let mut clock = AccountClock { ahead: SignedDuration::from_secs(100), moving: None };
        assert_eq!((clock.time(at(5)), clock.node_time(at(105))), (at(105), at(5)));
        clock.moving = Some(ClockMove { at: at(300), target: at(400), claim: 1, lease_end: at(60) });
        assert_eq!((clock.time(at(5)), clock.shown_at(at(5)), clock.node_time(at(300))), (at(300), at(105), at(200)));
    }

    #[test]
    fn a_sandbox_is_refilled_when_it_falls_below_a_thousand_dollars() {
        let mut account = account(Environment::Sandbox);
        account.refill(NOW, 1).expect("the start");
        assert_eq!(account.balances.available, 1_000_000);
        assert_eq!(account.hold(900_000, "o", NOW, 1).expect("a hold").len(), 1);
        let entries = account.hold(1, "o", NOW, 1).expect("a hold");
        assert_eq!(
            entries.iter().map(|e| (e.entry_type, e.available_after)).collect::<Vec<_>>(),
            [(EntryType::Use, 99_999), (EntryType::Charge, 1_000_000)]
        );
    }
}
