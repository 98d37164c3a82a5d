//! The rules of placing, all broken ones at once, and nothing recorded.

use giftd_domain::catalog::ChoiceRange;
use serde_json::{Value, json};

use crate::bed::{BRANDED, Bed, CHOICE, order, order_with};

/// Each change alone breaks exactly this rule.
async fn assert_broken(bed: &Bed, path: &str, cases: &[(&str, Value, &str)]) {
    for (index, (pointer, value, detail)) in cases.iter().enumerate() {
        let mut body = order_with(&format!("key-{index}"), &[(pointer, value.clone())]);
        if path == CHOICE {
            body["productId"] = json!("55");
            if *pointer == "/productId" {
                body["productId"] = value.clone();
            }
        }
        let answer = bed.post(path, &body).await;
        answer.assert_error(400, "VALIDATION_ERROR");
        assert_eq!(answer.details(), [*detail], "{pointer} = {value}");
    }
    assert_eq!(bed.order_count().await, 0, "nothing is recorded");
}

#[tokio::test]
async fn all_broken_rules_are_told_at_once() {
    let bed = Bed::new().await;
    let body = json!({
        "idempotencyKey": "k",
        "productId": "10042",
        "sendTiming": {"type": "SCHEDULED", "scheduledAt": "2026-11-22T18:00:00+01:00"},
        "emailSetting": {"senderName": " ", "subject": "x".repeat(201), "message": "a\u{7}b", "templateId": "13"},
        "recipients": [{"email": "alice", "amount": 51}, {"email": "bob@example.com", "lastName": "x".repeat(101), "amount": 0.001}],
    });
    let answer = bed.post(BRANDED, &body).await;
    answer.assert_invalid(&[
        "sendTiming.timezone REQUIRED",
        "sendTiming.scheduledAt INVALID",
        "emailSetting.senderName BLANK",
        "emailSetting.subject TOO_LONG",
        "emailSetting.message CONTROL_CHARACTER",
        "emailSetting.templateId TEMPLATE_NOT_FOUND",
        "recipients[0].email INVALID_EMAIL",
        "recipients[0].amount NOT_A_PRICE_POINT",
        "recipients[1].lastName TOO_LONG",
        "recipients[1].amount INVALID_AMOUNT",
    ]);
    assert_eq!(bed.order_count().await, 0);
    assert_eq!(bed.account().await.balances.pending, 0);
}

#[tokio::test]
async fn immediate_has_no_time_and_scheduled_has_both() {
    let bed = Bed::new().await;
    let at = |fields: Value| ("/sendTiming", fields, "");
    let cases = [
        (at(json!({"type": "IMMEDIATE", "scheduledAt": "2026-12-24T09:00"})), "sendTiming.scheduledAt NOT_ALLOWED"),
        (at(json!({"type": "IMMEDIATE", "timezone": "UTC"})), "sendTiming.timezone NOT_ALLOWED"),
        (at(json!({"type": "SCHEDULED", "timezone": "UTC"})), "sendTiming.scheduledAt REQUIRED"),
        (at(json!({"type": "SCHEDULED", "scheduledAt": "2026-12-24T09:00"})), "sendTiming.timezone REQUIRED"),
        (
            at(json!({"type": "SCHEDULED", "scheduledAt": "2026-12-24T09:00Z", "timezone": "UTC"})),
            "sendTiming.scheduledAt INVALID",
        ),
        (
            at(json!({"type": "SCHEDULED", "scheduledAt": "2026-12-24T09:00", "timezone": "Mars/Base"})),
            "sendTiming.timezone INVALID",
        ),
        (
            at(json!({"type": "SCHEDULED", "scheduledAt": "2026-11-22T18:00:00", "timezone": "UTC"})),
            "sendTiming.scheduledAt OUT_OF_RANGE",
        ),
        (
            at(json!({"type": "SCHEDULED", "scheduledAt": "2027-11-23T18:00:01", "timezone": "UTC"})),
            "sendTiming.scheduledAt OUT_OF_RANGE",
        ),
    ];
    let cases = cases.map(|((pointer, value, _), detail)| (pointer, value, detail));
    assert_broken(&bed, BRANDED, &cases).await;
}

#[tokio::test]
async fn a_local_time_that_a_clock_change_skips_is_moved_forward_by_the_gap() {
    let bed = Bed::new().await;
    let timing = json!({"type": "SCHEDULED", "scheduledAt": "2027-03-14T02:30", "timezone": "America/New_York"});
    let order = bed.place(&order_with("k", &[("/sendTiming", timing)])).await;
    assert_eq!(order["sendTiming"]["scheduledAt"], "2027-03-14T02:30:00", "as the client wrote it, in whole seconds");
    assert_eq!(order["sendTiming"]["sendAt"], "2027-03-14T07:30:00.000Z");
}

