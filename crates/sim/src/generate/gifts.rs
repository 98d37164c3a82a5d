//! Recipients, and the codes that they get.

use giftd_domain::Timestamp;
use giftd_domain::gifts::redemption::{NewCode, RedemptionId, Reserve, Sealed, Supplied};
use giftd_domain::ids::GiftKey;
use giftd_domain::money::Money;
use giftd_domain::orders::CardType;

use super::orders::{FACES, PRODUCTS};
use super::{Generator, Model, environment};
use crate::command::Command;
use crate::model::open;

/// Redemption ids of a gift; fewer than its page shows when all are released.
const IDS: u64 = 8;

/// One of a gift's ids: no other gift has it.
fn redemption_id(gift: GiftKey, number: u64) -> RedemptionId {
    let bits = gift.order.to_bits().wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    RedemptionId(
        bits ^ u128::from(gift.position) << 16
            ^ u128::from(number)
            ^ u128::from(gift.account_id.0.unsigned_abs()) << 40,
    )
}

impl Generator {
    pub(super) fn request_verification(&mut self, model: &Model, now: Timestamp) -> Option<Command> {
        let (gift, link_version) = self.a_link(model)?;
        Some(Command::RequestVerification { gift, link_version, now })
    }

    /// The last that was asked for, or another.
    pub(super) fn verify(&mut self, model: &Model, now: Timestamp) -> Option<Command> {
        let asked: Vec<(GiftKey, u32, usize)> = (model.gifts())
            .filter(|(_, order, gift)| !order.gifts[*gift].verifications.is_empty())
            .map(|(account, order, gift)| {
                let verifications = &order.gifts[gift].verifications;
                let link_version = verifications.last().map_or(1, |last| last.link_version);
                (order.key_of(account.id, gift), link_version, verifications.len())
            })
            .collect();
        if asked.is_empty() {
            return None;
        }
        let (gift, link_version, count) = *self.dice.pick(&asked);
        let last = u32::try_from(count).expect("few");
        let number = if self.dice.chance(80) { last } else { last + 1 - u32::from(self.dice.chance(60)) * 2 };
        Some(Command::Verify { gift, link_version, number, now })
    }

    pub(super) fn reserve(&mut self, model: &Model, now: Timestamp) -> Option<Command> {
        // One that waits for its supplier is asked for again: a double tap.
        let (gift, link_version) = self.a_link(model)?;
        let account = &model.accounts[&gift.account_id];
        let order = account.orders.get(&gift.order)?;
        let left = account.gift(gift).map_or(100, open);
        let is_choice = order.order.summary.card_type == CardType::ChoiceCard;
        let cost = match self.dice.below(10) {
            0 => left + 1,
            1..4 if is_choice => self.dice.between(1, left.max(1)),
            4..8 if is_choice => *self.dice.pick(&FACES),
            _ => left,
        }
        .max(1);
        let (product_id, product_name) = if is_choice {
            let (id, name) = *self.dice.pick(&PRODUCTS);
            (id.to_owned(), name.to_owned())
        } else {
            (order.order.summary.product_id.clone(), order.order.summary.card_name.clone())
        };
        let id = redemption_id(gift, self.dice.below(IDS));
        let face = Money::usd(cost);
        let command = Reserve { gift, link_version, id, product_id, product_name, face, cost, now };
        Some(Command::Reserve(command))
    }

    /// What a supplier says to a redemption that isn't there, or was settled long ago.
    pub(super) fn settle_something(&mut self, model: &Model, now: Timestamp) -> Option<Command> {
        let (gift, _) = self.a_link(model)?;
        let id = redemption_id(gift, self.dice.below(IDS));
        Some(Command::SettleRedemption { gift, id, supplied: Supplied::Refused, now, entropy: self.dice.bits() })
    }

    /// Some that are new and some that may be known.
    pub(super) fn import_codes(&mut self, now: Timestamp) -> Command {
        let (product_id, _) = *self.dice.pick(&PRODUCTS);
        let mut codes: Vec<NewCode> = Vec::new();
        for _ in 0..self.dice.between(1, 5) {
            let number = if self.dice.chance(80) { self.made_up() } else { self.dice.below(40) };
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&number.to_be_bytes());
            let sealed = Sealed { key_id: "key 1".to_owned(), bytes: format!("CODE-{number}").into_bytes() };
            let face_value = *self.dice.pick(&FACES);
            if codes.iter().all(|code| code.hash != hash) {
                codes.push(NewCode { hash, face_value, sealed });
            }
        }
        Command::ImportCodes { product_id: product_id.to_owned(), codes, now }
    }

    /// A redemption that was reserved: its page asks the supplier.
    pub fn ask_supplier(&mut self, model: &Model, command: &Reserve) {
        let account = &model.accounts[&command.gift.account_id];
        let Some(order) = account.orders.get(&command.gift.order) else { return };
        let place = usize::try_from(command.gift.position).expect("a position") - 1;
        let Some(of) = order.gifts.get(place).and_then(|gift| gift.redemptions.get(&command.id)) else { return };
        if of.ask_at.is_some() {
            self.supplier.ask(command.gift, environment(account), &of.redemption);
        }
    }
}
