//! A gift: what one recipient of one order gets, and its life: mailed, verified, redeemed, expired.

mod delivery;
pub mod events;
mod expiry;
pub mod redemption;
pub mod verification;

use jiff::Timestamp;

pub use self::delivery::{ClaimedDelivery, DeliveryOutcome, MailKind, Settlement};
pub use self::expiry::{Expiry, Reminders, Turn, expires_at, lasts};

/// Where a gift's mail stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::EnumString, strum::VariantArray)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum DeliveryStatus {
    /// Waits for its instant or for another attempt.
    Pending,
    /// A server took it.
    Sent,
    /// It will not be tried again by itself.
    Failed,
    /// Its order was canceled.
    Canceled,
}

/// How much of a gift was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::EnumString, strum::VariantArray)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum RedemptionStatus {
    /// Nothing.
    Unredeemed,
    /// A part of a choice gift.
    PartiallyRedeemed,
    /// All.
    Redeemed,
    /// Its time is over.
    Expired,
    /// Its order was canceled.
    Canceled,
}

/// To whom a gift goes. Texts are free of control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The address, its domain in ASCII; none for gifts that are links.
    pub email: Option<String>,
    /// Up to 100 characters, as all texts here.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// Company.
    pub company: Option<String>,
    /// Department.
    pub department: Option<String>,
}

/// A gift as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gift {
    /// The recipient's position in the order, from 1.
    pub position: u32,
    /// To whom.
    pub recipient: Recipient,
    /// How much, in minor units of the product's currency.
    pub amount: i64,
    /// What it took from the balance, in cents.
    pub cost: i64,
    /// Where its mail stands.
    pub delivery_status: DeliveryStatus,
    /// Attempts to deliver it so far.
    pub delivery_attempts: u32,
    /// The last failure; none once sent.
    pub delivery_error: Option<String>,
    /// The first success.
    pub sent_at: Option<Timestamp>,
    /// How much of it was used.
    pub redemption_status: RedemptionStatus,
    /// When nothing was left.
    pub redeemed_at: Option<Timestamp>,
    /// When it expires; none until its mail is settled.
    pub expires_at: Option<Timestamp>,
    /// Cents of the cost that were redeemed.
    pub redeemed: i64,
    /// Cents of the cost that redemptions under way hold: they don't expire.
    pub reserved: i64,
    /// Cents of the cost that were void at expiry.
    pub voided: i64,
    /// Cents that returned at expiry.
    pub refunded: Option<i64>,
    /// Counts moves to another address: a link carries it and dies with it.
    pub link_version: u32,
}

impl Gift {
    /// Cents of the cost that are neither redeemed, nor held by a redemption, nor void.
    pub fn open(&self) -> i64 {
        [self.redeemed, self.reserved, self.voided].into_iter().fold(self.cost, i64::saturating_sub).max(0)
    }
}
