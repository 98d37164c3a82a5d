//! Money: whole minor units of one currency. Never a binary fraction.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;

/// A currency of ISO 4217 that has minor digits: its code and how many digits an amount has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// The currency of balances and costs.
    pub const USD: Self = Self(iso_currency::Currency::USD);

    /// The currency of an alphabetic code in capitals; none for unknown codes and for codes without
    /// minor digits (gold, testing).
    pub fn from_code(code: &str) -> Option<Self> {
        iso_currency::Currency::from_code(code).filter(|currency| currency.exponent().is_some()).map(Self)
    }

    /// The three letters of the code.
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// Digits after the decimal point: 2 for USD, 0 for JPY.
    pub fn minor_digits(self) -> u32 {
        self.0.exponent().map_or(2, u32::from)
    }

    /// `of` in minor units; `Err` tells a client why it is none.
    pub fn minor_units(self, of: Decimal) -> Result<i64, NotAnAmount> {
        let digits = self.minor_digits();
        let exact = of.normalize();
        if exact.scale() > digits {
            return Err(NotAnAmount::TooManyDecimals { currency: self, digits });
        }
        let mut scaled = exact;
        scaled.rescale(digits);
        if scaled.scale() != digits {
            return Err(NotAnAmount::TooLarge);
        }
        i64::try_from(scaled.mantissa()).map_err(|_| NotAnAmount::TooLarge)
    }

    /// `minor` units as a decimal: 5000 cents are 50.00.
    pub fn decimal(self, minor: i64) -> Decimal {
        Decimal::new(minor, self.minor_digits())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(code: &str) -> Result<Self, UnknownCurrency> {
        Self::from_code(code).ok_or_else(|| UnknownCurrency(code.to_owned()))
    }
}

/// A code that ISO 4217 does not list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an ISO 4217 currency code such as USD or JPY")]
pub struct UnknownCurrency(String);

/// Why a number is no amount of a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAmount {
    /// More decimals than the currency has.
    #[error("{currency} has {digits} decimals, the amount has more")]
    TooManyDecimals {
        /// The currency.
        currency: Currency,
        /// The decimals it has.
        digits: u32,
    },
    /// More than fits into 64 bits of minor units.
    #[error("the amount is too large")]
    TooLarge,
}

/// Minor units of a currency. Amounts of different currencies neither add nor compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Money {
    /// Minor units: cents of USD, whole yen of JPY.
    pub minor: i64,
    /// The currency.
    pub currency: Currency,
}

impl Money {
    /// `minor` units of `currency`.
    pub fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// `cents` of US dollars.
    pub fn usd(cents: i64) -> Self {
        Self::new(cents, Currency::USD)
    }
}

/// Exactly the currency's minor digits, as on the wire: `50.00`, `5000`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.currency.decimal(self.minor))
    }
}

/// The sum of minor units; none when it leaves 64 bits.
pub fn sum(amounts: impl IntoIterator<Item = i64>) -> Option<i64> {
    amounts.into_iter().try_fold(0_i64, i64::checked_add)
}

/// A number as it is written in JSON (RFC 8259 section 6), by its digits: `50`, `50.00` and `5e1` are
/// the same. None for anything with more than 28 significant digits.
pub fn decimal_from_json(number: &str) -> Option<Decimal> {
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.trim_start_matches('+').parse::<i32>().ok()?),
        None => (number, 0),
    };
    let value = Decimal::from_str_exact(mantissa).ok()?.normalize();
    if value.is_zero() {
        return Some(Decimal::ZERO);
    }
    let scale = i64::from(value.scale()).checked_sub(i64::from(exponent))?;
    let moved = if scale >= 0 {
        Decimal::try_from_i128_with_scale(value.mantissa(), u32::try_from(scale).ok()?).ok()?
    } else {
        let factor = 10_i128.checked_pow(u32::try_from(scale.checked_neg()?).ok()?)?;
        Decimal::try_from_i128_with_scale(value.mantissa().checked_mul(factor)?, 0).ok()?
    };
    Some(moved.normalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minor(code: &str, number: &str) -> Result<i64, NotAnAmount> {
        let currency = Currency::from_code(code).expect(code);
        currency.minor_units(decimal_from_json(number).expect(number))
    }

    #[test]
    fn decimals_count_by_value() {
        for (code, number, expected) in [
            ("USD", "50", 5000),
            ("USD", "50.00", 5000),
            ("USD", "50.000", 5000),
            ("USD", "0.5e2", 5000),
            ("USD", "5e+1", 5000),
            ("USD", "5000E-2", 5000),
            ("USD", "-1.10", -110),
            ("JPY", "1000.0", 1000),
            ("JPY", "1e3", 1000),
            ("KWD", "1.234", 1234),
            ("USD", "0e99999", 0),
        ] {
            assert_eq!(minor(code, number), Ok(expected), "{number} {code}");
        }
    }

    #[test]
    fn more_decimals_than_the_currency_has_are_refused() {
        assert!(matches!(minor("USD", "1.005"), Err(NotAnAmount::TooManyDecimals { digits: 2, .. })));
        assert!(matches!(minor("JPY", "0.5"), Err(NotAnAmount::TooManyDecimals { digits: 0, .. })));
        assert_eq!(minor("USD", "92233720368547758.08"), Err(NotAnAmount::TooLarge));
        assert_eq!(minor("USD", "92233720368547758.07"), Ok(i64::MAX));
        assert_eq!(decimal_from_json("1e400"), None);
        assert_eq!(decimal_from_json("1e-29"), None);
        assert_eq!(decimal_from_json("1.00000000000000000000000000001"), None);
    }

    #[test]
    fn money_is_written_with_exactly_the_minor_digits() {
        assert_eq!(Money::usd(5000).to_string(), "50.00");
        assert_eq!(Money::usd(-5).to_string(), "-0.05");
        assert_eq!(Money::new(5000, Currency::from_code("JPY").expect("yen")).to_string(), "5000");
    }
}
