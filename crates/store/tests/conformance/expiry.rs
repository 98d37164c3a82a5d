//! Gifts whose instant has come: reminders, expiry, and what returns.

use std::collections::BTreeSet;

use giftd_domain::Timestamp;
use giftd_domain::gifts::events::EventType;
use giftd_domain::gifts::redemption::{NotRedeemable, Redemption, RedemptionState, Reserved, Supplied};
use giftd_domain::gifts::{MailKind, RedemptionStatus, Reminders};
use giftd_domain::ids::OrderId;
use giftd_domain::ledger::{EntryType, Postings};
use giftd_domain::limits;
use giftd_domain::orders::OrderType;
use giftd_domain::orders::place::PlaceOrder;
use giftd_store::{Turned, Work};
use jiff::SignedDuration;

use crate::bed::Bed;
use crate::world::{
    A_MICROSECOND, A_MONTH, World, after, at_once, choosing, code, costing, days_before, entropy, failed, gift_key,
    now, redeeming, resending, sent,
};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// When gifts expire that were sent now and return what isn't redeemed.
fn end() -> Timestamp {
    now() + A_MONTH
}

fn expired(gifts: u64, refunded: i64) -> Turned {
    Turned { gifts, reminded: 0, expired: gifts, refunded }
}

/// 70 %, rounded half-up.
fn seventy_percent(cents: i64) -> i64 {
    (cents * 7 + 5) / 10
}

/// What of a gift is redeemed, held, void and returned, with its status.
async fn books(world: &World, order: OrderId, position: usize) -> (i64, i64, i64, Option<i64>, RedemptionStatus) {
    let gift = world.gift(order, position).await;
    (gift.redeemed, gift.reserved, gift.voided, gift.refunded, gift.redemption_status)
}

async fn refunds(bed: &Bed) -> (i64, i64) {
    let sum = "SELECT CAST(COALESCE(sum(available), 0) AS BIGINT) FROM ledger WHERE type = 'REFUND'";
    (bed.number("SELECT count(*) FROM ledger WHERE type = 'REFUND'").await, bed.number(sum).await)
}

// --- what is open becomes void, and a part of it returns ---

pub async fn with_the_refund_option_70_percent_of_what_is_open_returns(bed: Bed) {
    let world = World::with_funds(&bed, 100_000).await;
    let costs = [10_000, 1, 2, 3, 5, 15, 3_338];
    let returns = [7_000, 1, 1, 2, 4, 11, 2_337];
    let order = world.place_and_send(choosing(world.production, "order", &costs)).await;
    let (spent, returned): (i64, i64) = (costs.iter().sum(), returns.iter().sum());
    assert_eq!(world.turn(end() - A_MICROSECOND).await, Turned::default(), "not a microsecond before");
    assert_eq!(world.turn(end()).await, expired(7, returned));
    for ((position, cost), returns) in (1..).zip(costs).zip(returns) {
        let expected = (0, 0, cost, Some(returns), RedemptionStatus::Expired);
        assert_eq!(books(&world, order, position).await, expected, "of {cost} cents");
    }
    let balances =
        Postings { funding: -100_000, available: 100_000 - spent + returned, pending: 0, issued: spent - returned };
    assert_eq!(world.balances().await, balances);
    let entry = world.ledger(world.production).await.items.swap_remove(0);
    assert_eq!((entry.entry_type, &entry.reference), (EntryType::Refund, &order.to_string()), "one entry for an order");
    let moved = Postings { funding: 0, available: returned, pending: 0, issued: -returned };
    assert_eq!((entry.postings, entry.created_at()), (moved, end()));
    assert_eq!(refunds(&bed).await, (1, returned));
    world.verify().await;
}

pub async fn without_the_refund_option_nothing_returns(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(world.command("order", 2)).await;
    let balances = world.balances().await;
    assert_eq!(world.turn(now() + DAY * 180 - A_MICROSECOND).await, Turned::default());
    assert_eq!(world.turn(now() + DAY * 180).await, expired(2, 0));
    assert_eq!(books(&world, order, 1).await, (0, 0, 1_000, None, RedemptionStatus::Expired));
    assert_eq!((world.balances().await, refunds(&bed).await), (balances, (0, 0)));
    let story = world.story(order, 1).await;
    assert_eq!(story[2..], [(EventType::Expired, Some("10.00 USD unredeemed".to_owned()))]);
    world.verify().await;
}

