//! A database, nodes on it, and gifts that were sent.

use std::hash::{BuildHasher as _, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use giftd::clock::Clock;
use giftd::serve::{self, Running};
use giftd::settings::{self, Secret, Settings};
use giftd::state::Giftd;
use giftd::supplier::Code;
use giftd::supplier::sealed::{self, Place};
use giftd_domain::Timestamp;
use giftd_domain::access::Environment;
use giftd_domain::gifts::redemption::{NewCode, Redemption, RedemptionId, Reserve, Reserved};
use giftd_domain::gifts::{DeliveryOutcome, Gift, Recipient, Settlement};
use giftd_domain::ids::{AccountId, GiftKey, OrderId, TemplateId};
use giftd_domain::ledger::EntryType;
use giftd_domain::limits;
use giftd_domain::money::Money;
use giftd_domain::orders::erase::Retention;
use giftd_domain::orders::place::{NewGift, PlaceOrder};
use giftd_domain::orders::{CardType, EmailSetting, OrderType};
use giftd_domain::schedule::{Schedule, SendTiming};
use giftd_store::{Mails, OperatorEntry, Placed, SettleDelivery, Store};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_postgres::NoTls;

/// After this long something that should happen doesn't.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// The branded card of all tests.
pub const PRODUCT: &str = "10042";
/// Cents that a gift holds and costs.
pub const COST: i64 = 10_000;
/// Cents that a code is worth.
pub const FACE: i64 = 2_500;

/// Where the state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

/// A folder, and a database for any number of nodes.
pub struct Bed {
    folder: TempDir,
    url: Option<String>,
}

/// Runs `test` on an empty database, which is removed however it ends.
pub fn on<Test: AsyncFnOnce(Bed)>(database: Database, test: Test) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let run = |runtime: &Runtime, url: Option<String>| {
        let bed = Bed { folder: TempDir::new().expect("a temporary folder"), url };
        let in_time = runtime.block_on(async { tokio::time::timeout(DEADLINE * 2, test(bed)).await });
        in_time.expect("the test ends before the deadline");
    };
    match database {
        Database::Sqlite => run(&runtime, None),
        Database::Postgres => {
            let server =
                std::env::var("TEST_POSTGRES_URL").expect("run scripts/test: it starts a PostgreSQL for the tests");
            let (host, _) = server.rsplit_once('/').expect("TEST_POSTGRES_URL names a database");
            let name = format!("giftd_test_{}_{:016x}", std::process::id(), RandomState::new().hash_one(0));
            let url = format!("{host}/{name}");
            runtime.block_on(execute(&server, &format!("CREATE DATABASE {name}")));
            let outcome = catch_unwind(AssertUnwindSafe(|| run(&runtime, Some(url))));
            runtime.block_on(execute(&server, &format!("DROP DATABASE {name} WITH (FORCE)")));
            outcome.unwrap_or_else(|panic| resume_unwind(panic));
        }
    }
}

async fn execute(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("PostgreSQL answers");
    tokio::spawn(connection);
    client.batch_execute(sql).await.expect(sql);
}

impl Bed {
    fn settings(&self) -> Settings {
        let defaults = Settings::from_layers(None, Vec::new()).expect("the defaults are legal");
        let database = match &self.url {
            None => settings::Database::Sqlite(self.folder.path().join("giftd.db")),
            Some(url) => settings::Database::Postgres(Secret::new(url.clone())),
        };
        Settings {
            listen: "127.0.0.1:0".parse().expect("an address"),
            database,
            data_dir: self.folder.path().to_owned(),
            keys_dir: self.folder.path().join("keys"),
            rate_limit_sandbox: None,
            ..defaults
        }
    }

    /// A node without workers, with connections of its own.
    pub async fn node(&self, clock: Clock) -> Arc<Giftd> {
        let settings = self.settings();
        let store = serve::open_store(&settings).await.expect("the store opens");
        let keys = serve::open_keys(&settings, store.as_ref(), &clock).await.expect("keys");
        Giftd::new(store, settings, keys, clock)
    }

    /// A node with workers.
    pub async fn working_node(&self) -> Running {
        serve::start(self.settings(), Clock::system()).await.expect("the node starts")
    }

    /// The same, which erases recipients.
    pub async fn erasing_node(&self, retention: Retention) -> Running {
        let settings = Settings { pii_days: Some(retention), ..self.settings() };
        serve::start(settings, Clock::system()).await.expect("the node starts")
    }

    /// Whether several nodes with workers may run: on SQLite one does.
    pub fn has_many_nodes(&self) -> bool {
        self.url.is_some()
    }

