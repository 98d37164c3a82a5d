//! Random commands against a small model in memory: after each step balances, orders, pages and the
//! books must be what the model says.

use std::collections::BTreeMap;
use std::sync::Arc;

use giftd_domain::Timestamp;
use giftd_domain::gifts::DeliveryStatus;
use giftd_domain::history::{OrderFilter, Page, PageRequest};
use giftd_domain::ids::{AccountId, OrderId, TimeId};
use giftd_domain::ledger::{EntryType, Postings};
use giftd_domain::orders::place::{KnownKey, PlaceOrder};
use giftd_domain::orders::{Order, OrderStatus};
use giftd_store::{Backlog, OperatorEntry, OperatorOutcome, Placed, SettleDelivery, Settled, Store, Work};
use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::bed::{Bed, Database, runtime, server, with_database};
use crate::world::{World, costing, entropy, now, scheduled};

// --- what may happen ---

#[derive(Clone, Debug)]
enum Step {
    Operate { account: usize, debit: bool, cents: i64, reference: u8 },
    Place { account: usize, key: u8, content: u8, costs: Vec<i64>, scheduled_in: Option<i64>, refund: bool },
    Claim { limit: u32, lease_seconds: i64 },
    Settle(Vec<(Index, Outcome)>),
    Clock { seconds: i64 },
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
    let costs = prop::collection::vec(prop_oneof![1..900_i64, 200_000..600_000_i64], 1..4);
    let scheduled_in = prop_oneof![3 => Just(None), 1 => (1..300_i64).prop_map(Some)];
    let place = (account, 0..8_u8, prop_oneof![6 => Just(0_u8), 1 => Just(1_u8)], costs, scheduled_in, any::<bool>())
        .prop_map(|(account, key, content, costs, scheduled_in, refund)| Step::Place {
            account,
            key,
            content,
            costs,
            scheduled_in,
            refund,
        });
    let claim = (0..6_u32, 1..90_i64).prop_map(|(limit, lease_seconds)| Step::Claim { limit, lease_seconds });
    let outcome = prop_oneof![
        4 => Just(Outcome::Sent),
        2 => Just(Outcome::Failed),
        2 => (0..200_i64).prop_map(|seconds| Outcome::Retry { seconds }),
    ];
    let settle = prop::collection::vec((any::<Index>(), outcome), 0..6).prop_map(Step::Settle);
    let clock = (-40..120_i64).prop_map(|seconds| Step::Clock { seconds });
    prop_oneof![3 => operate, 6 => place, 5 => claim, 5 => settle, 2 => clock, 1 => Just(Step::Reopen)]
}

// --- the model ---

struct Model {
    now: Timestamp,
    accounts: Vec<ModelAccount>,
    /// Each claim that was ever made: a stale one must not settle.
    claims: Vec<Claim>,
}

struct ModelAccount {
    id: AccountId,
    sandbox: bool,
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
    /// What waits, for each gift.
    waiting: Vec<Option<Waiting>>,
}

#[derive(Clone, Copy)]
struct Waiting {
    run_at: Timestamp,
    due_at: Timestamp,
    claim: i64,
    /// Whether its latest claim may still settle.
    claimed: bool,
}

#[derive(Clone, Copy)]
struct Claim {
    account: usize,
    order: usize,
    position: usize,
    number: i64,
}

impl ModelAccount {
    fn move_available(&mut self, entry_type: EntryType, reference: String, cents: i64) {
        self.balances.available += cents;
        match entry_type {
            EntryType::Use => self.balances.pending -= cents,
            _ => self.balances.funding -= cents,
        }
        self.listed.push((entry_type, reference, cents, self.balances.available));
    }

    fn refill(&mut self) {
        if self.sandbox && self.balances.available < 100_000 {
            self.move_available(EntryType::Charge, "sandbox refill".to_owned(), 1_000_000 - self.balances.available);
        }
    }
}

impl Model {
    fn waiting(&self) -> impl Iterator<Item = (usize, usize, usize, Waiting)> {
        self.accounts.iter().enumerate().flat_map(|(account, of)| {
            of.orders.iter().enumerate().flat_map(move |(order, of)| {
                of.waiting
                    .iter()
                    .enumerate()
                    .filter_map(move |(gift, waiting)| waiting.map(|waiting| (account, order, gift, waiting)))
            })
        })
    }

    fn place_of(&self, account: AccountId, id: OrderId) -> (usize, usize) {
        let account = self.accounts.iter().position(|of| of.id == account).expect("a known account");
        let order = self.accounts[account].orders.iter().position(|of| of.order.summary.order_id == id);
        (account, order.expect("a known order"))
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
        let world = World::with_funds(bed, 0).await;
        let other = World::beside(world.store.clone(), "Other").await;
        let mut accounts: Vec<_> = [(world.production, false), (world.sandbox, true), (other.production, false)]
            .into_iter()
            .map(|(id, sandbox)| ModelAccount {
                id,
                sandbox,
                balances: Postings::default(),
                listed: vec![],
                references: BTreeMap::new(),
                orders: vec![],
            })
            .collect();
        accounts[1].refill();
        // The second sandbox is nobody's: it has only its start.
        Self { bed, store: world.store, model: Model { now: now(), accounts, claims: vec![] } }
    }

