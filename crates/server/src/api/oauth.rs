//! `POST /oauth2/token` (RFC 6749 section 4.4: client credentials), the keys, and the metadata (RFC 8414).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, PRAGMA, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use giftd_domain::access::{App, Environment, Scope, Scopes};
use giftd_domain::limits;
use http_body_util::BodyExt as _;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use strum::VariantArray as _;
use subtle::ConstantTimeEq as _;
use utoipa::ToSchema;

use crate::api::body::drop_beside;
use crate::api::client_address::client_address;
use crate::api::error::ApiError;
use crate::api::{request_id, wire};
use crate::clock::Clock;
use crate::state::Giftd;

/// Get an access token
///
/// The client authenticates by `client_id` and `client_secret` in the form or by HTTP Basic, not both.
/// After 10 failures in a minute for a client id and address: 429.
#[utoipa::path(
    post,
    path = "/oauth2/token",
    operation_id = "getToken",
    tag = "Tokens",
    security((), ("basic" = [])),
    request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "A token; send it as `Authorization: Bearer …`.", body = TokenAnswer),
        (status = 400, description = "`invalid_request`, `unsupported_grant_type` or `invalid_scope`", body = TokenError),
        (status = 401, description = "`invalid_client`: no, unknown or wrong credentials", body = TokenError),
    ),
)]
pub async fn token(State(giftd): State<Arc<Giftd>>, request: Request) -> Result<Response, TokenRefusal> {
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let address = client_address(peer, &parts.headers, &giftd.settings.trusted_proxies);
    let form = Form::read(&giftd, &parts.headers, body).await?;
    let credentials = credentials(&parts.headers, &form)?;
    let app = authenticate(&giftd, &credentials, address).await?;
    match form.grant_type.as_deref() {
        None => return Err(OAuthError::InvalidRequest("grant_type is missing").into()),
        Some("client_credentials") => {}
        Some(_) => return Err(OAuthError::UnsupportedGrantType.into()),
    }
    let scopes = match form.scope.as_deref() {
        None => app.scopes.clone(),
        Some(scope) => {
            let asked: Scopes = scope.parse().map_err(|_| OAuthError::InvalidScope)?;
            if asked.is_empty() { app.scopes.clone() } else { asked }
        }
    };
    if !scopes.is_subset(&app.scopes) {
        return Err(OAuthError::InvalidScope.into());
    }
    let seconds = match app.environment {
        Environment::Production => limits::TOKEN_SECONDS_PRODUCTION,
        Environment::Sandbox => limits::TOKEN_SECONDS_SANDBOX,
    };
    let answer = TokenAnswer {
        access_token: giftd.tokens.issue(&app.client_id, &scopes, app.secret_version, seconds),
        token_type: "Bearer",
        expires_in: seconds,
        scope: scopes.to_string(),
    };
    Ok(not_stored(wire::json(StatusCode::OK, &answer)))
}

/// `GET /.well-known/jwks.json`
pub async fn jwks(State(giftd): State<Arc<Giftd>>) -> Json<serde_json::Value> {
    Json(giftd.tokens.jwks().clone())
}

/// `GET /.well-known/oauth-authorization-server`
pub async fn metadata(State(giftd): State<Arc<Giftd>>) -> Json<serde_json::Value> {
    let url = giftd.settings.public_url_at(giftd.settings.listen);
    let scopes: Vec<&str> = Scope::VARIANTS.iter().map(|&scope| scope.into()).collect();
    Json(serde_json::json!({
        "issuer": giftd.tokens.issuer(),
        "token_endpoint": format!("{url}/oauth2/token"),
        "jwks_uri": format!("{url}/.well-known/jwks.json"),
        "scopes_supported": scopes,
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "service_documentation": format!("{url}/docs"),
    }))
}

