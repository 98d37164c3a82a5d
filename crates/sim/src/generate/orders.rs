//! Money and orders.

use std::collections::BTreeSet;

use giftd_domain::Timestamp;
use giftd_domain::gifts::Recipient;
use giftd_domain::ids::TemplateId;
use giftd_domain::ledger::EntryType;
use giftd_domain::limits;
use giftd_domain::money::Money;
use giftd_domain::orders::place::{NewGift, PlaceOrder};
use giftd_domain::orders::resend::{Resend, ResendEntry};
use giftd_domain::orders::{CardType, EmailSetting, OrderType};
use giftd_domain::schedule::{Schedule, SendTiming};
use giftd_domain::text;
use giftd_store::OperatorEntry;
use jiff::SignedDuration;
use jiff::tz::TimeZone;

use super::{Account, Generator, Model, PlacedOrder};
use crate::command::Command;

/// Where gifts go, and move.
const ADDRESSES: [&str; 6] =
    ["r1@example.com", "R2@Example.com", "r3@example.com", "r1@Example.com", "new@example.com", "other@example.com"];

/// Amounts that codes are imported of.
pub(super) const FACES: [i64; 2] = [500, 1_000];

/// Cards, each in US dollars.
pub(super) const PRODUCTS: [(&str, &str); 2] = [("10001", "Coffee Roasters US"), ("20001", "Books & More")];

impl Generator {
    pub(super) fn operate(&mut self, model: &Model, now: Timestamp) -> Command {
        let account_id = self.an_account(model).id;
        let entry_type = if self.dice.chance(60) { EntryType::Charge } else { EntryType::Transfer };
        let cents = match self.dice.below(10) {
            0..3 => 500,
            3..6 => 1_000,
            6..9 => self.dice.between(1, 3_000),
            _ => self.dice.between(300_000, 950_000),
        };
        // Most are new; some were seen before, perhaps with another amount.
        let reference = if self.dice.chance(60) { self.made_up() } else { self.dice.below(4) };
        let reference = format!("reference {reference}");
        let entropy = self.dice.bits();
        Command::Operate(OperatorEntry { account_id, entry_type, cents, reference, now, entropy })
    }

    pub(super) fn place(&mut self, model: &Model, now: Timestamp) -> Command {
        let account = self.an_account(model);
        let keys: Vec<&String> = account.keys.keys().collect();
        // Now and then a key that has an order, with the same request or another.
        let (key, fingerprint) = if !keys.is_empty() && self.dice.chance(15) {
            let key = keys[self.dice.index(keys.len())];
            let known = account.orders[&account.keys[key]].fingerprint;
            (key.clone(), if self.dice.chance(60) { known } else { self.fingerprint() })
        } else if let Some(of) = self.anothers_order(model, account).filter(|_| self.dice.chance(4)) {
            (of.key.clone(), of.fingerprint)
        } else {
            (format!("key {}", self.made_up()), self.fingerprint())
        };
        let is_link = self.dice.chance(15);
        let costs = self.costs(account);
        let total_cost = costs.iter().sum();
        let (product_id, card_name) = *self.dice.pick(&PRODUCTS);
        let templates = account.listed_templates();
        let template_id: TemplateId = templates[self.dice.index(templates.len())].template_id;
        let at = account.time(now);
        let gifts = (costs.into_iter())
            .map(|cost| NewGift { recipient: self.recipient(is_link), amount: cost, cost })
            .collect();
        Command::Place(PlaceOrder {
            account_id: account.id,
            idempotency_key: key,
            fingerprint,
            order_type: if is_link { OrderType::Link } else { OrderType::OneTime },
            card_type: if self.dice.chance(50) { CardType::ChoiceCard } else { CardType::BrandedCard },
            product_id: product_id.to_owned(),
            card_name: card_name.to_owned(),
            creator: (*self.dice.pick(&["Payroll", "People team"])).to_owned(),
            timing: self.timing(at),
            email_setting: EmailSetting {
                sender_name: "Acme Corp".to_owned(),
                subject: "A gift for you!".to_owned(),
                message: self.dice.chance(40).then(|| "Thank you!".to_owned()),
                template_id,
            },
            refund_option: self.dice.chance(60),
            total_amount: Money::usd(total_cost),
            total_cost,
            fx_rate: None,
            gifts,
            now: at,
            entropy: self.dice.bits(),
        })
    }

