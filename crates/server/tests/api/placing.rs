//! The shape of a request to place: types, unknown fields and the key, all problems at once.

use serde_json::json;

use crate::bed::{BRANDED, Bed, CHOICE, order, order_with};

#[tokio::test]
async fn every_problem_of_the_shape_is_told_at_once() {
    let bed = Bed::new().await;
    let body = json!({
        "idempotencyKey": "",
        "productId": 10042,
        "sendTiming": {"type": "LATER", "scheduledat": "x"},
        "emailSetting": {"subject": ["A"], "message": 5},
        "recipients": [{"email": "alice@example.com", "amount": "50"}, {"mail": "x", "amount": 50}, 7],
        "refundOption": "yes",
        "refundoption": true,
    });
    let answer = bed.post(BRANDED, &body).await;
    answer.assert_error(400, "VALIDATION_ERROR");
    let mut details = answer.details();
    details.sort();
    assert_eq!(
        details,
        [
            "emailSetting.message WRONG_TYPE",
            "emailSetting.senderName REQUIRED",
            "emailSetting.subject WRONG_TYPE",
            "idempotencyKey BLANK",
            "productId WRONG_TYPE",
            "recipients[0].amount WRONG_TYPE",
            "recipients[1].email REQUIRED",
            "recipients[1].mail UNKNOWN_FIELD",
            "recipients[2] WRONG_TYPE",
            "refundOption WRONG_TYPE",
            "refundoption UNKNOWN_FIELD",
            "sendTiming.scheduledat UNKNOWN_FIELD",
            "sendTiming.type UNKNOWN_VALUE",
        ]
    );
    assert_eq!(bed.order_count().await, 0);
}

#[tokio::test]
async fn what_is_required_is_required() {
    let bed = Bed::new().await;
    let answer = bed.post(CHOICE, &json!({})).await;
    let mut details = answer.details();
    details.sort();
    assert_eq!(
        details,
        [
            "emailSetting REQUIRED",
            "idempotencyKey REQUIRED",
            "productId REQUIRED",
            "recipients REQUIRED",
            "sendTiming REQUIRED",
        ]
    );
}

#[tokio::test]
async fn an_absent_field_null_and_the_default_are_the_same() {
    let bed = Bed::new().await;
    let first = bed.place(&order("same")).await;
    let spelled_out = order_with(
        "same",
        &[
            ("/refundOption", json!(false)),
            ("/sendTiming/scheduledAt", json!(null)),
            ("/sendTiming/timezone", json!(null)),
            ("/emailSetting/message", json!(null)),
            ("/emailSetting/templateId", json!(null)),
            ("/recipients/0/firstName", json!(null)),
            ("/recipients/0/department", json!(null)),
        ],
    );
    let again = bed.post(BRANDED, &spelled_out).await;
    assert_eq!((again.status.as_u16(), &again.json["data"]), (200, &first));
    assert_eq!(first["emailSetting"]["templateId"], "12", "the default template");
}

#[tokio::test]
async fn at_most_100_details() {
    let bed = Bed::new().await;
    let recipients: Vec<_> = (0..500).map(|_| json!({"email": "nobody", "amount": 1})).collect();
    let answer = bed.post(BRANDED, &order_with("k", &[("/recipients", json!(recipients))])).await;
    answer.assert_error(400, "VALIDATION_ERROR");
    assert_eq!(answer.details().len(), 100);
}

#[tokio::test]
async fn the_key_is_1_to_64_characters_without_control_characters() {
    let bed = Bed::new().await;
    for (key, code) in
        [("", "BLANK"), ("a\nb", "CONTROL_CHARACTER"), ("a\0", "CONTROL_CHARACTER"), (&"k".repeat(65), "TOO_LONG")]
    {
        bed.post(BRANDED, &order(key)).await.assert_invalid(&[&format!("idempotencyKey {code}")]);
    }
    for key in ["k".repeat(64), "ü".repeat(64), " ".to_owned(), "🎁".to_owned()] {
        let placed = bed.post(BRANDED, &order(&key)).await;
        assert_eq!(placed.status, 201, "{key}: {}", placed.text);
    }
}

#[tokio::test]
async fn the_key_may_come_in_the_header_alone_or_in_both_when_they_agree() {
    let bed = Bed::new().await;
    let mut without = order("");
    without.as_object_mut().expect("an object").remove("idempotencyKey");
    let placed = bed.post_text(&bed.token, BRANDED, &[("X-Idempotency-Key", "key-1")], without.to_string()).await;
    assert_eq!(placed.status, 201, "{}", placed.text);
    for (headers, body) in [
        (vec![("x-idempotency-key", "key-1")], order("key-1")),
        (vec![], order("key-1")),
        (vec![("x-idempotency-key", "key-1"), ("x-idempotency-key", "key-1")], without.clone()),
    ] {
        let again = bed.post_text(&bed.token, BRANDED, &headers, body.to_string()).await;
        assert_eq!((again.status.as_u16(), &again.json), (200, &placed.json), "one key, wherever it stands");
    }
    let found = bed.get("/api/v1/orders?clientOrderId=key-1").await;
    assert_eq!(found.json["pagination"]["totalItems"], 1);
    let wide =
        bed.post_text(&bed.token, BRANDED, &[("x-idempotency-key", "schlüssel")], order("schlüssel").to_string()).await;
    assert_eq!(wide.status, 201, "a header may hold UTF-8: {}", wide.text);
}

#[tokio::test]
async fn header_and_body_that_disagree_are_a_key_mismatch() {
    let bed = Bed::new().await;
    let body = order_with("key-1", &[("/colour", json!("red"))]).to_string();
    let answer = bed.post_text(&bed.token, BRANDED, &[("x-idempotency-key", "key-2")], body).await;
    answer.assert_invalid(&["idempotencyKey KEY_MISMATCH", "colour UNKNOWN_FIELD"]);
    let two = [("x-idempotency-key", "key-1"), ("x-idempotency-key", "key-2")];
    bed.post_text(&bed.token, BRANDED, &two, order("key-1").to_string())
        .await
        .assert_invalid(&["idempotencyKey KEY_MISMATCH"]);
    let long = "k".repeat(65);
    let too_long = bed.post_text(&bed.token, BRANDED, &[("x-idempotency-key", &long)], order(&long).to_string()).await;
    too_long.assert_invalid(&["idempotencyKey TOO_LONG"]);
    assert_eq!(bed.order_count().await, 0);
}
