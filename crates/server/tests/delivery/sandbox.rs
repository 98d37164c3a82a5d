//! A sandbox's mail: captured twice, and its addresses that rehearse failure.

use std::time::Duration;

use giftd::settings::Settings;
use giftd_domain::access::Environment;
use giftd_domain::gifts::DeliveryStatus;
use giftd_domain::gifts::verification::VerificationRequested;
use giftd_domain::history::PageRequest;
use giftd_domain::ids::GiftKey;
use giftd_store::CapturedMail;
use jiff::SignedDuration;

use crate::bed::{Bed, DEADLINE, Node, addresses};

/// The account's captured mails, newest first.
async fn kept(bed: &Bed, node: &Node) -> Vec<CapturedMail> {
    let page = PageRequest { page: 1, page_size: 100 };
    let now = bed.clock.now();
    node.store().kept_mails(node.account, None, None, now, page).await.expect("an answer").items
}

#[tokio::test]
async fn a_mail_is_captured_on_the_disk_and_in_the_database() {
    let bed = Bed::new().await;
    let node = bed.start(bed.settings(), Environment::Sandbox).await;
    let id = node.place(&bed.clock, &addresses(3)).await;
    let order = node.complete(id).await;
    let kept = kept(&bed, &node).await;
    assert_eq!((kept.len(), bed.captured().len()), (3, 3));
    for mail in &kept {
        assert_eq!(mail.order_id, Some(id));
        assert!(mail.text.contains("/r/") && mail.html.contains("This is a test from a sandbox."), "{}", mail.text);
        let gift = order.gifts.iter().find(|gift| gift.recipient.email.as_ref() == Some(&mail.to)).expect("a gift");
        assert!(gift.sent_at.is_some_and(|sent| mail.created_at <= sent));
        assert!(bed.captured().iter().any(|file| file.contains(&format!("Message-ID: {}", mail.message_id))));
    }
}

#[tokio::test]
async fn production_mail_is_not_in_the_database() {
    let bed = Bed::new().await;
    let settings = Settings { smtp_url: None, ..bed.settings() };
    let node = bed.start(settings, Environment::Production).await;
    let id = node.place(&bed.clock, &["hard-bounce@example.com".to_owned()]).await;
    let order = node.complete(id).await;
    assert_eq!(order.gifts[0].delivery_status, DeliveryStatus::Sent, "production rehearses nothing");
    assert_eq!(kept(&bed, &node).await, Vec::new());
    assert_eq!(bed.captured().len(), 1);
}

#[tokio::test]
async fn failure_can_be_rehearsed() {
    let bed = Bed::new().await;
    let node = bed.start(bed.settings(), Environment::Sandbox).await;
    let emails = ["hard-bounce@example.com", "soft-bounce@example.com", "alice@example.com"].map(str::to_owned);
    let id = node.place(&bed.clock, &emails).await;
    let order = node.complete(id).await;
    let outcome = |index: usize| (order.gifts[index].delivery_status, order.gifts[index].delivery_attempts);
    assert_eq!(outcome(0), (DeliveryStatus::Failed, 1));
    assert!(order.gifts[0].delivery_error.as_deref().is_some_and(|error| error.starts_with("550 5.1.1")));
    assert_eq!(outcome(1), (DeliveryStatus::Sent, 3), "fails twice, then succeeds");
    assert_eq!(outcome(2), (DeliveryStatus::Sent, 1));
    assert_eq!(kept(&bed, &node).await.len(), 2);
}

#[tokio::test]
async fn slow_addresses_take_their_time_and_nobody_elses() {
    let bed = Bed::new().await;
    let settings = Settings { mail_concurrency: 1, ..bed.settings() };
    let node = bed.start(settings, Environment::Sandbox).await;
    let slow = node.place(&bed.clock, &vec!["slow@example.com".to_owned(); 40]).await;
    let quick = node.place(&bed.clock, &addresses(5)).await;
    let quick = node.complete(quick).await;
    let order = node.complete(slow).await;
    let last = quick.gifts.iter().filter_map(|gift| gift.sent_at).max().expect("sent");
    let first = order.gifts.iter().filter_map(|gift| gift.sent_at).min().expect("sent");
    assert!(last < first, "one sender waits for no slow address: {last} {first}");
    assert!(order.gifts.iter().all(|gift| gift.delivery_attempts == 1));
}

#[tokio::test]
async fn a_stopping_node_finishes_its_slow_mails() {
    let bed = Bed::new().await;
    let node = bed.start(bed.settings(), Environment::Sandbox).await;
    let id = node.place(&bed.clock, &["slow@example.com".to_owned()]).await;
    node.order_when(id, |order| order.summary.status == giftd_domain::orders::OrderStatus::InProgress).await;
    let (store, account) = (node.store().clone(), node.account);
    node.running.stop().await;
    let order = store.order(account, id).await.expect("an answer").expect("the order");
    assert_eq!(order.gifts[0].delivery_status, DeliveryStatus::Sent);
}

#[tokio::test]
async fn a_verification_whose_link_is_dead_is_not_mailed() {
    let bed = Bed::new().await;
    let node = bed.start(bed.settings(), Environment::Sandbox).await;
    let id = node.place(&bed.clock, &addresses(1)).await;
    node.complete(id).await;
    let gift = GiftKey { account_id: node.account, order: id.time, position: 1 };
    for (minutes, mails) in [(11, 1), (9, 2)] {
        let asked = bed.clock.now() - SignedDuration::from_mins(minutes);
        let requested = node.store().request_verification(gift, 1, asked).await.expect("an answer");
        assert!(matches!(requested, VerificationRequested::Requested { .. }), "{requested:?}");
        node.running.giftd.wake.all();
        let (begun, soon) = (bed.clock.elapsed(), bed.clock.now() + SignedDuration::from_hours(1));
        while node.store().backlog(soon).await.expect("an answer").due > 0 {
            assert!(bed.clock.elapsed() - begun < DEADLINE, "it waits for ever");
            bed.clock.sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(kept(&bed, &node).await.len(), mails, "asked for {minutes} minutes ago");
    }
}
