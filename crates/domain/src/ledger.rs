//! The double-entry ledger. Each entry is one transaction whose postings sum to zero; entries are only
//! ever added. Where each kind posts is the table in `docs/ledger.md`.

use jiff::Timestamp;

use crate::ids::TimeId;

/// Why money moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::EnumString, strum::VariantArray)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum EntryType {
    /// A top-up: funding → available.
    Charge,
    /// An operator's debit, such as a bounced transfer: available → funding.
    Transfer,
    /// An order: available → pending.
    Use,
    /// A cancellation (pending → available) or an expiry (issued → available).
    Refund,
    /// Kept for what comes later.
    Reward,
    /// Gifts that were sent or failed: pending → issued. Moves nothing of available, so clients don't see it.
    Issue,
}

impl EntryType {
    /// What clients see and may ask for.
    pub const LISTED: [Self; 5] = [Self::Use, Self::Refund, Self::Charge, Self::Transfer, Self::Reward];

    /// Whether orders make it by themselves, so that most entries of an account are of this type.
    pub fn is_common(self) -> bool {
        matches!(self, Self::Use | Self::Issue)
    }
}

/// Signed cents on each side; their sum is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Postings {
    /// The world outside: what was paid in is negative here.
    pub funding: i64,
    /// What new orders may use.
    pub available: i64,
    /// Committed to gifts that are neither SENT nor FAILED yet.
    pub pending: i64,
    /// Spent on gifts that are SENT or FAILED.
    pub issued: i64,
}

impl Postings {
    /// The sum of all sides; none when it leaves 64 bits.
    pub fn sum(self) -> Option<i64> {
        crate::money::sum([self.funding, self.available, self.pending, self.issued])
    }

    /// Side by side; none when one leaves 64 bits.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self {
            funding: self.funding.checked_add(other.funding)?,
            available: self.available.checked_add(other.available)?,
            pending: self.pending.checked_add(other.pending)?,
            issued: self.issued.checked_add(other.issued)?,
        })
    }
}

/// One transaction of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its id, which tells when it was posted.
    pub id: TimeId,
    /// Why.
    pub entry_type: EntryType,
    /// The order's id, or an operator's reference.
    pub reference: String,
    /// How much moved where.
    pub postings: Postings,
    /// Available cents after it.
    pub available_after: i64,
}

impl Entry {
    /// When it was posted.
    pub fn created_at(&self) -> Timestamp {
        self.id.created_at()
    }
}
