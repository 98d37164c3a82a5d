//! `POST /orders/{orderId}/resend`

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use giftd_domain::ids::OrderId;
use giftd_domain::orders::resend::{Resend, ResendEntry, Skipped};
use giftd_domain::problems::Problems;
use giftd_domain::{limits, text};
use giftd_store::Resent;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::body::JsonBody;
use crate::api::caller::{Caller, OrdersWrite};
use crate::api::error::ApiError;
use crate::api::fields::Fields;
use crate::api::path::PathPart;
use crate::api::request_id;
use crate::api::wire::{self, Data, SkipReasonName};
use crate::state::Giftd;

/// Resend order
///
/// Sends gifts of an order again, all those of each address, to the same address or to another one. With
/// `updatedEmail` the gift moves: the link in the old mail stops working. What isn't sent again is told in
/// `skipped`. A retry of a move is safe and sends nothing.
#[utoipa::path(
    post,
    path = "/orders/{orderId}/resend",
    operation_id = "resendOrder",
    tag = "Orders",
    security(("oauth2" = ["orders.write"])),
    params(("orderId" = String, Path, description = "The order's id", example = "OT01KAPBQBY0000000000000000A")),
    request_body(content = ResendRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "What is sent again, and what isn't.", body = Data<ResentBody>),
        (status = 404, description = "`ORDER_NOT_FOUND`"),
        (status = 409, description = "`ORDER_NOT_RESENDABLE`: the order has not gone out yet, or was canceled"),
        (status = 429, description = "`RATE_LIMITED`: too many requests, or the app moved 100 gifts in 24 hours; see `Retry-After`"),
    ),
)]
pub async fn resend_order(
    State(giftd): State<Arc<Giftd>>,
    caller: Caller<OrdersWrite>,
    PathPart(order_id): PathPart,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let entries = body.read(|fields| read(fields).map(check)).await??;
    let order_id: OrderId = order_id.parse().map_err(|_| ApiError::order_not_found())?;
    let command = Resend {
        account_id: caller.account_id(),
        order_id,
        entries: entries.clone(),
        client_id: caller.app.client_id.clone(),
        request_id: request_id::current(),
        now: giftd.clock.now(),
    };
    match giftd.store.resend(command).await? {
        Resent::Done { requeued, skipped } => {
            if requeued > 0 {
                giftd.wake.all();
                log_moves(order_id, &caller.app.client_id, &entries, &skipped);
            }
            Ok(wire::json(StatusCode::OK, &Data { data: ResentBody::new(order_id, requeued, skipped) }))
        }
        Resent::NobodyKnown => Err(nobody_known(entries.len())),
        Resent::NotResendable => Err(ApiError::order_not_resendable(
            "The order has not gone out yet, or was canceled; gifts can be sent again once they went out.",
        )),
        Resent::TooManyMoves => Err(ApiError::rate_limited(
            format!(
                "An app may move at most {} gifts to another address in 24 hours; nothing was sent again.",
                limits::MOVES_A_DAY
            ),
            Duration::from_secs(limits::TOO_MANY_MOVES_RETRY_SECONDS),
        )),
        Resent::Unknown => Err(ApiError::order_not_found()),
    }
}

/// One of `recipients`, once it parses.
struct Requested {
    email: String,
    updated_email: Option<String>,
}

fn read(fields: &mut Fields<'_, '_>) -> Option<Vec<Requested>> {
    fields.required_objects("recipients", limits::RECIPIENTS, |recipient| {
        let (email, updated_email) = (recipient.required_text("email"), recipient.text("updatedEmail"));
        Some(Requested { email: email?, updated_email })
    })
}

/// The addresses, or everything that is wrong with them.
fn check(requested: Vec<Requested>) -> Result<Vec<ResendEntry>, Problems> {
    let mut problems = Problems::new();
    if requested.is_empty() {
        problems.add("recipients", "OUT_OF_RANGE", format!("must be 1 to {} recipients", limits::RECIPIENTS));
    }
    let mut entries = Vec::with_capacity(requested.len());
    let mut first_at = BTreeMap::new();
    for (index, Requested { email: written, updated_email }) in requested.into_iter().enumerate() {
        let mut address = |name: &str, written: &str| {
            let email = text::email(written);
            if email.is_none() {
                let message = format!("must be an email address of at most {} characters", limits::EMAIL_CHARACTERS);
                problems.add(format!("recipients[{index}].{name}"), "INVALID_EMAIL", message);
            }
            email
        };
        let email = address("email", &written);
        let updated = updated_email.map(|updated| address("updatedEmail", &updated));
        if let Some(email) = email {
            let folded = text::folded(&email);
            let updated = updated.flatten().filter(|updated| text::folded(updated) != folded);
            if let Some(first) = first_at.get(&folded) {
                let message = format!("is the same address as recipients[{first}].email");
                problems.add(format!("recipients[{index}].email"), "DUPLICATE_EMAIL", message);
            } else {
                first_at.insert(folded, index);
            }
            entries.push(ResendEntry { written, email, updated });
        }
        if problems.is_full() {
            break;
        }
    }
    if problems.is_empty() { Ok(entries) } else { Err(problems) }
}

