//! Canceling orders.

use giftd_domain::access::Environment;
use giftd_domain::gifts::events::EventType;
use giftd_domain::gifts::{DeliveryStatus, RedemptionStatus};
use giftd_domain::history::OrderFilter;
use giftd_domain::ids::{OrderId, TimeId};
use giftd_domain::ledger::{EntryType, Postings};
use giftd_domain::orders::cancel::NotCancelable;
use giftd_domain::orders::place::PlaceOrder;
use giftd_domain::orders::{Order, OrderStatus, OrderType};
use giftd_store::{Backlog, Cancellation, Placed};
use jiff::SignedDuration;

use crate::bed::Bed;
use crate::world::{
    A_MICROSECOND, GIFT, World, account_of, after, again, at_once, costing, entropy, now, scheduled, sent,
};

const AN_HOUR: SignedDuration = SignedDuration::from_hours(1);

/// A day from now.
const SEND_IN: i64 = 86_400;

/// An order that goes out in a day.
async fn waiting(world: &World, key: &str, recipients: u32) -> OrderId {
    let command = PlaceOrder { timing: scheduled(after(SEND_IN)), ..world.command(key, recipients) };
    world.place(command).await.summary.order_id
}

fn canceled(cancellation: Cancellation) -> Order {
    match cancellation {
        Cancellation::Canceled(order) => *order,
        other => panic!("not canceled: {other:?}"),
    }
}

async fn refunds(bed: &Bed) -> i64 {
    bed.number("SELECT count(*) FROM ledger WHERE type = 'REFUND'").await
}

pub async fn the_whole_cost_of_a_canceled_order_is_available_at_once(bed: Bed) {
    let world = World::with_funds(&bed, 10_000).await;
    let command =
        PlaceOrder { timing: scheduled(after(SEND_IN)), ..costing(world.production, "order", &[3_000, 1_000, 1]) };
    let order = world.place(command).await.summary.order_id;
    let at = after(500) + SignedDuration::from_millis(250);
    canceled(world.cancel(world.production, order, at).await);
    assert_eq!(world.balances().await, Postings { funding: -10_000, available: 10_000, pending: 0, issued: 0 });
    let entries = world.ledger(world.production).await;
    let refund = &entries.items[0];
    assert_eq!((entries.total, refund.entry_type, refund.available_after), (3, EntryType::Refund, 10_000));
    assert_eq!(refund.postings, Postings { funding: 0, available: 4_001, pending: -4_001, issued: 0 });
    assert_eq!((refund.reference.as_str(), refund.created_at()), (order.to_string().as_str(), at));
    let all = PlaceOrder { now: after(501), ..costing(world.production, "all", &[10_000]) };
    world.place(all).await;
    world.verify().await;
}

pub async fn a_canceled_order_is_answered_as_it_reads_back(bed: Bed) {
    let world = World::new(&bed).await;
    let order = waiting(&world, "order", 2).await;
    let before = world.order(order).await;
    let at = after(500) + A_MICROSECOND;
    let answered = canceled(world.cancel(world.production, order, at).await);
    assert_eq!(answered, world.order(order).await);
    let mut expected = before;
    (expected.summary.status, expected.summary.canceled_at) = (OrderStatus::Canceled, Some(at));
    for gift in &mut expected.gifts {
        gift.delivery_status = DeliveryStatus::Canceled;
        gift.redemption_status = RedemptionStatus::Canceled;
    }
    assert_eq!(answered, expected, "and nothing else of it changed");
}

pub async fn a_canceled_order_is_listed_and_counted_as_canceled(bed: Bed) {
    let world = World::new(&bed).await;
    let orders = [waiting(&world, "first", 1).await, waiting(&world, "second", 2).await];
    canceled(world.cancel(world.production, orders[0], after(1)).await);
    assert_eq!((world.count(OrderStatus::Pending).await, world.count(OrderStatus::Canceled).await), (1, 1));
    let filter = OrderFilter { status: Some(OrderStatus::Canceled), ..OrderFilter::default() };
    let listed = world.orders(&filter).await.items;
    assert_eq!(listed, [world.order(orders[0]).await.summary]);
    world.verify().await;
}

pub async fn the_gifts_of_a_canceled_order_are_never_mailed_and_never_turn(bed: Bed) {
    let world = World::new(&bed).await;
    let order = waiting(&world, "order", 3).await;
    canceled(world.cancel(world.production, order, after(1)).await);
    let long_after = after(400 * 86_400);
    assert_eq!(world.store.backlog(long_after).await.expect("an answer"), Backlog::default());
    assert_eq!(world.claim(long_after, 10).await, []);
    assert_eq!(world.turn(long_after).await.gifts, 0);
    assert_eq!(bed.number("SELECT count(*) FROM mails").await, 0, "its mails are gone");
    assert_eq!(world.order(order).await.summary.status, OrderStatus::Canceled);
    world.verify().await;
}

