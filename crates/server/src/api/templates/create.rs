//! `POST /templates`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::api::body::JsonBody;
use crate::api::caller::{Caller, TemplatesWrite};
use crate::api::error::ApiError;
use crate::api::templates::read::{self, TemplateRequest};
use crate::api::templates::shape::TemplateBody;
use crate::api::wire::{self, Data};
use crate::state::Giftd;

/// Create template
///
/// Adds a template to your account. Orders may name it from now on.
#[utoipa::path(
    post,
    path = "/templates",
    operation_id = "createTemplate",
    tag = "Templates",
    security(("oauth2" = ["templates.write"])),
    request_body(content = TemplateRequest, content_type = "application/json"),
    responses(
        (status = 201, description = "Created.", body = Data<TemplateBody>),
        (status = 409, description = "`TOO_MANY_TEMPLATES`: the account has 1,000, deleted ones too"),
    ),
)]
pub async fn create_template(
    State(giftd): State<Arc<Giftd>>,
    caller: Caller<TemplatesWrite>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let content = read::template(body).await?;
    let created = giftd.store.create_template(caller.account_id(), &content).await?;
    let template = created.ok_or_else(ApiError::too_many_templates)?;
    giftd.forget_account_settings(caller.account_id()).await;
    Ok(wire::json(StatusCode::CREATED, &Data { data: TemplateBody::from(template) }))
}
