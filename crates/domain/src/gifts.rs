//! A gift: what one recipient of one order gets.

use jiff::{SignedDuration, Timestamp};

use crate::access::Environment;
use crate::ids::{AccountId, GiftId};
use crate::limits;
use crate::money::Money;

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
    /// Cents that returned at expiry.
    pub refunded: Option<i64>,
}

/// When a gift expires that was sent (or, never sent, whose order was completed) at `from`.
pub fn expires_at(from: Timestamp, refund_option: bool) -> Timestamp {
    let hours = if refund_option { limits::EXPIRY_HOURS_WITH_REFUND } else { limits::EXPIRY_HOURS };
    from.saturating_add(SignedDuration::from_hours(hours)).unwrap_or(Timestamp::MAX)
}

/// A delivery that a worker has claimed: all that its mail needs. Rows hold ids, never tokens, so the
/// link is made at sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedDelivery {
    /// Whose.
    pub account_id: AccountId,
    /// In which environment: sandbox mail never leaves.
    pub environment: Environment,
    /// Which gift.
    pub gift: GiftId,
    /// The claim's number: only with it can the outcome be settled.
    pub claim: i64,
    /// 1 + resends; with the gift it makes the `Message-ID`.
    pub send_number: u32,
    /// Attempts before this one.
    pub attempts: u32,
    /// When the gift was first due.
    pub due_at: Timestamp,
    /// When it was first claimed: retries end 24 h later, however long no node was there before.
    pub tried_since: Timestamp,
    /// Counts moves to another address; a link carries it and dies with it.
    pub link_version: u32,
    /// To whom; with an address.
    pub recipient: Recipient,
    /// How much.
    pub amount: Money,
    /// The card's name.
    pub card_name: String,
    /// The display name of the sender.
    pub sender_name: String,
    /// The subject.
    pub subject: String,
    /// The message.
    pub message: Option<String>,
}

/// What became of a claimed delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Whose.
    pub account_id: AccountId,
    /// Which gift.
    pub gift: GiftId,
    /// The claim's number; an outcome of a claim that was taken over is dropped.
    pub claim: i64,
    /// What became of it.
    pub outcome: DeliveryOutcome,
}

/// What became of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// A server took it.
    Sent {
        /// When.
        at: Timestamp,
    },
    /// It will not be tried again by itself.
    Failed {
        /// When.
        at: Timestamp,
        /// Why, up to 500 characters.
        error: String,
    },
    /// It is tried again.
    Retry {
        /// When.
        at: Timestamp,
        /// Why, up to 500 characters.
        error: String,
    },
}
