//! What most promises need first: an organization with money, commands, deliveries. Time and random
//! bits are fixed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use giftd_domain::Timestamp;
use giftd_domain::access::Environment;
use giftd_domain::account::Account;
use giftd_domain::gifts::{ClaimedDelivery, DeliveryOutcome, Recipient, Settlement};
use giftd_domain::history::{Days, OrderFilter, Page, PageRequest};
use giftd_domain::ids::{AccountId, OrderId, OrganizationId, TemplateId};
use giftd_domain::ledger::{Entry, EntryType, Postings};
use giftd_domain::limits;
use giftd_domain::money::Money;
use giftd_domain::orders::place::{NewGift, PlaceOrder};
use giftd_domain::orders::{CardType, EmailSetting, Order, OrderStatus, OrderSummary, OrderType};
use giftd_domain::schedule::{Schedule, SendTiming};
use giftd_store::{LedgerReport, OperatorEntry, OperatorOutcome, Placed, SettleDelivery, Settled, Store, Work};
use jiff::SignedDuration;
use jiff::tz::TimeZone;

use crate::bed::Bed;

/// Cents that a world's production account starts with.
pub const FUNDS: i64 = 100_000_000;
/// Cents that each gift of [`command`] costs.
pub const GIFT: i64 = 1_000;
/// How long a claim of [`World::claim`] lasts.
pub const LEASE: SignedDuration = SignedDuration::from_secs(60);

pub fn instant(text: &str) -> Timestamp {
    text.parse().expect(text)
}

/// When most tests play.
pub fn now() -> Timestamp {
    instant("2026-11-22T18:30:00Z")
}

/// When a world gets its money: before all orders, whose ids can't be before it.
fn beginning() -> Timestamp {
    instant("2026-08-01T00:00:00Z")
}

/// `now()` and so many seconds.
pub fn after(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

/// Other bits each time, the same in each run.
pub fn entropy() -> u128 {
    static CALLS: AtomicU64 = AtomicU64::new(1);
    let mut dice = Dice::new(CALLS.fetch_add(1, Ordering::Relaxed));
    u128::from(dice.roll()) << 64 | u128::from(dice.roll())
}

/// A pseudo-random generator (splitmix64): the same numbers in each run.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xd134_2543_de82_ef95))
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// From 0 up to, but without, `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let index = self.below(u64::try_from(from.len()).expect("a length"));
        &from[usize::try_from(index).expect("an index")]
    }

    /// `value` in so many of 100 throws.
    pub fn sometimes<T>(&mut self, percent: u64, value: T) -> Option<T> {
        (self.below(100) < percent).then_some(value)
    }
}

/// An organization with a funded production account and a fresh sandbox.
#[derive(Clone)]
pub struct World {
    pub store: Arc<dyn Store>,
    pub organization: OrganizationId,
    pub production: AccountId,
    pub sandbox: AccountId,
}

impl World {
    pub async fn new(bed: &Bed) -> Self {
        Self::with_funds(bed, FUNDS).await
    }

    /// A world whose production account has just so many cents.
    pub async fn with_funds(bed: &Bed, cents: i64) -> Self {
        let world = Self::beside(bed.open().await, "Acme").await;
        if cents > 0 {
            let reference = "the first transfer".to_owned();
            let (account_id, entry_type, now) = (world.production, EntryType::Charge, beginning());
            let entry = OperatorEntry { account_id, entry_type, cents, reference, now, entropy: entropy() };
            world.store.operator_entry(entry).await.expect("an answer");
        }
        world
    }

    /// One more organization, without money.
    pub async fn beside(store: Arc<dyn Store>, name: &str) -> Self {
        let organization = store.create_organization(name, now(), entropy()).await.expect("an organization");
        let production = account_of(&*store, organization, Environment::Production).await.account_id;
        let sandbox = account_of(&*store, organization, Environment::Sandbox).await.account_id;
        Self { store, organization, production, sandbox }
    }

    /// The same organization on another node.
    pub async fn on_another_node(&self, bed: &Bed) -> Self {
        Self { store: bed.open().await, ..self.clone() }
    }