    async fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Operate { account, debit, cents, reference } => {
                self.operate(*account, *debit, *cents, *reference).await
            }
            Step::Place { account, key, content, costs, scheduled_in, refund } => {
                let now = self.model.now;
                let mut command = PlaceOrder {
                    fingerprint: [*content; 32],
                    refund_option: *refund,
                    now,
                    ..costing(self.model.accounts[*account].id, &format!("key {key}"), costs)
                };
                if let Some(seconds) = scheduled_in {
                    command.timing = scheduled(now + SignedDuration::from_secs(*seconds));
                }
                self.place(*account, *key, command).await
            }
            Step::Claim { limit, lease_seconds } => self.claim(*limit, SignedDuration::from_secs(*lease_seconds)).await,
            Step::Settle(picks) => self.settle(picks).await,
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
                of.move_available(entry_type, text, if debit { -cents } else { cents });
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
        prop_assert!(last.map_or(self.model.now, TimeId::created_at).max(self.model.now) <= order_id.time.created_at());
        let waiting = Waiting { run_at: command.run_at(), due_at: command.run_at(), claim: 0, claimed: false };
        let expected = command.clone().into_order(order_id);
        prop_assert_eq!(&*order, &expected);
        of.move_available(EntryType::Use, order_id.to_string(), -required);
        of.refill();
        let waiting = vec![Some(waiting); expected.gifts.len()];
        of.orders.push(ModelOrder { key, fingerprint: command.fingerprint, order: expected, waiting });
        Ok(())
    }

    async fn claim(&mut self, limit: u32, lease: SignedDuration) -> Result<(), TestCaseError> {
        let now = self.model.now;
        let mut due: Vec<_> = self
            .model
            .waiting()
            .filter(|(.., waiting)| waiting.run_at <= now)
            .map(|(.., waiting)| waiting.run_at)
            .collect();
        due.sort();
        let claimed = self.store.claim_deliveries(Work::Everyone, now, lease, limit).await.expect("an answer");
        let mut taken = Vec::new();
        for delivery in claimed {
            let (account, order) = self.model.place_of(delivery.account_id, delivery.gift.order);
            let of = &mut self.model.accounts[account].orders[order];
            let gift = usize::try_from(delivery.gift.position - 1).expect("a position");
            let Some(waiting) = &mut of.waiting[gift] else {
                return Err(TestCaseError::fail("claimed what is settled"));
            };
            taken.push(waiting.run_at);
            prop_assert!(delivery.claim > waiting.claim, "claims count up");
            prop_assert_eq!(delivery.due_at, waiting.due_at);
            prop_assert_eq!(&delivery.recipient, &of.order.gifts[gift].recipient);
            *waiting = Waiting { run_at: now + lease, claim: delivery.claim, claimed: true, ..*waiting };
            self.model.claims.push(Claim { account, order, position: gift, number: delivery.claim });
            if of.order.summary.status == OrderStatus::Pending {
                of.order.summary.status = OrderStatus::InProgress;
            }
        }
        taken.sort();
        due.truncate(usize::try_from(limit).expect("a limit"));
        prop_assert_eq!(taken, due, "those that are due longest");
        Ok(())
    }

    async fn settle(&mut self, picks: &[(Index, Outcome)]) -> Result<(), TestCaseError> {
        if self.model.claims.is_empty() {
            return Ok(());
        }
        let now = self.model.now;
        let mut settlements: Vec<SettleDelivery> = Vec::new();
        let mut expected = Settled::default();
        let mut completed = Vec::new();
        for (pick, outcome) in picks {
            let claim = *pick.get(&self.model.claims);
            let of = &mut self.model.accounts[claim.account];
            let ModelOrder { order, waiting, .. } = &mut of.orders[claim.order];
            let gift = &mut order.gifts[claim.position];
            let delivery = giftd_domain::ids::GiftId { order: order.summary.order_id, position: gift.position };
            let of_this = |settlement: &SettleDelivery| {
                settlement.settlement.gift == delivery && settlement.settlement.claim == claim.number
            };
            if settlements.iter().any(of_this) {
                continue;
            }
            let retry_at = match outcome {
                Outcome::Retry { seconds } => now + SignedDuration::from_secs(*seconds),
                _ => now,
            };
            let error = format!("error {}", claim.number);
            settlements.push(SettleDelivery {
                settlement: giftd_domain::gifts::Settlement {
                    account_id: of.id,
                    gift: delivery,
                    kind: giftd_domain::gifts::MailKind::Gift,
                    claim: claim.number,
                    outcome: match outcome {
                        Outcome::Sent => giftd_domain::gifts::DeliveryOutcome::Sent { at: now },
                        Outcome::Failed => {
                            giftd_domain::gifts::DeliveryOutcome::Failed { at: now, error: error.clone() }
                        }
                        Outcome::Retry { .. } => {
                            giftd_domain::gifts::DeliveryOutcome::Retry { at: now, error: error.clone() }
                        }
                    },
                },
                retry_at,
            });
            let waiting = &mut waiting[claim.position];
            let Some(latest) = waiting.as_mut().filter(|latest| latest.claimed && latest.claim == claim.number) else {
                expected.dropped += 1;
                continue;
            };
            expected.settled += 1;
            gift.delivery_attempts += 1;
            match outcome {
                Outcome::Retry { .. } => {
                    gift.delivery_error = Some(error);
                    (latest.run_at, latest.claimed) = (retry_at, false);
                    continue;
                }
                Outcome::Sent => {
                    gift.delivery_status = DeliveryStatus::Sent;
                    gift.delivery_error = None;
                    gift.sent_at = Some(now);
                    gift.expires_at = Some(now + lifetime(order.summary.refund_option));
                }
                Outcome::Failed => {
                    gift.delivery_status = DeliveryStatus::Failed;
                    gift.delivery_error = Some(error);
                }
            }
            *waiting = None;
            of.balances.pending -= gift.cost;
            of.balances.issued += gift.cost;
            if order.gifts.iter().all(|gift| gift.delivery_status != DeliveryStatus::Pending) {
                completed.push((claim.account, claim.order));
            }
        }
        for (account, order) in completed {
            expected.completed_orders += 1;
            let order = &mut self.model.accounts[account].orders[order].order;
            (order.summary.status, order.summary.completed_at) = (OrderStatus::Complete, Some(now));
            for gift in order.gifts.iter_mut().filter(|gift| gift.delivery_status == DeliveryStatus::Failed) {
                gift.expires_at = Some(now + lifetime(order.summary.refund_option));
            }
        }
        let settled = self
            .store
            .settle_deliveries(settlements, &giftd_domain::gifts::Reminders::default(), now, entropy())
            .await
            .expect("an answer");
        prop_assert_eq!(settled, expected);
        Ok(())
    }

    // --- what must be so after each step ---

    async fn compare(&self) -> Result<(), TestCaseError> {
        let page = PageRequest { page: 1, page_size: 100 };
        for of in &self.model.accounts {
            let account = self.store.account(of.id).await.expect("an answer").expect("an account");
            prop_assert_eq!(account.balances, of.balances);

            let Page { items, total } =
                self.store.ledger_page(of.id, None, Default::default(), page).await.expect("a page");
            let listed =
                items.into_iter().map(|e| (e.entry_type, e.reference, e.postings.available, e.available_after));
            prop_assert_eq!(total, u64::try_from(of.listed.len()).expect("a total"));
            prop_assert_eq!(listed.rev().collect::<Vec<_>>(), of.listed.as_slice());

            for expected in &of.orders {
                let found = self.store.order(of.id, expected.order.summary.order_id).await.expect("an answer");
                prop_assert_eq!(found.as_ref(), Some(&expected.order));
                let known = self.store.order_by_key(of.id, &format!("key {}", expected.key)).await.expect("an answer");
                prop_assert_eq!(
                    known,
                    Some(KnownKey { order_id: expected.order.summary.order_id, fingerprint: expected.fingerprint })
                );
            }

            let statuses = [OrderStatus::Pending, OrderStatus::InProgress, OrderStatus::Complete].map(Some);
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
        let due: Vec<_> = self
            .model
            .waiting()
            .map(|(.., waiting)| waiting.run_at)
            .filter(|run_at| *run_at <= self.model.now)
            .collect();
        let Backlog { due: found, oldest_due } = self.store.backlog(self.model.now).await.expect("an answer");
        prop_assert_eq!((usize::try_from(found).expect("a count"), oldest_due.is_some()), (due.len(), !due.is_empty()));
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
    let steps = prop::collection::vec(step(), 1..40);
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
    random_commands(Database::Sqlite, 32);
}

#[test]
fn postgres_is_as_a_small_model_after_each_of_random_commands() {
    random_commands(Database::Postgres, 6);
}

#[test]
fn slow_sqlite_is_as_a_small_model_after_each_of_many_random_commands() {
    random_commands(Database::Sqlite, 80);
}

#[test]
fn slow_postgres_is_as_a_small_model_after_each_of_many_random_commands() {
    random_commands(Database::Postgres, 12);
}