pub async fn exactly_an_hour_before_its_instant_an_order_can_be_canceled_and_a_microsecond_later_not(bed: Bed) {
    let world = World::new(&bed).await;
    let orders = [waiting(&world, "first", 1).await, waiting(&world, "second", 1).await];
    let last = after(SEND_IN) - AN_HOUR;
    let before = world.order(orders[1]).await;
    for late in [last + A_MICROSECOND, last + AN_HOUR, last + AN_HOUR * 100] {
        let refused = world.cancel(world.production, orders[1], late).await;
        assert_eq!(refused, Cancellation::Refused(NotCancelable::TooLate), "{late}");
    }
    assert_eq!(world.order(orders[1]).await, before, "nothing happened");
    canceled(world.cancel(world.production, orders[0], last).await);
    assert_eq!((world.balances().await.pending, refunds(&bed).await), (GIFT, 1));
    world.deliver_all(after(SEND_IN)).await;
    assert_eq!(world.order(orders[1]).await.summary.status, OrderStatus::Complete);
    world.verify().await;
}

pub async fn canceling_again_moves_nothing(bed: Bed) {
    let world = World::new(&bed).await;
    let order = waiting(&world, "order", 2).await;
    let first = canceled(world.cancel(world.production, order, after(1)).await);
    let balances = world.balances().await;
    for at in [after(1), after(2), after(SEND_IN), after(SEND_IN * 2)] {
        let again = world.cancel(world.production, order, at).await;
        assert_eq!(again, Cancellation::Already, "{at}");
    }
    assert_eq!(world.order(order).await, first);
    assert_eq!((world.balances().await, refunds(&bed).await), (balances, 1));
    world.verify().await;
}

pub async fn only_a_scheduled_order_can_be_canceled(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place(world.command("order", 1)).await.summary.order_id;
    let before = world.order(order).await;
    let refused = world.cancel(world.production, order, now()).await;
    assert_eq!(refused, Cancellation::Refused(NotCancelable::NotScheduled));
    assert_eq!((world.order(order).await, refunds(&bed).await), (before, 0));
    world.deliver_all(now()).await;
    let refused = world.cancel(world.production, order, now()).await;
    assert_eq!(refused, Cancellation::Refused(NotCancelable::NotScheduled));
}

pub async fn an_order_that_is_being_delivered_or_was_cannot_be_canceled(bed: Bed) {
    let world = World::new(&bed).await;
    let order = waiting(&world, "order", 2).await;
    let claimed = world.claim(after(SEND_IN), 1).await;
    // However early the one who asks believes it is.
    for at in [now(), after(SEND_IN), after(SEND_IN * 2)] {
        let refused = world.cancel(world.production, order, at).await;
        assert_eq!(refused, Cancellation::Refused(NotCancelable::Dispatched), "{at}");
    }
    world.settle(vec![sent(&claimed[0], after(SEND_IN))], after(SEND_IN)).await;
    world.deliver_all(after(SEND_IN)).await;
    assert_eq!(world.order(order).await.summary.status, OrderStatus::Complete);
    let refused = world.cancel(world.production, order, now()).await;
    assert_eq!(refused, Cancellation::Refused(NotCancelable::Dispatched));
    assert_eq!(refunds(&bed).await, 0);
    world.verify().await;
}

pub async fn only_the_accounts_own_order_can_be_canceled_under_its_own_id(bed: Bed) {
    let world = World::new(&bed).await;
    let other = World::beside(world.store.clone(), "Other").await;
    let order = waiting(&world, "order", 1).await;
    let link = OrderId { order_type: OrderType::Link, ..order };
    let none = OrderId { time: TimeId::first_at(after(5)), ..order };
    for (account, order) in [
        (world.sandbox, order),
        (other.production, order),
        (other.sandbox, order),
        (world.production, link),
        (world.production, none),
    ] {
        assert_eq!(world.cancel(account, order, now()).await, Cancellation::Unknown, "{order}");
    }
    assert_eq!(world.order(order).await.summary.status, OrderStatus::Pending);
    assert_eq!(refunds(&bed).await, 0);
}

pub async fn the_key_of_a_canceled_order_stays_used(bed: Bed) {
    let world = World::new(&bed).await;
    let command = PlaceOrder { timing: scheduled(after(SEND_IN)), ..world.command("order", 1) };
    let order = world.place(command.clone()).await.summary.order_id;
    canceled(world.cancel(world.production, order, after(1)).await);
    let known = Placed::Known { order_id: order, same_request: true };
    assert_eq!(world.try_place(again(&command)).await, known);
}