    /// Where captured mails appear.
    pub fn new_mails(&self) -> PathBuf {
        self.folder.path().join("mail/new")
    }

    /// The captured mails.
    pub fn captured(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.new_mails()) else { return Vec::new() };
        entries.map(|entry| std::fs::read_to_string(entry.expect("an entry").path()).expect("a mail")).collect()
    }
}

/// How a gift was given.
#[derive(Clone, Copy)]
pub struct Given {
    pub environment: Environment,
    pub card_type: CardType,
    pub refund_option: bool,
    /// When its mail was taken.
    pub at: Timestamp,
}

impl Given {
    /// A choice gift of production, sent at `at`.
    pub fn at(at: Timestamp) -> Self {
        Self { environment: Environment::Production, card_type: CardType::ChoiceCard, refund_option: false, at }
    }
}

/// The first gift of a sent order, of a new organization.
pub struct SentGift {
    pub account: AccountId,
    pub order: OrderId,
    pub key: GiftKey,
}

/// Places an order for one person and settles its mail as sent.
pub async fn sent_gift(giftd: &Giftd, given: Given) -> SentGift {
    sent_gifts(giftd, given, 1).await
}

/// Places an order for `count` people and settles its mails as sent.
pub async fn sent_gifts(giftd: &Giftd, given: Given, count: usize) -> SentGift {
    let (store, clock) = (giftd.store.as_ref(), &giftd.clock);
    let at = given.at;
    let account = funded(giftd, given, count).await;
    let order = match store.place_order(order(clock, account, given, count)).await.expect("an answer") {
        Placed::New(order) => order.summary.order_id,
        other => panic!("not placed: {other:?}"),
    };
    let mut left = count;
    while left > 0 {
        let claimed = store.claim_deliveries(Mails::All, at, SignedDuration::from_mins(1), limits::CLAIM_DELIVERIES);
        let mine = claimed.await.expect("claimed").into_iter().filter(|delivery| delivery.gift.order == order);
        let sent = mine.map(|delivery| SettleDelivery {
            settlement: Settlement {
                account_id: account,
                gift: delivery.gift,
                kind: delivery.kind,
                claim: delivery.claim,
                outcome: DeliveryOutcome::Sent { at },
            },
            retry_at: at,
        });
        let settled = store.settle_deliveries(sent.collect(), &giftd.settings.reminders, at, clock.entropy()).await;
        let settled = usize::try_from(settled.expect("an answer").settled).expect("few");
        assert!(settled > 0, "the order's mails are claimed and settled");
        left -= settled;
    }
    SentGift { account, order, key: GiftKey { account_id: account, order: order.time, position: 1 } }
}

/// The account of a new organization, with just the money for `count` gifts more.
async fn funded(giftd: &Giftd, given: Given, count: usize) -> AccountId {
    let (store, clock) = (giftd.store.as_ref(), &giftd.clock);
    let organization = store.create_organization("Acme", given.at, clock.entropy()).await.expect("created");
    let account = store.account_of(organization, given.environment).await.expect("an answer").expect("an account");
    let credit = OperatorEntry {
        account_id: account.account_id,
        entry_type: EntryType::Charge,
        cents: COST * i64::try_from(count).expect("few"),
        reference: "funds".to_owned(),
        now: given.at,
        entropy: clock.entropy(),
    };
    store.operator_entry(credit).await.expect("credited");
    account.account_id
}

/// Places an order for `count` people that goes out at `at`, in an account that has (or gets) the money.
pub async fn scheduled_order(giftd: &Giftd, account: AccountId, key: &str, at: Timestamp, count: usize) -> OrderId {
    let clock = &giftd.clock;
    let given = Given { environment: Environment::Sandbox, refund_option: true, ..Given::at(clock.now()) };
    let new = order(clock, account, given, count);
    let credit = OperatorEntry {
        account_id: account,
        entry_type: EntryType::Charge,
        cents: new.total_cost,
        reference: key.to_owned(),
        now: clock.now(),
        entropy: clock.entropy(),
    };
    giftd.store.operator_entry(credit).await.expect("credited");
    let local = at.to_zoned(TimeZone::UTC).datetime();
    let timing = SendTiming::Scheduled(Schedule { local, timezone: "UTC".to_owned(), send_at: at });
    match giftd.store.place_order(PlaceOrder { idempotency_key: key.to_owned(), timing, ..new }).await {
        Ok(Placed::New(order)) => order.summary.order_id,
        other => panic!("not placed: {other:?}"),
    }
}

