//! The whole life of orders, as an integrator lives through it in a sandbox, by the API and the recipients' pages:
//! scheduled, canceled, sent, bounced, sent again, redeemed, reminded of, expired, refunded. After each step
//! the books balance to the cent.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use axum::http::{Method, Request};
use giftd::clock::Clock;
use giftd::serve::Running;
use giftd_domain::Timestamp;
use giftd_domain::access::{App, Environment};
use giftd_domain::catalog::{BrandedCard, Catalog, ChoiceCard, ChoiceRange, Prices};
use giftd_domain::limits;
use giftd_domain::money::Currency;
use http_body_util::BodyExt as _;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::bed::{Bed, DEADLINE, Database, PRODUCT, balanced, on, scheduled_order, until};

const BRANDED: &str = "/api/v1/orders/branded-cards";
const CHOICE: &str = "/api/v1/orders/choice-cards";
const CLOCK: &str = "/api/v1/sandbox/clock";

#[test]
fn an_integrator_lives_through_180_days_and_the_books_balance_to_the_cent_on_sqlite() {
    on(Database::Sqlite, live);
}

#[test]
fn an_integrator_lives_through_180_days_and_the_books_balance_to_the_cent_on_postgres() {
    on(Database::Postgres, live);
}

async fn live(bed: Bed) {
    let machine = Clock::system();
    let begun = machine.elapsed();
    let life = Life::begin(&bed).await;
    life.balance(1_000_000, 0).await;

    // Scheduled in a zone of quarter hours, and canceled.
    let tomorrow = life.local(SignedDuration::from_hours(24), "Asia/Kathmandu").await;
    let canceled = life.place(BRANDED, "canceled", &tomorrow, &[("alice@example.com", 50)]).await;
    assert_eq!(canceled["status"], "PENDING");
    life.balance(995_000, 5_000).await;
    let path = format!("/api/v1/orders/{}/cancel", id(&canceled));
    assert_eq!(life.api(Method::DELETE, &path, None, 200).await["data"]["status"], "CANCELED");
    life.balance(1_000_000, 0).await;
    assert_eq!(life.events(&canceled, "alice@example.com").await, ["PLACED", "CANCELED"]);

    // Scheduled, and nothing goes out before its instant.
    let people = [
        ("alice@example.com", 50),
        ("bob@example.com", 30),
        ("soft-bounce@example.com", 100),
        ("hard-bounce@example.com", 20),
    ];
    let timing = life.local(SignedDuration::from_hours(48), "UTC").await;
    let order = life.place(BRANDED, "branded", &timing, &people).await;
    let choice = life.place(CHOICE, "choice", &timing, &[("carol@example.com", 100)]).await;
    let send_at = instant(&order["sendTiming"]["sendAt"]);
    life.balance(970_000, 30_000).await;
    life.advance("PT47H").await;
    assert_eq!(
        (life.order(&order).await["status"].as_str(), life.mails("to=bob@example.com").await.len()),
        (Some("PENDING"), 0)
    );
    life.balance(970_000, 30_000).await;

    // It goes out at its instant; one mailbox is full twice, another doesn't exist.
    life.advance("PT2H").await;
    let sent = life.order(&order).await;
    assert_eq!(sent["status"], "COMPLETE", "{sent:#}");
    life.balance(970_000, 0).await;
    for email in ["alice@example.com", "bob@example.com"] {
        let gift = gift(&sent, email);
        assert_eq!((gift["deliveryStatus"].as_str(), instant(&gift["sentAt"])), (Some("SENT"), send_at), "{gift:#}");
        assert_eq!(instant(&gift["expiresAt"]), later(send_at, 30));
        assert_eq!(life.event(&order, email, "SENT").await, send_at, "dated by its own instant, not by the jump's end");
    }
    let soft = gift(&sent, "soft-bounce@example.com");
    assert_eq!((soft["deliveryStatus"].as_str(), soft["deliveryAttempts"].as_i64()), (Some("SENT"), Some(3)));
    let waited = instant(&soft["sentAt"]).duration_since(send_at);
    assert!((SignedDuration::from_secs(50)..SignedDuration::from_mins(5)).contains(&waited), "two waits: {waited}");
    assert_eq!(sent["completedAt"], soft["sentAt"], "it was the last one");
    let hard = gift(&sent, "hard-bounce@example.com");
    assert!(
        hard["deliveryStatus"] == "FAILED" && hard["deliveryError"].as_str().is_some_and(|e| e.contains("550")),
        "{hard:#}"
    );
    assert_eq!(life.event(&order, "hard-bounce@example.com", "FAILED").await, send_at);
    assert_eq!(instant(&hard["expiresAt"]), later(instant(&sent["completedAt"]), 30));
    assert_eq!(instant(&gift(&life.order(&choice).await, "carol@example.com")["sentAt"]), send_at);

    // Sent again to a new address: the new link works, the old one is dead.
    let old = life.link("bob@example.com", &order).await;
    life.page(&old, None, 200).await;
    let resend = json!({"recipients": [{"email": "bob@example.com", "updatedEmail": "robert@example.com"}]});
    let path = format!("/api/v1/orders/{}/resend", id(&order));
    let resent = life.api(Method::POST, &path, Some(resend), 200).await;
    assert_eq!((resent["data"]["requeued"].as_i64(), &resent["data"]["skipped"]), (Some(1), &json!([])));
    let new = life.link("robert@example.com", &order).await;
    life.page(&old, None, 404).await;
    life.page(&new, None, 200).await;
    life.advance("PT1M").await;
    assert_eq!(life.events(&order, "robert@example.com").await, ["PLACED", "SENT", "RESENT", "SENT"]);
    life.balance(970_000, 0).await;

    // A branded gift is redeemed, and half of a choice gift.
    let alice = life.link("alice@example.com", &order).await;
    let session = life.verify(&alice, "alice@example.com").await;
    let code = life.redeem(&alice, &session, &life.page(&alice, Some(&session), 200).await).await;
    assert!(code.contains("TEST-"), "{code}");
    let carol = life.link("carol@example.com", &choice).await;
    let session = life.verify(&carol, "carol@example.com").await;
    let confirm = format!("{carol}/pick/{PRODUCT}/confirm?amount=50");
    let code = life.redeem(&carol, &session, &life.page(&confirm, Some(&session), 200).await).await;
    assert!(code.contains("TEST-"), "{code}");
    let redeemed = gift(&life.order(&order).await, "alice@example.com");
    assert_eq!(redeemed["redemptionStatus"], "REDEEMED");
    let half = gift(&life.order(&choice).await, "carol@example.com");
    assert_eq!(half["redemptionStatus"], "PARTIALLY_REDEEMED");
    let events = ["PLACED", "SENT", "VERIFICATION_REQUESTED", "VERIFIED", "REDEEMED"];
    assert_eq!(life.events(&order, "alice@example.com").await, events);
    life.balance(970_000, 0).await;

    // Whoever has something left is reminded 7 days and 1 day before the end.
    for (by, days, reminders) in [("P23D", 7, 1), ("P6D", 1, 2)] {
        life.advance(by).await;
        for (email, order) in [("robert@example.com", &order), ("carol@example.com", &choice)] {
            let mails = life.mails(&format!("to={email}&orderId={}", id(order))).await;
            let due = later(send_at, 30 - days);
            let reminded = mails.iter().filter(|mail| instant(&mail["createdAt"]) == due).count();
            assert_eq!(reminded, 1, "{email} is reminded {days} days before: {mails:#?}");
        }
        let soft = life.mails("to=soft-bounce@example.com").await;
        assert_eq!(soft.len(), 1 + reminders, "a reminder bounces and is tried again, too");
        for nobody in ["alice@example.com", "hard-bounce@example.com", "bob@example.com"] {
            let mails = life.mails(&format!("to={nobody}")).await;
            let late = mails.iter().filter(|mail| instant(&mail["createdAt"]) >= later(send_at, 1)).count();
            assert_eq!(late, 0, "{nobody} has nothing left, or never got it");
        }
        life.balance(970_000, 0).await;
    }

    // 70 % of what nobody redeemed returns: of 30, 100, 20, and of the half of 100.
    life.advance("P1D").await;
    let over = life.order(&order).await;
    for (email, refund) in
        [("robert@example.com", 21.0), ("soft-bounce@example.com", 70.0), ("hard-bounce@example.com", 14.0)]
    {
        let gift = gift(&over, email);
        assert_eq!(
            (gift["redemptionStatus"].as_str(), gift["refundedAmount"].as_f64()),
            (Some("EXPIRED"), Some(refund))
        );
        for event in ["EXPIRED", "REFUNDED"] {
            assert_eq!(life.event(&order, email, event).await, instant(&gift["expiresAt"]), "{email} {event}");
        }
    }
    let rest = gift(&life.order(&choice).await, "carol@example.com");
    assert_eq!((rest["redemptionStatus"].as_str(), rest["refundedAmount"].as_f64()), (Some("EXPIRED"), Some(35.0)));
    let alice_now = gift(&over, "alice@example.com");
    assert_eq!(
        (alice_now["redemptionStatus"].as_str(), alice_now["refundedAmount"].as_f64()),
        (Some("REDEEMED"), None)
    );
    life.balance(984_000, 0).await;
    let refunds = life.ledger("REFUND").await;
    let of_choice: Vec<_> = refunds.iter().filter(|entry| entry["referenceNumber"] == choice["orderId"]).collect();
    assert_eq!((of_choice.len(), instant(&of_choice[0]["createdAt"])), (1, later(send_at, 30)));
    life.page(&new, None, 410).await;

    // Without the refund option a gift lasts 180 days, and nothing returns.
    let now = life.local(SignedDuration::from_mins(2), "America/St_Johns").await;
    let mut plain = request("plain", &now, &[("dave@example.com", 500)]);
    plain["refundOption"] = json!(false);
    let plain = life.api(Method::POST, BRANDED, Some(plain), 201).await["data"].clone();
    life.balance(934_000, 50_000).await;
    life.advance("P180D").await;
    assert_eq!(gift(&life.order(&plain).await, "dave@example.com")["redemptionStatus"], "UNREDEEMED");
    life.balance(934_000, 0).await;
    life.advance("PT3M").await;
    let dave = gift(&life.order(&plain).await, "dave@example.com");
    assert_eq!((dave["redemptionStatus"].as_str(), dave["refundedAmount"].as_f64()), (Some("EXPIRED"), None));
    assert_eq!(life.event(&plain, "dave@example.com", "EXPIRED").await, later(instant(&dave["sentAt"]), 180));
    assert_eq!(life.events(&plain, "dave@example.com").await, ["PLACED", "SENT", "EXPIRED"]);
    life.balance(934_000, 0).await;

    life.node.stop().await;
    assert!(machine.elapsed() - begun < DEADLINE, "180 days in a minute");
}

