//! Servers that say no, later, or nothing.

use std::time::Duration;

use giftd::settings::Settings;
use giftd_domain::access::Environment;
use giftd_domain::gifts::DeliveryStatus;
use giftd_domain::orders::{Order, OrderStatus, OrderType};
use giftd_domain::schedule::SendTiming;

use crate::bed::{Bed, COST, addresses, funded, order, order_when, place};
use crate::smtp_sink::{Reply, Stage};

#[tokio::test]
async fn a_transient_failure_is_retried_until_it_works() {
    let bed = Bed::new().await;
    for _ in 0..2 {
        bed.sink.once(Stage::Rcpt, "451 4.3.0 try again later");
    }
    let node = bed.start(bed.settings(), Environment::Production).await;
    let id = node.place(&bed.clock, &addresses(1)).await;
    let order = node.complete(id).await;
    let gift = &order.gifts[0];
    assert_eq!((gift.delivery_status, gift.delivery_attempts), (DeliveryStatus::Sent, 3));
    assert_eq!(gift.delivery_error, None, "null once SENT");
    assert_eq!(bed.sink.count(), 1);
}

#[tokio::test]
async fn while_it_is_retried_the_gift_is_pending_and_says_why() {
    let bed = Bed::new().await;
    bed.sink.always(Stage::Body, "452 4.3.1 disk full");
    let node = bed.start(bed.settings(), Environment::Production).await;
    let id = node.place(&bed.clock, &addresses(1)).await;
    let order = node.order_when(id, |order| order.gifts[0].delivery_attempts >= 2).await;
    assert_eq!(order.summary.status, OrderStatus::InProgress);
    assert_eq!(order.gifts[0].delivery_status, DeliveryStatus::Pending);
    let error = order.gifts[0].delivery_error.clone().expect("a reason");
    assert!(error.contains("disk full"), "{error}");
    assert_eq!(node.account().await.balances.pending, COST);
    bed.sink.behave();
    node.complete(id).await;
}

#[tokio::test]
async fn a_refused_recipient_is_failed_at_once_and_the_others_are_sent() {
    let bed = Bed::new().await;
    bed.sink.for_recipient("person2@example.com", "550 5.1.1 no such user");
    let node = bed.start(bed.settings(), Environment::Production).await;
    let id = node.place(&bed.clock, &addresses(3)).await;
    let order = node.complete(id).await;
    let gift = &order.gifts[1];
    assert_eq!((gift.delivery_status, gift.delivery_attempts), (DeliveryStatus::Failed, 1));
    assert_eq!(gift.delivery_error.as_deref(), Some("550 5.1.1 no such user"));
    assert!(gift.sent_at.is_none() && gift.expires_at.is_some());
    assert_eq!(order.gifts.iter().filter(|gift| gift.delivery_status == DeliveryStatus::Sent).count(), 2);
    let balances = node.account().await.balances;
    assert_eq!((balances.pending, balances.issued), (0, 3 * COST));
}

#[tokio::test]
async fn a_relay_that_refuses_us_fails_no_gift() {
    let bed = Bed::new().await;
    bed.sink.always(Stage::Rcpt, "550 5.7.1 relaying denied");
    let node = bed.start(bed.settings(), Environment::Production).await;
    let id = node.place(&bed.clock, &addresses(2)).await;
    let order = node.order_when(id, |order| order.gifts.iter().all(|gift| gift.delivery_attempts >= 1)).await;
    assert!(order.gifts.iter().all(|gift| gift.delivery_status == DeliveryStatus::Pending));
    bed.sink.behave();
    let order = node.complete(id).await;
    assert!(order.gifts.iter().all(|gift| gift.delivery_status == DeliveryStatus::Sent));
}

