//! Orders of links: placed by the same rules as all orders, and told only once complete.

use std::collections::BTreeSet;

use giftd::links;
use giftd_domain::access::Environment;
use serde_json::{Value, json};

use crate::bed::{ALL, BRANDED, Bed, LINKS, order, scheduled, text};

/// Three links of 50 USD each.
fn three(key: &str) -> Value {
    json!({"idempotencyKey": key, "cardType": "BRANDED_CARD", "productId": "10042", "quantity": 3, "amountPerLink": 50})
}

fn with(key: &str, changes: Value) -> Value {
    let mut body = three(key);
    for (name, value) in changes.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

async fn place(bed: &Bed, body: &Value) -> Value {
    let answer = bed.post(LINKS, body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json["data"].clone()
}

async fn now(bed: &Bed, order: &Value) -> Value {
    bed.get(&format!("/api/v1/orders/{}", text(order, "orderId"))).await.json["data"].clone()
}

fn reward_links(order: &Value) -> Vec<Option<&str>> {
    order["recipients"].as_array().expect("recipients").iter().map(|one| one["rewardLink"].as_str()).collect()
}

#[tokio::test]
async fn an_order_of_links_is_paid_at_once_and_has_nobodys_address() {
    let bed = Bed::new().await;
    let order = place(&bed, &three("k")).await;
    assert!(text(&order, "orderId").starts_with("LO"));
    for (field, expected) in [
        ("orderType", json!("LINK")),
        ("cardType", json!("BRANDED_CARD")),
        ("status", json!("PENDING")),
        ("cardName", json!("Cedar US")),
        (
            "sendTiming",
            json!({"type": "IMMEDIATE", "scheduledAt": null, "timezone": null, "sendAt": "2026-11-22T18:00:00.000Z"}),
        ),
        ("emailSetting", json!({"senderName": "Acme", "subject": "", "message": null, "templateId": "12"})),
        ("refundOption", json!(false)),
        ("recipientCount", json!(3)),
        ("totalAmount", json!({"amount": 150.0, "currency": "USD"})),
        ("totalCost", json!({"amount": 150.0, "currency": "USD"})),
    ] {
        assert_eq!(order[field], expected, "{field}");
    }
    for recipient in order["recipients"].as_array().expect("recipients") {
        assert_eq!((&recipient["email"], &recipient["firstName"]), (&json!(null), &json!(null)));
        assert_eq!((&recipient["amount"], text(recipient, "deliveryStatus")), (&json!(50.0), "PENDING"));
    }
    assert_eq!(bed.account().await.balances.pending, 15_000);
    tokio::time::timeout(crate::bed::DEADLINE, bed.giftd.wake.due(giftd_store::Mails::Staying))
        .await
        .expect("the workers are woken");
    let listed = bed.get("/api/v1/orders?orderType=LINK").await;
    assert_eq!(listed.json["data"][0]["orderId"], order["orderId"]);
    assert!(!listed.text.contains("rewardLink"), "a summary has no links");
}

#[tokio::test]
async fn the_links_are_there_once_it_is_complete_and_open_its_gifts() {
    let bed = Bed::with(|settings| settings.public_url = Some("https://gifts.example".to_owned())).await;
    let order = place(&bed, &three("k")).await;
    assert_eq!(reward_links(&order), [None; 3]);
    let lease = jiff::SignedDuration::from_secs(60);
    let claim = bed.giftd.store.claim_deliveries(giftd_store::Mails::All, bed.clock.now(), lease, 1).await;
    assert_eq!(claim.expect("claimed").len(), 1);
    let going = now(&bed, &order).await;
    assert_eq!((text(&going, "status"), reward_links(&going)), ("IN_PROGRESS", vec![None; 3]));
    bed.clock.advance(std::time::Duration::from_secs(61));
    bed.deliver(&[]).await;
    let complete = now(&bed, &order).await;
    assert_eq!(text(&complete, "status"), "COMPLETE");
    assert!(complete["recipients"][0]["expiresAt"].is_string());
    let mut positions = BTreeSet::new();
    for link in reward_links(&complete) {
        let token = link.expect("a link").strip_prefix("https://gifts.example/r/").expect("a page of this server");
        let opens = links::verify(bed.giftd.keys.links(), token).expect("a good token");
        assert_eq!((opens.account, opens.link_version), (bed.app.account_id, 1));
        assert!(text(&order, "orderId").ends_with(&opens.order.to_string()));
        positions.insert(opens.position);
    }
    assert_eq!(positions, BTreeSet::from([1, 2, 3]));
    let again = bed.post(LINKS, &three("k")).await;
    assert_eq!((again.status.as_u16(), &again.json["data"]), (200, &complete), "a replay tells them, too");
}

#[tokio::test]
async fn orders_that_are_mailed_tell_no_links() {
    let bed = Bed::new().await;
    let placed = bed.place(&order("k")).await;
    bed.deliver(&[]).await;
    let complete = now(&bed, &placed).await;
    assert_eq!((text(&complete, "status"), reward_links(&complete)), ("COMPLETE", vec![None]));
}

#[tokio::test]
async fn another_account_sees_no_link() {
    let bed = Bed::new().await;
    let order = place(&bed, &three("k")).await;
    bed.deliver(&[]).await;
    let sandbox = bed.app(bed.organization, Environment::Sandbox, "Test", ALL).await;
    for app in [bed.stranger().await, sandbox] {
        let answer = bed.get_as(&bed.token_of(&app), &format!("/api/v1/orders/{}", text(&order, "orderId"))).await;
        answer.assert_error(404, "ORDER_NOT_FOUND");
    }
}

#[tokio::test]
async fn the_key_is_one_for_all_endpoints_and_content_counts_by_value() {
    let bed = Bed::new().await;
    let first = place(&bed, &three("k")).await;
    for same in [
        with("k", json!({"quantity": 3.0, "amountPerLink": 50.0, "refundOption": false, "sendTiming": null})),
        with("k", json!({"sendTiming": {"type": "IMMEDIATE", "timezone": null}, "refundOption": null})),
    ] {
        let again = bed.post(LINKS, &same).await;
        assert_eq!((again.status.as_u16(), &again.json["data"]), (200, &first), "{}", again.text);
    }
    let others = [
        (LINKS, with("k", json!({"quantity": 4}))),
        (LINKS, with("k", json!({"amountPerLink": 55}))),
        (LINKS, with("k", json!({"refundOption": true}))),
        (LINKS, with("k", json!({"cardType": "CHOICE_CARD"}))),
        (LINKS, with("k", json!({"productId": "nothing"}))),
        (LINKS, with("k", json!({"quantity": 0}))),
        (LINKS, with("k", json!({"sendTiming": scheduled("2026-12-24T09:00")}))),
        (BRANDED, order("k")),
    ];
    for (path, body) in others {
        let answer = bed.post(path, &body).await;
        answer.assert_error(409, "DUPLICATE_IDEMPOTENCY_KEY");
        assert_eq!(answer.json["orderId"], first["orderId"]);
    }
    bed.place(&order("mailed")).await;
    bed.post(LINKS, &three("mailed")).await.assert_error(409, "DUPLICATE_IDEMPOTENCY_KEY");
    let mut without = three("");
    without.as_object_mut().expect("an object").remove("idempotencyKey");
    let by_header = bed.post_text(&bed.token, LINKS, &[("x-idempotency-key", "k")], without.to_string()).await;
    assert_eq!((by_header.status.as_u16(), &by_header.json["data"]), (200, &first));
    let other = bed.post_text(&bed.token, LINKS, &[("x-idempotency-key", "l")], three("k").to_string()).await;
    other.assert_invalid(&["idempotencyKey KEY_MISMATCH"]);
    assert_eq!(bed.account().await.balances.pending, 20_000, "paid once each");
}

#[tokio::test]
async fn a_shape_that_is_wrong_is_told_at_once() {
    let bed = Bed::new().await;
    let body = json!({
        "idempotencyKey": "", "cardType": "GIFT", "quantity": "3", "amountPerLink": "50",
        "sendTiming": {"type": "LATER"}, "emailSetting": {}, "recipients": [],
    });
    let answer = bed.post(LINKS, &body).await;
    let mut details = answer.details();
    details.sort();
    assert_eq!(
        details,
        [
            "amountPerLink WRONG_TYPE",
            "cardType UNKNOWN_VALUE",
            "emailSetting UNKNOWN_FIELD",
            "idempotencyKey BLANK",
            "productId REQUIRED",
            "quantity WRONG_TYPE",
            "recipients UNKNOWN_FIELD",
            "sendTiming.type UNKNOWN_VALUE",
        ]
    );
    bed.post(LINKS, &with("k", json!({"quantity": 1.5}))).await.assert_invalid(&["quantity WRONG_TYPE"]);
    bed.post(LINKS, &with("k", json!({"quantity": 1e30}))).await.assert_invalid(&["quantity OUT_OF_RANGE"]);
    assert_eq!(bed.order_count().await, 0);
}

#[tokio::test]
async fn the_rules_are_those_of_all_orders() {
    let bed = Bed::new().await;
    let all = with(
        "k",
        json!({"productId": "55", "quantity": 10_001, "amountPerLink": 0, "sendTiming": {"type": "SCHEDULED"}}),
    );
    bed.post(LINKS, &all).await.assert_invalid(&[
        "sendTiming.scheduledAt REQUIRED",
        "sendTiming.timezone REQUIRED",
        "productId PRODUCT_NOT_FOUND",
        "quantity OUT_OF_RANGE",
        "amountPerLink OUT_OF_RANGE",
    ]);
    for (change, detail) in [
        (json!({"quantity": 0}), "quantity OUT_OF_RANGE"),
        (json!({"quantity": -3}), "quantity OUT_OF_RANGE"),
        (json!({"quantity": 9_223_372_036_854_775_807_i64}), "quantity OUT_OF_RANGE"),
        (json!({"amountPerLink": 51}), "amountPerLink NOT_A_PRICE_POINT"),
        (json!({"amountPerLink": 50.001}), "amountPerLink INVALID_AMOUNT"),
        (json!({"cardType": "CHOICE_CARD"}), "productId PRODUCT_NOT_FOUND"),
        (json!({"cardType": "CHOICE_CARD", "productId": "55", "amountPerLink": 200.01}), "amountPerLink OUT_OF_RANGE"),
        (json!({"sendTiming": {"type": "IMMEDIATE", "timezone": "UTC"}}), "sendTiming.timezone NOT_ALLOWED"),
    ] {
        bed.post(LINKS, &with("k", change)).await.assert_invalid(&[detail]);
    }
    let poor = bed.post(LINKS, &with("k", json!({"quantity": 201}))).await;
    poor.assert_error(402, "INSUFFICIENT_BALANCE");
    assert!(poor.text.contains(r#""required":{"amount":10050.00,"currency":"USD"}"#), "{}", poor.text);
    let no_rate = with("k", json!({"productId": "30101", "amountPerLink": 5}));
    bed.post(LINKS, &no_rate).await.assert_error(503, "UNAVAILABLE");
    assert_eq!((bed.order_count().await, bed.account().await.balances.pending), (0, 0));
    assert_eq!(bed.post(LINKS, &three("k")).await.status, 201, "and the key was free");
}

#[tokio::test]
async fn links_cost_by_the_rate_and_may_be_choice_cards() {
    let bed = Bed::new().await;
    let yen = bed.post(LINKS, &with("yen", json!({"productId": "20001", "amountPerLink": 5_000, "quantity": 2}))).await;
    assert_eq!(yen.status, 201, "{}", yen.text);
    assert!(yen.text.contains(r#""totalCost":{"amount":66.76,"currency":"USD"},"fxRate":"0.006675""#), "{}", yen.text);
    let choice = with("choice", json!({"cardType": "CHOICE_CARD", "productId": "55", "amountPerLink": 199.99}));
    assert_eq!(place(&bed, &choice).await["cardType"], "CHOICE_CARD");
}

#[tokio::test]
async fn quantity_is_1_to_10_000() {
    let bed = Bed::new().await;
    bed.credit(bed.app.account_id, 5_000_000).await;
    assert_eq!(place(&bed, &with("one", json!({"quantity": 1}))).await["recipientCount"], 1);
    let order = place(&bed, &with("all", json!({"quantity": 10_000, "amountPerLink": 5}))).await;
    bed.deliver(&[]).await;
    let complete = now(&bed, &order).await;
    let links: BTreeSet<_> = reward_links(&complete).into_iter().flatten().collect();
    assert_eq!(links.len(), 10_000, "each has its own");
}

#[tokio::test]
async fn a_scheduled_order_of_links_can_be_canceled_and_never_tells_them() {
    let bed = Bed::new().await;
    let order = place(&bed, &with("k", json!({"sendTiming": scheduled("2026-12-24T09:00")}))).await;
    let canceled = bed.delete(&format!("/api/v1/orders/{}/cancel", text(&order, "orderId"))).await;
    assert_eq!(canceled.status, 200, "{}", canceled.text);
    assert_eq!(reward_links(&canceled.json["data"]), [None; 3]);
    assert_eq!(bed.account().await.balances.available, 1_000_000);
}

#[tokio::test]
async fn links_are_not_sent_again_to_anyone() {
    let bed = Bed::new().await;
    let order = place(&bed, &three("k")).await;
    bed.deliver(&[]).await;
    let body = json!({"recipients": [{"email": "alice@example.com", "updatedEmail": "eve@example.com"}]});
    let answer = bed.post(&format!("/api/v1/orders/{}/resend", text(&order, "orderId")), &body).await;
    answer.assert_invalid(&["recipients[0].email NOT_A_RECIPIENT"]);
}
