//! A node, its account and a sink for its mails.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use giftd::clock::Clock;
use giftd::serve::{self, Running};
use giftd::settings::{Secret, Settings};
use giftd_domain::Timestamp;
use giftd_domain::access::Environment;
use giftd_domain::account::Account;
use giftd_domain::gifts::Recipient;
use giftd_domain::ids::{AccountId, OrderId, TemplateId};
use giftd_domain::ledger::EntryType;
use giftd_domain::limits;
use giftd_domain::money::Money;
use giftd_domain::orders::place::{NewGift, PlaceOrder};
use giftd_domain::orders::{CardType, EmailSetting, Order, OrderStatus, OrderType};
use giftd_domain::schedule::{Schedule, SendTiming};
use giftd_store::{OperatorEntry, Placed, Store};
use tempfile::TempDir;

use crate::smtp_sink::SmtpSink;

/// After this long something that should happen doesn't.
pub const DEADLINE: Duration = Duration::from_secs(30);
/// Cents that each gift costs.
pub const COST: i64 = 1_000;

/// A folder for one database, and a sink.
pub struct Bed {
    pub folder: TempDir,
    pub sink: SmtpSink,
    pub clock: Clock,
}

/// An account with money, and its node.
pub struct Node {
    pub running: Running,
    pub account: AccountId,
}

impl Bed {
    pub async fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        Self { folder, sink: SmtpSink::start().await, clock: Clock::system() }
    }

    /// Settings for the folder and the sink, with short waits.
    pub fn settings(&self) -> Settings {
        let defaults = Settings::from_layers(None, Vec::new()).expect("the defaults are legal");
        Settings {
            listen: "127.0.0.1:0".parse().expect("an address"),
            database: giftd::settings::Database::Sqlite(self.folder.path().join("giftd.db")),
            data_dir: self.folder.path().to_owned(),
            keys_dir: self.folder.path().join("keys"),
            smtp_url: Some(Secret::new(self.sink.url())),
            mail_from: "gifts@giftd.example".to_owned(),
            mail_retry_base: Duration::from_millis(50),
            ..defaults
        }
    }

    /// Starts a node on `settings`, with a funded account in `environment`.
    pub async fn start(&self, settings: Settings, environment: Environment) -> Node {
        let running = serve::start(settings, self.clock.clone()).await.expect("the node starts");
        let account = funded(running.giftd.store.as_ref(), &self.clock, environment).await;
        Node { running, account }
    }

    /// The files in the maildir.
    pub fn captured(&self) -> Vec<String> {
        files(&self.folder.path().join("mail/new"))
    }
}

fn files(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| std::fs::read_to_string(entry.expect("an entry").path()).expect("a mail")).collect()
}

/// The account of a new organization.
pub async fn funded(store: &dyn Store, clock: &Clock, environment: Environment) -> AccountId {
    let organization = store.create_organization("Acme", clock.now(), clock.entropy()).await.expect("created");
    let account = store.account_of(organization, environment).await.expect("an answer").expect("an account").account_id;
    let credit = OperatorEntry {
        account_id: account,
        entry_type: EntryType::Charge,
        cents: 1_000_000,
        reference: "funds".to_owned(),
        now: clock.now(),
        entropy: clock.entropy(),
    };
    store.operator_entry(credit).await.expect("credited");
    account
}

/// An order for these addresses.
pub fn order(clock: &Clock, account: AccountId, emails: &[String], timing: SendTiming) -> PlaceOrder {
    let gift = |email: &String| NewGift {
        recipient: Recipient {
            email: Some(email.clone()),
            first_name: Some("Alice".to_owned()),
            last_name: None,
            company: None,
            department: None,
        },
        amount: COST,
        cost: COST,
    };
    let total = COST * i64::try_from(emails.len()).expect("few");
    PlaceOrder {
        account_id: account,
        idempotency_key: clock.request_id(),
        fingerprint: [7; 32],
        order_type: OrderType::OneTime,
        card_type: CardType::BrandedCard,
        product_id: "10042".to_owned(),
        card_name: "Sakura Books".to_owned(),
        creator: "Payroll".to_owned(),
        timing,
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
        gifts: emails.iter().map(gift).collect(),
        now: clock.now(),
        entropy: clock.entropy(),
    }
}

/// `count` addresses.
pub fn addresses(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("person{number}@example.com")).collect()
}

/// Goes out at `at`.
pub fn scheduled(at: Timestamp) -> SendTiming {
    let local = at.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    SendTiming::Scheduled(Schedule { local, timezone: "UTC".to_owned(), send_at: at })
}

impl Node {
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.running.giftd.store
    }

    /// Places an order to go out at once, and wakes the node as the API does.
    pub async fn place(&self, clock: &Clock, emails: &[String]) -> OrderId {
        let id = place(self.store().as_ref(), order(clock, self.account, emails, SendTiming::Immediate)).await;
        self.running.giftd.wake.all();
        id
    }

    /// Waits until the order is as `wanted`.
    pub async fn order_when(&self, id: OrderId, wanted: impl Fn(&Order) -> bool) -> Order {
        order_when(self.store().as_ref(), &self.running.giftd.clock, self.account, id, wanted).await
    }

    /// Waits until the order is COMPLETE.
    pub async fn complete(&self, id: OrderId) -> Order {
        self.order_when(id, |order| order.summary.status == OrderStatus::Complete).await
    }

    /// The account with its balances.
    pub async fn account(&self) -> Account {
        self.store().account(self.account).await.expect("an answer").expect("the account")
    }
}

pub async fn place(store: &dyn Store, order: PlaceOrder) -> OrderId {
    match store.place_order(order).await.expect("an answer") {
        Placed::New(order) => order.summary.order_id,
        other => panic!("not placed: {other:?}"),
    }
}

pub async fn order_when(
    store: &dyn Store,
    clock: &Clock,
    account: AccountId,
    id: OrderId,
    wanted: impl Fn(&Order) -> bool,
) -> Order {
    let begun = clock.elapsed();
    loop {
        let order = store.order(account, id).await.expect("an answer").expect("the order");
        if wanted(&order) {
            return order;
        }
        assert!(clock.elapsed() - begun < DEADLINE, "the order is still {order:#?}");
        clock.sleep(Duration::from_millis(10)).await;
    }
}
