//! Paths, methods and request ids: everything under /api and /oauth2 is answered in JSON.

use axum::body::Body;
use axum::http::Method;

use crate::bed::{Bed, request};

#[tokio::test]
async fn unknown_paths_are_404_in_the_envelope() {
    let bed = Bed::new().await;
    for path in [
        "/api",
        "/api/v1",
        "/api/v1/",
        "/api/v1/nothing",
        "/api/v1/orders/",
        "/api/v2/orders",
        "/oauth2",
        "/oauth2/token/",
        "/api/v1/%00",
        "/API/v1/orders",
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let answer = bed
                .send(request(method, path, &[("authorization", &format!("Bearer {}", bed.token))], Body::empty()))
                .await;
            answer.assert_error(404, "NOT_FOUND");
        }
    }
}

#[tokio::test]
async fn wrong_methods_are_405_and_tell_the_right_ones() {
    let bed = Bed::new().await;
    for (path, wrong, allowed) in [
        ("/api/v1/orders", Method::DELETE, "GET"),
        ("/api/v1/orders", Method::POST, "GET"),
        ("/api/v1/orders/branded-cards", Method::PUT, "POST"),
        ("/api/v1/balance", Method::PATCH, "GET"),
        ("/oauth2/token", Method::GET, "POST"),
        ("/api/v1/balance", Method::from_bytes(b"BREW").expect("a method"), "GET"),
    ] {
        let answer = bed.send(request(wrong, path, &[], Body::empty())).await;
        answer.assert_error(405, "METHOD_NOT_ALLOWED");
        assert!(answer.header("allow").contains(allowed), "{path}: {}", answer.header("allow"));
    }
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_a_sane_one_is_echoed() {
    let bed = Bed::new().await;
    for path in ["/api/v1/balance", "/api/v1/nothing", "/oauth2/token", "/healthz", "/openapi.json"] {
        let answer = bed.send(request(Method::GET, path, &[("x-request-id", "my-id")], Body::empty())).await;
        assert_eq!(answer.header("x-request-id"), "my-id", "{path}");
        let answer = bed.send(request(Method::GET, path, &[("x-request-id", "not sane")], Body::empty())).await;
        assert_eq!(answer.header("x-request-id").len(), 36, "{path}");
    }
}
