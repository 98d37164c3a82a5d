//! `GET /orders/{orderId}`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use giftd_domain::ids::OrderId;
use giftd_domain::limits;
use giftd_domain::orders::Order;

use crate::api::caller::{Caller, OrdersRead};
use crate::api::error::ApiError;
use crate::api::orders::shape::{Links, OrderBody};
use crate::api::path::PathPart;
use crate::api::wire::{self, Data};
use crate::state::Giftd;

/// Get order
///
/// The full details of one order of your organization, with all recipients. An order of another
/// organization, or of your other environment, does not exist here.
#[utoipa::path(
    get,
    path = "/orders/{orderId}",
    operation_id = "getOrder",
    tag = "Orders",
    security(("oauth2" = ["orders.read"])),
    params(("orderId" = String, Path, description = "The order's id", example = "OT01KAPBQBY0000000000000000A")),
    responses(
        (status = 200, description = "The order.", body = Data<OrderBody>),
        (status = 404, description = "`ORDER_NOT_FOUND`"),
    ),
)]
pub async fn get_order(
    State(giftd): State<Arc<Giftd>>,
    caller: Caller<OrdersRead>,
    PathPart(order_id): PathPart,
) -> Result<Response, ApiError> {
    let order_id: OrderId = order_id.parse().map_err(|_| ApiError::order_not_found())?;
    let order = giftd.store.order(caller.account_id(), order_id).await?.ok_or_else(ApiError::order_not_found)?;
    order_answer(&giftd, &caller, StatusCode::OK, order).await
}

/// The answer that is an order; a large one is written on a thread for blocking work.
pub async fn order_answer<S>(
    giftd: &Arc<Giftd>,
    caller: &Caller<S>,
    status: StatusCode,
    order: Order,
) -> Result<Response, ApiError> {
    let (giftd, account_id, environment) = (giftd.clone(), caller.account_id(), caller.environment());
    let is_large = order.gifts.len() > limits::RECIPIENTS_WRITTEN_INLINE;
    let write = move || {
        let public_url = giftd.settings.public_url_at(giftd.settings.listen);
        let links = Links { account_id, public_url: &public_url, key: giftd.keys.links() };
        wire::json(status, &Data { data: OrderBody::new(order, environment, Some(&links)) })
    };
    if is_large { tokio::task::spawn_blocking(write).await.map_err(ApiError::internal) } else { Ok(write()) }
}
