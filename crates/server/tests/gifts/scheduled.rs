//! Scheduled orders go out at their instant: not before it, soon after it, and once, however many nodes work.

use giftd::clock::Clock;
use giftd_domain::access::Environment;
use giftd_domain::gifts::DeliveryStatus;
use giftd_domain::gifts::events::EventType;
use giftd_domain::history::PageRequest;
use giftd_domain::limits;
use giftd_domain::orders::OrderStatus;
use jiff::SignedDuration;

use crate::bed::{Bed, Database, Given, balanced, on, scheduled_order, sent_gift, until};

/// Twice what an idle node may take, since this machine isn't idle.
const SOON: SignedDuration = SignedDuration::from_secs(4);

#[test]
fn a_scheduled_order_goes_out_at_its_instant_and_once_on_sqlite() {
    on(Database::Sqlite, at_its_instant);
}

#[test]
fn a_scheduled_order_goes_out_at_its_instant_and_once_on_three_nodes_on_postgres() {
    on(Database::Postgres, at_its_instant);
}

async fn at_its_instant(bed: Bed) {
    const GIFTS: usize = 30;
    let giftd = bed.node(Clock::system()).await;
    let account =
        sent_gift(&giftd, Given { environment: Environment::Sandbox, ..Given::at(giftd.clock.now()) }).await.account;
    let mut nodes = vec![bed.working_node().await];
    if bed.has_many_nodes() {
        nodes.extend([bed.working_node().await, bed.working_node().await]);
    }
    let at = giftd.clock.now() + SignedDuration::from_secs(3);
    let id = scheduled_order(&giftd, account, "soon", at, GIFTS).await;
    let order = until("it is COMPLETE", async || {
        let order = giftd.store.order(account, id).await.expect("an answer").expect("the order");
        let (now, status) = (giftd.clock.now(), order.summary.status);
        assert!(
            now >= at || status == OrderStatus::Pending,
            "{status:?} {} before its instant",
            at.duration_since(now)
        );
        (status == OrderStatus::Complete).then_some(order)
    })
    .await;
    for gift in &order.gifts {
        assert_eq!((gift.delivery_status, gift.delivery_attempts), (DeliveryStatus::Sent, 1));
        let late = gift.sent_at.expect("it was sent").duration_since(at);
        assert!((SignedDuration::ZERO..SOON).contains(&late), "{late}");
    }
    let page = PageRequest { page: 1, page_size: limits::PAGE_SIZE };
    let events = giftd.store.order_events(account, id, page).await.expect("an answer").expect("the order");
    let sent = events.items.iter().filter(|event| event.event_type == EventType::Sent).count();
    assert_eq!(sent, GIFTS, "each once");
    for node in nodes {
        node.stop().await;
    }
    balanced(giftd.store.as_ref()).await;
}
