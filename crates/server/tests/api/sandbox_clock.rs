//! The calls of a sandbox's clock. What happens on the way is in tests/life.

use giftd::settings::Settings;
use giftd_domain::access::Environment;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::bed::{ALL, Answer, Bed, NOW};

const CLOCK: &str = "/api/v1/sandbox/clock";

/// A bed, and the token of its organization's sandbox.
async fn sandbox() -> (Bed, String) {
    sandbox_with(|_| ()).await
}

async fn sandbox_with(change: impl FnOnce(&mut Settings)) -> (Bed, String) {
    let bed = Bed::with(change).await;
    let app = bed.app(bed.organization, Environment::Sandbox, "Test", ALL).await;
    let token = bed.token_of(&app);
    (bed, token)
}

async fn advance(bed: &Bed, token: &str, by: &str) -> Answer {
    bed.post_as(token, CLOCK, &json!({"advance": by})).await
}

fn now(text: &str) -> Value {
    json!({"data": {"now": text}})
}

#[tokio::test]
async fn a_sandboxs_clock_begins_with_the_real_time_and_is_moved_ahead() {
    let (bed, token) = sandbox().await;
    assert_eq!(bed.get_as(&token, CLOCK).await.json, now("2026-11-22T18:00:00.000Z"));
    for (by, expected) in [
        ("P30DT2H", "2026-12-22T20:00:00.000Z"),
        ("PT0.001S", "2026-12-22T20:00:00.001Z"),
        ("P1W", "2026-12-29T20:00:00.001Z"),
        ("P400D", "2028-02-02T20:00:00.001Z"),
    ] {
        let moved = advance(&bed, &token, by).await;
        assert_eq!((moved.status.as_u16(), &moved.json), (200, &now(expected)), "{by}: {}", moved.text);
        assert_eq!(bed.get_as(&token, CLOCK).await.json, now(expected));
    }
    bed.clock.advance(std::time::Duration::from_secs(5));
    assert_eq!(bed.get_as(&token, CLOCK).await.json, now("2028-02-02T20:00:05.001Z"), "it runs on");
}

#[tokio::test]
async fn nobody_elses_clock_moves() {
    let (bed, token) = sandbox().await;
    let other = bed.giftd.store.create_organization("Other", bed.clock.now(), bed.clock.entropy()).await;
    let other = bed.app(other.expect("created"), Environment::Sandbox, "Test", ALL).await;
    assert_eq!(advance(&bed, &token, "P30D").await.status, 200);
    let other = bed.token_of(&other);
    assert_eq!(bed.get_as(&other, CLOCK).await.json, now("2026-11-22T18:00:00.000Z"));
    assert_eq!(bed.place(&crate::bed::order("production")).await["createdAt"], "2026-11-22T18:00:00.000Z");
}

#[tokio::test]
async fn production_has_no_clock_to_move() {
    let (bed, _) = sandbox().await;
    bed.get(CLOCK).await.assert_error(403, "SANDBOX_ONLY");
    bed.post(CLOCK, &json!({"advance": "P1D"})).await.assert_error(403, "SANDBOX_ONLY");
    bed.post(CLOCK, &json!({"advance": 5})).await.assert_error(403, "SANDBOX_ONLY");
    bed.post_text(&bed.token, CLOCK, &[], "{").await.assert_error(403, "SANDBOX_ONLY");
}

#[tokio::test]
async fn what_is_no_advance_is_told_and_moves_nothing() {
    let (bed, token) = sandbox().await;
    for (body, details) in [
        (json!({}), vec!["advance REQUIRED"]),
        (json!({"advance": null}), vec!["advance REQUIRED"]),
        (json!({"advance": 30}), vec!["advance WRONG_TYPE"]),
        (json!({"advance": ""}), vec!["advance NOT_A_DURATION"]),
        (json!({"advance": "30 days"}), vec!["advance NOT_A_DURATION"]),
        (json!({"advance": "P1M"}), vec!["advance NO_FIXED_LENGTH"]),
        (json!({"advance": "PT0S"}), vec!["advance OUT_OF_RANGE"]),
        (json!({"advance": "-P1D"}), vec!["advance OUT_OF_RANGE"]),
        (json!({"advance": "P400DT1S"}), vec!["advance OUT_OF_RANGE"]),
        (json!({"advance": "PT0.0001S"}), vec!["advance OUT_OF_RANGE"]),
        (json!({"advance": "P1M", "by": 1}), vec!["advance NO_FIXED_LENGTH", "by UNKNOWN_FIELD"]),
    ] {
        let answer = bed.post_as(&token, CLOCK, &body).await;
        answer.assert_invalid(&details);
    }
    let month = advance(&bed, &token, "P1M").await;
    assert!(month.json["message"].as_str().expect("a text").contains("no fixed length"), "{}", month.text);
    assert_eq!(bed.get_as(&token, CLOCK).await.json, now("2026-11-22T18:00:00.000Z"));
}

