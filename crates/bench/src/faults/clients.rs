//! The load: clients that each place one order after the other, and keep at each until they know what became
//! of it, as the API's documentation tells them to: what has no answer, or 503, is looked up by its key and
//! sent again with it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use giftd::clock::Clock;
use giftd_domain::Timestamp;
use hyper::{Method, StatusCode};
use jiff::ToSpan as _;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::client::Client;
use crate::load::Keys;
use crate::shop::{PRODUCT, SCHEDULED_DAYS};

/// Between the answer to an order and the next: a bounded load, so that a fault's time bounds its orders too.
const THINK: Duration = Duration::from_millis(20);
/// Between tries of one order.
const WAIT: Duration = Duration::from_millis(100);
/// How long an order may be tried. Whatever the fault was, it is over by then.
const GIVE_UP: Duration = Duration::from_secs(180);
/// Every so many orders of a client are mailed at once; the others are scheduled ahead.
const MAILED: u64 = 4;

/// An order that was acknowledged.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its idempotency key.
    pub key: String,
    /// The id that it got.
    pub order_id: String,
    /// How many gifts it has.
    pub gifts: u64,
    /// Whether they are mailed at once.
    pub is_mailed: bool,
}

impl Order {
    /// The address of one of its gifts, from 1: nobody else's.
    pub fn email(&self, gift: u64) -> String {
        format!("{}.{gift}@example.com", self.key)
    }

    fn body(&self, now: Timestamp) -> String {
        let recipient = |gift| json!({"email": self.email(gift), "firstName": "Alice", "amount": 25});
        let timing = match self.is_mailed {
            true => json!({"type": "IMMEDIATE"}),
            false => {
                let day = now.to_zoned(TimeZone::UTC).date().saturating_add(SCHEDULED_DAYS.days());
                json!({"type": "SCHEDULED", "scheduledAt": format!("{day}T09:00:00"), "timezone": "America/New_York"})
            }
        };
        let body = json!({
            "idempotencyKey": self.key, "productId": PRODUCT, "sendTiming": timing, "refundOption": false,
            "emailSetting": {"senderName": "Acme Corp", "subject": "A gift for you!", "message": "Thank you."},
            "recipients": (1..=self.gifts).map(recipient).collect::<Vec<_>>(),
        });
        body.to_string()
    }
}

/// What all clients were told.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Orders that were acknowledged, 201 or 200.
    pub orders: Vec<Order>,
    /// Answers of 503.
    pub unavailable: u64,
    /// Requests to place an order that had no answer.
    pub unanswered: u64,
    /// Orders whose first try had no answer or 503, and that had been placed by it.
    pub happened: u64,
    /// And that had not.
    pub did_not: u64,
    /// The longest that an order waited for its answer.
    pub slowest: Duration,
    /// Keys that were answered with more than one order.
    pub doubled: Vec<String>,
    /// Answers that should never be given.
    pub wrong: Vec<String>,
    /// Orders that nothing was known of in the end.
    pub unknown: Vec<String>,
}

impl Told {
    fn hear(&mut self, answer: &Answer, took: Duration) {
        self.slowest = self.slowest.max(took);
        match answer {
            Answer::Order { .. } => {}
            Answer::Unavailable => self.unavailable += 1,
            Answer::Nothing => self.unanswered += 1,
        }
    }

    /// Notes an order, and whether that fits what was known of its key: `found` is the order that was found between
    /// tries. How many are acknowledged now.
    fn acknowledge(&mut self, order: Order, is_new: bool, is_first_try: bool, found: Option<String>) -> u64 {
        match (is_first_try, is_new) {
            (true, true) => {}
            (true, false) => self.wrong.push(format!("{}: 200 for a new key", order.key)),
            (false, true) => self.did_not += 1,
            (false, false) => self.happened += 1,
        }
        if found.is_some_and(|found| is_new || found != order.order_id) {
            self.doubled.push(format!("{}: it was found, and then placed again", order.key));
        }
        self.orders.push(order);
        self.orders.len() as u64
    }
}

/// The clients at work.
pub struct Clients {
    shared: Arc<Shared>,
    working: JoinSet<Result<()>>,
}

struct Shared {
    clock: Clock,
    stop: watch::Sender<bool>,
    told: Mutex<Told>,
    /// How many orders are acknowledged, and when the latest of them was sent.
    acknowledged: watch::Sender<(u64, Option<Instant>)>,
}

impl Clients {
    /// Starts `count` of them, spread over the nodes.
    pub fn start(count: usize, addresses: &[SocketAddr], token: &str, clock: &Clock) -> Result<Self> {
        let shared = Arc::new(Shared {
            clock: clock.clone(),
            stop: watch::Sender::new(false),
            told: Mutex::default(),
            acknowledged: watch::Sender::new((0, None)),
        });
        let mut working = JoinSet::new();
        for number in 0..count {
            let client = Client::new(addresses, number, token)?;
            working.spawn(shared.clone().work(client));
        }
        Ok(Self { shared, working })
    }

