//! What PostgreSQL reads for the statements that work hardest, by its own count: a plan that was made while
//! a table was empty must not stay when it is large. The plans of lists are tested with the histories.

use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use giftd_domain::Timestamp;
use giftd_domain::access::Environment;
use giftd_domain::gifts::{DeliveryOutcome, Recipient, Reminders, Settlement};
use giftd_domain::history::{OrderFilter, PageRequest};
use giftd_domain::ids::{AccountId, TemplateId};
use giftd_domain::ledger::EntryType;
use giftd_domain::limits;
use giftd_domain::money::Money;
use giftd_domain::orders::erase::Retention;
use giftd_domain::orders::place::{NewGift, PlaceOrder};
use giftd_domain::orders::{CardType, EmailSetting, OrderType};
use giftd_domain::schedule::SendTiming;
use giftd_store::{Mails, OperatorEntry, Placed, SettleDelivery, Store, Work};
use jiff::SignedDuration;
use tokio_postgres::{Client, NoTls};

const NOW: Timestamp = Timestamp::constant(1_795_000_000, 0);
/// Groups of orders that are placed one after the other, and orders in each.
const GROUPS: u64 = 50;
const ORDERS: u64 = 100;

#[tokio::test(flavor = "multi_thread")]
async fn what_placing_delivering_expiring_and_erasing_read_grows_with_the_orders_and_not_with_their_square() {
    in_a_database(reads_little).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn moving_a_clock_reads_the_gifts_of_its_account_that_wait() {
    in_a_database(moves_among_many).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_ten_years_reads_the_counts_of_its_month() {
    in_a_database(reads_some_counts).await;
}

async fn in_a_database<Tried: Future<Output = ()> + Send + 'static>(test: impl FnOnce(String) -> Tried) {
    let server = std::env::var("TEST_POSTGRES_URL").expect("run scripts/test: it starts a PostgreSQL for the tests");
    let name = format!("giftd_plans_{}_{:016x}", std::process::id(), RandomState::new().hash_one(0));
    let admin = connect(&server).await;
    admin.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("a database");
    let url = url_of(&server, &name);
    // In a task, so that the database goes also when it panics.
    let tried = tokio::spawn(tokio::time::timeout(Duration::from_secs(300), test(url))).await;
    admin.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.expect("and gone");
    tried.expect("no panic").expect("within the deadline");
}

async fn reads_little(url: String) {
    let store = giftd_store::open(&url, limits::GROUP_ORDERS).await.expect("a store");
    let account = funded(&*store).await;
    // Plans are made and kept while there is next to nothing to read.
    for number in 0..10 {
        place(&store, account, GROUPS, number..number + 1).await;
    }
    for group in 0..GROUPS {
        place(&store, account, group, 0..ORDERS).await;
    }
    let mut sent = 0;
    loop {
        let claimed = store.claim_deliveries(Mails::All, NOW, SignedDuration::from_mins(1), 200).await.expect("claims");
        if claimed.is_empty() {
            break;
        }
        sent += claimed.len();
        let settlements = claimed.into_iter().map(|delivery| SettleDelivery {
            settlement: Settlement {
                account_id: delivery.account_id,
                gift: delivery.gift,
                kind: delivery.kind,
                claim: delivery.claim,
                outcome: DeliveryOutcome::Sent { at: NOW },
            },
            retry_at: NOW,
        });
        store.settle_deliveries(settlements.collect(), &Reminders::default(), NOW, 1).await.expect("settled");
    }
    let orders = GROUPS * ORDERS + 10;
    assert_eq!(u64::try_from(sent), Ok(orders));
    // The half of the gifts were sent with a refund, and end a long time before the others.
    for (after, expired) in [(limits::EXPIRY_HOURS_WITH_REFUND, orders / 2), (limits::EXPIRY_HOURS, orders / 2)] {
        let until = NOW + SignedDuration::from_hours(after);
        assert_eq!(expire_all(&*store, until).await, expired);
    }
    let retention = Retention::days(limits::RECIPIENTS_KEPT_DAYS_LEAST).expect("legal");
    for (after, recipients) in [(limits::EXPIRY_HOURS_WITH_REFUND, orders / 2), (limits::EXPIRY_HOURS, orders / 2)] {
        let at = NOW + SignedDuration::from_hours(after + 24 * limits::RECIPIENTS_KEPT_DAYS_LEAST);
        assert_eq!(erase_all(&*store, retention, at).await, recipients);
    }
    drop(store);
    let client = connect(&url).await;
    for table in ["orders", "gifts", "mails", "ledger", "gift_events"] {
        let read = rows_read(&client, table).await;
        // Some ten rows for each order, and what the first hundreds cost while every index looks as good as
        // another. With the first plans kept it is ten times as much.
        assert!(
            read < i64::try_from(orders * orders / 25).expect("a count"),
            "{read} rows of {table} for {orders} orders"
        );
    }
}

async fn moves_among_many(url: String) {
    let store = giftd_store::open(&url, limits::GROUP_ORDERS).await.expect("a store");
    let account = funded(&*store).await;
    drop(store);
    let client = connect(&url).await;
    // The account's gifts of which nothing is left, a few that wait, and all others': many more, and due sooner.
    for (account, gifts, wake_at) in
        [(account.0, 20_000, "NULL"), (account.0, 50, "2000000000000000 + n"), (0, 20_000, "1000000000000000 + n")]
    {
        let add = format!(
            "INSERT INTO gifts (account_id, order_id, position, amount, cost, delivery_status, delivery_attempts,
                redemption_status, wake_at)
             SELECT {account}, gen_random_uuid(), 1, 100, 100, 'SENT', 1, 'UNREDEEMED', {wake_at}
             FROM generate_series(1, {gifts}) n"
        );
        client.batch_execute(&add).await.expect("gifts");
    }
    client.batch_execute("ANALYZE").await.expect("statistics");
    let before = rows_read(&client, "gifts").await;
    let store = giftd_store::open(&url, limits::GROUP_ORDERS).await.expect("a store");
    let clock = store.begin_move(account, SignedDuration::from_hours(1), NOW).await.expect("an answer");
    let due = store.due_until(account, Timestamp::constant(2_100_000_000, 0)).await.expect("an answer");
    assert_eq!(due.events, 50);
    let turned = store.turn_gifts(Work::Moving(account), NOW, &Reminders::default(), 1).await.expect("an answer");
    assert_eq!(turned.gifts, 0, "nothing is due yet");
    let claim = clock.and_then(|clock| clock.moving).expect("a move").claim;
    assert!(store.end_move(account, claim, NOW).await.expect("an answer"));
    drop(store);
    let read = rows_read(&client, "gifts").await - before;
    assert!(read < 1_000, "{read} rows of gifts for 50 that wait");
}

