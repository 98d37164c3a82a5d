//! Waiting orders under another time zone database: what `doctor` says of them, and `schedule recompute` does.

use giftd::clock::Clock;
use giftd_domain::Timestamp;
use giftd_domain::access::Environment;
use giftd_domain::gifts::Recipient;
use giftd_domain::ids::{OrderId, TemplateId};
use giftd_domain::limits;
use giftd_domain::money::Money;
use giftd_domain::orders::place::{NewGift, PlaceOrder};
use giftd_domain::orders::{CardType, EmailSetting, OrderType};
use giftd_domain::schedule::{Schedule, SendTiming, resolve, zone};
use giftd_store::{Placed, Store};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::bed::{Bed, Database, on, string};

#[test]
fn waiting_orders_are_moved_to_where_the_zone_database_puts_their_local_time_on_sqlite() {
    on(Database::Sqlite, recompute);
}

#[test]
fn waiting_orders_are_moved_to_where_the_zone_database_puts_their_local_time_on_postgres() {
    on(Database::Postgres, recompute);
}

async fn recompute(bed: Bed) {
    bed.prepare();
    let none = bed.json(&["schedule", "recompute"]);
    assert_eq!((&none["waiting"], &none["orders"]), (&json!(0), &json!([])));
    assert_eq!(finding(&bed)["status"], "ok");

    let store = giftd_store::open(&bed.database_url(), limits::GROUP_ORDERS).await.expect("the store opens");
    let hour = SignedDuration::from_hours(1);
    let in_two_days = Clock::system().now() + hour * 48;
    let right = plant(store.as_ref(), "right", in_two_days, "Asia/Tokyo", SignedDuration::ZERO).await;
    // As if an hour of summer time had been abolished, or been introduced, since these were placed.
    let later = plant(store.as_ref(), "later", in_two_days, "Pacific/Apia", -hour).await;
    let earlier = plant(store.as_ref(), "earlier", in_two_days, "Europe/Berlin", hour).await;
    let past = plant(store.as_ref(), "past", Clock::system().now() - hour, "UTC", hour * 3).await;
    let lost = plant(store.as_ref(), "lost", in_two_days, "Mars/Base", SignedDuration::ZERO).await;

    let told = finding(&bed);
    let message = string(&told["message"]);
    assert_eq!(told["status"], "warn", "{told}");
    assert!(string(&told["mend"]).contains("giftd schedule recompute"), "{told}");
    for order in [&later, &earlier, &past] {
        assert!(message.contains(&order.0) && message.contains(&order.1.to_string()[..16]), "{message}");
    }
    assert!(message.starts_with("3 of 5") && !message.contains(&right.0) && !message.contains(&lost.0), "{message}");

    let dry = bed.run(&["schedule", "recompute", "--dry-run", "--json"]);
    assert_eq!(dry.code, 1, "an order whose zone is unknown is a failure: {dry:?}");
    assert_eq!(
        (&dry.json()["dryRun"], &dry.json()["waiting"], &dry.json()["moved"]),
        (&json!(true), &json!(5), &json!(0))
    );
    let row = |document: &Value, order: &Planted| {
        let rows = document["orders"].as_array().expect("rows").clone();
        rows.into_iter().find(|row| row["orderId"] == order.0.as_str())
    };
    for order in [&later, &earlier, &past] {
        let row = row(&dry.json(), order).expect("it is listed");
        assert_eq!((&row["outcome"], &row["from"]), (&json!("WOULD_MOVE"), &instant(order.1)), "{row}");
        assert_eq!(row["due"], json!(order.0 == past.0), "{row}");
        assert_eq!(send_at(&bed, order), instant(order.1), "nothing happened");
    }
    assert_eq!(row(&dry.json(), &right), None);
    assert_eq!(dry.json()["unresolved"][0]["orderId"], lost.0.as_str());

    let text = bed.run(&["schedule", "recompute"]);
    assert!(text.stdout.contains("3 of 5 waiting orders moved."), "{text:?}");
    assert!(text.stdout.contains("goes out at once") && text.stdout.contains("Mars/Base"), "{text:?}");
    assert_eq!(send_at(&bed, &later), instant(later.1 + hour));
    assert_eq!(send_at(&bed, &earlier), instant(earlier.1 - hour));
    assert_eq!(send_at(&bed, &past), instant(past.1 - hour * 3));
    assert_eq!(send_at(&bed, &right), instant(right.1));
    assert_eq!(send_at(&bed, &lost), instant(lost.1));
    let again = bed.run(&["schedule", "recompute", "--json"]);
    assert_eq!((&again.json()["moved"], &again.json()["orders"]), (&json!(0), &json!([])), "{again:?}");

    // What lies in the past goes out at once; the others wait.
    let process = bed.serve();
    let clock = Clock::system();
    let begun = clock.elapsed();
    while bed.json(&["order", "show", &past.0])["status"] != "COMPLETE" {
        assert!(clock.elapsed() - begun < crate::bed::DEADLINE, "{}", process.log());
        clock.sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(bed.json(&["order", "show", &earlier.0])["status"], "PENDING");
    process.stop().await;
    assert_eq!(bed.json(&["ledger", "verify"])["balanced"], true);
    let help = bed.run(&["schedule", "recompute", "--help"]);
    assert!(help.stdout.contains("Examples:") && help.stdout.contains("all nodes have the new version"), "{help:?}");
}

/// An order's id, and the instant that it was placed with.
struct Planted(String, Timestamp);

/// Places an order for the local time of `at` in a zone, as if this were `off` the instant that it is.
async fn plant(store: &dyn Store, key: &str, at: Timestamp, timezone: &str, off: SignedDuration) -> Planted {
    let clock = Clock::system();
    let whole = Timestamp::from_second(at.as_second()).expect("an instant");
    let known = zone(timezone);
    let local = whole.to_zoned(known.clone().unwrap_or(jiff::tz::TimeZone::UTC)).datetime();
    let resolved = known.map_or(whole, |zone| resolve(local, &zone).expect("an instant"));
    let send_at = resolved + off;
    let organization = store.organizations().await.expect("an answer")[0].organization_id;
    let account = store.account_of(organization, Environment::Production).await.expect("an answer");
    let order = PlaceOrder {
        account_id: account.expect("an account").account_id,
        idempotency_key: key.to_owned(),
        fingerprint: [7; 32],
        order_type: OrderType::OneTime,
        card_type: CardType::BrandedCard,
        product_id: "10042".to_owned(),
        card_name: "Cedar".to_owned(),
        creator: "Payroll".to_owned(),
        timing: SendTiming::Scheduled(Schedule { local, timezone: timezone.to_owned(), send_at }),
        email_setting: EmailSetting {
            sender_name: "Acme Corp".to_owned(),
            subject: "A gift for you!".to_owned(),
            message: None,
            template_id: TemplateId(limits::FIRST_TEMPLATE_ID),
        },
        refund_option: false,
        total_amount: Money::usd(1_000),
        total_cost: 1_000,
        fx_rate: None,
        gifts: vec![NewGift {
            recipient: Recipient {
                email: Some("alice@example.com".to_owned()),
                first_name: None,
                last_name: None,
                company: None,
                department: None,
            },
            amount: 1_000,
            cost: 1_000,
        }],
        now: clock.now(),
        entropy: clock.entropy(),
    };
    let id: OrderId = match store.place_order(order).await.expect("an answer") {
        Placed::New(order) => order.summary.order_id,
        other => panic!("not placed: {other:?}"),
    };
    Planted(id.to_string(), send_at)
}

fn instant(at: Timestamp) -> Value {
    json!(format!("{at:.3}"))
}

fn send_at(bed: &Bed, order: &Planted) -> Value {
    bed.json(&["order", "show", &order.0])["sendTiming"]["sendAt"].clone()
}

/// What `doctor` says of schedules.
fn finding(bed: &Bed) -> Value {
    // Its exit code is 1 all the same: there is no mail server.
    let document = bed.run(&["doctor", "--json"]).json();
    let findings = document["findings"].as_array().expect("findings");
    findings.iter().find(|one| one["check"] == "schedules").expect("it looked").clone()
}
