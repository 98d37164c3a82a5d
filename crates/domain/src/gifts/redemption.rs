//! Redeeming a gift or a part of it: reserve, ask the supplier for a code, settle.
//!
//! A redemption's id is made by the recipient's page, so that a double tap is one redemption; the supplier
//! is asked with it, so that asking again gets the same code.

use jiff::{SignedDuration, Timestamp};

use super::{Gift, RedemptionStatus};
use crate::access::Environment;
use crate::account::AccountClock;
use crate::catalog::BrandedCard;
use crate::ids::{AccountId, GiftKey, OrganizationId};
use crate::money::Money;
use crate::orders::{CardType, OrderStatus, OrderSummary};

/// A redemption's id: 128 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RedemptionId(pub u128);

/// Where a redemption stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::EnumString, strum::VariantArray)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum RedemptionState {
    /// Its cents are held, and the supplier's answer isn't known: it is asked until it is.
    Reserved,
    /// There is a code.
    Done,
    /// The supplier refused for good; the cents are open again.
    Released,
}

/// A text that only a key outside the database can read.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Names the key.
    pub key_id: String,
    /// The ciphertext, with all that reading it takes but the key.
    pub bytes: Vec<u8>,
}

/// Neither shown nor logged.
impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealed({})", self.key_id)
    }
}

/// One redemption of a gift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redemption {
    /// Its id.
    pub id: RedemptionId,
    /// The branded card that was picked.
    pub product_id: String,
    /// The card's name then.
    pub product_name: String,
    /// What the code is worth, in the card's currency.
    pub face: Money,
    /// Cents of the gift's cost that it takes.
    pub cost: i64,
    /// Where it stands.
    pub state: RedemptionState,
    /// The code, once there is one.
    pub code: Option<Sealed>,
    /// How often the supplier was asked again.
    pub asked_again: u32,
    /// When it was reserved, by the account's clock.
    pub reserved_at: Timestamp,
    /// When it was done or released, by the account's clock.
    pub settled_at: Option<Timestamp>,
}

/// A gift as its recipient's page needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GiftAtHand {
    /// The account that placed the order.
    pub account_id: AccountId,
    /// In which environment.
    pub environment: Environment,
    /// The account's clock.
    pub clock: AccountClock,
    /// The organization that gives.
    pub organization_id: OrganizationId,
    /// The organization's name.
    pub organization: String,
    /// The order; its message is the order's own, else its template's, also of a deleted one.
    pub order: OrderSummary,
    /// The gift.
    pub gift: Gift,
    /// Its redemptions, oldest first; of released ones only the [`crate::limits::RELEASED_AT_HAND`] that were released
    /// last, as a gift whose card is out of stock collects them without end.
    pub redemptions: Vec<Redemption>,
}

/// Asks for a part of a gift, or for all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserve {
    /// The gift.
    pub gift: GiftKey,
    /// Of the link that was used.
    pub link_version: u32,
    /// The redemption's id.
    pub id: RedemptionId,
    /// The branded card that was picked.
    pub product_id: String,
    /// Its name.
    pub product_name: String,
    /// What the code shall be worth.
    pub face: Money,
    /// Cents of the gift's cost that it takes; above 0.
    pub cost: i64,
    /// The node's time. The supplier is asked again after [`ask_again_at`].
    pub now: Timestamp,
}

/// Why a gift can't be redeemed, in the order in which it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRedeemable {
    /// There is no such gift, or it moved to another address since the link was made.
    Unknown,
    /// Its order was canceled.
    Canceled,
    /// Its order hasn't gone out.
    NotYet,
    /// Its time is over.
    Expired,
    /// Nothing is left, or redemptions under way hold all that is.
    Used,
    /// Less is left than asked for.
    TooMuch {
        /// Cents that are open.
        open: i64,
    },
}

