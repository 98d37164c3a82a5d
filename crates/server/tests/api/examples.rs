//! The two examples of the reference page, as printed there, the date moved into the future.

use serde_json::json;

use crate::bed::{BRANDED, Bed, CHOICE};

const BRANDED_EXAMPLE: &str = r#"{
  "idempotencyKey": "order-unique-key-001",
  "productId": "10042",
  "sendTiming": {
    "type": "SCHEDULED",
    "scheduledAt": "2027-03-01T09:00:00",
    "timezone": "America/New_York"
  },
  "emailSetting": {
    "senderName": "Acme Corp",
    "subject": "A gift for you!",
    "message": "Thank you for your hard work.",
    "templateId": "12"
  },
  "recipients": [
    { "email": "alice@giftronaut.com", "firstName": "Alice", "lastName": "Smith", "company": "Acme", "department": "Engineering", "amount": 50.00 },
    { "email": "bob@giftronaut.com", "firstName": "Bob", "lastName": "Jones", "amount": 50.00 }
  ],
  "refundOption": false
}"#;

const CHOICE_EXAMPLE: &str = r#"{
  "idempotencyKey": "order-choice-unique-001",
  "productId": "55",
  "sendTiming": {
    "type": "IMMEDIATE"
  },
  "emailSetting": {
    "senderName": "Acme Corp",
    "subject": "Choose your gift!",
    "message": "We appreciate everything you do.",
    "templateId": "12"
  },
  "recipients": [
    { "email": "alice@giftronaut.com", "firstName": "Alice", "lastName": "Smith", "amount": 100.00 },
    { "email": "bob@giftronaut.com", "firstName": "Bob", "lastName": "Jones", "amount": 50.00, "company": "Acme", "department": "Sales" }
  ],
  "refundOption": false
}"#;

#[tokio::test]
async fn the_branded_example_is_placed_paid_and_found_again() {
    let bed = Bed::new().await;
    let answer = bed.post_text(&bed.token, BRANDED, &[], BRANDED_EXAMPLE).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let order = &answer.json["data"];
    let order_id = order["orderId"].as_str().expect("an id");
    assert!(order_id.starts_with("OT") && order_id.len() == 28, "{order_id}");
    for (field, expected) in [
        ("orderType", json!("ONE_TIME")),
        ("cardType", json!("BRANDED_CARD")),
        ("status", json!("PENDING")),
        ("environment", json!("PRODUCTION")),
        ("productId", json!("10042")),
        ("cardName", json!("Cedar US")),
        ("creator", json!("Payroll")),
        ("createdAt", json!("2026-11-22T18:00:00.000Z")),
        (
            "sendTiming",
            json!({"type": "SCHEDULED", "scheduledAt": "2027-03-01T09:00:00", "timezone": "America/New_York", "sendAt": "2027-03-01T14:00:00.000Z"}),
        ),
        (
            "emailSetting",
            json!({"senderName": "Acme Corp", "subject": "A gift for you!", "message": "Thank you for your hard work.", "templateId": "12"}),
        ),
        ("refundOption", json!(false)),
        ("recipientCount", json!(2)),
        ("totalAmount", json!({"amount": 100.0, "currency": "USD"})),
        ("totalCost", json!({"amount": 100.0, "currency": "USD"})),
        ("fxRate", json!(null)),
        ("completedAt", json!(null)),
        ("canceledAt", json!(null)),
    ] {
        assert_eq!(order[field], expected, "{field}");
    }
    assert!(answer.text.contains(r#""totalCost":{"amount":100.00,"currency":"USD"}"#), "money keeps its digits");
    let bob = &order["recipients"][1];
    assert_eq!(bob["recipientId"], format!("{order_id}-00002"));
    assert_eq!(
        (&bob["email"], &bob["company"], &bob["department"]),
        (&json!("bob@giftronaut.com"), &json!(null), &json!(null))
    );
    assert!(
        answer.text.contains(r#""amount":50.00,"currency":"USD","cost":50.00,"deliveryStatus":"PENDING""#),
        "{}",
        answer.text
    );

    let found = bed.get(&format!("/api/v1/orders/{order_id}")).await;
    assert_eq!((found.status.as_u16(), &found.json), (200, &answer.json));
    let listed = bed.get("/api/v1/orders").await;
    assert_eq!(listed.json["data"][0]["orderId"], order_id);
    assert!(listed.json["data"][0].get("recipients").is_none(), "a summary has no recipients");
    let balance = bed.get("/api/v1/balance").await;
    assert_eq!(
        balance.text,
        r#"{"data":{"availableBalance":{"amount":9900.00,"currency":"USD"},"pendingBalance":{"amount":100.00,"currency":"USD"}}}"#
    );
}

#[tokio::test]
async fn the_choice_example_is_placed_and_goes_out_at_once() {
    let bed = Bed::new().await;
    let answer = bed.post_text(&bed.token, CHOICE, &[], CHOICE_EXAMPLE).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let order = &answer.json["data"];
    assert_eq!((&order["cardType"], &order["cardName"]), (&json!("CHOICE_CARD"), &json!("Pick one")));
    assert_eq!(
        order["sendTiming"],
        json!({"type": "IMMEDIATE", "scheduledAt": null, "timezone": null, "sendAt": "2026-11-22T18:00:00.000Z"}),
        "for IMMEDIATE sendAt is createdAt"
    );
    assert!(answer.text.contains(r#""totalCost":{"amount":150.00,"currency":"USD"}"#));
    let backlog = bed.giftd.store.backlog(bed.clock.now()).await.expect("an answer");
    assert_eq!(backlog.due, 2, "the work to deliver it is there");
}

#[tokio::test]
async fn a_new_order_wakes_the_delivery_workers() {
    let bed = Bed::new().await;
    bed.post_text(&bed.token, CHOICE, &[], CHOICE_EXAMPLE).await;
    tokio::time::timeout(crate::bed::DEADLINE, bed.giftd.wake.due(giftd_store::Mails::Outgoing)).await.expect("woken");
}
