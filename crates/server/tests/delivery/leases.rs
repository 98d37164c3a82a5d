//! Claims of nodes that died.

use std::time::Duration;

use giftd::clock::Clock;
use giftd::serve;
use giftd::workers::clock_check::clock_skew;
use giftd_domain::access::Environment;
use giftd_domain::gifts::{DeliveryOutcome, DeliveryStatus, Settlement};
use giftd_domain::orders::OrderStatus;
use giftd_domain::schedule::SendTiming;
use giftd_store::{Mails, SettleDelivery};
use jiff::SignedDuration;

use crate::bed::{Bed, DEADLINE, Node, addresses, funded, order, place};

#[tokio::test]
async fn a_dead_nodes_claim_is_taken_over_when_its_lease_ends_and_its_outcome_no_longer_counts() {
    let bed = Bed::new().await;
    let settings = bed.settings();
    let lease = SignedDuration::from_millis(1_500);
    let (account, id, claimed, lease_end) = {
        let store = serve::open_store(&settings).await.expect("the store opens");
        let account = funded(store.as_ref(), &bed.clock, Environment::Production).await;
        let id = place(store.as_ref(), order(&bed.clock, account, &addresses(3), SendTiming::Immediate)).await;
        let now = bed.clock.now();
        let claimed = store.claim_deliveries(Mails::All, now, lease, 100).await.expect("claimed");
        assert_eq!(claimed.len(), 3);
        (account, id, claimed, now + lease)
    };
    let running = serve::start(settings, bed.clock.clone()).await.expect("the node starts");
    let node = Node { running, account };
    let completed = node.complete(id).await;
    assert!(completed.gifts.iter().all(|gift| gift.delivery_status == DeliveryStatus::Sent));
    assert!(completed.gifts.iter().all(|gift| gift.sent_at.is_some_and(|at| at >= lease_end)));
    assert_eq!(bed.sink.count(), 3);

    let late = claimed.into_iter().map(|delivery| SettleDelivery {
        settlement: Settlement {
            account_id: delivery.account_id,
            gift: delivery.gift,
            kind: delivery.kind,
            claim: delivery.claim,
            outcome: DeliveryOutcome::Failed { at: bed.clock.now(), error: "from the dead".to_owned() },
        },
        retry_at: bed.clock.now(),
    });
    let settled = node
        .store()
        .settle_deliveries(
            late.collect(),
            &giftd_domain::gifts::Reminders::default(),
            bed.clock.now(),
            bed.clock.entropy(),
        )
        .await;
    let settled = settled.expect("an answer");
    assert_eq!((settled.settled, settled.dropped), (0, 3));
    assert_eq!(node.complete(id).await, completed);
}

#[tokio::test]
async fn an_order_placed_elsewhere_is_found_by_the_scan() {
    let bed = Bed::new().await;
    let node = bed.start(bed.settings(), Environment::Production).await;
    // No wake-up: as if another node had placed it.
    let placed = order(&bed.clock, node.account, &addresses(2), SendTiming::Immediate);
    let id = place(node.store().as_ref(), placed).await;
    node.complete(id).await;
    assert_eq!(bed.sink.count(), 2);
}

#[tokio::test]
async fn more_gifts_than_one_claim_takes_all_go_out() {
    let bed = Bed::new().await;
    let settings = giftd::settings::Settings { delivery_lease: Duration::from_secs(10), ..bed.settings() };
    let node = bed.start(settings, Environment::Production).await;
    let id = node.place(&bed.clock, &addresses(450)).await;
    node.complete(id).await;
    assert_eq!(bed.sink.count(), 450);
}

#[tokio::test]
async fn a_node_whose_clock_is_off_the_databases_claims_nothing() {
    let machine = Clock::system();
    let bed = Bed { clock: Clock::fixed(machine.now() + Duration::from_secs(10)), ..Bed::new().await };
    let node = bed.start(bed.settings(), Environment::Production).await;
    let id = node.place(&bed.clock, &addresses(1)).await;
    let store = node.store().clone();
    let begun = machine.elapsed();
    while !node.running.giftd.metrics.render().contains("giftd_clock_skew_seconds 9.") {
        assert!(machine.elapsed() - begun < DEADLINE, "the node never compared the clocks");
        machine.sleep(Duration::from_millis(10)).await;
    }
    assert!(clock_skew(store.as_ref(), &bed.clock).await.expect("a time") > SignedDuration::from_secs(8));
    assert!(clock_skew(store.as_ref(), &machine).await.expect("a time") < SignedDuration::from_secs(1));
    let order = store.order(node.account, id).await.expect("an answer").expect("the order");
    assert_eq!((order.summary.status, order.gifts[0].delivery_attempts), (OrderStatus::Pending, 0));
}
