//! The limit that HTTP sets: behind the same middleware as every endpoint, this one authenticates, parses
//! the same body in the same way, and answers 201. It checks no rule and stores nothing.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::post;
use giftd::api::body::JsonBody;
use giftd::api::caller::{Caller, OrdersWrite};
use giftd::api::error::ApiError;
use giftd::api::orders::place;
use giftd::api::wire::{self, Data};
use giftd::state::Giftd;
use giftd_domain::orders::CardType;
use serde_json::json;

/// Where it is.
pub const PATH: &str = "/ceiling/orders/branded-cards";

/// The endpoint, for a server that is measured.
pub fn routes() -> Router<Arc<Giftd>> {
    Router::new().route(PATH, post(answer))
}

async fn answer(_caller: Caller<OrdersWrite>, headers: HeaderMap, body: JsonBody) -> Result<Response, ApiError> {
    let request = place::parse(&headers, body, CardType::BrandedCard).await?;
    let data = json!({"idempotencyKey": request.idempotency_key, "recipientCount": request.gift_count()});
    Ok(wire::json(StatusCode::CREATED, &Data { data }))
}
