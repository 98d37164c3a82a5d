//! `DELETE /orders/{orderId}/cancel`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use giftd_domain::ids::OrderId;
use giftd_store::Cancellation;

use crate::api::caller::{Caller, OrdersCancel};
use crate::api::error::ApiError;
use crate::api::orders::get::{kept_order_answer, order_answer};
use crate::api::orders::shape::OrderBody;
use crate::api::path::PathPart;
use crate::api::wire::Data;
use crate::state::Giftd;

/// Cancel order
///
/// Cancels a scheduled order, as long as at least one hour is left until it goes out. Its whole cost is
/// available again at once. Canceling a canceled order again answers 200 and moves no money.
#[utoipa::path(
    delete,
    path = "/orders/{orderId}/cancel",
    operation_id = "cancelOrder",
    tag = "Orders",
    security(("oauth2" = ["orders.cancel"])),
    params(("orderId" = String, Path, description = "The order's id", example = "OT01KAPBQBY0000000000000000A")),
    responses(
        (status = 200, description = "The order, which is canceled.", body = Data<OrderBody>),
        (status = 404, description = "`ORDER_NOT_FOUND`"),
        (status = 409, description = "`ORDER_NOT_CANCELABLE`: the order is not scheduled, already dispatched, or the 1-hour window has passed"),
    ),
)]
pub async fn cancel_order(
    State(giftd): State<Arc<Giftd>>,
    caller: Caller<OrdersCancel>,
    PathPart(order_id): PathPart,
) -> Result<Response, ApiError> {
    let order_id: OrderId = order_id.parse().map_err(|_| ApiError::order_not_found())?;
    let (now, entropy) = (giftd.clock.now(), giftd.clock.entropy());
    match giftd.store.cancel_order(caller.account_id(), order_id, now, entropy).await? {
        Cancellation::Canceled(order) => {
            tracing::info!(order = %order_id, app = caller.app.client_id, "an order was canceled");
            order_answer(&giftd, &caller.app, StatusCode::OK, *order).await
        }
        Cancellation::Already => {
            kept_order_answer(&giftd, &caller.app, order_id).await?.ok_or_else(ApiError::order_not_found)
        }
        Cancellation::Refused(why) => Err(ApiError::order_not_cancelable(why.to_string())),
        Cancellation::Unknown => Err(ApiError::order_not_found()),
    }
}
