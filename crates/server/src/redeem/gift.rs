//! `GET /r/{token}`: the gift, as far as the visitor may see it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use giftd_domain::gifts::redemption::Redemption;
use giftd_domain::limits;
use minijinja::{Value, context};

use super::cards::{about, about_unknown, branded, hue};
use super::code;
use super::form::Purpose;
use super::guest::Guest;
use super::mask::masked;
use super::offer::Offer;
use super::refusal::{Refusal, Why};
use super::visit::{Access, Visit};
use super::written;
use crate::mail::personal;
use crate::state::Giftd;

/// Shows the gift, or what may be known of it before the address is verified.
pub async fn show(State(giftd): State<Arc<Giftd>>, guest: Guest) -> Result<Response, Refusal> {
    let visit = Visit::of(&giftd, &guest).await?;
    match visit.access() {
        Access::Covered => covered(&visit),
        Access::Open | Access::Codes => open(&giftd, &guest, &visit).await,
        Access::CoveredCodes => Err(visit.expired_with_codes()),
        Access::Over => Err(visit.refuse(Why::Expired)),
    }
}

/// From whom, the card, to which address, until when: no message, no amount.
fn covered(visit: &Visit<'_>) -> Result<Response, Refusal> {
    let (order, gift) = (&visit.at_hand.order, &visit.at_hand.gift);
    let shown = context! {
        sender => order.email_setting.sender_name.as_str(),
        card_name => order.card_name.as_str(),
        hue => hue(&order.card_name),
        masked => gift.recipient.email.as_deref().map(masked).unwrap_or_default(),
        valid_until => gift.expires_at.map(|end| visit.instant(end)),
        csrf => visit.csrf(Purpose::Request),
    };
    visit.page("covered.html", StatusCode::OK, shown)
}

async fn open(giftd: &Giftd, guest: &Guest, visit: &Visit<'_>) -> Result<Response, Refusal> {
    let (order, gift) = (&visit.at_hand.order, &visit.at_hand.gift);
    let (is_choice, is_over) = (visit.is_choice(), visit.is_over());
    let is_open = !is_over && gift.open() > 0;
    let offer = match is_choice && is_open {
        true => {
            let offer = Offer::of(giftd, visit).await.map_err(|error| guest.failed(error))?;
            Some(offer.page(guest).await.map_err(|error| guest.broken(error))?)
        }
        false => None,
    };
    let about = if is_choice {
        None
    } else {
        let card = branded(giftd, &order.product_id).await.map_err(|error| guest.failed(error))?;
        Some(card.map_or_else(|| about_unknown(&order.card_name), |card| about(visit, &card)))
    };
    let codes = Codes::of(giftd, guest, visit);
    let shown = context! {
        sender => order.email_setting.sender_name.as_str(),
        card_name => order.card_name.as_str(),
        hue => hue(&order.card_name),
        amount => visit.written(visit.amount()),
        left => is_choice.then(|| visit.written_usd(if is_over { 0 } else { gift.open() })),
        message_lines => message(visit).map(|message| message.lines().map(Value::from).collect::<Vec<_>>()),
        valid_until => gift.expires_at.filter(|_| !is_over).map(|end| visit.instant(end)),
        is_over,
        is_branded => !is_choice,
        is_used => gift.open() == 0 && gift.reserved == 0,
        shown_until => visit.codes_shown_until().map(|end| written::date(end, guest.language)),
        reveal => (!is_choice && is_open).then(|| reveal(giftd, visit)),
        codes => codes.shown,
        newer_codes => codes.newer,
        older_codes => codes.older,
        offer,
        about,
    };
    visit.page("gift.html", StatusCode::OK, shown)
}

/// The message as in the gift's mail.
fn message(visit: &Visit<'_>) -> Option<String> {
    let message = visit.at_hand.order.email_setting.message.as_deref()?;
    let filled = personal::filled(message, &visit.at_hand.gift.recipient);
    Some(filled.trim().to_owned()).filter(|message| !message.is_empty())
}

fn reveal(giftd: &Giftd, visit: &Visit<'_>) -> Value {
    let id = giftd.clock.entropy();
    context! { redemption => code::id_text(id), csrf => visit.csrf(Purpose::Redeem(id)) }
}

/// The codes of one page.
struct Codes {
    shown: Vec<Value>,
    newer: Option<usize>,
    older: Option<usize>,
}

impl Codes {
    fn of(giftd: &Giftd, guest: &Guest, visit: &Visit<'_>) -> Self {
        let all: Vec<&Redemption> = visit.codes().collect();
        let pages = all.len().div_ceil(limits::CODES_A_PAGE).max(1);
        let page = guest.query("codes").and_then(|page| page.parse::<usize>().ok()).unwrap_or(1).clamp(1, pages);
        let first = page.saturating_sub(1).saturating_mul(limits::CODES_A_PAGE);
        // The code of a branded gift has no page of its own that says more.
        let has_page = visit.is_choice();
        let shown = all.into_iter().skip(first).take(limits::CODES_A_PAGE);
        Self {
            shown: shown.map(|redemption| code::view(giftd, visit, redemption, has_page)).collect(),
            newer: (page > 1).then(|| page.saturating_sub(1)),
            older: (page < pages).then(|| page.saturating_add(1)),
        }
    }
}
