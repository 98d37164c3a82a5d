//! `GET /orders/{orderId}/events`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use giftd_domain::gifts::events::GiftEvent;
use giftd_domain::ids::{GiftId, OrderId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::caller::{Caller, OrdersRead};
use crate::api::error::ApiError;
use crate::api::path::PathPart;
use crate::api::query::Query;
use crate::api::wire::{self, EventTypeName, Instant, Paged};
use crate::state::Giftd;

/// What happened to a gift.
#[derive(Serialize, ToSchema)]
#[schema(as = OrderEvent)]
#[serde(rename_all = "camelCase")]
pub struct EventBody {
    /// The recipient's id and the event's number.
    #[schema(example = "OT01KAPBQBY0000000000000000A-00001-2")]
    event_id: String,
    /// The gift.
    #[schema(example = "OT01KAPBQBY0000000000000000A-00001")]
    recipient_id: String,
    /// What happened.
    #[serde(rename = "type")]
    event_type: EventTypeName,
    /// When.
    created_at: Instant,
    /// More about it, for a person.
    #[schema(required, example = "to alice@example.com")]
    detail: Option<String>,
}

impl EventBody {
    fn new(event: GiftEvent, order: OrderId) -> Self {
        let gift = GiftId { order, position: event.position };
        Self {
            event_id: format!("{gift}-{}", event.number),
            recipient_id: gift.to_string(),
            event_type: EventTypeName(event.event_type),
            created_at: Instant(event.at),
            detail: event.detail,
        }
    }
}

/// List events
///
/// What happened to the gifts of an order, newest first.
#[utoipa::path(
    get,
    path = "/orders/{orderId}/events",
    operation_id = "listOrderEvents",
    tag = "Orders",
    security(("oauth2" = ["orders.read"])),
    params(
        ("orderId" = String, Path, description = "The order's id", example = "OT01KAPBQBY0000000000000000A"),
        ("page" = Option<u32>, Query, description = "Page number, default 1", minimum = 1, maximum = 1_000_000_000),
        ("pageSize" = Option<u32>, Query, description = "Results per page, default 20, max 100", minimum = 1, maximum = 100),
    ),
    responses(
        (status = 200, description = "A page of events.", body = Paged<EventBody>),
        (status = 404, description = "`ORDER_NOT_FOUND`"),
    ),
)]
pub async fn list_events(
    State(giftd): State<Arc<Giftd>>,
    caller: Caller<OrdersRead>,
    PathPart(order_id): PathPart,
    mut query: Query,
) -> Result<Response, ApiError> {
    let page = query.page();
    query.finish()?;
    let order_id: OrderId = order_id.parse().map_err(|_| ApiError::order_not_found())?;
    let found = giftd.store.order_events(caller.account_id(), order_id, page).await?;
    let found = found.ok_or_else(ApiError::order_not_found)?;
    Ok(wire::json(StatusCode::OK, &Paged::new(found, page, |event| EventBody::new(event, order_id))))
}