pub async fn a_sandbox_order_is_canceled_as_well(bed: Bed) {
    let world = World::new(&bed).await;
    let command = PlaceOrder { timing: scheduled(after(SEND_IN)), ..costing(world.sandbox, "play", &[950_000]) };
    let order = world.place(command).await.summary.order_id;
    let refilled = account_of(&*world.store, world.organization, Environment::Sandbox).await.balances;
    assert_eq!(refilled.available, 1_000_000, "the order made a refill necessary");
    canceled(world.cancel(world.sandbox, order, after(1)).await);
    let balances = world.account(world.sandbox).await.balances;
    assert_eq!((balances.available, balances.pending), (1_950_000, 0), "which stays");
    world.verify().await;
}

pub async fn an_order_canceled_50_times_at_once_is_refunded_once(bed: Bed) {
    let world = World::new(&bed).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    let order = waiting(&world, "order", 20).await;
    let answers = at_once((0..50_usize).map(|index| {
        let node = nodes[index % 2].clone();
        async move { node.cancel(node.production, order, after(1)).await }
    }))
    .await;
    let first = answers.iter().filter(|answer| matches!(answer, Cancellation::Canceled(_))).count();
    let others = answers.iter().filter(|answer| matches!(answer, Cancellation::Already)).count();
    assert_eq!((first, others), (1, 49));
    assert_eq!(refunds(&bed).await, 1);
    let balances = world.balances().await;
    assert_eq!((balances.available, balances.pending), (-balances.funding, 0));
    world.verify().await;
}

pub async fn of_canceling_and_dispatching_at_once_exactly_one_wins(bed: Bed) {
    let world = World::new(&bed).await;
    let other_node = world.on_another_node(&bed).await;
    let mut dispatched = 0;
    for round in 0..30 {
        let order = waiting(&world, &format!("order {round}"), 3).await;
        // Its clock says that it is due, the other's that an hour is left.
        let claimer = other_node.clone();
        let claiming = tokio::spawn(async move { claimer.claim(after(SEND_IN), 10).await });
        let canceler = world.clone();
        let canceling = tokio::spawn(async move {
            let at = after(SEND_IN) - AN_HOUR;
            canceler.store.cancel_order(canceler.production, order, at, entropy()).await.expect("an answer")
        });
        let (claimed, cancellation) = (claiming.await.expect("an end"), canceling.await.expect("an end"));
        let status = world.order(order).await.summary.status;
        match cancellation {
            Cancellation::Canceled(_) => {
                assert_eq!((claimed.len(), status), (0, OrderStatus::Canceled), "round {round}");
                assert_eq!(world.claim(after(SEND_IN * 2), 10).await, []);
            }
            Cancellation::Refused(NotCancelable::Dispatched) => {
                assert_eq!((claimed.len(), status), (3, OrderStatus::InProgress), "round {round}");
                let outcomes = claimed.iter().map(|delivery| sent(delivery, after(SEND_IN))).collect();
                assert_eq!(world.settle(outcomes, after(SEND_IN)).await.completed_orders, 1);
                dispatched += 1;
            }
            other => panic!("round {round}: {other:?}"),
        }
    }
    let balances = world.balances().await;
    assert_eq!((balances.pending, balances.issued), (0, dispatched * 3 * GIFT));
    assert_eq!(refunds(&bed).await, 30 - dispatched);
    world.verify().await;
}

pub async fn a_large_order_is_canceled_whole(bed: Bed) {
    let world = World::new(&bed).await;
    let order = waiting(&world, "large", 5_000).await;
    let answered = canceled(world.cancel(world.production, order, after(1)).await);
    assert_eq!(answered.gifts.len(), 5_000);
    assert!(answered.gifts.iter().all(|gift| gift.delivery_status == DeliveryStatus::Canceled));
    assert_eq!(world.balances().await.pending, 0);
    assert_eq!(bed.number("SELECT count(*) FROM mails").await, 0);
    let events = world.events_page(world.production, order, 1, 100).await;
    assert_eq!(events.total, 10_000);
    assert!(events.items.iter().all(|event| event.event_type == EventType::Canceled && event.at == after(1)));
    world.verify().await;
}

pub async fn canceling_beside_placing_and_delivering_loses_nothing(bed: Bed) {
    let world = World::new(&bed).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    let mut orders = Vec::new();
    for key in 0..20 {
        orders.push(waiting(&world, &format!("waiting {key}"), 2).await);
    }
    let canceling = at_once(orders.into_iter().enumerate().map(|(index, order)| {
        let node = nodes[index % 2].clone();
        async move {
            node.place(node.command(&format!("order {order}"), 1)).await;
            node.deliver_all(after(1)).await;
            canceled(node.cancel(node.production, order, after(1)).await);
        }
    }));
    canceling.await;
    world.deliver_all(after(2)).await;
    assert_eq!((world.count(OrderStatus::Canceled).await, world.count(OrderStatus::Complete).await), (20, 20));
    let balances = world.balances().await;
    assert_eq!((balances.pending, balances.issued, refunds(&bed).await), (0, 20 * GIFT, 20));
    world.verify().await;
}
