//! `GET /templates/{templateId}`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use giftd_domain::ids::TemplateId;

use crate::api::caller::{Caller, TemplatesRead};
use crate::api::error::ApiError;
use crate::api::path::PathPart;
use crate::api::templates::shape::TemplateBody;
use crate::api::wire::{self, Data};
use crate::state::Giftd;

/// Get template
///
/// One template of your account.
#[utoipa::path(
    get,
    path = "/templates/{templateId}",
    operation_id = "getTemplate",
    tag = "Templates",
    security(("oauth2" = ["templates.read"])),
    params(("templateId" = String, Path, description = "The template's id", example = "12")),
    responses(
        (status = 200, description = "The template.", body = Data<TemplateBody>),
        (status = 404, description = "`TEMPLATE_NOT_FOUND`"),
    ),
)]
pub async fn get_template(
    State(giftd): State<Arc<Giftd>>,
    caller: Caller<TemplatesRead>,
    PathPart(template_id): PathPart,
) -> Result<Response, ApiError> {
    let template_id: TemplateId = template_id.parse().map_err(|_| ApiError::template_not_found())?;
    let mut templates = giftd.store.templates(caller.account_id()).await?.into_iter();
    let found = templates.find(|template| template.template_id == template_id);
    let template = found.ok_or_else(ApiError::template_not_found)?;
    Ok(wire::json(StatusCode::OK, &Data { data: TemplateBody::from(template) }))
}