pub async fn an_expiry_is_told_as_two_events_of_its_instant(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(choosing(world.production, "order", &[1_000])).await;
    let late = end() + DAY * 3 + A_MICROSECOND;
    world.turn(late).await;
    let events = world.events(world.production, order).await;
    let told: Vec<_> = events.iter().map(|event| (event.event_type, event.at, event.detail.as_deref())).collect();
    assert_eq!(
        told[..2],
        [(EventType::Refunded, late, Some("7.00 USD")), (EventType::Expired, late, Some("10.00 USD unredeemed"))],
        "dated when it was done"
    );
}

pub async fn a_gift_expires_once(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(choosing(world.production, "order", &[1_000])).await;
    assert_eq!(world.turn(end()).await.expired, 1);
    let (before, balances) = (world.order(order).await, world.balances().await);
    for later in [end(), end() + DAY, end() + DAY * 400] {
        assert_eq!(world.turn(later).await, Turned::default());
    }
    assert_eq!((world.order(order).await, world.balances().await), (before, balances));
    assert_eq!(refunds(&bed).await, (1, 700));
}

pub async fn only_what_is_not_redeemed_expires(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(choosing(world.production, "order", &[1_000, 1_000, 1_000])).await;
    world.redeem(gift_key(world.production, order, 1), 1, 250, after(10)).await;
    world.redeem(gift_key(world.production, order, 2), 2, 1_000, after(10)).await;
    let turned = world.turn(end()).await;
    assert_eq!((turned.expired, turned.refunded), (2, 525 + 700));
    assert_eq!(books(&world, order, 1).await, (250, 0, 750, Some(525), RedemptionStatus::Expired));
    assert_eq!(books(&world, order, 2).await, (1_000, 0, 0, None, RedemptionStatus::Redeemed));
    assert_eq!(books(&world, order, 3).await, (0, 0, 1_000, Some(700), RedemptionStatus::Expired));
    assert_eq!(world.gift(order, 1).await.redeemed_at, None);
    world.verify().await;
}

pub async fn a_failed_gift_expires_as_well(bed: Bed) {
    let world = World::new(&bed).await;
    let command = choosing(world.production, "order", &[1_000, 1_000]);
    let order = world.place(command).await.summary.order_id;
    let claimed = world.claim(now(), 10).await;
    world.settle(vec![failed(&claimed[0], now()), sent(&claimed[1], now())], after(60)).await;
    let (first, second) = (claimed[0].gift.position, claimed[1].gift.position);
    assert_eq!(world.turn(end()).await, expired(1, 700), "the sent one");
    assert_eq!(world.turn(after(60) + A_MONTH - A_MICROSECOND).await, Turned::default());
    assert_eq!(world.turn(after(60) + A_MONTH).await, expired(1, 700), "from the order's completion");
    for position in [first, second] {
        let status = world.gift(order, usize::try_from(position).expect("a position")).await.redemption_status;
        assert_eq!(status, RedemptionStatus::Expired);
    }
    world.verify().await;
}

pub async fn one_entry_returns_what_expires_of_an_order_at_an_instant(bed: Bed) {
    let world = World::new(&bed).await;
    for (key, costs) in [("one", vec![100, 200]), ("two", vec![300]), ("three", vec![400, 500, 600])] {
        world.place_and_send(choosing(world.production, key, &costs)).await;
    }
    world.place_and_send(choosing(world.sandbox, "play", &[1_000])).await;
    world.place_and_send(PlaceOrder { refund_option: false, ..choosing(world.production, "none", &[700]) }).await;
    assert_eq!(world.turn(end()).await, expired(7, seventy_percent(2_100) + 700));
    assert_eq!(refunds(&bed).await, (4, seventy_percent(2_100) + 700));
    assert_eq!(world.account(world.sandbox).await.balances.available, 1_000_000 - 1_000 + 700);
    let references = "SELECT count(DISTINCT reference) FROM ledger WHERE type = 'REFUND'";
    assert_eq!(bed.number(references).await, 4);
    world.verify().await;
}

