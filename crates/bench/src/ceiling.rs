//! The limit that HTTP sets: behind the same middleware as every endpoint, this one authenticates, parses
//! the same body in the same way, and answers 201. It checks no rule and stores nothing. A GET of it authenticates,
//! parses a page's query, and answers with an empty page.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::get;
use giftd::api::body::JsonBody;
use giftd::api::caller::{Caller, OrdersRead, OrdersWrite};
use giftd::api::error::ApiError;
use giftd::api::orders::place;
use giftd::api::query::Query;
use giftd::api::wire::{self, Data, Paged};
use giftd::state::Giftd;
use giftd_domain::history::Page;
use giftd_domain::orders::CardType;
use serde_json::json;

/// Where it is.
pub const PATH: &str = "/ceiling/orders/branded-cards";

/// The endpoint, for a server that is measured.
pub fn routes() -> Router<Arc<Giftd>> {
    Router::new().route(PATH, get(empty_page).post(answer))
}

async fn answer(_caller: Caller<OrdersWrite>, headers: HeaderMap, body: JsonBody) -> Result<Response, ApiError> {
    let request = place::parse(&headers, body, CardType::BrandedCard).await?;
    let data = json!({"idempotencyKey": request.idempotency_key, "recipientCount": request.gift_count()});
    Ok(wire::json(StatusCode::CREATED, &Data { data }))
}

async fn empty_page(_caller: Caller<OrdersRead>, mut query: Query) -> Result<Response, ApiError> {
    let page = query.page();
    query.finish()?;
    let found = Page { items: Vec::<()>::new(), total: 0 };
    Ok(wire::json(StatusCode::OK, &Paged::new(found, page, |item| item)))
}
