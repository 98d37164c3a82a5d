//! A link that was followed: which gift it opens, and how far.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use giftd_domain::access::Environment;
use giftd_domain::gifts::RedemptionStatus;
use giftd_domain::gifts::redemption::{GiftAtHand, Redemption, RedemptionState};
use giftd_domain::ids::GiftKey;
use giftd_domain::money::{Currency, Money};
use giftd_domain::orders::{CardType, OrderType};
use giftd_domain::{Timestamp, limits};
use minijinja::{Value, context};

use super::form::{Form, Purpose, csrf};
use super::guest::Guest;
use super::page::{self, Look};
use super::refusal::{Refusal, Why};
use super::session::Session;
use super::written;
use crate::links::{self, GiftLink};
use crate::state::Giftd;

/// A gift whose link someone has.
pub struct Visit<'a> {
    giftd: &'a Giftd,
    guest: &'a Guest,
    /// The link.
    pub link: GiftLink,
    /// The gift.
    pub at_hand: GiftAtHand,
    /// The recipient's session.
    pub session: Option<Session>,
    /// The time by the account's clock.
    pub now: Timestamp,
}

/// What a visitor may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// From whom, not what: the address isn't verified.
    Covered,
    /// The gift.
    Open,
    /// Only the codes that were revealed before the gift's time was over.
    Codes,
    /// The same, once the address is verified.
    CoveredCodes,
    /// Nothing any more.
    Over,
}

impl<'a> Visit<'a> {
    /// The gift of the link in the request's path, if it opens one now.
    pub async fn of(giftd: &'a Giftd, guest: &'a Guest) -> Result<Self, Refusal> {
        let link = link(giftd, guest).await?;
        Self::at(giftd, guest, link).await
    }

    /// The same, and the form that was sent. The gift is looked at when all of the form is there: a form that is
    /// held back doesn't act on what the gift was.
    pub async fn with_form(giftd: &'a Giftd, guest: &'a Guest, body: Body) -> Result<(Self, Form), Refusal> {
        let link = link(giftd, guest).await?;
        let form = guest.form(giftd, body).await?;
        guest.count_form(gift(link)).await.map_err(|refusal| refusal.back_to(path(guest)))?;
        Ok((Self::at(giftd, guest, link).await?, form))
    }

    async fn at(giftd: &'a Giftd, guest: &'a Guest, link: GiftLink) -> Result<Self, Refusal> {
        let session = Session::of(&guest.headers, giftd.keys.links(), guest.param("token"), giftd.clock.now());
        let gift = gift(link);
        let at_hand = giftd.store.gift_at_hand(gift).await.map_err(|error| guest.failed(error))?;
        let at_hand = at_hand.ok_or_else(|| guest.refuse(Why::Unknown))?;
        let now = at_hand.clock.time(giftd.clock.now());
        let visit = Self { giftd, guest, link, at_hand, session, now };
        let opens = visit.at_hand.gift.may_open(visit.at_hand.order.status, link.link_version);
        opens.map_err(|why| visit.refuse(why.into()))?;
        Ok(visit)
    }

    /// The gift, as the database calls it.
    pub fn gift(&self) -> GiftKey {
        gift(self.link)
    }

    /// The link's token.
    pub fn token(&self) -> &str {
        self.guest.param("token")
    }

    /// Where the gift's page is.
    pub fn path(&self) -> String {
        path(self.guest)
    }

    /// Whether the recipient's address is verified; a reward link has none, and is its own credential. An address
    /// that was erased proves nothing.
    pub fn is_verified(&self) -> bool {
        self.session.is_some() || self.at_hand.order.order_id.order_type == OrderType::Link
    }

    /// Whether the gift's time is over.
    pub fn is_over(&self) -> bool {
        let gift = &self.at_hand.gift;
        gift.redemption_status == RedemptionStatus::Expired || gift.expires_at.is_some_and(|end| self.now >= end)
    }

