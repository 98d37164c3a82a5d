//! What the rules of placing look at: a small catalog with every kind of price and rate, and an account.

use std::collections::BTreeMap;

use giftd_domain::Timestamp;
use giftd_domain::access::Environment;
use giftd_domain::account::Account;
use giftd_domain::catalog::{BrandedCard, Catalog, ChoiceCard, ChoiceRange, Prices, Reference};
use giftd_domain::fx::{Rate, StoredRate};
use giftd_domain::ids::{AccountId, OrganizationId, TemplateId};
use giftd_domain::money::Currency;
use giftd_domain::orders::place::{AccountSettings, Rules};
use jiff::SignedDuration;

/// Cents that the account has: 10,000.00 US dollars.
pub const FUNDS: i64 = 1_000_000;

/// By currency, the digits of its rate and how many of them are decimals, and the rate's age in hours.
const RATES: [(&str, i128, u32, i64); 3] = [("JPY", 6_675, 6, 1), ("KWD", 32_534, 4, 24), ("EUR", 11, 1, 25)];

pub struct World {
    reference: Reference,
    settings: AccountSettings,
}

impl World {
    pub fn new() -> Self {
        let branded = [
            ("10042", "USD", Prices::Fixed(vec![1_000, 2_500, 5_000, 10_000])),
            // Sums that leave 64 bits.
            ("10043", "USD", Prices::Range { min: 1, max: i64::MAX, step: 1 }),
            ("20001", "JPY", Prices::Range { min: 500, max: 50_000, step: 500 }),
            ("20002", "JPY", Prices::Range { min: 1, max: i64::MAX, step: 1 }),
            ("30001", "KWD", Prices::Range { min: 1_000, max: 100_000, step: 250 }),
            ("40001", "EUR", Prices::Fixed(vec![5_000])),
            ("50001", "CHF", Prices::Fixed(vec![5_000])),
        ];
        let branded = branded.map(|(id, code, prices)| BrandedCard {
            product_id: id.to_owned(),
            brand_name: "A brand".to_owned(),
            product_name: format!("Card {id}"),
            country_code: "USA".to_owned(),
            currency: currency(code),
            prices,
            description: None,
            terms: None,
            image_url: None,
        });
        let choice = ["55", "56"].map(|id| ChoiceCard {
            product_id: id.to_owned(),
            product_name: format!("Card {id}"),
            currency: Currency::USD,
            range: ChoiceRange { min: 500, max: 100_000 },
            image_url: None,
        });
        let catalog = Catalog {
            branded: branded.into_iter().map(|card| (card.product_id.clone(), card)).collect(),
            choice: choice.into_iter().map(|card| (card.product_id.clone(), card)).collect(),
        };
        let rates: BTreeMap<_, _> = RATES.into_iter().map(stored).collect();
        Self {
            reference: Reference { version: 1, catalog, rates },
            settings: AccountSettings {
                choice_range: None,
                templates: vec![TemplateId(1), TemplateId(12)],
                default_template: TemplateId(1),
            },
        }
    }

    pub fn rules(&self) -> Rules<'_> {
        Rules {
            account_id: AccountId(7),
            creator: "An app",
            organization: "Acme Corp",
            settings: &self.settings,
            reference: &self.reference,
            fx_max_age: SignedDuration::from_hours(24),
            now: now(),
            node_now: now(),
        }
    }

    /// The price points of a product and their currency.
    pub fn prices(&self, product_id: &str) -> Option<(Prices, Currency)> {
        let Catalog { branded, choice } = &self.reference.catalog;
        let branded = branded.get(product_id).map(|card| (card.prices.clone(), card.currency));
        let of_choice = |card: &ChoiceCard| Prices::Range { min: card.range.min, max: card.range.max, step: 1 };
        branded.or_else(|| choice.get(product_id).map(|card| (of_choice(card), card.currency)))
    }
}

/// The account's time.
pub fn now() -> Timestamp {
    "2026-11-22T18:30:00Z".parse().expect("an instant")
}

/// An account with [`FUNDS`].
pub fn account() -> Account {
    let mut account = Account::new(AccountId(7), OrganizationId(1), Environment::Production);
    account.charge(FUNDS, "top-up", now(), 1).expect("a top-up");
    account
}

/// What one minor unit is worth in cents, as a fraction; the rule says at this rate, rounded half-up.
pub fn cents_of_a_unit(currency: Currency) -> (i128, i128) {
    let (digits, decimals) = RATES
        .iter()
        .find(|rate| rate.0 == currency.code())
        .map_or((1, 0), |&(_, digits, decimals, _)| (digits, decimals));
    (digits * 100, 10_i128.pow(decimals + currency.minor_digits()))
}

fn stored((code, digits, decimals, hours): (&str, i128, u32, i64)) -> (String, StoredRate) {
    let rate = rust_decimal::Decimal::from_i128_with_scale(digits, decimals);
    let rate = Rate::parse(&rate.to_string()).expect("a rate");
    let set_at = now() - SignedDuration::from_hours(hours);
    (code.to_owned(), StoredRate { currency: currency(code), rate, set_at })
}

fn currency(code: &str) -> Currency {
    Currency::from_code(code).expect("a currency")
}
