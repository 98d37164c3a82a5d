//! A node without its port: the router on a store of its own, organizations, apps, and what they ask.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use giftd::clock::Clock;
use giftd::keys::Keys;
use giftd::settings::Settings;
use giftd::state::Giftd;
use giftd_domain::Timestamp;
use giftd_domain::access::{App, Environment, Scopes};
use giftd_domain::account::Account;
use giftd_domain::catalog::{BrandedCard, Catalog, ChoiceCard, ChoiceRange, Prices};
use giftd_domain::fx::{Rate, StoredRate};
use giftd_domain::gifts::{ClaimedDelivery, DeliveryOutcome, Reminders, Settlement};
use giftd_domain::ids::{AccountId, OrganizationId};
use giftd_domain::ledger::EntryType;
use giftd_domain::limits;
use giftd_domain::money::Currency;
use giftd_store::{Mails, OperatorEntry, SettleDelivery};
use http_body_util::BodyExt as _;
use jiff::SignedDuration;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tower::ServiceExt as _;

/// When all this happens, unless the clock is advanced.
pub const NOW: &str = "2026-11-22T18:00:00Z";
/// Every scope.
pub const ALL: &str = "orders.read orders.write orders.cancel catalog.read balance.read templates.read templates.write";
/// After this long something that should happen doesn't.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// One node, and a funded production app with every scope.
pub struct Bed {
    pub giftd: Arc<Giftd>,
    pub clock: Clock,
    pub router: Router,
    pub organization: OrganizationId,
    pub app: App,
    /// The app's token.
    pub token: String,
    /// Gone with the bed.
    pub _folder: TempDir,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
    /// Null where the body isn't JSON.
    pub json: Value,
}

