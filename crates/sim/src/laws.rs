//! What holds whatever happens, read from what the store holds, without the model.

use std::collections::BTreeMap;

use giftd_domain::gifts::redemption::RedemptionState;
use giftd_domain::gifts::{DeliveryStatus, Gift, RedemptionStatus};
use giftd_domain::orders::OrderStatus;

use crate::model::NOBODY;
use crate::seen::{Seen, SeenOrder};

/// The first law that is broken, in words.
pub fn broken(seen: &Seen) -> Option<String> {
    for (id, account) in &seen.accounts {
        let of = account.balances;
        if of.sum() != Some(0) || of.available < 0 || of.pending < 0 || of.issued < 0 {
            return Some(format!("account {id} has {of:?}"));
        }
        if !account.ledger.1.is_sorted_by(|newer, older| newer.id > older.id) {
            return Some(format!("account {id} lists its entries in no order"));
        }
    }
    let mut codes = BTreeMap::new();
    for ((account, id), order) in &seen.orders {
        let Some(order) = order else { return Some(format!("account {account}: {id} is gone")) };
        let wrong = order.order.gifts.iter().find_map(|gift| wrong_with(order, gift));
        if let Some(wrong) = wrong {
            return Some(format!("account {account}: {id}: {wrong}"));
        }
        let redemptions = order.redemptions.iter().flat_map(BTreeMap::values);
        for redemption in redemptions.filter(|of| of.state == RedemptionState::Done) {
            let Some(code) = &redemption.code else {
                return Some(format!("{:?} is done without a code", redemption.id));
            };
            if let Some(other) = codes.insert(code.bytes.clone(), redemption.id) {
                return Some(format!("one code was handed out twice, to {other:?} and {:?}", redemption.id));
            }
        }
    }
    None
}

/// What is wrong with a gift's state.
fn wrong_with(order: &SeenOrder, gift: &Gift) -> Option<String> {
    use DeliveryStatus::{Canceled, Pending};
    let status = order.order.summary.status;
    let open = gift.cost - gift.redeemed - gift.reserved - gift.voided;
    let returns = order.order.summary.refund_option && gift.voided > 0;
    let refund = returns.then_some((gift.voided * 7 + 5) / 10);
    let legal = open >= 0
        && gift.refunded == refund
        && (gift.redemption_status == RedemptionStatus::Redeemed) == (gift.redeemed == gift.cost)
        && (gift.redemption_status != RedemptionStatus::Expired || open == 0)
        && (gift.voided == 0 || gift.redemption_status == RedemptionStatus::Expired)
        && (gift.delivery_status == Canceled) == (status == OrderStatus::Canceled)
        && (gift.redemption_status == RedemptionStatus::Canceled) == (status == OrderStatus::Canceled)
        && (status != OrderStatus::Complete || gift.delivery_status != Pending && gift.expires_at.is_some())
        && (status != OrderStatus::Pending || gift.delivery_status == Pending && gift.redeemed + gift.reserved == 0);
    (!legal).then(|| format!("a gift of an order that is {status:?} is in no legal state: {gift:#?}"))
}

/// What isn't at rest, in words, when nothing is left to do.
pub fn unrest(seen: &Seen) -> Option<String> {
    let rows = &seen.rows;
    if let Some(((gift, kind), _)) = rows.mails.first_key_value() {
        return Some(format!("a mail {kind:?} of {gift:?} waits for ever"));
    }
    if let Some((gift, _)) = rows.wakes.first_key_value() {
        return Some(format!("{gift:?} never turns"));
    }
    if let Some(((gift, id), _)) = rows.asks.first_key_value() {
        return Some(format!("{id:?} of {gift:?} is never settled"));
    }
    for (id, account) in &seen.accounts {
        if account.balances.pending != 0 || account.clock.moving.is_some() {
            return Some(format!("account {id} isn't at rest: {:?}, {:?}", account.balances, account.clock));
        }
    }
    seen.orders.iter().find_map(|((account, id), order)| {
        let order = &order.as_ref()?.order;
        let is_done = matches!(order.summary.status, OrderStatus::Complete | OrderStatus::Canceled);
        let lives = |gift: &&Gift| {
            matches!(gift.redemption_status, RedemptionStatus::Unredeemed | RedemptionStatus::PartiallyRedeemed)
        };
        let living = order.gifts.iter().find(lives);
        (!is_done || living.is_some())
            .then(|| format!("account {account}: {id} is {:?}, and a gift {living:?}", order.summary.status))
    })
}

/// Whom the store still knows, in words, once all recipients are erased.
pub fn remembered(seen: &Seen) -> Option<String> {
    seen.orders.iter().find_map(|((account, id), order)| {
        let SeenOrder { order, events, .. } = order.as_ref()?;
        let known = order.gifts.iter().find(|gift| gift.recipient != NOBODY);
        let told = events.iter().find(|event| event.detail.as_ref().is_some_and(|detail| detail.contains('@')));
        match (known, told) {
            (None, None) => None,
            (known, told) => Some(format!("account {account}: {id} still knows {known:?}, {told:?}")),
        }
    })
}