    /// What this visitor may see now.
    pub fn access(&self) -> Access {
        if !self.is_over() {
            return if self.is_verified() { Access::Open } else { Access::Covered };
        }
        let are_shown = self.codes_shown_until().is_none_or(|end| self.now < end);
        match self.codes().next() {
            Some(_) if are_shown && self.is_verified() => Access::Codes,
            Some(_) if are_shown => Access::CoveredCodes,
            _ => Access::Over,
        }
    }

    /// Refuses whoever may not see the codes.
    pub fn see_codes(&self) -> Result<(), Refusal> {
        match self.access() {
            Access::Open | Access::Codes => Ok(()),
            Access::Covered => Err(self.refuse(Why::Forged).back_to(self.path())),
            Access::CoveredCodes => Err(self.expired_with_codes()),
            Access::Over => Err(self.refuse(Why::Expired)),
        }
    }

    /// Refuses whoever may not redeem.
    pub fn redeem(&self) -> Result<(), Refusal> {
        self.see_codes()?;
        if self.is_over() { Err(self.refuse(Why::Expired).back_to(self.path())) } else { Ok(()) }
    }

    /// The page of a gift whose time is over, for who can still see its codes after another verification.
    pub fn expired_with_codes(&self) -> Refusal {
        let action = format!("{}/verification", self.path());
        self.refuse(Why::ExpiredWithCodes { action, csrf: self.csrf(Purpose::Request) })
    }

    /// Until when revealed codes are shown; none where the gift has no end yet.
    pub fn codes_shown_until(&self) -> Option<Timestamp> {
        let shown = Duration::from_secs(limits::CODE_SHOWN_DAYS.unsigned_abs().saturating_mul(24 * 3_600));
        self.at_hand.gift.expires_at.map(|end| end.saturating_add(shown).unwrap_or(Timestamp::MAX))
    }

    /// The redemptions that have a code or will have one, newest first.
    pub fn codes(&self) -> impl Iterator<Item = &Redemption> {
        self.at_hand.redemptions.iter().rev().filter(|redemption| redemption.state != RedemptionState::Released)
    }

    /// Whether the recipient picks the brand.
    pub fn is_choice(&self) -> bool {
        self.at_hand.order.card_type == CardType::ChoiceCard
    }

    /// What the gift is worth.
    pub fn amount(&self) -> Money {
        Money::new(self.at_hand.gift.amount, self.at_hand.order.total_amount.currency)
    }

    /// The token of a form.
    pub fn csrf(&self, purpose: Purpose) -> String {
        csrf(self.giftd.keys.links(), self.token(), self.session.as_ref(), purpose)
    }

    /// An amount, written for the reader.
    pub fn written(&self, money: Money) -> String {
        written::amount(money, self.guest.language)
    }

    /// Cents of US dollars, written for the reader.
    pub fn written_usd(&self, cents: i64) -> String {
        self.written(Money::new(cents, Currency::USD))
    }

    /// An instant for a page: in words and for machines.
    pub fn instant(&self, instant: Timestamp) -> Value {
        let words = written::date_time(instant, self.guest.language);
        context! { words, machine => format!("{instant:.0}") }
    }

    /// A page about this gift.
    pub fn page(&self, template: &str, status: StatusCode, shown: Value) -> Result<Response, Refusal> {
        let shown = context! { path => page::address(&self.path()), ..shown };
        page::render(self.look(), template, status, shown).map_err(|error| self.guest.broken(error))
    }

    /// A page that says why not.
    pub fn refuse(&self, why: Why) -> Refusal {
        self.guest.refuse(why).in_sandbox(self.look().sandbox)
    }

    fn look(&self) -> Look {
        Look { language: self.guest.language, sandbox: self.at_hand.environment == Environment::Sandbox }
    }
}

/// The link in the request's path.
async fn link(giftd: &Giftd, guest: &Guest) -> Result<GiftLink, Refusal> {
    match links::verify(giftd.keys.links(), guest.param("token")) {
        Some(link) => Ok(link),
        None => Err(guest.guessed().await),
    }
}

fn gift(link: GiftLink) -> GiftKey {
    GiftKey { account_id: link.account, order: link.order, position: link.position }
}

fn path(guest: &Guest) -> String {
    format!("/r/{}", guest.param("token"))
}
