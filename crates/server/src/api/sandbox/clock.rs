//! `GET /sandbox/clock` and `POST /sandbox/clock`

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use giftd_domain::Timestamp;
use giftd_domain::account::AccountClock;
use giftd_domain::advance::advance;
use giftd_domain::limits;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use serde::Serialize;
use utoipa::ToSchema;

use super::Sandboxed;
use crate::api::body::JsonBody;
use crate::api::caller::{OrdersRead, OrdersWrite};
use crate::api::error::ApiError;
use crate::api::fields::Fields;
use crate::api::wire::{self, Data, Instant};
use crate::state::Giftd;

/// The body's field.
const ADVANCE: &str = "advance";

/// Get sandbox clock
///
/// The time in your sandbox. It runs like any clock, ahead of the real time by what you moved it. While it is
/// being moved it shows how far it is.
#[utoipa::path(
    get,
    path = "/sandbox/clock",
    operation_id = "getSandboxClock",
    tag = "Sandbox",
    security(("oauth2" = ["orders.read"])),
    responses(
        (status = 200, description = "The clock.", body = Data<ClockBody>),
        (status = 403, description = "`SANDBOX_ONLY`, or `INSUFFICIENT_SCOPE`: the token lacks this endpoint's scope"),
    ),
)]
pub async fn get_clock(
    State(giftd): State<Arc<Giftd>>,
    Sandboxed(caller): Sandboxed<OrdersRead>,
) -> Result<Response, ApiError> {
    let account = giftd.store.account(caller.account_id()).await?;
    let account = account.ok_or_else(|| ApiError::internal("an app's account doesn't exist"))?;
    Ok(answer(&giftd, StatusCode::OK, &account.clock))
}

/// Move sandbox clock
///
/// Moves the time in your sandbox ahead. Everything that is due until then happens on the way, in its order and
/// dated by its own instant: scheduled orders go out, mails are tried again, recipients are reminded, gifts
/// expire, refunds return. It answers when all has happened; with more than 5,000 such events it answers 202 at
/// once, and `GET /sandbox/clock` shows how far it is: it has arrived when it shows the `now` of the 202 plus
/// what it was moved by. Tokens, rate limits, the age of exchange rates and the limits of verification and
/// resending stay on the real time.
#[utoipa::path(
    post,
    path = "/sandbox/clock",
    operation_id = "moveSandboxClock",
    tag = "Sandbox",
    security(("oauth2" = ["orders.write"])),
    request_body(content = MoveClockRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "The clock has arrived.", body = Data<ClockBody>),
        (status = 202, description = "The clock is on its way; `now` is how far it is.", body = Data<ClockBody>),
        (status = 403, description = "`SANDBOX_ONLY`, or `INSUFFICIENT_SCOPE`: the token lacks this endpoint's scope"),
        (status = 409, description = "`CLOCK_MOVING`: an earlier call still moves it; nothing happened"),
    ),
)]
pub async fn move_clock(
    State(giftd): State<Arc<Giftd>>,
    Sandboxed(caller): Sandboxed<OrdersWrite>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let by = body.read(read).await?;
    let account_id = caller.account_id();
    let account = giftd.store.account(account_id).await?;
    let account = account.ok_or_else(|| ApiError::internal("an app's account doesn't exist"))?;
    let now = giftd.clock.now();
    if !may_arrive(&account.clock, now, by) {
        let message = format!("must not move the clock past the year {}", limits::CLOCK_YEAR);
        return Err(ApiError::invalid(ADVANCE, "OUT_OF_RANGE", message));
    }
    let due = giftd.store.due_until(account_id, now.saturating_add(by).unwrap_or(Timestamp::MAX)).await?;
    let begun = giftd.store.begin_move(account_id, by, now).await?.ok_or_else(ApiError::clock_moving)?;
    tracing::info!(account = account_id.0, client_id = caller.app.client_id, events = due.events, advance = %by,
        "a sandbox's clock is moved");
    let arriving = giftd.moves.go_on(&giftd, account_id, begun);
    if due.events > limits::CLOCK_EVENTS {
        return Ok(answer(&giftd, StatusCode::ACCEPTED, &begun));
    }
    // What happens may make more happen: a client that waited for all of it might give up, and ask twice.
    tokio::select! {
        arrived = arriving => arrived.map_err(ApiError::internal)?,
        () = giftd.clock.sleep(Duration::from_secs(limits::CLOCK_ANSWER_SECONDS)) => {}
    }
    // From here on no trouble is the client's: it would ask again, and move the clock twice.
    let clock = match giftd.store.account(account_id).await {
        Ok(Some(account)) => account.clock,
        Ok(None) | Err(_) => begun,
    };
    let status = if clock.moving.is_some() { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok(answer(&giftd, status, &clock))
}

fn answer(giftd: &Giftd, status: StatusCode, clock: &AccountClock) -> Response {
    wire::json(status, &Data { data: ClockBody { now: Instant(clock.time(giftd.clock.now())) } })
}

fn read(fields: &mut Fields<'_, '_>) -> Option<SignedDuration> {
    let text = fields.required_text(ADVANCE)?;
    let by = advance(&text);
    if let Err(wrong) = by {
        fields.problem(ADVANCE, wrong.code(), wrong.to_string());
    }
    by.ok()
}

/// Whether the clock still shows a year that all that follows has room after.
fn may_arrive(clock: &AccountClock, now: Timestamp, by: SignedDuration) -> bool {
    let target = clock.time(now).saturating_add(by).unwrap_or(Timestamp::MAX);
    target.to_zoned(TimeZone::UTC).year() <= limits::CLOCK_YEAR
}

/// A sandbox's clock.
#[derive(Serialize, ToSchema)]
#[schema(as = SandboxClock)]
pub struct ClockBody {
    /// What it shows.
    now: Instant,
}

/// By how much the clock is moved.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"advance": "P30DT2H"}))]
#[expect(dead_code, reason = "describes what `read` reads")]
pub struct MoveClockRequest {
    /// An ISO 8601 duration of weeks, days (of 24 hours), hours, minutes and seconds, in whole milliseconds, above
    /// zero and at most 400 days.
    #[schema(max_length = 64, example = "P30DT2H")]
    advance: String,
}
