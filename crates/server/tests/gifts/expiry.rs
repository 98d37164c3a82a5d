//! Gifts whose time is over, or nearly.

use std::time::Duration;

use giftd::clock::Clock;
use giftd_domain::gifts::RedemptionStatus;
use giftd_domain::gifts::redemption::RedemptionState;
use jiff::SignedDuration;

use crate::bed::{Bed, COST, Database, FACE, Given, balanced, on, reserved, sent_gift, until};

#[test]
fn due_gifts_expire_and_return_what_is_to_be_refunded_on_sqlite() {
    on(Database::Sqlite, expire);
}

#[test]
fn due_gifts_expire_and_return_what_is_to_be_refunded_on_postgres() {
    on(Database::Postgres, expire);
}

async fn expire(bed: Bed) {
    let giftd = bed.node(Clock::system()).await;
    let days_ago = |days: i64| giftd.clock.now() - SignedDuration::from_hours(24 * days);
    let plain = sent_gift(&giftd, Given::at(days_ago(181))).await;
    let refunded = sent_gift(&giftd, Given { refund_option: true, ..Given::at(days_ago(31)) }).await;
    let young = sent_gift(&giftd, Given { refund_option: true, ..Given::at(days_ago(1)) }).await;

    let nodes = match bed.has_many_nodes() {
        true => vec![bed.working_node().await, bed.working_node().await],
        false => vec![bed.working_node().await],
    };
    for (gift, cents) in [(&plain, None), (&refunded, Some(COST * 7 / 10))] {
        until("it is EXPIRED", async || {
            (gift.now(&giftd).await.redemption_status == RedemptionStatus::Expired).then_some(())
        })
        .await;
        let now = gift.now(&giftd).await;
        assert_eq!((now.voided, now.refunded), (COST, cents));
        let account = giftd.store.account(gift.account).await.expect("an answer").expect("the account");
        assert_eq!(account.balances.available, cents.unwrap_or(0));
    }
    assert_eq!(young.now(&giftd).await.redemption_status, RedemptionStatus::Unredeemed);
    let metrics = nodes[0].giftd.metrics.render();
    for counted in ["giftd_gifts_expired_total 2", "giftd_refunded_cents_total 7000"] {
        assert!(metrics.contains(counted), "{counted}: {metrics}");
    }
    for node in nodes {
        node.stop().await;
    }
    balanced(giftd.store.as_ref()).await;
}

#[test]
fn more_gifts_than_one_group_takes_all_expire() {
    on(Database::Sqlite, async |bed: Bed| {
        let giftd = bed.node(Clock::system()).await;
        let at = giftd.clock.now() - SignedDuration::from_hours(24 * 181);
        let gifts = crate::bed::sent_gifts(&giftd, Given::at(at), 1_200).await;
        let node = bed.working_node().await;
        until("all are EXPIRED", async || {
            let order = giftd.store.order(gifts.account, gifts.order).await.expect("an answer").expect("the order");
            order.gifts.iter().all(|gift| gift.redemption_status == RedemptionStatus::Expired).then_some(())
        })
        .await;
        node.stop().await;
        balanced(giftd.store.as_ref()).await;
    });
}

#[test]
fn a_recipient_is_reminded_by_mail_without_waiting_for_a_scan() {
    on(Database::Sqlite, async |bed: Bed| {
        let giftd = bed.node(Clock::system()).await;
        let at = giftd.clock.now() - SignedDuration::from_hours(24 * 174);
        let gift = sent_gift(&giftd, Given::at(at)).await;
        let node = bed.working_node().await;
        let mail = until("a mail is captured", async || bed.captured().pop()).await;
        assert!(mail.contains("alice@example.com"), "{mail}");
        assert!(node.giftd.metrics.render().contains("giftd_reminders_total 1"));
        let now = gift.now(&giftd).await;
        assert_eq!(now.redemption_status, RedemptionStatus::Unredeemed);
        node.stop().await;
        assert_eq!(bed.captured().len(), 1, "one reminder, and no second gift");
    });
}

#[test]
fn what_a_redemption_holds_does_not_expire_until_it_is_released() {
    on(Database::Sqlite, async |bed: Bed| {
        let giftd = bed.node(Clock::system()).await;
        let at = giftd.clock.now() - SignedDuration::from_hours(24 * 180) - SignedDuration::from_mins(1);
        let gift = sent_gift(&giftd, Given { refund_option: false, ..Given::at(at) }).await;
        // Reserved before the gift's time was over; its supplier was never asked.
        let then = giftd.clock.now() - Duration::from_secs(90);
        reserved(&giftd, gift.reserve(1, then)).await;
        let node = bed.working_node().await;
        let released = until("it is RELEASED", async || {
            let redemption = gift.redemption(&giftd, 1).await;
            (redemption.state == RedemptionState::Released).then_some(redemption)
        })
        .await;
        assert_eq!(released.cost, FACE);
        until("all of it is void", async || {
            let now = gift.now(&giftd).await;
            (now.redemption_status == RedemptionStatus::Expired && now.voided == COST).then_some(())
        })
        .await;
        node.stop().await;
        balanced(giftd.store.as_ref()).await;
    });
}
