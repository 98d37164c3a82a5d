//! `POST /r/{token}/verification`: a mail with a link that proves who controls the address.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use giftd_domain::gifts::verification::VerificationRequested;
use giftd_domain::limits;
use minijinja::context;

use super::form::Purpose;
use super::guest::Guest;
use super::mask::masked;
use super::page::see_other;
use super::refusal::{Refusal, Why};
use super::visit::{Access, Visit};
use crate::state::Giftd;

/// Asks for the mail.
pub async fn request(State(giftd): State<Arc<Giftd>>, guest: Guest, body: Body) -> Result<Response, Refusal> {
    let (visit, form) = Visit::with_form(&giftd, &guest, body).await?;
    if !form.is_ours(giftd.keys.links(), visit.token(), visit.session.as_ref(), Purpose::Request) {
        return Err(visit.refuse(Why::Forged).back_to(visit.path()));
    }
    match visit.access() {
        Access::Covered | Access::CoveredCodes => {}
        Access::Open | Access::Codes => return Ok(see_other(&visit.path())),
        Access::Over => return Err(visit.refuse(Why::Expired)),
    }
    let now = giftd.clock.now();
    let requested = giftd.store.request_verification(visit.gift(), visit.link.link_version, now).await;
    match requested.map_err(|error| guest.failed(error))? {
        VerificationRequested::Requested { .. } => {
            giftd.wake.all();
            Ok(see_other(&format!("{}/verification", visit.path())))
        }
        VerificationRequested::TooMany { wait } => {
            let wait = Duration::try_from(wait).unwrap_or_default();
            Err(visit.refuse(Why::TooManyMails(wait)).back_to(visit.path()))
        }
        VerificationRequested::Refused(why) => Err(visit.refuse(why.into())),
    }
}

/// Says that the mail is on its way; reloading this asks for no other.
pub async fn on_its_way(State(giftd): State<Arc<Giftd>>, guest: Guest) -> Result<Response, Refusal> {
    let visit = Visit::of(&giftd, &guest).await?;
    match (visit.access(), visit.at_hand.gift.recipient.email.as_deref()) {
        (Access::Covered | Access::CoveredCodes, Some(address)) => {
            let shown = context! { masked => masked(address), minutes => limits::VERIFICATION_MINUTES };
            visit.page("on_its_way.html", StatusCode::OK, shown)
        }
        _ => Ok(see_other(&visit.path())),
    }
}
