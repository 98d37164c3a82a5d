//! `GET /r/{token}/pick/{product}`: how much of a choice gift becomes a code of one brand, and whether that
//! is right. Nothing is taken here.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use giftd_domain::catalog::BrandedCard;
use giftd_domain::money::Money;
use minijinja::context;

use super::cards::{about, hue, in_path};
use super::code;
use super::form::Purpose;
use super::guest::Guest;
use super::offer::{Offer, read_amount};
use super::page::{address, see_other};
use super::refusal::{Refusal, Why};
use super::visit::Visit;
use crate::state::Giftd;

/// Asks for the amount.
pub async fn amount(State(giftd): State<Arc<Giftd>>, guest: Guest) -> Result<Response, Refusal> {
    let visit = Visit::of(&giftd, &guest).await?;
    if let Some(elsewhere) = elsewhere(&visit) {
        return Ok(elsewhere);
    }
    let offer = Offer::of(&giftd, &visit).await.map_err(|error| guest.failed(error))?;
    choose(&guest, &visit, &offer, false)
}

/// Asks whether the amount is right.
pub async fn confirm(State(giftd): State<Arc<Giftd>>, guest: Guest) -> Result<Response, Refusal> {
    let visit = Visit::of(&giftd, &guest).await?;
    if let Some(elsewhere) = elsewhere(&visit) {
        return Ok(elsewhere);
    }
    let offer = Offer::of(&giftd, &visit).await.map_err(|error| guest.failed(error))?;
    let card = offer.card(guest.param("product")).ok_or_else(|| not_offered(&visit))?;
    let minor = guest.query("amount").and_then(|amount| read_amount(amount, card.currency));
    let priced = minor.and_then(|minor| Some((minor, offer.cost(card, minor)?)));
    match priced.filter(|(_, cost)| *cost <= offer.left) {
        Some((minor, cost)) => ask(&giftd, &visit, card, Money::new(minor, card.currency), cost, None),
        None => choose(&guest, &visit, &offer, true),
    }
}

/// Asks whether it is right that a code worth `face` takes `cost` cents; with a redemption id from before where
/// the cost has changed since.
pub fn ask(
    giftd: &Giftd,
    visit: &Visit<'_>,
    card: &BrandedCard,
    face: Money,
    cost: i64,
    changed: Option<u128>,
) -> Result<Response, Refusal> {
    let id = changed.unwrap_or_else(|| giftd.clock.entropy());
    let shown = context! {
        card_name => card.product_name.as_str(),
        hue => hue(&card.product_name),
        face => visit.written(face),
        takes => visit.written_usd(cost),
        stays => visit.written_usd(visit.at_hand.gift.open().saturating_sub(cost)),
        changed => changed.is_some(),
        csrf => visit.csrf(Purpose::Redeem(id)),
        redemption => code::id_text(id),
        product_id => card.product_id.as_str(),
        amount => face.to_string(),
        cost,
        pick_path => address(&format!("{}/pick/{}", visit.path(), in_path(&card.product_id))),
    };
    let status = if changed.is_some() { StatusCode::CONFLICT } else { StatusCode::OK };
    visit.page("confirm.html", status, shown)
}

fn choose(guest: &Guest, visit: &Visit<'_>, offer: &Offer, refused: bool) -> Result<Response, Refusal> {
    let card = offer.card(guest.param("product")).ok_or_else(|| not_offered(visit))?;
    let amounts = offer.amounts(card).ok_or_else(|| not_offered(visit))?;
    let shown = context! {
        about => about(visit, card),
        hue => hue(&card.product_name),
        amounts => amounts.page(card.currency, guest.language),
        left => visit.written_usd(offer.left),
        refused,
        confirm_path => address(&format!("{}/pick/{}/confirm", visit.path(), in_path(&card.product_id))),
    };
    let status = if refused { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    visit.page("pick.html", status, shown)
}

/// The gift's own page, where there is nothing to pick.
fn elsewhere(visit: &Visit<'_>) -> Option<Response> {
    let picks = visit.redeem().is_ok() && visit.is_choice() && visit.at_hand.gift.open() > 0;
    (!picks).then(|| see_other(&visit.path()))
}

/// The page for a brand or amount that can't be picked.
pub fn not_offered(visit: &Visit<'_>) -> Refusal {
    visit.refuse(Why::NotOffered).back_to(visit.path())
}
