//! `GET /r/{token}/codes/{redemption}`: a code, or that it is being prepared.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use giftd_domain::gifts::redemption::{Redemption, RedemptionState};
use giftd_domain::limits;
use minijinja::{Value, context};

use super::cards::{about, about_unknown, branded, hue};
use super::guest::Guest;
use super::page::{address, see_other};
use super::refusal::{Refusal, Why};
use super::visit::{Access, Visit};
use super::written;
use crate::state::Giftd;
use crate::supplier;

/// A redemption's id as paths and forms have it: 32 hexadecimal digits.
pub fn id_text(id: u128) -> String {
    format!("{id:032x}")
}

/// Reads [`id_text`], and nothing else.
pub fn read_id(text: &str) -> Option<u128> {
    let id = u128::from_str_radix(text, 16).ok()?;
    (id_text(id) == text).then_some(id)
}

/// Where a redemption's code is.
pub fn path(visit: &Visit<'_>, id: u128) -> String {
    format!("{}/codes/{}", visit.path(), id_text(id))
}

/// Shows the code once there is one.
pub async fn show(State(giftd): State<Arc<Giftd>>, guest: Guest) -> Result<Response, Refusal> {
    let visit = Visit::of(&giftd, &guest).await?;
    if !matches!(visit.access(), Access::Open | Access::Codes) {
        return Ok(see_other(&visit.path()));
    }
    let id = read_id(guest.param("redemption"));
    let found = visit.at_hand.redemptions.iter().find(|redemption| Some(redemption.id.0) == id);
    let redemption = found.ok_or_else(|| visit.refuse(Why::Unknown).back_to(visit.path()))?;
    match redemption.state {
        RedemptionState::Reserved => preparing(&visit, redemption),
        RedemptionState::Released => Err(out_of_stock(&visit)),
        RedemptionState::Done => {
            let card = branded(&giftd, &redemption.product_id).await.map_err(|error| guest.failed(error))?;
            let mailed = visit.at_hand.gift.recipient.email.as_ref();
            let shown = context! {
                code => view(&giftd, &visit, redemption, false),
                hue => hue(&redemption.product_name),
                about => card.map_or_else(|| about_unknown(&redemption.product_name), |card| about(&visit, &card)),
                shown_until => mailed.and(visit.codes_shown_until()).map(|end| written::date(end, guest.language)),
            };
            visit.page("code.html", StatusCode::OK, shown)
        }
    }
}

/// The page for a supplier without a code.
pub fn out_of_stock(visit: &Visit<'_>) -> Refusal {
    visit.refuse(Why::OutOfStock { choice: visit.is_choice() }).back_to(visit.path())
}

/// Looks again by itself until there is a code.
fn preparing(visit: &Visit<'_>, redemption: &Redemption) -> Result<Response, Refusal> {
    let shown = context! {
        card_name => redemption.product_name.as_str(),
        face => visit.written(redemption.face),
        here => address(&path(visit, redemption.id.0)),
        seconds => limits::CODE_LOOK_AGAIN_SECONDS,
    };
    visit.page("preparing.html", StatusCode::OK, shown)
}

/// A code for a page; with the way to a page of its own where it has one.
pub fn view(giftd: &Giftd, visit: &Visit<'_>, redemption: &Redemption, has_page: bool) -> Value {
    let code = supplier::reveal(giftd, redemption);
    let is_preparing = redemption.state == RedemptionState::Reserved;
    context! {
        id => id_text(redemption.id.0),
        name => redemption.product_name.as_str(),
        face => visit.written(redemption.face),
        preparing => is_preparing,
        code => code.as_ref().map(|code| code.code.as_str()),
        pin => code.as_ref().and_then(|code| code.pin.as_deref()),
        path => (has_page || is_preparing).then(|| address(&path(visit, redemption.id.0))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_only_as_written() {
        for id in [0, 7, u128::MAX] {
            assert_eq!(read_id(&id_text(id)), Some(id));
        }
        for wrong in ["", "7", "+0000000000000000000000000000007", "FF", &"F".repeat(32), &"0".repeat(33), "é"] {
            assert_eq!(read_id(wrong), None, "{wrong}");
        }
    }
}
