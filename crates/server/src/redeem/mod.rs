//! The recipient's pages, under `/r/{token}`: for a person with an old phone and no account. Rendered here,
//! without JavaScript but for comfort, in the reader's language, from nowhere but this server.
//!
//! GET changes nothing, since mail scanners follow links; each POST carries a token that only a page of ours can
//! hold. A gift that was mailed is shown to whoever controls its address; a reward link is its own credential.

mod cards;
mod code;
mod countries;
mod form;
mod gift;
mod guesses;
mod guest;
mod language;
mod mac;
mod mask;
mod offer;
mod page;
mod pick;
mod preview;
mod quota;
mod refusal;
mod session;
mod take;
mod terms;
mod texts;
mod verification;
mod verify;
mod visit;
mod written;

use std::any::Any;
use std::sync::{Arc, LazyLock};

use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use tower_http::catch_panic::CatchPanicLayer;

use self::guesses::Guesses;
use self::guest::Guest;
use self::language::Language;
use self::page::Asset;
use self::quota::Quota;
use self::refusal::{Refusal, Why};
use crate::clock::Clock;
use crate::state::Giftd;

/// Where the link of a mail's preview leads, which has no gift.
pub const PREVIEW_PATH: &str = "/r/preview";

/// The pages' style.
static STYLESHEET: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("/assets/redeem.css", "text/css; charset=utf-8", include_str!("assets/redeem.css")));
/// What a browser with JavaScript does beside: copying a code, holding back a second tap.
static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("/assets/redeem.js", "text/javascript; charset=utf-8", include_str!("assets/redeem.js"))
});

/// The pages. All their answers are HTML with the same headers, also the unexpected ones.
pub fn router(clock: Clock) -> Router<Arc<Giftd>> {
    Router::new()
        .route("/r/{token}", get(gift::show).fallback(wrong_method))
        .route(
            "/r/{token}/verification",
            get(verification::on_its_way).post(verification::request).fallback(wrong_method),
        )
        .route("/r/{token}/verify/{verification}", get(verify::show).post(verify::verify).fallback(wrong_method))
        .route("/r/{token}/pick/{product}", get(pick::amount).fallback(wrong_method))
        .route("/r/{token}/pick/{product}/confirm", get(pick::confirm).fallback(wrong_method))
        .route("/r/{token}/redeem", post(take::take).fallback(wrong_method))
        .route("/r/{token}/codes/{redemption}", get(code::show).fallback(wrong_method))
        .route("/r/{token}/terms/{product}", get(terms::show).fallback(wrong_method))
        .route(PREVIEW_PATH, get(preview::show).fallback(wrong_method))
        .route("/r", get(no_page).fallback(wrong_method))
        .route("/r/", get(no_page).fallback(wrong_method))
        .route("/r/{token}/{page}", get(no_page).fallback(no_page))
        .route("/r/{token}/{page}/{*more}", get(no_page).fallback(no_page))
        .route(STYLESHEET.path(), get(|| async { STYLESHEET.answer() }))
        .route(SCRIPT.path(), get(|| async { SCRIPT.answer() }))
        .layer(Extension(Guesses::new(clock.clone())))
        .layer(Extension(Quota::new(clock)))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(page::headers))
}

async fn no_page(guest: Guest) -> Refusal {
    guest.refuse(Why::Unknown)
}

async fn wrong_method(guest: Guest) -> Refusal {
    guest.refuse(Why::BadForm(StatusCode::METHOD_NOT_ALLOWED))
}

/// A bug: the reader gets a page, the log what happened.
fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a text");
    tracing::error!(panic = text, "a recipient's page panicked");
    Refusal::new(Language::default(), Why::Broken).into_response()
}
