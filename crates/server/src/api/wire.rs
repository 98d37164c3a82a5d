//! How answers look on the wire: envelopes, pages, names of enums, money with all its digits and instants
//! with their milliseconds.

use std::borrow::Cow;
use std::fmt;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use giftd_domain::Timestamp;
use giftd_domain::access::Environment;
use giftd_domain::gifts::events::EventType;
use giftd_domain::gifts::{DeliveryStatus, RedemptionStatus};
use giftd_domain::history::{Page, PageRequest};
use giftd_domain::ledger::EntryType;
use giftd_domain::money::Money;
use giftd_domain::orders::resend::SkipReason;
use giftd_domain::orders::{CardType, OrderStatus, OrderType};
use giftd_domain::templates::Alignment;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use strum::VariantArray as _;
use utoipa::openapi::{Object, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::api::catalog::branded::PriceType;
use crate::api::orders::TimingType;

/// An enum with names on the wire.
pub trait WireEnum: Copy + Into<&'static str> + 'static {
    /// What clients may see and send.
    const LISTED: &'static [Self];

    /// All names, for messages.
    fn names() -> String {
        Self::LISTED.iter().map(|&value| value.into()).collect::<Vec<&str>>().join(", ")
    }

    /// The value of a name, exactly as it is written.
    fn from_name(name: &str) -> Option<Self> {
        Self::LISTED.iter().copied().find(|&value| value.into() == name)
    }
}

/// Each enum's name as a value of an answer, whose schema lists all names.
macro_rules! names {
    ($($name:ident($of:ident): $listed:expr;)*) => {$(
        impl WireEnum for $of {
            const LISTED: &'static [Self] = $listed;
        }

        #[doc = concat!("The name of a `", stringify!($of), "`.")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(pub $of);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.0.into())
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let names: Vec<&'static str> = $of::LISTED.iter().map(|&value| value.into()).collect();
                Object::builder().schema_type(Type::String).enum_values(Some(names)).into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($of))
            }
        }
    )*};
}

names! {
    EnvironmentName(Environment): Environment::VARIANTS;
    OrderTypeName(OrderType): OrderType::VARIANTS;
    CardTypeName(CardType): CardType::VARIANTS;
    OrderStatusName(OrderStatus): OrderStatus::VARIANTS;
    DeliveryStatusName(DeliveryStatus): DeliveryStatus::VARIANTS;
    RedemptionStatusName(RedemptionStatus): RedemptionStatus::VARIANTS;
    EventTypeName(EventType): EventType::VARIANTS;
    SkipReasonName(SkipReason): SkipReason::VARIANTS;
    AlignmentName(Alignment): Alignment::VARIANTS;
    TimingTypeName(TimingType): TimingType::VARIANTS;
    PriceTypeName(PriceType): PriceType::VARIANTS;
    // Not ISSUE, which moves nothing of what clients see.
    EntryTypeName(EntryType): &EntryType::LISTED;
}

/// An amount as a JSON number with exactly its currency's minor digits: `50.00`, `5000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, utoipa::ToSchema)]
#[schema(value_type = f64, example = 50.00)]
pub struct Amount(pub Money);

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        number(&self.0.to_string(), serializer)
    }
}

/// A decimal as a JSON number with the digits it has.
pub fn number<S: Serializer>(digits: &str, serializer: S) -> Result<S::Ok, S::Error> {
    RawValue::from_string(digits.to_owned()).map_err(serde::ser::Error::custom)?.serialize(serializer)
}

/// An amount with its currency: `{"amount": 50.00, "currency": "USD"}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = Money)]
pub struct MoneyBody {
    /// With exactly the currency's minor digits.
    #[schema(value_type = f64, example = 50.00)]
    pub amount: Amount,
    /// ISO 4217.
    #[schema(example = "USD")]
    pub currency: &'static str,
}

impl From<Money> for MoneyBody {
    fn from(money: Money) -> Self {
        Self { amount: Amount(money), currency: money.currency.code() }
    }
}

