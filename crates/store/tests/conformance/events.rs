//! The history of an order's gifts.

use giftd_domain::gifts::events::{EventType, GiftEvent};
use giftd_domain::ids::{OrderId, TimeId};
use giftd_domain::orders::OrderType;
use giftd_domain::orders::place::PlaceOrder;
use giftd_store::Cancellation;
use jiff::SignedDuration;

use crate::bed::Bed;
use crate::world::{A_MONTH, World, after, choosing, failed, gift_key, now, resending, retry, scheduled, sent};

/// Each page of each size must be the part of all events that it says.
async fn pages_are_parts_of(world: &World, order: OrderId, all: &[GiftEvent]) {
    for size in [1, 2, 3, 4, 5, 7, 100] {
        let pages = all.len().div_ceil(usize::try_from(size).expect("a size")) + 2;
        for page in 1..=u32::try_from(pages).expect("a page") {
            let found = world.events_page(world.production, order, page, size).await;
            assert_eq!(found.total, u64::try_from(all.len()).expect("a total"));
            let (skip, take) = ((page - 1) * size, usize::try_from(size).expect("a size"));
            let expected: Vec<_> =
                all.iter().skip(usize::try_from(skip).expect("an offset")).take(take).cloned().collect();
            assert_eq!(found.items, expected, "page {page} of {size}");
        }
    }
    let far = world.events_page(world.production, order, 1_000_000_000, 100).await;
    assert_eq!((far.items, far.total), (vec![], u64::try_from(all.len()).expect("a total")));
}

fn short(events: &[GiftEvent]) -> Vec<(u32, u32, EventType)> {
    events.iter().map(|event| (event.position, event.number, event.event_type)).collect()
}

pub async fn a_new_orders_gifts_were_placed(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place(world.command("order", 3)).await.summary;
    let events = world.events(world.production, order.order_id).await;
    let placed = |position| GiftEvent {
        position,
        number: 0,
        event_type: EventType::Placed,
        at: order.created_at(),
        detail: None,
    };
    assert_eq!(events, [placed(3), placed(2), placed(1)], "of one instant those of the last position first");
    pages_are_parts_of(&world, order.order_id, &events).await;
}

pub async fn a_canceled_orders_gifts_were_placed_and_canceled(bed: Bed) {
    let world = World::new(&bed).await;
    let command = PlaceOrder { timing: scheduled(after(86_400)), ..world.command("order", 3) };
    let order = world.place(command).await.summary.order_id;
    let answer = world.cancel(world.production, order, after(7)).await;
    assert!(matches!(answer, Cancellation::Canceled(_)), "{answer:?}");
    let events = world.events(world.production, order).await;
    let (canceled, placed) = (EventType::Canceled, EventType::Placed);
    let expected =
        [(3, 1, canceled), (2, 1, canceled), (1, 1, canceled), (3, 0, placed), (2, 0, placed), (1, 0, placed)];
    assert_eq!(short(&events), expected);
    assert!(events[..3].iter().all(|event| event.at == after(7)));
    pages_are_parts_of(&world, order, &events).await;
}

pub async fn what_is_sent_and_fails_is_told_newest_first(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place(world.command("order", 4)).await.summary.order_id;
    let mut claimed = world.claim(after(1), 10).await;
    claimed.sort_by_key(|delivery| delivery.gift);
    let outcomes = vec![
        sent(&claimed[0], after(5)),
        sent(&claimed[1], after(9)),
        failed(&claimed[2], after(7)),
        retry(&claimed[3], after(8), after(60)),
    ];
    world.settle(outcomes, after(10)).await;
    let events = world.events(world.production, order).await;
    let (sent, failed, placed) = (EventType::Sent, EventType::Failed, EventType::Placed);
    let expected =
        [(2, 1, sent), (3, 1, failed), (1, 1, sent), (4, 0, placed), (3, 0, placed), (2, 0, placed), (1, 0, placed)];
    assert_eq!(short(&events), expected, "a retry is no event");
    let told: Vec<_> = events[..3].iter().map(|event| (event.at, event.detail.as_deref())).collect();
    assert_eq!(
        told,
        [
            (after(9), Some("to r2@example.com")),
            (after(7), Some("550 5.1.1 no such user")),
            (after(5), Some("to r1@example.com"))
        ],
        "each when it happened"
    );
    pages_are_parts_of(&world, order, &events).await;
}