#[test]
fn what_is_placed_just_before_the_clock_is_moved_is_dated_by_its_own_instant_on_sqlite() {
    on(Database::Sqlite, placed_just_before);
}

#[test]
fn what_is_placed_just_before_the_clock_is_moved_is_dated_by_its_own_instant_on_postgres() {
    on(Database::Postgres, placed_just_before);
}

async fn placed_just_before(bed: Bed) {
    let life = Life::begin(&bed).await;
    for round in 0..5 {
        let (key, at_once) = (round.to_string(), json!({"type": "IMMEDIATE"}));
        let placed = life.place(BRANDED, &key, &at_once, &[("alice@example.com", 50)]).await;
        life.advance("P31D").await;
        let order = life.order(&placed).await;
        let alice = gift(&order, "alice@example.com");
        let waited = instant(&alice["sentAt"]).duration_since(instant(&order["createdAt"]));
        assert!(waited < SignedDuration::from_secs(5), "not when a worker's claim ends: {order:#}");
        assert_eq!(
            (alice["redemptionStatus"].as_str(), alice["refundedAmount"].as_f64()),
            (Some("EXPIRED"), Some(35.0))
        );
    }
    life.balance(992_500, 0).await;
    life.node.stop().await;
}

#[test]
fn slow_a_move_past_more_than_5000_events_answers_at_once_and_goes_on_by_itself() {
    on(Database::Sqlite, async |bed: Bed| {
        let life = Life::begin(&bed).await;
        let giftd = &life.node.giftd;
        let account = giftd.app("app_life").await.expect("an answer").expect("the app").account_id;
        let at = life.now().await + SignedDuration::from_hours(24);
        let id = scheduled_order(giftd, account, "many", at, 5_001).await;
        let body = json!({"advance": "P20D"});
        let moved = life.api(Method::POST, CLOCK, Some(body.clone()), 202).await;
        let begun = instant(&moved["data"]["now"]);
        assert!(begun < at, "where it is, not where it will be: {moved}");
        let refused = life.api(Method::POST, CLOCK, Some(body), 409).await;
        assert_eq!(refused["error"], "CLOCK_MOVING");
        until("the clock arrives", async || (life.now().await >= later(begun, 20)).then_some(())).await;
        let order = giftd.store.order(account, id).await.expect("an answer").expect("the order");
        assert!(order.gifts.iter().all(|gift| gift.sent_at == Some(at)), "each at its instant");
        life.balance(1_000_000, 0).await;
        life.node.stop().await;
    });
}