impl Bed {
    pub async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// A node with other settings; the defaults here have no rate limits.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let clock = Clock::fixed(NOW.parse().expect("an instant"));
        let mut settings = Settings::from_layers(None, Vec::new()).expect("the defaults are legal");
        (settings.rate_limit_production, settings.rate_limit_sandbox) = (None, None);
        settings.data_dir = folder.path().to_owned();
        change(&mut settings);
        let url = format!("sqlite:{}", folder.path().join("giftd.db").display());
        let store = giftd_store::open(&url, limits::GROUP_ORDERS).await.expect("a store");
        let keys = Keys::create(&folder.path().join("keys"), &clock).expect("keys");
        store.import_catalog(&small_catalog(), clock.now(), false).await.expect("a catalog");
        store.set_rates(&[rate("JPY", "0.006675", clock.now())]).await.expect("a rate");
        let organization = store.create_organization("Acme", clock.now(), clock.entropy()).await.expect("created");
        let giftd = Giftd::new(store, settings, keys, clock.clone());
        let router = giftd::api::router(giftd.clone());
        let mut bed = Self {
            app: App { name: "Payroll".to_owned(), ..blank_app(organization) },
            token: String::new(),
            giftd,
            clock,
            router,
            organization,
            _folder: folder,
        };
        bed.app = bed.app(organization, Environment::Production, "Payroll", ALL).await;
        bed.token = bed.token_of(&bed.app);
        bed.credit(bed.app.account_id, 1_000_000).await;
        bed
    }

    /// Another organization's app with every scope, and money.
    pub async fn stranger(&self) -> App {
        let organization = self.giftd.store.create_organization("Other", self.clock.now(), self.clock.entropy());
        let app = self.app(organization.await.expect("created"), Environment::Production, "Stranger", ALL).await;
        self.credit(app.account_id, 1_000_000).await;
        app
    }

    /// A new app; its secret is [`secret`].
    pub async fn app(&self, organization: OrganizationId, environment: Environment, name: &str, scopes: &str) -> App {
        let account = self.giftd.store.account_of(organization, environment).await.expect("an answer");
        let account_id = account.expect("each organization has both").account_id;
        let client_id = format!("app_{:032x}", self.clock.entropy());
        let app = App {
            secret_hash: Sha256::digest(secret(&client_id)).into(),
            client_id,
            account_id,
            environment,
            name: name.to_owned(),
            scopes: scopes.parse().expect("scopes"),
            created_at: self.clock.now(),
            ..blank_app(organization)
        };
        self.giftd.store.create_app(&app).await.expect("created");
        app
    }

    /// A token with all that the app may do.
    pub fn token_of(&self, app: &App) -> String {
        self.giftd.tokens.issue(&app.client_id, &app.scopes, app.secret_version, limits::TOKEN_SECONDS_PRODUCTION)
    }

    /// A token of the bed's app with these scopes only.
    pub fn token_for(&self, scopes: &str) -> String {
        let scopes: Scopes = scopes.parse().expect("scopes");
        self.giftd.tokens.issue(&self.app.client_id, &scopes, self.app.secret_version, limits::TOKEN_SECONDS_PRODUCTION)
    }

    pub async fn credit(&self, account_id: AccountId, cents: i64) {
        let entry = OperatorEntry {
            account_id,
            entry_type: EntryType::Charge,
            cents,
            reference: format!("wire {:032x}", self.clock.entropy()),
            now: self.clock.now(),
            entropy: self.clock.entropy(),
        };
        self.giftd.store.operator_entry(entry).await.expect("credited");
    }

    pub async fn account(&self) -> Account {
        self.giftd.store.account(self.app.account_id).await.expect("an answer").expect("an account")
    }

    /// Replaces the catalog, as an operator does, and lets the node notice.
    pub async fn import(&self, catalog: &Catalog) {
        let imported = self.giftd.store.import_catalog(catalog, self.clock.now(), false).await.expect("imported");
        assert!(imported.refused.is_empty(), "{imported:?}");
        self.giftd.refresh_reference().await.expect("refreshed");
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let json = serde_json::from_str(&text).unwrap_or_default();
        Answer { status: parts.status, headers: parts.headers, text, json }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.get_as(&self.token, path).await
    }

    pub async fn get_as(&self, token: &str, path: &str) -> Answer {
        self.send(request(Method::GET, path, &[("authorization", &format!("Bearer {token}"))], Body::empty())).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_as(&self.token, path, body).await
    }

    pub async fn post_as(&self, token: &str, path: &str, body: &Value) -> Answer {
        self.post_text(token, path, &[], body.to_string()).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        self.send(request(Method::PUT, path, &headers, Body::from(body.to_string()))).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.delete_as(&self.token, path).await
    }

    pub async fn delete_as(&self, token: &str, path: &str) -> Answer {
        self.send(request(Method::DELETE, path, &[("authorization", &format!("Bearer {token}"))], Body::empty())).await
    }

    /// A body as it is, with further headers.
    pub async fn post_text(&self, token: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let bearer = format!("Bearer {token}");
        let mut all = vec![("authorization", bearer.as_str()), ("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.send(request(Method::POST, path, &all, body.into())).await
    }

    /// Places an order and expects that it is new.
    pub async fn place(&self, body: &Value) -> Value {
        let answer = self.post(BRANDED, body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json["data"].clone()
    }

    /// Settles all mails that are due, as the workers do: SENT, but those to `refused` are FAILED.
    pub async fn deliver(&self, refused: &[&str]) {
        let lease = SignedDuration::from_secs(60);
        loop {
            let claimed = self.giftd.store.claim_deliveries(Mails::All, self.clock.now(), lease, 1_000).await;
            let claimed = claimed.expect("claimed");
            if claimed.is_empty() {
                return;
            }
            let settlement = |mail: ClaimedDelivery| {
                let at = self.clock.now();
                let is_refused = mail.recipient.email.as_deref().is_some_and(|email| refused.contains(&email));
                let outcome = if is_refused {
                    DeliveryOutcome::Failed { at, error: "550 no such user".to_owned() }
                } else {
                    DeliveryOutcome::Sent { at }
                };
                let ClaimedDelivery { account_id, gift, kind, claim, .. } = mail;
                SettleDelivery { settlement: Settlement { account_id, gift, kind, claim, outcome }, retry_at: at }
            };
            let settlements = claimed.into_iter().map(settlement).collect();
            let (now, entropy) = (self.clock.now(), self.clock.entropy());
            let settled = self.giftd.store.settle_deliveries(settlements, &Reminders::default(), now, entropy).await;
            assert_eq!(settled.expect("settled").dropped, 0);
        }
    }

    /// How many orders the bed's account has.
    pub async fn order_count(&self) -> i64 {
        self.order_count_as(&self.token).await
    }

    pub async fn order_count_as(&self, token: &str) -> i64 {
        self.get_as(token, "/api/v1/orders").await.json["pagination"]["totalItems"].as_i64().expect("a number")
    }
}

impl Answer {
    /// The envelope's code.
    pub fn code(&self) -> &str {
        self.json["error"].as_str().unwrap_or_default()
    }

    /// `field CODE` of each detail.
    pub fn details(&self) -> Vec<String> {
        let details = self.json["details"].as_array().map(Vec::as_slice).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        details.iter().map(|detail| format!("{} {}", text(&detail["field"]), text(&detail["code"]))).collect()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    /// Asserts an error in the one envelope.
    #[track_caller]
    pub fn assert_error(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), self.code()), (status, code), "{}", self.text);
        assert_eq!(self.header("content-type"), "application/json");
        assert_eq!(self.json["requestId"], self.header("x-request-id"), "{}", self.text);
        assert!(self.json["message"].as_str().is_some_and(|message| !message.is_empty()), "{}", self.text);
    }

    /// Asserts exactly these details.
    #[track_caller]
    pub fn assert_invalid(&self, details: &[&str]) {
        self.assert_error(400, "VALIDATION_ERROR");
        assert_eq!(self.details(), details, "{}", self.text);
    }
}

