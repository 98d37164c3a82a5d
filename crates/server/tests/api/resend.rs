//! Sending again: to whom, to which address, how often, and what is skipped.

use std::time::Duration;

use giftd_domain::access::Environment;
use serde_json::{Value, json};

use crate::bed::{ALL, Answer, BRANDED, Bed, order, order_to, order_with, scheduled, text};

fn path(order: &Value) -> String {
    format!("/api/v1/orders/{}/resend", text(order, "orderId"))
}

fn entry(email: &str) -> Value {
    json!({"email": email})
}

fn to(email: &str, updated: &str) -> Value {
    json!({"email": email, "updatedEmail": updated})
}

async fn resend(bed: &Bed, order: &Value, entries: &[Value]) -> Answer {
    bed.post_as(&bed.token_of(&bed.app), &path(order), &json!({"recipients": entries})).await
}

/// Asserts what became of it.
#[track_caller]
fn assert_resent(answer: &Answer, order: &Value, requeued: u32, skipped: &[(&str, &str)]) {
    let skipped: Vec<_> = skipped.iter().map(|(email, reason)| json!({"email": email, "reason": reason})).collect();
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json, json!({"data": {"orderId": order["orderId"], "requeued": requeued, "skipped": skipped}}));
}

/// An order whose mails have gone out.
async fn sent(bed: &Bed, key: &str, emails: &[&str]) -> Value {
    let order = bed.place(&order_to(key, emails)).await;
    bed.deliver(&[]).await;
    order
}

async fn now(bed: &Bed, order: &Value) -> Value {
    let path = format!("/api/v1/orders/{}", text(order, "orderId"));
    bed.get_as(&bed.token_of(&bed.app), &path).await.json["data"].clone()
}

#[tokio::test]
async fn all_gifts_of_an_address_are_sent_again_whatever_the_case() {
    let bed = Bed::new().await;
    let order = sent(&bed, "k", &["alice@example.com", "bob@example.com", "Alice@Example.com"]).await;
    let before = now(&bed, &order).await;
    bed.clock.advance(Duration::from_secs(60));
    let answer = resend(&bed, &order, &[entry("ALICE@example.com")]).await;
    assert_resent(&answer, &order, 2, &[]);
    tokio::time::timeout(crate::bed::DEADLINE, bed.giftd.wake.due(giftd_store::Mails::Outgoing))
        .await
        .expect("the workers are woken");
    assert_eq!(now(&bed, &order).await["recipients"], before["recipients"], "as they were until they are sent");
    assert_eq!(bed.giftd.store.backlog(bed.clock.now()).await.expect("an answer").due, 2);
    bed.deliver(&["Alice@Example.com"]).await;
    let after = now(&bed, &order).await;
    let recipients = &after["recipients"];
    assert_eq!((text(&recipients[0], "deliveryStatus"), &recipients[0]["deliveryAttempts"]), ("SENT", &json!(2)));
    assert_eq!(text(&recipients[0], "sentAt"), "2026-11-22T18:00:00.000Z", "the first success");
    assert_eq!(text(&recipients[2], "deliveryStatus"), "FAILED", "by the outcome of the resend");
    for index in [0, 2] {
        assert_eq!(recipients[index]["expiresAt"], before["recipients"][index]["expiresAt"], "expiry never changes");
    }
    assert_eq!(recipients[1], before["recipients"][1], "nobody else's");
    assert_eq!(after["status"], "COMPLETE");
    assert_eq!(bed.account().await.balances.issued, 15_000, "money doesn't move");
}

