//! Random commands against a small model in memory: after each step balances, orders, gifts, events, pages and
//! the books must be what the model says.

use std::collections::BTreeMap;
use std::sync::Arc;

use giftd_domain::Timestamp;
use giftd_domain::gifts::events::{EventType, GiftEvent, NewEvent};
use giftd_domain::gifts::redemption::{Redemption, RedemptionId, RedemptionState, Reserve, Reserved, Supplied};
use giftd_domain::gifts::{
    DeliveryOutcome, DeliveryStatus, Expiry, MailKind, RedemptionStatus, Reminders, Settlement, Turn,
};
use giftd_domain::history::{OrderFilter, Page, PageRequest};
use giftd_domain::ids::{AccountId, GiftId, GiftKey, OrderId, TimeId};
use giftd_domain::ledger::{EntryType, Postings};
use giftd_domain::orders::cancel::CancelDecision;
use giftd_domain::orders::place::{KnownKey, PlaceOrder};
use giftd_domain::orders::resend::{Resend, ResendDecision, Resendable};
use giftd_domain::orders::{CardType, Order, OrderStatus};
use giftd_store::{
    Backlog, Cancellation, Mails, OperatorEntry, OperatorOutcome, Placed, Resent, SettleDelivery, Settled, Store, Work,
};
use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::bed::{Bed, Database, runtime, server, with_database};
use crate::world::{World, code, costing, days_before, entropy, gift_key, now, redeeming, resending, scheduled};

/// The account that has money from the start, so much that it may run out.
const PRODUCTION: usize = 0;
const FUNDS: i64 = 500_000;

/// The account whose clock is moved.
const SANDBOX: usize = 1;

/// Where gifts may be sent again, and move.
const ADDRESSES: [&str; 4] = ["r1@example.com", "R2@Example.com", "r3@example.com", "new@example.com"];

// --- what may happen ---

#[derive(Clone, Debug)]
enum Step {
    Operate {
        account: usize,
        debit: bool,
        cents: i64,
        reference: u8,
    },
    Place {
        account: usize,
        key: u8,
        content: u8,
        costs: Vec<i64>,
        scheduled_in: Option<i64>,
        refund: bool,
        choice: bool,
    },
    Claim {
        limit: u32,
        lease_seconds: i64,
    },
    Settle(Vec<(Index, Outcome)>),
    /// Claims all that is due and settles it.
    Deliver(Outcome),
    Cancel {
        order: Index,
    },
    Resend {
        order: Index,
        from: BTreeMap<usize, Option<usize>>,
    },
    /// Of a hundred parts of what is open.
    Reserve {
        gift: Index,
        id: u8,
        parts: i64,
        stale_link: bool,
    },
    Supply {
        redemption: Index,
        has_code: bool,
    },
    /// After so many days.
    Turn {
        days: i64,
    },
    Jump {
        hours: i64,
    },
    Clock {
        seconds: i64,
    },
    Reopen,
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Sent,
    Failed,
    Retry { seconds: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let account = 0..3_usize;
    // Few keys and references, so that they meet again; few cents, so that they run out.
    let operate = (
        account.clone(),
        any::<bool>(),
        prop_oneof![3 => Just(500), 3 => Just(1_000), 3 => 1..3_000_i64, 1 => 300_000..950_000_i64],
        0..4_u8,
    )
        .prop_map(|(account, debit, cents, reference)| Step::Operate { account, debit, cents, reference });
    let costs = prop::collection::vec(prop_oneof![3 => 1..900_i64, 1 => 200_000..600_000_i64], 1..4);
    let scheduled_in =
        prop_oneof![3 => Just(None), 1 => (1..300_i64).prop_map(Some), 2 => (3_000..9_000_i64).prop_map(Some)];
    let content = prop_oneof![6 => Just(0_u8), 1 => Just(1_u8)];
    let place = (account, 0..8_u8, content, costs, scheduled_in, any::<bool>(), any::<bool>()).prop_map(
        |(account, key, content, costs, scheduled_in, refund, choice)| Step::Place {
            account,
            key,
            content,
            costs,
            scheduled_in,
            refund,
            choice,
        },
    );
    let claim = (0..8_u32, 1..90_i64).prop_map(|(limit, lease_seconds)| Step::Claim { limit, lease_seconds });
    let outcome = prop_oneof![
        4 => Just(Outcome::Sent),
        2 => Just(Outcome::Failed),
        2 => (0..200_i64).prop_map(|seconds| Outcome::Retry { seconds }),
    ];
    let settle = prop::collection::vec((any::<Index>(), outcome.clone()), 0..8).prop_map(Step::Settle);
    let deliver = outcome.prop_map(Step::Deliver);
    let cancel = any::<Index>().prop_map(|order| Step::Cancel { order });
    let from = prop::collection::btree_map(0..4_usize, prop::option::of(0..4_usize), 1..4);
    let resend = (any::<Index>(), from).prop_map(|(order, from)| Step::Resend { order, from });
    let parts = prop_oneof![4 => Just(100_i64), 2 => 1..100_i64, 1 => Just(101_i64)];
    let reserve = (any::<Index>(), 0..6_u8, parts, prop::bool::weighted(0.1))
        .prop_map(|(gift, id, parts, stale_link)| Step::Reserve { gift, id, parts, stale_link });
    let supply =
        (any::<Index>(), any::<bool>()).prop_map(|(redemption, has_code)| Step::Supply { redemption, has_code });
    let jump = prop_oneof![1..100_i64, 500..900_i64].prop_map(|hours| Step::Jump { hours });
    let clock = prop_oneof![4 => -40..120_i64, 1 => 3_601..400_000_i64].prop_map(|seconds| Step::Clock { seconds });
    // When reminders are due, and when gifts expire.
    let turn = prop_oneof![Just(0_i64), Just(23), Just(30), Just(174)].prop_map(|days| Step::Turn { days });
    prop_oneof![
        2 => operate,
        7 => place,
        3 => claim,
        4 => settle,
        6 => deliver,
        3 => cancel,
        5 => resend,
        8 => reserve,
        6 => supply,
        4 => turn,
        1 => jump,
        2 => clock,
        1 => Just(Step::Reopen),
    ]
}

// --- the model ---

struct Model {
    now: Timestamp,
    reminders: Reminders,
    accounts: Vec<ModelAccount>,
    /// Each claim that was ever made: a stale one must not settle.
    claims: Vec<Claim>,
}

struct ModelAccount {
    id: AccountId,
    sandbox: bool,
    /// How far its clock is ahead of the node's.
    ahead: SignedDuration,
    balances: Postings,
    /// Type, reference, what moved of available, available after it; oldest first.
    listed: Vec<(EntryType, String, i64, i64)>,
    references: BTreeMap<(bool, u8), i64>,
    /// Oldest first.
    orders: Vec<ModelOrder>,
}

struct ModelOrder {
    key: u8,
    fingerprint: [u8; 32],
    order: Order,
    /// Beside each gift of the order.
    gifts: Vec<ModelGift>,
}

#[derive(Clone, Default)]
struct ModelGift {
    mails: BTreeMap<MailKind, Waiting>,
    /// The highest claim that was ever made of each kind.
    claims: BTreeMap<MailKind, i64>,
    sends: u32,
    /// When it turns, by the node's clock.
    wake_at: Option<Timestamp>,
    events: Vec<GiftEvent>,
    /// By the node's clock.
    resends: Vec<Timestamp>,
    moves: Vec<(String, String)>,
    redemptions: BTreeMap<RedemptionId, Redemption>,
}

/// A mail. Instants are the node's.
#[derive(Clone, Copy)]
struct Waiting {
    run_at: Timestamp,
    due_at: Timestamp,
    tried_since: Option<Timestamp>,
    send_number: u32,
    attempts: u32,
    /// The latest claim, while it may settle.
    claim: Option<i64>,
}

#[derive(Clone, Copy)]
struct Claim {
    account: usize,
    order: usize,
    gift: usize,
    kind: MailKind,
    number: i64,
}

impl ModelAccount {
    fn time(&self, node: Timestamp) -> Timestamp {
        node + self.ahead
    }

