//! What goes out, where, and when.

use std::collections::BTreeSet;
use std::time::Duration;

use giftd::links;
use giftd_domain::access::Environment;
use giftd_domain::gifts::{DeliveryStatus, expires_at};
use giftd_domain::schedule::SendTiming;

use crate::bed::{Bed, COST, DEADLINE, addresses, order, place, scheduled};

/// The header's value, of a mail whose headers are short.
fn header(mail: &str, name: &str) -> String {
    let line = mail.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("{name} in {mail}")).to_owned()
}

#[tokio::test]
async fn each_gift_is_mailed_once_and_its_order_completed() {
    let bed = Bed::new().await;
    let node = bed.start(bed.settings(), Environment::Production).await;
    let emails = addresses(40);
    let id = node.place(&bed.clock, &emails).await;
    let order = node.complete(id).await;
    assert!(order.summary.completed_at.is_some());
    for gift in &order.gifts {
        assert_eq!(
            (gift.delivery_status, gift.delivery_attempts, &gift.delivery_error),
            (DeliveryStatus::Sent, 1, &None)
        );
        let sent_at = gift.sent_at.expect("an instant");
        assert_eq!(gift.expires_at, Some(expires_at(sent_at, false)));
    }
    let balances = node.account().await.balances;
    assert_eq!((balances.pending, balances.issued), (0, 40 * COST), "a COMPLETE order has nothing pending");

    node.running.stop().await;
    let mails = bed.sink.mails();
    let to: BTreeSet<String> = mails.iter().flat_map(|mail| mail.to.clone()).collect();
    assert_eq!((mails.len(), to), (40, emails.into_iter().collect()));
    let ids: BTreeSet<String> = mails.iter().map(|mail| header(&mail.data, "Message-ID")).collect();
    assert_eq!(ids.len(), 40);
    assert!(ids.contains(&format!("<{id}-00001.1@giftd.example>")), "made of the gift and its send number: {ids:?}");
    assert_eq!(bed.captured(), Vec::<String>::new());
}

#[tokio::test]
async fn the_link_opens_the_gift_under_the_public_url() {
    let bed = Bed::new().await;
    let settings = giftd::settings::Settings { public_url: Some("https://gifts.example".to_owned()), ..bed.settings() };
    let node = bed.start(settings, Environment::Production).await;
    let id = node.place(&bed.clock, &addresses(2)).await;
    node.complete(id).await;
    let mails = bed.sink.mails();
    let mail = mails.iter().find(|mail| mail.to == ["person2@example.com"]).expect("the second gift's");
    // Quoted-printable breaks long lines.
    let text = mail.data.replace("=\r\n", "");
    let (_, rest) = text.split_once("https://gifts.example/r/").expect("a link");
    let opened = links::verify(node.running.giftd.keys.links(), &rest[..64]).expect("ours");
    assert_eq!((opened.account, opened.order, opened.position, opened.link_version), (node.account, id.time, 2, 1));
}

#[tokio::test]
async fn sandbox_mail_is_captured_whatever_the_mail_server() {
    let bed = Bed::new().await;
    let node = bed.start(bed.settings(), Environment::Sandbox).await;
    let id = node.place(&bed.clock, &addresses(3)).await;
    node.complete(id).await;
    assert_eq!(bed.captured().len(), 3);
    assert_eq!((bed.sink.count(), bed.sink.connections()), (0, 0));
}

#[tokio::test]
async fn without_a_mail_server_production_mail_is_captured() {
    let bed = Bed::new().await;
    let settings = giftd::settings::Settings { smtp_url: None, ..bed.settings() };
    let node = bed.start(settings, Environment::Production).await;
    let id = node.place(&bed.clock, &addresses(3)).await;
    node.complete(id).await;
    assert_eq!(bed.captured().len(), 3);
}

#[tokio::test]
async fn a_scheduled_order_goes_out_when_it_is_due_and_not_before() {
    let bed = Bed::new().await;
    let node = bed.start(bed.settings(), Environment::Production).await;
    let due = bed.clock.now() + Duration::from_millis(1_500);
    let id = place(node.store().as_ref(), order(&bed.clock, node.account, &addresses(1), scheduled(due))).await;
    node.running.giftd.wake.all();
    assert!(bed.sink.has_taken(1, DEADLINE).await);
    assert!(bed.clock.now() >= due);
    let sent_at = node.complete(id).await.gifts[0].sent_at.expect("an instant");
    assert!(sent_at >= due, "{sent_at} before {due}");
}

