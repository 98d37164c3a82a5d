//! A node without its port, gifts that were sent, and browsers that follow their links.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::header::{ACCEPT_LANGUAGE, CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use giftd::clock::Clock;
use giftd::keys::Keys;
use giftd::links::{self, GiftLink};
use giftd::settings::Settings;
use giftd::state::Giftd;
use giftd::supplier::Code;
use giftd::supplier::sealed::{self, Place};
use giftd_domain::Timestamp;
use giftd_domain::access::Environment;
use giftd_domain::catalog::{BrandedCard, Catalog, ChoiceCard, ChoiceRange, Prices};
use giftd_domain::fx::{Rate, StoredRate};
use giftd_domain::gifts::redemption::{GiftAtHand, NewCode};
use giftd_domain::gifts::verification::VerificationRequested;
use giftd_domain::gifts::{DeliveryOutcome, Recipient, Settlement};
use giftd_domain::ids::{AccountId, GiftKey, OrderId, TemplateId};
use giftd_domain::ledger::EntryType;
use giftd_domain::limits;
use giftd_domain::money::{Currency, Money};
use giftd_domain::orders::place::{NewGift, PlaceOrder};
use giftd_domain::orders::{CardType, EmailSetting, OrderType};
use giftd_domain::schedule::SendTiming;
use giftd_store::{Mails, OperatorEntry, Placed, SettleDelivery, Work};
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use jiff::SignedDuration;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

/// When all this begins.
pub const NOW: &str = "2026-11-22T18:00:00Z";
pub const MESSAGE: &str = "Thank you for your hard work, {{firstName}}.\nSee you <soon>.";
pub const DAY: u64 = 24 * 3_600;

pub struct Bed {
    pub giftd: Arc<Giftd>,
    pub clock: Clock,
    pub router: Router,
    pub folder: TempDir,
}

/// How a gift is given.
#[derive(Clone, Copy)]
pub struct Given {
    pub environment: Environment,
    pub card_type: CardType,
    pub product_id: &'static str,
    pub amount: i64,
    pub currency: &'static str,
    pub cost: i64,
    /// None for a reward link.
    pub email: Option<&'static str>,
    pub sender: &'static str,
    /// None for that of the template.
    pub message: Option<&'static str>,
    /// Whether its mail was taken.
    pub sent: bool,
}

/// 50 dollars of Cedar from a sandbox, whose supplier has every code.
pub const BRANDED: Given = Given {
    environment: Environment::Sandbox,
    card_type: CardType::BrandedCard,
    product_id: "10042",
    amount: 5_000,
    currency: "USD",
    cost: 5_000,
    email: Some("alice@example.com"),
    sender: "Acme Corp",
    message: Some(MESSAGE),
    sent: true,
};

/// 50 dollars for any brand.
pub const CHOICE: Given = Given { card_type: CardType::ChoiceCard, product_id: "55", ..BRANDED };

/// A gift, and the token of its link.
pub struct Sent {
    pub key: GiftKey,
    pub order: OrderId,
    pub token: String,
}

impl Sent {
    pub fn path(&self) -> String {
        format!("/r/{}", self.token)
    }

    pub fn link(&self) -> GiftLink {
        GiftLink { account: self.key.account_id, order: self.key.order, position: 1, link_version: 1 }
    }
}