/// A node, and what an integrator and the recipients do with it.
struct Life {
    node: Running,
    router: Router,
    token: String,
}

impl Life {
    async fn begin(bed: &Bed) -> Self {
        let node = bed.working_node().await;
        let giftd = node.giftd.clone();
        let (store, clock) = (giftd.store.as_ref(), &giftd.clock);
        store.import_catalog(&catalog(), clock.now(), false).await.expect("a catalog");
        giftd.refresh_reference().await.expect("refreshed");
        let organization = store.create_organization("Acme", clock.now(), clock.entropy()).await.expect("created");
        let account =
            store.account_of(organization, Environment::Sandbox).await.expect("an answer").expect("an account");
        let app = App {
            client_id: "app_life".to_owned(),
            organization_id: organization,
            account_id: account.account_id,
            environment: Environment::Sandbox,
            name: "Integrator".to_owned(),
            scopes: "orders.read orders.write orders.cancel balance.read".parse().expect("scopes"),
            secret_hash: [0; 32],
            secret_version: 1,
            created_at: clock.now(),
            revoked_at: None,
        };
        store.create_app(&app).await.expect("created");
        let token = giftd.tokens.issue(&app.client_id, &app.scopes, 1, limits::TOKEN_SECONDS_SANDBOX);
        Self { router: giftd::api::router(giftd), node, token }
    }

