//! Previews.

use giftd_domain::access::Environment;
use giftd_domain::limits;
use serde_json::{Value, json};

use crate::bed::{ALL, Bed};

const PATH: &str = "/api/v1/orders/test-email";

fn preview() -> Value {
    json!({
        "email": "Me@example.com",
        "productId": "10042",
        "amount": 50,
        "emailSubject": "A gift for you, {{firstName}}!",
        "senderName": "Acme Corp",
        "emailMessage": "Hi {{firstName}} of {{company}}",
        "templateId": "12",
    })
}

fn with(field: &str, value: Value) -> Value {
    let mut preview = preview();
    preview[field] = value;
    preview
}

/// A bed, and a token of its organization's sandbox.
async fn sandbox() -> (Bed, String) {
    let bed = Bed::new().await;
    let app = bed.app(bed.organization, Environment::Sandbox, "Test", ALL).await;
    let token = bed.token_of(&app);
    (bed, token)
}

#[tokio::test]
async fn a_preview_shows_placeholders_and_a_link_that_opens_no_gift() {
    let (bed, token) = sandbox().await;
    let answer = bed.post_as(&token, PATH, &preview()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        answer.json,
        json!({"data": {"sentTo": "Me@example.com", "status": "SENT", "remainingToday": limits::TEST_MAILS_A_DAY - 1}})
    );
    let mails = bed.get_as(&token, "/api/v1/sandbox/mails").await.json;
    assert_eq!(mails["pagination"]["totalItems"], 1);
    let mail = &mails["data"][0];
    assert_eq!((&mail["to"], &mail["orderId"]), (&json!("Me@example.com"), &Value::Null));
    assert_eq!(mail["subject"], "A gift for you, [First name]!");
    let text = mail["text"].as_str().expect("a text");
    for part in ["This is a preview.", "Hi [First name] of [Company]", "$50.00", "/r/preview\n", "May 21, 2027"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[tokio::test]
async fn a_preview_charges_nothing_and_makes_no_order() {
    let bed = Bed::new().await;
    let before = bed.account().await;
    assert_eq!(bed.post(PATH, &preview()).await.status, 200);
    assert_eq!(bed.account().await, before);
    assert_eq!(bed.order_count().await, 0);
    let captured = std::fs::read_dir(bed.giftd.settings.maildir().join("new")).expect("a maildir").count();
    assert_eq!(captured, 1, "production without a mail server");
}

#[tokio::test]
async fn any_product_will_do_whatever_its_rate_is() {
    let bed = Bed::with(|settings| settings.fx_max_age = std::time::Duration::from_millis(1)).await;
    bed.clock.advance(std::time::Duration::from_secs(60));
    for (product, amount) in [("10042", json!(25)), ("55", json!(100)), ("20001", json!(5000))] {
        let mut preview = with("productId", json!(product));
        preview["amount"] = amount;
        preview["templateId"] = Value::Null;
        preview["emailMessage"] = Value::Null;
        let answer = bed.post(PATH, &preview).await;
        assert_eq!(answer.json["data"]["status"], "SENT", "{product}: {}", answer.text);
    }
}

#[tokio::test]
async fn its_fields_have_the_rules_of_placing_and_all_are_told_at_once() {
    let bed = Bed::new().await;
    let wrong = json!({
        "email": "me", "productId": "nothing", "amount": -1, "emailSubject": " ", "senderName": "a\u{0}b",
        "emailMessage": "x".repeat(2_001), "templateId": "99",
    });
    let answer = bed.post(PATH, &wrong).await;
    answer.assert_invalid(&[
        "senderName CONTROL_CHARACTER",
        "emailSubject BLANK",
        "emailMessage TOO_LONG",
        "templateId TEMPLATE_NOT_FOUND",
        "productId PRODUCT_NOT_FOUND",
        "email INVALID_EMAIL",
        "amount OUT_OF_RANGE",
    ]);
    assert!(!answer.text.contains("recipients"), "{}", answer.text);
    bed.post(PATH, &with("amount", json!(51))).await.assert_invalid(&["amount NOT_A_PRICE_POINT"]);
    bed.post(PATH, &with("amount", json!("50"))).await.assert_invalid(&["amount WRONG_TYPE"]);
    bed.post(PATH, &with("subject", json!("x"))).await.assert_invalid(&["subject UNKNOWN_FIELD"]);
    bed.post(PATH, &json!({})).await.assert_invalid(&[
        "email REQUIRED",
        "productId REQUIRED",
        "amount REQUIRED",
        "emailSubject REQUIRED",
        "senderName REQUIRED",
    ]);
}

#[tokio::test]
async fn the_eleventh_of_a_day_is_429_until_midnight_and_refused_ones_do_not_count() {
    let (bed, token) = sandbox().await;
    for remaining in (0..limits::TEST_MAILS_A_DAY).rev() {
        bed.post_as(&token, PATH, &with("amount", json!(51))).await.assert_error(400, "VALIDATION_ERROR");
        let answer = bed.post_as(&token, PATH, &preview()).await;
        assert_eq!(answer.json["data"]["remainingToday"], remaining, "{}", answer.text);
    }
    let refused = bed.post_as(&token, PATH, &preview()).await;
    refused.assert_error(429, "RATE_LIMITED");
    assert_eq!(refused.header("retry-after"), "21600", "it is 18:00");
    assert_eq!(bed.post(PATH, &preview()).await.status, 200, "another account has its own");
    bed.clock.advance(std::time::Duration::from_hours(6));
    let app = bed.app(bed.organization, Environment::Sandbox, "Tomorrow", ALL).await;
    let tomorrow = bed.post_as(&bed.token_of(&app), PATH, &preview()).await;
    assert_eq!(tomorrow.json["data"]["remainingToday"], 9, "{}", tomorrow.text);
}

#[tokio::test]
async fn a_preview_that_nobody_takes_is_failed_and_counts() {
    let (bed, token) = sandbox().await;
    let answer = bed.post_as(&token, PATH, &with("email", json!("hard-bounce@example.com"))).await;
    assert_eq!((&answer.json["data"]["status"], &answer.json["data"]["remainingToday"]), (&json!("FAILED"), &json!(9)));
    assert_eq!(bed.get_as(&token, "/api/v1/sandbox/mails").await.json["data"], json!([]));
}
