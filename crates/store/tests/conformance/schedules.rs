//! Scheduled orders that wait, and what becomes of them when a zone's rules change.

use giftd_domain::Timestamp;
use giftd_domain::ids::{AccountId, OrderId, TimeId};
use giftd_domain::orders::OrderStatus;
use giftd_domain::orders::cancel::NotCancelable;
use giftd_domain::orders::place::PlaceOrder;
use giftd_domain::schedule::{Schedule, SendTiming};
use giftd_store::{Cancellation, WaitingSchedule};
use jiff::SignedDuration;

use crate::bed::Bed;
use crate::world::{A_MICROSECOND, GIFT, World, after, costing, instant, now, scheduled};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// At nine in Tokyo.
fn tokyo() -> Schedule {
    Schedule {
        local: "2026-12-24T09:00:00".parse().expect("a local time"),
        timezone: "Asia/Tokyo".to_owned(),
        send_at: instant("2026-12-24T00:00:00Z"),
    }
}

async fn waiting(world: &World) -> Vec<WaitingSchedule> {
    world.store.waiting_schedules().await.expect("an answer")
}

async fn place(world: &World, account: AccountId, key: &str, schedule: &Schedule) -> OrderId {
    let timing = SendTiming::Scheduled(schedule.clone());
    world.place(PlaceOrder { timing, ..costing(account, key, &[GIFT, GIFT]) }).await.summary.order_id
}

async fn move_schedule(world: &World, order: OrderId, from: Timestamp, to: Timestamp) -> bool {
    world.store.move_schedule(world.production, order, from, to).await.expect("an answer")
}

pub async fn orders_that_wait_for_their_instant_are_told_by_it(bed: Bed) {
    let world = World::new(&bed).await;
    let other = World::beside(world.store.clone(), "Other").await;
    assert_eq!(waiting(&world).await, []);
    let at = |hours: i32| Schedule { send_at: tokyo().send_at + HOUR * hours, ..tokyo() };
    let second = place(&world, world.production, "second", &at(0)).await;
    let third = place(&world, world.sandbox, "third", &at(1)).await;
    let first = place(&world, world.production, "first", &at(-1)).await;
    other.credit(10 * GIFT, "transfer").await;
    let fourth = place(&other, other.production, "fourth", &at(2)).await;
    world.place(world.command("at once", 1)).await;
    let expected = [
        (world.production, first, at(-1)),
        (world.production, second, at(0)),
        (world.sandbox, third, at(1)),
        (other.production, fourth, at(2)),
    ]
    .map(|(account_id, order_id, schedule)| WaitingSchedule { account_id, order_id, schedule });
    assert_eq!(waiting(&world).await, expected);
}

pub async fn an_order_that_went_out_or_was_canceled_waits_no_more(bed: Bed) {
    let world = World::new(&bed).await;
    let gone = place(&world, world.production, "gone", &tokyo()).await;
    let later = Schedule { send_at: tokyo().send_at + HOUR, ..tokyo() };
    let canceled = place(&world, world.production, "canceled", &later).await;
    assert_eq!(waiting(&world).await.len(), 2);
    world.cancel(world.production, canceled, now()).await;
    world.claim(tokyo().send_at, 1).await;
    assert_eq!(world.order(gone).await.summary.status, OrderStatus::InProgress);
    assert_eq!(waiting(&world).await, []);
}

pub async fn a_moved_order_goes_out_at_its_new_instant(bed: Bed) {
    let world = World::new(&bed).await;
    let from = tokyo().send_at;
    for (key, to) in [("later", from + HOUR), ("earlier", from - HOUR * 2)] {
        let order = place(&world, world.production, key, &tokyo()).await;
        let mut expected = world.order(order).await;
        assert!(move_schedule(&world, order, from, to).await);
        expected.summary.timing = SendTiming::Scheduled(Schedule { send_at: to, ..tokyo() });
        assert_eq!(world.order(order).await, expected, "its local time stays as written");
        assert_eq!(waiting(&world).await[0].schedule, Schedule { send_at: to, ..tokyo() });
        assert_eq!(world.claim(to - A_MICROSECOND, 10).await, [], "{key}");
        let claimed = world.claim(to, 10).await;
        assert_eq!(claimed.iter().map(|delivery| delivery.due_at).collect::<Vec<_>>(), [to, to], "{key}");
        let outcomes = claimed.iter().map(|delivery| crate::world::sent(delivery, to)).collect();
        world.settle(outcomes, to).await;
    }
    world.verify().await;
}

