//! The part of a path that names one thing.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use crate::api::error::ApiError;

/// The one parameter of a path, decoded. What isn't text names nothing: 404.
pub struct PathPart(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathPart {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(part)) => Ok(Self(part)),
            Err(_) => Err(ApiError::not_found()),
        }
    }
}