    fn move_available(&mut self, entry_type: EntryType, reference: String, moved: Postings) {
        assert_eq!(moved.sum(), Some(0));
        self.balances = self.balances.checked_add(moved).expect("few cents");
        self.listed.push((entry_type, reference, moved.available, self.balances.available));
    }

    fn refill(&mut self) {
        if self.sandbox && self.balances.available < 100_000 {
            let cents = 1_000_000 - self.balances.available;
            let moved = Postings { funding: -cents, available: cents, ..Postings::default() };
            self.move_available(EntryType::Charge, "sandbox refill".to_owned(), moved);
        }
    }

    /// Makes what is open of a gift void; tells the cents that return.
    fn expire(&mut self, order: usize, gift: usize, expiry: Expiry, at: Timestamp) -> i64 {
        let ModelOrder { order, gifts, .. } = &mut self.orders[order];
        let of = &mut order.gifts[gift];
        of.voided += expiry.voided;
        of.refunded = expiry.refunded;
        of.redemption_status = RedemptionStatus::Expired;
        gifts[gift].wake_at = None;
        gifts[gift].tell(of.position, NewEvent::expired(expiry.voided), at);
        if expiry.refund > 0 {
            gifts[gift].tell(of.position, NewEvent::refunded(expiry.refund), at);
        }
        expiry.refund
    }
}

impl ModelGift {
    fn due_at(at: Timestamp) -> Self {
        let mut gift = Self { sends: 1, ..Self::default() };
        gift.mail(MailKind::Gift, 1, at);
        gift
    }

    fn mail(&mut self, kind: MailKind, send_number: u32, at: Timestamp) {
        let waiting = Waiting { run_at: at, due_at: at, tried_since: None, send_number, attempts: 0, claim: None };
        self.mails.insert(kind, waiting);
    }

    fn tell(&mut self, position: u32, NewEvent { event_type, detail }: NewEvent, at: Timestamp) {
        let number = u32::try_from(self.events.len() + 1).expect("a number");
        self.events.push(GiftEvent { position, number, event_type, at, detail });
    }
}

impl ModelOrder {
    /// Newest first.
    fn events(&self) -> Vec<GiftEvent> {
        let mut events: Vec<_> = self.gifts.iter().flat_map(|gift| gift.events.clone()).collect();
        events.sort_by_key(|event| std::cmp::Reverse((event.at, event.position, event.number)));
        let implied = |number, event_type, at| {
            self.order.gifts.iter().rev().map(move |gift| GiftEvent {
                position: gift.position,
                number,
                event_type,
                at,
                detail: None,
            })
        };
        let summary = &self.order.summary;
        events.extend(summary.canceled_at.into_iter().flat_map(|at| implied(1, EventType::Canceled, at)));
        events.extend(implied(0, EventType::Placed, summary.created_at()));
        events
    }
}

impl Model {
    fn waiting(&self) -> impl Iterator<Item = Waiting> {
        self.gifts().flat_map(|(_, _, _, gift)| gift.mails.values().copied())
    }

