//! How many requests an app may make: a quota a minute, by its environment, on this node. What is left
//! is in each answer's headers (IETF draft "RateLimit header fields for HTTP").

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use giftd_domain::access::Environment;
use giftd_domain::limits;
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use moka::future::Cache;

use super::error::{ApiError, whole_seconds};
use crate::clock::Clock;
use crate::settings::Settings;

/// Seconds of the window that a quota is for.
const WINDOW_SECONDS: u64 = 60;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

type Limiter = RateLimiter<NotKeyed, InMemoryState, Monotonic, StateInformationMiddleware>;

/// The requests of each app.
pub struct RateLimits {
    clock: Clock,
    production: Option<NonZeroU32>,
    sandbox: Option<NonZeroU32>,
    apps: Cache<String, Arc<Limiter>>,
}

/// What a request's answer says of the app's quota; nothing where there is none.
#[derive(Clone, Debug, Default)]
pub struct RateLimitHeaders(Option<(HeaderValue, HeaderValue)>);

impl RateLimits {
    /// The quotas of the settings.
    pub fn new(settings: &Settings, clock: Clock) -> Self {
        Self::with_quotas(settings.rate_limit_production, settings.rate_limit_sandbox, clock)
    }

    /// Requests a minute and app in each environment; none or 0: no limit.
    fn with_quotas(production: Option<u32>, sandbox: Option<u32>, clock: Clock) -> Self {
        let apps = Cache::builder()
            .max_capacity(limits::QUOTAS_REMEMBERED)
            // Least recently used, not least frequently: a busy app never loses its count.
            .eviction_policy(moka::policy::EvictionPolicy::lru())
            // By then a count is whole again, so that nothing is forgotten.
            .time_to_idle(Duration::from_secs(2 * WINDOW_SECONDS))
            .build();
        Self {
            clock,
            production: production.and_then(NonZeroU32::new),
            sandbox: sandbox.and_then(NonZeroU32::new),
            apps,
        }
    }

    /// Counts a request of an app: what its answer's headers are, or the refusal, which has them too.
    pub async fn count(&self, client_id: &str, environment: Environment) -> Result<RateLimitHeaders, ApiError> {
        let quota = match environment {
            Environment::Production => self.production,
            Environment::Sandbox => self.sandbox,
        };
        let Some(quota) = quota else { return Ok(RateLimitHeaders(None)) };
        let limiter = match self.apps.get(client_id).await {
            Some(limiter) => limiter,
            None => self.apps.get_with_by_ref(client_id, async { Arc::new(self.limiter(quota)) }).await,
        };
        match limiter.check() {
            Ok(state) => Ok(RateLimitHeaders::new(quota, state.remaining_burst_capacity())),
            Err(not_until) => {
                let wait = not_until.wait_time_from(self.clock.elapsed());
                let mut headers = HeaderMap::new();
                RateLimitHeaders::new(quota, 0).add_to(&mut headers);
                let message =
                    format!("This app may make {quota} requests a minute; try again in {} s.", whole_seconds(wait));
                let headers = headers.into_iter().filter_map(|(name, value)| Some((name?, value)));
                Err(ApiError::rate_limited(message, wait).with_headers(headers))
            }
        }
    }

    fn limiter(&self, quota: NonZeroU32) -> Limiter {
        RateLimiter::direct_with_clock(Quota::per_minute(quota), Monotonic(self.clock.clone()))
            .with_middleware::<StateInformationMiddleware>()
    }
}

impl RateLimitHeaders {
    fn new(quota: NonZeroU32, left: u32) -> Self {
        // Requests come back one by one; `t` is when all are back.
        let used = u64::from(quota.get().saturating_sub(left));
        let seconds = used.saturating_mul(WINDOW_SECONDS).div_ceil(u64::from(quota.get()));
        let header = |text: String| HeaderValue::try_from(text).expect("digits are visible");
        Self(Some((
            header(format!(r#""default";q={quota};w={WINDOW_SECONDS}"#)),
            header(format!(r#""default";r={left};t={seconds}"#)),
        )))
    }

    /// Adds `RateLimit-Policy` and `RateLimit` to an answer's headers.
    pub fn add_to(self, headers: &mut HeaderMap) {
        if let Some((policy, state)) = self.0 {
            headers.insert(POLICY, policy);
            headers.insert(STATE, state);
        }
    }
}

/// The clock as the limiter wants it: time since the start, which never steps back.
#[derive(Clone)]
struct Monotonic(Clock);

impl governor::clock::Clock for Monotonic {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::RETRY_AFTER;
    use axum::response::IntoResponse as _;

    use super::*;

    fn clock() -> Clock {
        Clock::fixed("2026-11-22T12:00:00Z".parse().expect("an instant"))
    }

    fn headers(of: RateLimitHeaders) -> (String, String) {
        let mut headers = HeaderMap::new();
        of.add_to(&mut headers);
        let text = |name: &HeaderName| headers.get(name).map_or("", |value| value.to_str().expect("ASCII")).to_owned();
        (text(&POLICY), text(&STATE))
    }

    #[tokio::test]
    async fn each_answer_tells_the_quota_and_what_is_left() {
        let limits = RateLimits::with_quotas(Some(300), Some(60), clock());
        let mut last = RateLimitHeaders::default();
        for _ in 0..250 {
            last = limits.count("app", Environment::Production).await.expect("within the quota");
        }
        assert_eq!(headers(last), (r#""default";q=300;w=60"#.to_owned(), r#""default";r=50;t=50"#.to_owned()));
    }

    #[tokio::test]
    async fn one_above_the_quota_is_429_with_retry_after_and_works_again_after_it() {
        let clock = clock();
        let limits = RateLimits::with_quotas(Some(300), Some(60), clock.clone());
        for _ in 0..60 {
            limits.count("app", Environment::Sandbox).await.expect("within the quota");
        }
        let response = limits.count("app", Environment::Sandbox).await.expect_err("above it").into_response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        assert_eq!(response.headers()[POLICY], r#""default";q=60;w=60"#);
        assert_eq!(response.headers()[STATE], r#""default";r=0;t=60"#);
        clock.advance(Duration::from_secs(1));
        assert!(limits.count("app", Environment::Sandbox).await.is_ok());
        assert!(limits.count("app", Environment::Sandbox).await.is_err());
        clock.advance(Duration::from_secs(60));
        for _ in 0..60 {
            limits.count("app", Environment::Sandbox).await.expect("the whole quota is back");
        }
    }

    #[tokio::test]
    async fn each_app_has_its_own_quota_by_its_environment() {
        let limits = RateLimits::with_quotas(Some(2), Some(1), clock());
        for (app, environment, quota) in
            [("a", Environment::Sandbox, 1), ("b", Environment::Sandbox, 1), ("c", Environment::Production, 2)]
        {
            for _ in 0..quota {
                assert!(limits.count(app, environment).await.is_ok(), "{app}");
            }
            assert!(limits.count(app, environment).await.is_err(), "{app}");
        }
    }

    #[tokio::test]
    async fn zero_is_no_limit_and_no_headers() {
        let limits = RateLimits::with_quotas(Some(0), None, clock());
        for environment in [Environment::Production, Environment::Sandbox] {
            for _ in 0..1_000 {
                let counted = limits.count("app", environment).await.expect("no limit");
                assert_eq!(headers(counted), (String::new(), String::new()));
            }
        }
    }
}