/// The app of the credentials. Wrong ones count; after too many, right ones aren't looked at either.
async fn authenticate(giftd: &Giftd, credentials: &Credentials, address: IpAddr) -> Result<App, TokenRefusal> {
    if let Some(wait) = giftd.failures.wait(&credentials.client_id, address).await {
        let message = "Too many wrong credentials for this client id from this address.";
        return Err(ApiError::rate_limited(message, wait).into());
    }
    // Past the cache: a rotated secret works at once.
    let app = giftd.store.app(&credentials.client_id).await.map_err(ApiError::from)?;
    let hash: [u8; 32] = Sha256::digest(credentials.client_secret.as_bytes()).into();
    // Compared also where there is no app, so that the time tells nothing.
    let expected = app.as_ref().map_or([0; 32], |app| app.secret_hash);
    let is_right = bool::from(hash.ct_eq(&expected));
    match app {
        Some(app) if is_right && app.revoked_at.is_none() => Ok(app),
        _ => {
            giftd.failures.count(&credentials.client_id, address).await;
            Err(OAuthError::InvalidClient.into())
        }
    }
}

struct Credentials {
    client_id: String,
    client_secret: String,
}

/// From the form or from HTTP Basic; both is an error, as RFC 6749 section 2.3 has it.
fn credentials(headers: &HeaderMap, form: &Form) -> Result<Credentials, OAuthError> {
    let mut headers = headers.get_all(AUTHORIZATION).iter();
    let Some(header) = headers.next() else {
        return match (&form.client_id, &form.client_secret) {
            (Some(client_id), Some(client_secret)) => {
                Ok(Credentials { client_id: client_id.clone(), client_secret: client_secret.clone() })
            }
            _ => Err(OAuthError::InvalidClient),
        };
    };
    if headers.next().is_some() {
        return Err(OAuthError::InvalidRequest("there is more than one Authorization header"));
    }
    if form.client_secret.is_some() {
        return Err(OAuthError::InvalidRequest("the client authenticates twice, by header and in the form"));
    }
    let basic = basic(header).ok_or(OAuthError::InvalidClient)?;
    if form.client_id.as_ref().is_some_and(|client_id| *client_id != basic.client_id) {
        return Err(OAuthError::InvalidRequest("client_id differs from the one in the Authorization header"));
    }
    Ok(basic)
}

/// RFC 6749 section 2.3.1: both parts are form-encoded before they are put together.
fn basic(header: &HeaderValue) -> Option<Credentials> {
    let (scheme, encoded) = header.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (client_id, client_secret) = decoded.split_once(':')?;
    Some(Credentials { client_id: form_decoded(client_id)?, client_secret: form_decoded(client_secret)? })
}

fn form_decoded(text: &str) -> Option<String> {
    // As a name without a value: `=` and `&` are encoded in what is form-encoded.
    if text.contains(['=', '&']) {
        return Some(text.to_owned());
    }
    form_urlencoded::parse(text.as_bytes()).next().map_or(Some(String::new()), |(name, _)| Some(name.into_owned()))
}

/// The form's parameters; those without a value are absent, unknown ones ignored (section 3.2).
#[derive(Default)]
struct Form {
    grant_type: Option<String>,
    scope: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
}

impl Form {
    async fn read(giftd: &Giftd, headers: &HeaderMap, body: Body) -> Result<Self, TokenRefusal> {
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media = content_type.split(';').next().unwrap_or_default().trim();
        if !media.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(OAuthError::InvalidRequest("the body must be application/x-www-form-urlencoded").into());
        }
        let bytes = tokio::select! {
            received = received(&giftd.clock, body) => received?,
            () = giftd.clock.sleep(Duration::from_secs(limits::BODY_SECONDS)) => {
                return Err(OAuthError::InvalidRequest("the form did not arrive in time").into());
            }
        };
        let mut form = Self::default();
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(&bytes) {
            let known = match name.as_ref() {
                "grant_type" => &mut form.grant_type,
                "scope" => &mut form.scope,
                "client_id" => &mut form.client_id,
                "client_secret" => &mut form.client_secret,
                _ => continue,
            };
            if seen.contains(&name) {
                return Err(OAuthError::InvalidRequest("a parameter is there more than once").into());
            }
            if !value.is_empty() {
                *known = Some(value.into_owned());
            }
            seen.push(name);
        }
        Ok(form)
    }
}

