//! The life of a gift after its mail: reminders, expiry, verification, redemption.

use std::collections::BTreeMap;

use giftd_domain::Timestamp;
use giftd_domain::access::Environment;
use giftd_domain::gifts::events::NewEvent;
use giftd_domain::gifts::redemption::{
    AskAgain, NotRedeemable, Redemption, RedemptionId, RedemptionState, Reserve, Reserved, Supplied,
};
use giftd_domain::gifts::verification::{VerificationRequested, Verified, may_request};
use giftd_domain::gifts::{DeliveryStatus, Gift, MailKind, RedemptionStatus};
use giftd_domain::ids::{AccountId, GiftKey, OrderId};
use giftd_domain::orders::{CardType, OrderStatus};
use giftd_store::{Turned, Work};
use jiff::SignedDuration;

use super::{Account, Contradiction, Heard, Model, PlacedOrder, Redeeming, Verification};
use crate::command::Answer;

/// Cents that are neither redeemed, nor reserved, nor void.
pub fn open(gift: &Gift) -> i64 {
    gift.cost - gift.redeemed - gift.reserved - gift.voided
}

/// When a supplier is asked again that was asked so often: half a minute later, doubled up to 16 minutes.
fn ask_at(now: Timestamp, asked_again: u32) -> Timestamp {
    now + SignedDuration::from_secs(30 << asked_again.min(5))
}

fn may_open(gift: &Gift, status: OrderStatus, link_version: u32) -> Result<(), NotRedeemable> {
    match status {
        _ if gift.link_version != link_version => Err(NotRedeemable::Unknown),
        OrderStatus::Canceled => Err(NotRedeemable::Canceled),
        OrderStatus::Pending => Err(NotRedeemable::NotYet),
        OrderStatus::InProgress | OrderStatus::Complete => Ok(()),
    }
}

impl PlacedOrder {
    /// Makes what is open of a gift void, with an event; 70 % of all that ever was returns: how many cents now.
    fn expire(&mut self, place: usize, at: Timestamp) -> i64 {
        let (gift, beside) = (&mut self.order.gifts[place], &mut self.gifts[place]);
        let void = open(gift);
        gift.voided += void;
        gift.redemption_status = RedemptionStatus::Expired;
        beside.wake_at = None;
        beside.tell(gift.position, NewEvent::expired(void), at);
        if !self.order.summary.refund_option {
            return 0;
        }
        let in_all = (gift.voided * 7 + 5) / 10;
        let returns = in_all - gift.refunded.unwrap_or(0);
        gift.refunded = Some(in_all);
        if returns > 0 {
            beside.tell(gift.position, NewEvent::refunded(returns), at);
        }
        returns
    }
}

impl Model {
    pub(super) fn turn(&mut self, work: Work, until: Timestamp, entropy: u128) -> Answer {
        let reminders = self.reminders.clone();
        let mut turned = Turned::default();
        let mut refunds: BTreeMap<(AccountId, Timestamp, OrderId), i64> = BTreeMap::new();
        let mut touched = Vec::new();
        for account in self.accounts.values_mut() {
            let Some(works_until) = account.works_until(work, until) else { continue };
            let (id, ahead) = (account.id, account.clock.ahead);
            for of in account.orders.values_mut() {
                let order_id = of.order.summary.order_id;
                for place in 0..of.gifts.len() {
                    let Some(wake_at) = of.gifts[place].wake_at.filter(|at| *at <= works_until) else { continue };
                    turned.gifts += 1;
                    touched.push((id, order_id));
                    let node = if work == Work::Everyone { until } else { wake_at };
                    let at = node + ahead;
                    let (gift, beside) = (&of.order.gifts[place], &mut of.gifts[place]);
                    let lives = matches!(
                        gift.redemption_status,
                        RedemptionStatus::Unredeemed | RedemptionStatus::PartiallyRedeemed
                    );
                    let Some(end) = gift.expires_at.filter(|_| lives) else {
                        beside.wake_at = None;
                        continue;
                    };
                    if at < end {
                        beside.wake_at = Some(reminders.next(end, at) - ahead);
                        let number = reminders.number(end, at);
                        let reaches_someone =
                            gift.delivery_status == DeliveryStatus::Sent && gift.recipient.email.is_some();
                        if number > 0 && reaches_someone && open(gift) > 0 {
                            beside.mail(MailKind::Reminder, number, node);
                            turned.reminded += 1;
                        }
                    } else if open(gift) > 0 {
                        let returns = of.expire(place, at);
                        turned.expired += 1;
                        turned.refunded += returns;
                        *refunds.entry((id, at, order_id)).or_default() += returns;
                    } else {
                        beside.wake_at = None;
                    }
                }
            }
        }
        for ((account, at, order), cents) in refunds.into_iter().filter(|(_, cents)| *cents > 0) {
            self.account(account).refund(&order.to_string(), cents, at, entropy);
        }
        touched.into_iter().for_each(|(account, order)| self.touch(account, order));
        Answer::Turned(turned)
    }