pub async fn only_a_waiting_order_is_moved_and_only_from_its_instant(bed: Bed) {
    let world = World::new(&bed).await;
    let from = tokyo().send_at;
    let order = place(&world, world.production, "order", &tokyo()).await;
    let before = world.order(order).await;
    assert!(!move_schedule(&world, order, from + A_MICROSECOND, from + HOUR).await);
    let none = OrderId { time: TimeId::first_at(after(5)), ..order };
    assert!(!move_schedule(&world, none, from, from + HOUR).await);
    let elsewhere = world.store.move_schedule(world.sandbox, order, from, from + HOUR).await;
    assert!(!elsewhere.expect("an answer"));
    assert_eq!(world.order(order).await, before, "nothing happened");
    assert!(move_schedule(&world, order, from, from + HOUR).await);
    assert!(!move_schedule(&world, order, from, from + HOUR).await, "its instant isn't that any more");

    let at_once = world.place(world.command("at once", 1)).await.summary.order_id;
    assert!(!move_schedule(&world, at_once, now(), from).await);
    let canceled = place(&world, world.production, "canceled", &tokyo()).await;
    world.cancel(world.production, canceled, now()).await;
    assert!(!move_schedule(&world, canceled, from, from + HOUR).await);
    world.claim(from + HOUR, 1).await;
    world.claim(from + HOUR, 10).await;
    assert!(!move_schedule(&world, order, from + HOUR, from).await, "it is on its way");
    world.verify().await;
}

pub async fn canceling_goes_by_the_new_instant(bed: Bed) {
    let world = World::new(&bed).await;
    let from = tokyo().send_at;
    let order = place(&world, world.production, "order", &tokyo()).await;
    assert!(move_schedule(&world, order, from, from - HOUR).await);
    let late = world.cancel(world.production, order, from - HOUR).await;
    assert_eq!(late, Cancellation::Refused(NotCancelable::TooLate));
    let answer = world.cancel(world.production, order, from - HOUR * 2).await;
    assert!(matches!(answer, Cancellation::Canceled(_)), "{answer:?}");
}

pub async fn a_sandbox_order_is_moved_by_its_accounts_clock(bed: Bed) {
    let world = World::new(&bed).await;
    let ahead = HOUR * 100;
    world.jump(ahead, now()).await;
    let from = now() + HOUR * 200;
    let command = PlaceOrder { timing: scheduled(from), now: now() + ahead, ..costing(world.sandbox, "play", &[GIFT]) };
    let order = world.place(command).await.summary.order_id;
    let to = from + HOUR;
    assert!(world.store.move_schedule(world.sandbox, order, from, to).await.expect("an answer"));
    assert_eq!(world.claim(to - ahead - A_MICROSECOND, 10).await, []);
    let claimed = world.claim(to - ahead, 10).await;
    assert_eq!((claimed.len(), claimed[0].due_at), (1, to - ahead));
}

pub async fn of_moving_and_dispatching_at_once_one_wins(bed: Bed) {
    let world = World::new(&bed).await;
    let other_node = world.on_another_node(&bed).await;
    let (from, to) = (tokyo().send_at, tokyo().send_at + HOUR);
    for round in 0..20 {
        let order = place(&world, world.production, &format!("order {round}"), &tokyo()).await;
        let claimer = other_node.clone();
        let claiming = tokio::spawn(async move { claimer.claim(from, 10).await });
        let moved = move_schedule(&world, order, from, to).await;
        let claimed = claiming.await.expect("an end");
        assert_eq!(claimed.len(), if moved { 0 } else { 2 }, "round {round}");
        let status = world.order(order).await.summary.status;
        assert_eq!(status, if moved { OrderStatus::Pending } else { OrderStatus::InProgress });
        world.deliver_all(to).await;
        let outcomes = claimed.iter().map(|delivery| crate::world::sent(delivery, to)).collect();
        world.settle(outcomes, to).await;
        assert_eq!(world.order(order).await.summary.status, OrderStatus::Complete);
    }
    world.verify().await;
}