    /// Waits until `count` more orders are acknowledged.
    pub async fn place(&self, count: u64) -> Result<()> {
        let goal = self.shared.acknowledged.borrow().0 + count;
        self.wait_for(|(acknowledged, _)| acknowledged >= goal).await
    }

    /// How long after `fault_end` the first order was acknowledged that was sent after it; waits for it.
    pub async fn recovered(&self, fault_end: Instant) -> Result<Duration> {
        self.wait_for(|(_, sent)| sent.is_some_and(|sent| sent >= fault_end)).await?;
        Ok(fault_end.elapsed())
    }

    async fn wait_for(&self, state: impl Fn((u64, Option<Instant>)) -> bool) -> Result<()> {
        let mut acknowledged = self.shared.acknowledged.subscribe();
        let reached = timeout(GIVE_UP, acknowledged.wait_for(|now| state(*now))).await;
        let reached = reached.map(drop);
        reached.with_context(|| {
            let told = self.shared.told();
            format!(
                "no orders are placed any more: {} were, then {} times 503 and {} times no answer",
                told.orders.len(),
                told.unavailable,
                told.unanswered
            )
        })
    }

    /// Lets each finish its order, and tells what all were told.
    pub async fn stop(mut self) -> Result<Told> {
        self.shared.stop.send_replace(true);
        while let Some(worked) = self.working.join_next().await {
            worked??;
        }
        Ok(self.shared.told().clone())
    }
}

/// What one try came to.
enum Answer {
    Order { order_id: String, is_new: bool },
    Unavailable,
    Nothing,
}

impl Shared {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn work(self: Arc<Self>, mut client: Client) -> Result<()> {
        let mut number = 0;
        while !*self.stop.borrow() {
            number += 1;
            let key = Keys::TimeOrdered.next(&self.clock);
            let is_mailed = number % MAILED == 0;
            let order = Order { key, order_id: String::new(), gifts: 1 + number / MAILED % 2, is_mailed };
            self.place(&mut client, order).await;
            self.clock.sleep(THINK).await;
        }
        Ok(())
    }

    /// Places an order, however long it takes.
    async fn place(&self, client: &mut Client, mut order: Order) {
        let (body, begun) = (order.body(self.clock.now()), Instant::now());
        let (mut is_first_try, mut found) = (true, None);
        loop {
            let sent = Instant::now();
            let answer = self.try_place(client, &body).await;
            self.told().hear(&answer, sent.elapsed());
            if let Answer::Order { order_id, is_new } = answer {
                order.order_id = order_id;
                let count = self.told().acknowledge(order, is_new, is_first_try, found);
                self.acknowledged.send_modify(|(acknowledged, latest)| {
                    *acknowledged = count.max(*acknowledged);
                    *latest = Some(latest.map_or(sent, |latest| latest.max(sent)));
                });
                return;
            }
            if begun.elapsed() > GIVE_UP {
                return self.told().unknown.push(order.key);
            }
            is_first_try = false;
            self.clock.sleep(WAIT).await;
            found = found.or(self.look_up(client, &order.key).await);
        }
    }

    async fn try_place(&self, client: &mut Client, body: &str) -> Answer {
        let Ok((status, answer)) = client.ask(Method::POST, "/api/v1/orders/branded-cards", body.to_owned()).await
        else {
            return Answer::Nothing;
        };
        match (status, answer["data"]["orderId"].as_str()) {
            (StatusCode::CREATED | StatusCode::OK, Some(order_id)) => {
                Answer::Order { order_id: order_id.to_owned(), is_new: status == StatusCode::CREATED }
            }
            (StatusCode::SERVICE_UNAVAILABLE, _) => Answer::Unavailable,
            _ => {
                self.told().wrong.push(format!("an order was answered {status}: {}", answer["message"]));
                Answer::Unavailable
            }
        }
    }

    /// The order of a key, where it is known by now that there is one.
    async fn look_up(&self, client: &mut Client, key: &str) -> Option<String> {
        let path = format!("/api/v1/orders?clientOrderId={key}");
        let (_, answer) = client.ask(Method::GET, &path, String::new()).await.ok()?;
        let orders = answer["data"].as_array().map(Vec::as_slice).unwrap_or_default();
        if orders.len() > 1 {
            self.told().doubled.push(format!("{key} has {} orders", orders.len()));
        }
        orders.first().and_then(|order: &Value| order["orderId"].as_str()).map(str::to_owned)
    }
}