#[tokio::test]
async fn with_an_updated_email_the_gift_moves_and_its_old_link_dies() {
    let bed = Bed::new().await;
    let order = sent(&bed, "k", &["alice@example.com", "bob@example.com"]).await;
    assert_resent(&resend(&bed, &order, &[to("alice@example.com", "alice@Bücher.example")]).await, &order, 1, &[]);
    let moved = now(&bed, &order).await;
    assert_eq!(moved["recipients"][0]["email"], "alice@xn--bcher-kva.example");
    let order_id = text(&order, "orderId").parse().expect("an id");
    let stored = bed.giftd.store.order(bed.app.account_id, order_id).await.expect("an answer").expect("the order");
    assert_eq!(stored.gifts.iter().map(|gift| gift.link_version).collect::<Vec<_>>(), [2, 1]);
    // A retry is safe and sends nothing; then the old address is nobody's.
    let again = resend(&bed, &order, &[to("Alice@example.com", "alice@bücher.example")]).await;
    assert_resent(&again, &order, 0, &[("Alice@example.com", "ALREADY_MOVED")]);
    resend(&bed, &order, &[entry("alice@example.com")]).await.assert_invalid(&["recipients[0].email NOT_A_RECIPIENT"]);
    assert_resent(&resend(&bed, &order, &[entry("alice@bücher.example")]).await, &order, 1, &[]);
}

#[tokio::test]
async fn an_updated_email_that_is_the_same_address_moves_nothing() {
    let bed = Bed::new().await;
    let order = sent(&bed, "k", &["alice@example.com"]).await;
    for _ in 0..2 {
        let answer = resend(&bed, &order, &[to("alice@example.com", "ALICE@EXAMPLE.com")]).await;
        assert_resent(&answer, &order, 1, &[]);
        bed.deliver(&[]).await;
    }
    assert_eq!(now(&bed, &order).await["recipients"][0]["email"], "alice@example.com");
}

#[tokio::test]
async fn a_shape_that_is_wrong_is_told_at_once() {
    let bed = Bed::new().await;
    let order = sent(&bed, "k", &["alice@example.com"]).await;
    let body = json!({
        "recipients": [{"mail": "x"}, {"email": 7, "updatedEmail": false}, "alice@example.com", null, {"email": null}],
        "message": "again",
    });
    let answer = bed.post(&path(&order), &body).await;
    answer.assert_invalid(&[
        "recipients[0].email REQUIRED",
        "recipients[0].mail UNKNOWN_FIELD",
        "recipients[1].email WRONG_TYPE",
        "recipients[1].updatedEmail WRONG_TYPE",
        "recipients[2] WRONG_TYPE",
        "recipients[3] WRONG_TYPE",
        "recipients[4].email REQUIRED",
        "message UNKNOWN_FIELD",
    ]);
    bed.post(&path(&order), &json!({})).await.assert_invalid(&["recipients REQUIRED"]);
    bed.post(&path(&order), &json!({"recipients": {}})).await.assert_invalid(&["recipients WRONG_TYPE"]);
    bed.post_text(&bed.token, &path(&order), &[], "{").await.assert_error(400, "MALFORMED_JSON");
}

#[tokio::test]
async fn all_addresses_that_are_wrong_or_there_twice_are_told_at_once() {
    let bed = Bed::new().await;
    let order = sent(&bed, "k", &["alice@example.com"]).await;
    let answer = resend(
        &bed,
        &order,
        &[
            entry("alice@bücher.example"),
            entry("nobody"),
            to("bob@example.com", "carol@example.com\r\nBcc: eve@example.com"),
            to("Alice@xn--bcher-kva.example", "dave@example.com"),
            entry("alice@example.com"),
            to("alice@EXAMPLE.com", "x"),
        ],
    )
    .await;
    answer.assert_invalid(&[
        "recipients[1].email INVALID_EMAIL",
        "recipients[2].updatedEmail INVALID_EMAIL",
        "recipients[3].email DUPLICATE_EMAIL",
        "recipients[5].updatedEmail INVALID_EMAIL",
        "recipients[5].email DUPLICATE_EMAIL",
    ]);
    assert!(answer.text.contains("recipients[0].email"), "the first is named: {}", answer.text);
    let many: Vec<_> = (0..500).map(|_| entry("nobody")).collect();
    assert_eq!(resend(&bed, &order, &many).await.details().len(), 100);
    assert_eq!(bed.giftd.store.backlog(bed.clock.now()).await.expect("an answer").due, 0, "nothing is sent");
}

