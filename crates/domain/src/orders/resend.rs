//! Sending gifts of an order again, perhaps to another address.

use std::collections::{BTreeSet, HashMap};

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
        let addresses = Addresses::of(gifts);
        for entry in &self.entries {
            let mut reasons = BTreeSet::new();
            let mut is_known = false;
            for gift in addresses.gifts(&entry.email) {
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

/// The gifts of each address that they have or had: a large order asked for as a whole is not entries times gifts.
struct Addresses<'a>(HashMap<String, Vec<&'a Resendable>>);

impl<'a> Addresses<'a> {
    fn of(gifts: &'a [Resendable]) -> Self {
        let mut addresses: HashMap<String, Vec<&Resendable>> = HashMap::with_capacity(gifts.len());
        for gift in gifts {
            let current = gift.gift.recipient.email.as_deref().map(text::folded);
            let earlier = gift.moves.iter().map(|(from, _)| text::folded(from));
            for address in current.into_iter().chain(earlier).collect::<BTreeSet<_>>() {
                addresses.entry(address).or_default().push(gift);
            }
        }
        Self(addresses)
    }

    /// By position.
    fn gifts(&self, address: &str) -> impl Iterator<Item = &'a Resendable> {
        self.0.get(&text::folded(address)).into_iter().flatten().copied()
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

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::gifts::Recipient;
    use crate::ids::TimeId;
    use crate::orders::OrderType;

    const A: &str = "alice@example.com";
    const B: &str = "bob@example.com";
    const NEW: &str = "new@example.com";

    fn now() -> Timestamp {
        "2026-11-22T18:30:00Z".parse().expect("an instant")
    }

    /// A gift of 10.00 that was sent a while ago.
    fn sent(position: u32, email: &str) -> Resendable {
        let gift = Gift {
            position,
            recipient: Recipient {
                email: Some(email.to_owned()),
                first_name: None,
                last_name: None,
                company: None,
                department: None,
            },
            amount: 1_000,
            cost: 1_000,
            delivery_status: DeliveryStatus::Sent,
            delivery_attempts: 1,
            delivery_error: None,
            sent_at: Some(now()),
            redemption_status: RedemptionStatus::Unredeemed,
            redeemed_at: None,
            expires_at: now().saturating_add(SignedDuration::from_hours(24)).ok(),
            redeemed: 0,
            reserved: 0,
            voided: 0,
            refunded: None,
            link_version: 1,
        };
        Resendable { gift, send_number: 1, resends_today: 0, moves: vec![] }
    }

    fn with(position: u32, email: &str, change: impl FnOnce(&mut Resendable)) -> Resendable {
        let mut gift = sent(position, email);
        change(&mut gift);
        gift
    }

    fn asking(entries: &[(&str, Option<&str>)]) -> Resend {
        let entry = |&(written, updated): &(&str, Option<&str>)| ResendEntry {
            written: written.to_owned(),
            email: text::email(written).expect(written),
            updated: updated.map(str::to_owned),
        };
        Resend {
            account_id: AccountId(1),
            order_id: OrderId { order_type: OrderType::OneTime, time: TimeId::from_bits(7 << 80) },
            entries: entries.iter().map(entry).collect(),
            client_id: "app_1".to_owned(),
            request_id: "request 1".to_owned(),
            now: now(),
        }
    }

    /// What is requeued (position, send number, new address) and what is skipped.
    type Told = (Vec<(u32, u32, Option<String>)>, Vec<(String, SkipReason)>);

    fn told(decision: ResendDecision) -> Told {
        let ResendDecision::Resend { requeue, skipped } = decision else { panic!("not resent: {decision:?}") };
        let requeue = requeue.into_iter().map(|r| (r.position, r.send_number, r.to)).collect();
        (requeue, skipped.into_iter().map(|s| (s.email, s.reason)).collect())
    }

    fn decide(entries: &[(&str, Option<&str>)], gifts: &[Resendable]) -> Told {
        told(asking(entries).decide(OrderStatus::Complete, gifts, 0, now()))
    }

    #[test]
    fn each_gift_is_skipped_for_the_first_reason_that_there_is() {
        use SkipReason::{AlreadyMoved, AlreadyRedeemed, Expired, LimitReached, NotYetSent};
        let redeemed = |of: &mut Resendable| {
            (of.gift.redeemed, of.gift.redemption_status) = (1_000, RedemptionStatus::Redeemed);
        };
        let partly = |of: &mut Resendable| {
            (of.gift.redeemed, of.gift.redemption_status) = (400, RedemptionStatus::PartiallyRedeemed);
        };
        type Change<'a> = &'a dyn Fn(&mut Resendable);
        let cases: [(&str, Change<'_>, Option<SkipReason>, Option<SkipReason>); 12] = [
            ("sent", &|_| (), None, None),
            ("failed", &|of| of.gift.delivery_status = DeliveryStatus::Failed, None, None),
            ("redeemed", &redeemed, Some(AlreadyRedeemed), Some(AlreadyRedeemed)),
            ("partly redeemed", &partly, None, Some(AlreadyRedeemed)),
            ("being redeemed", &|of| of.gift.reserved = 1, None, Some(AlreadyRedeemed)),
            ("expired", &|of| of.gift.redemption_status = RedemptionStatus::Expired, Some(Expired), Some(Expired)),
            ("at its end", &|of| of.gift.expires_at = Some(now()), Some(Expired), Some(Expired)),
            ("waiting", &|of| of.gift.delivery_status = DeliveryStatus::Pending, Some(NotYetSent), Some(NotYetSent)),
            ("sent 9 times again", &|of| of.resends_today = 9, None, None),
            ("sent 10 times again", &|of| of.resends_today = 10, Some(LimitReached), Some(LimitReached)),
            ("moved and back", &|of| of.moves = vec![(A.to_owned(), NEW.to_owned())], None, Some(AlreadyMoved)),
            (
                "moved elsewhere and back",
                &|of| of.moves = vec![(A.to_owned(), B.to_owned()), (B.to_owned(), A.to_owned())],
                None,
                None,
            ),
        ];
        for (what, change, again, moving) in cases {
            let gifts = [with(1, A, change)];
            for (to, reason) in [(None, again), (Some(NEW), moving)] {
                let expected = match reason {
                    None => (vec![(1, 2, to.map(str::to_owned))], vec![]),
                    Some(reason) => (vec![], vec![(A.to_owned(), reason)]),
                };
                assert_eq!(decide(&[(A, to)], &gifts), expected, "{what}, to {to:?}");
            }
        }
    }

    #[test]
    fn an_address_names_all_its_gifts_without_regard_to_case() {
        let waiting = |of: &mut Resendable| of.gift.delivery_status = DeliveryStatus::Pending;
        let gifts = [sent(1, A), sent(2, B), with(3, "Alice@Example.com", waiting), sent(4, "ALICE@EXAMPLE.COM")];
        let (requeued, skipped) = decide(&[("aLICE@example.COM", None)], &gifts);
        assert_eq!(requeued, [(1, 2, None), (4, 2, None)]);
        assert_eq!(skipped, [("aLICE@example.COM".to_owned(), SkipReason::NotYetSent)]);
        // The same address in other letters is no move.
        assert_eq!(decide(&[(B, Some("BOB@example.com"))], &gifts), (vec![(2, 2, None)], vec![]));
    }

    #[test]
    fn all_entries_are_read_against_the_state_at_the_start() {
        let gifts = [sent(1, A), sent(2, B)];
        let (requeued, skipped) = decide(&[(B, Some(NEW)), (A, Some(B)), ("nobody@example.com", None)], &gifts);
        assert_eq!(requeued, [(1, 2, Some(B.to_owned())), (2, 2, Some(NEW.to_owned()))]);
        assert_eq!(skipped, [("nobody@example.com".to_owned(), SkipReason::NotARecipient)]);
    }

    #[test]
    fn a_retry_of_a_move_sends_nothing_and_is_no_unknown_address() {
        let moved = |of: &mut Resendable| of.moves = vec![(A.to_owned(), "New@example.com".to_owned())];
        let gifts = [with(1, "New@example.com", moved), with(2, "New@example.com", moved)];
        let entry = [("Alice@example.com", Some(NEW))];
        let expected = (vec![], vec![("Alice@example.com".to_owned(), SkipReason::AlreadyMoved)]);
        assert_eq!(decide(&entry, &gifts), expected, "one entry for an address and reason");
        // To another address it isn't the same move, and the old address is nobody's now.
        let elsewhere = asking(&[(A, Some(B))]).decide(OrderStatus::Complete, &gifts, 0, now());
        assert_eq!(elsewhere, ResendDecision::NobodyKnown);
    }

    #[test]
    fn an_address_has_one_entry_for_each_reason() {
        let redeemed = |of: &mut Resendable| of.gift.redemption_status = RedemptionStatus::Redeemed;
        let expired = |of: &mut Resendable| of.gift.redemption_status = RedemptionStatus::Expired;
        let gifts = [with(1, A, expired), with(2, A, redeemed), with(3, A, expired), sent(4, A)];
        let (requeued, skipped) = decide(&[(A, None)], &gifts);
        assert_eq!(requeued, [(4, 2, None)]);
        assert_eq!(skipped.iter().map(|(_, reason)| *reason).collect::<BTreeSet<_>>().len(), 2);
        assert_eq!(skipped.len(), 2);
    }

    #[test]
    fn nothing_happens_before_the_order_went_out_or_where_nobody_is_known() {
        let gifts = [sent(1, A)];
        for (status, decision) in [
            (OrderStatus::Pending, ResendDecision::NotResendable),
            (OrderStatus::Canceled, ResendDecision::NotResendable),
            (OrderStatus::InProgress, ResendDecision::NobodyKnown),
            (OrderStatus::Complete, ResendDecision::NobodyKnown),
        ] {
            assert_eq!(asking(&[(B, None)]).decide(status, &gifts, 0, now()), decision, "{status:?}");
        }
        let link = with(1, A, |of| of.gift.recipient.email = None);
        assert_eq!(asking(&[(A, None)]).decide(OrderStatus::Complete, &[link], 0, now()), ResendDecision::NobodyKnown);
    }

    #[test]
    fn an_app_moves_at_most_100_gifts_a_day() {
        let gifts = [sent(1, A), sent(2, A), sent(3, B)];
        let decide = |entries: &[(&str, Option<&str>)], moved_today| {
            asking(entries).decide(OrderStatus::Complete, &gifts, moved_today, now())
        };
        assert_eq!(told(decide(&[(A, Some(NEW))], 98)).0.len(), 2);
        assert_eq!(decide(&[(A, Some(NEW))], 99), ResendDecision::TooManyMoves);
        assert_eq!(decide(&[(A, Some(NEW)), (B, None)], 99), ResendDecision::TooManyMoves, "all or nothing");
        assert_eq!(told(decide(&[(A, None), (B, None)], 100)).0.len(), 3, "who moves nothing isn't limited");
    }
    #[test]
    fn a_whole_order_of_10_000_can_be_asked_for() {
        let emails: Vec<String> = (0..10_000).map(|index| format!("r{index}@example.com")).collect();
        let gifts: Vec<_> = (1..).zip(&emails).map(|(position, email)| sent(position, email)).collect();
        let entries: Vec<_> = emails.iter().map(|email| (email.as_str(), None)).collect();
        let (requeued, skipped) = decide(&entries, &gifts);
        assert_eq!((requeued.len(), skipped.len()), (10_000, 0));
    }
}
