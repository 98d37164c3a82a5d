//! `DELETE /templates/{templateId}`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use giftd_domain::ids::TemplateId;
use giftd_store::TemplateDeletion;

use crate::api::caller::{Caller, TemplatesWrite};
use crate::api::error::ApiError;
use crate::api::path::PathPart;
use crate::state::Giftd;

/// Delete template
///
/// No new order can name it any more; those that do still look like it.
#[utoipa::path(
    delete,
    path = "/templates/{templateId}",
    operation_id = "deleteTemplate",
    tag = "Templates",
    security(("oauth2" = ["templates.write"])),
    params(("templateId" = String, Path, description = "The template's id", example = "13")),
    responses(
        (status = 204, description = "Deleted."),
        (status = 404, description = "`TEMPLATE_NOT_FOUND`"),
        (status = 409, description = "`DEFAULT_TEMPLATE`: the default template can't be deleted"),
    ),
)]
pub async fn delete_template(
    State(giftd): State<Arc<Giftd>>,
    caller: Caller<TemplatesWrite>,
    PathPart(template_id): PathPart,
) -> Result<StatusCode, ApiError> {
    let template_id: TemplateId = template_id.parse().map_err(|_| ApiError::template_not_found())?;
    match giftd.store.delete_template(caller.account_id(), template_id, giftd.clock.now()).await? {
        TemplateDeletion::Deleted => {
            giftd.forget_account_settings(caller.account_id()).await;
            Ok(StatusCode::NO_CONTENT)
        }
        TemplateDeletion::Default => Err(ApiError::default_template()),
        TemplateDeletion::Unknown => Err(ApiError::template_not_found()),
    }
}
