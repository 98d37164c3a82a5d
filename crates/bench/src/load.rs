//! The load: connections that each place one order after the other, as fast as they are answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use giftd::clock::Clock;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::shop::{OrderBody, Shop};

/// Which idempotency keys are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// UUIDs of version 7, which begin with the time: as the documentation recommends.
    TimeOrdered,
    /// UUIDs of version 4.
    Random,
}

impl Keys {
    /// A new one.
    pub fn next(self, clock: &Clock) -> String {
        let uuid = match self {
            Self::TimeOrdered => {
                let milliseconds = u64::try_from(clock.now().as_millisecond()).unwrap_or_default();
                uuid::Builder::from_unix_timestamp_millis(milliseconds, &clock.random_bytes())
            }
            Self::Random => uuid::Builder::from_random_bytes(clock.random_bytes()),
        };
        uuid.into_uuid().to_string()
    }
}

/// How long, and with how many callers.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Callers at once.
    pub connections: u32,
    /// Time before what counts: caches, connections, first pages.
    pub warm_up: Duration,
    /// Time that counts.
    pub measured: Duration,
}

impl Pace {
    /// From when on it counts, and until when new orders are placed.
    pub fn from(&self, start: Instant) -> (Instant, Instant) {
        (start + self.warm_up, start + self.warm_up + self.measured)
    }
}

/// What came of it.
pub struct Outcome {
    /// Orders that were acknowledged, also while warming up.
    pub acknowledged: u64,
    /// Of these, answered within the time that counts.
    pub in_time: u64,
    /// Answers other than 201, by their text.
    pub others: BTreeMap<String, u64>,
    /// Microseconds from request to answer, of all that were answered after the warm-up.
    pub latencies: Histogram<u64>,
}

impl Outcome {
    /// Nothing yet.
    pub fn empty() -> Result<Self> {
        let latencies = Histogram::new_with_bounds(1, 600_000_000, 3)?;
        Ok(Self { acknowledged: 0, in_time: 0, others: BTreeMap::new(), latencies })
    }

    /// A part of the latencies, in milliseconds.
    pub fn milliseconds(&self, quantile: f64) -> f64 {
        self.latencies.value_at_quantile(quantile) as f64 / 1_000.0
    }

    /// Counts an acknowledged order.
    pub fn acknowledge(&mut self, sent: Instant, answered: Instant, counts_from: Instant, until: Instant) {
        self.acknowledged += 1;
        if answered >= counts_from {
            self.in_time += u64::from(answered <= until);
            let microseconds = u64::try_from((answered - sent).as_micros()).unwrap_or(u64::MAX);
            self.latencies.saturating_record(microseconds);
        }
    }

    /// Counts an answer other than 201.
    pub fn count(&mut self, text: String) {
        *self.others.entry(text).or_default() += 1;
    }

    /// Adds another caller's.
    pub fn add(&mut self, other: Self) -> Result<()> {
        self.acknowledged += other.acknowledged;
        self.in_time += other.in_time;
        for (text, count) in other.others {
            *self.others.entry(text).or_default() += count;
        }
        Ok(self.latencies.add(other.latencies)?)
    }
}

/// Where orders are placed, and by whom.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// The server.
    pub address: SocketAddr,
    /// The endpoint.
    pub path: &'static str,
    /// The access token.
    pub token: &'a str,
}

/// Places orders over HTTP; the callers take the targets in turn.
pub async fn run(targets: &[Target<'_>], body: &OrderBody, keys: Keys, pace: Pace, clock: &Clock) -> Result<Outcome> {
    let mut callers = Vec::new();
    for &target in targets.iter().cycle().take(usize::try_from(pace.connections)?) {
        callers.push(Caller::connect(target).await?);
    }
    let body = Arc::new(body.clone());
    let (counts_from, until) = pace.from(Instant::now());
    let mut working = JoinSet::new();
    for mut caller in callers {
        let (body, clock) = (body.clone(), clock.clone());
        working.spawn(async move {
            let mut outcome = Outcome::empty()?;
            loop {
                let sent = Instant::now();
                if sent >= until {
                    return anyhow::Ok(outcome);
                }
                match caller.place(body.with_key(&keys.next(&clock))).await {
                    Ok((StatusCode::CREATED, _)) => outcome.acknowledge(sent, Instant::now(), counts_from, until),
                    Ok((status, _)) => outcome.count(status.to_string()),
                    Err(error) => {
                        outcome.count(format!("{error:#}"));
                        return Ok(outcome);
                    }
                }
            }
        });
    }
    total(working).await
}

/// All callers' outcomes together, once the last has ended.
pub async fn total(mut working: JoinSet<Result<Outcome>>) -> Result<Outcome> {
    let mut total = Outcome::empty()?;
    while let Some(outcome) = working.join_next().await {
        total.add(outcome??)?;
    }
    Ok(total)
}

/// One connection, kept alive.
pub struct Caller {
    sender: Sender,
    path: &'static str,
    authorization: HeaderValue,
    host: HeaderValue,
}

impl Caller {
    /// Connects.
    pub async fn connect(Target { address, path, token }: Target<'_>) -> Result<Self> {
        Ok(Self {
            path,
            sender: connect(address).await?,
            authorization: HeaderValue::try_from(format!("Bearer {token}"))?,
            host: HeaderValue::try_from(address.to_string())?,
        })
    }

    /// Places one order and waits for the whole answer.
    pub async fn place(&mut self, body: String) -> Result<(StatusCode, Bytes)> {
        self.ask(Method::POST, self.path, Some(body)).await
    }

    /// Asks for a page and waits for the whole answer.
    pub async fn get(&mut self, path: &str) -> Result<(StatusCode, Bytes)> {
        self.ask(Method::GET, path, None).await
    }

    /// The same of any request.
    pub async fn ask(&mut self, method: Method, path: &str, body: Option<String>) -> Result<(StatusCode, Bytes)> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.host)
            .header(AUTHORIZATION, &self.authorization);
        if body.is_some() {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        ask(&mut self.sender, request.body(Full::new(Bytes::from(body.unwrap_or_default())))?).await
    }
}

/// An access token of the shop's app.
pub async fn token(address: SocketAddr, shop: &Shop) -> Result<String> {
    // Both are made of characters that need no escaping but spaces.
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}",
        shop.client_id,
        shop.secret.replace(' ', "+")
    );
    let request = Request::post("/oauth2/token")
        .header(HOST, address.to_string())
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from(form)))?;
    let (status, body) = ask(&mut connect(address).await?, request).await?;
    if status != StatusCode::OK {
        bail!("no token: {status} {}", String::from_utf8_lossy(&body));
    }
    let answer: serde_json::Value = serde_json::from_slice(&body)?;
    Ok(answer["access_token"].as_str().context("an answer without access_token")?.to_owned())
}

/// Sends requests over one connection.
pub type Sender = SendRequest<Full<Bytes>>;

/// A connection of its own.
pub async fn connect(address: SocketAddr) -> Result<Sender> {
    over(TcpStream::connect(address).await?).await
}

/// Over a connection that is open.
pub async fn over(stream: TcpStream) -> Result<Sender> {
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Its errors are those of the requests.
    tokio::spawn(connection);
    Ok(sender)
}

/// Sends a request and waits for the whole answer.
pub async fn ask(sender: &mut Sender, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes)> {
    sender.ready().await?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    Ok((status, answer.into_body().collect().await?.to_bytes()))
}