    /// Calls the API, which must answer with this status.
    async fn api(&self, method: Method, path: &str, body: Option<Value>, status: u16) -> Value {
        let request = Request::builder()
            .method(&method)
            .uri(path)
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .header(CONTENT_TYPE, "application/json")
            .body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())));
        let answer = self.router.clone().oneshot(request.expect("a request")).await.expect("an answer");
        let found = answer.status();
        let bytes = answer.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!(found, status, "{method} {path}: {}", String::from_utf8_lossy(&bytes));
        serde_json::from_slice(&bytes).expect("JSON")
    }

    async fn get(&self, path: &str) -> Value {
        self.api(Method::GET, path, None, 200).await
    }

    /// All rows of a list.
    async fn list(&self, path: &str) -> Vec<Value> {
        let mut rows = Vec::new();
        for page in 1.. {
            let separator = if path.contains('?') { '&' } else { '?' };
            let answer = self.get(&format!("{path}{separator}pageSize=3&page={page}")).await;
            rows.extend(answer["data"].as_array().expect("rows").iter().cloned());
            if page >= answer["pagination"]["totalPages"].as_u64().expect("a number") {
                break;
            }
        }
        rows
    }

    async fn now(&self) -> Timestamp {
        instant(&self.get(CLOCK).await["data"]["now"])
    }

    /// Moves the clock; everything has happened when it answers.
    async fn advance(&self, by: &str) {
        let before = self.now().await;
        let moved = self.api(Method::POST, CLOCK, Some(json!({"advance": by})), 200).await;
        assert!(instant(&moved["data"]["now"]) > before, "{moved}");
    }

    /// A timing so long after now, in whole minutes, at the local time of a zone.
    async fn local(&self, after: SignedDuration, zone: &str) -> Value {
        let at = (self.now().await + after).in_tz(zone).expect("a zone");
        let at = at.round(jiff::Unit::Minute).expect("a time").datetime();
        json!({"type": "SCHEDULED", "scheduledAt": at.to_string(), "timezone": zone})
    }

    async fn place(&self, path: &str, key: &str, timing: &Value, people: &[(&str, i64)]) -> Value {
        let mut body = request(key, timing, people);
        if path == CHOICE {
            body["productId"] = json!("55");
        }
        self.api(Method::POST, path, Some(body), 201).await["data"].clone()
    }

    async fn order(&self, order: &Value) -> Value {
        self.get(&format!("/api/v1/orders/{}", id(order))).await["data"].clone()
    }

    async fn ledger(&self, entry_type: &str) -> Vec<Value> {
        let of_type = if entry_type.is_empty() { String::new() } else { format!("?type={entry_type}") };
        self.list(&format!("/api/v1/balance/ledger{of_type}")).await
    }

    /// The balance is so many cents, the sum of its ledger, and the books agree with the rows.
    async fn balance(&self, available: i64, pending: i64) {
        let balance = self.get("/api/v1/balance").await["data"].clone();
        let of = |name: &str| cents(&balance[name]["amount"]);
        assert_eq!((of("availableBalance"), of("pendingBalance")), (available, pending));
        let entries = self.ledger("").await;
        assert_eq!(entries.iter().map(|entry| cents(&entry["amount"])).sum::<i64>(), available, "{entries:#?}");
        assert_eq!(cents(&entries[0]["balanceAfter"]), available);
        balanced(self.node.giftd.store.as_ref()).await;
    }

    /// The events of the gift for `email`, oldest first.
    async fn gift_events(&self, order: &Value, email: &str) -> Vec<Value> {
        let recipient = gift(&self.order(order).await, email)["recipientId"].clone();
        let events = self.list(&format!("/api/v1/orders/{}/events", id(order))).await;
        let instants: Vec<_> = events.iter().map(|event| instant(&event["createdAt"])).collect();
        assert!(instants.is_sorted_by(|one, next| one >= next), "newest first: {events:#?}");
        events.into_iter().rev().filter(|event| event["recipientId"] == recipient).collect()
    }

    async fn events(&self, order: &Value, email: &str) -> Vec<String> {
        self.gift_events(order, email).await.iter().map(|event| text(&event["type"])).collect()
    }

    /// When the one event of this type was.
    async fn event(&self, order: &Value, email: &str, event_type: &str) -> Timestamp {
        let events = self.gift_events(order, email).await;
        let of_type: Vec<_> = events.iter().filter(|event| event["type"] == event_type).collect();
        assert_eq!(of_type.len(), 1, "{event_type} of {email}: {events:#?}");
        instant(&of_type[0]["createdAt"])
    }

    async fn mails(&self, query: &str) -> Vec<Value> {
        self.list(&format!("/api/v1/sandbox/mails?{query}")).await
    }

    /// The path of the link in the oldest mail to `email`, once it is there.
    async fn link(&self, email: &str, order: &Value) -> String {
        let query = format!("to={email}&orderId={}", id(order));
        let mail = until("the mail is there", async || self.mails(&query).await.pop()).await;
        path_in(&text(&mail["text"]))
    }

    /// A recipient's page, which must have this status.
    async fn page(&self, path: &str, session: Option<&str>, status: u16) -> String {
        let mut request = Request::builder().uri(path);
        if let Some(session) = session {
            request = request.header(COOKIE, session);
        }
        let answer =
            self.router.clone().oneshot(request.body(Body::empty()).expect("a request")).await.expect("an answer");
        let found = answer.status();
        let bytes = answer.into_body().collect().await.expect("a body").to_bytes();
        let page = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        assert_eq!(found, status, "{path}: {page}");
        page
    }

    /// Sends the page's form to `path`: where it leads, and the session that it began.
    async fn submit(&self, page: &str, path: &str, session: Option<&str>) -> (String, Option<String>) {
        let fields = hidden(page);
        assert!(fields.contains_key("csrf"), "{page}");
        let form: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request =
            Request::builder().method(Method::POST).uri(path).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(session) = session {
            request = request.header(COOKIE, session);
        }
        let request = request.body(Body::from(form.join("&"))).expect("a request");
        let answer = self.router.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = answer.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        assert_eq!(parts.status, 303, "{path}: {}", String::from_utf8_lossy(&bytes));
        let header = |name| parts.headers.get(name).map(|value| value.to_str().expect("ASCII").to_owned());
        let cookie = header(SET_COOKIE).and_then(|cookie| cookie.split(';').next().map(str::to_owned));
        (header(LOCATION).expect("a location"), cookie)
    }

    /// Proves that the gift's address is one's own: the session.
    async fn verify(&self, link: &str, email: &str) -> String {
        let covered = self.page(link, None, 200).await;
        self.submit(&covered, &format!("{link}/verification"), None).await;
        let wanted = format!("{link}/verify/");
        let query = format!("to={email}");
        let path = until("the verification mail is there", async || {
            self.mails(&query)
                .await
                .iter()
                .map(|mail| path_in(&text(&mail["text"])))
                .find(|path| path.starts_with(&wanted))
        })
        .await;
        let page = self.page(&path, None, 200).await;
        let (_, session) = self.submit(&page, &path, None).await;
        session.expect("a session")
    }

    /// Sends the form of a page that redeems: the page with the code.
    async fn redeem(&self, link: &str, session: &str, page: &str) -> String {
        let (shown, _) = self.submit(page, &format!("{link}/redeem"), Some(session)).await;
        self.page(&shown, Some(session), 200).await
    }
}

