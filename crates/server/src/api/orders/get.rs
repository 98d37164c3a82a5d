//! `GET /orders/{orderId}`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use giftd_domain::access::App;
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
    kept_order_answer(&giftd, &caller.app, order_id).await?.ok_or_else(ApiError::order_not_found)
}

/// The answer that is an order of the app's account as it is now, if there is one. A large one waits for room before
/// more than its start is read.
pub async fn kept_order_answer(
    giftd: &Arc<Giftd>,
    app: &Arc<App>,
    order_id: OrderId,
) -> Result<Option<Response>, ApiError> {
    let start = giftd.store.order_start(app.account_id, order_id, limits::RECIPIENTS_WRITTEN_INLINE).await?;
    let Some(start) = start else { return Ok(None) };
    if start.gifts.len() >= start.summary.recipient_count as usize {
        return order_answer(giftd, app, StatusCode::OK, start).await.map(Some);
    }
    drop(start);
    let room = giftd.large_orders.room(app.account_id).await?;
    let (giftd, app) = (giftd.clone(), app.clone());
    let whole = async move {
        let _room = room;
        let Some(order) = giftd.store.order(app.account_id, order_id).await? else { return Ok(None) };
        order_answer(&giftd, &app, StatusCode::OK, order).await.map(Some)
    };
    // A task of its own: a database reads to the end also for a client that went away, and so long the room is taken.
    tokio::spawn(whole).await.map_err(ApiError::internal)?
}

/// The answer that is an order at hand; a large one is written on a thread for blocking work.
pub async fn order_answer(
    giftd: &Arc<Giftd>,
    app: &Arc<App>,
    status: StatusCode,
    order: Order,
) -> Result<Response, ApiError> {
    let (giftd, app) = (giftd.clone(), app.clone());
    let is_large = order.gifts.len() > limits::RECIPIENTS_WRITTEN_INLINE;
    let write = move || {
        let public_url = giftd.settings.public_url_at(giftd.settings.listen);
        let links = Links { account_id: app.account_id, public_url: &public_url, key: giftd.keys.links() };
        wire::json(status, &Data { data: OrderBody::new(order, app.environment, Some(&links)) })
    };
    if is_large { tokio::task::spawn_blocking(write).await.map_err(ApiError::internal) } else { Ok(write()) }
}
