//! Rate limits: what each answer tells, and that a refusal comes after who and what, before the body.

use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use giftd_domain::access::Environment;

use crate::bed::{ALL, BRANDED, Bed, request};

#[tokio::test]
async fn each_answer_has_the_apps_quota_and_what_is_left() {
    let bed = Bed::with(|settings| settings.rate_limit_production = Some(300)).await;
    for (path, status) in [("/api/v1/balance", 200), ("/api/v1/orders/nothing", 404), ("/api/v1/orders?page=0", 400)] {
        let answer = bed.get(path).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("ratelimit-policy"), r#""default";q=300;w=60"#);
        assert!(answer.header("ratelimit").starts_with(r#""default";r=2"#), "{}", answer.header("ratelimit"));
    }
    assert_eq!(bed.get("/api/v1/balance").await.header("ratelimit"), r#""default";r=296;t=1"#);
    let token = bed.send(request(Method::POST, "/oauth2/token", &[], Body::empty())).await;
    assert!(token.headers.get("ratelimit").is_none(), "the token endpoint doesn't count");
}

#[tokio::test]
async fn above_the_quota_it_is_429_with_retry_after_also_for_a_broken_body() {
    let bed = Bed::with(|settings| settings.rate_limit_sandbox = Some(2)).await;
    let sandbox = bed.app(bed.organization, Environment::Sandbox, "Test", ALL).await;
    let token = bed.token_of(&sandbox);
    for _ in 0..2 {
        assert_eq!(bed.post_text(&token, BRANDED, &[], "{").await.status, 400);
    }
    let refused = bed.post_text(&token, BRANDED, &[], "{").await;
    refused.assert_error(429, "RATE_LIMITED");
    assert_eq!(refused.header("retry-after"), "30");
    assert_eq!(refused.header("ratelimit"), r#""default";r=0;t=60"#);
    // Who and what come first, and cost nothing of the quota.
    let weak = bed.giftd.tokens.issue(&sandbox.client_id, &"orders.read".parse().expect("a scope"), 1, 60);
    bed.post_text(&weak, BRANDED, &[], "{").await.assert_error(403, "INSUFFICIENT_SCOPE");
    bed.post_text("abc", BRANDED, &[], "{").await.assert_error(401, "UNAUTHORIZED");
    assert_eq!(bed.get("/api/v1/balance").await.status, 200, "each app has its own");
    bed.clock.advance(Duration::from_secs(30));
    assert_eq!(bed.post_text(&token, BRANDED, &[], "{").await.status, 400);
}