/// The whole form, unless it is too large.
async fn received(clock: &Clock, mut body: Body) -> Result<Vec<u8>, TokenRefusal> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| OAuthError::InvalidRequest("the form did not arrive whole"))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len().saturating_add(data.len()) > limits::TOKEN_FORM_BYTES {
            drop_beside(clock, body);
            return Err(ApiError::payload_too_large(limits::TOKEN_FORM_BYTES).into());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// Why no token is issued.
pub enum TokenRefusal {
    /// As RFC 6749 section 5.2 has it.
    OAuth(OAuthError),
    /// As the rest of the API: 413, 429, 5xx. Boxed by itself.
    Api(ApiError),
}

impl From<OAuthError> for TokenRefusal {
    fn from(error: OAuthError) -> Self {
        Self::OAuth(error)
    }
}

impl From<ApiError> for TokenRefusal {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

/// The errors of RFC 6749 section 5.2.
#[derive(Clone, Copy, Debug)]
pub enum OAuthError {
    /// A parameter is missing, there twice, or contradicts another.
    InvalidRequest(&'static str),
    /// No, unknown or wrong credentials.
    InvalidClient,
    /// Not client_credentials.
    UnsupportedGrantType,
    /// More than the app may do.
    InvalidScope,
}

impl IntoResponse for TokenRefusal {
    fn into_response(self) -> Response {
        let error = match self {
            Self::Api(error) => return not_stored(error.into_response()),
            Self::OAuth(error) => error,
        };
        let (status, code, description) = match error {
            OAuthError::InvalidRequest(what) => (StatusCode::BAD_REQUEST, "invalid_request", what),
            OAuthError::InvalidClient => {
                (StatusCode::UNAUTHORIZED, "invalid_client", "the client id or secret is missing or wrong")
            }
            OAuthError::UnsupportedGrantType => {
                (StatusCode::BAD_REQUEST, "unsupported_grant_type", "only client_credentials is supported")
            }
            OAuthError::InvalidScope => {
                (StatusCode::BAD_REQUEST, "invalid_scope", "the app does not have all of these scopes")
            }
        };
        let body = TokenError {
            error: code,
            error_description: description,
            message: description,
            request_id: request_id::current(),
        };
        let mut response = not_stored(wire::json(status, &body));
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(r#"Basic realm="giftd""#));
        }
        response
    }
}

/// Section 5.1: no answer with a token may be kept.
fn not_stored(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// The form (RFC 6749 section 4.4.2).
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `Form` reads")]
pub struct TokenRequest {
    /// Always `client_credentials`.
    #[schema(pattern = "^client_credentials$", example = "client_credentials")]
    grant_type: String,
    /// Unless by HTTP Basic.
    client_id: Option<String>,
    /// Unless by HTTP Basic.
    client_secret: Option<String>,
    /// Some of the app's scopes, with spaces between; all, where left out.
    #[schema(example = "orders.read orders.write")]
    scope: Option<String>,
}

/// The answer (section 5.1).
#[derive(Serialize, ToSchema)]
pub struct TokenAnswer {
    /// The token.
    access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds: 3600 in production, 86400 in sandbox.
    #[schema(example = 3600)]
    expires_in: i64,
    /// What it allows.
    #[schema(example = "orders.read orders.write")]
    scope: String,
}

/// The error (section 5.2), with the request's id as everywhere.
#[derive(Serialize, ToSchema)]
pub struct TokenError {
    /// `invalid_request`, `invalid_client`, `unsupported_grant_type` or `invalid_scope`.
    #[schema(example = "invalid_client")]
    error: &'static str,
    /// What, for a person.
    error_description: &'static str,
    /// The same, where other errors have it.
    message: &'static str,
    /// The request's id, to ask about it.
    #[serde(rename = "requestId")]
    request_id: String,
}
