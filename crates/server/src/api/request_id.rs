//! The id of a request: the client's own, or a new one. It is in the answer's `X-Request-Id`, in every
//! error's body and, through the span, in every line of the log.

use std::future::Future;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use giftd_domain::limits;
use tracing::Instrument as _;

use crate::clock::Clock;

/// The header that carries it, both ways.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static CURRENT: String;
}

/// The id of the request that this task answers; empty outside of one.
pub fn current() -> String {
    CURRENT.try_with(Clone::clone).unwrap_or_default()
}

/// Runs `work` as part of the request `id`. For work that a request hands to another task, too.
pub async fn scope<T>(id: String, work: impl Future<Output = T>) -> T {
    CURRENT.scope(id, work).await
}

/// Middleware, around everything that answers: `axum::middleware::from_fn_with_state(clock, …)`.
pub async fn layer(State(clock): State<Clock>, request: Request, next: Next) -> Response {
    let id = sane(request.headers().get(REQUEST_ID)).unwrap_or_else(|| clock.request_id());
    // The route, not the path: the path of a gift's page is a secret.
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let span = tracing::info_span!("request", request_id = id, method = %request.method(), route);
    let header = HeaderValue::from_str(&id);
    let started = clock.elapsed();
    let answered = async {
        let response = next.run(request).await;
        let milliseconds = u64::try_from(clock.elapsed().saturating_sub(started).as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(status = response.status().as_u16(), milliseconds, "answered");
        response
    };
    let mut response = scope(id, answered.instrument(span)).await;
    if let Ok(header) = header {
        response.headers_mut().insert(REQUEST_ID, header);
    }
    response
}

/// The client's id, if it is 1 to 128 visible ASCII characters: nothing that could break a log line.
fn sane(header: Option<&HeaderValue>) -> Option<String> {
    let text = header?.to_str().ok()?;
    let is_sane =
        (1..=limits::REQUEST_ID_CHARACTERS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_sane.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;
    use crate::api::error::ApiError;

    async fn answer(id: Option<&[u8]>, path: &str) -> (String, String) {
        let app = Router::new()
            .route("/id", get(|| async { current() }))
            .route("/error", get(|| async { ApiError::internal("x") }))
            .fallback(|| async { ApiError::not_found() })
            .layer(from_fn_with_state(Clock::system(), layer));
        let mut request = Request::get(path);
        if let Some(id) = id {
            request = request.header(REQUEST_ID, HeaderValue::from_bytes(id).expect("a header"));
        }
        let response = app.oneshot(request.body(Body::empty()).expect("a request")).await.expect("an answer");
        let header = response.headers()[REQUEST_ID].to_str().expect("ASCII").to_owned();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (header, String::from_utf8(body.to_vec()).expect("UTF-8"))
    }

    #[tokio::test]
    async fn a_sane_request_id_is_echoed() {
        let longest = "~".repeat(128);
        for id in ["a", "order-1/ü".trim_end_matches('ü'), longest.as_str(), "{\"x\"}"] {
            assert_eq!(answer(Some(id.as_bytes()), "/id").await, (id.to_owned(), id.to_owned()));
        }
    }

    #[tokio::test]
    async fn any_other_is_replaced_by_a_new_one() {
        let too_long = "a".repeat(129);
        for id in [None, Some(""), Some("a b"), Some("a\tb"), Some("ü"), Some(too_long.as_str())] {
            let (header, body) = answer(id.map(str::as_bytes), "/id").await;
            assert_eq!(header.len(), 36, "{id:?}");
            assert_eq!(header, body);
        }
    }

    #[tokio::test]
    async fn it_is_in_every_response_and_in_every_error_body() {
        for path in ["/error", "/unknown"] {
            let (header, body) = answer(Some(b"req-7"), path).await;
            assert_eq!(header, "req-7");
            assert!(body.contains(r#""requestId":"req-7""#), "{body}");
        }
    }
}
