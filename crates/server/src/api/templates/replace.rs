//! `PUT /templates/{templateId}`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use giftd_domain::ids::TemplateId;

use crate::api::body::JsonBody;
use crate::api::caller::{Caller, TemplatesWrite};
use crate::api::error::ApiError;
use crate::api::path::PathPart;
use crate::api::templates::read::{self, TemplateRequest};
use crate::api::templates::shape::TemplateBody;
use crate::api::wire::{self, Data};
use crate::state::Giftd;

/// Replace template
///
/// Replaces all of a template: what is left out has its default. Orders that are still to be sent look as
/// it is then.
#[utoipa::path(
    put,
    path = "/templates/{templateId}",
    operation_id = "replaceTemplate",
    tag = "Templates",
    security(("oauth2" = ["templates.write"])),
    params(("templateId" = String, Path, description = "The template's id", example = "12")),
    request_body(content = TemplateRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "The template as it is now.", body = Data<TemplateBody>),
        (status = 404, description = "`TEMPLATE_NOT_FOUND`"),
    ),
)]
pub async fn replace_template(
    State(giftd): State<Arc<Giftd>>,
    caller: Caller<TemplatesWrite>,
    PathPart(template_id): PathPart,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let content = read::template(body).await?;
    let template_id: TemplateId = template_id.parse().map_err(|_| ApiError::template_not_found())?;
    let replaced = giftd.store.replace_template(caller.account_id(), template_id, &content).await?;
    let template = replaced.ok_or_else(ApiError::template_not_found)?;
    Ok(wire::json(StatusCode::OK, &Data { data: TemplateBody::from(template) }))
}
