//! What a choice gift can be spent on now: listed brands with a rate and a code, and their amounts that fit
//! what is left.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use giftd_domain::catalog::{BrandedCard, Prices, Reference};
use giftd_domain::money::{Currency, Money};
use giftd_domain::text::folded;
use giftd_domain::{Timestamp, fx, limits};
use giftd_store::StoreError;
use jiff::SignedDuration;
use minijinja::{Value, context};
use rust_decimal::Decimal;
use tokio::task::{JoinError, spawn_blocking};

use super::cards::{hue, in_path};
use super::countries;
use super::guest::Guest;
use super::language::Language;
use super::page::address;
use super::texts::texts;
use super::visit::Visit;
use super::written;
use crate::state::Giftd;
use crate::supplier::{InStock, in_stock};

/// Amounts of a brand up to which a list names them all.
const NAMED: usize = 4;
/// What stands for all countries where one is chosen.
const ALL: &str = "all";

/// What a gift can be spent on.
pub struct Offer {
    reference: Arc<Reference>,
    stock: Arc<InStock>,
    /// Cents that are left of the gift.
    pub left: i64,
    /// By the node's clock: rates age in real time, also in a sandbox.
    now: Timestamp,
    rates_good_for: SignedDuration,
}

/// Which brands a guest asks for.
struct Asked {
    language: Language,
    /// As it came, or where the guest probably is.
    country: Option<String>,
    /// From 1, as it came.
    page: usize,
}

impl Asked {
    fn of(guest: &Guest) -> Self {
        let country = guest.query("country").or_else(|| guest.country.map(|country| country.alpha_3));
        let page = guest.query("page").and_then(|page| page.parse().ok());
        Self { language: guest.language, country: country.map(str::to_owned), page: page.unwrap_or(1) }
    }
}

/// The amounts of a brand that fit, in minor units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Amounts {
    /// Just these, ascending; never empty.
    These(Vec<i64>),
    /// Too many to list.
    Range {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
        /// From one to the next.
        step: i64,
    },
}

