//! The command to place an order, and its decision inside the transaction.

use jiff::Timestamp;

use super::Fingerprint;
use crate::access::Environment;
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
    /// Whether no mail server has a say in when its gifts are sent: a sandbox's mail is captured, and links have no
    /// address.
    pub fn mails_stay(&self, environment: Environment) -> bool {
        environment == Environment::Sandbox || self.order_type == OrderType::Link
    }

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
    /// at the scheduled instant. By the account's clock.
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
                redeemed: 0,
                reserved: 0,
                voided: 0,
                refunded: None,
                link_version: 1,
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

#[cfg(test)]
mod tests {
    use super::super::example::{World, gift, now, request};
    use super::*;
    use crate::ids::{OrganizationId, TimeId};
    use crate::ledger::EntryType;

    /// Two gifts of 60.00 US dollars together.
    fn command() -> PlaceOrder {
        request().check(&World::new().rules(), 5).expect("all rules hold")
    }

    fn account(environment: Environment, cents: i64) -> Account {
        let mut account = Account::new(AccountId(7), OrganizationId(3), environment);
        if cents > 0 {
            account.charge(cents, "top-up", now(), 1).expect("a charge");
        }
        account
    }

    fn placed(decision: Decision) -> (OrderId, Vec<Entry>) {
        match decision {
            Decision::Place { order_id, entries } => (order_id, entries),
            other => panic!("not placed: {other:?}"),
        }
    }

    #[test]
    fn an_order_holds_what_it_costs() {
        let mut account = account(Environment::Production, 6_000);
        let (order_id, entries) = placed(command().decide(&mut account, None));
        assert_eq!((account.balances.available, account.balances.pending), (0, 6_000));
        assert_eq!(order_id.time.created_at(), now());
        let entry = entries.first().expect("a hold");
        assert_eq!((entries.len(), entry.entry_type, entry.available_after), (1, EntryType::Use, 0));
        assert_eq!(entry.reference, order_id.to_string());
        assert!(order_id.time < entry.id);
        assert_eq!(account.last_id, Some(entry.id));
    }

    #[test]
    fn a_sandbox_is_refilled_together_with_the_hold() {
        let mut account = account(Environment::Sandbox, 100_000);
        let (_, entries) = placed(command().decide(&mut account, None));
        let types: Vec<_> = entries.iter().map(|entry| entry.entry_type).collect();
        assert_eq!(types, [EntryType::Use, EntryType::Charge]);
        assert_eq!((account.balances.available, account.balances.pending), (1_000_000, 6_000));
    }

    #[test]
    fn a_known_key_wins_over_an_empty_balance() {
        let mut empty = account(Environment::Production, 0);
        let before = empty.clone();
        let order_id = OrderId { order_type: OrderType::OneTime, time: TimeId::from_bits(7) };
        for fingerprint in [command().fingerprint, [0; 32]] {
            let known = KnownKey { order_id, fingerprint };
            assert_eq!(command().decide(&mut empty, Some(known)), Decision::Known(known));
        }
        assert_eq!(empty, before);
    }

    #[test]
    fn an_insufficient_balance_leaves_the_account_as_it_was() {
        let mut poor = account(Environment::Production, 5_999);
        let before = poor.clone();
        let refused = Decision::Insufficient { required: 6_000, available: 5_999 };
        assert_eq!(command().decide(&mut poor, None), refused);
        assert_eq!(poor, before, "its last id too");
        let smaller = request().to(vec![gift("alice@example.com", "10")]);
        let smaller = smaller.check(&World::new().rules(), 5).expect("all rules hold");
        placed(smaller.decide(&mut poor, None));
        assert_eq!(poor.balances.available, 4_999);
    }

    #[test]
    fn a_sandbox_too_has_to_have_what_an_order_costs() {
        let mut sandbox = account(Environment::Sandbox, 5_999);
        let refused = Decision::Insufficient { required: 6_000, available: 5_999 };
        assert_eq!(command().decide(&mut sandbox, None), refused);
    }

    #[test]
    fn when_ids_are_used_up_the_account_stays_as_it_was() {
        let mut account = account(Environment::Production, 6_000);
        let last_of_now = TimeId::from_bits(TimeId::first_at(now()).to_bits() | ((1 << 80) - 1));
        // The last one is left for the order, none for its entry.
        account.last_id = Some(TimeId::from_bits(last_of_now.to_bits() - 1));
        let before = account.clone();
        assert_eq!(command().decide(&mut account, None), Decision::Impossible);
        assert_eq!(account, before);
    }

    #[test]
    fn the_same_entropy_twice_still_makes_increasing_ids() {
        let mut account = account(Environment::Production, 12_000);
        let (first, first_entries) = placed(command().decide(&mut account, None));
        let (second, second_entries) = placed(command().decide(&mut account, None));
        let ids = [vec![first.time], ids_of(&first_entries), vec![second.time], ids_of(&second_entries)].concat();
        assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
        assert_eq!(ids.len(), 4);
    }

    fn ids_of(entries: &[Entry]) -> Vec<TimeId> {
        entries.iter().map(|entry| entry.id).collect()
    }

    #[test]
    fn a_placed_orders_gifts_are_numbered_from_1_and_wait() {
        let command = command();
        assert_eq!(command.run_at(), now());
        let order_id = OrderId { order_type: OrderType::OneTime, time: TimeId::first_at(now()) };
        let order = command.into_order(order_id);
        assert_eq!(order.gifts.iter().map(|gift| gift.position).collect::<Vec<_>>(), [1, 2]);
        assert!(order.gifts.iter().all(|gift| gift.delivery_status == DeliveryStatus::Pending));
        assert_eq!((order.summary.recipient_count, order.summary.status), (2, OrderStatus::Pending));
        assert_eq!((order.summary.created_at(), order.summary.send_at()), (now(), now()));
    }
}