async fn reads_some_counts(url: String) {
    let store = giftd_store::open(&url, limits::GROUP_ORDERS).await.expect("a store");
    let account = funded(&*store).await;
    drop(store);
    let client = connect(&url).await;
    let add = format!(
        "INSERT INTO order_totals (account_id, span, status, n)
         SELECT {}, span, 'PENDING', COUNT(*) FROM (SELECT TO_CHAR(DATE '2016-01-01' + n, 'YYYYMMDD')::BIGINT AS day
            FROM generate_series(0, 3651) n) d, LATERAL (VALUES (0), (day / 100), (day)) AS s (span) GROUP BY span",
        account.0
    );
    client.batch_execute(&add).await.expect("counts");
    client.batch_execute("ANALYZE").await.expect("statistics");
    let before = rows_read(&client, "order_totals").await;
    let store = giftd_store::open(&url, limits::GROUP_ORDERS).await.expect("a store");
    // Often enough for each connection to keep its plans.
    for _ in 0..200 {
        let page = PageRequest { page: 1, page_size: 20 };
        let found = store.orders_page(account, &OrderFilter::default(), page).await.expect("an answer");
        assert_eq!(found.total, 3_652);
    }
    drop(store);
    // All time, ten years of months, and the days of one.
    let (read, most) = (rows_read(&client, "order_totals").await - before, 200 * (1 + 120 + 31));
    assert!((200..=most).contains(&read), "{read} counts for 200 pages");
}

