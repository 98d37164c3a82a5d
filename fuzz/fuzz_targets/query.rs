//! The query string of the history: what is accepted is within its limits, says the same when it is written again
//! however it is encoded, and counts each day once.
#![no_main]

use giftd::api::orders::list;
use giftd::api::query::Query;
use giftd_domain::history::{Days, OrderFilter, OrderKind, PageRequest, Span};
use giftd_domain::limits;
use giftd_domain::orders::{CardType, OrderType};
use jiff::ToSpan as _;
use jiff::civil::Date;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(query) = std::str::from_utf8(data) else { return };
    let (filter, page) = match list::read(Query::parse(query)) {
        Ok(read) => read,
        Err(error) => {
            assert_eq!((error.status().as_u16(), error.code()), (400, "VALIDATION_ERROR"));
            let details = error.details();
            assert!((1..=limits::PROBLEMS).contains(&details.len()));
            assert!(details.iter().all(|detail| !detail.field.is_empty() && !detail.message.is_empty()));
            return;
        }
    };
    assert!((1..=limits::PAGE).contains(&page.page) && (1..=limits::PAGE_SIZE).contains(&page.page_size));
    for (text, most) in
        [(&filter.keyword, limits::SEARCH_CHARACTERS), (&filter.client_order_id, limits::IDEMPOTENCY_KEY_CHARACTERS)]
    {
        let Some(text) = text else { continue };
        assert!((1..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control), "{text:?}");
    }
    as_browsers_read_it(query, &filter);
    let written = written(&filter, page);
    for again in [form(&written), percent(&written)] {
        assert_eq!(list::read(Query::parse(&again)).ok(), Some((filter.clone(), page)), "{again}");
    }
    counts_each_day_once(filter.days);
    takes_what_holds_its_keyword(&filter);
});

/// Where ours accepts, browsers and ours decode alike.
fn as_browsers_read_it(query: &str, filter: &OrderFilter) {
    let values = |name: &str| -> Vec<String> {
        let pairs = form_urlencoded::parse(query.as_bytes());
        pairs.filter(|(found, _)| found == name).map(|(_, value)| value.into_owned()).collect()
    };
    let keyword: Vec<String> = values("searchKeyword").into_iter().filter(|value| !value.is_empty()).collect();
    assert_eq!(keyword, Vec::from_iter(filter.keyword.clone()));
    assert_eq!(values("clientOrderId"), Vec::from_iter(filter.client_order_id.clone()));
}

fn written(filter: &OrderFilter, page: PageRequest) -> Vec<(&'static str, String)> {
    let mut written = vec![("page", page.page.to_string()), ("pageSize", page.page_size.to_string())];
    let name = |name: &'static str| name.to_owned();
    written.extend(filter.order_type.map(|value| ("orderType", name(value.into()))));
    written.extend(filter.card_type.map(|value| ("cardType", name(value.into()))));
    written.extend(filter.status.map(|value| ("status", name(value.into()))));
    written.extend(filter.days.from.map(|date| ("startDate", date.to_string())));
    written.extend(filter.days.to.map(|date| ("endDate", date.to_string())));
    written.extend(filter.keyword.clone().map(|text| ("searchKeyword", text)));
    written.extend(filter.client_order_id.clone().map(|text| ("clientOrderId", text)));
    written
}

fn form(pairs: &[(&str, String)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// Each byte as its percent sign and digits, the last parameter first, with one that nobody knows.
fn percent(pairs: &[(&str, String)]) -> String {
    let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let pairs = pairs.iter().rev().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    pairs.chain(["&&x=%20&x".to_owned()]).collect::<Vec<_>>().join("&")
}

fn counts_each_day_once(days: Days) {
    // There are no rows before.
    let oldest = Date::constant(1970, 1, 1);
    let (first, last) = (days.from.unwrap_or(oldest), days.to.unwrap_or(Date::MAX));
    let near = |date: Date| [date.yesterday().ok(), Some(date), date.tomorrow().ok(), date.checked_add(1.month()).ok()];
    for date in near(first).into_iter().chain(near(last)).flatten().filter(|date| *date >= oldest) {
        let of = Span::of_date(date);
        let holds = |spans: Vec<std::ops::RangeInclusive<Span>>| {
            spans.iter().filter(|span| [of, of.month(), Span::ALL].iter().any(|part| span.contains(part))).count()
        };
        let wanted = usize::from((first..=last).contains(&date));
        assert_eq!(holds(days.spans()), wanted, "{date} in {days:?}");
        assert_eq!(holds(days.walk()), wanted, "{date} in {days:?}");
    }
    let (from, end) = days.ids();
    assert!(from <= end, "{days:?}");
}

/// An order whose card is named by the keyword, whatever the case, is one of those that are wanted.
fn takes_what_holds_its_keyword(filter: &OrderFilter) {
    let Some(keyword) = &filter.keyword else { return };
    let kind = OrderKind {
        order_type: filter.order_type.unwrap_or(OrderType::OneTime),
        card_type: filter.card_type.unwrap_or(CardType::BrandedCard),
        card_name: format!("A{keyword}b"),
        creator: "An app".to_owned(),
    };
    assert!(filter.takes(&kind), "{keyword:?}");
}
