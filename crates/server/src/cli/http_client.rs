//! A client for our own API: one request a connection, JSON back.

use std::net::SocketAddr;

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use axum::http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

use super::output::Failure;

/// The server, and a token once there is one.
pub struct Client {
    pub address: SocketAddr,
    pub token: Option<String>,
}

impl Client {
    /// `GET path`, read as `T`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.send(Method::GET, path, "application/json", String::new()).await
    }

    /// `POST path` with a body of `content_type`, read as `T`.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, content_type: &str, body: String) -> Result<T, Failure> {
        self.send(Method::POST, path, content_type, body).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: String,
    ) -> Result<T, Failure> {
        let failed = |why: &dyn std::fmt::Display| {
            Failure::new("FAILED", format!("{method} http://{}{path}: {why}", self.address))
        };
        let mut request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(CONTENT_TYPE, content_type);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|error| failed(&error))?;
        let stream = TcpStream::connect(self.address).await.map_err(|error| failed(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        // Ends with the sender; what goes wrong on it, the sender reports.
        tokio::spawn(connection);
        let answer = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|error| failed(&error))?.to_bytes();
        if !status.is_success() {
            return Err(failed(&format!("{status}: {}", String::from_utf8_lossy(&body))));
        }
        serde_json::from_slice(&body).map_err(|error| failed(&error))
    }
}