fn order(clock: &Clock, account: AccountId, given: Given, count: usize) -> PlaceOrder {
    let gift = NewGift {
        recipient: Recipient {
            email: Some("alice@example.com".to_owned()),
            first_name: Some("Alice".to_owned()),
            last_name: None,
            company: None,
            department: None,
        },
        amount: COST,
        cost: COST,
    };
    let total = COST * i64::try_from(count).expect("few");
    PlaceOrder {
        account_id: account,
        idempotency_key: "one".to_owned(),
        fingerprint: [7; 32],
        order_type: OrderType::OneTime,
        card_type: given.card_type,
        product_id: PRODUCT.to_owned(),
        card_name: "Sakura Books".to_owned(),
        creator: "Payroll".to_owned(),
        timing: SendTiming::Immediate,
        email_setting: EmailSetting {
            sender_name: "Acme Corp".to_owned(),
            subject: "A gift for you!".to_owned(),
            message: None,
            template_id: TemplateId(limits::FIRST_TEMPLATE_ID),
        },
        refund_option: given.refund_option,
        total_amount: Money::usd(total),
        total_cost: total,
        fx_rate: None,
        gifts: vec![gift; count],
        now: given.at,
        entropy: clock.entropy(),
    }
}

impl SentGift {
    /// The gift as it stands.
    pub async fn now(&self, giftd: &Giftd) -> Gift {
        let order = giftd.store.order(self.account, self.order).await.expect("an answer").expect("the order");
        order.gifts.into_iter().next().expect("a gift")
    }

    /// What is to be reserved for a code of [`FACE`].
    pub fn reserve(&self, id: u128, now: Timestamp) -> Reserve {
        Reserve {
            gift: self.key,
            link_version: 1,
            id: RedemptionId(id),
            product_id: PRODUCT.to_owned(),
            product_name: "Sakura Books".to_owned(),
            face: Money::usd(FACE),
            cost: FACE,
            now,
        }
    }

    /// Reserves a code of [`FACE`].
    pub async fn reserved(&self, giftd: &Giftd, id: u128) -> Redemption {
        reserved(giftd, self.reserve(id, giftd.clock.now())).await
    }

    /// The redemption as it stands.
    pub async fn redemption(&self, giftd: &Giftd, id: u128) -> Redemption {
        let at_hand = giftd.store.gift_at_hand(self.key).await.expect("an answer").expect("the gift");
        let found = at_hand.redemptions.into_iter().find(|redemption| redemption.id == RedemptionId(id));
        found.expect("the redemption")
    }
}

/// Reserves; a new or a known redemption.
pub async fn reserved(giftd: &Giftd, command: Reserve) -> Redemption {
    match giftd.store.reserve(command).await.expect("an answer") {
        Reserved::New(redemption) | Reserved::Known(redemption) => redemption,
        Reserved::Refused(why) => panic!("refused: {why:?}"),
    }
}

/// Imports codes of [`FACE`] as the command does.
pub async fn import(giftd: &Giftd, codes: &[&str]) {
    let key = giftd.keys.codes();
    let new = codes.iter().map(|code| {
        let code = Code { code: (*code).to_owned(), pin: Some("0042".to_owned()) };
        NewCode {
            hash: sealed::hash(key, PRODUCT, &code.code),
            face_value: FACE,
            sealed: sealed::seal(
                key,
                giftd.clock.random_bytes(),
                Place::Stock { product_id: PRODUCT, face_value: FACE },
                &code,
            ),
        }
    });
    let imported = giftd.store.import_codes(PRODUCT, new.collect(), giftd.clock.now()).await.expect("imported");
    assert_eq!(usize::try_from(imported.imported), Ok(codes.len()));
}

/// Codes of [`FACE`]: available, and handed out.
pub async fn stock(store: &dyn Store) -> (u64, u64) {
    let stock = store.stock().await.expect("an answer");
    stock
        .iter()
        .find(|row| row.product_id == PRODUCT && row.face_value == FACE)
        .map_or((0, 0), |row| (row.available, row.handed_out))
}

/// A counter of this process, whose tests may count together.
pub fn counted(giftd: &Giftd, name: &str) -> u64 {
    let metrics = giftd.metrics.render();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)).expect("the counter");
    line.trim().parse().expect("a count")
}

/// Asks until `look` finds what it looks for.
pub async fn until<Found>(what: &str, look: impl AsyncFn() -> Option<Found>) -> Found {
    let clock = Clock::system();
    let begun = clock.elapsed();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(clock.elapsed() - begun < DEADLINE, "it never came to that: {what}");
        clock.sleep(Duration::from_millis(20)).await;
    }
}

/// No book differs from its rows.
pub async fn balanced(store: &dyn Store) {
    let report = store.verify_ledger().await.expect("an answer");
    assert_eq!(report.differences, Vec::<String>::new());
}