pub async fn what_returned_can_be_spent(bed: Bed) {
    let world = World::with_funds(&bed, 1_000).await;
    world.place_and_send(choosing(world.production, "order", &[1_000])).await;
    world.turn(end()).await;
    world.place(PlaceOrder { now: end(), ..costing(world.production, "next", &[700]) }).await;
    assert_eq!(world.balances().await.available, 0);
    world.verify().await;
}

pub async fn an_expired_gift_cannot_be_redeemed(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(choosing(world.production, "order", &[1_000])).await;
    let gift = gift_key(world.production, order, 1);
    world.turn(end()).await;
    for at in [now(), end(), end() + DAY] {
        let answer = world.reserve(redeeming(gift, 1, 1_000, at)).await;
        assert_eq!(answer, Reserved::Refused(NotRedeemable::Expired), "whatever its clock says: {at}");
    }
}

// --- redemptions under way ---

pub async fn a_reserved_part_survives_the_expiry(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(choosing(world.production, "order", &[1_000])).await;
    let gift = gift_key(world.production, order, 1);
    world.reserved(redeeming(gift, 1, 400, after(10))).await;
    assert_eq!(world.turn(end()).await, expired(1, 420));
    assert_eq!(books(&world, order, 1).await, (0, 400, 600, Some(420), RedemptionStatus::Expired));
    world.verify().await;
    let done = world.supply(gift, 1, Supplied::Code(code("CODE")), end() + DAY).await.expect("a redemption");
    assert_eq!(done.state, RedemptionState::Done);
    assert_eq!(books(&world, order, 1).await, (400, 0, 600, Some(420), RedemptionStatus::Expired));
    assert_eq!(refunds(&bed).await, (1, 420), "never for a redeemed part");
    assert_eq!(world.turn(end() + DAY * 2).await.expired, 0);
    world.verify().await;
}

pub async fn a_part_that_is_released_after_the_expiry_expires_at_once_and_the_parts_add_up_to_the_whole(bed: Bed) {
    let world = World::new(&bed).await;
    let mut id = 0;
    for (key, cost, parts) in [
        ("even", 1_000, vec![400]),
        ("odd", 15, vec![5, 5]),
        ("small", 2, vec![1]),
        ("cents", 11, vec![1, 1, 1, 1, 1]),
        ("nearly all", 999, vec![1, 997]),
    ] {
        let order = world.place_and_send(choosing(world.production, key, &[cost])).await;
        let gift = gift_key(world.production, order, 1);
        let before = world.balances().await.available;
        let mut held: Vec<_> = Vec::new();
        for part in parts {
            id += 1;
            held.push((id, part));
            world.reserved(redeeming(gift, id, part, after(10))).await;
        }
        let open = cost - held.iter().map(|(_, part)| part).sum::<i64>();
        assert_eq!(world.turn(end()).await, expired(1, seventy_percent(open)), "{key}");
        let mut void = open;
        for (id, part) in held {
            let at = end() + SignedDuration::from_hours(1);
            let released = world.supply(gift, id, Supplied::Refused, at).await.expect("a redemption");
            assert_eq!((released.state, released.settled_at), (RedemptionState::Released, Some(at)));
            void += part;
            let refunded = Some(seventy_percent(void));
            let gift = world.gift(order, 1).await;
            assert_eq!((gift.voided, gift.refunded, gift.open()), (void, refunded, 0), "{key}");
            world.verify().await;
        }
        assert_eq!(world.balances().await.available, before + seventy_percent(cost), "{key}");
        let story = world.story(order, 1).await;
        assert!(story.iter().filter(|(event, _)| *event == EventType::Expired).count() > 1, "{story:?}");
    }
}

