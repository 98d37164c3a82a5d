//! The token endpoint (RFC 6749 section 5), and how long a token is good.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use giftd_domain::access::{App, Environment};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::bed::{ALL, Answer, Bed, DEADLINE, request, secret};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

async fn ask(bed: &Bed, headers: &[(&str, &str)], form: &str) -> Answer {
    ask_from(bed, "203.0.113.1:4711", headers, form).await
}

async fn ask_from(bed: &Bed, peer: &str, headers: &[(&str, &str)], form: &str) -> Answer {
    let mut request = request(Method::POST, "/oauth2/token", headers, Body::from(form.to_owned()));
    let peer: SocketAddr = peer.parse().expect("an address");
    request.extensions_mut().insert(ConnectInfo(peer));
    let answer = bed.send(request).await;
    assert_eq!(answer.header("cache-control"), "no-store", "no answer may be kept");
    assert_eq!(answer.header("content-type"), "application/json");
    answer
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn form(app: &App, more: &str) -> String {
    let (id, secret) = (encoded(&app.client_id), encoded(&secret(&app.client_id)));
    format!("grant_type=client_credentials&client_id={id}&client_secret={secret}{more}")
}

fn basic(app: &App) -> String {
    let pair = format!("{}:{}", encoded(&app.client_id), encoded(&secret(&app.client_id)));
    format!("Basic {}", STANDARD.encode(pair))
}

#[track_caller]
fn assert_oauth_error(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{}", answer.text);
    assert!(answer.json["error_description"].is_string() && answer.json["requestId"].is_string(), "{}", answer.text);
    assert_eq!(answer.header("www-authenticate").is_empty(), status != 401);
}

#[tokio::test]
async fn the_client_authenticates_in_the_body_or_by_http_basic() {
    let bed = Bed::new().await;
    let in_body = ask(&bed, &[FORM], &form(&bed.app, "")).await;
    let by_header = ask(&bed, &[FORM, ("authorization", &basic(&bed.app))], "grant_type=client_credentials").await;
    for answer in [in_body, by_header] {
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!((&answer.json["token_type"], &answer.json["expires_in"]), (&json!("Bearer"), &json!(3_600)));
        assert_eq!(answer.json["scope"], bed.app.scopes.to_string());
        let token = answer.json["access_token"].as_str().expect("a token");
        assert_eq!(bed.get_as(token, "/api/v1/orders").await.status, 200);
    }
}

#[tokio::test]
async fn a_token_is_good_for_an_hour_in_production_and_a_day_in_sandbox() {
    let bed = Bed::new().await;
    let sandbox = bed.app(bed.organization, Environment::Sandbox, "Test", ALL).await;
    for (app, seconds) in [(&bed.app, 3_600), (&sandbox, 86_400)] {
        let answer = ask(&bed, &[FORM], &form(app, "")).await;
        assert_eq!(answer.json["expires_in"], seconds);
        let token = answer.json["access_token"].as_str().expect("a token").to_owned();
        bed.clock.advance(Duration::from_secs(seconds - 1));
        assert_eq!(bed.get_as(&token, "/api/v1/orders").await.status, 200);
        bed.clock.advance(Duration::from_secs(1));
        let expired = bed.get_as(&token, "/api/v1/orders").await;
        expired.assert_error(401, "UNAUTHORIZED");
        assert!(expired.header("www-authenticate").starts_with("Bearer error=\"invalid_token\""));
    }
}

#[tokio::test]
async fn a_scope_is_a_subset_of_the_apps_else_invalid_scope() {
    let bed = Bed::new().await;
    let some = ask(&bed, &[FORM], &form(&bed.app, "&scope=orders.read+catalog.read")).await;
    assert_eq!((some.status.as_u16(), &some.json["scope"]), (200, &json!("orders.read catalog.read")));
    let token = some.json["access_token"].as_str().expect("a token");
    assert_eq!(bed.get_as(token, "/api/v1/orders").await.status, 200);
    bed.get_as(token, "/api/v1/balance").await.assert_error(403, "INSUFFICIENT_SCOPE");
    for scope in ["webhooks.read", "orders.read webhooks.write", "orders.everything", "orders.read,orders.write"] {
        let answer = ask(&bed, &[FORM], &form(&bed.app, &format!("&scope={}", encoded(scope)))).await;
        assert_oauth_error(&answer, 400, "invalid_scope");
    }
}

#[tokio::test]
async fn wrong_credentials_are_always_401_invalid_client() {
    let bed = Bed::new().await;
    let id = &bed.app.client_id;
    for (index, wrong) in [
        format!("grant_type=client_credentials&client_id={id}&client_secret=wrong"),
        format!("grant_type=client_credentials&client_id={id}&client_secret="),
        format!("grant_type=client_credentials&client_id={id}"),
        "grant_type=client_credentials&client_id=nobody&client_secret=x".to_owned(),
        "grant_type=client_credentials&client_id=%00&client_secret=%00".to_owned(),
        "grant_type=client_credentials".to_owned(),
        "grant_type=password&client_id=nobody&client_secret=x&scope=nonsense".to_owned(),
        String::new(),
    ]
    .iter()
    .enumerate()
    {
        assert_oauth_error(
            &ask_from(&bed, &format!("203.0.113.{index}:1"), &[FORM], wrong).await,
            401,
            "invalid_client",
        );
    }
    for wrong in ["Basic", "Basic !!!", "Basic bm9ib2R5", "Bearer abc", "Basic bm9ib2R5Ong="] {
        let answer = ask(&bed, &[FORM, ("authorization", wrong)], "grant_type=client_credentials").await;
        assert_oauth_error(&answer, 401, "invalid_client");
    }
}

#[tokio::test]
async fn requests_that_contradict_themselves_are_invalid_requests() {
    let bed = Bed::new().await;
    let good = form(&bed.app, "");
    for (headers, form) in [
        (vec![FORM], good.replace("grant_type=client_credentials&", "")),
        (vec![FORM], format!("{good}&grant_type=client_credentials")),
        (vec![FORM], format!("{good}&client_id=another")),
        (vec![("content-type", "application/json")], json!({"grant_type": "client_credentials"}).to_string()),
        (vec![], good.clone()),
        (vec![FORM, ("authorization", basic(&bed.app).as_str())], good.clone()),
        (
            vec![FORM, ("authorization", basic(&bed.app).as_str())],
            "grant_type=client_credentials&client_id=another".to_owned(),
        ),
    ] {
        assert_oauth_error(&ask(&bed, &headers, &form).await, 400, "invalid_request");
    }
    let other = ask(&bed, &[FORM], &good.replace("client_credentials", "password")).await;
    assert_oauth_error(&other, 400, "unsupported_grant_type");
    let get = bed.send(request(Method::GET, "/oauth2/token", &[], Body::empty())).await;
    get.assert_error(405, "METHOD_NOT_ALLOWED");
    let large = ask(&bed, &[FORM], &format!("{good}&x={}", "x".repeat(17 << 20))).await;
    large.assert_error(413, "PAYLOAD_TOO_LARGE");
    let ignored = ask(&bed, &[FORM], &form(&bed.app, "&resource=x&resource=y&scope=")).await;
    assert_eq!(ignored.status, 200, "unknown parameters are ignored, and one without a value is absent");
}

#[tokio::test]
async fn after_ten_failures_in_a_minute_it_is_429_and_the_right_secret_works_again_later() {
    let bed = Bed::new().await;
    let wrong = format!("grant_type=client_credentials&client_id={}&client_secret=wrong", bed.app.client_id);
    let right = form(&bed.app, "");
    for _ in 0..10 {
        assert_oauth_error(&ask(&bed, &[FORM], &wrong).await, 401, "invalid_client");
    }
    for form in [&wrong, &right] {
        let answer = ask(&bed, &[FORM], form).await;
        answer.assert_error(429, "RATE_LIMITED");
        assert_eq!(answer.header("retry-after"), "60");
    }
    assert_eq!(ask_from(&bed, "203.0.113.2:4711", &[FORM], &right).await.status, 200, "another address");
    let forwarded = [FORM, ("x-forwarded-for", "198.51.100.7")];
    ask(&bed, &forwarded, &right).await.assert_error(429, "RATE_LIMITED");
    bed.clock.advance(Duration::from_secs(60));
    assert_eq!(ask(&bed, &[FORM], &right).await.status, 200);
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_clients_address_counts() {
    let bed = Bed::with(|settings| settings.trusted_proxies = vec!["203.0.113.0/24".parse().expect("a network")]).await;
    let wrong = format!("grant_type=client_credentials&client_id={}&client_secret=wrong", bed.app.client_id);
    for _ in 0..10 {
        ask(&bed, &[FORM, ("x-forwarded-for", "198.51.100.7")], &wrong).await;
    }
    ask(&bed, &[FORM, ("x-forwarded-for", "198.51.100.7")], &form(&bed.app, ""))
        .await
        .assert_error(429, "RATE_LIMITED");
    assert_eq!(ask(&bed, &[FORM, ("x-forwarded-for", "198.51.100.8")], &form(&bed.app, "")).await.status, 200);
}

/// Asks until the answer is 401, at most for as long as the contract allows. In real time: how long a node
/// remembers an app does not go by the test's clock.
async fn until_refused(bed: &Bed, token: &str) {
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    let refused = async {
        loop {
            ticks.tick().await;
            let answer = bed.get_as(token, "/api/v1/orders").await;
            if answer.status == 401 {
                return answer;
            }
            assert_eq!(answer.status, 200);
        }
    };
    let answer = tokio::time::timeout(DEADLINE, refused).await.expect("refused within 5 seconds");
    answer.assert_error(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn a_revoked_apps_tokens_stop_working_within_5_seconds() {
    let bed = Bed::new().await;
    assert_eq!(bed.get("/api/v1/orders").await.status, 200);
    assert!(bed.giftd.store.revoke_app(&bed.app.client_id, bed.clock.now()).await.expect("revoked"));
    assert_oauth_error(&ask(&bed, &[FORM], &form(&bed.app, "")).await, 401, "invalid_client");
    until_refused(&bed, &bed.token).await;
}

#[tokio::test]
async fn a_rotated_secrets_tokens_stop_working_within_5_seconds_and_the_new_one_works_at_once() {
    let bed = Bed::new().await;
    assert_eq!(bed.get("/api/v1/orders").await.status, 200);
    let hash = Sha256::digest("the new one").into();
    assert!(bed.giftd.store.rotate_app(&bed.app.client_id, hash).await.expect("rotated"));
    assert_oauth_error(&ask(&bed, &[FORM], &form(&bed.app, "")).await, 401, "invalid_client");
    let new = format!("grant_type=client_credentials&client_id={}&client_secret=the+new+one", bed.app.client_id);
    let answer = ask(&bed, &[FORM], &new).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    until_refused(&bed, &bed.token).await;
    let token = answer.json["access_token"].as_str().expect("a token");
    assert_eq!(bed.get_as(token, "/api/v1/orders").await.status, 200);
}

#[tokio::test]
async fn keys_and_metadata_are_public() {
    let bed = Bed::with(|settings| settings.public_url = Some("https://gifts.example".to_owned())).await;
    let get = |path| bed.send(request(Method::GET, path, &[], Body::empty()));
    let keys = get("/.well-known/jwks.json").await;
    assert_eq!((keys.status.as_u16(), &keys.json), (200, bed.giftd.tokens.jwks()));
    let metadata = get("/.well-known/oauth-authorization-server").await;
    assert_eq!(metadata.json["issuer"], "https://gifts.example");
    assert_eq!(metadata.json["token_endpoint"], "https://gifts.example/oauth2/token");
    assert_eq!(metadata.json["jwks_uri"], "https://gifts.example/.well-known/jwks.json");
    assert_eq!(metadata.json["grant_types_supported"], json!(["client_credentials"]));
}