    fn gifts(&self) -> impl Iterator<Item = (usize, usize, usize, &ModelGift)> {
        self.accounts.iter().enumerate().flat_map(|(account, of)| {
            of.orders.iter().enumerate().flat_map(move |(order, of)| {
                of.gifts.iter().enumerate().map(move |(gift, of)| (account, order, gift, of))
            })
        })
    }

    fn orders(&self) -> Vec<(usize, usize)> {
        let orders = |(account, of): (usize, &ModelAccount)| (0..of.orders.len()).map(move |order| (account, order));
        self.accounts.iter().enumerate().flat_map(orders).collect()
    }

    fn place_of(&self, account: AccountId, id: OrderId) -> (usize, usize) {
        let account = self.accounts.iter().position(|of| of.id == account).expect("a known account");
        let order = self.accounts[account].orders.iter().position(|of| of.order.summary.order_id == id);
        (account, order.expect("a known order"))
    }

    /// The instant of the node's clock at which a gift turns that gets its expiry at `now`.
    fn first_wake(&self, account: usize, expires_at: Timestamp) -> Timestamp {
        let of = &self.accounts[account];
        self.reminders.next(expires_at, of.time(self.now)) - of.ahead
    }
}

// --- a run ---

struct Run<'a> {
    bed: &'a Bed,
    store: Arc<dyn Store>,
    model: Model,
}

impl<'a> Run<'a> {
    async fn new(bed: &'a Bed) -> Self {
        let world = World::with_funds(bed, FUNDS).await;
        let other = World::beside(world.store.clone(), "Other").await;
        let mut accounts: Vec<_> = [(world.production, false), (world.sandbox, true), (other.production, false)]
            .into_iter()
            .map(|(id, sandbox)| ModelAccount {
                id,
                sandbox,
                ahead: SignedDuration::ZERO,
                balances: Postings::default(),
                listed: vec![],
                references: BTreeMap::new(),
                orders: vec![],
            })
            .collect();
        let moved = Postings { funding: -FUNDS, available: FUNDS, ..Postings::default() };
        accounts[PRODUCTION].move_available(EntryType::Charge, "the first transfer".to_owned(), moved);
        accounts[SANDBOX].refill();
        // The second sandbox is nobody's: it has only its start.
        let model = Model { now: now(), reminders: days_before(&[7, 1]), accounts, claims: vec![] };
        Self { bed, store: world.store, model }
    }