pub async fn a_gift_that_is_all_reserved_at_its_expiry_rests_until_that_is_settled(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(choosing(world.production, "order", &[1_000, 1_000])).await;
    let [done, released] = [1, 2].map(|position| gift_key(world.production, order, position));
    for (gift, id) in [(done, 1), (released, 2)] {
        world.reserved(redeeming(gift, id, 1_000, after(10))).await;
    }
    let turned = world.turn(end()).await;
    assert_eq!((turned.expired, turned.refunded), (0, 0));
    world.supply(done, 1, Supplied::Code(code("CODE")), end() + DAY).await;
    assert_eq!(books(&world, order, 1).await, (1_000, 0, 0, None, RedemptionStatus::Redeemed));
    assert_eq!(world.gift(order, 1).await.redeemed_at, Some(end() + DAY));
    world.supply(released, 2, Supplied::Refused, end() + DAY).await;
    assert_eq!(books(&world, order, 2).await, (0, 0, 1_000, Some(700), RedemptionStatus::Expired));
    let entry = world.ledger(world.production).await.items.swap_remove(0);
    assert_eq!((entry.entry_type, entry.postings.available), (EntryType::Refund, 700));
    assert_eq!((&entry.reference, entry.created_at()), (&order.to_string(), end() + DAY));
    assert_eq!(world.turn(end() + DAY * 2).await.expired, 0);
    world.verify().await;
}

pub async fn a_part_released_when_its_time_is_over_expires_before_anybody_turned_the_gift(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(choosing(world.production, "order", &[1_000])).await;
    let gift = gift_key(world.production, order, 1);
    world.reserved(redeeming(gift, 1, 400, after(10))).await;
    world.supply(gift, 1, Supplied::Refused, end()).await;
    world.turn(end()).await;
    assert_eq!(books(&world, order, 1).await, (0, 0, 1_000, Some(700), RedemptionStatus::Expired));
    assert_eq!(refunds(&bed).await.1, 700);
    world.verify().await;
}

// --- at once ---

pub async fn turning_on_two_nodes_at_once_refunds_once(bed: Bed) {
    let world = World::new(&bed).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    let mut orders = Vec::new();
    for key in 0..4 {
        let costs = vec![1_000; 300];
        orders.push(world.place_and_send(choosing(world.production, &format!("order {key}"), &costs)).await);
    }
    let turned = at_once((0..4_usize).map(|index| {
        let node = nodes[index % 2].clone();
        async move { node.turn(end()).await }
    }))
    .await;
    // One may have left what the other was turning.
    let rest = world.turn(end()).await;
    let sum = |of: fn(&Turned) -> u64| turned.iter().chain([&rest]).map(of).sum::<u64>();
    assert_eq!(sum(|turned| turned.expired), 1_200);
    assert_eq!(turned.iter().chain([&rest]).map(|turned| turned.refunded).sum::<i64>(), 1_200 * 700);
    assert_eq!(refunds(&bed).await.1, 1_200 * 700);
    for order in orders {
        assert!(world.order(order).await.gifts.iter().all(|gift| gift.refunded == Some(700)));
        assert_eq!(world.events_page(world.production, order, 1, 1).await.total, 300 * 4);
    }
    world.verify().await;
}

pub async fn turning_many_gifts_takes_groups_oldest_first(bed: Bed) {
    let world = World::new(&bed).await;
    let young = PlaceOrder { now: after(60), ..choosing(world.production, "young", &vec![1_000; 700]) };
    let young = world.place_and_send(young).await;
    let old = world.place_and_send(choosing(world.production, "old", &vec![1_000; 500])).await;
    assert_eq!(limits::TURN_GIFTS, 500);
    let until = end() + DAY;
    let none = Reminders::default();
    assert_eq!(world.turn_group(Work::Everyone, until, &none).await, expired(500, 500 * 700));
    assert!(world.order(old).await.gifts.iter().all(|gift| gift.redemption_status == RedemptionStatus::Expired));
    assert!(world.order(young).await.gifts.iter().all(|gift| gift.refunded.is_none()));
    assert_eq!(world.turn_group(Work::Everyone, until, &none).await, expired(500, 500 * 700));
    world.verify().await;
    assert_eq!(world.turn_group(Work::Everyone, until, &none).await, expired(200, 200 * 700));
    assert_eq!(world.turn_group(Work::Everyone, until, &none).await, Turned::default());
    assert_eq!(refunds(&bed).await, (3, 1_200 * 700), "one entry for each order and group");
    world.verify().await;
}

