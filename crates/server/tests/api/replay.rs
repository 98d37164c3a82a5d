//! The key, the money and the rate: replay before every other rule, the fund last, and a refused request
//! keeps its key free.

use std::time::Duration;

use giftd_domain::access::Environment;
use giftd_domain::catalog::Catalog;
use jiff::SignedDuration;
use serde_json::json;

use crate::bed::{ALL, BRANDED, Bed, CHOICE, order, order_with, rate, small_catalog};

#[tokio::test]
async fn the_same_key_and_content_is_200_whatever_the_order_of_keys_and_the_digits() {
    let bed = Bed::new().await;
    let first = bed.place(&order("k")).await;
    let reordered = r#" { "recipients" : [ { "amount" : 5.000e1, "email" : "alice@example.com" } ], "refundOption": null,
        "emailSetting":{"subject":"A gift for you!","senderName":"Acme Corp"},"sendTiming":{"type":"IMMEDIATE"},
        "productId":"10042","idempotencyKey":"\u006b" } "#;
    let again = bed.post_text(&bed.token, BRANDED, &[], reordered).await;
    assert_eq!((again.status.as_u16(), &again.json["data"]), (200, &first));
    assert_eq!(bed.order_count().await, 1);
    assert_eq!(bed.account().await.balances.pending, 5_000, "paid once");
}

#[tokio::test]
async fn a_replay_answers_the_order_as_it_is_now() {
    let bed = Bed::new().await;
    assert_eq!(bed.place(&order("k")).await["status"], "PENDING");
    let lease = SignedDuration::from_secs(60);
    let claimed =
        bed.giftd.store.claim_deliveries(giftd_store::Mails::All, bed.clock.now(), lease, 10).await.expect("claimed");
    assert_eq!(claimed.len(), 1);
    let again = bed.post(BRANDED, &order("k")).await;
    assert_eq!((again.status.as_u16(), &again.json["data"]["status"]), (200, &json!("IN_PROGRESS")));
}

#[tokio::test]
async fn the_same_key_with_other_content_or_endpoint_is_409_with_the_first_orders_id() {
    let bed = Bed::new().await;
    let first = bed.place(&order("k")).await;
    let others = [
        (BRANDED, order_with("k", &[("/recipients/0/amount", json!(55))])),
        (BRANDED, order_with("k", &[("/refundOption", json!(true))])),
        (BRANDED, order_with("k", &[("/recipients/0/email", json!("Alice@example.com"))])),
        (CHOICE, order_with("k", &[("/productId", json!("55"))])),
        (CHOICE, order("k")),
        // The key is looked at before the rules: what breaks them conflicts all the same.
        (BRANDED, order_with("k", &[("/recipients/0/amount", json!(51))])),
        (BRANDED, order_with("k", &[("/recipients/0/email", json!("nobody"))])),
    ];
    for (path, body) in others {
        let answer = bed.post(path, &body).await;
        answer.assert_error(409, "DUPLICATE_IDEMPOTENCY_KEY");
        assert_eq!(answer.json["orderId"], first["orderId"]);
    }
    // What does not parse comes before it.
    bed.post(BRANDED, &order_with("k", &[("/recipients/0/amount", json!("51"))]))
        .await
        .assert_invalid(&["recipients[0].amount WRONG_TYPE"]);
    assert_eq!(bed.order_count().await, 1);
}

#[tokio::test]
async fn a_retry_gets_its_original_answer_whatever_has_changed_since() {
    let bed = Bed::new().await;
    let timing = json!({"type": "SCHEDULED", "scheduledAt": "2026-11-22T19:00:00", "timezone": "UTC"});
    let scheduled = order_with("scheduled", &[("/sendTiming", timing)]);
    let yen = order_with("yen", &[("/productId", json!("20001")), ("/recipients/0/amount", json!(5000))]);
    let all_of_it = order_with("all", &[("/recipients/0/amount", json!(5_000))]);
    let placed = [bed.place(&scheduled).await, bed.place(&yen).await, bed.place(&all_of_it).await];
    // The time has passed, the rate is too old, the products are no longer listed, the money is gone.
    bed.clock.advance(Duration::from_secs(40 * 24 * 3_600));
    bed.import(&Catalog::default()).await;
    let token = bed.token_of(&bed.app);
    for (body, expected) in [scheduled, yen, all_of_it].iter().zip(&placed) {
        let again = bed.post_as(&token, BRANDED, body).await;
        assert_eq!((again.status.as_u16(), &again.json["data"]), (200, expected));
        let mut fresh = body.clone();
        fresh["idempotencyKey"] = json!("another");
        bed.post_as(&token, BRANDED, &fresh).await.assert_error(400, "VALIDATION_ERROR");
    }
}

#[tokio::test]
async fn two_at_once_make_one_order_one_201_the_others_200() {
    let bed = Bed::new().await;
    let body = order("k");
    let answers = futures(&bed, &body, 16).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.0).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [[200; 15].as_slice(), &[201]].concat());
    assert!(answers.iter().all(|answer| answer.1 == answers[0].1), "all name the same order");
    assert_eq!(bed.order_count().await, 1);
    assert_eq!(bed.account().await.balances.pending, 5_000);
}

