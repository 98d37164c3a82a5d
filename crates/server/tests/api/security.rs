//! What docs/security.md says.

use std::fs;
use std::path::Path;

use axum::body::Body;
use axum::http::Method;
use serde_json::json;

use crate::bed::{Bed, LINKS, request, text};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[test]
fn each_test_that_the_security_page_names_is_there() {
    let page = fs::read_to_string(root().join("docs/security.md")).expect("the page");
    let (mut file, mut source, mut found) = ("", String::new(), 0);
    for code in page.split('`').skip(1).step_by(2) {
        if code.ends_with(".rs") && code.contains('/') {
            (file, source) =
                (code, fs::read_to_string(root().join(code)).unwrap_or_else(|error| panic!("{code}: {error}")));
        } else if code.split('_').count() > 3 && code.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')) {
            // Metrics have such names, too.
            if !code.starts_with("giftd_") {
                assert!(source.contains(&format!("fn {code}(")), "{file} has no test {code}");
                found += 1;
            }
        }
    }
    assert!(found > 80, "only {found} tests were found on the page");
}

#[tokio::test]
async fn no_header_of_a_request_decides_where_links_lead() {
    let bed = Bed::with(|settings| settings.public_url = Some("https://gifts.example".to_owned())).await;
    let bearer = format!("Bearer {}", bed.token);
    let evil = [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "host=evil.example;proto=http"),
        ("origin", "https://evil.example"),
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let body = json!({
        "idempotencyKey": "k", "cardType": "BRANDED_CARD", "productId": "10042", "quantity": 1, "amountPerLink": 50
    });
    let placed = bed.send(request(Method::POST, LINKS, &evil, Body::from(body.to_string()))).await;
    bed.deliver(&[]).await;
    let path = format!("/api/v1/orders/{}", text(&placed.json["data"], "orderId"));
    let shown = bed.send(request(Method::GET, &path, &evil, Body::empty())).await;
    let link = shown.json["data"]["recipients"][0]["rewardLink"].as_str().expect("a link");
    assert!(link.starts_with("https://gifts.example/r/"), "{link}");
    let metadata =
        bed.send(request(Method::GET, "/.well-known/oauth-authorization-server", &evil, Body::empty())).await;
    for answer in [placed, shown, metadata] {
        assert!(!answer.text.contains("evil"), "{}", answer.text);
        assert!(answer.headers.values().all(|value| !value.to_str().is_ok_and(|value| value.contains("evil"))));
    }
}

#[test]
fn secrets_and_macs_are_compared_in_constant_time() {
    for (file, compared) in [
        ("api/oauth.rs", "hash.ct_eq(&expected)"),
        ("api/health.rs", ".ct_eq("),
        ("links.rs", ".ct_eq("),
        ("redeem/session.rs", ".ct_eq("),
        ("redeem/form.rs", ".ct_eq("),
    ] {
        let source = fs::read_to_string(root().join("crates/server/src").join(file)).expect(file);
        assert!(source.contains(compared), "{file} compares without `{compared}`");
    }
}
