//! A client of the API, over one kept connection.

use std::net::SocketAddr;
use std::time::Duration;

use giftd::clock::Clock;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::bed::{Credentials, DEADLINE, Process, string};

/// A connection with a token.
pub struct Client {
    address: SocketAddr,
    token: String,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// With a token of its own.
    pub async fn new(process: &Process, app: &Credentials) -> Self {
        let token = token(process.address, app).await;
        Self::with(process.address, &token)
    }

    pub fn with(address: SocketAddr, token: &str) -> Self {
        Self { address, token: token.to_owned(), connection: None }
    }

    /// Another connection with the same token.
    pub fn another(&self) -> Self {
        Self::with(self.address, &self.token)
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// None where the connection broke.
    pub async fn try_send(&mut self, method: Method, path: &str, body: String) -> Option<(StatusCode, Value)> {
        let (status, body) = self.try_send_for_bytes(method, path, body).await?;
        Some((status, serde_json::from_slice(&body).expect("JSON")))
    }

    /// The status of what isn't JSON.
    pub async fn status(&mut self, path: &str) -> StatusCode {
        self.try_send_for_bytes(Method::GET, path, String::new()).await.expect("an answer").0
    }

    async fn try_send_for_bytes(&mut self, method: Method, path: &str, body: String) -> Option<(StatusCode, Bytes)> {
        if self.connection.as_ref().is_none_or(SendRequest::is_closed) {
            let stream = TcpStream::connect(self.address).await.ok()?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
            tokio::spawn(connection);
            self.connection = Some(sender);
        }
        let connection = self.connection.as_mut()?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.address.to_string())
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", self.token))
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        connection.ready().await.ok()?;
        let answer = connection.send_request(request).await.ok()?;
        let status = answer.status();
        Some((status, answer.into_body().collect().await.ok()?.to_bytes()))
    }

    pub async fn get(&mut self, path: &str) -> Value {
        let (status, body) = self.try_send(Method::GET, path, String::new()).await.expect("an answer");
        assert_eq!(status, StatusCode::OK, "{path}: {body:#}");
        body
    }

    /// None where the connection broke.
    pub async fn place(&mut self, order: &Value) -> Option<(StatusCode, Value)> {
        self.try_send(Method::POST, "/api/v1/orders/branded-cards", order.to_string()).await
    }

    /// Waits until as many orders are COMPLETE.
    pub async fn complete(&mut self, orders: u64) {
        let clock = Clock::system();
        let begun = clock.elapsed();
        loop {
            let page = self.get("/api/v1/orders?status=COMPLETE&pageSize=1").await;
            let complete = page["pagination"]["totalItems"].as_u64().expect("a number");
            if complete >= orders {
                assert_eq!(complete, orders);
                return;
            }
            assert!(clock.elapsed() - begun < DEADLINE, "only {complete} of {orders} orders are COMPLETE");
            clock.sleep(Duration::from_millis(50)).await;
        }
    }

    /// All orders, newest first.
    pub async fn orders(&mut self) -> Vec<Value> {
        let mut orders = Vec::new();
        for page in 1.. {
            let answer = self.get(&format!("/api/v1/orders?pageSize=100&page={page}")).await;
            let rows = answer["data"].as_array().expect("rows").clone();
            if rows.is_empty() {
                assert_eq!(answer["pagination"]["totalItems"], orders.len());
                break;
            }
            orders.extend(rows);
        }
        orders
    }
}

/// An access token.
pub async fn token(address: SocketAddr, app: &Credentials) -> String {
    let body = format!("grant_type=client_credentials&client_id={}&client_secret={}", app.client_id, app.client_secret);
    let stream = TcpStream::connect(address).await.expect("it listens");
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    let request = Request::post("/oauth2/token")
        .header("host", address.to_string())
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from(body)))
        .expect("a request");
    let answer = sender.send_request(request).await.expect("an answer");
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    string(&body["access_token"])
}

/// An order of `gifts` gifts of 5.00 USD each.
pub fn order(key: &str, gifts: usize) -> Value {
    let recipients: Vec<Value> =
        (1..=gifts).map(|number| json!({"email": format!("{key}-{number}@example.com"), "amount": 5})).collect();
    json!({
        "idempotencyKey": key,
        "productId": "10042",
        "sendTiming": {"type": "IMMEDIATE"},
        "emailSetting": {"senderName": "Acme", "subject": "A gift for you!", "templateId": "12"},
        "recipients": recipients
    })
}
