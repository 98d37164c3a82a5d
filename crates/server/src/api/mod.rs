//! HTTP for clients. One operation, one file; what all have in common lies beside them.

pub mod balance;
pub mod body;
pub mod caller;
pub mod catalog;
pub mod client_address;
pub mod error;
pub mod failures;
pub mod fields;
pub mod health;
pub mod oauth;
pub mod openapi;
pub mod orders;
pub mod path;
pub mod query;
pub mod rate_limit;
pub mod request_id;
pub mod sandbox;
pub mod templates;
pub mod wire;

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;

use crate::api::caller::AnswersHeaders;
use crate::api::error::ApiError;
use crate::measures;
use crate::state::Giftd;

/// Everything that a node answers. From the outside in: the request's id, what is counted and the
/// quota's headers, panics, the routes.
pub fn router(giftd: Arc<Giftd>) -> Router {
    router_with(giftd, Router::new())
}

/// The same, with more routes behind the same middleware: the benchmark's.
pub fn router_with(giftd: Arc<Giftd>, more: Router<Arc<Giftd>>) -> Router {
    let (documented, document) = openapi::documented();
    Router::new()
        .merge(documented)
        .merge(openapi::pages(&document))
        .route("/.well-known/jwks.json", get(oauth::jwks))
        .route("/.well-known/oauth-authorization-server", get(oauth::metadata))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .merge(crate::redeem::router(giftd.clock.clone()))
        .merge(more)
        .fallback(|| async { ApiError::not_found() })
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed(None) })
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(giftd.clone(), around))
        .layer(from_fn_with_state(giftd.clock.clone(), request_id::layer))
        .with_state(giftd)
}

/// Counts the answer, and gives it the headers of the caller's quota.
async fn around(State(giftd): State<Arc<Giftd>>, mut request: Request, next: Next) -> Response {
    let started = giftd.clock.elapsed();
    let method: Method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let quota = AnswersHeaders::default();
    request.extensions_mut().insert(quota.clone());
    let mut response = next.run(request).await;
    quota.add_to(response.headers_mut());
    // Never the path: it may be anything, and that of a gift's page is a secret.
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    measures::answered(&method, route, response.status(), giftd.clock.elapsed().saturating_sub(started));
    response
}

/// A bug: the client gets the envelope, the log what happened.
fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a text");
    ApiError::internal(format!("panicked: {text}")).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_500_in_the_envelope_and_says_nothing_of_the_inside() {
        async fn broken() -> &'static str {
            panic!("secret of the inside")
        }
        let app = Router::new().route("/", get(broken)).layer(CatchPanicLayer::custom(panicked));
        let response = app.oneshot(Request::new(Body::empty())).await.expect("an answer");
        assert_eq!(response.status(), 500);
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        let text = String::from_utf8(body.to_vec()).expect("UTF-8");
        assert!(text.contains(r#""error":"INTERNAL_ERROR""#) && !text.contains("secret"), "{text}");
    }
}