impl Bed {
    pub async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let clock = Clock::fixed(NOW.parse().expect("an instant"));
        let mut settings = Settings::from_layers(None, Vec::new()).expect("the defaults are legal");
        change(&mut settings);
        let url = format!("sqlite:{}", folder.path().join("giftd.db").display());
        let store = giftd_store::open(&url, limits::GROUP_ORDERS).await.expect("a store");
        let keys = Keys::create(&folder.path().join("keys"), &clock).expect("keys");
        store.import_catalog(&catalog(), clock.now(), false).await.expect("a catalog");
        store.set_rates(&[rate("JPY", "0.006675", clock.now())]).await.expect("a rate");
        let giftd = Giftd::new(store, settings, keys, clock.clone());
        let router = giftd::api::router(giftd.clone());
        Self { giftd, clock, router, folder }
    }

    /// Another node on the same database and keys.
    pub async fn other_node(&self) -> Router {
        let url = format!("sqlite:{}", self.folder.path().join("giftd.db").display());
        let store = giftd_store::open(&url, limits::GROUP_ORDERS).await.expect("a store");
        let keys = Keys::load(&self.folder.path().join("keys")).expect("keys");
        let giftd = Giftd::new(store, self.giftd.settings.clone(), keys, self.clock.clone());
        giftd::api::router(giftd)
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(std::time::Duration::from_secs(seconds));
    }

    /// Gives a gift, of a new organization.
    pub async fn give(&self, given: Given) -> Sent {
        self.give_at(given, SendTiming::Immediate).await
    }

    /// The same, at another time.
    pub async fn give_at(&self, given: Given, timing: SendTiming) -> Sent {
        let account = self.account(given).await;
        let order = PlaceOrder { timing, ..self.order(account, given) };
        let order = match self.giftd.store.place_order(order).await.expect("an answer") {
            Placed::New(order) => order.summary.order_id,
            other => panic!("not placed: {other:?}"),
        };
        let key = GiftKey { account_id: account, order: order.time, position: 1 };
        let link = GiftLink { account, order: order.time, position: 1, link_version: 1 };
        if given.sent {
            self.deliver().await;
        }
        Sent { key, order, token: links::token(self.giftd.keys.links(), link) }
    }

    /// Settles all mails that are due as sent.
    pub async fn deliver(&self) {
        let (store, now) = (&self.giftd.store, self.clock.now());
        let claimed = store.claim_deliveries(Mails::All, now, SignedDuration::from_mins(1), 100).await;
        let sent = claimed.expect("claimed").into_iter().map(|mail| SettleDelivery {
            settlement: Settlement {
                account_id: mail.account_id,
                gift: mail.gift,
                kind: mail.kind,
                claim: mail.claim,
                outcome: DeliveryOutcome::Sent { at: now },
            },
            retry_at: now,
        });
        let (reminders, entropy) = (&self.giftd.settings.reminders, self.clock.entropy());
        store.settle_deliveries(sent.collect(), reminders, now, entropy).await.expect("settled");
    }

    /// Lets what is due expire, as the workers do.
    pub async fn turn(&self) {
        let (reminders, entropy) = (&self.giftd.settings.reminders, self.clock.entropy());
        self.giftd.store.turn_gifts(Work::Everyone, self.clock.now(), reminders, entropy).await.expect("turned");
    }

    /// The gift as it stands.
    pub async fn at_hand(&self, gift: &Sent) -> GiftAtHand {
        self.giftd.store.gift_at_hand(gift.key).await.expect("an answer").expect("the gift")
    }

    /// Codes into the production stock.
    pub async fn import_codes(&self, product_id: &str, face_value: i64, codes: &[&str]) {
        let key = self.giftd.keys.codes();
        let new = codes.iter().map(|code| {
            let place = Place::Stock { product_id, face_value };
            let code = Code { code: (*code).to_owned(), pin: None };
            NewCode {
                hash: sealed::hash(key, product_id, &code.code),
                face_value,
                sealed: sealed::seal(key, self.clock.random_bytes(), place, &code),
            }
        });
        let imported = self.giftd.store.import_codes(product_id, new.collect(), self.clock.now()).await;
        assert_eq!(usize::try_from(imported.expect("imported").imported), Ok(codes.len()));
    }

    /// The token of a verification that was asked for just now.
    pub async fn verification(&self, gift: &Sent) -> String {
        let requested = self.giftd.store.request_verification(gift.key, 1, self.clock.now()).await.expect("an answer");
        let VerificationRequested::Requested { number } = requested else { panic!("{requested:?}") };
        links::verification_token(self.giftd.keys.links(), gift.link(), number)
    }

    /// A browser.
    pub fn browser(&self) -> Browser {
        Browser { router: self.router.clone(), language: "en-US", address: [192, 0, 2, 1], cookies: BTreeMap::new() }
    }

    /// A browser in which the gift is open.
    pub async fn opened(&self, gift: &Sent) -> Browser {
        let mut browser = self.browser();
        let path = format!("{}/verify/{}", gift.path(), self.verification(gift).await);
        let page = browser.get(&path).await;
        browser.submit(&page, "verify-form", &[]).await.assert_leads_to(&gift.path());
        browser
    }

    async fn account(&self, given: Given) -> AccountId {
        let (store, now) = (&self.giftd.store, self.clock.now());
        let organization = store.create_organization("Acme", now, self.clock.entropy()).await.expect("created");
        let account = store.account_of(organization, given.environment).await.expect("an answer").expect("an account");
        let credit = OperatorEntry {
            account_id: account.account_id,
            entry_type: EntryType::Charge,
            cents: 1_000_000,
            reference: "funds".to_owned(),
            now,
            entropy: self.clock.entropy(),
        };
        store.operator_entry(credit).await.expect("credited");
        account.account_id
    }

    fn order(&self, account_id: AccountId, given: Given) -> PlaceOrder {
        let catalog = catalog();
        let card_name = match given.card_type {
            CardType::BrandedCard => catalog.branded[given.product_id].product_name.clone(),
            CardType::ChoiceCard => catalog.choice[given.product_id].product_name.clone(),
        };
        let recipient = Recipient {
            email: given.email.map(str::to_owned),
            first_name: Some("Alice".to_owned()),
            last_name: None,
            company: None,
            department: None,
        };
        PlaceOrder {
            account_id,
            idempotency_key: "one".to_owned(),
            fingerprint: [7; 32],
            order_type: if given.email.is_some() { OrderType::OneTime } else { OrderType::Link },
            card_type: given.card_type,
            product_id: given.product_id.to_owned(),
            card_name,
            creator: "Payroll".to_owned(),
            timing: SendTiming::Immediate,
            email_setting: EmailSetting {
                sender_name: given.sender.to_owned(),
                subject: "A gift for you!".to_owned(),
                message: given.message.map(str::to_owned),
                template_id: TemplateId(limits::FIRST_TEMPLATE_ID),
            },
            refund_option: false,
            total_amount: Money::new(given.amount, currency(given.currency)),
            total_cost: given.cost,
            fx_rate: None,
            gifts: vec![NewGift { recipient, amount: given.amount, cost: given.cost }],
            now: self.clock.now(),
            entropy: self.clock.entropy(),
        }
    }
}