/// Turns all gifts that end until then: how many.
async fn expire_all(store: &dyn Store, until: Timestamp) -> u64 {
    let mut expired = 0;
    loop {
        let turned = store.turn_gifts(Work::Everyone, until, &Reminders::default(), 1).await.expect("turned");
        if turned.gifts == 0 {
            return expired;
        }
        expired += turned.expired;
    }
}

/// Erases all recipients that are due then: how many.
async fn erase_all(store: &dyn Store, retention: Retention, at: Timestamp) -> u64 {
    let mut recipients = 0;
    loop {
        let erased = store.erase_recipients(retention, at).await.expect("erased");
        recipients += erased.recipients;
        if !erased.more {
            return recipients;
        }
    }
}

/// A production account with more money than it needs.
async fn funded(store: &dyn Store) -> AccountId {
    let organization = store.create_organization("Acme", NOW, 1).await.expect("an organization");
    let account =
        store.account_of(organization, Environment::Production).await.expect("an answer").expect("an account");
    let entry = OperatorEntry {
        account_id: account.account_id,
        entry_type: EntryType::Charge,
        cents: 100_000_000,
        reference: "funds".to_owned(),
        now: NOW,
        entropy: 1,
    };
    store.operator_entry(entry).await.expect("money");
    account.account_id
}

/// Places orders at once, so that they share some commits.
async fn place(store: &Arc<dyn Store>, account: AccountId, group: u64, numbers: Range<u64>) {
    let placing: Vec<_> = numbers
        .map(|number| {
            let store = Arc::clone(store);
            tokio::spawn(async move { store.place_order(order(account, group, number)).await })
        })
        .collect();
    for placed in placing {
        assert!(matches!(placed.await.expect("no panic"), Ok(Placed::New(_))));
    }
}

fn order(account_id: AccountId, group: u64, number: u64) -> PlaceOrder {
    let recipient = Recipient {
        email: Some("alice@example.com".to_owned()),
        first_name: None,
        last_name: None,
        company: None,
        department: None,
    };
    PlaceOrder {
        account_id,
        idempotency_key: format!("{group}-{number}"),
        fingerprint: [0; 32],
        order_type: OrderType::OneTime,
        card_type: CardType::BrandedCard,
        product_id: "1".to_owned(),
        card_name: "Card".to_owned(),
        creator: "App".to_owned(),
        timing: SendTiming::Immediate,
        email_setting: EmailSetting {
            sender_name: "Acme".to_owned(),
            subject: "A gift".to_owned(),
            message: None,
            template_id: TemplateId(limits::FIRST_TEMPLATE_ID),
        },
        refund_option: number % 2 == 1,
        total_amount: Money::usd(100),
        total_cost: 100,
        fx_rate: None,
        gifts: vec![NewGift { recipient, amount: 100, cost: 100 }],
        now: NOW,
        entropy: u128::from(group << 32 | number),
    }
}

/// Rows that were read from a table or by its indexes. A connection's reads are counted when it closes.
async fn rows_read(client: &Client, table: &str) -> i64 {
    let others = "SELECT COUNT(*) FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    while number(client, others).await > 0 {
        tokio::task::yield_now().await;
    }
    let read = format!(
        "SELECT (SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = '{table}')
            + (SELECT SUM(idx_tup_read)::BIGINT FROM pg_stat_user_indexes WHERE relname = '{table}')"
    );
    number(client, &read).await
}

async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.expect(sql).get(0)
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("PostgreSQL answers");
    tokio::spawn(connection);
    client
}

/// `server` with another database's name.
fn url_of(server: &str, name: &str) -> String {
    let host = server.rsplit_once('/').map(|(host, _)| host).expect("TEST_POSTGRES_URL names a database");
    format!("{host}/{name}")
}
