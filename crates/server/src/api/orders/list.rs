//! `GET /orders`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use giftd_domain::history::{Days, OrderFilter, PageRequest};
use giftd_domain::limits;

use crate::api::caller::{Caller, OrdersRead};
use crate::api::error::ApiError;
use crate::api::orders::shape::SummaryBody;
use crate::api::query::Query;
use crate::api::wire::{self, CardTypeName, OrderStatusName, OrderTypeName, Paged};
use crate::state::Giftd;

/// List orders
///
/// The orders of your organization, newest first, without their recipients. Filters combine with AND.
#[utoipa::path(
    get,
    path = "/orders",
    operation_id = "listOrders",
    tag = "Orders",
    security(("oauth2" = ["orders.read"])),
    params(
        ("page" = Option<u32>, Query, description = "Page number, default 1", minimum = 1, maximum = 1_000_000_000),
        ("pageSize" = Option<u32>, Query, description = "Results per page, default 20, max 100", minimum = 1, maximum = 100),
        ("orderType" = Option<OrderTypeName>, Query, description = "How they came about"),
        ("cardType" = Option<CardTypeName>, Query, description = "What kind of card"),
        ("status" = Option<OrderStatusName>, Query, description = "Where they stand"),
        ("startDate" = Option<String>, Query, description = "First day of placing, in UTC, inclusive", format = Date, example = "2026-01-01"),
        ("endDate" = Option<String>, Query, description = "Last day of placing, in UTC, inclusive", format = Date, example = "2026-12-31"),
        ("searchKeyword" = Option<String>, Query, description = "Part of the card's name or the creator's, whatever the case", max_length = 200),
        ("clientOrderId" = Option<String>, Query, description = "Exactly this idempotency key: what became of a request whose answer was lost", min_length = 1, max_length = 64),
    ),
    responses((status = 200, description = "A page of orders.", body = Paged<SummaryBody>)),
)]
pub async fn list_orders(
    State(giftd): State<Arc<Giftd>>,
    caller: Caller<OrdersRead>,
    query: Query,
) -> Result<Response, ApiError> {
    let (filter, page) = read(query)?;
    let found = giftd.store.orders_page(caller.account_id(), &filter, page).await?;
    let environment = caller.environment();
    Ok(wire::json(StatusCode::OK, &Paged::new(found, page, |order| SummaryBody::new(order, environment))))
}

/// Which orders are wanted, and which page of them; or all that is wrong with the parameters.
pub fn read(mut query: Query) -> Result<(OrderFilter, PageRequest), ApiError> {
    let page = query.page();
    let (order_type, card_type, status) = (query.choice("orderType"), query.choice("cardType"), query.choice("status"));
    let (from, to) = query.dates();
    let keyword = query.keyword("searchKeyword", limits::SEARCH_CHARACTERS);
    let client_order_id = query.exact("clientOrderId", limits::IDEMPOTENCY_KEY_CHARACTERS);
    query.finish()?;
    let days = Days { from, to };
    Ok((OrderFilter { order_type, card_type, status, days, keyword, client_order_id }, page))
}
