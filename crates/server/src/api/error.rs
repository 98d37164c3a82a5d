//! The one envelope of errors. Each has two texts: the client's, in the answer, and the log's, which no
//! answer ever holds.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use giftd_domain::access::Scope;
use giftd_domain::limits;
use giftd_domain::money::Money;
use giftd_domain::problems::{Problem, Problems};
use giftd_store::StoreError;
use serde::Serialize;
use serde::ser::SerializeMap as _;

use super::request_id;
use super::wire::MoneyBody;

/// A refused or failed request: what the client is told, and what the log is.
pub struct ApiError(Box<Inner>);

struct Inner {
    status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    details: Vec<Problem>,
    beside: Vec<(&'static str, Beside)>,
    headers: HeaderMap,
    log: Option<String>,
}

/// A field beside `error`.
#[derive(Serialize)]
#[serde(untagged)]
enum Beside {
    Text(String),
    Money(MoneyBody),
}

impl ApiError {
    /// 400: fields break rules.
    pub fn validation(problems: Problems) -> Self {
        let details = problems.into_vec();
        let message = match details.as_slice() {
            [only] => format!("{}: {}", only.field, only.message),
            [first, rest @ ..] => format!("{}: {} (and {} more, see details)", first.field, first.message, rest.len()),
            [] => "The request is not valid.".to_owned(),
        };
        let mut error = Self::new(StatusCode::BAD_REQUEST, "VALIDATION_ERROR", message);
        error.0.details = details;
        error
    }

    /// 400: one field breaks a rule.
    pub fn invalid(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        let mut problems = Problems::new();
        problems.add(field, code, message);
        Self::validation(problems)
    }

    /// 400: the body isn't a JSON object.
    pub fn malformed_json(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "MALFORMED_JSON", message)
    }

