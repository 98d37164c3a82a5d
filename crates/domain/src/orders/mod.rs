//! Orders: what was asked for, what was placed, how it stands.

pub mod cancel;
pub mod erase;
pub mod place;
pub mod resend;

use jiff::Timestamp;

use crate::fx::Rate;
use crate::gifts::Gift;
use crate::ids::{OrderId, TemplateId};
use crate::money::Money;
use crate::schedule::SendTiming;

/// How an order came about.
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
pub enum OrderType {
    /// Placed once, mailed to recipients.
    OneTime,
    /// Placed by a standing rule.
    Smart,
    /// Links instead of mails.
    Link,
}

impl OrderType {
    /// The first two letters of its ids.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::OneTime => "OT",
            Self::Smart => "SO",
            Self::Link => "LO",
        }
    }

    /// The type of a prefix.
    pub fn from_prefix(prefix: &str) -> Option<Self> {
        match prefix {
            "OT" => Some(Self::OneTime),
            "SO" => Some(Self::Smart),
            "LO" => Some(Self::Link),
            _ => None,
        }
    }
}

/// What kind of card an order is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::EnumString, strum::VariantArray)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum CardType {
    /// One brand.
    BrandedCard,
    /// The recipient picks the brand.
    ChoiceCard,
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::EnumString, strum::VariantArray)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum OrderStatus {
    /// No gift was picked up for delivery yet.
    Pending,
    /// The first was.
    InProgress,
    /// Each gift is SENT or FAILED.
    Complete,
    /// Taken back in time.
    Canceled,
}

impl OrderStatus {
    /// Whether gifts are still to be delivered. Once they aren't, the order stays as it is.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::InProgress)
    }
}

/// What the gift's mail says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailSetting {
    /// The display name of the sender.
    pub sender_name: String,
    /// The subject.
    pub subject: String,
    /// The personal message.
    pub message: Option<String>,
    /// The template in force.
    pub template_id: TemplateId,
}

/// An order without its gifts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderSummary {
    /// Its id, which also tells when it was placed.
    pub order_id: OrderId,
    /// What kind of card.
    pub card_type: CardType,
    /// Where it stands.
    pub status: OrderStatus,
    /// The product.
    pub product_id: String,
    /// The product's name at the time.
    pub card_name: String,
    /// The app that placed it.
    pub creator: String,
    /// When it goes out.
    pub timing: SendTiming,
    /// What the mails say.
    pub email_setting: EmailSetting,
    /// Whether it expires after 30 days with a refund.
    pub refund_option: bool,
    /// Its gifts.
    pub recipient_count: u32,
    /// The sum of the gifts' amounts.
    pub total_amount: Money,
    /// Cents taken from the balance.
    pub total_cost: i64,
    /// US dollars for one unit, as paid; none in US dollars.
    pub fx_rate: Option<Rate>,
    /// When each gift was SENT or FAILED.
    pub completed_at: Option<Timestamp>,
    /// When it was canceled.
    pub canceled_at: Option<Timestamp>,
}

impl OrderSummary {
    /// When it was placed.
    pub fn created_at(&self) -> Timestamp {
        self.order_id.time.created_at()
    }

    /// When it goes out: the resolved instant, or when it was placed.
    pub fn send_at(&self) -> Timestamp {
        match &self.timing {
            SendTiming::Immediate => self.created_at(),
            SendTiming::Scheduled(schedule) => schedule.send_at,
        }
    }
}

/// An order with its gifts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// All but the gifts.
    pub summary: OrderSummary,
    /// The gifts by position.
    pub gifts: Vec<Gift>,
}