pub async fn of_redeeming_and_expiring_at_once_one_wins(bed: Bed) {
    let world = World::new(&bed).await;
    let other_node = world.on_another_node(&bed).await;
    let (mut redeemed, mut returned) = (0, 0);
    for round in 0..30_u128 {
        let order = world.place_and_send(choosing(world.production, &format!("order {round}"), &[1_000])).await;
        let gift = gift_key(world.production, order, 1);
        let turner = other_node.clone();
        let turning = tokio::spawn(async move { turner.turn(end()).await });
        // Its clock says that there is still time.
        let answer = world.reserve(redeeming(gift, round, 1_000, end() - A_MICROSECOND)).await;
        let turned = turning.await.expect("an end");
        if let Reserved::New(_) = answer {
            assert_eq!((turned.expired, turned.refunded), (0, 0), "round {round}");
            let done = world.supply(gift, round, Supplied::Code(code("CODE")), end()).await;
            assert!(matches!(done, Some(Redemption { state: RedemptionState::Done, .. })), "{done:?}");
            assert_eq!(books(&world, order, 1).await, (1_000, 0, 0, None, RedemptionStatus::Redeemed));
            redeemed += 1;
        } else {
            assert_eq!(answer, Reserved::Refused(NotRedeemable::Expired), "round {round}");
            assert_eq!(turned, expired(1, 700), "round {round}");
            assert_eq!(books(&world, order, 1).await, (0, 0, 1_000, Some(700), RedemptionStatus::Expired));
            returned += 700;
        }
    }
    assert_eq!(refunds(&bed).await.1, returned);
    assert_eq!(world.balances().await.issued, 30 * 1_000 - returned);
    assert_eq!(returned / 700 + redeemed, 30);
    world.verify().await;
}

pub async fn settling_a_redemption_and_expiring_at_once_come_out_the_same(bed: Bed) {
    let world = World::new(&bed).await;
    let other_node = world.on_another_node(&bed).await;
    for round in 0..20_u128 {
        let order = world.place_and_send(choosing(world.production, &format!("order {round}"), &[999])).await;
        let gift = gift_key(world.production, order, 1);
        world.reserved(redeeming(gift, round, 334, after(10))).await;
        let supplied = if round % 2 == 0 { Supplied::Refused } else { Supplied::Code(code("CODE")) };
        let turner = other_node.clone();
        let turning = tokio::spawn(async move { turner.turn(end()).await });
        world.supply(gift, round, supplied.clone(), end()).await.expect("a redemption");
        turning.await.expect("an end");
        world.turn(end()).await;
        let (redeemed, void) = if supplied == Supplied::Refused { (0, 999) } else { (334, 665) };
        let expected = (redeemed, 0, void, Some(seventy_percent(void)), RedemptionStatus::Expired);
        assert_eq!(books(&world, order, 1).await, expected, "round {round}");
    }
    assert_eq!(refunds(&bed).await.1, 10 * (seventy_percent(999) + seventy_percent(665)));
    world.verify().await;
}

// --- reminders ---

/// The numbers of the reminders that wait at `at`; they are sent.
async fn mailed(world: &World, at: Timestamp) -> Vec<(u32, u32)> {
    let claimed = world.claim(at, 100).await;
    assert!(claimed.iter().all(|delivery| delivery.kind == MailKind::Reminder), "{claimed:?}");
    world.settle(claimed.iter().map(|delivery| sent(delivery, at)).collect(), at).await;
    let mut told: Vec<_> = claimed.iter().map(|delivery| (delivery.gift.position, delivery.send_number)).collect();
    told.sort_unstable();
    told
}

