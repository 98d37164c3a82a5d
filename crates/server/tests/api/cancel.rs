//! Canceling: what can be taken back, what can't and why, and the money.

use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use giftd_domain::access::Environment;
use giftd_domain::orders::OrderStatus;
use serde_json::json;

use crate::bed::{ALL, BRANDED, Bed, order, order_to, order_with, request, scheduled, text};

fn path(order: &serde_json::Value) -> String {
    format!("/api/v1/orders/{}/cancel", text(order, "orderId"))
}

#[tokio::test]
async fn a_scheduled_order_is_taken_back_whole() {
    let bed = Bed::new().await;
    let mut body = order_to("k", &["alice@example.com", "bob@example.com"]);
    body["sendTiming"] = scheduled("2026-12-24T09:00:00");
    let order = bed.place(&body).await;
    let answer = bed.delete(&path(&order)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let canceled = &answer.json["data"];
    assert_eq!((text(canceled, "status"), text(canceled, "canceledAt")), ("CANCELED", "2026-11-22T18:00:00.000Z"));
    for recipient in canceled["recipients"].as_array().expect("recipients") {
        assert_eq!((text(recipient, "deliveryStatus"), text(recipient, "redemptionStatus")), ("CANCELED", "CANCELED"));
    }
    assert_eq!(bed.get(&format!("/api/v1/orders/{}", text(&order, "orderId"))).await.json, answer.json);
    let balances = bed.account().await.balances;
    assert_eq!((balances.available, balances.pending), (1_000_000, 0), "its whole cost is available again");
    let ledger = bed.get("/api/v1/balance/ledger").await;
    let entry = &ledger.json["data"][0];
    assert_eq!(
        (text(entry, "type"), &entry["amount"], &entry["referenceNumber"]),
        ("REFUND", &json!(100.0), &order["orderId"])
    );
    // And nothing goes out when its time comes.
    bed.clock.advance(Duration::from_secs(60 * 24 * 3_600));
    assert_eq!(bed.giftd.store.backlog(bed.clock.now()).await.expect("an answer").due, 0);
}

#[tokio::test]
async fn canceling_again_is_200_and_moves_no_money() {
    let bed = Bed::new().await;
    let order = bed.place(&order_with("k", &[("/sendTiming", scheduled("2026-12-24T09:00"))])).await;
    let first = bed.delete(&path(&order)).await;
    // Also when it couldn't be canceled any more.
    bed.clock.advance(Duration::from_secs(60 * 24 * 3_600));
    let again = bed.delete_as(&bed.token_of(&bed.app), &path(&order)).await;
    assert_eq!((again.status.as_u16(), &again.json), (200, &first.json));
    assert_eq!(bed.account().await.balances.available, 1_000_000);
    let ledger = bed.get_as(&bed.token_of(&bed.app), "/api/v1/balance/ledger?type=REFUND").await;
    assert_eq!(ledger.json["pagination"]["totalItems"], 1);
}

#[tokio::test]
async fn at_least_an_hour_must_be_left() {
    let bed = Bed::new().await;
    let order = bed.place(&order_with("k", &[("/sendTiming", scheduled("2026-11-22T18:59:59"))])).await;
    let refused = bed.delete(&path(&order)).await;
    refused.assert_error(409, "ORDER_NOT_CANCELABLE");
    assert!(text(&refused.json, "message").contains("less than an hour"), "{}", refused.text);
    let balances = bed.account().await.balances;
    assert_eq!((balances.available, balances.pending), (995_000, 5_000), "nothing happened");
    let order = bed.place(&order_with("l", &[("/sendTiming", scheduled("2026-11-22T19:00:00"))])).await;
    assert_eq!(bed.delete(&path(&order)).await.status, 200, "exactly an hour");
}

#[tokio::test]
async fn an_order_that_goes_out_at_once_is_not_cancelable() {
    let bed = Bed::new().await;
    let order = bed.place(&order("k")).await;
    for _ in 0..2 {
        let refused = bed.delete(&path(&order)).await;
        refused.assert_error(409, "ORDER_NOT_CANCELABLE");
        assert!(text(&refused.json, "message").contains("only a scheduled order"), "{}", refused.text);
        bed.deliver(&[]).await;
    }
}

#[tokio::test]
async fn an_order_that_is_being_delivered_is_not_cancelable() {
    let bed = Bed::new().await;
    let order = bed.place(&order_with("k", &[("/sendTiming", scheduled("2026-11-22T20:00"))])).await;
    bed.clock.advance(Duration::from_secs(2 * 3_600));
    bed.deliver(&[]).await;
    let refused = bed.delete_as(&bed.token_of(&bed.app), &path(&order)).await;
    refused.assert_error(409, "ORDER_NOT_CANCELABLE");
    assert!(text(&refused.json, "message").contains("already being delivered"), "{}", refused.text);
    assert_eq!(bed.account().await.balances.issued, 5_000);
}

#[tokio::test]
async fn a_body_is_ignored() {
    let bed = Bed::new().await;
    let order = bed.place(&order_with("k", &[("/sendTiming", scheduled("2026-12-24T09:00"))])).await;
    let bearer = format!("Bearer {}", bed.token);
    let headers = [("authorization", bearer.as_str()), ("content-type", "text/plain")];
    let answer = bed.send(request(Method::DELETE, &path(&order), &headers, Body::from("{"))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[tokio::test]
async fn nobody_else_can_cancel_it() {
    let bed = Bed::new().await;
    let order = bed.place(&order_with("k", &[("/sendTiming", scheduled("2026-12-24T09:00"))])).await;
    let sandbox = bed.app(bed.organization, Environment::Sandbox, "Test", ALL).await;
    let of_no_order = path(&json!({"orderId": "OT01KAPBQBY0000000000000000A"}));
    for app in [bed.stranger().await, sandbox] {
        let token = bed.token_of(&app);
        let answer = bed.delete_as(&token, &path(&order)).await;
        answer.assert_error(404, "ORDER_NOT_FOUND");
        assert_eq!(answer.json["message"], bed.delete_as(&token, &of_no_order).await.json["message"]);
    }
    let as_links = path(&json!({"orderId": text(&order, "orderId").replacen("OT", "LO", 1)}));
    bed.delete(&as_links).await.assert_error(404, "ORDER_NOT_FOUND");
    bed.delete("/api/v1/orders/%00/cancel").await.assert_error(404, "ORDER_NOT_FOUND");
    let order_id = text(&order, "orderId").parse().expect("an id");
    let found = bed.giftd.store.order(bed.app.account_id, order_id).await.expect("an answer").expect("the order");
    assert_eq!(found.summary.status, OrderStatus::Pending);
}

#[tokio::test]
async fn a_replay_of_a_canceled_order_answers_it_canceled() {
    let bed = Bed::new().await;
    let body = order_with("k", &[("/sendTiming", scheduled("2026-12-24T09:00"))]);
    let canceled = bed.delete(&path(&bed.place(&body).await)).await;
    let again = bed.post(BRANDED, &body).await;
    assert_eq!((again.status.as_u16(), &again.json), (200, &canceled.json));
}
