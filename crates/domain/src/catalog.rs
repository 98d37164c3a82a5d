//! What can be ordered, and at which price points.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::fx::StoredRate;
use crate::money::{Currency, Money};

/// The price points of a product, in minor units of its currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prices {
    /// Just these, ascending.
    Fixed(Vec<i64>),
    /// `min + k × step` up to `max`.
    Range {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
        /// From one to the next; at least 1.
        step: i64,
    },
}

impl Prices {
    /// Whether `minor` is one of them.
    pub fn contains(&self, minor: i64) -> bool {
        match self {
            Self::Fixed(prices) => prices.binary_search(&minor).is_ok(),
            Self::Range { min, max, step } => {
                (*min..=*max).contains(&minor)
                    && minor.checked_sub(*min).and_then(|above| above.checked_rem(*step)) == Some(0)
            }
        }
    }

    /// The price points in words: `10.00, 25.00` or `10.00 to 500.00 in steps of 5.00`.
    pub fn in_words(&self, currency: Currency) -> String {
        let price = |minor: i64| Money::new(minor, currency).to_string();
        match self {
            Self::Fixed(prices) => prices.iter().copied().map(price).collect::<Vec<_>>().join(", "),
            Self::Range { min, max, step } => {
                format!("{} to {} in steps of {}", price(*min), price(*max), price(*step))
            }
        }
    }
}

/// A product of one brand in one currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrandedCard {
    /// Its id, 1 to 64 characters, chosen by the operator.
    pub product_id: String,
    /// The brand.
    pub brand_name: String,
    /// The name of the card: an order's `cardName`.
    pub product_name: String,
    /// ISO 3166-1 alpha-3.
    pub country_code: String,
    /// The currency of its prices.
    pub currency: Currency,
    /// The price points.
    pub prices: Prices,
    /// What it is.
    pub description: Option<String>,
    /// Its terms.
    pub terms: Option<String>,
    /// An image; never loaded by giftd.
    pub image_url: Option<String>,
}

/// A card design; the recipient picks the brand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChoiceCard {
    /// Its id, 1 to 64 characters, chosen by the operator; no branded card has the same.
    pub product_id: String,
    /// The name of the card.
    pub product_name: String,
    /// The currency of its range.
    pub currency: Currency,
    /// The range where the organization has none, in minor units.
    pub range: ChoiceRange,
    /// An image; never loaded by giftd.
    pub image_url: Option<String>,
}

/// From the least to the most that a choice card may hold, in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChoiceRange {
    /// The least; above 0.
    pub min: i64,
    /// The most.
    pub max: i64,
}

/// All that is listed now. A product that no longer is keeps its orders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// By product id.
    pub branded: BTreeMap<String, BrandedCard>,
    /// By product id.
    pub choice: BTreeMap<String, ChoiceCard>,
}

/// The catalog and the rates, as one version that a node may keep in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reference {
    /// Grows with each change.
    pub version: i64,
    /// What is listed.
    pub catalog: Catalog,
    /// By currency code.
    pub rates: BTreeMap<String, StoredRate>,
}

impl Reference {
    /// The rate that an order in `currency` is paid at: none needed in US dollars.
    pub fn rate(
        &self,
        currency: Currency,
        now: Timestamp,
        max_age: SignedDuration,
    ) -> Result<Option<crate::fx::Rate>, NoRate> {
        if currency == Currency::USD {
            return Ok(None);
        }
        match self.rates.get(currency.code()) {
            Some(stored) if stored.is_good(now, max_age) => Ok(Some(stored.rate)),
            Some(_) => Err(NoRate { currency, stale: true }),
            None => Err(NoRate { currency, stale: false }),
        }
    }
}

/// No usable rate, which is the operator's to mend: 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no {} exchange rate for {currency}", if *stale { "recent" } else { "known" })]
pub struct NoRate {
    /// The currency.
    pub currency: Currency,
    /// Whether there is one that is too old.
    pub stale: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_point_of_a_range_is_min_plus_k_steps() {
        let range = Prices::Range { min: 1000, max: 50_000, step: 500 };
        for (minor, is_one) in
            [(1000, true), (1500, true), (50_000, true), (1250, false), (500, false), (50_500, false)]
        {
            assert_eq!(range.contains(minor), is_one, "{minor}");
        }
        let fixed = Prices::Fixed(vec![1000, 2500]);
        assert!(fixed.contains(2500) && !fixed.contains(2000));
    }
}
