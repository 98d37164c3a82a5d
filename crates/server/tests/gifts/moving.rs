//! A sandbox's clock on its way, on nodes that die.

use std::sync::Arc;
use std::time::Duration;

use giftd::clock::Clock;
use giftd::state::Giftd;
use giftd_domain::Timestamp;
use giftd_domain::access::Environment;
use giftd_domain::account::AccountClock;
use giftd_domain::gifts::events::EventType;
use giftd_domain::gifts::{DeliveryOutcome, DeliveryStatus, RedemptionStatus, Settlement};
use giftd_domain::history::PageRequest;
use giftd_domain::ids::{AccountId, OrderId};
use giftd_domain::limits;
use giftd_domain::orders::{CardType, Order, OrderStatus};
use giftd_store::{Mails, SettleDelivery};
use jiff::SignedDuration;

use crate::bed::{Bed, COST, Database, Given, balanced, on, scheduled_order, sent_gift, until};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn noon() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().expect("an instant")
}

/// A sandbox's gift that was sent at `at`, with the refund option.
fn given(at: Timestamp) -> Given {
    Given { environment: Environment::Sandbox, card_type: CardType::ChoiceCard, refund_option: true, at }
}

/// How long a node that died keeps a clock from moving.
fn lease() -> Duration {
    Duration::from_secs(limits::CLOCK_LEASE_SECONDS.unsigned_abs() + 1)
}

async fn order(giftd: &Giftd, account: AccountId, id: OrderId) -> Order {
    giftd.store.order(account, id).await.expect("an answer").expect("the order")
}

async fn clock(giftd: &Giftd, account: AccountId) -> AccountClock {
    giftd.store.account(account).await.expect("an answer").expect("the account").clock
}

/// The instants of an order's SENT events.
async fn sent_events(giftd: &Giftd, account: AccountId, id: OrderId) -> Vec<Timestamp> {
    let page = PageRequest { page: 1, page_size: limits::PAGE_SIZE };
    let events = giftd.store.order_events(account, id, page).await.expect("an answer").expect("the order");
    events.items.iter().filter(|event| event.event_type == EventType::Sent).map(|event| event.at).collect()
}

/// Orders of two gifts each, scheduled so many hours after noon.
async fn scheduled(giftd: &Giftd, account: AccountId, hours: &[i32]) -> Vec<(OrderId, Timestamp)> {
    let mut orders = Vec::new();
    for hour in hours {
        let at = noon() + HOUR * *hour;
        orders.push((scheduled_order(giftd, account, &format!("at {hour}"), at, 2).await, at));
    }
    orders
}

async fn all_sent_once_at_their_instant(giftd: &Giftd, account: AccountId, orders: &[(OrderId, Timestamp)]) {
    for (id, at) in orders {
        let order = order(giftd, account, *id).await;
        assert_eq!((order.summary.status, order.summary.completed_at), (OrderStatus::Complete, Some(*at)));
        for gift in &order.gifts {
            assert_eq!(
                (gift.delivery_status, gift.sent_at, gift.delivery_attempts),
                (DeliveryStatus::Sent, Some(*at), 1)
            );
        }
        assert_eq!(sent_events(giftd, account, *id).await, [*at, *at], "once each, dated by their own instant");
    }
}

#[test]
fn a_move_that_dies_with_mails_in_hand_is_taken_over_and_each_event_happens_once_on_sqlite() {
    on(Database::Sqlite, dies_with_mails_in_hand);
}

#[test]
fn a_move_that_dies_with_mails_in_hand_is_taken_over_and_each_event_happens_once_on_postgres() {
    on(Database::Postgres, dies_with_mails_in_hand);
}