    async fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Operate { account, debit, cents, reference } => {
                self.operate(*account, *debit, *cents, *reference).await
            }
            Step::Place { account, key, content, costs, scheduled_in, refund, choice } => {
                let of = &self.model.accounts[*account];
                let now = of.time(self.model.now);
                let mut command = PlaceOrder {
                    fingerprint: [*content; 32],
                    refund_option: *refund,
                    card_type: if *choice { CardType::ChoiceCard } else { CardType::BrandedCard },
                    now,
                    ..costing(of.id, &format!("key {key}"), costs)
                };
                if let Some(seconds) = scheduled_in {
                    command.timing = scheduled(now + SignedDuration::from_secs(*seconds));
                }
                self.place(*account, *key, command).await
            }
            Step::Claim { limit, lease_seconds } => self.claim(*limit, SignedDuration::from_secs(*lease_seconds)).await,
            Step::Settle(_) if self.model.claims.is_empty() => Ok(()),
            Step::Settle(picks) => {
                let picks = picks.iter().map(|(pick, outcome)| (*pick.get(&self.model.claims), *outcome)).collect();
                self.settle(picks).await
            }
            Step::Deliver(outcome) => {
                let before = self.model.claims.len();
                self.claim(100, SignedDuration::from_secs(60)).await?;
                self.settle(self.model.claims[before..].iter().map(|claim| (*claim, *outcome)).collect()).await
            }
            Step::Cancel { order } => match self.model.orders().as_slice() {
                [] => Ok(()),
                orders => self.cancel(*order.get(orders)).await,
            },
            Step::Resend { order, from } => match self.model.orders().as_slice() {
                [] => Ok(()),
                orders => self.resend(*order.get(orders), from).await,
            },
            Step::Reserve { gift, id, parts, stale_link } => {
                let gifts: Vec<_> =
                    self.model.gifts().map(|(account, order, gift, _)| (account, order, gift)).collect();
                if gifts.is_empty() {
                    return Ok(());
                }
                self.reserve(*gift.get(&gifts), *id, *parts, *stale_link).await
            }
            Step::Supply { redemption, has_code } => {
                let redemptions: Vec<_> = self
                    .model
                    .gifts()
                    .flat_map(|(account, order, gift, of)| {
                        of.redemptions.keys().map(move |id| ((account, order, gift), *id))
                    })
                    .collect();
                if redemptions.is_empty() {
                    return Ok(());
                }
                let (gift, id) = *redemption.get(&redemptions);
                self.supply(gift, id, *has_code).await
            }
            Step::Turn { days } => {
                self.model.now += SignedDuration::from_hours(24 * *days);
                self.turn().await
            }
            Step::Jump { hours } => self.jump(SignedDuration::from_hours(*hours)).await,
            Step::Clock { seconds } => {
                self.model.now += SignedDuration::from_secs(*seconds);
                Ok(())
            }
            Step::Reopen => {
                self.store = self.bed.open().await;
                Ok(())
            }
        }
    }

    fn key(&self, (account, order, gift): (usize, usize, usize)) -> GiftKey {
        let of = &self.model.accounts[account];
        let order = &of.orders[order].order;
        gift_key(of.id, order.summary.order_id, order.gifts[gift].position)
    }

    // --- money and orders ---

    async fn operate(&mut self, account: usize, debit: bool, cents: i64, reference: u8) -> Result<(), TestCaseError> {
        let of = &mut self.model.accounts[account];
        let entry_type = if debit { EntryType::Transfer } else { EntryType::Charge };
        let text = format!("reference {reference}");
        let entry = OperatorEntry {
            account_id: of.id,
            entry_type,
            cents,
            reference: text.clone(),
            now: self.model.now,
            entropy: entropy(),
        };
        let outcome = self.store.operator_entry(entry).await.expect("an answer");
        match of.references.get(&(debit, reference)) {
            Some(&known) if known == cents => prop_assert_eq!(outcome, OperatorOutcome::Known),
            Some(&known) => prop_assert_eq!(outcome, OperatorOutcome::OtherAmount { cents: known }),
            None if debit && cents > of.balances.available => {
                prop_assert_eq!(outcome, OperatorOutcome::Insufficient { available: of.balances.available });
            }
            None => {
                of.references.insert((debit, reference), cents);
                let cents = if debit { -cents } else { cents };
                let moved = Postings { funding: -cents, available: cents, ..Postings::default() };
                of.move_available(entry_type, text, moved);
                of.refill();
                prop_assert!(matches!(outcome, OperatorOutcome::Posted(_)), "{:?}", outcome);
            }
        }
        Ok(())
    }

    async fn place(&mut self, account: usize, key: u8, command: PlaceOrder) -> Result<(), TestCaseError> {
        let of = &mut self.model.accounts[account];
        let placed = self.store.place_order(command.clone()).await.expect("an answer");
        if let Some(known) = of.orders.iter().find(|order| order.key == key) {
            let same_request = known.fingerprint == command.fingerprint;
            prop_assert_eq!(placed, Placed::Known { order_id: known.order.summary.order_id, same_request });
            return Ok(());
        }
        let (required, available) = (command.total_cost, of.balances.available);
        if required > available {
            prop_assert_eq!(placed, Placed::Insufficient { required, available });
            return Ok(());
        }
        let Placed::New(order) = placed else { return Err(TestCaseError::fail(format!("not placed: {placed:?}"))) };
        let order_id = order.summary.order_id;
        let last = of.orders.last().map(|order| order.order.summary.order_id.time);
        prop_assert!(last.is_none_or(|last| last < order_id.time), "ids increase");
        prop_assert!(last.map_or(command.now, TimeId::created_at).max(command.now) <= order_id.time.created_at());
        let due_at = command.run_at() - of.ahead;
        let expected = command.clone().into_order(order_id);
        prop_assert_eq!(&*order, &expected);
        let moved = Postings { available: -required, pending: required, ..Postings::default() };
        of.move_available(EntryType::Use, order_id.to_string(), moved);
        of.refill();
        let gifts = vec![ModelGift::due_at(due_at); expected.gifts.len()];
        of.orders.push(ModelOrder { key, fingerprint: command.fingerprint, order: expected, gifts });
        Ok(())
    }

    async fn cancel(&mut self, (account, order): (usize, usize)) -> Result<(), TestCaseError> {
        let of = &mut self.model.accounts[account];
        let at = of.time(self.model.now);
        let ModelOrder { order, gifts, .. } = &mut of.orders[order];
        let decision = order.summary.cancel(at);
        if decision == CancelDecision::Cancel {
            (order.summary.status, order.summary.canceled_at) = (OrderStatus::Canceled, Some(at));
            for (gift, beside) in order.gifts.iter_mut().zip(gifts) {
                gift.delivery_status = DeliveryStatus::Canceled;
                gift.redemption_status = RedemptionStatus::Canceled;
                beside.mails.clear();
            }
        }
        let order = order.clone();
        let order_id = order.summary.order_id;
        let expected = match decision {
            CancelDecision::Cancel => {
                let cents = order.summary.total_cost;
                let moved = Postings { available: cents, pending: -cents, ..Postings::default() };
                of.move_available(EntryType::Refund, order_id.to_string(), moved);
                Cancellation::Canceled(Box::new(order))
            }
            CancelDecision::Already => Cancellation::Already(Box::new(order)),
            CancelDecision::Refuse(why) => Cancellation::Refused(why),
        };
        let answer = self.store.cancel_order(of.id, order_id, self.model.now, entropy()).await.expect("an answer");
        prop_assert_eq!(answer, expected);
        Ok(())
    }

    // --- mails ---

    async fn claim(&mut self, limit: u32, lease: SignedDuration) -> Result<(), TestCaseError> {
        let now = self.model.now;
        let mut due: Vec<_> = self.model.waiting().map(|waiting| waiting.run_at).filter(|at| *at <= now).collect();
        due.sort();
        let claimed = self.store.claim_deliveries(Mails::All, now, lease, limit).await.expect("an answer");
        let mut taken = Vec::new();
        for delivery in claimed {
            let (account, order) = self.model.place_of(delivery.account_id, delivery.gift.order);
            prop_assert_eq!(delivery.clock.ahead, self.model.accounts[account].ahead);
            let of = &mut self.model.accounts[account].orders[order];
            let gift = usize::try_from(delivery.gift.position - 1).expect("a position");
            let (is, beside) = (&of.order.gifts[gift], &mut of.gifts[gift]);
            let Some(waiting) = beside.mails.get_mut(&delivery.kind) else {
                return Err(TestCaseError::fail("claimed what is settled"));
            };
            taken.push(waiting.run_at);
            let tried_since = *waiting.tried_since.get_or_insert(now);
            prop_assert_eq!((delivery.due_at, delivery.tried_since), (waiting.due_at, tried_since));
            prop_assert_eq!((delivery.send_number, delivery.attempts), (waiting.send_number, waiting.attempts));
            prop_assert_eq!((&delivery.recipient, delivery.link_version), (&is.recipient, is.link_version));
            prop_assert_eq!(delivery.expires_at, is.expires_at);
            let before = beside.claims.insert(delivery.kind, delivery.claim);
            prop_assert!(before.is_none_or(|before| before < delivery.claim), "claims count up");
            (waiting.run_at, waiting.claim) = (now + lease, Some(delivery.claim));
            self.model.claims.push(Claim { account, order, gift, kind: delivery.kind, number: delivery.claim });
            if of.order.summary.status == OrderStatus::Pending {
                of.order.summary.status = OrderStatus::InProgress;
            }
        }
        taken.sort();
        due.truncate(usize::try_from(limit).expect("a limit"));
        prop_assert_eq!(taken, due, "those that are due longest");
        Ok(())
    }

    async fn settle(&mut self, outcomes: Vec<(Claim, Outcome)>) -> Result<(), TestCaseError> {
        let now = self.model.now;
        let mut settlements: Vec<SettleDelivery> = Vec::new();
        let mut expected = Settled::default();
        for (claim, outcome) in outcomes {
            let of = &self.model.accounts[claim.account];
            let order = &of.orders[claim.order].order;
            let gift = GiftId { order: order.summary.order_id, position: order.gifts[claim.gift].position };
            let is_same = |settlement: &SettleDelivery| {
                let Settlement { gift: of, kind, claim: number, .. } = settlement.settlement;
                (of, kind, number) == (gift, claim.kind, claim.number)
            };
            if settlements.iter().any(is_same) {
                continue;
            }
            let retry_at = match outcome {
                Outcome::Retry { seconds } => now + SignedDuration::from_secs(seconds),
                _ => now,
            };
            let error = format!("error {}", claim.number);
            let settlement = Settlement {
                account_id: of.id,
                gift,
                kind: claim.kind,
                claim: claim.number,
                outcome: match outcome {
                    Outcome::Sent => DeliveryOutcome::Sent { at: now },
                    Outcome::Failed => DeliveryOutcome::Failed { at: now, error: error.clone() },
                    Outcome::Retry { .. } => DeliveryOutcome::Retry { at: now, error: error.clone() },
                },
            };
            settlements.push(SettleDelivery { settlement, retry_at });
            if self.record(claim, outcome, error, retry_at) {
                expected.settled += 1;
            } else {
                expected.dropped += 1;
            }
        }
        expected.completed_orders = self.complete_orders();
        let reminders = &self.model.reminders;
        let settled = self.store.settle_deliveries(settlements, reminders, now, entropy()).await.expect("an answer");
        prop_assert_eq!(settled, expected);
        Ok(())
    }

    /// Whether the outcome counts.
    fn record(&mut self, claim: Claim, outcome: Outcome, error: String, retry_at: Timestamp) -> bool {
        let now = self.model.now;
        let of = &mut self.model.accounts[claim.account];
        let at = of.time(now);
        let ModelOrder { order, gifts, .. } = &mut of.orders[claim.order];
        let (gift, beside) = (&mut order.gifts[claim.gift], &mut gifts[claim.gift]);
        let Some(waiting) = beside.mails.get_mut(&claim.kind).filter(|waiting| waiting.claim == Some(claim.number))
        else {
            return false;
        };
        match outcome {
            Outcome::Retry { .. } => {
                waiting.attempts += 1;
                (waiting.run_at, waiting.claim) = (retry_at, None);
            }
            Outcome::Sent | Outcome::Failed => drop(beside.mails.remove(&claim.kind)),
        }
        if claim.kind != MailKind::Gift {
            return true;
        }
        gift.delivery_attempts += 1;
        let is_first = gift.delivery_status == DeliveryStatus::Pending;
        let mut first_expiry = None;
        match outcome {
            Outcome::Retry { .. } => {
                gift.delivery_error = (gift.delivery_status != DeliveryStatus::Sent).then_some(error);
                return true;
            }
            Outcome::Sent => {
                gift.delivery_status = DeliveryStatus::Sent;
                gift.delivery_error = None;
                gift.sent_at = gift.sent_at.or(Some(at));
                if gift.expires_at.is_none() {
                    let expires_at = at + lifetime(order.summary.refund_option);
                    (gift.expires_at, first_expiry) = (Some(expires_at), Some(expires_at));
                }
                beside.tell(gift.position, NewEvent::sent(gift.recipient.email.as_deref()), at);
            }
            Outcome::Failed => {
                gift.delivery_status = DeliveryStatus::Failed;
                beside.tell(gift.position, NewEvent::failed(&error), at);
                gift.delivery_error = Some(error);
            }
        }
        if is_first {
            of.balances.pending -= gift.cost;
            of.balances.issued += gift.cost;
        }
        if let Some(expires_at) = first_expiry {
            let wake_at = self.model.first_wake(claim.account, expires_at);
            self.model.accounts[claim.account].orders[claim.order].gifts[claim.gift].wake_at = Some(wake_at);
        }
        true
    }

    /// Completes what has nothing open any more; tells how many orders.
    fn complete_orders(&mut self) -> u64 {
        let mut completed = 0;
        for (account, order) in self.model.orders() {
            let of = &self.model.accounts[account];
            let at = of.time(self.model.now);
            let Order { summary, gifts } = &of.orders[order].order;
            let is_open = gifts.iter().any(|gift| gift.delivery_status == DeliveryStatus::Pending);
            if summary.status != OrderStatus::InProgress || is_open {
                continue;
            }
            completed += 1;
            let expires_at = at + lifetime(summary.refund_option);
            let wake_at = self.model.first_wake(account, expires_at);
            let ModelOrder { order, gifts, .. } = &mut self.model.accounts[account].orders[order];
            (order.summary.status, order.summary.completed_at) = (OrderStatus::Complete, Some(at));
            for (gift, beside) in order.gifts.iter_mut().zip(gifts) {
                if gift.expires_at.is_none() {
                    (gift.expires_at, beside.wake_at) = (Some(expires_at), Some(wake_at));
                }
            }
        }
        completed
    }

    async fn resend(
        &mut self,
        (account, order): (usize, usize),
        from: &BTreeMap<usize, Option<usize>>,
    ) -> Result<(), TestCaseError> {
        let now = self.model.now;
        let of = &mut self.model.accounts[account];
        let at = of.time(now);
        let id = of.id;
        let day_ago = now - SignedDuration::from_hours(24);
        let ModelOrder { order, gifts, .. } = &mut of.orders[order];
        let entries: Vec<_> = from.iter().map(|(from, to)| (ADDRESSES[*from], to.map(|to| ADDRESSES[to]))).collect();
        let asked =
            Resend { client_id: format!("app of {id}"), ..resending(id, order.summary.order_id, &entries, now) };
        let resendable: Vec<_> = order
            .gifts
            .iter()
            .zip(&*gifts)
            .map(|(gift, beside)| Resendable {
                gift: gift.clone(),
                send_number: beside.sends,
                resends_today: u32::try_from(beside.resends.iter().filter(|at| **at > day_ago).count())
                    .expect("a count"),
                moves: beside.moves.clone(),
            })
            .collect();
        // So few moves that their limit isn't met.
        let expected = match asked.decide(order.summary.status, &resendable, 0, at) {
            ResendDecision::Resend { requeue, skipped } => {
                for requeue in &requeue {
                    let gift = usize::try_from(requeue.position - 1).expect("a position");
                    let (gift, beside) = (&mut order.gifts[gift], &mut gifts[gift]);
                    beside.sends = requeue.send_number;
                    beside.resends.push(now);
                    beside.mail(MailKind::Gift, requeue.send_number, now);
                    beside.tell(requeue.position, NewEvent::resent(&requeue.from, requeue.to.as_deref()), at);
                    if let Some(to) = &requeue.to {
                        gift.recipient.email = Some(to.clone());
                        gift.link_version += 1;
                        beside.moves.push((requeue.from.clone(), to.clone()));
                    }
                }
                Resent::Done { requeued: u32::try_from(requeue.len()).expect("a count"), skipped }
            }
            ResendDecision::NobodyKnown => Resent::NobodyKnown,
            ResendDecision::NotResendable => Resent::NotResendable,
            ResendDecision::TooManyMoves => Resent::TooManyMoves,
        };
        prop_assert_eq!(self.store.resend(asked).await.expect("an answer"), expected);
        Ok(())
    }

    // --- gifts ---

    async fn reserve(
        &mut self,
        place: (usize, usize, usize),
        id: u8,
        parts: i64,
        stale_link: bool,
    ) -> Result<(), TestCaseError> {
        let now = self.model.now;
        let key = self.key(place);
        let (account, order, gift) = place;
        let of = &mut self.model.accounts[account];
        let at = of.time(now);
        let ModelOrder { order, gifts, .. } = &mut of.orders[order];
        let (gift, beside) = (&mut order.gifts[gift], &mut gifts[gift]);
        // 101 parts are a cent too much.
        let cost = (if parts > 100 { gift.open() + 1 } else { gift.open() * parts / 100 }).max(1);
        let link_version = if stale_link { gift.link_version + 1 } else { gift.link_version };
        let command = Reserve { link_version, ..redeeming(key, id.into(), cost, now) };
        let expected = if let Some(known) = beside.redemptions.get(&command.id) {
            Reserved::Known(known.clone())
        } else if let Err(why) = gift.may_reserve(order.summary.card_type, order.summary.status, link_version, cost, at)
        {
            Reserved::Refused(why)
        } else {
            let redemption = Redemption {
                id: command.id,
                product_id: command.product_id.clone(),
                product_name: command.product_name.clone(),
                face: command.face,
                cost,
                state: RedemptionState::Reserved,
                code: None,
                asked_again: 0,
                reserved_at: at,
                settled_at: None,
            };
            gift.reserved += cost;
            beside.redemptions.insert(command.id, redemption.clone());
            Reserved::New(redemption)
        };
        prop_assert_eq!(self.store.reserve(command).await.expect("an answer"), expected);
        Ok(())
    }

    async fn supply(
        &mut self,
        place: (usize, usize, usize),
        id: RedemptionId,
        has_code: bool,
    ) -> Result<(), TestCaseError> {
        let now = self.model.now;
        let key = self.key(place);
        let (account, order, gift) = place;
        let of = &mut self.model.accounts[account];
        let at = of.time(now);
        let sealed = code(&format!("code {}", id.0));
        let supplied = if has_code { Supplied::Code(sealed.clone()) } else { Supplied::Refused };
        let ModelOrder { order: is, gifts, .. } = &mut of.orders[order];
        let (refund_option, order_id) = (is.summary.refund_option, is.summary.order_id);
        let (stands, beside) = (&mut is.gifts[gift], &mut gifts[gift]);
        let redemption = beside.redemptions.get_mut(&id).expect("it was reserved");
        let cost = redemption.cost;
        let mut expiry = None;
        let is_open = redemption.state == RedemptionState::Reserved;
        if is_open {
            redemption.settled_at = Some(at);
            redemption.state = if has_code { RedemptionState::Done } else { RedemptionState::Released };
            redemption.code = has_code.then_some(sealed);
        }
        let expected = redemption.clone();
        if is_open && has_code {
            stands.redeem_reserved(cost, at);
            if stands.redemption_status == RedemptionStatus::Redeemed {
                beside.wake_at = None;
                beside.mails.remove(&MailKind::Reminder);
            }
            beside.tell(stands.position, NewEvent::redeemed(&expected.product_name, expected.face), at);
        } else if is_open && stands.release_reserved(cost, at) {
            expiry = Some(stands.expire(refund_option));
        }
        if let Some(expiry) = expiry {
            let cents = of.expire(order, gift, expiry, at);
            if cents > 0 {
                let moved = Postings { available: cents, issued: -cents, ..Postings::default() };
                of.move_available(EntryType::Refund, order_id.to_string(), moved);
            }
        }
        let settled = self.store.settle_redemption(key, id, supplied, now, entropy()).await.expect("an answer");
        prop_assert_eq!(settled, Some(expected));
        Ok(())
    }

    async fn turn(&mut self) -> Result<(), TestCaseError> {
        let now = self.model.now;
        let due: Vec<_> = self
            .model
            .gifts()
            .filter(|(.., gift)| gift.wake_at.is_some_and(|wake_at| wake_at <= now))
            .map(|(account, order, gift, _)| (account, order, gift))
            .collect();
        let (mut reminded, mut expired) = (0, 0);
        let mut refunds: BTreeMap<(usize, usize), i64> = BTreeMap::new();
        for (account, order, gift) in due {
            let of = &mut self.model.accounts[account];
            let at = of.time(now);
            let ahead = of.ahead;
            let ModelOrder { order: is, gifts, .. } = &mut of.orders[order];
            let beside = &mut gifts[gift];
            match is.gifts[gift].turn(is.summary.refund_option, at, &self.model.reminders) {
                Turn::Remind { number, next } => {
                    beside.mail(MailKind::Reminder, number, now);
                    beside.wake_at = Some(next - ahead);
                    reminded += 1;
                }
                Turn::Wait { next } => beside.wake_at = Some(next - ahead),
                Turn::Rest => beside.wake_at = None,
                Turn::Expire(expiry) => {
                    *refunds.entry((account, order)).or_default() += of.expire(order, gift, expiry, at);
                    expired += 1;
                }
            }
        }
        refunds.retain(|_, cents| *cents > 0);
        let reminders = &self.model.reminders;
        let turned = self.store.turn_gifts(Work::Everyone, now, reminders, entropy()).await.expect("an answer");
        prop_assert_eq!(
            (turned.reminded, turned.expired, turned.refunded),
            (reminded, expired, refunds.values().sum::<i64>())
        );
        self.post_refunds(refunds).await
    }

    /// One entry for each order, in the order in which the store posted them.
    async fn post_refunds(&mut self, refunds: BTreeMap<(usize, usize), i64>) -> Result<(), TestCaseError> {
        for (account, of) in self.model.accounts.iter_mut().enumerate() {
            let mut mine: BTreeMap<String, i64> = refunds
                .iter()
                .filter(|((whose, _), _)| *whose == account)
                .map(|((_, order), cents)| (of.orders[*order].order.summary.order_id.to_string(), *cents))
                .collect();
            let page = PageRequest { page: 1, page_size: 100 };
            let entries = self.store.ledger_page(of.id, None, Default::default(), page).await.expect("a page").items;
            for entry in entries[..mine.len().min(entries.len())].iter().rev() {
                let Some(cents) = mine.remove(&entry.reference) else {
                    return Err(TestCaseError::fail(format!("one refund an order, not {entry:?}")));
                };
                let moved = Postings { available: cents, issued: -cents, ..Postings::default() };
                of.move_available(EntryType::Refund, entry.reference.clone(), moved);
            }
            prop_assert!(mine.is_empty(), "not posted: {mine:?}");
        }
        Ok(())
    }

    async fn jump(&mut self, by: SignedDuration) -> Result<(), TestCaseError> {
        let now = self.model.now;
        let of = &mut self.model.accounts[SANDBOX];
        let begun = self.store.begin_move(of.id, by, now).await.expect("an answer");
        let Some(moving) = begun.and_then(|clock| clock.moving) else {
            return Err(TestCaseError::fail("nobody else moves it"));
        };
        prop_assert_eq!((moving.at, moving.target), (of.time(now), of.time(now) + by));
        prop_assert!(self.store.end_move(of.id, moving.claim, now).await.expect("an answer"));
        of.ahead += by;
        for gift in of.orders.iter_mut().flat_map(|order| &mut order.gifts) {
            gift.wake_at = gift.wake_at.map(|at| at - by);
            for mail in gift.mails.values_mut() {
                mail.run_at -= by;
                mail.due_at -= by;
                mail.tried_since = mail.tried_since.map(|at| at - by);
            }
        }
        Ok(())
    }

    // --- what must be so after each step ---

    async fn compare(&self) -> Result<(), TestCaseError> {
        let page = PageRequest { page: 1, page_size: 100 };
        for of in &self.model.accounts {
            let account = self.store.account(of.id).await.expect("an answer").expect("an account");
            prop_assert_eq!((account.balances, account.clock.ahead), (of.balances, of.ahead));

            let Page { items, total } =
                self.store.ledger_page(of.id, None, Default::default(), page).await.expect("a page");
            let listed =
                items.into_iter().map(|e| (e.entry_type, e.reference, e.postings.available, e.available_after));
            prop_assert_eq!(total, u64::try_from(of.listed.len()).expect("a total"));
            prop_assert_eq!(listed.rev().collect::<Vec<_>>(), of.listed.as_slice());

            for expected in &of.orders {
                let order_id = expected.order.summary.order_id;
                let found = self.store.order(of.id, order_id).await.expect("an answer");
                prop_assert_eq!(found.as_ref(), Some(&expected.order));
                let known = self.store.order_by_key(of.id, &format!("key {}", expected.key)).await.expect("an answer");
                prop_assert_eq!(known, Some(KnownKey { order_id, fingerprint: expected.fingerprint }));
                let events = self.store.order_events(of.id, order_id, page).await.expect("an answer");
                prop_assert_eq!(events.map(|events| events.items), Some(expected.events()));
                for (gift, beside) in expected.order.gifts.iter().zip(&expected.gifts) {
                    if beside.redemptions.is_empty() {
                        continue;
                    }
                    let key = gift_key(of.id, order_id, gift.position);
                    let at_hand = self.store.gift_at_hand(key).await.expect("an answer").expect("a gift");
                    let found: BTreeMap<_, _> = at_hand.redemptions.into_iter().map(|of| (of.id, of)).collect();
                    prop_assert_eq!(&found, &beside.redemptions);
                }
            }

            let statuses =
                [OrderStatus::Pending, OrderStatus::InProgress, OrderStatus::Complete, OrderStatus::Canceled].map(Some);
            for status in statuses.into_iter().chain([None]) {
                let filter = OrderFilter { status, ..OrderFilter::default() };
                let Page { items, total } = self.store.orders_page(of.id, &filter, page).await.expect("a page");
                let summaries = of.orders.iter().map(|order| &order.order.summary);
                let expected: Vec<_> =
                    summaries.filter(|summary| status.is_none_or(|status| status == summary.status)).collect();
                prop_assert_eq!(total, u64::try_from(expected.len()).expect("a total"));
                prop_assert_eq!(items.iter().rev().collect::<Vec<_>>(), expected);
            }
        }
        let due = self.model.waiting().filter(|waiting| waiting.run_at <= self.model.now).count();
        let Backlog { due: found, oldest_due } = self.store.backlog(self.model.now).await.expect("an answer");
        prop_assert_eq!((usize::try_from(found).expect("a count"), oldest_due.is_some()), (due, due > 0));
        let report = self.store.verify_ledger().await.expect("a report");
        prop_assert_eq!(report.differences, Vec::<String>::new());
        Ok(())
    }
}

