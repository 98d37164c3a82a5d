//! `POST /r/{token}/redeem`: reserve, ask the supplier, settle. The form's redemption id makes a double tap one
//! redemption, also on two nodes.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use giftd_domain::gifts::redemption::{NotRedeemable, Redemption, RedemptionId, RedemptionState, Reserve, Reserved};
use giftd_domain::money::Money;
use giftd_domain::{Timestamp, limits};
use jiff::SignedDuration;

use super::code;
use super::form::{Form, Purpose};
use super::guest::Guest;
use super::offer::{Offer, read_amount};
use super::page::see_other;
use super::pick;
use super::refusal::{Refusal, Why};
use super::visit::Visit;
use crate::state::Giftd;
use crate::supplier;

/// Redeems a branded gift, or a part of a choice gift, and shows the code.
pub async fn take(State(giftd): State<Arc<Giftd>>, guest: Guest, body: Body) -> Result<Response, Refusal> {
    let (visit, form) = Visit::with_form(&giftd, &guest, body).await?;
    let forged = || visit.refuse(Why::Forged).back_to(visit.path());
    let id = form.field("redemption").and_then(code::read_id).ok_or_else(forged)?;
    if !form.is_ours(giftd.keys.links(), visit.token(), visit.session.as_ref(), Purpose::Redeem(id)) {
        return Err(forged());
    }
    visit.see_codes()?;
    // What this form did before counts, whatever has changed since.
    if let Some(known) = visit.at_hand.redemptions.iter().find(|redemption| redemption.id.0 == id) {
        return supply(&giftd, &guest, &visit, known).await;
    }
    visit.redeem()?;
    if visit.at_hand.gift.open() == 0 {
        return Ok(see_other(&visit.path()));
    }
    if refused_shortly(&visit) >= limits::REFUSALS_SHORTLY {
        return Err(code::out_of_stock(&visit));
    }
    let command = match wish(&giftd, &guest, &visit, &form, id).await? {
        Wish::Reserve(command) => command,
        Wish::Ask(response) => return Ok(response),
    };
    match giftd.store.reserve(command).await.map_err(|error| guest.failed(error))? {
        Reserved::New(redemption) | Reserved::Known(redemption) => supply(&giftd, &guest, &visit, &redemption).await,
        // Another form was faster: its code is on the gift's page.
        Reserved::Refused(NotRedeemable::Used) => Ok(see_other(&visit.path())),
        Reserved::Refused(why) => Err(visit.refuse(why.into()).back_to(visit.path())),
    }
}

/// Redemptions of the last minutes that the supplier refused: each is a row for ever, and nobody needs many.
fn refused_shortly(visit: &Visit<'_>) -> usize {
    let since = visit.now.saturating_sub(SignedDuration::from_mins(limits::REFUSAL_MINUTES)).unwrap_or(Timestamp::MIN);
    let released = visit.at_hand.redemptions.iter().filter(|one| one.state == RedemptionState::Released);
    released.filter(|redemption| redemption.settled_at.is_some_and(|at| at > since)).count()
}

/// What a form comes to.
enum Wish {
    Reserve(Reserve),
    Ask(Response),
}

async fn wish(giftd: &Giftd, guest: &Guest, visit: &Visit<'_>, form: &Form, id: u128) -> Result<Wish, Refusal> {
    let reserve = |product_id: &str, product_name: &str, face: Money, cost: i64| {
        Wish::Reserve(Reserve {
            gift: visit.gift(),
            link_version: visit.link.link_version,
            id: RedemptionId(id),
            product_id: product_id.to_owned(),
            product_name: product_name.to_owned(),
            face,
            cost,
            now: giftd.clock.now(),
        })
    };
    if !visit.is_choice() {
        let order = &visit.at_hand.order;
        return Ok(reserve(&order.product_id, &order.card_name, visit.amount(), visit.at_hand.gift.open()));
    }
    let offer = Offer::of(giftd, visit).await.map_err(|error| guest.failed(error))?;
    let not_offered = || pick::not_offered(visit);
    let card = form.field("product").and_then(|product| offer.card(product)).ok_or_else(not_offered)?;
    let minor = form.field("amount").and_then(|amount| read_amount(amount, card.currency)).ok_or_else(not_offered)?;
    let cost = offer.cost(card, minor).ok_or_else(not_offered)?;
    if cost > offer.left {
        return Err(visit.refuse(Why::TooMuch).back_to(visit.path()));
    }
    let face = Money::new(minor, card.currency);
    // The recipient agreed to what the page said.
    if form.field("cost") != Some(cost.to_string().as_str()) {
        return pick::ask(giftd, visit, card, face, cost, Some(id)).map(Wish::Ask);
    }
    Ok(reserve(&card.product_id, &card.product_name, face, cost))
}

/// Asks the supplier where its answer isn't known, and shows what became of it.
async fn supply(giftd: &Giftd, guest: &Guest, visit: &Visit<'_>, redemption: &Redemption) -> Result<Response, Refusal> {
    let asked = supplier::supply(giftd, visit.gift(), visit.at_hand.environment, redemption).await;
    let redemption = asked.map_err(|error| guest.failed(error))?;
    match redemption.state {
        RedemptionState::Done | RedemptionState::Reserved => Ok(see_other(&code::path(visit, redemption.id.0))),
        RedemptionState::Released => Err(code::out_of_stock(visit)),
    }
}
