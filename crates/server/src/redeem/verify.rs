//! `/r/{token}/verify/{verification}`: the link of a verification mail. Mail scanners follow links, so that
//! only the button behind it verifies; the session arises in the browser that presses it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use giftd_domain::gifts::verification::Verified;
use giftd_domain::limits;
use minijinja::context;

use super::form::Purpose;
use super::guest::Guest;
use super::page::{address, see_other};
use super::refusal::{Refusal, Why};
use super::session::Session;
use super::visit::{Access, Visit};
use crate::links;
use crate::state::Giftd;

/// Shows the button.
pub async fn show(State(giftd): State<Arc<Giftd>>, guest: Guest) -> Result<Response, Refusal> {
    let visit = Visit::of(&giftd, &guest).await?;
    let number = number(&giftd, &guest, &visit).await?;
    if visit.is_verified() {
        return Ok(see_other(&visit.path()));
    }
    if visit.access() == Access::Over {
        return Err(visit.refuse(Why::Expired));
    }
    let shown = context! {
        sender => visit.at_hand.order.email_setting.sender_name.as_str(),
        action => address(&format!("{}/verify/{}", visit.path(), guest.param("verification"))),
        csrf => visit.csrf(Purpose::Verify(number)),
        hours => limits::SESSION_HOURS,
    };
    visit.page("verify.html", StatusCode::OK, shown)
}

/// Verifies, and begins a session.
pub async fn verify(State(giftd): State<Arc<Giftd>>, guest: Guest, body: Body) -> Result<Response, Refusal> {
    let (visit, form) = Visit::with_form(&giftd, &guest, body).await?;
    let number = number(&giftd, &guest, &visit).await?;
    if visit.is_verified() {
        return Ok(see_other(&visit.path()));
    }
    if !form.is_ours(giftd.keys.links(), visit.token(), None, Purpose::Verify(number)) {
        return Err(visit.refuse(Why::Forged).back_to(visit.path()));
    }
    let verified = giftd.store.verify(visit.gift(), visit.link.link_version, number, giftd.clock.now()).await;
    match verified.map_err(|error| guest.failed(error))? {
        Verified::Yes => {
            let is_https = giftd.settings.public_url.as_deref().is_some_and(|url| url.starts_with("https://"));
            let nonce = giftd.clock.random_bytes();
            let cookie = Session::cookie(giftd.keys.links(), visit.token(), nonce, giftd.clock.now(), is_https);
            let mut response = see_other(&visit.path());
            let cookie = HeaderValue::try_from(cookie).map_err(|error| guest.broken(error))?;
            response.headers_mut().insert(SET_COOKIE, cookie);
            Ok(response)
        }
        Verified::Used => Err(visit.refuse(Why::LinkUsed).back_to(visit.path())),
        Verified::TooOld => Err(visit.refuse(Why::LinkTooOld).back_to(visit.path())),
        Verified::Unknown => Err(visit.refuse(Why::Dead)),
    }
}

/// The number of the verification; a wrong token counts as a guess.
async fn number(giftd: &Giftd, guest: &Guest, visit: &Visit<'_>) -> Result<u32, Refusal> {
    let number = links::verify_verification(giftd.keys.links(), visit.link, guest.param("verification"));
    match number {
        Some(number) => Ok(number),
        None => Err(guest.guessed().await),
    }
}