/// A browser without JavaScript: cookies by path, links and forms.
#[derive(Clone)]
pub struct Browser {
    pub router: Router,
    pub language: &'static str,
    pub address: [u8; 4],
    /// Path and name → value.
    pub cookies: BTreeMap<(String, String), String>,
}

/// What came back.
#[derive(Debug)]
pub struct Page {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub html: String,
}

impl Browser {
    pub async fn get(&mut self, path: &str) -> Page {
        self.send(Method::GET, path, None).await
    }

    pub async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Page {
        self.send(Method::POST, path, Some(written(form).into())).await
    }

    /// Begins to send a form, and holds the form itself back.
    pub async fn hold(&self, page: &Page, id: &str) -> Held {
        let form = page.form(id);
        let fields: Vec<(&str, &str)> =
            form.hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let ((begun, is_begun), (go, goes)) = (oneshot::channel(), oneshot::channel());
        let body = HeldBody { begun: Some(begun), goes, form: Some(written(&fields).into()) };
        let mut browser = self.clone();
        let answer = tokio::spawn(async move { browser.send(Method::POST, &form.action, Some(Body::new(body))).await });
        is_begun.await.expect("the form is read");
        Held { go, answer }
    }

    /// Sends the form `id` of a page with its hidden fields and these.
    pub async fn submit(&mut self, page: &Page, id: &str, more: &[(&str, &str)]) -> Page {
        let form = page.form(id);
        let mut fields: Vec<(&str, &str)> =
            form.hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        fields.extend_from_slice(more);
        if form.is_post {
            return self.post(&form.action, &fields).await;
        }
        self.get(&format!("{}?{}", form.action, written(&fields))).await
    }

    /// The page that an answer leads to.
    pub async fn follow(&mut self, page: &Page) -> Page {
        assert_eq!(page.status, 303, "{}", page.html);
        self.get(page.header(LOCATION.as_str())).await
    }

    async fn send(&mut self, method: Method, path: &str, form: Option<Body>) -> Page {
        let bare = path.split('?').next().expect("a path");
        let mut request = Request::builder().method(method).uri(path).header(ACCEPT_LANGUAGE, self.language);
        for ((below, name), value) in &self.cookies {
            if bare == below || bare.starts_with(&format!("{below}/")) {
                request = request.header(COOKIE, format!("{name}={value}"));
            }
        }
        if form.is_some() {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let peer = SocketAddr::from((self.address, 4_711));
        let request = request.extension(ConnectInfo(peer)).body(form.unwrap_or_default());
        let response = self.router.clone().oneshot(request.expect("a request")).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        for cookie in parts.headers.get_all(SET_COOKIE) {
            let mut attributes = cookie.to_str().expect("ASCII").split("; ");
            let (name, value) = attributes.next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            let below = attributes.find_map(|attribute| attribute.strip_prefix("Path=")).expect("a path");
            self.cookies.insert((below.to_owned(), name.to_owned()), value.to_owned());
        }
        Page { status: parts.status, headers: parts.headers, html: String::from_utf8(bytes.to_vec()).expect("UTF-8") }
    }
}

/// A form that is being sent.
pub struct Held {
    go: oneshot::Sender<()>,
    answer: JoinHandle<Page>,
}

impl Held {
    /// Sends the rest.
    pub async fn send(self) -> Page {
        self.go.send(()).expect("the form is still wanted");
        self.answer.await.expect("an answer")
    }
}

struct HeldBody {
    begun: Option<oneshot::Sender<()>>,
    goes: oneshot::Receiver<()>,
    form: Option<Bytes>,
}

impl hyper::body::Body for HeldBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(begun) = self.begun.take() {
            begun.send(()).expect("someone waits for it");
        }
        if self.form.is_some() {
            ready!(Pin::new(&mut self.goes).poll(context)).expect("it is sent in the end");
        }
        Poll::Ready(self.form.take().map(|form| Ok(Frame::data(form))))
    }
}

