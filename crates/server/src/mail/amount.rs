//! Amounts for people.

use giftd_domain::money::{Currency, Money};

/// An amount as English writes it: with the currency's symbol where that names one currency only, as Unicode's CLDR
/// has it (`$50.00`, `CA$50.00`, `¥5,000`), else with its code (`CHF 50.00`).
pub fn readable(amount: Money) -> String {
    let number = grouped(&Money::new(amount.minor.saturating_abs(), amount.currency).to_string());
    let sign = if amount.minor < 0 { "-" } else { "" };
    match symbol(amount.currency) {
        Some(symbol) => format!("{sign}{symbol}{number}"),
        // Not to be broken between the two.
        None => format!("{sign}{}\u{a0}{number}", amount.currency),
    }
}

fn symbol(currency: Currency) -> Option<&'static str> {
    Some(match currency.code() {
        "USD" => "$",
        "EUR" => "€",
        "GBP" => "£",
        "JPY" => "¥",
        "KRW" => "₩",
        "CNY" => "CN¥",
        "INR" => "₹",
        "ILS" => "₪",
        "PHP" => "₱",
        "VND" => "₫",
        "AUD" => "A$",
        "BRL" => "R$",
        "CAD" => "CA$",
        "HKD" => "HK$",
        "MXN" => "MX$",
        "NZD" => "NZ$",
        "TWD" => "NT$",
        _ => return None,
    })
}

/// Digits with a comma before each three.
fn grouped(number: &str) -> String {
    let whole = number.find('.').unwrap_or(number.len());
    let mut grouped = String::with_capacity(number.len() + whole / 3);
    for (index, digit) in number.char_indices() {
        if index > 0 && index < whole && (whole - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_readable_and_their_currency_is_never_in_doubt() {
        for (code, minor, expected) in [
            ("USD", 5_000, "$50.00"),
            ("USD", 5, "$0.05"),
            ("USD", 123_456_789, "$1,234,567.89"),
            ("EUR", 5_000, "€50.00"),
            ("JPY", 5_000, "¥5,000"),
            ("JPY", 500, "¥500"),
            ("CNY", 10_000, "CN¥100.00"),
            ("CAD", 5_000, "CA$50.00"),
            ("SGD", 5_000, "SGD\u{a0}50.00"),
            ("KRW", 100_000, "₩100,000"),
            ("KWD", 1_234_500, "KWD\u{a0}1,234.500"),
            ("USD", -100_000, "-$1,000.00"),
        ] {
            let currency = Currency::from_code(code).expect(code);
            assert_eq!(readable(Money::new(minor, currency)), expected);
        }
    }
}