fn nobody_known(entries: usize) -> ApiError {
    let mut problems = Problems::new();
    for index in 0..entries.min(limits::PROBLEMS) {
        let message = "is not the current address of any recipient of this order";
        problems.add(format!("recipients[{index}].email"), "NOT_A_RECIPIENT", message);
    }
    problems.into()
}

/// Each move, without the whole addresses; the database has them, with app and request. The request's id is
/// that of the line.
fn log_moves(order: OrderId, app: &str, entries: &[ResendEntry], skipped: &[Skipped]) {
    let skipped: BTreeSet<&str> = skipped.iter().map(|skipped| skipped.email.as_str()).collect();
    let moves = entries.iter().filter_map(|entry| Some((entry, entry.updated.as_deref()?)));
    let (partly, moved): (Vec<_>, Vec<_>) = moves.partition(|(entry, _)| skipped.contains(entry.written.as_str()));
    for (entry, updated) in moved {
        let (from, to) = (masked(&entry.email), masked(updated));
        tracing::info!(%order, app, from, to, "a gift's address was changed by a resend");
    }
    if !partly.is_empty() {
        tracing::info!(%order, app, addresses = partly.len(), "gifts of further addresses were moved partly or not at all");
    }
}

/// `a…@example.com`
fn masked(email: &str) -> String {
    let (local, domain) = email.rsplit_once('@').unwrap_or((email, ""));
    format!("{}…@{domain}", local.chars().next().unwrap_or_default())
}

/// What became of a resend.
#[derive(Serialize, ToSchema)]
#[schema(as = Resent)]
#[serde(rename_all = "camelCase")]
pub struct ResentBody {
    /// The order.
    #[schema(example = "OT01KAPBQBY0000000000000000A")]
    order_id: String,
    /// How many gifts are sent again.
    #[schema(minimum = 0, maximum = 10_000)]
    requeued: u32,
    /// Addresses that aren't sent to, or not with all their gifts; one for each address and reason.
    skipped: Vec<SkippedBody>,
}

/// An address that isn't sent to, or not with all its gifts.
#[derive(Serialize, ToSchema)]
#[schema(as = Skipped)]
#[serde(rename_all = "camelCase")]
struct SkippedBody {
    /// As it was in the request.
    email: String,
    /// Why.
    reason: SkipReasonName,
}

impl ResentBody {
    fn new(order_id: OrderId, requeued: u32, skipped: Vec<Skipped>) -> Self {
        let skipped = skipped.into_iter();
        Self {
            order_id: order_id.to_string(),
            requeued,
            skipped: skipped
                .map(|Skipped { email, reason }| SkippedBody { email, reason: SkipReasonName(reason) })
                .collect(),
        }
    }
}

/// Whom to send again.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(rename_all = "camelCase", example = json!({
    "recipients": [{"email": "jane.doe@example.com", "updatedEmail": "newemail@example.com"}],
}))]
#[expect(dead_code, reason = "describes what `read` reads")]
pub struct ResendRequest {
    /// Each address once.
    #[schema(min_items = 1, max_items = 10_000)]
    recipients: Vec<ResendRecipientRequest>,
}

/// All gifts of the order that have one address.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ResendRecipient, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `read` reads")]
struct ResendRecipientRequest {
    /// Their current address, whatever the case.
    #[schema(format = IdnEmail, max_length = 254)]
    email: String,
    /// Where they move to; else they are sent to the same address.
    #[schema(format = IdnEmail, max_length = 254)]
    updated_email: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_address_shows_its_first_character_and_domain() {
        assert_eq!(masked("alice@example.com"), "a…@example.com");
        assert_eq!(masked("a@b.example"), "a…@b.example");
    }
}