impl Offer {
    /// What the gift of a visit can be spent on now.
    pub async fn of(giftd: &Giftd, visit: &Visit<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            reference: giftd.reference().await?,
            stock: in_stock(giftd, visit.at_hand.environment).await?,
            left: visit.at_hand.gift.open(),
            now: giftd.clock.now(),
            rates_good_for: SignedDuration::try_from(giftd.settings.fx_max_age).unwrap_or(SignedDuration::MAX),
        })
    }

    /// A listed card.
    pub fn card(&self, product_id: &str) -> Option<&BrandedCard> {
        self.reference.catalog.branded.get(product_id)
    }

    /// Cents that an amount of a card takes; none where it is no price point, or has no code or no rate.
    pub fn cost(&self, card: &BrandedCard, minor: i64) -> Option<i64> {
        let is_offered = card.prices.contains(minor) && self.stock.has(&card.product_id, minor);
        if is_offered { self.price(card, minor) } else { None }
    }

    /// The amounts of a card that fit; none where none does.
    pub fn amounts(&self, card: &BrandedCard) -> Option<Amounts> {
        // Ascending, and so are their costs: behind the first that costs too much, all do.
        let fits = |minor: &i64| self.fits(card, *minor);
        let amounts = match (&card.prices, &*self.stock) {
            (Prices::Fixed(prices), InStock::Everything) => {
                Amounts::These(prices.iter().copied().take_while(fits).collect())
            }
            (Prices::Fixed(_), InStock::These(these)) => {
                Amounts::These(with_code(these, card).take_while(fits).collect())
            }
            (Prices::Range { min, max, step }, InStock::Everything) => self.steps(card, *min, *max, *step)?,
            (Prices::Range { step, .. }, InStock::These(these)) => {
                let values = with_code(these, card).take_while(fits).collect::<Vec<_>>();
                match (values.first(), values.last()) {
                    (Some(&min), Some(&max)) if values.len() > limits::AMOUNTS_LISTED => {
                        Amounts::Range { min, max, step: *step }
                    }
                    _ => Amounts::These(values),
                }
            }
        };
        match amounts {
            Amounts::These(values) if values.is_empty() => None,
            amounts => Some(amounts),
        }
    }

    /// Whether any amount of a card fits: then its least one does.
    fn has_any(&self, card: &BrandedCard) -> bool {
        let least = match (&card.prices, &*self.stock) {
            (_, InStock::These(these)) => with_code(these, card).next(),
            (Prices::Fixed(prices), InStock::Everything) => prices.first().copied(),
            (Prices::Range { min, .. }, InStock::Everything) => Some(*min),
        };
        least.is_some_and(|minor| self.fits(card, minor))
    }

    /// All price points of a range from `min` to the last that fits: costs grow with amounts.
    fn steps(&self, card: &BrandedCard, min: i64, max: i64, step: i64) -> Option<Amounts> {
        let point = |index: i64| index.checked_mul(step).and_then(|above| min.checked_add(above));
        let fits = |index: i64| point(index).is_some_and(|minor| minor <= max && self.fits(card, minor));
        if !fits(0) {
            return None;
        }
        let mut last = 0;
        let mut beyond = max.checked_sub(min)?.checked_div(step)?.checked_add(1)?;
        while beyond.saturating_sub(last) > 1 {
            let middle = last.saturating_add(beyond.saturating_sub(last) / 2);
            if fits(middle) {
                last = middle;
            } else {
                beyond = middle;
            }
        }
        if usize::try_from(last).is_ok_and(|last| last < limits::AMOUNTS_LISTED) {
            return Some(Amounts::These((0..=last).filter_map(point).collect()));
        }
        Some(Amounts::Range { min, max: point(last)?, step })
    }

    fn fits(&self, card: &BrandedCard, minor: i64) -> bool {
        self.price(card, minor).is_some_and(|cost| cost <= self.left)
    }

    fn price(&self, card: &BrandedCard, minor: i64) -> Option<i64> {
        let rate = self.reference.rate(card.currency, self.now, self.rates_good_for).ok()?;
        fx::cost_in_cents(minor, card.currency, rate)
    }

    /// The brands for a page, of the country that the guest wants or probably is in. Fails only when making it
    /// panicked.
    pub async fn page(self, guest: &Guest) -> Result<Value, JoinError> {
        let asked = Asked::of(guest);
        if self.reference.catalog.branded.len() <= limits::BRANDS_LOOKED_AT {
            return Ok(self.listed(&asked));
        }
        spawn_blocking(move || self.listed(&asked)).await
    }

    fn listed(&self, asked: &Asked) -> Value {
        let language = asked.language;
        let fitting: Vec<_> = self.reference.catalog.branded.values().filter(|card| self.has_any(card)).collect();
        let codes: BTreeSet<_> = fitting.iter().map(|card| card.country_code.as_str()).collect();
        let country = asked.country.as_deref().filter(|wanted| codes.contains(wanted)).unwrap_or(ALL);
        let mut cards: Vec<_> =
            fitting.into_iter().filter(|card| country == ALL || card.country_code == country).collect();
        cards.sort_by_cached_key(|card| (folded(&card.product_name), card.product_id.clone()));

        let pages = cards.len().div_ceil(limits::BRANDS_A_PAGE).max(1);
        let page = asked.page.clamp(1, pages);
        let first = page.saturating_sub(1).saturating_mul(limits::BRANDS_A_PAGE);
        let shown = cards.into_iter().skip(first).take(limits::BRANDS_A_PAGE);
        let brands: Vec<_> = shown.map(|card| self.brand(card, language)).collect();
        let mut countries: Vec<_> = codes.iter().map(|code| (countries::name(code, language), *code)).collect();
        countries.sort_by_key(|(name, _)| folded(name));
        let countries: Vec<_> = countries.into_iter().map(|(name, code)| context! { name, code }).collect();
        context! {
            country,
            countries,
            brands,
            previous => (page > 1).then(|| page.saturating_sub(1)),
            next => (page < pages).then(|| page.saturating_add(1)),
        }
    }

    fn brand(&self, card: &BrandedCard, language: Language) -> Value {
        let write = |minor: i64| written::amount(Money::new(minor, card.currency), language);
        let between =
            |min: i64, max: i64| texts(language).say("price_range", &[("min", &write(min)), ("max", &write(max))]);
        let amounts = match self.amounts(card) {
            Some(Amounts::These(values)) => match values.as_slice() {
                [first, .., last] if values.len() > NAMED => between(*first, *last),
                few => few.iter().copied().map(write).collect::<Vec<_>>().join(" · "),
            },
            Some(Amounts::Range { min, max, .. }) => between(min, max),
            None => String::new(),
        };
        context! {
            id_in_path => address(&in_path(&card.product_id)),
            name => card.product_name.as_str(),
            hue => hue(&card.product_name),
            country => countries::name(&card.country_code, language),
            amounts,
        }
    }
}

/// The price points of a card that have a code, ascending.
fn with_code<'a>(
    these: &'a HashMap<String, BTreeSet<i64>>,
    card: &'a BrandedCard,
) -> impl Iterator<Item = i64> + use<'a> {
    these.get(&card.product_id).into_iter().flatten().copied().filter(|minor| card.prices.contains(*minor))
}

impl Amounts {
    /// For the page where one is chosen.
    pub fn page(&self, currency: Currency, language: Language) -> Value {
        let value = |minor: i64| Money::new(minor, currency).to_string();
        let words = |minor: i64| written::amount(Money::new(minor, currency), language);
        match self {
            Self::These(values) => {
                let list: Vec<_> =
                    values.iter().map(|&minor| context! { value => value(minor), words => words(minor) }).collect();
                context! { list }
            }
            Self::Range { min, max, step } => context! {
                list => (),
                currency => currency.code(),
                min => value(*min),
                max => value(*max),
                step => value(*step),
                min_words => words(*min),
                max_words => words(*max),
                step_words => words(*step),
            },
        }
    }
}

/// An amount as it is written into a field: also with a decimal comma.
pub fn read_amount(text: &str, currency: Currency) -> Option<i64> {
    let text = text.trim();
    let pointed = if text.contains('.') { text.to_owned() } else { text.replacen(',', ".", 1) };
    let is_number = !pointed.is_empty() && pointed.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let value = is_number.then(|| Decimal::from_str_exact(&pointed).ok()).flatten()?;
    currency.minor_units(value).ok()
}
