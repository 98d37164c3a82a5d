//! `GET /r/{token}/terms/{product}`: what doesn't fit on the page of a code.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use minijinja::context;

use super::cards::branded;
use super::guest::Guest;
use super::page::see_other;
use super::refusal::{Refusal, Why};
use super::visit::{Access, Visit};
use crate::state::Giftd;

/// Shows a card's description and terms.
pub async fn show(State(giftd): State<Arc<Giftd>>, guest: Guest) -> Result<Response, Refusal> {
    let visit = Visit::of(&giftd, &guest).await?;
    if !matches!(visit.access(), Access::Open | Access::Codes) {
        return Ok(see_other(&visit.path()));
    }
    let card = branded(&giftd, guest.param("product")).await.map_err(|error| guest.failed(error))?;
    let card = card.ok_or_else(|| visit.refuse(Why::Unknown).back_to(visit.path()))?;
    let texts: Vec<_> = [card.description, card.terms].into_iter().flatten().collect();
    let shown = context! { card_name => card.product_name, terms => texts.join("\n\n") };
    visit.page("terms.html", StatusCode::OK, shown)
}
