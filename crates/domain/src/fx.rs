//! Exchange rates and what a gift costs.

use jiff::{SignedDuration, Timestamp};
use rust_decimal::{Decimal, RoundingStrategy};

use crate::money::Currency;

/// US dollars for one unit of a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(Decimal);

impl Rate {
    /// A rate from its decimal text; positive, at most 12 decimals and below a million.
    pub fn parse(text: &str) -> Result<Self, NotARate> {
        let value = Decimal::from_str_exact(text.trim()).map_err(|_| NotARate(text.to_owned()))?.normalize();
        if value <= Decimal::ZERO || value >= Decimal::from(1_000_000) || value.scale() > 12 {
            return Err(NotARate(text.to_owned()));
        }
        Ok(Self(value))
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a rate: a decimal above 0 and below 1000000 with at most 12 decimals, such as 0.006675")]
pub struct NotARate(String);

/// A rate as an operator set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRate {
    /// Whose.
    pub currency: Currency,
    /// US dollars for one unit.
    pub rate: Rate,
    /// When it was set, by the operator's clock.
    pub set_at: Timestamp,
}

impl StoredRate {
    /// Whether the rate may still be used.
    pub fn is_good(&self, now: Timestamp, max_age: SignedDuration) -> bool {
        now.duration_since(self.set_at) <= max_age
    }
}

/// Cents that `minor` units of `currency` cost: at the rate, rounded half-up, at least one. None when
/// that leaves 64 bits. Without a rate the amount is in US dollars.
pub fn cost_in_cents(minor: i64, currency: Currency, rate: Option<Rate>) -> Option<i64> {
    let Some(Rate(rate)) = rate else { return Some(minor.max(1)) };
    let dollars = currency.decimal(minor).checked_mul(rate)?;
    let cents = dollars.checked_mul(Decimal::ONE_HUNDRED)?;
    let rounded = cents.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero);
    i64::try_from(rounded.mantissa()).ok().map(|cents| cents.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_rounded_half_up_to_the_cent_and_at_least_one() {
        let yen = Currency::from_code("JPY").expect("yen");
        let rate = |text| Some(Rate::parse(text).expect(text));
        assert_eq!(cost_in_cents(5000, yen, rate("0.006675")), Some(3338));
        assert_eq!(cost_in_cents(1000, yen, rate("0.006674")), Some(667));
        assert_eq!(cost_in_cents(1, yen, rate("0.000001")), Some(1));
        assert_eq!(cost_in_cents(5, Currency::USD, None), Some(5));
        assert_eq!(cost_in_cents(i64::MAX, yen, rate("999999")), None);
        assert_eq!(cost_in_cents(3, Currency::from_code("EUR").expect("euro"), rate("1.5")), Some(5));
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for text in ["0", "-1", "1e3", "", "abc", "1000000", "0.0000000000001", "NaN"] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
        assert_eq!(Rate::parse("0.006675").expect("a rate").to_string(), "0.006675");
    }
}