fn written(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// A form of a page.
#[derive(Debug)]
pub struct Form {
    pub is_post: bool,
    pub action: String,
    pub hidden: Vec<(String, String)>,
}

impl Page {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    #[track_caller]
    pub fn assert(&self, status: u16, words: &str) {
        assert_eq!(self.status, status, "{}", self.html);
        assert!(self.text().contains(words), "no `{words}` in: {}", self.text());
    }

    #[track_caller]
    pub fn assert_leads_to(&self, path: &str) {
        assert_eq!((self.status.as_u16(), self.header("location")), (303, path), "{}", self.html);
    }

    /// What is read on it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut rest = self.html.as_str();
        while let Some((before, tag)) = rest.split_once('<') {
            text.push_str(before);
            rest = tag.split_once('>').map_or("", |(_, after)| after);
        }
        text.push_str(rest);
        unescaped(&text).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Whether there is a form.
    pub fn has_form(&self, id: &str) -> bool {
        self.html.contains(&format!("id=\"{id}\""))
    }

    #[track_caller]
    pub fn form(&self, id: &str) -> Form {
        let (before, after) =
            self.html.split_once(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("no form {id}: {}", self.html));
        let tag = &before[before.rfind("<form").expect("a form")..];
        let inside = after.split_once("</form>").expect("an end").0;
        let inputs =
            inside.split("<input type=\"hidden\"").skip(1).map(|input| input.split('>').next().expect("an end"));
        Form {
            is_post: attribute(tag, "method") == "post",
            action: attribute(tag, "action"),
            hidden: inputs.map(|input| (attribute(input, "name"), attribute(input, "value"))).collect(),
        }
    }

    /// The addresses of its links.
    pub fn links(&self) -> Vec<String> {
        self.html.split("<a ").skip(1).map(|link| attribute(link.split('>').next().expect("an end"), "href")).collect()
    }

    /// The codes on it.
    pub fn codes(&self) -> Vec<String> {
        let codes = self.html.split("<code id=\"code-").skip(1);
        codes
            .map(|code| unescaped(code.split_once('>').and_then(|(_, rest)| rest.split('<').next()).expect("a code")))
            .collect()
    }
}

fn attribute(tag: &str, name: &str) -> String {
    let (_, value) = tag.split_once(&format!("{name}=\"")).unwrap_or_else(|| panic!("no {name} in {tag}"));
    unescaped(value.split('"').next().expect("an end"))
}

fn unescaped(text: &str) -> String {
    let pairs = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#x27;", "'"), ("&#x2f;", "/"), ("&amp;", "&")];
    pairs.iter().fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

pub fn currency(code: &str) -> Currency {
    Currency::from_code(code).expect(code)
}

pub fn rate(code: &str, rate: &str, set_at: Timestamp) -> StoredRate {
    StoredRate { currency: currency(code), rate: Rate::parse(rate).expect("a rate"), set_at }
}

/// A range in dollars, a list in yen, a list in euros, which have no rate, and a choice card.
pub fn catalog() -> Catalog {
    let cards = [
        ("10042", "Cedar US", "USA", "USD", Prices::Range { min: 500, max: 500_000, step: 500 }),
        ("20001", "Sakura Books JP", "JPN", "JPY", Prices::Fixed(vec![1_000, 3_000, 5_000, 10_000])),
        ("30101", "Kornblum & Söhne", "DEU", "EUR", Prices::Fixed(vec![500, 1_000])),
        ("40001", "Fine cents", "USA", "USD", Prices::Range { min: 1, max: 1_000_000, step: 1 }),
    ];
    let branded = cards.map(|(product_id, name, country_code, code, prices)| BrandedCard {
        product_id: product_id.to_owned(),
        brand_name: name.to_owned(),
        product_name: name.to_owned(),
        country_code: country_code.to_owned(),
        currency: currency(code),
        prices,
        description: Some("Everything for a home.".to_owned()),
        terms: Some("No cash & no change.".to_owned()),
        image_url: Some("https://images.example/card.png".to_owned()),
    });
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

/// Different texts, in order.
pub fn different(texts: impl IntoIterator<Item = String>) -> Vec<String> {
    texts.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}
