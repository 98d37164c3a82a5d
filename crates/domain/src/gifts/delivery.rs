//! Mails about gifts, from the claim to the outcome.

use jiff::{SignedDuration, Timestamp};

use super::Recipient;
use crate::access::Environment;
use crate::account::AccountClock;
use crate::ids::{AccountId, GiftId};
use crate::limits;
use crate::money::Money;
use crate::templates::TemplateContent;

/// What a mail about a gift is for. A gift has at most one waiting of each kind.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    strum::IntoStaticStr,
    strum::EnumString,
    strum::VariantArray,
)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum MailKind {
    /// Brings the gift; only its outcome is the gift's delivery status, and moves money.
    Gift,
    /// Says that the gift expires soon.
    Reminder,
    /// Proves that the recipient controls the address; worthless after ten minutes.
    Verification,
}

impl MailKind {
    /// For how long it is tried after its first claim. A verification's link is dead after that time.
    pub fn tried_for(self) -> SignedDuration {
        match self {
            Self::Gift | Self::Reminder => SignedDuration::from_hours(limits::DELIVERY_RETRY_HOURS),
            Self::Verification => SignedDuration::from_mins(limits::VERIFICATION_MINUTES),
        }
    }
}

/// A mail that a worker has claimed: all that it needs. Rows hold ids, never tokens, so links are made
/// at sending.
///
/// Instants are the node's ([`AccountClock`]) unless they say otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedDelivery {
    /// Whose.
    pub account_id: AccountId,
    /// In which environment: sandbox mail never leaves.
    pub environment: Environment,
    /// The account's clock when it was claimed.
    pub clock: AccountClock,
    /// Which gift.
    pub gift: GiftId,
    /// What for.
    pub kind: MailKind,
    /// The claim's number: only with it can the outcome be settled.
    pub claim: i64,
    /// Of a gift's mail 1 + resends, of a reminder or verification its number; with gift and kind it
    /// makes the `Message-ID`.
    pub send_number: u32,
    /// Attempts of this send before this one.
    pub attempts: u32,
    /// When it was first due.
    pub due_at: Timestamp,
    /// When it was first claimed: retries end 24 h later, however long no node was there before.
    pub tried_since: Timestamp,
    /// Counts moves to another address; a link carries it and dies with it.
    pub link_version: u32,
    /// To whom; a gift that is a link has no address, and its delivery is SENT without a mail.
    pub recipient: Recipient,
    /// How much.
    pub amount: Money,
    /// The card's name.
    pub card_name: String,
    /// The display name of the sender.
    pub sender_name: String,
    /// The subject.
    pub subject: String,
    /// The message, where the order has one; else the template's.
    pub message: Option<String>,
    /// How it looks, as the template is now.
    pub template: TemplateContent,
    /// Whether the gift expires after 30 days instead of 180.
    pub refund_option: bool,
    /// When the gift expires, by the account's clock; none before its first mail was sent.
    pub expires_at: Option<Timestamp>,
}

/// What became of a claimed delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Whose.
    pub account_id: AccountId,
    /// Which gift.
    pub gift: GiftId,
    /// Which of its mails.
    pub kind: MailKind,
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
        /// When, by the node's clock, as all instants here.
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
