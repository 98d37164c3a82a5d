//! For those who run giftd: `/healthz`, `/readyz`, `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{ConnectInfo, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::api::client_address::is_forwarded;
use crate::api::error::ApiError;
use crate::api::wire;
use crate::state::Giftd;

/// Alive: this process answers.
pub async fn healthz() -> Response {
    wire::json(StatusCode::OK, &json!({"status": "ok"}))
}

/// Ready: the database answers and has this binary's migrations.
pub async fn readyz(State(giftd): State<Arc<Giftd>>) -> Result<Response, ApiError> {
    giftd.store.ready().await?;
    Ok(wire::json(StatusCode::OK, &json!({"status": "ready"})))
}

/// What was counted, for Prometheus: with the token, where one is set, else for this machine only.
pub async fn metrics(
    State(giftd): State<Arc<Giftd>>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    match &giftd.settings.metrics_token {
        Some(token) => {
            let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
            let given = given.ok_or_else(ApiError::no_token)?;
            // Hashes have one length, whatever is sent.
            let is_right = Sha256::digest(given).as_slice().ct_eq(Sha256::digest(token.expose()).as_slice());
            if !bool::from(is_right) {
                return Err(ApiError::invalid_token("another token than GIFTD_METRICS_TOKEN"));
            }
        }
        None => {
            let is_local = peer.is_some_and(|Extension(ConnectInfo(peer))| peer.ip().to_canonical().is_loopback());
            if !is_local || is_forwarded(&headers) {
                return Err(ApiError::not_found());
            }
        }
    }
    let text = giftd.metrics.render();
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}
