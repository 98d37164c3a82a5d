//! What clients see of orders whose recipients were erased.

use std::time::Duration;

use giftd_domain::orders::erase::Retention;
use serde_json::{Value, json};

use crate::bed::{Bed, order_with, text};

const DAY: u64 = 24 * 3_600;

async fn erase(bed: &Bed, days: i64) -> u64 {
    let retention = Retention::days(days).expect("legal");
    bed.giftd.store.erase_recipients(retention, bed.clock.now()).await.expect("erased").recipients
}

#[tokio::test]
async fn an_erased_recipient_is_null_and_everything_else_stays() {
    let bed = Bed::new().await;
    let recipients = json!([
        {"email": "alice@example.com", "firstName": "Alice", "lastName": "Smith", "company": "Acme", "department": "R&D", "amount": 50},
        {"email": "bob@example.com", "firstName": "Bob", "amount": 50},
    ]);
    let body = order_with("k", &[("/recipients", recipients)]);
    let placed = bed.place(&body).await;
    bed.deliver(&["bob@example.com"]).await;
    let path = format!("/api/v1/orders/{}", text(&placed, "orderId"));
    let before = bed.get(&path).await.json["data"].clone();
    assert_eq!(before["recipients"][1]["deliveryError"], "550 no such user");
    bed.clock.advance(Duration::from_secs((180 + 60) * DAY - 1));
    assert_eq!(erase(&bed, 60).await, 0);
    bed.clock.advance(Duration::from_secs(1));
    assert_eq!(erase(&bed, 60).await, 2);

    let mut expected = before;
    for recipient in expected["recipients"].as_array_mut().expect("recipients") {
        for gone in ["email", "firstName", "lastName", "company", "department", "deliveryError"] {
            recipient[gone] = Value::Null;
        }
    }
    let token = bed.token_of(&bed.app);
    assert_eq!(bed.get_as(&token, &path).await.json["data"], expected);
    let events = bed.get_as(&token, &format!("{path}/events")).await;
    let told: Vec<_> =
        events.json["data"].as_array().expect("events").iter().map(|one| (text(one, "type"), &one["detail"])).collect();
    let sent_and_failed = [("FAILED", &Value::Null), ("SENT", &Value::Null)];
    assert!(sent_and_failed.iter().all(|event| told.contains(event)), "{told:?}");
    assert!(!events.text.contains("example.com"), "{}", events.text);

    let resend = json!({"recipients": [{"email": "alice@example.com"}]});
    let answer = bed.post_as(&token, &format!("{path}/resend"), &resend).await;
    answer.assert_invalid(&["recipients[0].email NOT_A_RECIPIENT"]);
    let replay = bed.post_as(&token, crate::bed::BRANDED, &body).await;
    assert_eq!((replay.status.as_u16(), &replay.json["data"]), (200, &expected), "its key still counts");
    assert_eq!(bed.get_as(&token, "/api/v1/orders?clientOrderId=k").await.json["pagination"]["totalItems"], 1);
}

#[tokio::test]
async fn the_words_to_one_person_are_gone_with_that_person() {
    let bed = Bed::new().await;
    let mut body = order_with("k", &[("/recipients", json!([{"email": "alice@example.com", "amount": 50}]))]);
    body["emailSetting"]["message"] = json!("Dear Alice");
    let placed = bed.place(&body).await;
    bed.deliver(&[]).await;
    bed.clock.advance(Duration::from_secs((180 + 30) * DAY));
    assert_eq!(erase(&bed, 30).await, 1);
    let token = bed.token_of(&bed.app);
    let order = bed.get_as(&token, &format!("/api/v1/orders/{}", text(&placed, "orderId"))).await.json["data"].clone();
    let mut expected = placed["emailSetting"].clone();
    (expected["subject"], expected["message"]) = (json!(""), Value::Null);
    assert_eq!(order["emailSetting"], expected);
}
