//! Large orders are read for answers one at a time for an account; small ones never wait for them.

use std::time::Duration;

use axum::http::{Method, Request};
use giftd::clock::Clock;
use giftd_domain::limits;
use serde_json::{Value, json};

use crate::bed::{Answer, BRANDED, Bed, order_with, request, scheduled, text};

fn scheduled_to(key: &str, recipients: usize) -> Value {
    let recipients: Vec<Value> =
        (0..recipients).map(|n| json!({"email": format!("r{n}@example.com"), "amount": 5})).collect();
    order_with(key, &[("/recipients", json!(recipients)), ("/sendTiming", scheduled("2026-12-24T09:00"))])
}

fn with_token(bed: &Bed, method: Method, path: &str, body: &str) -> Request<axum::body::Body> {
    let bearer = format!("Bearer {}", bed.token);
    request(method, path, &[("authorization", &bearer), ("content-type", "application/json")], body.to_owned().into())
}

/// The answer, while the clock goes on by a second again and again.
async fn while_time_passes(bed: &Bed, request: Request<axum::body::Body>) -> Answer {
    let (real, mut asking) = (Clock::system(), Box::pin(bed.send(request)));
    loop {
        tokio::select! {
            answer = &mut asking => return answer,
            () = real.sleep(Duration::from_millis(20)) => bed.clock.advance(Duration::from_secs(1)),
        }
    }
}

#[tokio::test]
async fn a_large_order_waits_for_room_wherever_it_is_answered_and_a_small_one_does_not() {
    let bed = Bed::new().await;
    let most = limits::RECIPIENTS_WRITTEN_INLINE;
    let (small, large) = (scheduled_to("small", most), scheduled_to("large", most + 1));
    let [of_small, of_large] = [bed.place(&small).await, bed.place(&large).await].map(|order| {
        let path = format!("/api/v1/orders/{}", text(&order, "orderId"));
        (path.clone(), format!("{path}/cancel"))
    });
    let whole = bed.get(&of_large.0).await;
    assert_eq!(whole.json["data"]["recipients"].as_array().map(Vec::len), Some(most + 1));

    let held = bed.giftd.large_orders.room(bed.app.account_id).await.expect("room");
    assert_eq!(bed.get(&of_small.0).await.status, 200);
    assert_eq!(bed.post(BRANDED, &small).await.status, 200);
    // The first time it is canceled, the order is at hand.
    assert_eq!(bed.delete(&of_large.1).await.status, 200);
    for (method, path, body) in [
        (Method::GET, of_large.0.as_str(), String::new()),
        (Method::POST, BRANDED, large.to_string()),
        (Method::DELETE, of_large.1.as_str(), String::new()),
    ] {
        let answer = while_time_passes(&bed, with_token(&bed, method, path, &body)).await;
        answer.assert_error(503, "UNAVAILABLE");
        assert!(!answer.header("retry-after").is_empty(), "{path} tells when");
    }
    drop(held);
    let canceled = bed.get(&of_large.0).await;
    assert_eq!((canceled.status.as_u16(), text(&canceled.json["data"], "status")), (200, "CANCELED"));
    assert_eq!(bed.post(BRANDED, &large).await.json, canceled.json);
    assert_eq!(bed.delete(&of_large.1).await.json, canceled.json);
}