#[tokio::test]
async fn no_text_smuggles_a_header_or_a_null_byte() {
    let bed = Bed::new().await;
    let mut cases = Vec::new();
    for text in
        ["Acme\r\nBcc: eve@example.com", "Acme\nX: y", "Acme\0", "Acme\u{85}", "Acme\u{2028}", "Acme \u{202e}moc"]
    {
        cases.push(("/emailSetting/senderName", json!(text), "emailSetting.senderName CONTROL_CHARACTER"));
        cases.push(("/emailSetting/subject", json!(text), "emailSetting.subject CONTROL_CHARACTER"));
        cases.push(("/recipients/0/firstName", json!(text), "recipients[0].firstName CONTROL_CHARACTER"));
        cases.push(("/recipients/0/company", json!(text), "recipients[0].company CONTROL_CHARACTER"));
        cases.push(("/productId", json!(text), "productId PRODUCT_NOT_FOUND"));
        cases.push(("/emailSetting/templateId", json!(text), "emailSetting.templateId TEMPLATE_NOT_FOUND"));
    }
    for text in ["a\0b", "a\r\nb"] {
        cases.push(("/emailSetting/message", json!(text), "emailSetting.message CONTROL_CHARACTER"));
    }
    for email in [
        "a@b.example\r\nBcc: c@d.example",
        "a@b.example, c@d.example",
        "\0@b.example",
        "\"a\r\n\"@b.example",
        "<a@b.example>",
    ] {
        cases.push(("/recipients/0/email", json!(email), "recipients[0].email INVALID_EMAIL"));
    }
    assert_broken(&bed, BRANDED, &cases).await;
}

#[tokio::test]
async fn a_message_may_hold_line_feeds_and_tabs_and_2000_characters() {
    let bed = Bed::new().await;
    let message = format!("Dear all,\n\tthank you.{}", "ü".repeat(1_979));
    assert_eq!(message.chars().count(), 2_000);
    let order = bed.place(&order_with("k", &[("/emailSetting/message", json!(message))])).await;
    assert_eq!(order["emailSetting"]["message"], message);
    let longer = order_with("l", &[("/emailSetting/message", json!(format!("{message}!")))]);
    bed.post(BRANDED, &longer).await.assert_invalid(&["emailSetting.message TOO_LONG"]);
}

#[tokio::test]
async fn international_domains_are_stored_as_punycode() {
    let bed = Bed::new().await;
    let order = bed.place(&order_with("k", &[("/recipients/0/email", json!("alice@bücher.example"))])).await;
    assert_eq!(order["recipients"][0]["email"], "alice@xn--bcher-kva.example");
}

