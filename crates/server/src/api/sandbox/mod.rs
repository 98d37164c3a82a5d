//! What only a sandbox has: its clock, and its mails.

pub mod clock;
pub mod mails;

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use giftd_domain::access::Environment;

use crate::api::caller::{Caller, ScopeOf};
use crate::api::error::ApiError;
use crate::state::Giftd;

/// A caller with sandbox credentials; whatever else is wrong with the request of another.
pub struct Sandboxed<S>(pub Caller<S>);

impl<S: ScopeOf> FromRequestParts<Arc<Giftd>> for Sandboxed<S> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, giftd: &Arc<Giftd>) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, giftd).await?;
        match caller.environment() {
            Environment::Sandbox => Ok(Self(caller)),
            Environment::Production => Err(ApiError::sandbox_only()),
        }
    }
}
