//! The list of orders: pages, filters, their errors.

use std::time::Duration;

use giftd_domain::access::Environment;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::bed::{ALL, BRANDED, Bed, CHOICE, order, order_with};

async fn ids(bed: &Bed, query: &str) -> Vec<String> {
    let answer = bed.get(&format!("/api/v1/orders{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let orders = answer.json["data"].as_array().expect("orders");
    orders.iter().map(|order| order["orderId"].as_str().expect("an id").to_owned()).collect()
}

fn id(order: &Value) -> String {
    order["orderId"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn newest_first_also_within_a_millisecond_in_pages() {
    let bed = Bed::new().await;
    let mut placed = Vec::new();
    for index in 0..25 {
        placed.push(id(&bed.place(&order(&format!("k{index}"))).await));
    }
    placed.reverse();
    assert_eq!(ids(&bed, "").await, placed[..20], "20 a page");
    assert_eq!(ids(&bed, "?page=2").await, placed[20..]);
    assert_eq!(ids(&bed, "?page=3&pageSize=10").await, placed[20..]);
    let first = bed.get("/api/v1/orders?page=2&pageSize=10&unknown=ignored").await;
    assert_eq!(first.json["pagination"], json!({"page": 2, "pageSize": 10, "totalItems": 25, "totalPages": 3}));
    let past = bed.get("/api/v1/orders?page=1000000").await;
    assert_eq!((past.status.as_u16(), &past.json["data"]), (200, &json!([])), "a page past the end is empty");
    assert_eq!(past.json["pagination"]["totalPages"], 2);
}

#[tokio::test]
async fn with_nothing_there_are_no_pages() {
    let bed = Bed::new().await;
    let answer = bed.get("/api/v1/orders").await;
    assert_eq!(answer.text, r#"{"data":[],"pagination":{"page":1,"pageSize":20,"totalItems":0,"totalPages":0}}"#);
}

#[tokio::test]
async fn a_page_outside_1_to_100_is_400_never_clamped_and_all_is_told() {
    let bed = Bed::new().await;
    for (query, details) in [
        ("?page=0", vec!["page OUT_OF_RANGE"]),
        ("?pageSize=101", vec!["pageSize OUT_OF_RANGE"]),
        ("?pageSize=0&page=-1", vec!["page OUT_OF_RANGE", "pageSize OUT_OF_RANGE"]),
        ("?page=1.5", vec!["page OUT_OF_RANGE"]),
        ("?page=", vec!["page OUT_OF_RANGE"]),
        ("?page=1&page=2", vec!["page DUPLICATE_FIELD"]),
        ("?orderType=one_time", vec!["orderType UNKNOWN_VALUE"]),
        ("?cardType=X&status=DONE", vec!["cardType UNKNOWN_VALUE", "status UNKNOWN_VALUE"]),
        ("?startDate=2026-13-01", vec!["startDate INVALID_DATE"]),
        ("?startDate=2026-11-23&endDate=2026-11-22", vec!["startDate AFTER_END"]),
        ("?searchKeyword=%00", vec!["searchKeyword CONTROL_CHARACTER"]),
        ("?searchKeyword=%ff", vec!["searchKeyword INVALID_ENCODING"]),
        ("?clientOrderId=", vec!["clientOrderId BLANK"]),
        ("?clientOrderId=%00", vec!["clientOrderId CONTROL_CHARACTER"]),
    ] {
        let answer = bed.get(&format!("/api/v1/orders{query}")).await;
        answer.assert_error(400, "VALIDATION_ERROR");
        assert_eq!(answer.details(), details, "{query}");
    }
}

#[tokio::test]
async fn filters_combine_with_and() {
    let bed = Bed::new().await;
    let other_app = bed.app(bed.organization, Environment::Production, "Straße", ALL).await;
    let cedar = id(&bed.place(&order("cedar")).await);
    let pick = bed.post(CHOICE, &order_with("pick", &[("/productId", json!("55"))])).await.json["data"].clone();
    let pick = id(&pick);
    bed.clock.advance(Duration::from_secs(24 * 3_600));
    let token = bed.token_of(&other_app);
    let books = order_with("books", &[("/productId", json!("20001")), ("/recipients/0/amount", json!(1_000))]);
    let books = id(&bed.post_as(&token, BRANDED, &books).await.json["data"]);
    // The first two are picked up for delivery by their age, the third stays.
    let lease = SignedDuration::from_secs(60);
    assert_eq!(
        bed.giftd
            .store
            .claim_deliveries(giftd_store::Mails::All, bed.clock.now(), lease, 2)
            .await
            .expect("claimed")
            .len(),
        2
    );
    let bed = Bed { token, ..bed };
    for (query, expected) in [
        ("?orderType=ONE_TIME", vec![&books, &pick, &cedar]),
        ("?orderType=LINK", vec![]),
        ("?cardType=CHOICE_CARD", vec![&pick]),
        ("?status=PENDING", vec![&books]),
        ("?status=IN_PROGRESS", vec![&pick, &cedar]),
        ("?status=IN_PROGRESS&cardType=BRANDED_CARD", vec![&cedar]),
        ("?status=COMPLETE", vec![]),
        ("?startDate=2026-11-23", vec![&books]),
        ("?endDate=2026-11-22", vec![&pick, &cedar]),
        ("?startDate=2026-11-22&endDate=2026-11-23", vec![&books, &pick, &cedar]),
        ("?startDate=2026-11-24", vec![]),
        ("?searchKeyword=PAYROLL", vec![&pick, &cedar]),
        ("?searchKeyword=sAkUrA", vec![&books]),
        ("?searchKeyword=stra%C3%9Fe", vec![&books]),
        ("?searchKeyword=pay&cardType=CHOICE_CARD&endDate=2026-11-22", vec![&pick]),
        ("?searchKeyword=pay&startDate=2026-11-23", vec![]),
        ("?searchKeyword=%25", vec![]),
        ("?searchKeyword=_", vec![]),
        ("?searchKeyword=", vec![&books, &pick, &cedar]),
        ("?clientOrderId=cedar", vec![&cedar]),
        ("?clientOrderId=ceda", vec![]),
        ("?clientOrderId=cedar&status=PENDING", vec![]),
        ("?clientOrderId=cedar&searchKeyword=payroll", vec![&cedar]),
    ] {
        let found = ids(&bed, query).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query}");
        let answer = bed.get(&format!("/api/v1/orders{query}")).await;
        assert_eq!(answer.json["pagination"]["totalItems"], expected.len(), "{query}");
    }
}

#[tokio::test]
async fn an_id_that_is_none_is_404() {
    let bed = Bed::new().await;
    let placed = id(&bed.place(&order("k")).await);
    let lower = placed.to_lowercase();
    let other_type = placed.replacen("OT", "LO", 1);
    for wrong in ["x", "%00", "OT", "..%2f", lower.as_str(), other_type.as_str(), &"9".repeat(5_000), "%F0%9F%8E%81"] {
        let answer = bed.get(&format!("/api/v1/orders/{wrong}")).await;
        answer.assert_error(404, "ORDER_NOT_FOUND");
    }
    bed.get("/api/v1/orders/%ff").await.assert_error(404, "NOT_FOUND");
}
