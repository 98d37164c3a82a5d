//! `GET /templates`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::api::caller::{Caller, TemplatesRead};
use crate::api::error::ApiError;
use crate::api::query::Query;
use crate::api::templates::shape::TemplateBody;
use crate::api::wire::{self, Paged};
use crate::state::Giftd;

/// List templates
///
/// The templates of your account, the default first.
#[utoipa::path(
    get,
    path = "/templates",
    operation_id = "listTemplates",
    tag = "Templates",
    security(("oauth2" = ["templates.read"])),
    params(
        ("page" = Option<u32>, Query, description = "Page number, default 1", minimum = 1, maximum = 1_000_000_000),
        ("pageSize" = Option<u32>, Query, description = "Results per page, default 20, max 100", minimum = 1, maximum = 100),
    ),
    responses((status = 200, description = "A page of templates.", body = Paged<TemplateBody>)),
)]
pub async fn list_templates(
    State(giftd): State<Arc<Giftd>>,
    caller: Caller<TemplatesRead>,
    mut query: Query,
) -> Result<Response, ApiError> {
    let page = query.page();
    query.finish()?;
    let templates = giftd.store.templates(caller.account_id()).await?;
    let found = wire::page_of(templates.into_iter(), page);
    Ok(wire::json(StatusCode::OK, &Paged::new(found, page, TemplateBody::from)))
}