    // --- money ---

    pub async fn credit(&self, cents: i64, reference: &str) -> Entry {
        match self.operate(self.production, EntryType::Charge, cents, reference).await {
            OperatorOutcome::Posted(entry) => entry,
            other => panic!("not posted: {other:?}"),
        }
    }

    pub async fn operate(
        &self,
        account: AccountId,
        entry_type: EntryType,
        cents: i64,
        reference: &str,
    ) -> OperatorOutcome {
        let reference = reference.to_owned();
        let entry = OperatorEntry { account_id: account, entry_type, cents, reference, now: now(), entropy: entropy() };
        self.store.operator_entry(entry).await.expect("an answer")
    }

    pub async fn account(&self, account: AccountId) -> Account {
        self.store.account(account).await.expect("an answer").expect("an account")
    }

    /// The balances of the production account.
    pub async fn balances(&self) -> Postings {
        self.account(self.production).await.balances
    }

    pub async fn ledger(&self, account: AccountId) -> Page<Entry> {
        self.ledger_of(account, None, Days::default(), 1, 100).await
    }

    pub async fn ledger_of(
        &self,
        account: AccountId,
        entry_type: Option<EntryType>,
        days: Days,
        page: u32,
        page_size: u32,
    ) -> Page<Entry> {
        let page = PageRequest { page, page_size };
        self.store.ledger_page(account, entry_type, days, page).await.expect("a page")
    }

    /// The books, which must balance.
    pub async fn verify(&self) -> LedgerReport {
        let report = self.store.verify_ledger().await.expect("a report");
        assert_eq!(report.differences, Vec::<String>::new(), "the books balance");
        report
    }

    // --- orders ---

    /// A command for the production account.
    pub fn command(&self, key: &str, recipients: u32) -> PlaceOrder {
        command(self.production, key, recipients)
    }

    /// Places a command that nothing speaks against.
    pub async fn place(&self, command: PlaceOrder) -> Order {
        match self.try_place(command).await {
            Placed::New(order) => *order,
            other => panic!("not placed: {other:?}"),
        }
    }

    pub async fn try_place(&self, command: PlaceOrder) -> Placed {
        self.store.place_order(command).await.expect("an answer")
    }

    /// Places all at once: each waits in the store's queue before the first is answered.
    pub async fn place_at_once(&self, commands: Vec<PlaceOrder>) -> Vec<Placed> {
        at_once(commands.into_iter().map(|command| {
            let world = self.clone();
            async move { world.try_place(command).await }
        }))
        .await
    }

    pub async fn order(&self, order: OrderId) -> Order {
        self.store.order(self.production, order).await.expect("an answer").expect("an order")
    }

    pub async fn orders(&self, filter: &OrderFilter) -> Page<OrderSummary> {
        self.orders_of(self.production, filter, 1, 100).await
    }

    pub async fn orders_of(
        &self,
        account: AccountId,
        filter: &OrderFilter,
        page: u32,
        page_size: u32,
    ) -> Page<OrderSummary> {
        self.store.orders_page(account, filter, PageRequest { page, page_size }).await.expect("a page")
    }

    /// How many orders of the production account are in a state.
    pub async fn count(&self, status: OrderStatus) -> u64 {
        self.orders(&OrderFilter { status: Some(status), ..OrderFilter::default() }).await.total
    }

    // --- deliveries ---

    pub async fn claim(&self, now: Timestamp, limit: u32) -> Vec<ClaimedDelivery> {
        self.store.claim_deliveries(Work::Everyone, now, LEASE, limit).await.expect("an answer")
    }

    pub async fn settle(&self, settlements: Vec<SettleDelivery>, now: Timestamp) -> Settled {
        self.store
            .settle_deliveries(settlements, &giftd_domain::gifts::Reminders::default(), now, entropy())
            .await
            .expect("an answer")
    }

    /// Sends everything that is due.
    pub async fn deliver_all(&self, now: Timestamp) {
        loop {
            let claimed = self.claim(now, 100).await;
            if claimed.is_empty() {
                return;
            }
            self.settle(claimed.iter().map(|delivery| sent(delivery, now)).collect(), now).await;
        }
    }
}