    /// 401: no token (RFC 6750 section 3: without an error code).
    pub fn no_token() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "UNAUTHORIZED",
            "An access token is needed: get one from POST /oauth2/token and send it as `Authorization: Bearer …`.",
        )
        .header(WWW_AUTHENTICATE, "Bearer")
    }

    /// 401: the token isn't good (any more); `log` says why.
    pub fn invalid_token(log: impl fmt::Display) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "UNAUTHORIZED",
            "The access token is not valid (any more): get a new one from POST /oauth2/token.",
        )
        .header(
            WWW_AUTHENTICATE,
            r#"Bearer error="invalid_token", error_description="expired, revoked or not issued here""#,
        )
        .log(log)
    }

    /// 402: the order costs more than what is available.
    pub fn insufficient_balance(required: Money, available: Money) -> Self {
        Self::new(
            StatusCode::PAYMENT_REQUIRED,
            "INSUFFICIENT_BALANCE",
            format!(
                "The order costs {required} {}, and {available} {} is available.",
                required.currency, available.currency
            ),
        )
        .beside("required", Beside::Money(required.into()))
        .beside("available", Beside::Money(available.into()))
    }

    /// 403: the token doesn't have this scope.
    pub fn insufficient_scope(scope: Scope) -> Self {
        let scope: &str = scope.into();
        Self::new(StatusCode::FORBIDDEN, "INSUFFICIENT_SCOPE", format!("The access token lacks the scope {scope}."))
            .header(WWW_AUTHENTICATE, &format!(r#"Bearer error="insufficient_scope", scope="{scope}""#))
    }

    /// 403: production credentials on a path of the sandbox.
    pub fn sandbox_only() -> Self {
        Self::new(StatusCode::FORBIDDEN, "SANDBOX_ONLY", "This works with sandbox credentials only.")
    }

    /// 403: sandbox credentials on a path of production.
    pub fn production_only() -> Self {
        Self::new(StatusCode::FORBIDDEN, "PRODUCTION_ONLY", "This works with production credentials only.")
    }

    /// 404: no such path.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", "There is nothing at this path.")
    }

    /// 404: the account has no such order; exactly the same for another account's.
    pub fn order_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "ORDER_NOT_FOUND", "There is no order with this id.")
    }

    /// 404: the account has no such template.
    pub fn template_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "TEMPLATE_NOT_FOUND", "There is no template with this id.")
    }

    /// 404: the catalog has no such product.
    pub fn product_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "PRODUCT_NOT_FOUND", "There is no product with this id.")
    }

    /// 405: the path exists, the method doesn't; `allowed` is what does, where it is known.
    pub fn method_not_allowed(allowed: Option<HeaderValue>) -> Self {
        let mut error =
            Self::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "This path has no such method.");
        if let Some(allowed) = allowed {
            error.0.headers.insert(ALLOW, allowed);
        }
        error
    }

    /// 413: the body has more than `bytes`.
    pub fn payload_too_large(bytes: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "PAYLOAD_TOO_LARGE",
            match bytes / (1024 * 1024) {
                0 => format!("The body has more than {} KiB.", bytes / 1024),
                mebibytes => format!("The body has more than {mebibytes} MiB."),
            },
        )
    }

    /// 415: the body isn't what the path takes.
    pub fn unsupported_media_type(message: &'static str) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message)
    }

    /// 409: the order can't be canceled (any more).
    pub fn order_not_cancelable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, "ORDER_NOT_CANCELABLE", message)
    }

    /// 409: the order's gifts can't be sent again.
    pub fn order_not_resendable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, "ORDER_NOT_RESENDABLE", message)
    }

    /// 409: the key was used for another request, which placed `order_id`.
    pub fn duplicate_idempotency_key(order_id: impl fmt::Display) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "DUPLICATE_IDEMPOTENCY_KEY",
            format!("The idempotency key was used for another request, which placed order {order_id}."),
        )
        .beside("orderId", Beside::Text(order_id.to_string()))
    }

    /// 409: an earlier call still moves the sandbox's clock.
    pub fn clock_moving() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "CLOCK_MOVING",
            "An earlier call still moves the clock, and this one did nothing: follow it with GET /sandbox/clock, and \
             ask again when the clock has arrived.",
        )
    }

    /// 409: an account's default template stays.
    pub fn default_template() -> Self {
        Self::new(StatusCode::CONFLICT, "DEFAULT_TEMPLATE", "The default template can't be deleted.")
    }

    /// 409: the account has as many templates as it may have.
    pub fn too_many_templates() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "TOO_MANY_TEMPLATES",
            format!("An account has at most {} templates, deleted ones too: change one instead.", limits::TEMPLATES),
        )
    }

    /// 409: a campaign uses the template.
    pub fn template_in_use() -> Self {
        Self::new(StatusCode::CONFLICT, "TEMPLATE_IN_USE", "A campaign uses this template.")
    }

    /// 429: too many requests; the next is taken after `wait`.
    pub fn rate_limited(message: impl Into<Cow<'static, str>>, wait: Duration) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", message).retry_after(wait)
    }

    /// 500: a fault of ours; the client learns nothing of it.
    pub fn internal(log: impl fmt::Display) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL_ERROR",
            "Something went wrong on our side; the request id helps to find it.",
        )
        .log(log)
    }

    /// 503: not now; `log` says why.
    pub fn unavailable(message: impl Into<Cow<'static, str>>, log: impl fmt::Display) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message)
            .retry_after(Duration::from_secs(limits::UNAVAILABLE_RETRY_SECONDS))
            .log(log)
    }

    /// Says in the answer's `Retry-After` when to try again: `wait`, in whole seconds, at least one.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.0.headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        self
    }

    /// Says more in the log, and only there.
    #[must_use]
    pub fn log(mut self, log: impl fmt::Display) -> Self {
        self.0.log = Some(log.to_string());
        self
    }

    /// Adds headers to the answer.
    #[must_use]
    pub fn with_headers(mut self, headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>) -> Self {
        self.0.headers.extend(headers);
        self
    }

    /// The answer's status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The answer's `error`.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// The answer's `message`.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The answer's `details`.
    pub fn details(&self) -> &[Problem] {
        &self.0.details
    }

    fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            status,
            code,
            message: message.into(),
            details: Vec::new(),
            beside: Vec::new(),
            headers: HeaderMap::new(),
            log: None,
        }))
    }

    fn beside(mut self, name: &'static str, value: Beside) -> Self {
        self.0.beside.push((name, value));
        self
    }

    fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.0.headers.insert(name, HeaderValue::from_str(value).expect("only visible ASCII"));
        self
    }
}

/// A wait in whole seconds, rounded up, at least one: whoever waits that long is not refused again.
pub fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}

impl From<Problems> for ApiError {
    fn from(problems: Problems) -> Self {
        Self::validation(problems)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::unavailable("The server is busy with other requests; try again soon.", error),
            StoreError::Unavailable(_) | StoreError::Schema(_) => {
                Self::unavailable("The server can't reach its database; try again soon.", error)
            }
            StoreError::Broken(_) => Self::internal(error),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Inner { status, code, log, .. } = &*self.0;
        let (status, reason) = (status.as_u16(), log.as_deref());
        match status {
            // Expected under load, and many then.
            503 => tracing::warn!(status, code, reason, "refused"),
            500.. => tracing::error!(status, code, reason, "failed"),
            _ => tracing::debug!(status, code, reason, "refused"),
        }
        let body = serde_json::to_vec(&Body { error: &self.0, request_id: &request_id::current() })
            .expect("texts and numbers are JSON");
        let mut response = (self.0.status, body).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().extend(self.0.headers);
        response
    }
}

impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiError")
            .field("status", &self.0.status.as_u16())
            .field("code", &self.0.code)
            .field("message", &self.0.message)
            .field("details", &self.0.details)
            .field("log", &self.0.log)
            .finish()
    }
}

struct Body<'a> {
    error: &'a Inner,
    request_id: &'a str,
}

impl Serialize for Body<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut body = serializer.serialize_map(None)?;
        body.serialize_entry("error", self.error.code)?;
        body.serialize_entry("message", &self.error.message)?;
        body.serialize_entry("requestId", self.request_id)?;
        for (name, value) in &self.error.beside {
            body.serialize_entry(name, value)?;
        }
        if !self.error.details.is_empty() {
            let details = self.error.details.iter().map(|problem| Detail {
                field: problem.field.clone(),
                code: problem.code.to_owned(),
                message: problem.message.clone(),
            });
            body.serialize_entry("details", &details.collect::<Vec<_>>())?;
        }
        body.end()
    }
}

/// The body of every error.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// What, for programs.
    #[schema(example = "VALIDATION_ERROR")]
    pub error: String,
    /// What, for a person.
    pub message: String,
    /// The request's id, to ask about it.
    pub request_id: String,
    /// What is wrong with which fields; at most 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Vec<Detail>>,
}

/// One thing that is wrong with one field.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Detail {
    /// Where.
    #[schema(example = "recipients[3].amount")]
    pub field: String,
    /// What, for programs.
    #[schema(example = "NOT_A_PRICE_POINT")]
    pub code: String,
    /// What, for a person.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use serde_json::{Value, json};

    use super::*;

    async fn answer(error: ApiError) -> (StatusCode, HeaderMap, Value) {
        let response = request_id::scope("req-1".to_owned(), async { error.into_response() }).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        (parts.status, parts.headers, serde_json::from_slice(&body).expect("JSON"))
    }

    #[tokio::test]
    async fn every_error_has_the_contracts_status_and_code() {
        let table = [
            (400, "VALIDATION_ERROR", ApiError::validation(Problems::new())),
            (400, "MALFORMED_JSON", ApiError::malformed_json("x")),
            (401, "UNAUTHORIZED", ApiError::no_token()),
            (401, "UNAUTHORIZED", ApiError::invalid_token("x")),
            (402, "INSUFFICIENT_BALANCE", ApiError::insufficient_balance(Money::usd(2), Money::usd(1))),
            (403, "INSUFFICIENT_SCOPE", ApiError::insufficient_scope(Scope::OrdersRead)),
            (403, "SANDBOX_ONLY", ApiError::sandbox_only()),
            (403, "PRODUCTION_ONLY", ApiError::production_only()),
            (404, "NOT_FOUND", ApiError::not_found()),
            (404, "ORDER_NOT_FOUND", ApiError::order_not_found()),
            (404, "TEMPLATE_NOT_FOUND", ApiError::template_not_found()),
            (404, "PRODUCT_NOT_FOUND", ApiError::product_not_found()),
            (405, "METHOD_NOT_ALLOWED", ApiError::method_not_allowed(None)),
            (413, "PAYLOAD_TOO_LARGE", ApiError::payload_too_large(16 << 20)),
            (415, "UNSUPPORTED_MEDIA_TYPE", ApiError::unsupported_media_type("x")),
            (409, "ORDER_NOT_CANCELABLE", ApiError::order_not_cancelable("x")),
            (409, "ORDER_NOT_RESENDABLE", ApiError::order_not_resendable("x")),
            (409, "DUPLICATE_IDEMPOTENCY_KEY", ApiError::duplicate_idempotency_key("OT1")),
            (409, "CLOCK_MOVING", ApiError::clock_moving()),
            (409, "DEFAULT_TEMPLATE", ApiError::default_template()),
            (409, "TOO_MANY_TEMPLATES", ApiError::too_many_templates()),
            (409, "TEMPLATE_IN_USE", ApiError::template_in_use()),
            (429, "RATE_LIMITED", ApiError::rate_limited("x", Duration::ZERO)),
            (500, "INTERNAL_ERROR", ApiError::internal("x")),
            (503, "UNAVAILABLE", ApiError::unavailable("x", "y")),
        ];
        for (status, code, error) in table {
            let (found, headers, body) = answer(error).await;
            assert_eq!((found.as_u16(), &body["error"]), (status, &json!(code)));
            assert_eq!(headers[CONTENT_TYPE], "application/json");
            assert_eq!(body["requestId"], "req-1", "{code}");
            assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{code}");
        }
    }

    #[tokio::test]
    async fn details_say_which_fields() {
        let (_, _, body) = answer(ApiError::invalid("recipients[3].amount", "NOT_A_PRICE_POINT", "is not one")).await;
        assert_eq!(
            body,
            json!({
                "error": "VALIDATION_ERROR",
                "message": "recipients[3].amount: is not one",
                "requestId": "req-1",
                "details": [{"field": "recipients[3].amount", "code": "NOT_A_PRICE_POINT", "message": "is not one"}],
            })
        );
    }

    #[tokio::test]
    async fn at_most_100_details() {
        let mut problems = Problems::new();
        (0..150).for_each(|index| problems.add(format!("recipients[{index}]"), "WRONG_TYPE", "is not an object"));
        let (_, _, body) = answer(problems.into()).await;
        assert_eq!(body["details"].as_array().map(Vec::len), Some(100));
    }

    #[tokio::test]
    async fn required_and_available_are_beside_the_error_with_exact_digits() {
        let error = ApiError::insufficient_balance(Money::usd(10_010), Money::usd(5));
        let response = error.into_response().into_body().collect().await.expect("a body").to_bytes();
        let text = String::from_utf8(response.to_vec()).expect("UTF-8");
        assert!(text.contains(r#""required":{"amount":100.10,"currency":"USD"}"#), "{text}");
        assert!(text.contains(r#""available":{"amount":0.05,"currency":"USD"}"#), "{text}");
    }

    #[tokio::test]
    async fn the_first_orders_id_is_beside_a_key_conflict() {
        let (_, _, body) = answer(ApiError::duplicate_idempotency_key("OT01")).await;
        assert_eq!(body["orderId"], "OT01");
    }

    #[tokio::test]
    async fn challenges_follow_rfc_6750() {
        let (_, headers, _) = answer(ApiError::no_token()).await;
        assert_eq!(headers[WWW_AUTHENTICATE], "Bearer");
        let (_, headers, _) = answer(ApiError::invalid_token("x")).await;
        assert!(headers[WWW_AUTHENTICATE].to_str().expect("ASCII").starts_with(r#"Bearer error="invalid_token""#));
        let (_, headers, body) = answer(ApiError::insufficient_scope(Scope::OrdersWrite)).await;
        assert_eq!(headers[WWW_AUTHENTICATE], r#"Bearer error="insufficient_scope", scope="orders.write""#);
        assert!(body["message"].as_str().expect("a text").contains("orders.write"), "the scope is named");
    }

    #[tokio::test]
    async fn retry_after_has_whole_seconds_rounded_up() {
        for (milliseconds, expected) in [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2")] {
            let (_, headers, _) = answer(ApiError::rate_limited("x", Duration::from_millis(milliseconds))).await;
            assert_eq!(headers[RETRY_AFTER], expected);
        }
        let (_, headers, _) = answer(ApiError::unavailable("x", "y")).await;
        assert_eq!(headers[RETRY_AFTER], "1");
    }

    #[tokio::test]
    async fn a_store_that_is_down_or_full_is_503_and_a_broken_one_500() {
        for (error, status) in [
            (StoreError::Full, 503),
            (StoreError::Unavailable("hunter2".into()), 503),
            (StoreError::Schema("hunter2".into()), 503),
            (StoreError::Broken("hunter2".into()), 500),
        ] {
            let (found, headers, body) = answer(error.into()).await;
            assert_eq!((found.as_u16(), headers.contains_key(RETRY_AFTER)), (status, status == 503));
            assert!(!body.to_string().contains("hunter2"), "says nothing of the inside: {body}");
        }
    }

    #[tokio::test]
    async fn the_logs_text_is_in_no_answer() {
        for error in [
            ApiError::internal("hunter2"),
            ApiError::unavailable("Later.", "hunter2"),
            ApiError::invalid_token("hunter2"),
        ] {
            let (_, headers, body) = answer(error).await;
            assert!(!body.to_string().contains("hunter2") && !format!("{headers:?}").contains("hunter2"));
        }
    }
}