fn lifetime(refund_option: bool) -> SignedDuration {
    SignedDuration::from_hours(24 * if refund_option { 30 } else { 180 })
}

// --- on each database ---

fn random_commands(database: Database, cases: u32) {
    if database == Database::Postgres {
        // Without a server there is nothing to shrink.
        server();
    }
    let config = Config { cases, max_shrink_iters: 200, failure_persistence: None, ..Config::default() };
    let runtime = runtime();
    let steps = prop::collection::vec(step(), 1..60);
    let outcome = TestRunner::new(config).run(&steps, |steps| {
        with_database(&runtime, database, |bed| {
            runtime.block_on(async {
                let mut run = Run::new(&bed).await;
                for (index, step) in steps.iter().enumerate() {
                    let kept = async {
                        run.take(step).await?;
                        run.compare().await
                    };
                    kept.await.map_err(|problem| TestCaseError::fail(format!("step {index}, {step:?}: {problem}")))?;
                }
                Ok(())
            })
        })
    });
    if let Err(problem) = outcome {
        panic!("{problem}");
    }
}

#[test]
fn sqlite_is_as_a_small_model_after_each_of_random_commands() {
    random_commands(Database::Sqlite, 64);
}

#[test]
fn postgres_is_as_a_small_model_after_each_of_random_commands() {
    random_commands(Database::Postgres, 10);
}

#[test]
fn slow_sqlite_is_as_a_small_model_after_each_of_many_random_commands() {
    random_commands(Database::Sqlite, 200);
}

#[test]
fn slow_postgres_is_as_a_small_model_after_each_of_many_random_commands() {
    random_commands(Database::Postgres, 40);
}
