//! Amounts, dates and waits as a language writes them.

use std::time::Duration;

use giftd_domain::Timestamp;
use giftd_domain::money::Money;
use jiff::tz::TimeZone;

use super::language::Language;
use super::texts::texts;

/// Digits of a group of an amount.
const GROUP: usize = 3;
/// A space at which no line breaks.
const SPACE: &str = "\u{a0}";
/// The same, narrow: what French groups digits with.
const NARROW_SPACE: &str = "\u{202f}";

/// An amount: `$1,234.50`, `1.234,50 €`.
pub fn amount(money: Money, language: Language) -> String {
    let number = number(money, language);
    let code = money.currency.code();
    let symbol = symbol(code, language);
    match language {
        // Symbols stand before, close; codes before, with a space.
        Language::En | Language::Ja | Language::Ko => match symbol {
            Some(symbol) => format!("{symbol}{number}"),
            None => format!("{code}{SPACE}{number}"),
        },
        Language::De | Language::Fr | Language::Es => format!("{number}{SPACE}{}", symbol.unwrap_or(code)),
    }
}

/// With exactly the currency's digits.
fn number(money: Money, language: Language) -> String {
    let (point, between, least) = match language {
        Language::En | Language::Ja | Language::Ko => (".", ",", 4),
        Language::De => (",", ".", 4),
        Language::Fr => (",", NARROW_SPACE, 4),
        // Spanish groups from five digits on.
        Language::Es => (",", ".", 5),
    };
    let plain = money.to_string();
    let (whole, decimals) = plain.split_once('.').map_or((plain.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut written = sign.to_owned();
    for (index, digit) in digits.char_indices() {
        if index > 0 && digits.len() >= least && (digits.len() - index).is_multiple_of(GROUP) {
            written.push_str(between);
        }
        written.push(digit);
    }
    if let Some(decimals) = decimals {
        written.push_str(point);
        written.push_str(decimals);
    }
    written
}

/// What a language calls a currency that it doesn't take for another one.
fn symbol(code: &str, language: Language) -> Option<&'static str> {
    Some(match (code, language) {
        ("USD", Language::En | Language::De | Language::Ja) => "$",
        ("USD", Language::Fr) => "$US",
        ("USD", Language::Es | Language::Ko) => "US$",
        ("EUR", _) => "€",
        ("GBP", _) => "£",
        ("JPY", Language::Ko) => "JP¥",
        ("JPY", _) => "¥",
        ("KRW", _) => "₩",
        _ => return None,
    })
}

/// The day of an instant, in UTC: `May 21, 2027`.
pub fn date(instant: Timestamp, language: Language) -> String {
    let date = instant.to_zoned(TimeZone::UTC).date();
    let texts = texts(language);
    let month = texts.say(&format!("month_{}", date.month()), &[]);
    let (day, year) = (date.day().to_string(), date.year().to_string());
    texts.say("date", &[("day", &day), ("month", &month), ("year", &year)])
}

/// The day and the minute of an instant: `May 21, 2027, 18:30 UTC`.
pub fn date_time(instant: Timestamp, language: Language) -> String {
    let time = instant.to_zoned(TimeZone::UTC).time();
    let time = format!("{:02}:{:02}", time.hour(), time.minute());
    texts(language).say("date_time", &[("date", &date(instant, language)), ("time", &time)])
}

/// After how long one may try again: `in 7 minutes`; rounded up.
pub fn wait(wait: Duration, language: Language) -> String {
    let texts = texts(language);
    let minutes = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).div_ceil(60);
    match minutes {
        0 | 1 => texts.say("wait_minute", &[]),
        2..=119 => texts.say("wait_minutes", &[("number", &minutes.to_string())]),
        _ => texts.say("wait_hours", &[("number", &minutes.div_ceil(60).to_string())]),
    }
}

#[cfg(test)]
mod tests {
    use giftd_domain::money::Currency;

    use super::*;

    fn written(minor: i64, code: &str, language: Language) -> String {
        amount(Money::new(minor, Currency::from_code(code).expect(code)), language)
    }

    #[test]
    fn an_amount_reads_as_in_the_language() {
        for (language, dollars, yen, francs) in [
            (Language::En, "$1,234.50", "¥5,000", "CHF\u{a0}12.05"),
            (Language::De, "1.234,50\u{a0}$", "5.000\u{a0}¥", "12,05\u{a0}CHF"),
            (Language::Fr, "1\u{202f}234,50\u{a0}$US", "5\u{202f}000\u{a0}¥", "12,05\u{a0}CHF"),
            (Language::Es, "1234,50\u{a0}US$", "5000\u{a0}¥", "12,05\u{a0}CHF"),
            (Language::Ja, "$1,234.50", "¥5,000", "CHF\u{a0}12.05"),
            (Language::Ko, "US$1,234.50", "JP¥5,000", "CHF\u{a0}12.05"),
        ] {
            assert_eq!(written(123_450, "USD", language), dollars, "{language:?}");
            assert_eq!(written(5_000, "JPY", language), yen, "{language:?}");
            assert_eq!(written(1_205, "CHF", language), francs, "{language:?}");
        }
    }

    #[test]
    fn digits_are_grouped_and_none_is_lost() {
        for (minor, code, expected) in [
            (5, "USD", "$0.05"),
            (99_999, "USD", "$999.99"),
            (100_000, "USD", "$1,000.00"),
            (123_456_789, "USD", "$1,234,567.89"),
            (-100_000, "USD", "$-1,000.00"),
            (1_234_500, "KWD", "KWD\u{a0}1,234.500"),
            (i64::MAX, "JPY", "¥9,223,372,036,854,775,807"),
        ] {
            assert_eq!(written(minor, code, Language::En), expected);
        }
        assert_eq!(written(1_234_567, "EUR", Language::Es), "12.345,67\u{a0}€");
    }

    #[test]
    fn a_date_reads_as_in_the_language() {
        let instant = "2027-05-21T08:30:59Z".parse().expect("an instant");
        for (language, expected) in [
            (Language::En, "May 21, 2027, 08:30 UTC"),
            (Language::De, "21. Mai 2027, 08:30 UTC"),
            (Language::Fr, "21 mai 2027, 08:30 UTC"),
            (Language::Es, "21 de mayo de 2027, 08:30 UTC"),
            (Language::Ja, "2027年5月21日 08:30（UTC）"),
            (Language::Ko, "2027년 5월 21일 08:30(UTC)"),
        ] {
            assert_eq!(date_time(instant, language), expected);
        }
        let months: std::collections::BTreeSet<_> = (1..=12)
            .map(|month| date(format!("2027-{month:02}-01T00:00:00Z").parse().expect("an instant"), Language::De))
            .collect();
        assert_eq!(months.len(), 12);
    }

    #[test]
    fn a_wait_is_rounded_up_to_minutes_and_later_to_hours() {
        for (seconds, expected) in [
            (0, "in a minute"),
            (60, "in a minute"),
            (61, "in 2 minutes"),
            (7_140, "in 119 minutes"),
            (7_141, "in 2 hours"),
            (7_201, "in 3 hours"),
            (86_400, "in 24 hours"),
        ] {
            assert_eq!(wait(Duration::from_secs(seconds), Language::En), expected);
        }
        assert_eq!(wait(Duration::from_millis(60_001), Language::Ja), "2 分後に");
    }
}