/// An order with the refund option.
fn request(key: &str, timing: &Value, people: &[(&str, i64)]) -> Value {
    let recipients: Vec<_> = people.iter().map(|(email, amount)| json!({"email": email, "amount": amount})).collect();
    json!({
        "idempotencyKey": key,
        "productId": PRODUCT,
        "sendTiming": timing,
        "emailSetting": {"senderName": "Acme Corp", "subject": "A gift for you!"},
        "recipients": recipients,
        "refundOption": true,
    })
}

fn catalog() -> Catalog {
    let branded = BrandedCard {
        product_id: PRODUCT.to_owned(),
        brand_name: "Cedar".to_owned(),
        product_name: "Cedar US".to_owned(),
        country_code: "USA".to_owned(),
        currency: Currency::USD,
        prices: Prices::Range { min: 500, max: 50_000, step: 500 },
        description: None,
        terms: None,
        image_url: None,
    };
    let choice = ChoiceCard {
        product_id: "55".to_owned(),
        product_name: "Pick one".to_owned(),
        currency: Currency::USD,
        range: ChoiceRange { min: 500, max: 20_000 },
        image_url: None,
    };
    Catalog {
        branded: BTreeMap::from([(PRODUCT.to_owned(), branded)]),
        choice: BTreeMap::from([("55".to_owned(), choice)]),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text, not {value}")).to_owned()
}

fn id(order: &Value) -> String {
    text(&order["orderId"])
}

fn instant(value: &Value) -> Timestamp {
    text(value).parse().expect("an instant")
}

fn later(at: Timestamp, days: i64) -> Timestamp {
    at + SignedDuration::from_hours(24 * days)
}

/// Dollars of a JSON number in cents, by its digits.
fn cents(amount: &Value) -> i64 {
    let digits = format!("{:.2}", amount.as_f64().expect("a number"));
    digits.replace('.', "").parse().expect("cents")
}

/// The recipient of an order with this address.
fn gift(order: &Value, email: &str) -> Value {
    let recipients = order["recipients"].as_array().expect("recipients");
    recipients.iter().find(|one| one["email"] == email).unwrap_or_else(|| panic!("no {email} in {order:#}")).clone()
}

/// The path of the recipient's link in a mail.
fn path_in(mail: &str) -> String {
    let begin = mail.find("/r/").unwrap_or_else(|| panic!("no link in {mail}"));
    mail[begin..].split(char::is_whitespace).next().expect("a path").to_owned()
}

/// The hidden fields of a page's last form.
fn hidden(page: &str) -> BTreeMap<String, String> {
    let form = page.rfind(r#"<form method="post""#).map_or("", |begin| &page[begin..]);
    let attribute = |tag: &str, name: &str| {
        let begin = tag.find(&format!(r#"{name}=""#))? + name.len() + 2;
        tag[begin..].split('"').next().map(str::to_owned)
    };
    form.split("<input type=\"hidden\"")
        .skip(1)
        .filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value")?)))
        .collect()
}