#[tokio::test]
async fn twenty_refusals_of_us_in_a_row_pause_sending() {
    let bed = Bed::new().await;
    bed.sink.always(Stage::Mail, "530 5.7.0 authentication required");
    let settings = Settings { mail_concurrency: 1, mail_retry_base: Duration::from_millis(1), ..bed.settings() };
    let node = bed.start(settings, Environment::Production).await;
    let id = node.place(&bed.clock, &addresses(60)).await;
    let faults = |commands: &[String]| commands.iter().filter(|line| line.starts_with("MAIL")).count();
    let attempts =
        |order: &giftd_domain::orders::Order| order.gifts.iter().map(|gift| gift.delivery_attempts).sum::<u32>();
    let order = node.order_when(id, |order| attempts(order) >= 20).await;
    assert!(order.gifts.iter().all(|gift| gift.delivery_status == DeliveryStatus::Pending));
    // What was in hand when the pause began is still tried, and nothing after it.
    node.running.stop().await;
    let tried = faults(&bed.sink.commands());
    assert!((20..=45).contains(&tried), "{tried} attempts on a relay that refuses us");
}

#[tokio::test]
async fn a_server_that_stalls_is_given_up_within_half_the_lease() {
    let bed = Bed::new().await;
    bed.sink.once(Stage::Body, Reply::Stall);
    let settings = Settings { delivery_lease: Duration::from_secs(2), ..bed.settings() };
    let node = bed.start(settings, Environment::Production).await;
    let begun = bed.clock.elapsed();
    let id = node.place(&bed.clock, &addresses(1)).await;
    let order = node.order_when(id, |order| order.gifts[0].delivery_attempts >= 1).await;
    let took = bed.clock.elapsed() - begun;
    assert!(took < Duration::from_millis(1_900), "{took:?}, and not only when the lease ended");
    let error = order.gifts[0].delivery_error.clone();
    assert!(error.as_deref().is_none_or(|error| error.contains("not sent within 0.8 s")), "{error:?}");
    assert_eq!(node.complete(id).await.gifts[0].delivery_attempts, 2);
}

#[tokio::test]
async fn a_server_that_stalls_holds_up_neither_a_sandbox_nor_links() {
    let bed = Bed::new().await;
    bed.sink.always(Stage::Greeting, Reply::Stall);
    let node = bed.start(bed.settings(), Environment::Production).await;
    let stalled = node.place(&bed.clock, &addresses(40)).await;
    node.order_when(stalled, |order| order.summary.status == OrderStatus::InProgress).await;

    let sandbox = funded(node.store().as_ref(), &bed.clock, Environment::Sandbox).await;
    let rehearsal = order(&bed.clock, sandbox, &addresses(40), SendTiming::Immediate);
    let mut links = order(&bed.clock, node.account, &addresses(40), SendTiming::Immediate);
    links.order_type = OrderType::Link;
    for gift in &mut links.gifts {
        gift.recipient.email = None;
    }
    // A mail may take 24 s of its lease: waiting for one of those would miss the deadline.
    for (account, command) in [(sandbox, rehearsal), (node.account, links)] {
        let id = place(node.store().as_ref(), command).await;
        let complete = |order: &Order| order.summary.status == OrderStatus::Complete;
        let order = order_when(node.store().as_ref(), &bed.clock, account, id, complete).await;
        assert!(order.gifts.iter().all(|gift| gift.delivery_status == DeliveryStatus::Sent));
    }
    let waiting = node.order_when(stalled, |_| true).await;
    assert!(waiting.gifts.iter().all(|gift| gift.delivery_status == DeliveryStatus::Pending));
}

#[tokio::test]
async fn a_server_that_stalls_on_some_mails_holds_up_nobody_else() {
    let bed = Bed::new().await;
    for email in addresses(4) {
        bed.sink.for_recipient(&email, Reply::Stall);
    }
    let node = bed.start(bed.settings(), Environment::Production).await;
    let stalled = node.place(&bed.clock, &addresses(4)).await;
    let others: Vec<String> = (1..=40).map(|number| format!("other{number}@example.com")).collect();
    let begun = bed.clock.elapsed();
    let id = node.place(&bed.clock, &others).await;
    let order = node.complete(id).await;
    assert!(order.gifts.iter().all(|gift| gift.delivery_attempts == 1));
    // A mail may take 24 s of its lease: none of these waited for one.
    let took = bed.clock.elapsed() - begun;
    assert!(took < Duration::from_secs(15), "{took:?}");
    let waiting = node.order_when(stalled, |_| true).await;
    assert_eq!(waiting.summary.status, OrderStatus::InProgress);
    assert!(waiting.gifts.iter().all(|gift| gift.delivery_status == DeliveryStatus::Pending));
}
