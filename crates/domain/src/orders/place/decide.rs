//! The command to place an order, and its decision inside the transaction.

use jiff::Timestamp;

use super::Fingerprint;
use crate::account::{Account, CannotPost};
use crate::fx::Rate;
use crate::gifts::{DeliveryStatus, Gift, Recipient, RedemptionStatus};
use crate::history::OrderKind;
use crate::ids::{AccountId, OrderId};
use crate::ledger::Entry;
use crate::money::Money;
use crate::orders::{CardType, EmailSetting, Order, OrderStatus, OrderSummary, OrderType};
use crate::schedule::SendTiming;

/// Places an order: every rule but the balance and the key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceOrder {
    /// Who places.
    pub account_id: AccountId,
    /// 1 to 64 characters.
    pub idempotency_key: String,
    /// What was asked for.
    pub fingerprint: Fingerprint,
    /// How it came about.
    pub order_type: OrderType,
    /// What kind of card.
    pub card_type: CardType,
    /// The product.
    pub product_id: String,
    /// Its name.
    pub card_name: String,
    /// The app's name.
    pub creator: String,
    /// When it goes out.
    pub timing: SendTiming,
    /// What the mails say.
    pub email_setting: EmailSetting,
    /// Whether it expires after 30 days with a refund.
    pub refund_option: bool,
    /// The sum of the gifts' amounts.
    pub total_amount: Money,
    /// The sum of the gifts' costs, in cents.
    pub total_cost: i64,
    /// US dollars for one unit; none in US dollars.
    pub fx_rate: Option<Rate>,
    /// 1 to 10,000 gifts.
    pub gifts: Vec<NewGift>,
    /// The account's time.
    pub now: Timestamp,
    /// Random bits for the ids.
    pub entropy: u128,
}

/// A gift to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGift {
    /// To whom.
    pub recipient: Recipient,
    /// Minor units of the product's currency.
    pub amount: i64,
    /// Cents.
    pub cost: i64,
}

/// The order that has a key already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownKey {
    /// The order.
    pub order_id: OrderId,
    /// What was asked for then.
    pub fingerprint: Fingerprint,
}

/// What the transaction has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Write this.
    Place {
        /// The order's id.
        order_id: OrderId,
        /// The hold, and a sandbox's refill.
        entries: Vec<Entry>,
    },
    /// Nothing: the key has an order.
    Known(KnownKey),
    /// Nothing: more than is available.
    Insufficient {
        /// Cents that the order costs.
        required: i64,
        /// Cents there are.
        available: i64,
    },
    /// Nothing: the balances can't take it (see [`CannotPost::Impossible`]).
    Impossible,
}

impl PlaceOrder {
    /// Decides, inside the transaction that holds `account`'s row, and changes `account` accordingly.
    pub fn decide(&self, account: &mut Account, known: Option<KnownKey>) -> Decision {
        if let Some(known) = known {
            return Decision::Known(known);
        }
        let before = account.clone();
        let placed = account.next_id(self.now, self.entropy).and_then(|time| {
            let order_id = OrderId { order_type: self.order_type, time };
            let entries = account.hold(self.total_cost, &order_id.to_string(), self.now, self.entropy)?;
            Ok(Decision::Place { order_id, entries })
        });
        placed.unwrap_or_else(|refused| {
            *account = before;
            match refused {
                CannotPost::Insufficient { required, available } => Decision::Insufficient { required, available },
                CannotPost::Impossible => Decision::Impossible,
            }
        })
    }

    /// What it has in common with other orders.
    pub fn kind(&self) -> OrderKind {
        OrderKind {
            order_type: self.order_type,
            card_type: self.card_type,
            card_name: self.card_name.clone(),
            creator: self.creator.clone(),
        }
    }

    /// From when on its gifts may be delivered: at once (whatever the order's id says of the time), or
    /// at the scheduled instant.
    pub fn run_at(&self) -> Timestamp {
        match &self.timing {
            SendTiming::Immediate => self.now,
            SendTiming::Scheduled(schedule) => schedule.send_at,
        }
    }

    /// The order as it is when just placed.
    pub fn into_order(self, order_id: OrderId) -> Order {
        let gifts: Vec<Gift> = (1_u32..)
            .zip(self.gifts)
            .map(|(position, gift)| Gift {
                position,
                recipient: gift.recipient,
                amount: gift.amount,
                cost: gift.cost,
                delivery_status: DeliveryStatus::Pending,
                delivery_attempts: 0,
                delivery_error: None,
                sent_at: None,
                redemption_status: RedemptionStatus::Unredeemed,
                redeemed_at: None,
                expires_at: None,
                refunded: None,
            })
            .collect();
        let summary = OrderSummary {
            order_id,
            card_type: self.card_type,
            status: OrderStatus::Pending,
            product_id: self.product_id,
            card_name: self.card_name,
            creator: self.creator,
            timing: self.timing,
            email_setting: self.email_setting,
            refund_option: self.refund_option,
            recipient_count: u32::try_from(gifts.len()).unwrap_or(u32::MAX),
            total_amount: self.total_amount,
            total_cost: self.total_cost,
            fx_rate: self.fx_rate,
            completed_at: None,
            canceled_at: None,
        };
        Order { summary, gifts }
    }
}