    /// Keys are an account's own: two may choose the same.
    fn anothers_order<'m>(&mut self, model: &'m Model, account: &Account) -> Option<&'m PlacedOrder> {
        let others = model.accounts.values().filter(|of| of.id != account.id);
        let orders: Vec<&PlacedOrder> = others.flat_map(|of| of.orders.values()).collect();
        if orders.is_empty() { None } else { Some(orders[self.dice.index(orders.len())]) }
    }

    fn fingerprint(&mut self) -> [u8; 32] {
        [u8::try_from(self.dice.below(250)).expect("a byte"); 32]
    }

    /// Of one to four gifts; once in a while more than there is, or just what there is.
    fn costs(&mut self, account: &Account) -> Vec<i64> {
        let available = account.balances.available;
        match self.dice.below(40) {
            0 => return vec![available + 1],
            1 if available > 0 => return vec![available],
            2 => return vec![self.dice.between(200_000, 600_000)],
            _ => {}
        }
        let gifts = self.dice.between(1, 4);
        let cost = |dice: &mut crate::dice::Dice| {
            if dice.chance(60) { *dice.pick(&FACES) } else { dice.between(1, 900) }
        };
        (0..gifts).map(|_| cost(&mut self.dice)).collect()
    }

    fn recipient(&mut self, is_link: bool) -> Recipient {
        let email = (!is_link).then(|| (*self.dice.pick(&ADDRESSES[..4])).to_owned());
        let first_name = (!is_link && self.dice.chance(50)).then(|| "Alice".to_owned());
        Recipient { email, first_name, last_name: None, company: None, department: None }
    }

    fn timing(&mut self, at: Timestamp) -> SendTiming {
        let seconds = match self.dice.below(10) {
            0..6 => return SendTiming::Immediate,
            6 => self.dice.between(1, 300),
            _ => self.dice.between(3_000, 9_000),
        };
        let send_at = Timestamp::from_second(at.as_second() + seconds).expect("an instant");
        let local = TimeZone::UTC.to_datetime(send_at);
        SendTiming::Scheduled(Schedule { local, timezone: "UTC".to_owned(), send_at })
    }

    /// Those that can be canceled more often.
    pub(super) fn cancel(&mut self, model: &Model, now: Timestamp) -> Option<Command> {
        let waiting = model.waiting_schedules();
        let (account, order) = if !waiting.is_empty() && self.dice.chance(70) {
            let of = self.dice.pick(&waiting);
            (of.account_id, of.order_id)
        } else {
            self.an_order_id(model)?
        };
        Some(Command::Cancel { account, order, now, entropy: self.dice.bits() })
    }

    pub(super) fn move_schedule(&mut self, model: &Model) -> Option<Command> {
        let waiting = model.waiting_schedules();
        if waiting.is_empty() {
            return None;
        }
        let of = self.dice.pick(&waiting).clone();
        let mut from = of.schedule.send_at;
        let to = from + SignedDuration::from_mins(self.dice.between(-90, 90));
        if self.dice.chance(10) {
            from += SignedDuration::from_secs(1);
        }
        Some(Command::MoveSchedule { account: of.account_id, order: of.order_id, from, to })
    }

    pub(super) fn resend(&mut self, model: &Model, now: Timestamp) -> Option<Command> {
        let (account, order) = self.an_order_id(model)?;
        let mut entries = Vec::new();
        let mut seen = BTreeSet::new();
        for _ in 0..self.dice.between(1, 3) {
            let written = *self.dice.pick(&ADDRESSES);
            let updated = self.dice.chance(40).then(|| (*self.dice.pick(&ADDRESSES)).to_owned());
            if seen.insert(text::folded(written)) {
                let email = text::email(written).expect("an address");
                entries.push(ResendEntry { written: written.to_owned(), email, updated });
            }
        }
        let client_id = format!("app of {account}");
        let request_id = format!("request {}", self.made_up());
        let is_insisting = self.dice.chance(8);
        if is_insisting {
            entries.iter_mut().for_each(|entry| entry.updated = None);
        }
        let command = Resend { account_id: account, order_id: order, entries, client_id, request_id, now };
        let command = Command::Resend(command);
        if is_insisting {
            self.insist(&command, limits::RESENDS_A_DAY);
        }
        Some(command)
    }
}