async fn dies_with_mails_in_hand(bed: Bed) {
    let time = Clock::fixed(noon());
    let (dies, lives) = (bed.node(time.clone()).await, bed.node(time.clone()).await);
    let gift = sent_gift(&dies, given(noon())).await;
    let account = gift.account;
    let orders = scheduled(&dies, account, &[24, 48, 72]).await;
    let begun = dies.store.begin_move(account, HOUR * 100, noon()).await.expect("an answer").expect("begun");
    let claim = begun.moving.expect("it moves").claim;

    // It has come to the first order, has claimed its mails, and dies.
    let first = orders[0].1;
    assert!(dies.store.step_clock(account, claim, first, noon()).await.expect("an answer"));
    let mails = Mails::Moving(account);
    let in_hand = dies.store.claim_deliveries(mails, first, SignedDuration::ZERO, 100).await.expect("claimed");
    assert_eq!(in_hand.len(), 2);

    assert_eq!(lives.store.take_over_moves(time.now()).await.expect("an answer"), [], "its lease hasn't ended");
    time.advance(lease());
    let taken = lives.store.take_over_moves(time.now()).await.expect("an answer");
    assert_eq!(taken.len(), 1);
    assert_eq!((taken[0].0, taken[0].1.moving.map(|moving| moving.at)), (account, Some(first)), "from where it stands");
    assert_eq!(dies.store.take_over_moves(time.now()).await.expect("an answer"), [], "one node takes it over");
    lives.moves.go_on(&lives, account, taken[0].1).await.expect("it arrives");

    // The dead node's word counts no longer.
    assert!(!dies.store.step_clock(account, claim, orders[2].1, time.now()).await.expect("an answer"));
    assert!(!dies.store.end_move(account, claim, time.now()).await.expect("an answer"));
    let late = in_hand.into_iter().map(|delivery| SettleDelivery {
        settlement: Settlement {
            account_id: account,
            gift: delivery.gift,
            kind: delivery.kind,
            claim: delivery.claim,
            outcome: DeliveryOutcome::Failed { at: first, error: "from the dead".to_owned() },
        },
        retry_at: first,
    });
    let entropy = time.entropy();
    let settled = dies.store.settle_deliveries(late.collect(), &dies.settings.reminders, time.now(), entropy).await;
    assert_eq!(settled.expect("an answer").settled, 0);

    all_sent_once_at_their_instant(&lives, account, &orders).await;
    let clock = clock(&lives, account).await;
    assert_eq!((clock.moving, clock.time(time.now())), (None, noon() + HOUR * 100));
    balanced(lives.store.as_ref()).await;
}

#[test]
fn wherever_a_move_is_cut_off_another_node_brings_it_to_its_end_on_sqlite() {
    on(Database::Sqlite, cut_off);
}

#[test]
fn wherever_a_move_is_cut_off_another_node_brings_it_to_its_end_on_postgres() {
    on(Database::Postgres, cut_off);
}

/// Moves that are cut off again and again, each time a little later.
async fn cut_off(bed: Bed) {
    let time = Clock::fixed(noon());
    let nodes = [bed.node(time.clone()).await, bed.node(time.clone()).await];
    let giftd = &nodes[0];
    let gift = sent_gift(giftd, given(noon())).await;
    let account = gift.account;
    let orders = scheduled(giftd, account, &[1, 2, 30, 31, 200]).await;
    // Beyond the expiry of all gifts.
    let days = HOUR * 24 * 40;
    let mut clock = giftd.store.begin_move(account, days, noon()).await.expect("an answer").expect("begun");
    let mut cuts = 0;
    for round in 0_u64.. {
        let node = &nodes[usize::from(round % 2 == 1)];
        let moving = node.moves.go_on(node, account, clock);
        let abort = moving.abort_handle();
        let cut = tokio::spawn(async move {
            Clock::system().sleep(Duration::from_millis(round * round)).await;
            abort.abort();
        });
        let ended = moving.await;
        cut.abort();
        if ended.is_ok() {
            break;
        }
        cuts += 1;
        time.advance(lease());
        let mut taken = node.store.take_over_moves(time.now()).await.expect("an answer");
        // It may have been cut off just behind its end.
        let Some((moved, next)) = taken.pop() else { break };
        assert_eq!(moved, account);
        clock = next;
    }
    assert!(cuts > 0, "it was cut off");
    all_sent_once_at_their_instant(giftd, account, &orders).await;
    for (id, at) in &orders {
        for gift in order(giftd, account, *id).await.gifts {
            assert_eq!(gift.expires_at, Some(*at + HOUR * 24 * 30));
            assert_eq!(
                (gift.redemption_status, gift.refunded),
                (RedemptionStatus::Expired, Some(COST * 7 / 10)),
                "once"
            );
        }
    }
    assert_eq!(gift.now(giftd).await.refunded, Some(COST * 7 / 10));
    balanced(giftd.store.as_ref()).await;
}

#[test]
fn a_clock_that_stands_still_on_its_way_is_moved_on_by_the_nodes_that_work_on_sqlite() {
    on(Database::Sqlite, taken_over_by_itself);
}

#[test]
fn a_clock_that_stands_still_on_its_way_is_moved_on_by_the_nodes_that_work_on_postgres() {
    on(Database::Postgres, taken_over_by_itself);
}

