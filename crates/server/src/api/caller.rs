//! Who calls, and that they may: a parameter's type (`Caller<OrdersWrite>`), so that no handler can
//! forget it. In this order: the token (401), the scope (403), the rate (429).

use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use giftd_domain::access::{App, Environment, Scope};
use giftd_domain::ids::AccountId;

use crate::api::error::ApiError;
use crate::api::rate_limit::RateLimitHeaders;
use crate::state::Giftd;

/// A scope as a type.
pub trait ScopeOf: Send + Sync + 'static {
    /// The scope.
    const SCOPE: Scope;
}

macro_rules! scopes {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug)]
            pub struct $name;

            impl ScopeOf for $name {
                const SCOPE: Scope = Scope::$name;
            }
        )*
    };
}

scopes! {
    /// `orders.read`
    OrdersRead;
    /// `orders.write`
    OrdersWrite;
    /// `orders.cancel`
    OrdersCancel;
    /// `catalog.read`
    CatalogRead;
    /// `balance.read`
    BalanceRead;
    /// `templates.read`
    TemplatesRead;
    /// `templates.write`
    TemplatesWrite;
}

/// An app whose token is good, has the scope `S`, and has requests left.
#[derive(Clone, Debug)]
pub struct Caller<S> {
    /// The app.
    pub app: Arc<App>,
    scope: PhantomData<S>,
}

impl<S> Caller<S> {
    /// The account that every query starts from.
    pub fn account_id(&self) -> AccountId {
        self.app.account_id
    }

    /// The account's environment.
    pub fn environment(&self) -> Environment {
        self.app.environment
    }
}

impl<S: ScopeOf> FromRequestParts<Arc<Giftd>> for Caller<S> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, giftd: &Arc<Giftd>) -> Result<Self, ApiError> {
        let token = bearer(&parts.headers)?;
        let claims = giftd.tokens.verify(token).await.map_err(ApiError::invalid_token)?;
        let app = giftd.app(&claims.client_id).await?.ok_or_else(|| ApiError::invalid_token("no such app"))?;
        if app.revoked_at.is_some() {
            return Err(ApiError::invalid_token("the app is revoked"));
        }
        if app.secret_version != claims.secret_version {
            return Err(ApiError::invalid_token("the app's secret was rotated"));
        }
        let wanted: &str = S::SCOPE.into();
        let is_in_token = claims.scope.split(' ').any(|scope| scope == wanted);
        if !is_in_token || !app.scopes.contains(S::SCOPE) {
            return Err(ApiError::insufficient_scope(S::SCOPE));
        }
        let headers = giftd.rate_limits.count(&app.client_id, app.environment).await?;
        if let Some(answers) = parts.extensions.get::<AnswersHeaders>() {
            answers.set(headers);
        }
        Ok(Self { app, scope: PhantomData })
    }
}

/// The token of `Authorization: Bearer …` (RFC 6750 section 2.1), whose scheme has no case.
fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Err(ApiError::no_token()) };
    if values.next().is_some() {
        return Err(ApiError::invalid_token("more than one Authorization header"));
    }
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(ApiError::no_token)?;
    if scheme.eq_ignore_ascii_case("Bearer") { Ok(token.trim_start_matches(' ')) } else { Err(ApiError::no_token()) }
}

/// Where the caller leaves what the answer's headers say of its quota: made by the outermost layer for
/// each request, read when the answer is there.
#[derive(Clone, Debug, Default)]
pub struct AnswersHeaders(Arc<OnceLock<RateLimitHeaders>>);

impl AnswersHeaders {
    fn set(&self, headers: RateLimitHeaders) {
        // A second caller of one request would be a bug that costs a header, nothing else.
        let _ = self.0.set(headers);
    }

    /// Adds them to the answer, unless a refusal has brought its own.
    pub fn add_to(&self, headers: &mut HeaderMap<HeaderValue>) {
        if let Some(quota) = self.0.get() {
            quota.clone().add_to(headers);
        }
    }
}
