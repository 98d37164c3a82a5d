//! `GET /sandbox/mails`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use giftd_domain::ids::OrderId;
use giftd_domain::{limits, text};
use giftd_store::CapturedMail;
use serde::Serialize;
use utoipa::ToSchema;

use super::Sandboxed;
use crate::api::caller::OrdersRead;
use crate::api::error::ApiError;
use crate::api::query::Query;
use crate::api::wire::{self, Instant, Paged};
use crate::state::Giftd;

/// List sandbox mails
///
/// The mails that your sandbox would have sent, newest first: the last 1,000 of the last 7 days. Their links work.
#[utoipa::path(
    get,
    path = "/sandbox/mails",
    operation_id = "listSandboxMails",
    tag = "Sandbox",
    security(("oauth2" = ["orders.read"])),
    params(
        ("page" = Option<u32>, Query, description = "Page number, default 1", minimum = 1, maximum = 1_000_000_000),
        ("pageSize" = Option<u32>, Query, description = "Results per page, default 20, max 100", minimum = 1, maximum = 100),
        ("to" = Option<String>, Query, description = "Only mails to this address, whatever the case", format = IdnEmail, max_length = 254),
        ("orderId" = Option<String>, Query, description = "Only mails of this order", pattern = "^(OT|SO|LO)[0-9A-HJKMNP-TV-Z]{26}$"),
    ),
    responses(
        (status = 200, description = "A page of mails.", body = Paged<MailBody>),
        (status = 403, description = "`SANDBOX_ONLY`, or `INSUFFICIENT_SCOPE`: the token lacks this endpoint's scope"),
    ),
)]
pub async fn list_mails(
    State(giftd): State<Arc<Giftd>>,
    Sandboxed(caller): Sandboxed<OrdersRead>,
    mut query: Query,
) -> Result<Response, ApiError> {
    let page = query.page();
    let to = query.exact("to", limits::EMAIL_CHARACTERS);
    let order = query.exact("orderId", limits::REFERENCE_CHARACTERS);
    query.finish()?;
    // As it is kept: an international domain in its ASCII form.
    let to = match to.as_deref().map(text::email) {
        Some(None) => return Err(ApiError::invalid("to", "INVALID_EMAIL", "must be an email address")),
        to => to.flatten(),
    };
    let order = match order.as_deref().map(str::parse::<OrderId>) {
        Some(Err(_)) => return Err(ApiError::invalid("orderId", "INVALID", "must be an order's id")),
        order => order.and_then(Result::ok),
    };
    let found = giftd.store.kept_mails(caller.account_id(), to.as_deref(), order, giftd.clock.now(), page).await?;
    Ok(wire::json(StatusCode::OK, &Paged::new(found, page, MailBody::from)))
}

/// A mail that was captured instead of sent.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SandboxMail)]
pub struct MailBody {
    /// To whom.
    #[schema(example = "alice@example.com")]
    to: String,
    /// Of which order; null for a preview.
    order_id: Option<String>,
    /// Its subject.
    #[schema(example = "A gift for you!")]
    subject: String,
    /// Its plain text, with the link.
    text: String,
    /// Its HTML.
    html: String,
    /// When, by the sandbox's clock.
    created_at: Instant,
}

impl From<CapturedMail> for MailBody {
    fn from(mail: CapturedMail) -> Self {
        let CapturedMail { message_id: _, to, order_id, subject, text, html, created_at } = mail;
        let order_id = order_id.map(|order| order.to_string());
        Self { to, order_id, subject, text, html, created_at: Instant(created_at) }
    }
}
