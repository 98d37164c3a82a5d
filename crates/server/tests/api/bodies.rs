//! Bodies that are not what they should be: the documented 4xx, nothing recorded, no panic.

use axum::body::Body;
use axum::http::Method;

use crate::bed::{BRANDED, Bed, CHOICE, order, request};

#[tokio::test]
async fn what_does_not_parse_is_malformed_json() {
    let bed = Bed::new().await;
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(200_000), close.repeat(200_000));
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"{".to_vec(),
        b"[]".to_vec(),
        b"null".to_vec(),
        b"\"text\"".to_vec(),
        b"{\"a\":1,}".to_vec(),
        b"{\"idempotencyKey\":\"\xff\xfe\"}".to_vec(),
        b"{\"idempotencyKey\":\"k\"}\0".to_vec(),
        b"\x1f\x8b\x08\0".to_vec(),
        deep("[", "]").into_bytes(),
        deep("{\"a\":", "}").into_bytes(),
        "[".repeat(1_000_000).into_bytes(),
    ];
    for path in [BRANDED, CHOICE] {
        for body in &bodies {
            let answer = bed.post_text(&bed.token, path, &[], body.clone()).await;
            answer.assert_error(400, "MALFORMED_JSON");
        }
    }
    assert_eq!(bed.order_count().await, 0);
}

#[tokio::test]
async fn a_field_that_is_there_twice_is_a_detail() {
    let bed = Bed::new().await;
    let body = order("k").to_string().replacen('{', r#"{"refundOption":true,"refundOption":false,"#, 1);
    bed.post_text(&bed.token, BRANDED, &[], body).await.assert_invalid(&["refundOption DUPLICATE_FIELD"]);
    let body = order("k").to_string().replace(r#""amount":50"#, r#""amount":5,"amount":500"#);
    bed.post_text(&bed.token, BRANDED, &[], body).await.assert_invalid(&["recipients[0].amount DUPLICATE_FIELD"]);
}

#[tokio::test]
async fn over_16_mib_is_413_and_exactly_16_is_read() {
    let bed = Bed::new().await;
    let mut body = order("k").to_string();
    body.push_str(&" ".repeat(16 * 1024 * 1024 - body.len()));
    assert_eq!(bed.post_text(&bed.token, BRANDED, &[], body.clone()).await.status, 201);
    body.push(' ');
    bed.post_text(&bed.token, BRANDED, &[], body).await.assert_error(413, "PAYLOAD_TOO_LARGE");
    assert_eq!(bed.order_count().await, 1);
}

#[tokio::test]
async fn a_body_that_is_not_said_to_be_json_is_415() {
    let bed = Bed::new().await;
    let bearer = format!("Bearer {}", bed.token);
    for headers in [
        vec![("authorization", bearer.as_str())],
        vec![("authorization", bearer.as_str()), ("content-type", "text/plain")],
        vec![("authorization", bearer.as_str()), ("content-type", "application/x-www-form-urlencoded")],
        vec![("authorization", bearer.as_str()), ("content-type", "application/json"), ("content-encoding", "gzip")],
    ] {
        let answer = bed.send(request(Method::POST, BRANDED, &headers, Body::from(order("k").to_string()))).await;
        answer.assert_error(415, "UNSUPPORTED_MEDIA_TYPE");
    }
}

#[tokio::test]
async fn numbers_that_are_bombs_are_details() {
    let bed = Bed::new().await;
    let digits = "9".repeat(100_000);
    for number in
        ["1e400", "-1e400", "1e999999999999", "1e-999999999", digits.as_str(), "0.00000000000000000000000000000000001"]
    {
        let body = order("k").to_string().replace(r#""amount":50"#, &format!(r#""amount":{number}"#));
        bed.post_text(&bed.token, BRANDED, &[], body).await.assert_invalid(&["recipients[0].amount OUT_OF_RANGE"]);
    }
    for number in ["9223372036854775807", "92233720368547758.07", "79228162514264337593543950335"] {
        let body = order("k").to_string().replace(r#""amount":50"#, &format!(r#""amount":{number}"#));
        bed.post_text(&bed.token, BRANDED, &[], body).await.assert_error(400, "VALIDATION_ERROR");
    }
    assert_eq!(bed.order_count().await, 0);
}

#[tokio::test]
async fn a_million_recipients_are_refused_without_being_read() {
    let bed = Bed::new().await;
    let body = order("k").to_string().replace(r#"[{"amount""#, &format!(r#"[{}{{"amount""#, "{},".repeat(1_000_000)));
    bed.post_text(&bed.token, BRANDED, &[], body).await.assert_invalid(&["recipients TOO_MANY"]);
}