#[tokio::test]
async fn a_clock_on_its_way_is_409_until_it_has_arrived() {
    let (bed, token) = sandbox().await;
    let account = bed.giftd.store.account_of(bed.organization, Environment::Sandbox).await.expect("an answer");
    let account = account.expect("an account").account_id;
    let day = SignedDuration::from_hours(24);
    let begun = bed.giftd.store.begin_move(account, day, bed.clock.now()).await.expect("an answer").expect("begun");
    let refused = advance(&bed, &token, "P1D").await;
    refused.assert_error(409, "CLOCK_MOVING");
    assert!(refused.json["message"].as_str().expect("a text").contains("GET /sandbox/clock"), "{}", refused.text);
    assert_eq!(bed.get_as(&token, CLOCK).await.json, now("2026-11-22T18:00:00.000Z"), "it shows how far it is");

    bed.giftd.moves.go_on(&bed.giftd, account, begun).await.expect("it arrives");
    assert_eq!(bed.get_as(&token, CLOCK).await.json, now("2026-11-23T18:00:00.000Z"), "and moved once");
    assert_eq!(advance(&bed, &token, "P1D").await.json, now("2026-11-24T18:00:00.000Z"));
}

#[tokio::test]
async fn of_two_moves_at_once_one_is_made() {
    let (bed, token) = sandbox().await;
    let (first, second) = tokio::join!(advance(&bed, &token, "P1D"), advance(&bed, &token, "P1D"));
    let moved = [&first, &second].iter().filter(|answer| answer.status == 200).count();
    for answer in [first, second].iter().filter(|answer| answer.status != 200) {
        answer.assert_error(409, "CLOCK_MOVING");
    }
    let day = if moved == 2 { "2026-11-24" } else { "2026-11-23" };
    assert!(moved > 0, "at least one");
    assert_eq!(bed.get_as(&token, CLOCK).await.json, now(&format!("{day}T18:00:00.000Z")), "each 200 moved it once");
}

#[tokio::test]
async fn a_clock_stays_within_years_of_four_digits() {
    let (bed, token) = sandbox().await;
    let account = bed.giftd.store.account_of(bed.organization, Environment::Sandbox).await.expect("an answer");
    let account = account.expect("an account").account_id;
    let years = SignedDuration::from_hours(24 * 365 * 6_970);
    let begun = bed.giftd.store.begin_move(account, years, bed.clock.now()).await.expect("an answer").expect("begun");
    bed.giftd.moves.go_on(&bed.giftd, account, begun).await.expect("it arrives");
    let far = bed.get_as(&token, CLOCK).await.json["data"]["now"].as_str().expect("an instant").to_owned();
    assert!(far.starts_with("899"), "{far}");
    let mut calls = 0;
    let refused = loop {
        let answer = advance(&bed, &token, "P400D").await;
        calls += 1;
        if answer.status != 200 || calls > 20 {
            break answer;
        }
    };
    refused.assert_invalid(&["advance OUT_OF_RANGE"]);
    let order = bed.post_as(&token, crate::bed::BRANDED, &crate::bed::order("far")).await;
    assert_eq!(order.status, 201, "{}", order.text);
}

#[tokio::test]
async fn orders_of_a_moved_sandbox_are_dated_and_scheduled_by_its_clock() {
    let (bed, token) = sandbox().await;
    assert_eq!(advance(&bed, &token, "P30D").await.status, 200);
    let scheduled = |key: &str, at: &str| {
        let timing = json!({"type": "SCHEDULED", "scheduledAt": at, "timezone": "UTC"});
        crate::bed::order_with(key, &[("/sendTiming", timing)])
    };
    let past = bed.post_as(&token, crate::bed::BRANDED, &scheduled("past", "2026-12-22T17:59:59")).await;
    assert_eq!(past.status, 400, "{}", past.text);
    let order = bed.post_as(&token, crate::bed::BRANDED, &scheduled("next", "2026-12-22T18:00:01")).await;
    assert_eq!(order.status, 201, "{}", order.text);
    assert_eq!(order.json["data"]["createdAt"], "2026-12-22T18:00:00.000Z");
    assert_eq!(order.json["data"]["sendTiming"]["sendAt"], "2026-12-22T18:00:01.000Z");
    let today = bed.get_as(&token, "/api/v1/orders?startDate=2026-12-22&endDate=2026-12-22").await;
    assert_eq!(today.json["pagination"]["totalItems"], 1, "{}", today.text);
    assert!(NOW.starts_with("2026-11-22"));
}