#[tokio::test]
async fn no_more_mails_a_second_go_out_than_set() {
    let bed = Bed::new().await;
    let settings = giftd::settings::Settings { mail_rate: Some(20), ..bed.settings() };
    let node = bed.start(settings, Environment::Production).await;
    let begun = bed.clock.elapsed();
    let id = node.place(&bed.clock, &addresses(21)).await;
    node.complete(id).await;
    let took = bed.clock.elapsed() - begun;
    assert!(took >= Duration::from_millis(950), "21 mails at 20 a second took {took:?}");
}

#[tokio::test]
async fn a_stopping_node_sends_and_settles_what_it_has_in_hand() {
    let bed = Bed::new().await;
    bed.sink.delay(Duration::from_millis(50));
    let node = bed.start(bed.settings(), Environment::Production).await;
    let id = node.place(&bed.clock, &addresses(60)).await;
    assert!(bed.sink.has_taken(1, DEADLINE).await);
    let (store, account) = (node.store().clone(), node.account);
    node.running.stop().await;
    let order = store.order(account, id).await.expect("an answer").expect("the order");
    let sent = order.gifts.iter().filter(|gift| gift.delivery_status == DeliveryStatus::Sent).count();
    assert_eq!(sent, bed.sink.count(), "each mail that went out is settled");
}

#[tokio::test]
async fn mails_to_the_relay_are_signed_and_captured_ones_are_not() {
    let bed = Bed::new().await;
    let pem = include_str!("../../src/mail/test_keys/rsa-pkcs8.pem");
    let settings = giftd::settings::Settings { dkim_key: Some(giftd::settings::Secret::new(pem)), ..bed.settings() };
    let node = bed.start(settings, Environment::Production).await;
    let id = node.place(&bed.clock, &addresses(1)).await;
    node.complete(id).await;
    let sandbox = crate::bed::funded(node.store().as_ref(), &bed.clock, Environment::Sandbox).await;
    place(node.store().as_ref(), order(&bed.clock, sandbox, &addresses(1), SendTiming::Immediate)).await;
    node.running.giftd.wake.all();
    let begun = bed.clock.elapsed();
    while bed.captured().is_empty() {
        assert!(bed.clock.elapsed() - begun < DEADLINE);
        bed.clock.sleep(Duration::from_millis(10)).await;
    }
    let [relayed] = bed.sink.mails().try_into().expect("one mail");
    let signature = "DKIM-Signature: v=1; a=rsa-sha256; d=giftd.example; s=giftd; c=relaxed/relaxed;";
    let mut lines = relayed.data.replace("\r\n ", " ");
    lines.make_ascii_lowercase();
    assert!(lines.contains(&signature.to_ascii_lowercase()), "{}", relayed.data);
    assert!(bed.captured().iter().all(|mail| !mail.contains("DKIM-Signature")));
}

#[tokio::test]
async fn a_bad_dkim_key_is_told_before_anything_is_made() {
    let bed = Bed::new().await;
    let key = Some(giftd::settings::Secret::new("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----"));
    let settings = giftd::settings::Settings { dkim_key: key, ..bed.settings() };
    let refused = giftd::serve::start(settings, bed.clock.clone()).await.err().expect("refused").to_string();
    assert!(refused.starts_with("GIFTD_DKIM_KEY is not an RSA") && refused.contains("openssl genpkey"), "{refused}");
    assert!(!refused.contains("hunter2"));
    assert!(!bed.folder.path().join("giftd.db").exists());
}

#[tokio::test]
async fn the_organizations_logo_and_postal_line_are_in_its_mails() {
    let bed = Bed::new().await;
    let node = bed.start(bed.settings(), Environment::Production).await;
    let svg = r#"<svg xmlns="http://www.w3.org/2000/svg" width="2" height="1"><rect width="2" height="1"/></svg>"#;
    let png = giftd::mail::logo::to_png(svg.as_bytes()).expect("a logo");
    let organization = node.account().await.organization_id;
    assert!(node.store().set_logo(organization, Some(png)).await.expect("an answer"));
    assert!(node.store().set_postal_line(organization, Some("Acme, 1 Main Street")).await.expect("an answer"));
    let id = node.place(&bed.clock, &addresses(1)).await;
    node.complete(id).await;
    let [mail] = bed.sink.mails().try_into().expect("one mail");
    assert!(mail.data.contains("Content-Type: image/png") && mail.data.contains("Content-ID: <logo."), "{}", mail.data);
    assert_eq!(mail.data.matches("Acme, 1 Main Street").count(), 2, "in both parts");
}