    pub(super) fn request_verification(&mut self, key: GiftKey, link_version: u32, now: Timestamp) -> Answer {
        let refused = |why| Answer::VerificationRequested(VerificationRequested::Refused(why));
        let Some((account, place)) = self.find(key) else { return refused(NotRedeemable::Unknown) };
        let at = account.time(now);
        let of = account.orders.get_mut(&key.order).expect("it was found");
        let (gift, beside) = (&of.order.gifts[place], &mut of.gifts[place]);
        if let Err(why) = may_open(gift, of.order.summary.status, link_version) {
            return refused(why);
        }
        if gift.recipient.email.is_none() {
            return refused(NotRedeemable::Unknown);
        }
        // The last ten are all that can matter.
        let earlier: Vec<Timestamp> = beside.verifications.iter().rev().take(10).map(|one| one.requested_at).collect();
        if let Err(wait) = may_request(&earlier, now) {
            return Answer::VerificationRequested(VerificationRequested::TooMany { wait });
        }
        beside.verifications.push(Verification { link_version, requested_at: now, used: false });
        let number = u32::try_from(beside.verifications.len()).expect("few");
        beside.mail(MailKind::Verification, number, now);
        beside.tell(gift.position, NewEvent::verification_requested(), at);
        let order_id = of.order.summary.order_id;
        self.touch(key.account_id, order_id);
        Answer::VerificationRequested(VerificationRequested::Requested { number })
    }

    pub(super) fn verify(&mut self, key: GiftKey, link_version: u32, number: u32, now: Timestamp) -> Answer {
        let Some((account, place)) = self.find(key) else { return Answer::Verified(Verified::Unknown) };
        let at = account.time(now);
        let of = account.orders.get_mut(&key.order).expect("it was found");
        let (gift, beside) = (&of.order.gifts[place], &mut of.gifts[place]);
        let index = usize::try_from(number).expect("small").wrapping_sub(1);
        let known = beside.verifications.get_mut(index).filter(|of| of.link_version == link_version);
        let verified = match known {
            Some(_) if gift.link_version != link_version => Verified::Unknown,
            None => Verified::Unknown,
            Some(of) if of.used => Verified::Used,
            Some(of) if now.duration_since(of.requested_at) > SignedDuration::from_mins(10) => Verified::TooOld,
            Some(of) => {
                of.used = true;
                beside.tell(gift.position, NewEvent::verified(), at);
                Verified::Yes
            }
        };
        let order_id = of.order.summary.order_id;
        self.touch(key.account_id, order_id);
        Answer::Verified(verified)
    }

    pub(super) fn reserve(&mut self, command: &Reserve) -> Answer {
        let key = command.gift;
        let refused = |why| Answer::Reserved(Reserved::Refused(why));
        let Some((account, place)) = self.find(key) else { return refused(NotRedeemable::Unknown) };
        let at = account.time(command.now);
        let of = account.orders.get_mut(&key.order).expect("it was found");
        let (gift, beside) = (&mut of.order.gifts[place], &mut of.gifts[place]);
        if let Some(known) = beside.redemptions.get(&command.id) {
            return Answer::Reserved(Reserved::Known(known.redemption.clone()));
        }
        if let Err(why) = may_open(gift, of.order.summary.status, command.link_version) {
            return refused(why);
        }
        if gift.redemption_status == RedemptionStatus::Expired || gift.expires_at.is_some_and(|end| at >= end) {
            return refused(NotRedeemable::Expired);
        }
        let left = open(gift);
        let only_whole = of.order.summary.card_type == CardType::BrandedCard;
        if left == 0 {
            return refused(NotRedeemable::Used);
        }
        if command.cost > left || only_whole && command.cost != left {
            return refused(NotRedeemable::TooMuch { open: left });
        }
        gift.reserved += command.cost;
        let redemption = Redemption {
            id: command.id,
            product_id: command.product_id.clone(),
            product_name: command.product_name.clone(),
            face: command.face,
            cost: command.cost,
            state: RedemptionState::Reserved,
            code: None,
            asked_again: 0,
            reserved_at: at,
            settled_at: None,
        };
        let redeeming = Redeeming { redemption: redemption.clone(), ask_at: Some(ask_at(command.now, 0)) };
        beside.redemptions.insert(command.id, redeeming);
        let order_id = of.order.summary.order_id;
        self.touch(key.account_id, order_id);
        Answer::Reserved(Reserved::New(redemption))
    }

