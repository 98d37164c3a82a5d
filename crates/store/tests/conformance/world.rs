//! What most promises need first: an organization with money, commands, deliveries. Time and random
//! bits are fixed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use giftd_domain::Timestamp;
use giftd_domain::access::Environment;
use giftd_domain::account::{Account, AccountClock};
use giftd_domain::gifts::events::{EventType, GiftEvent};
use giftd_domain::gifts::redemption::{GiftAtHand, Redemption, RedemptionId, Reserve, Reserved, Sealed, Supplied};
use giftd_domain::gifts::{ClaimedDelivery, DeliveryOutcome, Gift, Recipient, Reminders, Settlement};
use giftd_domain::history::{Days, OrderFilter, Page, PageRequest};
use giftd_domain::ids::{AccountId, GiftKey, OrderId, OrganizationId, TemplateId};
use giftd_domain::ledger::{Entry, EntryType, Postings};
use giftd_domain::limits;
use giftd_domain::money::Money;
use giftd_domain::orders::place::{NewGift, PlaceOrder};
use giftd_domain::orders::resend::{Resend, ResendEntry};
use giftd_domain::orders::{CardType, EmailSetting, Order, OrderStatus, OrderSummary, OrderType};
use giftd_domain::schedule::{Schedule, SendTiming};
use giftd_domain::text;
use giftd_store::{
    Cancellation, LedgerReport, Mails, OperatorEntry, OperatorOutcome, Placed, Resent, SettleDelivery, Settled, Store,
    Turned, Work,
};
use jiff::SignedDuration;
use jiff::tz::TimeZone;

use crate::bed::Bed;

