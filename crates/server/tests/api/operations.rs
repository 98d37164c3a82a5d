//! What operators look at.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Method;
use giftd::settings::Secret;

use crate::bed::{Answer, Bed, order, request};

async fn metrics(bed: &Bed, peer: Option<&str>, headers: &[(&str, &str)]) -> Answer {
    let mut request = request(Method::GET, "/metrics", headers, Body::empty());
    if let Some(peer) = peer {
        let peer: SocketAddr = peer.parse().expect("an address");
        request.extensions_mut().insert(ConnectInfo(peer));
    }
    bed.send(request).await
}

#[tokio::test]
async fn healthz_and_readyz_need_no_token() {
    let bed = Bed::new().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(bed.send(request(Method::GET, path, &[], Body::empty())).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn without_a_token_metrics_are_for_this_machine_only() {
    let bed = Bed::new().await;
    for peer in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert_eq!(metrics(&bed, Some(peer), &[]).await.status, 200, "{peer}");
    }
    for (peer, headers) in [
        (Some("192.0.2.1:1"), vec![]),
        (None, vec![]),
        (Some("127.0.0.1:1"), vec![("x-forwarded-for", "127.0.0.1")]),
        (Some("127.0.0.1:1"), vec![("forwarded", "for=127.0.0.1")]),
        (Some("127.0.0.1:1"), vec![("x-real-ip", "127.0.0.1")]),
    ] {
        metrics(&bed, peer, &headers).await.assert_error(404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn with_a_token_metrics_need_it_from_everywhere() {
    let bed = Bed::with(|settings| settings.metrics_token = Some(Secret::new("prometheus"))).await;
    metrics(&bed, Some("127.0.0.1:1"), &[]).await.assert_error(401, "UNAUTHORIZED");
    metrics(&bed, Some("127.0.0.1:1"), &[("authorization", "Bearer wrong")]).await.assert_error(401, "UNAUTHORIZED");
    let right = [("authorization", "Bearer prometheus"), ("x-forwarded-for", "192.0.2.7")];
    assert_eq!(metrics(&bed, Some("192.0.2.1:1"), &right).await.status, 200);
}

#[tokio::test]
async fn metrics_count_by_route_and_no_label_names_an_account() {
    let bed = Bed::new().await;
    let placed = bed.place(&order("k")).await;
    let order_id = placed["orderId"].as_str().expect("an id");
    bed.get(&format!("/api/v1/orders/{order_id}")).await;
    bed.get("/api/v1/orders/secret-path").await;
    bed.get("/unknown-path").await;
    let odd = Method::from_bytes(b"ODDMETHOD").expect("a method");
    bed.send(request(odd, "/api/v1/orders", &[], Body::empty())).await;
    let text = metrics(&bed, Some("127.0.0.1:1"), &[]).await.text;
    for expected in [
        r#"giftd_http_requests_total{method="POST",route="/api/v1/orders/branded-cards",status="201"} 1"#,
        r#"giftd_http_requests_total{method="GET",route="/api/v1/orders/{orderId}",status="200"} 1"#,
        r#"giftd_http_requests_total{method="GET",route="none",status="404"} 1"#,
        r#"giftd_http_requests_total{method="other",route="/api/v1/orders",status="405"} 1"#,
        "giftd_http_request_seconds_bucket{route=\"/api/v1/orders/branded-cards\",le=\"",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    for secret in [order_id, bed.app.client_id.as_str(), "secret-path", "unknown-path", "ODDMETHOD", "Payroll"] {
        assert!(!text.contains(secret), "{secret}");
    }
}