    pub(super) fn settle_redemption(
        &mut self,
        key: GiftKey,
        id: RedemptionId,
        supplied: &Supplied,
        now: Timestamp,
        entropy: u128,
    ) -> Answer {
        let Some((account, place)) = self.find(key) else { return Answer::Redemption(None) };
        let (at, ahead) = (account.time(now), account.clock.ahead);
        let of = account.orders.get_mut(&key.order).expect("it was found");
        let order_id = of.order.summary.order_id;
        let (gift, beside) = (&mut of.order.gifts[place], &mut of.gifts[place]);
        let Some(Redeeming { redemption, ask_at }) = beside.redemptions.get_mut(&id) else {
            return Answer::Redemption(None);
        };
        if redemption.state != RedemptionState::Reserved {
            let redemption = redemption.clone();
            if redemption.state == RedemptionState::Released && matches!(supplied, Supplied::Code(_)) {
                self.put_back(id);
            }
            return Answer::Redemption(Some(redemption));
        }
        (redemption.settled_at, *ask_at) = (Some(at), None);
        gift.reserved -= redemption.cost;
        match supplied {
            Supplied::Code(code) => {
                (redemption.state, redemption.code) = (RedemptionState::Done, Some(code.clone()));
                gift.redeemed += redemption.cost;
                let told = NewEvent::redeemed(&redemption.product_name, redemption.face);
                let answer = redemption.clone();
                if gift.redemption_status != RedemptionStatus::Expired {
                    gift.redemption_status = RedemptionStatus::PartiallyRedeemed;
                    if gift.redeemed == gift.cost {
                        (gift.redemption_status, gift.redeemed_at) = (RedemptionStatus::Redeemed, Some(at));
                        beside.wake_at = None;
                        beside.mails.remove(&MailKind::Reminder);
                    }
                }
                beside.tell(gift.position, told, at);
                self.touch(key.account_id, order_id);
                Answer::Redemption(Some(answer))
            }
            Supplied::Refused => {
                redemption.state = RedemptionState::Released;
                let answer = redemption.clone();
                let is_over =
                    gift.redemption_status == RedemptionStatus::Expired || gift.expires_at.is_some_and(|end| at >= end);
                if is_over {
                    let returns = of.expire(place, at);
                    if returns > 0 {
                        account.refund(&order_id.to_string(), returns, at, entropy);
                    }
                } else if beside.wake_at.is_none() {
                    // It has turned while all of it was held.
                    beside.wake_at = gift.expires_at.map(|end| end - ahead);
                }
                self.touch(key.account_id, order_id);
                Answer::Redemption(Some(answer))
            }
        }
    }

    pub(super) fn claim_redemptions(
        &mut self,
        now: Timestamp,
        limit: u32,
        heard: Heard<'_>,
    ) -> Result<(), Contradiction> {
        let mut due: Vec<(Timestamp, GiftKey, RedemptionId)> = Vec::new();
        for (account, order, gift) in self.gifts() {
            let key = order.key_of(account.id, gift);
            let of = order.gifts[gift].redemptions.iter();
            due.extend(of.filter_map(|(id, of)| of.ask_at.filter(|at| *at <= now).map(|at| (at, key, *id))));
        }
        due.sort_unstable();
        let claimed: Vec<(GiftKey, RedemptionId, Option<&AskAgain>)> = match (heard.answer, heard.rows) {
            (Some(Answer::AskAgain(asks)), _) => {
                asks.iter().map(|ask| (ask.gift, ask.redemption.id, Some(ask))).collect()
            }
            (None, Some(rows)) => due
                .iter()
                // What was settled right behind it is gone.
                .filter(|(at, gift, id)| rows.asks.get(&(*gift, *id)).map_or(heard.alone, |ask_at| ask_at != at))
                .map(|(_, gift, id)| (*gift, *id, None))
                .take(usize::try_from(limit).expect("a limit"))
                .collect(),
            (answer, _) => return Err(Contradiction::of("redemptions to ask for again", answer)),
        };
        let mut taken = Vec::new();
        for (key, id, ask) in claimed {
            let Some((at, ..)) = due.iter().find(|(_, gift, of)| (*gift, *of) == (key, id)) else {
                return Err(Contradiction::of("only what is due is asked for again", (key, id)));
            };
            taken.push(*at);
            let (account, place) = self.find(key).expect("it is due");
            let environment = if account.sandbox { Environment::Sandbox } else { Environment::Production };
            let of = account.orders.get_mut(&key.order).expect("it is due");
            let order_id = of.order.summary.order_id;
            let redeeming = of.gifts[place].redemptions.get_mut(&id).expect("it is due");
            redeeming.redemption.asked_again += 1;
            redeeming.ask_at = Some(ask_at(now, redeeming.redemption.asked_again));
            let expected = AskAgain { gift: key, environment, redemption: redeeming.redemption.clone() };
            if ask.is_some_and(|ask| *ask != expected) {
                return Err(Contradiction::of(expected, ask));
            }
            self.touch(key.account_id, order_id);
        }
        let mut longest: Vec<Timestamp> = due.iter().map(|(at, ..)| *at).collect();
        longest.truncate(usize::try_from(limit).expect("a limit"));
        taken.sort_unstable();
        if taken.len() > longest.len() || heard.alone && taken != longest {
            return Err(Contradiction::of(longest, taken));
        }
        Ok(())
    }
}

impl Account {
    /// A gift's place.
    pub fn gift(&self, key: GiftKey) -> Option<&Gift> {
        let place = usize::try_from(key.position).ok()?.checked_sub(1)?;
        self.orders.get(&key.order)?.order.gifts.get(place)
    }
}