/// Cents that a world's production account starts with.
pub const FUNDS: i64 = 100_000_000;
/// Cents that each gift of [`command`] costs.
pub const GIFT: i64 = 1_000;
/// How long a claim of [`World::claim`] lasts.
pub const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// The smallest step of the databases' time.
pub const A_MICROSECOND: SignedDuration = SignedDuration::from_micros(1);
/// How long a gift lasts that returns what isn't redeemed.
pub const A_MONTH: SignedDuration = SignedDuration::from_hours(30 * 24);

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
        self.claim_work(Work::Everyone, now, limit).await
    }

    pub async fn claim_work(&self, work: Work, now: Timestamp, limit: u32) -> Vec<ClaimedDelivery> {
        let mails = match work {
            Work::Everyone => Mails::All,
            Work::Moving(account) => Mails::Moving(account),
        };
        self.claim_mails(mails, now, limit).await
    }

    pub async fn claim_mails(&self, mails: Mails, now: Timestamp, limit: u32) -> Vec<ClaimedDelivery> {
        self.store.claim_deliveries(mails, now, LEASE, limit).await.expect("an answer")
    }

    /// Nobody is reminded of gifts that are sent.
    pub async fn settle(&self, settlements: Vec<SettleDelivery>, now: Timestamp) -> Settled {
        self.settle_reminding(settlements, &Reminders::default(), now).await
    }

    pub async fn settle_reminding(
        &self,
        settlements: Vec<SettleDelivery>,
        reminders: &Reminders,
        now: Timestamp,
    ) -> Settled {
        self.store.settle_deliveries(settlements, reminders, now, entropy()).await.expect("an answer")
    }

    /// Sends everything that is due; nobody is reminded.
    pub async fn deliver_all(&self, now: Timestamp) {
        self.deliver_all_reminding(&Reminders::default(), now).await;
    }

    pub async fn deliver_all_reminding(&self, reminders: &Reminders, now: Timestamp) {
        loop {
            let claimed = self.claim(now, 100).await;
            if claimed.is_empty() {
                return;
            }
            let outcomes = claimed.iter().map(|delivery| sent(delivery, now)).collect();
            self.settle_reminding(outcomes, reminders, now).await;
        }
    }

    /// Places an order and sends its gifts at once; nobody is reminded.
    pub async fn place_and_send(&self, command: PlaceOrder) -> OrderId {
        self.place_and_send_reminding(command, &Reminders::default()).await
    }

    pub async fn place_and_send_reminding(&self, command: PlaceOrder, reminders: &Reminders) -> OrderId {
        let now = command.now;
        let order = self.place(command).await.summary.order_id;
        self.deliver_all_reminding(reminders, now).await;
        order
    }

    // --- the life of an order ---

    pub async fn gift(&self, order: OrderId, position: usize) -> Gift {
        self.order(order).await.gifts.swap_remove(position - 1)
    }

    pub async fn cancel(&self, account: AccountId, order: OrderId, now: Timestamp) -> Cancellation {
        self.store.cancel_order(account, order, now, entropy()).await.expect("an answer")
    }

    pub async fn resend(&self, resend: Resend) -> Resent {
        self.store.resend(resend).await.expect("an answer")
    }

    pub async fn events_page(&self, account: AccountId, order: OrderId, page: u32, page_size: u32) -> Page<GiftEvent> {
        let page = PageRequest { page, page_size };
        self.store.order_events(account, order, page).await.expect("an answer").expect("a page")
    }

    /// All events of an order, newest first.
    pub async fn events(&self, account: AccountId, order: OrderId) -> Vec<GiftEvent> {
        let mut events = Vec::new();
        for page in 1.. {
            let Page { items, total } = self.events_page(account, order, page, 100).await;
            let is_last = items.len() < 100;
            events.extend(items);
            if is_last {
                assert_eq!(total, u64::try_from(events.len()).expect("a total"));
                break;
            }
        }
        events
    }

    /// What happened to a gift of the production account, oldest first, with details.
    pub async fn story(&self, order: OrderId, position: u32) -> Vec<(EventType, Option<String>)> {
        let events = self.events(self.production, order).await.into_iter().rev();
        events.filter(|event| event.position == position).map(|event| (event.event_type, event.detail)).collect()
    }

    // --- the life of a gift ---

    /// Turns all gifts that are due, without reminders.
    pub async fn turn(&self, until: Timestamp) -> Turned {
        self.turn_reminding(Work::Everyone, until, &Reminders::default()).await
    }

    pub async fn turn_reminding(&self, work: Work, until: Timestamp, reminders: &Reminders) -> Turned {
        let mut all = Turned::default();
        loop {
            let turned = self.turn_group(work, until, reminders).await;
            all.gifts += turned.gifts;
            all.reminded += turned.reminded;
            all.expired += turned.expired;
            all.refunded += turned.refunded;
            if turned.gifts == 0 {
                return all;
            }
        }
    }

    pub async fn turn_group(&self, work: Work, until: Timestamp, reminders: &Reminders) -> Turned {
        self.store.turn_gifts(work, until, reminders, entropy()).await.expect("an answer")
    }

    pub async fn at_hand(&self, gift: GiftKey) -> GiftAtHand {
        self.store.gift_at_hand(gift).await.expect("an answer").expect("a gift")
    }

    pub async fn reserve(&self, command: Reserve) -> Reserved {
        self.store.reserve(command).await.expect("an answer")
    }

    /// Reserves what nothing speaks against.
    pub async fn reserved(&self, command: Reserve) -> Redemption {
        match self.reserve(command).await {
            Reserved::New(redemption) => redemption,
            other => panic!("not reserved: {other:?}"),
        }
    }

    pub async fn supply(&self, gift: GiftKey, id: u128, supplied: Supplied, now: Timestamp) -> Option<Redemption> {
        let id = RedemptionId(id);
        self.store.settle_redemption(gift, id, supplied, now, entropy()).await.expect("an answer")
    }

    /// Redeems what nothing speaks against.
    pub async fn redeem(&self, gift: GiftKey, id: u128, cost: i64, now: Timestamp) {
        self.reserved(redeeming(gift, id, cost, now)).await;
        self.supply(gift, id, Supplied::Code(code("code")), now).await.expect("a redemption");
    }

    // --- the sandbox ---

    pub async fn begin_move(&self, account: AccountId, by: SignedDuration, now: Timestamp) -> Option<AccountClock> {
        self.store.begin_move(account, by, now).await.expect("an answer")
    }

    /// Moves the sandbox's clock, although what is due on the way isn't done.
    pub async fn jump(&self, by: SignedDuration, now: Timestamp) -> AccountClock {
        let clock = self.begin_move(self.sandbox, by, now).await.expect("nobody else moves it");
        let moving = clock.moving.expect("it is being moved");
        assert!(self.store.end_move(self.sandbox, moving.claim, now).await.expect("an answer"));
        let clock = self.account(self.sandbox).await.clock;
        assert_eq!((clock.moving, clock.time(now)), (None, moving.target));
        clock
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

/// A choice card with a cost for each recipient, which may be redeemed in parts and returns what isn't.
pub fn choosing(account: AccountId, key: &str, costs: &[i64]) -> PlaceOrder {
    PlaceOrder { card_type: CardType::ChoiceCard, refund_option: true, ..costing(account, key, costs) }
}

/// Asks for gifts to be sent again: addresses, and where they move.
pub fn resending(account: AccountId, order: OrderId, entries: &[(&str, Option<&str>)], now: Timestamp) -> Resend {
    let entry = |&(written, updated): &(&str, Option<&str>)| ResendEntry {
        written: written.to_owned(),
        email: text::email(written).expect(written),
        updated: updated.map(str::to_owned),
    };
    Resend {
        account_id: account,
        order_id: order,
        entries: entries.iter().map(entry).collect(),
        client_id: "app_1".to_owned(),
        request_id: "request 1".to_owned(),
        now,
    }
}

pub fn gift_key(account: AccountId, order: OrderId, position: u32) -> GiftKey {
    GiftKey { account_id: account, order: order.time, position }
}

/// Asks for a part of a gift whose link is the first.
pub fn redeeming(gift: GiftKey, id: u128, cost: i64, now: Timestamp) -> Reserve {
    Reserve {
        gift,
        link_version: 1,
        id: RedemptionId(id),
        product_id: "20001".to_owned(),
        product_name: "Sakura Books JP".to_owned(),
        face: Money::new(cost * 150, "JPY".parse().expect("yen")),
        cost,
        now,
    }
}

pub fn code(text: &str) -> Sealed {
    Sealed { key_id: "key 1".to_owned(), bytes: text.as_bytes().to_vec() }
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

/// So many days before the expiry.
pub fn days_before(days: &[i64]) -> Reminders {
    Reminders::new(days.iter().map(|days| SignedDuration::from_hours(days * 24)))
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