#[tokio::test]
async fn entries_are_1_to_10_000() {
    let bed = Bed::new().await;
    let order = sent(&bed, "k", &["alice@example.com"]).await;
    resend(&bed, &order, &[]).await.assert_invalid(&["recipients OUT_OF_RANGE"]);
    let mut many: Vec<_> = (0..10_001).map(|index| entry(&format!("r{index}@example.com"))).collect();
    resend(&bed, &order, &many).await.assert_invalid(&["recipients TOO_MANY"]);
    many.pop();
    let answer = resend(&bed, &order, &many).await;
    assert_eq!(answer.details().len(), 100, "{}", answer.text);
    many[9_999] = entry("alice@example.com");
    let answer = resend(&bed, &order, &many).await;
    assert_eq!((answer.status.as_u16(), &answer.json["data"]["requeued"]), (200, &json!(1)));
    assert_eq!(answer.json["data"]["skipped"].as_array().map(Vec::len), Some(9_999));
}

#[tokio::test]
async fn a_whole_order_of_10_000_is_sent_again() {
    let bed = Bed::new().await;
    bed.credit(bed.app.account_id, 100_000_000).await;
    let emails: Vec<String> = (0..10_000).map(|index| format!("r{index}@example.com")).collect();
    let order = sent(&bed, "k", &emails.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let entries: Vec<_> = emails.iter().map(|email| entry(email)).collect();
    let answer = resend(&bed, &order, &entries).await;
    assert_resent(&answer, &order, 10_000, &[]);
}

#[tokio::test]
async fn what_is_not_a_recipient_is_skipped_unless_nobody_is_one() {
    let bed = Bed::new().await;
    let order = sent(&bed, "k", &["alice@example.com"]).await;
    let answer = resend(&bed, &order, &[entry("Eve@example.com"), entry("alice@example.com")]).await;
    assert_resent(&answer, &order, 1, &[("Eve@example.com", "NOT_A_RECIPIENT")]);
    let nobody = resend(&bed, &order, &[entry("eve@example.com"), to("bob@example.com", "alice@example.com")]).await;
    nobody.assert_invalid(&["recipients[0].email NOT_A_RECIPIENT", "recipients[1].email NOT_A_RECIPIENT"]);
}

#[tokio::test]
async fn a_gift_whose_first_mail_is_still_tried_is_skipped() {
    let bed = Bed::new().await;
    let order = bed.place(&order_to("k", &["alice@example.com", "bob@example.com"])).await;
    let lease = jiff::SignedDuration::from_secs(60);
    let claimed = bed.giftd.store.claim_deliveries(giftd_store::Mails::All, bed.clock.now(), lease, 1).await;
    assert_eq!(claimed.expect("claimed").len(), 1);
    let answer = resend(&bed, &order, &[entry("alice@example.com"), entry("bob@example.com")]).await;
    assert_resent(&answer, &order, 0, &[("alice@example.com", "NOT_YET_SENT"), ("bob@example.com", "NOT_YET_SENT")]);
}

#[tokio::test]
async fn an_expired_gift_is_skipped() {
    let bed = Bed::new().await;
    let order = sent(&bed, "k", &["alice@example.com"]).await;
    bed.clock.advance(Duration::from_secs(180 * 24 * 3_600));
    let answer = resend(&bed, &order, &[to("alice@example.com", "bob@example.com")]).await;
    assert_resent(&answer, &order, 0, &[("alice@example.com", "EXPIRED")]);
}

#[tokio::test]
async fn an_order_that_has_not_gone_out_or_was_canceled_is_not_resendable() {
    let bed = Bed::new().await;
    let order = bed.place(&order_with("k", &[("/sendTiming", scheduled("2026-12-24T09:00"))])).await;
    resend(&bed, &order, &[entry("alice@example.com")]).await.assert_error(409, "ORDER_NOT_RESENDABLE");
    let cancel = format!("/api/v1/orders/{}/cancel", text(&order, "orderId"));
    assert_eq!(bed.delete(&cancel).await.status, 200);
    resend(&bed, &order, &[entry("alice@example.com")]).await.assert_error(409, "ORDER_NOT_RESENDABLE");
    // What is wrong with the request itself comes first.
    resend(&bed, &order, &[entry("alice")]).await.assert_invalid(&["recipients[0].email INVALID_EMAIL"]);
}

#[tokio::test]
async fn a_gift_is_sent_again_at_most_10_times_in_24_hours() {
    let bed = Bed::new().await;
    let order = sent(&bed, "k", &["alice@example.com", "bob@example.com"]).await;
    for _ in 0..10 {
        assert_resent(&resend(&bed, &order, &[entry("alice@example.com")]).await, &order, 1, &[]);
        bed.deliver(&[]).await;
    }
    let both = [entry("alice@example.com"), entry("bob@example.com")];
    assert_resent(&resend(&bed, &order, &both).await, &order, 1, &[("alice@example.com", "LIMIT_REACHED")]);
    bed.clock.advance(Duration::from_secs(24 * 3_600));
    assert_resent(&resend(&bed, &order, &both).await, &order, 2, &[]);
}

#[tokio::test]
async fn an_app_moves_at_most_100_gifts_in_24_hours() {
    let bed = Bed::new().await;
    let emails: Vec<String> = (0..101).map(|index| format!("r{index}@example.com")).collect();
    let order = sent(&bed, "k", &emails.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let moves: Vec<_> = emails.iter().map(|email| to(email, "eve@example.com")).collect();
    let refused = resend(&bed, &order, &moves).await;
    refused.assert_error(429, "RATE_LIMITED");
    assert_eq!(refused.header("retry-after"), "3600");
    assert!(text(&refused.json, "message").contains("100 gifts"), "the limit is named: {}", refused.text);
    let emails_now = |order: &Value| order["recipients"].clone();
    let before = emails_now(&now(&bed, &order).await);
    assert_eq!(before[0]["email"], "r0@example.com", "nothing moved");
    assert_resent(&resend(&bed, &order, &moves[..100]).await, &order, 100, &[]);
    resend(&bed, &order, &moves[100..]).await.assert_error(429, "RATE_LIMITED");
    // Sending to the same address isn't a move.
    assert_resent(&resend(&bed, &order, &[entry("r100@example.com")]).await, &order, 1, &[]);
    bed.clock.advance(Duration::from_secs(24 * 3_600));
    bed.deliver(&[]).await;
    assert_resent(&resend(&bed, &order, &moves[100..]).await, &order, 1, &[]);
}

#[tokio::test]
async fn nobody_else_can_send_it_again() {
    let bed = Bed::new().await;
    let order = sent(&bed, "k", &["alice@example.com"]).await;
    let sandbox = bed.app(bed.organization, Environment::Sandbox, "Test", ALL).await;
    let of_no_order = path(&json!({"orderId": "OT01KAPBQBY0000000000000000A"}));
    let body = json!({"recipients": [to("alice@example.com", "eve@example.com")]});
    for app in [bed.stranger().await, sandbox] {
        let token = bed.token_of(&app);
        let answer = bed.post_as(&token, &path(&order), &body).await;
        answer.assert_error(404, "ORDER_NOT_FOUND");
        assert_eq!(answer.json["message"], bed.post_as(&token, &of_no_order, &body).await.json["message"]);
        // Nor does it tell who its recipients are.
        let unknown = json!({"recipients": [entry("nobody@example.com")]});
        bed.post_as(&token, &path(&order), &unknown).await.assert_error(404, "ORDER_NOT_FOUND");
    }
    let as_links = json!({"orderId": text(&order, "orderId").replacen("OT", "LO", 1)});
    for none in [as_links, json!({"orderId": "x"}), json!({"orderId": "%00"})] {
        bed.post(&path(&none), &body).await.assert_error(404, "ORDER_NOT_FOUND");
    }
    assert_eq!(now(&bed, &order).await["recipients"][0]["email"], "alice@example.com");
}

#[tokio::test]
async fn a_replay_of_the_order_tells_the_new_address() {
    let bed = Bed::new().await;
    let body = order("k");
    let order = bed.place(&body).await;
    bed.deliver(&[]).await;
    assert_resent(&resend(&bed, &order, &[to("alice@example.com", "bob@example.com")]).await, &order, 1, &[]);
    let again = bed.post(BRANDED, &body).await;
    assert_eq!(
        (again.status.as_u16(), &again.json["data"]["recipients"][0]["email"]),
        (200, &json!("bob@example.com"))
    );
}