pub async fn a_recipient_is_reminded_at_each_of_the_instants(bed: Bed) {
    let world = World::new(&bed).await;
    let reminders = days_before(&[7, 1]);
    let command = choosing(world.production, "order", &[1_000, 1_000]);
    let order = world.place_and_send_reminding(command, &reminders).await;
    let (before, balances) = (world.order(order).await, world.balances().await);
    let turn = async |at| world.turn_reminding(Work::Everyone, at, &reminders).await;
    let reminded = Turned { gifts: 2, reminded: 2, ..Turned::default() };
    assert_eq!(turn(end() - DAY * 7 - A_MICROSECOND).await, Turned::default());
    assert_eq!(turn(end() - DAY * 7).await, reminded);
    assert_eq!(turn(end() - DAY * 7).await, Turned::default(), "once");
    assert_eq!(mailed(&world, end() - DAY * 7).await, [(1, 1), (2, 1)]);
    assert_eq!(turn(end() - DAY - A_MICROSECOND).await, Turned::default());
    assert_eq!(turn(end() - DAY).await, reminded);
    assert_eq!(mailed(&world, end() - DAY).await, [(1, 2), (2, 2)]);
    assert_eq!((world.order(order).await, world.balances().await), (before, balances), "nothing else happens");
    assert_eq!(world.story(order, 1).await.len(), 2, "nor is it an event");
    assert_eq!(turn(end()).await, expired(2, 1_400));
    assert_eq!(world.claim(end() + DAY, 10).await, []);
    world.verify().await;
}

pub async fn a_reminders_mail_tells_when_the_gift_expires(bed: Bed) {
    let world = World::new(&bed).await;
    let reminders = days_before(&[7]);
    world.place_and_send_reminding(choosing(world.production, "order", &[1_000]), &reminders).await;
    let late = end() - DAY * 5;
    world.turn_reminding(Work::Everyone, late, &reminders).await;
    let claimed = world.claim(late + DAY, 10).await;
    assert_eq!(claimed.len(), 1);
    let reminder = &claimed[0];
    assert_eq!((reminder.kind, reminder.send_number, reminder.attempts), (MailKind::Reminder, 1, 0));
    assert_eq!((reminder.expires_at, reminder.due_at), (Some(end()), late), "due when it was done");
    assert_eq!((reminder.link_version, reminder.refund_option), (1, true));
}

pub async fn of_reminders_that_come_late_only_the_last_is_mailed(bed: Bed) {
    let world = World::new(&bed).await;
    let reminders = days_before(&[7, 3, 1]);
    world.place_and_send_reminding(choosing(world.production, "order", &[1_000]), &reminders).await;
    let late = end() - DAY * 2;
    let turned = world.turn_reminding(Work::Everyone, late, &reminders).await;
    assert_eq!((turned.gifts, turned.reminded), (1, 1), "after days without a node");
    assert_eq!(mailed(&world, late).await, [(1, 2)]);
    assert_eq!(world.turn_reminding(Work::Everyone, end() - DAY, &reminders).await.reminded, 1);
    assert_eq!(mailed(&world, end() - DAY).await, [(1, 3)]);
}

pub async fn a_reminder_that_still_waits_makes_room_for_the_next(bed: Bed) {
    let world = World::new(&bed).await;
    let reminders = days_before(&[7, 1]);
    world.place_and_send_reminding(choosing(world.production, "order", &[1_000]), &reminders).await;
    world.turn_reminding(Work::Everyone, end() - DAY * 7, &reminders).await;
    let old = world.claim(end() - DAY * 7, 10).await;
    assert_eq!(world.turn_reminding(Work::Everyone, end() - DAY, &reminders).await.reminded, 1);
    let outcome = world.settle(vec![sent(&old[0], end() - DAY)], end() - DAY).await;
    assert_eq!((outcome.settled, outcome.dropped), (0, 1), "the old mail's claim settles nothing");
    assert_eq!(mailed(&world, end() - DAY).await, [(1, 2)], "at most one waits");
}

pub async fn without_reminders_a_gift_turns_at_its_expiry(bed: Bed) {
    let world = World::new(&bed).await;
    let none = days_before(&[]);
    world.place_and_send_reminding(choosing(world.production, "order", &[1_000]), &none).await;
    assert_eq!(world.turn_reminding(Work::Everyone, end() - A_MICROSECOND, &none).await, Turned::default());
    assert_eq!(world.turn_reminding(Work::Everyone, end(), &none).await, expired(1, 700));
    assert_eq!(world.claim(end(), 10).await, []);
}

