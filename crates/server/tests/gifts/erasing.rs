//! Recipients whose gifts have been over for so long that nobody needs to know them any more.

use giftd::clock::Clock;
use giftd_domain::orders::erase::Retention;
use jiff::SignedDuration;

use crate::bed::{Bed, Database, Given, balanced, counted, on, sent_gift, sent_gifts, until};

const DAY: SignedDuration = SignedDuration::from_hours(24);

#[test]
fn nodes_erase_the_recipients_whose_time_has_come_on_sqlite() {
    on(Database::Sqlite, erase);
}

#[test]
fn nodes_erase_the_recipients_whose_time_has_come_on_postgres() {
    on(Database::Postgres, erase);
}

async fn erase(bed: Bed) {
    let giftd = bed.node(Clock::system()).await;
    let days_ago = |days: i32| giftd.clock.now() - DAY * days;
    let old = sent_gifts(&giftd, Given::at(days_ago(180 + 40)), 3_000).await;
    let refunded = sent_gift(&giftd, Given { refund_option: true, ..Given::at(days_ago(30 + 40)) }).await;
    let young = sent_gift(&giftd, Given::at(days_ago(180 + 20))).await;
    let retention = Retention::days(30).expect("legal");
    let nodes = match bed.has_many_nodes() {
        true => vec![bed.erasing_node(retention).await, bed.erasing_node(retention).await],
        false => vec![bed.erasing_node(retention).await],
    };
    for gift in [&old, &refunded] {
        until("it is erased", async || gift.now(&giftd).await.recipient.email.is_none().then_some(())).await;
    }
    assert!(young.now(&giftd).await.recipient.email.is_some());
    let counted = async || (counted(&giftd, "giftd_recipients_erased_total") >= 3_001).then_some(());
    until("all are counted", counted).await;
    for node in nodes {
        node.stop().await;
    }
    balanced(giftd.store.as_ref()).await;
}
