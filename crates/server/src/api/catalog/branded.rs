//! `GET /catalog/branded-cards` and `GET /catalog/branded-cards/{productId}`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use giftd_domain::catalog::{BrandedCard, Prices};
use giftd_domain::money::Money;
use giftd_domain::{limits, text};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::caller::{Caller, CatalogRead};
use crate::api::error::ApiError;
use crate::api::path::PathPart;
use crate::api::query::Query;
use crate::api::wire::{self, Amount, Data, Paged, PriceTypeName};
use crate::state::Giftd;

/// How prices are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum PriceType {
    /// `prices` is the list.
    Fixed,
    /// `prices` is the least and the most, in steps of `priceStep`.
    Range,
}

/// A product of one brand in one currency.
#[derive(Serialize, ToSchema)]
#[schema(as = BrandedCard)]
#[serde(rename_all = "camelCase")]
pub struct BrandedCardBody {
    /// What orders name it by.
    #[schema(example = "10042")]
    product_id: String,
    /// The brand.
    brand_name: String,
    /// The product: an order's `cardName`.
    product_name: String,
    /// ISO 3166-1 alpha-3.
    #[schema(example = "USA")]
    country_code: String,
    /// ISO 4217.
    #[schema(example = "USD")]
    currency_code: &'static str,
    /// How `prices` are meant.
    price_type: PriceTypeName,
    /// FIXED: each price. RANGE: the least and the most.
    prices: Vec<Amount>,
    /// RANGE: from one price to the next, from the least on. Else null.
    #[schema(required)]
    price_step: Option<Amount>,
    /// What it is.
    #[schema(required)]
    description: Option<String>,
    /// Its terms.
    #[schema(required)]
    terms: Option<String>,
    /// An image.
    #[schema(required)]
    image_url: Option<String>,
}

impl From<&BrandedCard> for BrandedCardBody {
    fn from(card: &BrandedCard) -> Self {
        let amount = |minor: i64| Amount(Money::new(minor, card.currency));
        let (price_type, prices, price_step) = match &card.prices {
            Prices::Fixed(prices) => (PriceType::Fixed, prices.iter().copied().map(amount).collect(), None),
            Prices::Range { min, max, step } => {
                (PriceType::Range, vec![amount(*min), amount(*max)], Some(amount(*step)))
            }
        };
        Self {
            product_id: card.product_id.clone(),
            brand_name: card.brand_name.clone(),
            product_name: card.product_name.clone(),
            country_code: card.country_code.clone(),
            currency_code: card.currency.code(),
            price_type: PriceTypeName(price_type),
            prices,
            price_step,
            description: card.description.clone(),
            terms: card.terms.clone(),
            image_url: card.image_url.clone(),
        }
    }
}

/// List branded cards
///
/// What can be ordered by `POST /orders/branded-cards`, by product id. Filters combine with AND.
#[utoipa::path(
    get,
    path = "/catalog/branded-cards",
    operation_id = "listBrandedCards",
    tag = "Catalog",
    security(("oauth2" = ["catalog.read"])),
    params(
        ("page" = Option<u32>, Query, description = "Page number, default 1", minimum = 1, maximum = 1_000_000_000),
        ("pageSize" = Option<u32>, Query, description = "Results per page, default 20, max 100", minimum = 1, maximum = 100),
        ("countryCode" = Option<String>, Query, description = "ISO 3166-1 alpha-3, whatever the case", max_length = 64, example = "JPN"),
        ("currencyCode" = Option<String>, Query, description = "ISO 4217, whatever the case", max_length = 64, example = "JPY"),
        ("search" = Option<String>, Query, description = "Part of the brand's or the product's name, whatever the case", max_length = 200),
    ),
    responses((status = 200, description = "A page of products.", body = Paged<BrandedCardBody>)),
)]
pub async fn list_branded(
    State(giftd): State<Arc<Giftd>>,
    _caller: Caller<CatalogRead>,
    mut query: Query,
) -> Result<Response, ApiError> {
    let page = query.page();
    let country = query.keyword("countryCode", limits::PRODUCT_ID_CHARACTERS);
    let currency = query.keyword("currencyCode", limits::PRODUCT_ID_CHARACTERS);
    let search = query.keyword("search", limits::SEARCH_CHARACTERS).map(|words| text::folded(&words));
    query.finish()?;
    let reference = giftd.reference().await?;
    let found = reference.catalog.branded.values().filter(|card| {
        country.as_ref().is_none_or(|country| card.country_code.eq_ignore_ascii_case(country))
            && currency.as_ref().is_none_or(|currency| card.currency.code().eq_ignore_ascii_case(currency))
            && search.as_ref().is_none_or(|words| {
                text::folded(&card.brand_name).contains(words) || text::folded(&card.product_name).contains(words)
            })
    });
    Ok(wire::json(StatusCode::OK, &Paged::new(wire::page_of(found, page), page, BrandedCardBody::from)))
}

/// Get branded card
///
/// One product by its id.
#[utoipa::path(
    get,
    path = "/catalog/branded-cards/{productId}",
    operation_id = "getBrandedCard",
    tag = "Catalog",
    security(("oauth2" = ["catalog.read"])),
    params(("productId" = String, Path, description = "The product's id", example = "10042")),
    responses(
        (status = 200, description = "The product.", body = Data<BrandedCardBody>),
        (status = 404, description = "`PRODUCT_NOT_FOUND`"),
    ),
)]
pub async fn get_branded(
    State(giftd): State<Arc<Giftd>>,
    _caller: Caller<CatalogRead>,
    PathPart(product_id): PathPart,
) -> Result<Response, ApiError> {
    let reference = giftd.reference().await?;
    let card = reference.catalog.branded.get(&product_id).ok_or_else(ApiError::product_not_found)?;
    Ok(wire::json(StatusCode::OK, &Data { data: BrandedCardBody::from(card) }))
}
