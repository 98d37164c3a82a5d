//! The history of an order's gifts.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bed::{Bed, order_to, order_with, scheduled, text};

async fn events(bed: &Bed, order: &Value, query: &str) -> Value {
    let path = format!("/api/v1/orders/{}/events{query}", text(order, "orderId"));
    let answer = bed.get(&path).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json
}

/// `recipient type` of each, the recipient by its position.
fn told(page: &Value) -> Vec<String> {
    let events = page["data"].as_array().expect("events").iter();
    events.map(|event| format!("{} {}", &text(event, "recipientId")[29..], text(event, "type"))).collect()
}

#[tokio::test]
async fn what_happened_to_each_gift_is_told_newest_first() {
    let bed = Bed::new().await;
    let order = bed.place(&order_to("k", &["alice@example.com", "bob@example.com"])).await;
    let placed = events(&bed, &order, "").await;
    assert_eq!(
        placed["data"][0],
        json!({
            "eventId": format!("{}-00002-0", text(&order, "orderId")),
            "recipientId": order["recipients"][1]["recipientId"],
            "type": "PLACED",
            "createdAt": "2026-11-22T18:00:00.000Z",
            "detail": null,
        })
    );
    assert_eq!(placed["pagination"], json!({"page": 1, "pageSize": 20, "totalItems": 2, "totalPages": 1}));
    bed.clock.advance(Duration::from_secs(1));
    bed.deliver(&["bob@example.com"]).await;
    bed.clock.advance(Duration::from_secs(1));
    let resend = json!({"recipients": [{"email": "bob@example.com", "updatedEmail": "carol@example.com"}]});
    let resent = bed.post(&format!("/api/v1/orders/{}/resend", text(&order, "orderId")), &resend).await;
    assert_eq!(resent.status, 200, "{}", resent.text);
    bed.clock.advance(Duration::from_secs(1));
    bed.deliver(&[]).await;
    let all = events(&bed, &order, "").await;
    assert_eq!(
        told(&all),
        ["00002 SENT", "00002 RESENT", "00002 FAILED", "00001 SENT", "00002 PLACED", "00001 PLACED"]
    );
    assert_eq!(text(&all["data"][0], "detail"), "to carol@example.com");
    assert_eq!(text(&all["data"][0], "eventId"), format!("{}-00002-3", text(&order, "orderId")));
    assert_eq!(text(&all["data"][0], "createdAt"), "2026-11-22T18:00:03.000Z");
    assert_eq!(text(&all["data"][2], "detail"), "550 no such user");
    let mut paged = Vec::new();
    for page in 1..=3 {
        paged.extend(told(&events(&bed, &order, &format!("?pageSize=2&page={page}")).await));
    }
    assert_eq!(paged, told(&all), "pages put together are the whole");
    assert_eq!(events(&bed, &order, "?page=9").await["data"], json!([]), "a page past the end is empty");
}

#[tokio::test]
async fn a_canceled_order_tells_that() {
    let bed = Bed::new().await;
    let order = bed.place(&order_with("k", &[("/sendTiming", scheduled("2026-12-24T09:00"))])).await;
    assert_eq!(bed.delete(&format!("/api/v1/orders/{}/cancel", text(&order, "orderId"))).await.status, 200);
    assert_eq!(told(&events(&bed, &order, "").await), ["00001 CANCELED", "00001 PLACED"]);
}

#[tokio::test]
async fn of_what_is_no_order_there_are_no_events() {
    let bed = Bed::new().await;
    let order = bed.place(&order_to("k", &["alice@example.com"])).await;
    let path = format!("/api/v1/orders/{}/events", text(&order, "orderId"));
    let token = bed.token_of(&bed.stranger().await);
    bed.get_as(&token, &path).await.assert_error(404, "ORDER_NOT_FOUND");
    bed.get_as(&token, &format!("{path}?page=7")).await.assert_error(404, "ORDER_NOT_FOUND");
    bed.get(&path.replacen("OT", "LO", 1)).await.assert_error(404, "ORDER_NOT_FOUND");
    bed.get("/api/v1/orders/x/events").await.assert_error(404, "ORDER_NOT_FOUND");
    bed.get(&format!("{path}?page=0&pageSize=101"))
        .await
        .assert_invalid(&["page OUT_OF_RANGE", "pageSize OUT_OF_RANGE"]);
}