#[tokio::test]
async fn amounts_are_price_points_with_no_more_decimals_than_the_currency_has() {
    let bed = Bed::new().await;
    let cases = [
        ("/recipients/0/amount", json!(51), "recipients[0].amount NOT_A_PRICE_POINT"),
        ("/recipients/0/amount", json!(0), "recipients[0].amount NOT_A_PRICE_POINT"),
        ("/recipients/0/amount", json!(-50), "recipients[0].amount NOT_A_PRICE_POINT"),
        ("/recipients/0/amount", json!(5_005), "recipients[0].amount NOT_A_PRICE_POINT"),
        ("/recipients/0/amount", json!(50.001), "recipients[0].amount INVALID_AMOUNT"),
    ];
    assert_broken(&bed, BRANDED, &cases).await;
    for (index, (number, minor)) in
        [("5e3", "5000"), ("5000.0", "5000"), ("1e3", "1000"), ("3000", "3000")].iter().enumerate()
    {
        let body = order_with(&format!("yen-{index}"), &[("/productId", json!("20001"))]).to_string();
        let answer = bed
            .post_text(&bed.token, BRANDED, &[], body.replace(r#""amount":50"#, &format!(r#""amount":{number}"#)))
            .await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        assert!(
            answer.text.contains(&format!(r#""totalAmount":{{"amount":{minor},"currency":"JPY"}}"#)),
            "{}",
            answer.text
        );
    }
    let half = order_with("half", &[("/productId", json!("20001")), ("/recipients/0/amount", json!(1_000.5))]);
    bed.post(BRANDED, &half).await.assert_invalid(&["recipients[0].amount INVALID_AMOUNT"]);
}

#[tokio::test]
async fn a_cost_is_the_amount_at_todays_rate_rounded_half_up_and_the_rate_is_recorded() {
    let bed = Bed::new().await;
    let body = order_with(
        "yen",
        &[
            ("/productId", json!("20001")),
            (
                "/recipients",
                json!([{"email": "a@b.example", "amount": 5000}, {"email": "a@b.example", "amount": 1000}]),
            ),
        ],
    );
    let answer = bed.post(BRANDED, &body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    // 5000 × 0.006675 = 33.375 and 1000 × 0.006675 = 6.675.
    assert!(
        answer.text.contains(r#""totalCost":{"amount":40.06,"currency":"USD"},"fxRate":"0.006675""#),
        "{}",
        answer.text
    );
    assert!(answer.text.contains(r#""amount":5000,"currency":"JPY","cost":33.38,"#), "{}", answer.text);
    assert!(
        answer.text.contains(r#""amount":1000,"currency":"JPY","cost":6.68,"#),
        "the same address twice is two gifts"
    );
    assert_eq!(bed.account().await.balances.pending, 4_006);
}

#[tokio::test]
async fn a_choice_cards_amount_lies_in_the_organizations_range_or_the_products() {
    let bed = Bed::new().await;
    let amount = |cents: i64| json!(cents / 100);
    assert_broken(
        &bed,
        CHOICE,
        &[
            ("/recipients/0/amount", json!(4.99), "recipients[0].amount OUT_OF_RANGE"),
            ("/recipients/0/amount", json!(200.01), "recipients[0].amount OUT_OF_RANGE"),
            ("/recipients/0/amount", json!(0), "recipients[0].amount OUT_OF_RANGE"),
            ("/productId", json!("10042"), "productId PRODUCT_NOT_FOUND"),
        ],
    )
    .await;
    for (key, number) in [("a", json!(5)), ("b", json!(199.99))] {
        let body = order_with(key, &[("/productId", json!("55")), ("/recipients/0/amount", number)]);
        assert_eq!(bed.post(CHOICE, &body).await.status, 201);
    }
    // Set before the node has looked at the other organization's account: what it remembers is short-lived.
    let other = bed.stranger().await;
    let range = ChoiceRange { min: 30_000, max: 40_000 };
    assert!(bed.giftd.store.set_choice_range(other.organization_id, range).await.expect("set"));
    let token = bed.token_of(&other);
    for (cents, status) in [(29_900, 400), (30_000, 201), (40_000, 201), (40_100, 400)] {
        let key = format!("range {cents}");
        let body = order_with(&key, &[("/productId", json!("55")), ("/recipients/0/amount", amount(cents))]);
        assert_eq!(bed.post_as(&token, CHOICE, &body).await.status, status, "{cents}");
    }
}

#[tokio::test]
async fn recipients_are_1_to_10_000() {
    let bed = Bed::new().await;
    bed.post(BRANDED, &order_with("none", &[("/recipients", json!([]))]))
        .await
        .assert_invalid(&["recipients OUT_OF_RANGE"]);
    let many = |count: usize| -> Value {
        (0..count).map(|index| json!({"email": format!("r{index}@example.com"), "amount": 5})).collect()
    };
    let answer = bed.post(BRANDED, &order_with("too many", &[("/recipients", many(10_001))])).await;
    answer.assert_invalid(&["recipients TOO_MANY"]);
    bed.credit(bed.app.account_id, 5_000_000).await;
    let answer = bed.post(BRANDED, &order_with("all", &[("/recipients", many(10_000))])).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json["data"]["recipients"].as_array().map(Vec::len)),
        (201, Some(10_000))
    );
    let again = bed.get(&format!("/api/v1/orders/{}", answer.json["data"]["orderId"].as_str().expect("an id"))).await;
    assert_eq!(again.json, answer.json);
}

#[tokio::test]
async fn a_product_or_template_of_the_body_that_is_unknown_is_a_400_detail() {
    let bed = Bed::new().await;
    assert_broken(
        &bed,
        BRANDED,
        &[
            ("/productId", json!("nothing"), "productId PRODUCT_NOT_FOUND"),
            ("/productId", json!("55"), "productId PRODUCT_NOT_FOUND"),
            ("/emailSetting/templateId", json!("11"), "emailSetting.templateId TEMPLATE_NOT_FOUND"),
            ("/emailSetting/templateId", json!("012"), "emailSetting.templateId TEMPLATE_NOT_FOUND"),
        ],
    )
    .await;
    assert_eq!(bed.post(BRANDED, &order("k")).await.status, 201);
}
