//! An account of the mix: what there is to ask about it.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use giftd::clock::Clock;
use hyper::{Method, StatusCode};
use jiff::ToSpan as _;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::load::{self, Caller, Keys, Target};
use crate::server_process::ServerProcess;
use crate::shop::{PATH, PRODUCT, Shop};

/// Reward links of each account, whose pages are looked at.
pub const LINKS: u64 = 5;
/// Delivered orders of each account that are sent again.
const DELIVERED: u32 = 100;
/// Orders of each account that are read, at most.
const READ: u64 = 1_000;
/// How long it may take until reward links can be opened.
const LINKS_WITHIN: Duration = Duration::from_secs(60);
/// How often it is looked whether they can.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Days that the seeded history is spread over.
const DAYS: i64 = 365;

/// An account that is asked about.
pub struct Account {
    pub token: String,
    /// Its orders, as it was seeded.
    pub orders: Vec<String>,
    /// Some of them that were delivered, each with its recipient.
    pub delivered: Vec<(String, String)>,
    /// Paths of gifts' pages.
    pub links: Vec<String>,
    /// Days of its history.
    pub days: Vec<String>,
    /// Orders that can be canceled.
    pub cancelable: Mutex<Vec<String>>,
    /// Acknowledged since it was seeded.
    pub placed: AtomicU64,
    /// The same of cancellations.
    pub canceled: AtomicU64,
}

impl Account {
    /// Asks `server` about the account of a shop that was seeded with so many orders, and places its reward links.
    pub async fn open(server: &ServerProcess, shop: &Shop, orders: u64, clock: &Clock) -> Result<Self> {
        let token = load::token(server.address, shop).await?;
        let mut caller = Caller::connect(Target { address: server.address, path: PATH, token: &token }).await?;
        let mut read = Vec::new();
        for page in 1..=orders.min(READ).div_ceil(100) {
            read.extend(ids(&get(&mut caller, &format!("/api/v1/orders?pageSize=100&page={page}")).await?)?);
        }
        let mut delivered = Vec::new();
        let path = format!("/api/v1/orders?status=COMPLETE&pageSize={DELIVERED}");
        for id in ids(&get(&mut caller, &path).await?)? {
            let order = get(&mut caller, &format!("/api/v1/orders/{id}")).await?;
            let email = order["data"]["recipients"][0]["email"].as_str().context("a recipient has an email")?;
            delivered.push((id, email.to_owned()));
        }
        let links = links(&mut caller, clock).await?;
        let today = clock.now().to_zoned(TimeZone::UTC).date();
        let days = (0..DAYS).step_by(10).map(|ago| today.saturating_sub(ago.days()).to_string()).collect();
        Ok(Self {
            token,
            orders: read,
            delivered,
            links,
            days,
            cancelable: Mutex::default(),
            placed: AtomicU64::new(0),
            canceled: AtomicU64::new(0),
        })
    }
}

/// Places reward links, and waits until they can be opened. Returns the paths of their pages.
async fn links(caller: &mut Caller, clock: &Clock) -> Result<Vec<String>> {
    let body = json!({
        "idempotencyKey": Keys::TimeOrdered.next(clock), "cardType": "BRANDED_CARD", "productId": PRODUCT,
        "quantity": LINKS, "amountPerLink": 25,
    });
    let path = "/api/v1/orders/reward-links";
    let (status, answer) = caller.ask(Method::POST, path, Some(body.to_string())).await?;
    let answer: Value = serde_json::from_slice(&answer)?;
    let id = answer["data"]["orderId"].as_str().with_context(|| format!("links were answered {status}: {answer}"))?;
    let path = format!("/api/v1/orders/{id}");
    let opened = async {
        loop {
            let order = get(caller, &path).await?;
            if order["data"]["status"] == "COMPLETE" {
                let recipients = order["data"]["recipients"].as_array().context("an order has recipients")?;
                return recipients.iter().map(page_of).collect::<Result<Vec<String>>>();
            }
            clock.sleep(LOOK_EVERY).await;
        }
    };
    timeout(LINKS_WITHIN, opened).await.context("links can't be opened")?
}

/// The path of a reward link.
fn page_of(recipient: &Value) -> Result<String> {
    let link = recipient["rewardLink"].as_str().context("a link is on a COMPLETE order")?;
    Ok(link[link.find("/r/").context("a link leads to a page")?..].to_owned())
}

async fn get(caller: &mut Caller, path: &str) -> Result<Value> {
    let (status, answer) = caller.get(path).await?;
    if status != StatusCode::OK {
        bail!("{path} was answered {status}: {}", String::from_utf8_lossy(&answer));
    }
    Ok(serde_json::from_slice(&answer)?)
}

/// The orders on a page.
fn ids(page: &Value) -> Result<Vec<String>> {
    let orders = page["data"].as_array().context("a page has orders")?;
    orders.iter().map(|order| Ok(order["orderId"].as_str().context("an order has an id")?.to_owned())).collect()
}