pub async fn of_one_instant_the_last_position_and_the_last_number_come_first(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(world.command("order", 3)).await;
    for _ in 0..2 {
        let entries = [("r1@example.com", None), ("r3@example.com", None)];
        world.resend(resending(world.production, order, &entries, now())).await;
    }
    let events = world.events(world.production, order).await;
    let (sent, resent, placed) = (EventType::Sent, EventType::Resent, EventType::Placed);
    let expected = [
        (3, 3, resent),
        (3, 2, resent),
        (3, 1, sent),
        (2, 1, sent),
        (1, 3, resent),
        (1, 2, resent),
        (1, 1, sent),
        (3, 0, placed),
        (2, 0, placed),
        (1, 0, placed),
    ];
    assert_eq!(short(&events), expected);
    pages_are_parts_of(&world, order, &events).await;
}

pub async fn the_whole_life_of_a_gift_is_told(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(choosing(world.production, "order", &[1_000, 1_000])).await;
    let gift = gift_key(world.production, order, 2);
    world.resend(resending(world.production, order, &[("r2@example.com", Some("new@example.com"))], after(10))).await;
    world.deliver_all(after(20)).await;
    world.store.request_verification(gift, 2, after(30)).await.expect("an answer");
    world.store.verify(gift, 2, 1, after(40)).await.expect("an answer");
    let redeeming = crate::world::redeeming(gift, 1, 250, after(50));
    world.reserved(giftd_domain::gifts::redemption::Reserve { link_version: 2, ..redeeming }).await;
    let supplied = giftd_domain::gifts::redemption::Supplied::Code(crate::world::code("code"));
    world.supply(gift, 1, supplied, after(60)).await;
    world.turn(now() + A_MONTH).await;
    let story: Vec<_> = world.story(order, 2).await;
    let told: Vec<_> = story.iter().map(|(event, detail)| (*event, detail.as_deref())).collect();
    assert_eq!(
        told,
        [
            (EventType::Placed, None),
            (EventType::Sent, Some("to r2@example.com")),
            (EventType::Resent, Some("r2@example.com → new@example.com")),
            (EventType::Sent, Some("to new@example.com")),
            (EventType::VerificationRequested, None),
            (EventType::Verified, None),
            (EventType::Redeemed, Some("Sakura Books JP, 37500 JPY")),
            (EventType::Expired, Some("7.50 USD unredeemed")),
            (EventType::Refunded, Some("5.25 USD")),
        ]
    );
    let events = world.events(world.production, order).await;
    let of_gift: Vec<_> = events.iter().rev().filter(|event| event.position == 2).collect();
    assert!(of_gift.iter().map(|event| event.number).eq(0..9), "numbers count the gift's events");
    let at = |seconds| after(seconds);
    let end = now() + A_MONTH;
    let instants: Vec<_> = of_gift.iter().map(|event| event.at).collect();
    assert_eq!(instants, [at(0), at(0), at(10), at(20), at(30), at(40), at(60), end, end]);
    pages_are_parts_of(&world, order, &events).await;
    world.verify().await;
}

pub async fn events_are_dated_to_the_microsecond(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place(world.command("order", 1)).await.summary.order_id;
    let at = after(3) + SignedDuration::from_micros(123_457);
    let claimed = world.claim(after(1), 1).await;
    world.settle(vec![sent(&claimed[0], at)], after(5)).await;
    assert_eq!(world.events(world.production, order).await[0].at, at);
}

pub async fn events_are_seen_by_the_orders_account_only(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place(world.command("order", 1)).await.summary.order_id;
    let page = giftd_domain::history::PageRequest { page: 1, page_size: 10 };
    let smart = OrderId { order_type: OrderType::Smart, ..order };
    let none = OrderId { time: TimeId::first_at(after(5)), ..order };
    for (account, order) in [(world.sandbox, order), (world.production, smart), (world.production, none)] {
        assert_eq!(world.store.order_events(account, order, page).await.expect("an answer"), None, "{order}");
    }
}

pub async fn events_that_happen_at_once_are_all_kept(bed: Bed) {
    let world = World::new(&bed).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    let order = world.place_and_send(world.command("order", 5)).await;
    crate::world::at_once((0..10_usize).map(|index| {
        let node = nodes[index % 2].clone();
        let address = format!("r{}@example.com", index / 2 + 1);
        async move { node.resend(resending(node.production, order, &[(&address, None)], after(10))).await }
    }))
    .await;
    for position in 1..=5 {
        let events = world.events(world.production, order).await;
        let numbers: Vec<_> =
            events.iter().filter(|event| event.position == position).map(|event| event.number).collect();
        assert_eq!(numbers, [3, 2, 1, 0], "of gift {position}");
    }
}