pub async fn account_of(store: &dyn Store, organization: OrganizationId, environment: Environment) -> Account {
    store.account_of(organization, environment).await.expect("an answer").expect("an account")
}

/// Runs futures together, each in a task of its own; their answers in the order of the futures.
pub async fn at_once<Answer: Send + 'static>(
    futures: impl IntoIterator<Item = impl Future<Output = Answer> + Send + 'static>,
) -> Vec<Answer> {
    let tasks: Vec<_> = futures.into_iter().map(tokio::spawn).collect();
    let mut answers = Vec::with_capacity(tasks.len());
    for task in tasks {
        answers.push(task.await.expect("the task ends well"));
    }
    answers
}

// --- commands ---

/// A branded card in US dollars to so many recipients, [`GIFT`] cents each, at once.
pub fn command(account: AccountId, key: &str, recipients: u32) -> PlaceOrder {
    let costs: Vec<i64> = (0..recipients).map(|_| GIFT).collect();
    costing(account, key, &costs)
}

/// The same with a cost for each recipient.
pub fn costing(account: AccountId, key: &str, costs: &[i64]) -> PlaceOrder {
    let total = costs.iter().sum();
    PlaceOrder {
        account_id: account,
        idempotency_key: key.to_owned(),
        fingerprint: [1; 32],
        order_type: OrderType::OneTime,
        card_type: CardType::BrandedCard,
        product_id: "10001".to_owned(),
        card_name: "Coffee Roasters US".to_owned(),
        creator: "Payroll".to_owned(),
        timing: SendTiming::Immediate,
        email_setting: EmailSetting {
            sender_name: "Acme Corp".to_owned(),
            subject: "A gift for you!".to_owned(),
            message: None,
            template_id: TemplateId(limits::FIRST_TEMPLATE_ID),
        },
        refund_option: false,
        total_amount: Money::usd(total),
        total_cost: total,
        fx_rate: None,
        gifts: (1..)
            .zip(costs)
            .map(|(position, &cost)| NewGift { recipient: recipient(position), amount: cost, cost })
            .collect(),
        now: now(),
        entropy: entropy(),
    }
}

pub fn recipient(position: u32) -> Recipient {
    Recipient {
        email: Some(format!("r{position}@example.com")),
        first_name: None,
        last_name: None,
        company: None,
        department: None,
    }
}

/// The order of a command that was asked for again: same content, later, with other random bits.
pub fn again(command: &PlaceOrder) -> PlaceOrder {
    PlaceOrder { now: command.now + SignedDuration::from_secs(5), entropy: entropy(), ..command.clone() }
}

/// At an instant of whole seconds, as written in UTC.
pub fn scheduled(send_at: Timestamp) -> SendTiming {
    let local = TimeZone::UTC.to_datetime(send_at);
    SendTiming::Scheduled(Schedule { local, timezone: "UTC".to_owned(), send_at })
}

// --- outcomes ---

fn outcome(delivery: &ClaimedDelivery, outcome: DeliveryOutcome, retry_at: Timestamp) -> SettleDelivery {
    let ClaimedDelivery { account_id, gift, kind, claim, .. } = *delivery;
    SettleDelivery { settlement: Settlement { account_id, gift, kind, claim, outcome }, retry_at }
}

pub fn sent(delivery: &ClaimedDelivery, at: Timestamp) -> SettleDelivery {
    outcome(delivery, DeliveryOutcome::Sent { at }, at)
}

pub fn failed(delivery: &ClaimedDelivery, at: Timestamp) -> SettleDelivery {
    outcome(delivery, DeliveryOutcome::Failed { at, error: "550 5.1.1 no such user".to_owned() }, at)
}

pub fn retry(delivery: &ClaimedDelivery, at: Timestamp, retry_at: Timestamp) -> SettleDelivery {
    outcome(delivery, DeliveryOutcome::Retry { at, error: "421 busy".to_owned() }, retry_at)
}
