//! A connection to giftd that is opened anew when it broke, to the next node where there are several.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

use crate::load;

/// How long a client waits for an answer before it gives up, as HTTP clients do.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// One caller.
pub struct Client {
    addresses: Vec<SocketAddr>,
    /// Which of them it talks to.
    at: usize,
    authorization: HeaderValue,
    open: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// Of the nodes at `addresses`, begins with number `at`, whatever number that is.
    pub fn new(addresses: &[SocketAddr], at: usize, token: &str) -> Result<Self> {
        let authorization = HeaderValue::try_from(format!("Bearer {token}"))?;
        Ok(Self { addresses: addresses.to_vec(), at, authorization, open: None })
    }

    /// Asks, and waits for the answer within [`PATIENCE`]. After an error the next node is asked.
    pub async fn ask(&mut self, method: Method, path: &str, body: String) -> Result<(StatusCode, Value)> {
        let answer = timeout(PATIENCE, self.try_ask(method, path, body)).await;
        let answer = answer.with_context(|| format!("no answer within {} s", PATIENCE.as_secs())).flatten();
        if answer.is_err() {
            self.open = None;
            self.at += 1;
        }
        answer
    }

    async fn try_ask(&mut self, method: Method, path: &str, body: String) -> Result<(StatusCode, Value)> {
        let address = self.addresses[self.at % self.addresses.len()];
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(load::connect(address).await?),
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, address.to_string())
            .header(AUTHORIZATION, &self.authorization)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(Full::new(Bytes::from(body)))?;
        let (status, body) = load::ask(open, request).await?;
        Ok((status, serde_json::from_slice(&body)?))
    }
}