impl Gift {
    /// Whether `cost` cents may be reserved at `at`, by the account's clock, with a link of `link_version`.
    pub fn may_reserve(
        &self,
        card_type: CardType,
        order_status: OrderStatus,
        link_version: u32,
        cost: i64,
        at: Timestamp,
    ) -> Result<(), NotRedeemable> {
        self.may_open(order_status, link_version)?;
        if self.redemption_status == RedemptionStatus::Expired || self.expires_at.is_some_and(|end| at >= end) {
            return Err(NotRedeemable::Expired);
        }
        match self.open() {
            0 => Err(NotRedeemable::Used),
            open if cost > open || card_type == CardType::BrandedCard && cost != open => {
                Err(NotRedeemable::TooMuch { open })
            }
            _ => Ok(()),
        }
    }

    /// Whether a link of `link_version` opens the gift's page at all.
    pub fn may_open(&self, order_status: OrderStatus, link_version: u32) -> Result<(), NotRedeemable> {
        if self.link_version != link_version {
            return Err(NotRedeemable::Unknown);
        }
        match order_status {
            OrderStatus::Canceled => Err(NotRedeemable::Canceled),
            OrderStatus::Pending => Err(NotRedeemable::NotYet),
            OrderStatus::InProgress | OrderStatus::Complete => Ok(()),
        }
    }

    /// Takes what a redemption of `cost` cents held as redeemed, at `at` by the account's clock. An expired
    /// gift stays EXPIRED.
    pub fn redeem_reserved(&mut self, cost: i64, at: Timestamp) {
        self.reserved = self.reserved.saturating_sub(cost);
        self.redeemed = self.redeemed.saturating_add(cost);
        if self.redemption_status == RedemptionStatus::Expired {
            return;
        }
        if self.redeemed >= self.cost {
            self.redemption_status = RedemptionStatus::Redeemed;
            self.redeemed_at = Some(at);
        } else {
            self.redemption_status = RedemptionStatus::PartiallyRedeemed;
        }
    }

    /// Gives back what a redemption of `cost` cents held. Whether that part must expire at once
    /// ([`Gift::expire`]), because the gift's time was over meanwhile.
    pub fn release_reserved(&mut self, cost: i64, at: Timestamp) -> bool {
        self.reserved = self.reserved.saturating_sub(cost);
        self.redemption_status == RedemptionStatus::Expired || self.expires_at.is_some_and(|end| at >= end)
    }
}

/// What became of asking for a part of a gift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// It is reserved now: ask the supplier.
    New(Redemption),
    /// This id reserved before, whatever was asked for now; as it stands.
    Known(Redemption),
    /// Nothing happened.
    Refused(NotRedeemable),
}

/// A reserved redemption whose supplier has to be asked again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskAgain {
    /// The gift.
    pub gift: GiftKey,
    /// In which environment: a sandbox has its own supplier.
    pub environment: Environment,
    /// What to ask for.
    pub redemption: Redemption,
}

/// What a supplier said for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Supplied {
    /// Here is the code.
    Code(Sealed),
    /// There is none, and none was handed out under this id.
    Refused,
}

/// When a supplier is asked again that was asked `asked_again` times again before: half a minute, doubled
/// up to 16 minutes. By the node's clock.
pub fn ask_again_at(now: Timestamp, asked_again: u32) -> Timestamp {
    let factor = 1_i64.checked_shl(asked_again.min(5)).unwrap_or(1);
    now.saturating_add(SignedDuration::from_secs(factor.saturating_mul(30))).unwrap_or(Timestamp::MAX)
}

/// A code that an operator imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCode {
    /// A keyed hash of product and code: the same code is never imported twice.
    pub hash: [u8; 32],
    /// What it is worth, in minor units of its product's currency.
    pub face_value: i64,
    /// Code and PIN.
    pub sealed: Sealed,
}

/// Codes of one product and face value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stock {
    /// The branded card.
    pub product_id: String,
    /// In minor units of its currency.
    pub face_value: i64,
    /// Codes that can be handed out.
    pub available: u64,
    /// Codes that were.
    pub handed_out: u64,
}

/// A branded card, whether it is still listed or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownCard {
    /// The card.
    pub card: BrandedCard,
    /// Whether it is in the catalog now.
    pub listed: bool,
}
