//! The balance and its ledger.

use std::time::Duration;

use giftd_domain::access::Environment;
use serde_json::{Value, json};

use crate::bed::{ALL, Bed, order};

#[tokio::test]
async fn the_ledger_lists_movements_of_available_newest_first() {
    let bed = Bed::new().await;
    let first = bed.place(&order("first")).await;
    bed.clock.advance(Duration::from_secs(24 * 3_600));
    let bed = Bed { token: bed.token_of(&bed.app), ..bed };
    let second = bed.place(&order("second")).await;
    let answer = bed.get("/api/v1/balance/ledger").await;
    assert_eq!(answer.json["pagination"], json!({"page": 1, "pageSize": 20, "totalItems": 3, "totalPages": 1}));
    let entries = answer.json["data"].as_array().expect("entries");
    let references: Vec<&Value> = entries.iter().map(|entry| &entry["referenceNumber"]).collect();
    assert_eq!(references[..2], [&second["orderId"], &first["orderId"]]);
    assert!(references[2].as_str().expect("a text").starts_with("wire "));
    assert!(
        answer.text.contains(r#""type":"USE","amount":-50.00,"balanceAfter":9900.00,"referenceNumber":"OT"#),
        "{}",
        answer.text
    );
    assert!(answer.text.contains(r#""type":"CHARGE","amount":10000.00,"balanceAfter":10000.00,"#), "{}", answer.text);
    assert_eq!(entries[0]["createdAt"], "2026-11-23T18:00:00.000Z");
    assert_eq!(entries[0]["ledgerId"].as_str().map(str::len), Some(26));
    let count = |query: &'static str| {
        let bed = &bed;
        async move { bed.get(&format!("/api/v1/balance/ledger{query}")).await.json["pagination"]["totalItems"].clone() }
    };
    assert_eq!(count("?type=USE").await, 2);
    assert_eq!(count("?type=CHARGE").await, 1);
    assert_eq!(count("?type=REWARD").await, 0);
    assert_eq!(count("?startDate=2026-11-23").await, 1);
    assert_eq!(count("?endDate=2026-11-22&type=USE").await, 1);
    assert_eq!(bed.get("/api/v1/balance/ledger?page=3&pageSize=1").await.json["data"][0]["type"], "CHARGE");
}

#[tokio::test]
async fn an_unknown_type_is_400_and_so_is_an_internal_one() {
    let bed = Bed::new().await;
    for wrong in ["ISSUE", "use", "SPEND", "%00"] {
        let answer = bed.get(&format!("/api/v1/balance/ledger?type={wrong}")).await;
        answer.assert_error(400, "VALIDATION_ERROR");
    }
    let answer = bed.get("/api/v1/balance/ledger?type=ISSUE&page=0&startDate=x").await;
    answer.assert_invalid(&["page OUT_OF_RANGE", "startDate INVALID_DATE", "type UNKNOWN_VALUE"]);
    assert!(!answer.json["details"][2]["message"].as_str().expect("a text").contains("ISSUE"));
}

#[tokio::test]
async fn a_sandbox_starts_with_10_000_dollars_of_play_money() {
    let bed = Bed::new().await;
    let sandbox = bed.app(bed.organization, Environment::Sandbox, "Test", ALL).await;
    let answer = bed.get_as(&bed.token_of(&sandbox), "/api/v1/balance").await;
    assert_eq!(
        answer.text,
        r#"{"data":{"availableBalance":{"amount":10000.00,"currency":"USD"},"pendingBalance":{"amount":0.00,"currency":"USD"}}}"#
    );
    let ledger = bed.get_as(&bed.token_of(&sandbox), "/api/v1/balance/ledger").await;
    assert_eq!(ledger.json["data"][0]["type"], "CHARGE");
}