async fn taken_over_by_itself(bed: Bed) {
    let giftd = bed.node(Clock::system()).await;
    let now = giftd.clock.now();
    let gift = sent_gift(&giftd, given(now)).await;
    // As if the node that began it had died.
    let long_ago = now - SignedDuration::from_secs(limits::CLOCK_LEASE_SECONDS + 1);
    let begun = giftd.store.begin_move(gift.account, HOUR * 24 * 31, long_ago).await.expect("an answer");
    assert!(begun.is_some());
    let mut nodes = vec![bed.working_node().await];
    if bed.has_many_nodes() {
        nodes.push(bed.working_node().await);
    }
    until("the clock arrives", async || clock(&giftd, gift.account).await.moving.is_none().then_some(())).await;
    assert_eq!(gift.now(&giftd).await.refunded, Some(COST * 7 / 10));
    for node in nodes {
        node.stop().await;
    }
    balanced(giftd.store.as_ref()).await;
}

#[test]
fn a_mail_that_a_node_cannot_capture_waits_where_the_clock_stands_and_does_not_fail() {
    on(Database::Sqlite, async |bed: Bed| {
        let giftd = bed.node(Clock::system()).await;
        let now = giftd.clock.now();
        let account = sent_gift(&giftd, given(now)).await.account;
        let at = now + HOUR;
        let id = scheduled_order(&giftd, account, "waits", at, 2).await;
        // A file where the folder of captured mails belongs.
        let mail = giftd.settings.maildir();
        std::fs::create_dir_all(mail.parent().expect("a folder")).expect("a folder");
        std::fs::write(&mail, "in the way").expect("written");
        let begun = giftd.store.begin_move(account, HOUR * 48, now).await.expect("an answer").expect("begun");
        let moving = giftd.moves.go_on(&giftd, account, begun);
        until("the clock stands at the order", async || (clock(&giftd, account).await.time(now) == at).then_some(()))
            .await;
        // Each attempt renews the claim, and there are twenty in a second.
        let lease_end = async || clock(&giftd, account).await.moving.expect("it moves").lease_end;
        let first = lease_end().await;
        let later = first + SignedDuration::from_millis(200);
        until("it was tried again and again", async || (lease_end().await > later).then_some(())).await;
        assert_eq!(order(&giftd, account, id).await.gifts[0].delivery_status, DeliveryStatus::Pending);
        std::fs::remove_file(&mail).expect("removed");
        moving.await.expect("it arrives");
        all_sent_once_at_their_instant(&giftd, account, &[(id, at)]).await;
        balanced(giftd.store.as_ref()).await;
    });
}

#[test]
fn whatever_moves_in_one_sandbox_nothing_moves_elsewhere_on_sqlite() {
    on(Database::Sqlite, nothing_elsewhere);
}

#[test]
fn whatever_moves_in_one_sandbox_nothing_moves_elsewhere_on_postgres() {
    on(Database::Postgres, nothing_elsewhere);
}

async fn nothing_elsewhere(bed: Bed) {
    let giftd: Arc<Giftd> = bed.node(Clock::fixed(noon())).await;
    let moved = sent_gift(&giftd, given(noon())).await;
    let sandbox = sent_gift(&giftd, given(noon())).await;
    let production = sent_gift(&giftd, Given { environment: Environment::Production, ..given(noon()) }).await;
    let waiting = [
        (sandbox.account, scheduled(&giftd, sandbox.account, &[1]).await),
        (production.account, scheduled(&giftd, production.account, &[1]).await),
    ];
    let own = scheduled(&giftd, moved.account, &[1]).await;
    let state = async |account: AccountId| giftd.store.account(account).await.expect("an answer");
    let before = [state(sandbox.account).await, state(production.account).await];
    let begun = giftd.store.begin_move(moved.account, HOUR * 24 * 60, noon()).await.expect("an answer").expect("begun");
    giftd.moves.go_on(&giftd, moved.account, begun).await.expect("it arrives");

    all_sent_once_at_their_instant(&giftd, moved.account, &own).await;
    assert_eq!(moved.now(&giftd).await.redemption_status, RedemptionStatus::Expired);
    assert_eq!([state(sandbox.account).await, state(production.account).await], before);
    for gift in [sandbox, production] {
        assert_eq!(gift.now(&giftd).await.redemption_status, RedemptionStatus::Unredeemed);
    }
    for (account, orders) in waiting {
        assert_eq!(order(&giftd, account, orders[0].0).await.summary.status, OrderStatus::Pending);
    }
    balanced(giftd.store.as_ref()).await;
}
