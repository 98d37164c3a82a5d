//! What the store's operations answer, and what some of them are asked with.

use std::sync::Arc;

use giftd_domain::Timestamp;
use giftd_domain::gifts::Settlement;
use giftd_domain::ids::{AccountId, OrderId};
use giftd_domain::ledger::{Entry, EntryType};
use giftd_domain::orders::Order;
use giftd_domain::orders::cancel::NotCancelable;
use giftd_domain::orders::resend::Skipped;
use giftd_domain::schedule::Schedule;

/// Whose work is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// That of all accounts, but of those whose clock is being moved.
    Everyone,
    /// That of the one account whose clock the caller moves; the instants that it gives are still to come.
    Moving(AccountId),
}

/// Which mails are claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mails {
    /// Those of all accounts, but of those whose clock is being moved.
    All,
    /// Of these, those that a mail server takes.
    Outgoing,
    /// Of these, those that none has a say in: a sandbox's, which are captured, and those of gifts that are links, which
    /// have no address.
    Staying,
    /// Those of the one account whose clock the caller moves; the instants that it gives are still to come.
    Moving(AccountId),
}

/// What became of canceling an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cancellation {
    /// It is canceled now.
    Canceled(Box<Order>),
    /// It was canceled before; no money moved.
    Already,
    /// Nothing happened.
    Refused(NotCancelable),
    /// The account has no such order.
    Unknown,
}

/// What became of a resend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resent {
    /// It is done.
    Done {
        /// Gifts that are sent again.
        requeued: u32,
        /// Addresses that weren't, or not with all their gifts.
        skipped: Vec<Skipped>,
    },
    /// Nothing happened: no entry names a recipient.
    NobodyKnown,
    /// Nothing happened: the order hasn't gone out, or was canceled.
    NotResendable,
    /// Nothing happened: the app moved too many gifts in the last 24 hours.
    TooManyMoves,
    /// The account has no such order.
    Unknown,
}

/// What became of deleting a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateDeletion {
    /// It is deleted.
    Deleted,
    /// Nothing happened: it is the default.
    Default,
    /// The account has no such template (any more).
    Unknown,
}

/// A scheduled order that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingSchedule {
    /// Whose.
    pub account_id: AccountId,
    /// The order.
    pub order_id: OrderId,
    /// The local time, the zone, and the instant that they were resolved to.
    pub schedule: Schedule,
}

/// What turning gifts did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turned {
    /// Gifts looked at; fewer than [`giftd_domain::limits::TURN_GIFTS`] when no more are due.
    pub gifts: u64,
    /// Reminders that are due to be mailed.
    pub reminded: u64,
    /// Gifts that expired.
    pub expired: u64,
    /// Cents that returned to available.
    pub refunded: i64,
}

/// What erasing recipients did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Orders that nothing is left to erase of.
    pub orders: u64,
    /// Their recipients; gifts that are links have none.
    pub recipients: u64,
    /// Whether more orders may be due.
    pub more: bool,
}

/// Reserved redemptions whose supplier's answer isn't known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unanswered {
    /// How many.
    pub redemptions: u64,
    /// When the oldest of them was reserved.
    pub since: Option<Timestamp>,
}

/// What an import of codes did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CodesImport {
    /// New codes.
    pub imported: u64,
    /// Codes that were there already.
    pub skipped: u64,
}

/// What waits in an account up to an instant. Instants are the node's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Mails and gifts that are due until then.
    pub events: u64,
    /// When the first of its mails is due, if that is until then.
    pub first_mail: Option<Timestamp>,
    /// When the first of its gifts turns, if that is until then.
    pub first_turn: Option<Timestamp>,
}

/// A mail that was captured instead of sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedMail {
    /// Its `Message-ID`: a mail that is sent again after a crash replaces the first.
    pub message_id: String,
    /// To whom.
    pub to: String,
    /// Of which order; none of a preview.
    pub order_id: Option<OrderId>,
    /// Its subject.
    pub subject: String,
    /// Its plain text part.
    pub text: String,
    /// Its HTML part.
    pub html: String,
    /// When, by the account's clock.
    pub created_at: Timestamp,
}

/// An outcome, and when to try again where it is a retry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettleDelivery {
    /// What became of it.
    pub settlement: Settlement,
    /// When a retry is due; ignored for SENT and FAILED.
    pub retry_at: Timestamp,
}

/// What a settlement did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Outcomes that counted.
    pub settled: u64,
    /// Outcomes that were dropped, because the claim was taken over or settled before.
    pub dropped: u64,
    /// Orders that became COMPLETE.
    pub completed_orders: u64,
}

/// What waits to be delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Deliveries due now and not claimed.
    pub due: u64,
    /// The instant since which the oldest of them is due.
    pub oldest_due: Option<Timestamp>,
}

/// What became of placing an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It is placed.
    New(Box<Order>),
    /// The key has an order already, placed by the same or by another request.
    Known {
        /// That order.
        order_id: OrderId,
        /// Whether it was asked for with the same request.
        same_request: bool,
    },
    /// It costs more than is available; nothing happened, and the key is free.
    Insufficient {
        /// Cents it costs.
        required: i64,
        /// Cents there are.
        available: i64,
    },
}

/// A movement of money by an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorEntry {
    /// Whose.
    pub account_id: AccountId,
    /// [`EntryType::Charge`] or [`EntryType::Transfer`].
    pub entry_type: EntryType,
    /// Cents, above 0.
    pub cents: i64,
    /// Counts once for an account and type.
    pub reference: String,
    /// The operator's time.
    pub now: Timestamp,
    /// Random bits for the id.
    pub entropy: u128,
}

/// What became of an operator's entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorOutcome {
    /// Posted now.
    Posted(Entry),
    /// The reference was posted before with the same amount; nothing moved.
    Known,
    /// The reference was posted before with another amount; nothing moved.
    OtherAmount {
        /// The amount then, in cents.
        cents: i64,
    },
    /// A debit of more than there is; nothing moved.
    Insufficient {
        /// Cents there are.
        available: i64,
    },
    /// No such account.
    NoAccount,
}

/// What an import did, or with `dry_run` would do. Where `refused` isn't empty, nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CatalogImport {
    /// Products that are new or listed again.
    pub added: Vec<String>,
    /// Products that stay, changed or not.
    pub kept: Vec<String>,
    /// Products that are no longer listed.
    pub removed: Vec<String>,
    /// Products whose currency or kind would change.
    pub refused: Vec<String>,
}

/// What the books say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerReport {
    /// Accounts looked at.
    pub accounts: u64,
    /// Entries summed.
    pub entries: u64,
    /// Orders looked at.
    pub orders: u64,
    /// What doesn't agree, a sentence each; empty when the books balance.
    pub differences: Vec<String>,
}

/// Why the database did not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// It can't be reached, is full, or is restarting: worth another try.
    #[error("the database is unavailable: {0}")]
    Unavailable(Arc<str>),
    /// Too much waits to be written: worth another try.
    #[error("too many writes wait")]
    Full,
    /// Migrations are missing or from a newer version.
    #[error("the database's schema does not fit: {0}")]
    Schema(Arc<str>),
    /// A bug, or a database that was tampered with.
    #[error("the database holds or was given something impossible: {0}")]
    Broken(Arc<str>),
}