pub async fn a_gift_that_expired_while_no_node_was_there_is_not_reminded_of(bed: Bed) {
    let world = World::new(&bed).await;
    let reminders = days_before(&[7, 1]);
    world.place_and_send_reminding(choosing(world.production, "order", &[1_000]), &reminders).await;
    assert_eq!(world.turn_reminding(Work::Everyone, end() + DAY, &reminders).await, expired(1, 700));
    assert_eq!(world.claim(end() + DAY, 10).await, []);
}

pub async fn nobody_is_reminded_of_what_is_used_up_or_reached_nobody(bed: Bed) {
    let world = World::new(&bed).await;
    let reminders = days_before(&[7]);
    let order = world.place(choosing(world.production, "order", &[1_000; 4])).await.summary.order_id;
    let claimed = world.claim(now(), 10).await;
    let outcomes = claimed.iter().map(|delivery| match delivery.gift.position {
        1 => failed(delivery, now()),
        _ => sent(delivery, now()),
    });
    world.settle_reminding(outcomes.collect(), &reminders, now()).await;
    world.redeem(gift_key(world.production, order, 2), 1, 1_000, after(10)).await;
    world.redeem(gift_key(world.production, order, 3), 2, 999, after(10)).await;
    let mut link = PlaceOrder { order_type: OrderType::Link, ..choosing(world.production, "link", &[1_000]) };
    link.gifts[0].recipient.email = None;
    world.place_and_send_reminding(link, &reminders).await;
    let turned = world.turn_reminding(Work::Everyone, end() - DAY * 7, &reminders).await;
    assert_eq!(turned.reminded, 2);
    assert_eq!(mailed(&world, end() - DAY * 7).await, [(3, 1), (4, 1)], "partly redeemed and not redeemed");
    let turned = world.turn_reminding(Work::Everyone, end(), &reminders).await;
    assert_eq!((turned.expired, turned.refunded), (4, 700 + 1 + 700 + 700));
    world.verify().await;
}

pub async fn a_reminder_goes_where_the_gift_moved(bed: Bed) {
    let world = World::new(&bed).await;
    let reminders = days_before(&[7]);
    let order = world.place_and_send_reminding(choosing(world.production, "order", &[1_000]), &reminders).await;
    let entries = [("r1@example.com", Some("new@example.com"))];
    world.resend(resending(world.production, order, &entries, after(10))).await;
    world.deliver_all_reminding(&reminders, after(10)).await;
    world.turn_reminding(Work::Everyone, end() - DAY * 7, &reminders).await;
    let claimed = world.claim(end() - DAY * 7, 10).await;
    let told: Vec<_> = claimed.iter().map(|d| (d.kind, d.recipient.email.as_deref(), d.link_version)).collect();
    assert_eq!(told, [(MailKind::Reminder, Some("new@example.com"), 2)]);
}

pub async fn a_recipient_is_reminded_once_however_many_nodes_turn(bed: Bed) {
    let world = World::new(&bed).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    let reminders = days_before(&[7]);
    let command = choosing(world.production, "order", &[1_000; 60]);
    world.place_and_send_reminding(command, &reminders).await;
    let turned = at_once((0..6_usize).map(|index| {
        let (node, reminders) = (nodes[index % 2].clone(), reminders.clone());
        async move {
            let until = end() - DAY * 7;
            node.store.turn_gifts(Work::Everyone, until, &reminders, entropy()).await.expect("an answer")
        }
    }))
    .await;
    let rest = world.turn_reminding(Work::Everyone, end() - DAY * 7, &reminders).await;
    assert_eq!(turned.iter().chain([&rest]).map(|turned| turned.reminded).sum::<u64>(), 60);
    let claimed = world.claim(end() - DAY * 7, 100).await;
    assert_eq!(claimed.iter().map(|delivery| delivery.gift.position).collect::<BTreeSet<_>>().len(), 60);
    assert_eq!(claimed.len(), 60);
}