async fn futures(bed: &Bed, body: &serde_json::Value, count: usize) -> Vec<(u16, String)> {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..count {
        let (router, token, body) = (bed.router.clone(), bed.token.clone(), body.to_string());
        tasks.spawn(async move {
            use http_body_util::BodyExt as _;
            use tower::ServiceExt as _;
            let headers =
                [("authorization", format!("Bearer {token}")), ("content-type", "application/json".to_owned())];
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let request = crate::bed::request(axum::http::Method::POST, BRANDED, &headers, body.into());
            let response = router.oneshot(request).await.expect("an answer");
            let status = response.status().as_u16();
            let bytes = response.into_body().collect().await.expect("a body").to_bytes();
            let json: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
            (status, json["data"]["orderId"].as_str().unwrap_or_default().to_owned())
        });
    }
    tasks.join_all().await
}

#[tokio::test]
async fn more_than_available_is_402_with_required_and_available_and_the_key_stays_free() {
    let bed = Bed::new().await;
    bed.place(&order_with("most", &[("/recipients/0/amount", json!(5_000))])).await;
    bed.place(&order_with("more", &[("/recipients/0/amount", json!(4_990))])).await;
    let answer = bed.post(BRANDED, &order("k")).await;
    answer.assert_error(402, "INSUFFICIENT_BALANCE");
    assert!(answer.text.contains(r#""required":{"amount":50.00,"currency":"USD"}"#), "{}", answer.text);
    assert!(answer.text.contains(r#""available":{"amount":10.00,"currency":"USD"}"#), "{}", answer.text);
    assert_eq!(bed.order_count().await, 2);
    assert_eq!(bed.account().await.balances.available, 1_000);
    // Broken rules come before the fund.
    bed.post(BRANDED, &order_with("k", &[("/recipients/0/amount", json!(51))]))
        .await
        .assert_error(400, "VALIDATION_ERROR");
    bed.credit(bed.app.account_id, 4_000).await;
    assert_eq!(bed.post(BRANDED, &order("k")).await.status, 201, "a refused request does not use up its key");
    assert_eq!(bed.account().await.balances.available, 0);
}

#[tokio::test]
async fn without_a_rate_or_with_one_too_old_it_is_503_and_nothing_is_recorded() {
    let bed = Bed::new().await;
    let euro = order_with("euro", &[("/productId", json!("30101")), ("/recipients/0/amount", json!(5))]);
    let yen = order_with("yen", &[("/productId", json!("20001")), ("/recipients/0/amount", json!(1_000))]);
    let refused = bed.post(BRANDED, &euro).await;
    refused.assert_error(503, "UNAVAILABLE");
    assert!(!refused.header("retry-after").is_empty());
    bed.clock.advance(Duration::from_secs(30 * 24 * 3_600));
    let token = bed.token_of(&bed.app);
    assert_eq!(bed.post_as(&token, BRANDED, &yen).await.status, 201, "30 days old is still good");
    bed.clock.advance(Duration::from_secs(1));
    let mut later = yen.clone();
    later["idempotencyKey"] = json!("later");
    bed.post_as(&token, BRANDED, &later).await.assert_error(503, "UNAVAILABLE");
    let invalid = order_with("euro", &[("/productId", json!("30101")), ("/recipients/0/amount", json!(6))]);
    bed.post_as(&token, BRANDED, &invalid).await.assert_invalid(&["recipients[0].amount NOT_A_PRICE_POINT"]);
    assert_eq!(bed.order_count_as(&token).await, 1);
    bed.giftd.store.set_rates(&[rate("EUR", "1.1", bed.clock.now())]).await.expect("set");
    bed.giftd.refresh_reference().await.expect("refreshed");
    assert_eq!(bed.post_as(&token, BRANDED, &euro).await.status, 201, "and the key was free");
}

#[tokio::test]
async fn a_key_belongs_to_one_account() {
    let bed = Bed::new().await;
    let first = bed.place(&order("k")).await;
    let sandbox = bed.app(bed.organization, Environment::Sandbox, "Test", ALL).await;
    for app in [sandbox, bed.stranger().await] {
        let placed = bed.post_as(&bed.token_of(&app), BRANDED, &order("k")).await;
        assert_eq!(placed.status, 201, "{}", placed.text);
        assert_ne!(placed.json["data"]["orderId"], first["orderId"]);
    }
}

#[tokio::test]
async fn in_a_sandbox_402_can_be_tried_and_the_play_money_comes_back() {
    let bed = Bed::new().await;
    let sandbox = bed.app(bed.organization, Environment::Sandbox, "Test", ALL).await;
    let token = bed.token_of(&sandbox);
    let too_much = json!([{"email": "a@b.example", "amount": 5_000}, {"email": "a@b.example", "amount": 5_000}, {"email": "a@b.example", "amount": 5}]);
    let answer = bed.post_as(&token, BRANDED, &order_with("k", &[("/recipients", too_much)])).await;
    answer.assert_error(402, "INSUFFICIENT_BALANCE");
    let most = json!([{"email": "a@b.example", "amount": 5_000}, {"email": "a@b.example", "amount": 4_005}]);
    let answer = bed.post_as(&token, BRANDED, &order_with("k", &[("/recipients", most)])).await;
    assert_eq!((answer.status.as_u16(), &answer.json["data"]["environment"]), (201, &json!("SANDBOX")));
    let balance = bed.get_as(&token, "/api/v1/balance").await;
    assert_eq!(balance.json["data"]["availableBalance"]["amount"], 10_000.0);
}

#[tokio::test]
async fn products_listed_again_can_be_ordered_again() {
    let bed = Bed::new().await;
    bed.import(&Catalog::default()).await;
    bed.post(BRANDED, &order("k")).await.assert_invalid(&["productId PRODUCT_NOT_FOUND"]);
    bed.import(&small_catalog()).await;
    assert_eq!(bed.post(BRANDED, &order("k")).await.status, 201);
}