/// An instant in UTC with milliseconds: `2026-11-22T18:30:00.000Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, utoipa::ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-11-22T18:30:00.000Z")]
pub struct Instant(pub Timestamp);

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Cut, not rounded: nothing is shown later than it was.
        self.0.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").fmt(f)
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The envelope of a success.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Data<T> {
    /// What was asked for.
    pub data: T,
}

/// The envelope of a page.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Paged<T> {
    /// The rows of the page; none past the end.
    pub data: Vec<T>,
    /// Where the page lies.
    pub pagination: Pagination,
}

/// Where a page lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pagination {
    /// From 1.
    #[schema(minimum = 1, example = 1)]
    pub page: u32,
    /// Rows a page.
    #[schema(minimum = 1, maximum = 100, example = 20)]
    pub page_size: u32,
    /// All rows that match.
    #[schema(minimum = 0, example = 1)]
    pub total_items: u64,
    /// Pages that they make; 0 when there are none.
    #[schema(minimum = 0, example = 1)]
    pub total_pages: u64,
}

impl<T> Paged<T> {
    /// A page of rows, each as `shape` makes it.
    pub fn new<R>(page: Page<R>, asked: PageRequest, shape: impl FnMut(R) -> T) -> Self {
        let pagination = Pagination {
            page: asked.page,
            page_size: asked.page_size,
            total_items: page.total,
            total_pages: asked.pages(page.total),
        };
        Self { data: page.items.into_iter().map(shape).collect(), pagination }
    }
}

/// The page of `all`, in their order, and how many there are: for lists that are in memory as a whole.
pub fn page_of<T>(all: impl Iterator<Item = T>, page: PageRequest) -> Page<T> {
    let offset = usize::try_from(page.offset()).unwrap_or(usize::MAX);
    let size = usize::try_from(page.page_size).unwrap_or(usize::MAX);
    let all: Vec<T> = all.collect();
    let total = u64::try_from(all.len()).unwrap_or(u64::MAX);
    Page { items: all.into_iter().skip(offset).take(size).collect(), total }
}

/// An answer in JSON.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => json_bytes(status, bytes),
        Err(error) => {
            // Our types all have a JSON form; a handler's caller still must not get half an answer.
            tracing::error!(%error, "an answer has no JSON form");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// An answer whose JSON is made already.
pub fn json_bytes(status: StatusCode, bytes: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use giftd_domain::money::Currency;

    use super::*;

    #[test]
    fn internal_postings_have_no_name_on_the_wire() {
        assert_eq!(EntryType::from_name("USE"), Some(EntryType::Use));
        assert_eq!(EntryType::from_name("ISSUE"), None);
        assert_eq!(EntryType::from_name("use"), None);
        assert_eq!(CardType::names(), "BRANDED_CARD, CHOICE_CARD");
    }

    #[test]
    fn money_on_the_wire_has_exactly_the_minor_digits() {
        let json = |money: Money| serde_json::to_string(&MoneyBody::from(money)).expect("JSON");
        assert_eq!(json(Money::usd(5_000)), r#"{"amount":50.00,"currency":"USD"}"#);
        assert_eq!(json(Money::usd(i64::MAX)), r#"{"amount":92233720368547758.07,"currency":"USD"}"#);
        assert_eq!(
            json(Money::new(5_000, Currency::from_code("JPY").expect("yen"))),
            r#"{"amount":5000,"currency":"JPY"}"#
        );
        assert_eq!(serde_json::to_string(&Amount(Money::usd(-5))).expect("JSON"), "-0.05");
    }

    #[test]
    fn instants_have_milliseconds_and_z() {
        for (instant, expected) in [
            ("2026-11-22T18:30:00Z", r#""2026-11-22T18:30:00.000Z""#),
            ("2026-11-22T18:30:00.999999Z", r#""2026-11-22T18:30:00.999Z""#),
            ("2026-11-22T18:30:00.05+09:00", r#""2026-11-22T09:30:00.050Z""#),
        ] {
            let instant = Instant(instant.parse().expect("an instant"));
            assert_eq!(serde_json::to_string(&instant).expect("JSON"), expected);
        }
    }
}