pub const BRANDED: &str = "/api/v1/orders/branded-cards";
pub const CHOICE: &str = "/api/v1/orders/choice-cards";
pub const LINKS: &str = "/api/v1/orders/reward-links";

pub fn request(method: Method, path: &str, headers: &[(&str, &str)], body: Body) -> Request<Body> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().expect("a path");
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        request.headers_mut().append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
    }
    request
}

/// An order of one gift of 50 USD, for each key the same.
pub fn order(key: &str) -> Value {
    json!({
        "idempotencyKey": key,
        "productId": "10042",
        "sendTiming": {"type": "IMMEDIATE"},
        "emailSetting": {"senderName": "Acme Corp", "subject": "A gift for you!"},
        "recipients": [{"email": "alice@example.com", "amount": 50}],
    })
}

/// [`order`] with other values at these paths (JSON pointers); a missing member is added.
pub fn order_with(key: &str, changes: &[(&str, Value)]) -> Value {
    let mut order = order(key);
    for (pointer, value) in changes {
        let (parent, member) = pointer.rsplit_once('/').expect("a pointer");
        let parent = order.pointer_mut(parent).expect("a parent");
        match parent {
            Value::Array(items) => items[member.parse::<usize>().expect("an index")] = value.clone(),
            parent => parent[member] = value.clone(),
        }
    }
    order
}

/// An order of 50 USD for each of these addresses.
pub fn order_to(key: &str, emails: &[&str]) -> Value {
    let recipients: Vec<Value> = emails.iter().map(|email| json!({"email": email, "amount": 50})).collect();
    order_with(key, &[("/recipients", json!(recipients))])
}

/// `sendTiming` for an instant in UTC, such as `2026-11-22T20:00:00`.
pub fn scheduled(at: &str) -> Value {
    json!({"type": "SCHEDULED", "scheduledAt": at, "timezone": "UTC"})
}

/// The text of a member.
#[track_caller]
pub fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("no text {member}: {value}"))
}

/// The secret of an app of [`Bed::app`].
pub fn secret(client_id: &str) -> String {
    format!("secret of {client_id}")
}

pub fn rate(currency: &str, rate: &str, set_at: Timestamp) -> StoredRate {
    StoredRate { currency: currency.parse().expect("a currency"), rate: Rate::parse(rate).expect("a rate"), set_at }
}

/// A range in dollars, a list in yen, a list in euros (which have no rate), and a choice card.
pub fn small_catalog() -> Catalog {
    let branded = [
        branded_card("10042", "Cedar", "Cedar US", "USA", "USD", Prices::Range { min: 500, max: 500_000, step: 500 }),
        branded_card(
            "20001",
            "Sakura Books",
            "Sakura Books JP",
            "JPN",
            "JPY",
            Prices::Fixed(vec![1_000, 3_000, 5_000]),
        ),
        branded_card("30101", "Kornblum & Söhne", "Kornblum DE", "DEU", "EUR", Prices::Fixed(vec![500, 1_000])),
    ];
    let choice = ChoiceCard {
        product_id: "55".to_owned(),
        product_name: "Pick one".to_owned(),
        currency: Currency::USD,
        range: ChoiceRange { min: 500, max: 20_000 },
        image_url: Some("https://images.example/55.png".to_owned()),
    };
    Catalog {
        branded: branded.into_iter().map(|card| (card.product_id.clone(), card)).collect(),
        choice: BTreeMap::from([(choice.product_id.clone(), choice)]),
    }
}

fn branded_card(id: &str, brand: &str, name: &str, country: &str, currency: &str, prices: Prices) -> BrandedCard {
    BrandedCard {
        product_id: id.to_owned(),
        brand_name: brand.to_owned(),
        product_name: name.to_owned(),
        country_code: country.to_owned(),
        currency: currency.parse().expect("a currency"),
        prices,
        description: Some("Everything for a home.".to_owned()),
        terms: None,
        image_url: None,
    }
}

fn blank_app(organization_id: OrganizationId) -> App {
    App {
        client_id: String::new(),
        organization_id,
        account_id: AccountId(0),
        environment: Environment::Production,
        name: String::new(),
        scopes: Scopes::default(),
        secret_hash: [0; 32],
        secret_version: 1,
        created_at: Timestamp::UNIX_EPOCH,
        revoked_at: None,
    }
}
