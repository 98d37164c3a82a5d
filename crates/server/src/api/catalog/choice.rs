//! `GET /catalog/choice-cards` and `GET /catalog/choice-cards/{productId}`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use giftd_domain::catalog::{ChoiceCard, ChoiceRange};
use giftd_domain::money::Money;
use giftd_domain::{limits, text};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::caller::{Caller, CatalogRead};
use crate::api::error::ApiError;
use crate::api::path::PathPart;
use crate::api::query::Query;
use crate::api::wire::{self, Amount, Data, Paged};
use crate::state::Giftd;

/// A card design; the recipient picks the brand.
#[derive(Serialize, ToSchema)]
#[schema(as = ChoiceCard)]
#[serde(rename_all = "camelCase")]
pub struct ChoiceCardBody {
    /// What orders name it by.
    #[schema(example = "55")]
    product_id: String,
    /// The design: an order's `cardName`.
    product_name: String,
    /// An image.
    #[schema(required)]
    image_url: Option<String>,
    /// ISO 4217.
    #[schema(example = "USD")]
    currency_code: &'static str,
    /// The least and the most that one card may hold: your organization's range.
    #[schema(min_items = 2, max_items = 2)]
    prices: Vec<Amount>,
}

impl ChoiceCardBody {
    /// `card` for an organization with this range.
    fn new(card: &ChoiceCard, range: Option<ChoiceRange>) -> Self {
        let ChoiceRange { min, max } = range.unwrap_or(card.range);
        Self {
            product_id: card.product_id.clone(),
            product_name: card.product_name.clone(),
            image_url: card.image_url.clone(),
            currency_code: card.currency.code(),
            prices: [min, max].map(|minor| Amount(Money::new(minor, card.currency))).into(),
        }
    }
}

/// The range of the caller's organization, where it has one.
async fn range(giftd: &Giftd, caller: &Caller<CatalogRead>) -> Result<Option<ChoiceRange>, ApiError> {
    let settings = giftd.account_settings(caller.account_id()).await?;
    Ok(settings.ok_or_else(|| ApiError::internal("an app's account doesn't exist"))?.choice_range)
}

/// List choice cards
///
/// What can be ordered by `POST /orders/choice-cards`, by product id.
#[utoipa::path(
    get,
    path = "/catalog/choice-cards",
    operation_id = "listChoiceCards",
    tag = "Catalog",
    security(("oauth2" = ["catalog.read"])),
    params(
        ("page" = Option<u32>, Query, description = "Page number, default 1", minimum = 1, maximum = 1_000_000_000),
        ("pageSize" = Option<u32>, Query, description = "Results per page, default 20, max 100", minimum = 1, maximum = 100),
        ("search" = Option<String>, Query, description = "Part of the product's name, whatever the case", max_length = 200),
    ),
    responses((status = 200, description = "A page of products.", body = Paged<ChoiceCardBody>)),
)]
pub async fn list_choice(
    State(giftd): State<Arc<Giftd>>,
    caller: Caller<CatalogRead>,
    mut query: Query,
) -> Result<Response, ApiError> {
    let page = query.page();
    let search = query.keyword("search", limits::SEARCH_CHARACTERS).map(|words| text::folded(&words));
    query.finish()?;
    let range = range(&giftd, &caller).await?;
    let reference = giftd.reference().await?;
    let found = reference.catalog.choice.values();
    let found =
        found.filter(|card| search.as_ref().is_none_or(|words| text::folded(&card.product_name).contains(words)));
    Ok(wire::json(
        StatusCode::OK,
        &Paged::new(wire::page_of(found, page), page, |card| ChoiceCardBody::new(card, range)),
    ))
}

/// Get choice card
///
/// One product by its id.
#[utoipa::path(
    get,
    path = "/catalog/choice-cards/{productId}",
    operation_id = "getChoiceCard",
    tag = "Catalog",
    security(("oauth2" = ["catalog.read"])),
    params(("productId" = String, Path, description = "The product's id", example = "55")),
    responses(
        (status = 200, description = "The product.", body = Data<ChoiceCardBody>),
        (status = 404, description = "`PRODUCT_NOT_FOUND`"),
    ),
)]
pub async fn get_choice(
    State(giftd): State<Arc<Giftd>>,
    caller: Caller<CatalogRead>,
    PathPart(product_id): PathPart,
) -> Result<Response, ApiError> {
    let range = range(&giftd, &caller).await?;
    let reference = giftd.reference().await?;
    let card = reference.catalog.choice.get(&product_id).ok_or_else(ApiError::product_not_found)?;
    Ok(wire::json(StatusCode::OK, &Data { data: ChoiceCardBody::new(card, range) }))
}
