//! A currency and an amount, `USD 50.00`: what is accepted has exactly the written value and prints back to it.
#![no_main]

use giftd::api::fields::read_object;
use giftd::api::wire::{Amount, MoneyBody};
use giftd::mail::amount::readable;
use giftd_domain::money::{Currency, Money, NotAnAmount, decimal_from_json};
use libfuzzer_sys::fuzz_target;
use rust_decimal::Decimal;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (code, number) = text.split_once(' ').unwrap_or(("USD", text));
    let Some(currency) = Currency::from_code(code) else { return };
    if let Ok(minor) = number.parse() {
        prints_back(Money::new(minor, currency));
    }
    let body = format!("{{\"amount\": {number}}}");
    match read_object(body.as_bytes(), |fields| fields.required_decimal("amount")) {
        Ok(decimal) => accepted(currency, number, decimal),
        Err(error) => {
            assert_eq!(error.status(), 400);
            if error.details().iter().any(|detail| (&*detail.field, detail.code) == ("amount", "OUT_OF_RANGE")) {
                refused_number(number);
            }
        }
    }
});

fn accepted(currency: Currency, number: &str, decimal: Decimal) {
    let written = Written::parse(number).expect("what is accepted is a JSON number");
    assert_eq!(Written::parse(&decimal.to_string()), Some(written.clone()), "{number} is read by its value");
    match currency.minor_units(decimal) {
        Ok(minor) => {
            let money = Money::new(minor, currency);
            assert_eq!(Written::parse(&money.to_string()), Some(written), "{number} {currency} prints back");
            prints_back(money);
        }
        Err(NotAnAmount::TooManyDecimals { currency: of, digits }) => {
            assert_eq!((of, digits), (currency, currency.minor_digits()));
            assert!(written.exponent < -i64::from(digits), "{number} has no more decimals than {currency}");
        }
        Err(NotAnAmount::TooLarge) => {
            let integer_digits = i64::try_from(written.digits.len()).expect("few") + written.exponent;
            let of_64_bits = 19 - i64::from(currency.minor_digits());
            assert!(integer_digits >= of_64_bits, "{number} {currency} fits into 64 bits");
        }
    }
}

/// Only with an exponent, or with more digits than 28.
fn refused_number(number: &str) {
    let is_plain = !number.contains(['e', 'E']) && number.bytes().filter(u8::is_ascii_digit).count() <= 28;
    assert!(!is_plain, "{number} is refused");
}

/// Printed with all its currency's digits; read again, the same; and so on the wire and in a mail.
fn prints_back(money: Money) {
    let Money { minor, currency } = money;
    let text = money.to_string();
    let decimals = text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    assert_eq!(decimals, usize::try_from(currency.minor_digits()).expect("few"), "{text} {currency}");
    let read = decimal_from_json(&text).expect("an amount is a number");
    assert_eq!(currency.minor_units(read), Ok(minor), "{text} {currency}");
    assert_eq!(currency.decimal(minor), read);
    assert_eq!(serde_json::to_string(&Amount(money)).expect("JSON"), text);
    let body = serde_json::to_string(&MoneyBody::from(money)).expect("JSON");
    assert_eq!(body, format!("{{\"amount\":{text},\"currency\":\"{currency}\"}}"));
    if minor != i64::MIN {
        let digits: String = readable(money).chars().filter(|c| c.is_ascii_digit() || "-.".contains(*c)).collect();
        assert_eq!(digits, text, "what a mail says");
    }
}

/// A number as it is written, by our own reading: sign, significant digits and the place of the last.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Written {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Written {
    fn parse(number: &str) -> Option<Self> {
        let number = number.trim_matches([' ', '\t', '\n', '\r']);
        let (is_negative, number) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
        let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let all = format!("{whole}{fraction}");
        let significant = all.trim_end_matches('0');
        let digits = significant.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Self { is_negative: false, digits, exponent: 0 });
        }
        let dropped = i64::try_from(all.len() - significant.len()).ok()?;
        let exponent = exponent.parse::<i64>().ok()? - i64::try_from(fraction.len()).ok()? + dropped;
        Some(Self { is_negative, digits, exponent })
    }
}
