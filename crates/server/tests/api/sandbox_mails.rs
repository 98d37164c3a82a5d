//! A sandbox's mails, as clients read them.

use giftd_domain::access::Environment;
use giftd_domain::ids::AccountId;
use giftd_store::CapturedMail;
use serde_json::{Value, json};

use crate::bed::{ALL, Bed, NOW};

const MAILS: &str = "/api/v1/sandbox/mails";
const ORDER: &str = "OT01KAPBQBY0000000000000000A";

fn mail(number: u32, to: &str, order: Option<&str>) -> CapturedMail {
    CapturedMail {
        message_id: format!("<{number}@giftd.example>"),
        to: to.to_owned(),
        order_id: order.map(|order| order.parse().expect("an id")),
        subject: format!("Gift {number}"),
        text: "https://gifts.example/r/token".to_owned(),
        html: "<p>A gift</p>".to_owned(),
        created_at: NOW.parse().expect("an instant"),
    }
}

async fn keep(bed: &Bed, account: AccountId, mails: Vec<CapturedMail>) {
    bed.giftd.store.keep_mails(account, mails, bed.clock.now(), bed.clock.entropy()).await.expect("kept");
}

/// A bed with three mails in the sandbox that the token is for.
async fn sandbox() -> (Bed, String) {
    let bed = Bed::new().await;
    let app = bed.app(bed.organization, Environment::Sandbox, "Test", ALL).await;
    for mail in [
        mail(1, "alice@example.com", Some(ORDER)),
        mail(2, "bob@xn--exmple-cua.com", Some(ORDER)),
        mail(3, "alice@example.com", None),
    ] {
        keep(&bed, app.account_id, vec![mail]).await;
    }
    let token = bed.token_of(&app);
    (bed, token)
}

fn subjects(page: &Value) -> Vec<&str> {
    page["data"].as_array().expect("a page").iter().map(|mail| mail["subject"].as_str().expect("a text")).collect()
}

#[tokio::test]
async fn the_newest_comes_first_with_all_that_it_says() {
    let (bed, token) = sandbox().await;
    let page = bed.get_as(&token, MAILS).await.json;
    assert_eq!(subjects(&page), ["Gift 3", "Gift 2", "Gift 1"]);
    assert_eq!(
        page["data"][2],
        json!({
            "to": "alice@example.com", "orderId": ORDER, "subject": "Gift 1",
            "text": "https://gifts.example/r/token", "html": "<p>A gift</p>", "createdAt": "2026-11-22T18:00:00.000Z",
        })
    );
    assert_eq!(page["data"][0]["orderId"], Value::Null, "a preview");
    let second = bed.get_as(&token, &format!("{MAILS}?page=2&pageSize=2")).await.json;
    assert_eq!(subjects(&second), ["Gift 1"]);
    assert_eq!(second["pagination"], json!({"page": 2, "pageSize": 2, "totalItems": 3, "totalPages": 2}));
}

#[tokio::test]
async fn recipient_and_order_filter_and_combine() {
    let (bed, token) = sandbox().await;
    for (query, expected) in [
        ("to=alice@example.com", vec!["Gift 3", "Gift 1"]),
        ("to=ALICE%40example.com", vec!["Gift 3", "Gift 1"]),
        ("to=bob%40ex%C3%A4mple.com", vec!["Gift 2"]),
        ("to=eve@example.com", vec![]),
        (&format!("orderId={ORDER}"), vec!["Gift 2", "Gift 1"]),
        (&format!("orderId={ORDER}&to=alice@example.com"), vec!["Gift 1"]),
        ("orderId=OT01KAPBQBY0000000000000000B", vec![]),
    ] {
        let page = bed.get_as(&token, &format!("{MAILS}?{query}")).await.json;
        assert_eq!(subjects(&page), expected, "{query}");
    }
    for (query, detail) in [
        ("to=alice", "to INVALID_EMAIL"),
        ("to=", "to BLANK"),
        ("orderId=17", "orderId INVALID"),
        ("pageSize=101", "pageSize OUT_OF_RANGE"),
    ] {
        bed.get_as(&token, &format!("{MAILS}?{query}")).await.assert_invalid(&[detail]);
    }
}

#[tokio::test]
async fn nobody_elses_mails_are_shown_and_production_has_none() {
    let (bed, token) = sandbox().await;
    bed.get(MAILS).await.assert_error(403, "SANDBOX_ONLY");
    let other = bed.giftd.store.create_organization("Other", bed.clock.now(), bed.clock.entropy()).await;
    let other = bed.app(other.expect("created"), Environment::Sandbox, "Test", ALL).await;
    keep(&bed, other.account_id, vec![mail(1, "alice@example.com", None)]).await;
    let other = bed.get_as(&bed.token_of(&other), MAILS).await.json;
    assert_eq!(other["pagination"]["totalItems"], 1);
    assert_eq!(bed.get_as(&token, MAILS).await.json["pagination"]["totalItems"], 3);
}

#[tokio::test]
async fn after_seven_days_of_real_time_a_mail_is_gone() {
    let (bed, _) = sandbox().await;
    for (hours, mails) in [(7 * 24 - 1, 3), (2, 0)] {
        bed.clock.advance(std::time::Duration::from_hours(hours));
        // The first one's token is too old by now.
        let app = bed.app(bed.organization, Environment::Sandbox, "Later", ALL).await;
        assert_eq!(bed.get_as(&bed.token_of(&app), MAILS).await.json["pagination"]["totalItems"], mails);
    }
}
