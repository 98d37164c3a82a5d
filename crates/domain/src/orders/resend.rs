//! Sending gifts of an order again, perhaps to another address.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::OrderStatus;
use crate::gifts::{DeliveryStatus, Gift, RedemptionStatus};
use crate::ids::{AccountId, OrderId};
use crate::limits;
use crate::text;

/// Asks for gifts of an order to be sent again. No email is in two entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resend {
    /// Who asks.
    pub account_id: AccountId,
    /// The order.
    pub order_id: OrderId,
    /// 1 to 10,000.
    pub entries: Vec<ResendEntry>,
    /// The app, whose moves are limited.
    pub client_id: String,
    /// The request, for the record.
    pub request_id: String,
    /// The node's time.
    pub now: Timestamp,
}

/// One address of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResendEntry {
    /// As the client wrote it.
    pub written: String,
    /// The address as gifts have it ([`text::email`]).
    pub email: String,
    /// Where its gifts move to; none where that is the same address.
    pub updated: Option<String>,
}

/// A gift as the decision needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resendable {
    /// The gift.
    pub gift: Gift,
    /// The number of its last send.
    pub send_number: u32,
    /// Resends of it in the last 24 hours of real time.
    pub resends_today: u32,
    /// All its moves: from, to.
    pub moves: Vec<(String, String)>,
}

/// Why a gift isn't sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum SkipReason {
    /// No gift of the order has this address.
    NotARecipient,
    /// It was redeemed; or partly, and can't move to where its codes would show.
    AlreadyRedeemed,
    /// Its time is over.
    Expired,
    /// Its first mail is still being tried.
    NotYetSent,
    /// It was sent again too often today.
    LimitReached,
    /// This order already moved this address to this one.
    AlreadyMoved,
}

/// Addresses that were not sent to, or not with all their gifts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// As the client wrote it.
    pub email: String,
    /// Why.
    pub reason: SkipReason,
}

/// A gift to be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requeue {
    /// The gift's position.
    pub position: u32,
    /// The number of this send.
    pub send_number: u32,
    /// Its address before.
    pub from: String,
    /// Its new address, where it moves: its link version grows, its verifications die.
    pub to: Option<String>,
}

/// What the transaction has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResendDecision {
    /// Write this.
    Resend {
        /// Each gift once, by position.
        requeue: Vec<Requeue>,
        /// One for each address and reason, in the order of the request.
        skipped: Vec<Skipped>,
    },
    /// Nothing: no entry names a recipient.
    NobodyKnown,
    /// Nothing: the order hasn't gone out, or was canceled.
    NotResendable,
    /// Nothing: the app moved too many gifts today.
    TooManyMoves,
}

impl Resend {
    /// Decides, inside the transaction that holds the order's gifts, at `at` by the account's clock.
    /// `gifts` are all of the order; `moved_today` gifts were moved by the app in the last 24 hours of real
    /// time, whichever the order.
    pub fn decide(&self, status: OrderStatus, gifts: &[Resendable], moved_today: u32, at: Timestamp) -> ResendDecision {
        if matches!(status, OrderStatus::Pending | OrderStatus::Canceled) {
            return ResendDecision::NotResendable;
        }
        let mut requeue = Vec::new();
        let mut skipped: Vec<Skipped> = Vec::new();
        let mut is_anybody_known = false;
        for entry in &self.entries {
            let mut reasons = BTreeSet::new();
            let mut is_known = false;
            for gift in gifts {
                match entry.look_at(gift, at) {
                    None => continue,
                    Some(Ok(requeued)) => requeue.push(requeued),
                    Some(Err(reason)) => drop(reasons.insert(reason)),
                }
                is_known = true;
            }
            if !is_known {
                reasons.insert(SkipReason::NotARecipient);
            }
            is_anybody_known |= is_known;
            skipped.extend(reasons.into_iter().map(|reason| Skipped { email: entry.written.clone(), reason }));
        }
        if !is_anybody_known {
            return ResendDecision::NobodyKnown;
        }
        let moves = u32::try_from(requeue.iter().filter(|requeue| requeue.to.is_some()).count()).unwrap_or(u32::MAX);
        if moves > 0 && moved_today.saturating_add(moves) > limits::MOVES_A_DAY {
            return ResendDecision::TooManyMoves;
        }
        requeue.sort_by_key(|requeue| requeue.position);
        requeue.dedup_by_key(|requeue| requeue.position);
        ResendDecision::Resend { requeue, skipped }
    }
}

impl ResendEntry {
    /// What it means for a gift; none where it isn't about it.
    fn look_at(&self, of: &Resendable, at: Timestamp) -> Option<Result<Requeue, SkipReason>> {
        let gift = &of.gift;
        let current = gift.recipient.email.as_deref()?;
        let same = |a: &str, b: &str| text::folded(a) == text::folded(b);
        if let Some(updated) = &self.updated
            && of.moves.iter().any(|(from, to)| same(from, &self.email) && same(to, updated))
        {
            return Some(Err(SkipReason::AlreadyMoved));
        }
        if !same(current, &self.email) {
            return None;
        }
        let to = self.updated.clone().filter(|updated| !same(updated, current));
        let was_used = gift.redeemed > 0 || gift.reserved > 0;
        Some(if gift.redemption_status == RedemptionStatus::Redeemed {
            Err(SkipReason::AlreadyRedeemed)
        } else if gift.redemption_status == RedemptionStatus::Expired || gift.expires_at.is_some_and(|end| at >= end) {
            Err(SkipReason::Expired)
        } else if was_used && to.is_some() {
            Err(SkipReason::AlreadyRedeemed)
        } else if gift.delivery_status == DeliveryStatus::Pending {
            Err(SkipReason::NotYetSent)
        } else if of.resends_today >= limits::RESENDS_A_DAY {
            Err(SkipReason::LimitReached)
        } else {
            let send_number = of.send_number.saturating_add(1);
            Ok(Requeue { position: gift.position, send_number, from: current.to_owned(), to })
        })
    }
}
