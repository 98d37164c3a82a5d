//! The query string: known parameters are read, and all that is wrong with them is told at once;
//! unknown ones are ignored.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use giftd_domain::history::PageRequest;
use giftd_domain::problems::Problems;
use giftd_domain::{limits, text};
use jiff::civil::Date;

use super::error::ApiError;
use super::wire::WireEnum;

/// The parameters of a request. Each known one is taken by name; [`Self::finish`] tells what was wrong.
/// What was absent or wrong comes back as none.
pub struct Query {
    parameters: Vec<(String, String)>,
    problems: Problems,
}

impl Query {
    /// Splits and decodes a query string (`application/x-www-form-urlencoded`).
    pub fn parse(query: &str) -> Self {
        let mut problems = Problems::new();
        let mut parameters = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (decoded(name), decoded(value)) {
                (Some(name), Some(value)) => parameters.push((name, value)),
                (name, _) => problems.add(
                    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "query".to_owned()),
                    "INVALID_ENCODING",
                    "must be UTF-8, each byte that is not plain written as % and two hexadecimal digits",
                ),
            }
        }
        Self { parameters, problems }
    }

    /// `page` (from 1) and `pageSize` (1 to 100, else 20). Outside of that is a problem, never clamped.
    pub fn page(&mut self) -> PageRequest {
        PageRequest {
            page: self.number("page", limits::PAGE).unwrap_or(1),
            page_size: self.number("pageSize", limits::PAGE_SIZE).unwrap_or(limits::PAGE_SIZE_DEFAULT),
        }
    }

    /// `startDate` and `endDate`, days in UTC, both inclusive.
    pub fn dates(&mut self) -> (Option<Date>, Option<Date>) {
        let (start, end) = (self.date("startDate"), self.date("endDate"));
        if let (Some(start), Some(end)) = (start, end)
            && start > end
        {
            self.problems.add("startDate", "AFTER_END", "must not be after endDate");
        }
        (start, end)
    }

    /// A day as ISO 8601 has it: `2026-11-22`.
    pub fn date(&mut self, name: &str) -> Option<Date> {
        let value = self.take(name)?;
        let has_form = value.len() == 10
            && value
                .bytes()
                .enumerate()
                .all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() });
        let date = value.parse().ok().filter(|_| has_form);
        if date.is_none() {
            self.problems.add(name, "INVALID_DATE", "must be a day such as 2026-11-22");
        }
        date
    }

    /// One of a few names.
    pub fn choice<E: WireEnum>(&mut self, name: &str) -> Option<E> {
        let value = self.take(name)?;
        let choice = E::from_name(&value);
        if choice.is_none() {
            self.problems.add(name, "UNKNOWN_VALUE", format!("must be one of {}", E::names()));
        }
        choice
    }

    /// Words to search for, at most `max` characters; empty is absent.
    pub fn keyword(&mut self, name: &str, max: usize) -> Option<String> {
        let value = self.take(name).filter(|value| !value.is_empty())?;
        self.line(name, value, max)
    }

    /// A text that is compared as a whole, 1 to `max` characters. Empty is a problem: taken for absent
    /// it would find everything.
    pub fn exact(&mut self, name: &str, max: usize) -> Option<String> {
        let value = self.take(name)?;
        if value.is_empty() {
            self.problems.add(name, "BLANK", "must not be empty");
            return None;
        }
        self.line(name, value, max)
    }

    /// All that was wrong, once everything known was taken.
    pub fn finish(self) -> Result<(), ApiError> {
        if self.problems.is_empty() { Ok(()) } else { Err(self.problems.into()) }
    }

    fn number(&mut self, name: &str, max: u32) -> Option<u32> {
        let value = self.take(name)?;
        let is_plain = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let number = value.parse().ok().filter(|number| is_plain && (1..=max).contains(number));
        if number.is_none() {
            self.problems.add(name, "OUT_OF_RANGE", format!("must be a whole number from 1 to {max}"));
        }
        number
    }

    fn line(&mut self, name: &str, value: String, max: usize) -> Option<String> {
        match text::line(&value, max) {
            Ok(()) => Some(value),
            Err(error) => {
                self.problems.add(name, error.code(), error.to_string());
                None
            }
        }
    }

    /// The parameter's value. Of two that are there, neither is taken to be meant.
    fn take(&mut self, name: &str) -> Option<String> {
        let (mut taken, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.parameters).into_iter().partition(|(parameter, _)| parameter == name);
        self.parameters = others;
        if taken.len() > 1 {
            self.problems.add(name, "DUPLICATE_FIELD", "is there more than once");
            return None;
        }
        taken.pop().map(|(_, value)| value)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

/// Strictly decoded; the crate that browsers' rules come from would replace what is broken.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hexadecimal(rest.next()?)? << 4 | hexadecimal(rest.next()?)?,
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use giftd_domain::access::Environment;
    use giftd_domain::ledger::EntryType;

    use super::*;

    fn wrong(query: &str, read: impl FnOnce(&mut Query)) -> Vec<String> {
        let mut query = Query::parse(query);
        read(&mut query);
        let error = query.finish().err();
        let details = error.as_ref().map_or(&[][..], |error| error.details());
        details.iter().map(|detail| format!("{} {}", detail.field, detail.code)).collect()
    }

    #[test]
    fn page_is_from_1_and_page_size_1_to_100_default_20() {
        let page = |query: &str| Query::parse(query).page();
        assert_eq!(page(""), PageRequest { page: 1, page_size: 20 });
        assert_eq!(page("page=7&pageSize=100"), PageRequest { page: 7, page_size: 100 });
        assert_eq!(page("pageSize=1&page=1000000000"), PageRequest { page: 1_000_000_000, page_size: 1 });
    }

    #[test]
    fn outside_that_is_400_never_clamped() {
        for bad in ["0", "-1", "+1", "1.0", "", "abc", "1e1", "99999999999999999999", "%31%20"] {
            let found =
                wrong(&format!("page={}&pageSize={}", bad.replace('+', "%2B"), bad.replace('+', "%2B")), |query| {
                    query.page();
                });
            assert_eq!(found, ["page OUT_OF_RANGE", "pageSize OUT_OF_RANGE"], "{bad}");
        }
        assert_eq!(
            wrong("pageSize=101", |query| {
                query.page();
            }),
            ["pageSize OUT_OF_RANGE"]
        );
    }

    #[test]
    fn dates_are_iso_days_and_start_after_end_is_400() {
        let dates = |query: &str| Query::parse(query).dates();
        let day = |text: &str| Some(text.parse::<Date>().expect("a day"));
        assert_eq!(dates("startDate=2026-02-28&endDate=2026-02-28"), (day("2026-02-28"), day("2026-02-28")));
        assert_eq!(dates("endDate=2024-02-29"), (None, day("2024-02-29")));
        assert_eq!(
            wrong("startDate=2026-02-02&endDate=2026-02-01", |query| {
                query.dates();
            }),
            ["startDate AFTER_END"]
        );
        for bad in [
            "",
            "2026-02-30",
            "2026-2-3",
            "20260203",
            "2026-02-03T00:00:00Z",
            "02/03/2026",
            "2026-02-03%00",
            "+026-02-03",
            "-02026-1-1",
        ] {
            assert_eq!(
                wrong(&format!("endDate={bad}"), |query| {
                    query.dates();
                }),
                ["endDate INVALID_DATE"],
                "{bad}"
            );
        }
    }

    #[test]
    fn an_unknown_enum_value_is_400() {
        assert_eq!(Query::parse("type=USE").choice("type"), Some(EntryType::Use));
        let internal = wrong("type=ISSUE", |query| {
            query.choice::<EntryType>("type");
        });
        assert_eq!(internal, ["type UNKNOWN_VALUE"], "a posting that clients don't see");
        assert_eq!(Query::parse("e=SANDBOX").choice("e"), Some(Environment::Sandbox));
        for bad in ["", "sandbox", "ALL", "SANDBOX%20", "%00"] {
            assert_eq!(
                wrong(&format!("e={bad}"), |query| {
                    query.choice::<Environment>("e");
                }),
                ["e UNKNOWN_VALUE"],
                "{bad}"
            );
        }
    }

    #[test]
    fn unknown_parameters_are_ignored_and_known_ones_may_be_there_once() {
        assert_eq!(wrong("utm=1&utm=2&x&=&&page=2", |query| assert_eq!(query.page().page, 2)), Vec::<String>::new());
        assert_eq!(
            wrong("page=2&page=2", |query| {
                query.page();
            }),
            ["page DUPLICATE_FIELD"]
        );
    }

    #[test]
    fn search_words_have_no_control_characters() {
        let keyword = |query: &str| Query::parse(query).keyword("q", 10);
        assert_eq!(keyword("q=Sakura+B%C3%BC%2B").as_deref(), Some("Sakura Bü+"));
        assert_eq!(keyword("q="), None);
        for (bad, code) in [
            ("%00", "CONTROL_CHARACTER"),
            ("a%0Ab", "CONTROL_CHARACTER"),
            ("%C2%85", "CONTROL_CHARACTER"),
            ("abcdefghijk", "TOO_LONG"),
        ] {
            assert_eq!(
                wrong(&format!("q={bad}"), |query| {
                    query.keyword("q", 10);
                }),
                [format!("q {code}")]
            );
        }
    }

    #[test]
    fn an_empty_text_to_compare_is_refused_instead_of_finding_everything() {
        assert_eq!(
            wrong("clientOrderId=", |query| {
                query.exact("clientOrderId", 64);
            }),
            ["clientOrderId BLANK"]
        );
        assert_eq!(Query::parse("clientOrderId=a").exact("clientOrderId", 64).as_deref(), Some("a"));
    }

    #[test]
    fn broken_percent_signs_and_bytes_that_are_no_utf_8_are_400() {
        for bad in ["%", "%4", "%zz", "%+1", "%ff", "%C3", "%ED%A0%80"] {
            assert_eq!(
                wrong(&format!("q={bad}"), |query| {
                    query.keyword("q", 10);
                }),
                ["q INVALID_ENCODING"],
                "{bad}"
            );
        }
        for nameless in ["%ff=1", "=%", "%"] {
            assert_eq!(wrong(nameless, |_| ()), ["query INVALID_ENCODING"], "{nameless}");
        }
    }
}
