//! Redeeming gifts: reserving a part, settling it by what the supplier said.

use std::collections::BTreeSet;

use giftd_domain::access::Environment;
use giftd_domain::account::AccountClock;
use giftd_domain::gifts::RedemptionStatus;
use giftd_domain::gifts::events::EventType;
use giftd_domain::gifts::redemption::{
    AskAgain, GiftAtHand, NotRedeemable, Redemption, RedemptionId, RedemptionState, Reserve, Reserved, Supplied,
};
use giftd_domain::ids::{AccountId, GiftKey, TimeId};
use giftd_domain::money::Money;
use giftd_domain::orders::place::PlaceOrder;
use giftd_domain::orders::{CardType, OrderType};
use giftd_store::{Cancellation, Unanswered};
use jiff::SignedDuration;

use crate::bed::Bed;
use crate::world::{
    A_MICROSECOND, A_MONTH, World, after, at_once, choosing, code, costing, failed, gift_key, now, redeeming, scheduled,
};

/// A choice gift that was sent now.
async fn choice_gift(world: &World, key: &str, cost: i64) -> GiftKey {
    let order = world.place_and_send(choosing(world.production, key, &[cost])).await;
    gift_key(world.production, order, 1)
}

fn with_code(text: &str) -> Supplied {
    Supplied::Code(code(text))
}

/// What of a gift is redeemed and what is held, with its status.
async fn used(world: &World, gift: GiftKey) -> (i64, i64, RedemptionStatus) {
    let gift = world.at_hand(gift).await.gift;
    (gift.redeemed, gift.reserved, gift.redemption_status)
}

pub async fn a_gift_at_hand_is_all_that_its_page_needs(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(choosing(world.production, "order", &[1_000, 2_000])).await;
    let gift = gift_key(world.production, order, 2);
    let first = world.reserved(redeeming(gift, 9, 100, after(1))).await;
    let second = world.reserved(redeeming(gift, 5, 200, after(2))).await;
    let third = world.reserved(redeeming(gift, 7, 300, after(3))).await;
    let second = world.supply(gift, 5, Supplied::Refused, after(4)).await.unwrap_or(second);
    let order = world.order(order).await;
    let expected = GiftAtHand {
        account_id: world.production,
        environment: Environment::Production,
        clock: AccountClock::default(),
        organization_id: world.organization,
        organization: "Acme".to_owned(),
        order: order.summary,
        gift: order.gifts[1].clone(),
        redemptions: vec![first, second, third],
    };
    assert_eq!(world.at_hand(gift).await, expected, "its redemptions oldest first, released ones too");
    assert_eq!(world.at_hand(GiftKey { position: 1, ..gift }).await.redemptions, []);
    for none in [
        GiftKey { position: 3, ..gift },
        GiftKey { account_id: world.sandbox, ..gift },
        GiftKey { account_id: AccountId(4_711), ..gift },
        GiftKey { order: TimeId::first_at(after(5)), ..gift },
    ] {
        assert_eq!(world.store.gift_at_hand(none).await.expect("an answer"), None);
    }
}

pub async fn of_released_redemptions_the_last_20_are_at_hand(bed: Bed) {
    let world = World::new(&bed).await;
    let gift = choice_gift(&world, "order", 100_000).await;
    let done = world.reserved(redeeming(gift, 100, 500, after(1))).await;
    let done = world.supply(gift, 100, with_code("CODE"), after(2)).await.unwrap_or(done);
    let reserved = world.reserved(redeeming(gift, 101, 500, after(3))).await;
    let mut released = Vec::new();
    for id in 1..=30 {
        world.reserved(redeeming(gift, id, 100, after(10))).await;
    }
    // Whichever was asked for first.
    for (id, seconds) in (1..=30).rev().zip(20..) {
        released.extend(world.supply(gift, id, Supplied::Refused, after(seconds)).await);
    }
    released.reverse();
    let expected = [&[done, reserved], &released[..20]].concat();
    assert_eq!(world.at_hand(gift).await.redemptions, expected);
    let known = world.reserve(redeeming(gift, 30, 100, after(60))).await;
    assert_eq!(known, Reserved::Known(released[29].clone()), "all are kept");
    world.verify().await;
}

pub async fn a_reserved_part_is_held_and_no_money_moves(bed: Bed) {
    let world = World::new(&bed).await;
    let gift = choice_gift(&world, "order", 1_000).await;
    let balances = world.balances().await;
    let command = redeeming(gift, 1, 400, after(10));
    let expected = Redemption {
        id: RedemptionId(1),
        product_id: "20001".to_owned(),
        product_name: "Sakura Books JP".to_owned(),
        face: Money::new(60_000, "JPY".parse().expect("yen")),
        cost: 400,
        state: RedemptionState::Reserved,
        code: None,
        asked_again: 0,
        reserved_at: after(10),
        settled_at: None,
    };
    assert_eq!(world.reserve(command).await, Reserved::New(expected.clone()));
    let at_hand = world.at_hand(gift).await;
    assert_eq!((at_hand.gift.open(), at_hand.redemptions), (600, vec![expected]));
    assert_eq!(used(&world, gift).await, (0, 400, RedemptionStatus::Unredeemed));
    assert_eq!(world.balances().await, balances);
    world.verify().await;
}

pub async fn a_supplied_part_is_redeemed_with_its_code_and_an_event(bed: Bed) {
    let world = World::new(&bed).await;
    let gift = choice_gift(&world, "order", 1_000).await;
    let balances = world.balances().await;
    let first = world.reserved(redeeming(gift, 1, 400, after(10))).await;
    let done = world.supply(gift, 1, with_code("CODE-1"), after(20)).await;
    let expected =
        Redemption { state: RedemptionState::Done, code: Some(code("CODE-1")), settled_at: Some(after(20)), ..first };
    assert_eq!(done, Some(expected.clone()));
    assert_eq!(world.at_hand(gift).await.redemptions, [expected]);
    assert_eq!(used(&world, gift).await, (400, 0, RedemptionStatus::PartiallyRedeemed));
    assert_eq!(world.at_hand(gift).await.gift.redeemed_at, None);

    world.reserved(redeeming(gift, 2, 600, after(30))).await;
    world.supply(gift, 2, with_code("CODE-2"), after(40)).await;
    assert_eq!(used(&world, gift).await, (1_000, 0, RedemptionStatus::Redeemed));
    let at_hand = world.at_hand(gift).await;
    assert_eq!(at_hand.gift.redeemed_at, Some(after(40)), "set when nothing is left");
    let order = at_hand.order.order_id;
    let redeemed: Vec<_> = world.story(order, 1).await.split_off(2);
    let detail = |text: &str| (EventType::Redeemed, Some(text.to_owned()));
    assert_eq!(redeemed, [detail("Sakura Books JP, 60000 JPY"), detail("Sakura Books JP, 90000 JPY")]);
    assert_eq!(world.balances().await, balances, "no money moves");
    world.verify().await;
}

pub async fn a_refused_part_is_open_again(bed: Bed) {
    let world = World::new(&bed).await;
    let gift = choice_gift(&world, "order", 1_000).await;
    let reserved = world.reserved(redeeming(gift, 1, 1_000, after(10))).await;
    let full = world.reserve(redeeming(gift, 2, 1, after(11))).await;
    assert_eq!(full, Reserved::Refused(NotRedeemable::Used), "all that is left is held");
    let released = world.supply(gift, 1, Supplied::Refused, after(20)).await;
    let expected = Redemption { state: RedemptionState::Released, settled_at: Some(after(20)), ..reserved };
    assert_eq!(released, Some(expected.clone()));
    assert_eq!(used(&world, gift).await, (0, 0, RedemptionStatus::Unredeemed));
    assert_eq!(world.events_page(world.production, world.at_hand(gift).await.order.order_id, 1, 10).await.total, 2);
    let again = world.reserve(redeeming(gift, 1, 1_000, after(30))).await;
    assert_eq!(again, Reserved::Known(expected), "an id is used once, whatever became of it");
    world.redeem(gift, 2, 1_000, after(40)).await;
    world.verify().await;
}

pub async fn the_same_id_again_is_answered_with_what_became_of_it(bed: Bed) {
    let world = World::new(&bed).await;
    let other_node = world.on_another_node(&bed).await;
    let gift = choice_gift(&world, "order", 1_000).await;
    let first = world.reserved(redeeming(gift, 1, 400, after(10))).await;
    let others = [
        redeeming(gift, 1, 400, after(11)),
        Reserve { product_id: "10001".to_owned(), face: Money::usd(1), ..redeeming(gift, 1, 999, after(12)) },
        redeeming(gift, 1, 5_000, after(13)),
        redeeming(gift, 1, 400, after(13) + A_MONTH),
    ];
    for again in others.clone() {
        assert_eq!(other_node.reserve(again.clone()).await, Reserved::Known(first.clone()), "{again:?}");
    }
    let done = world.supply(gift, 1, with_code("CODE-1"), after(20)).await.expect("a redemption");
    for again in others {
        assert_eq!(other_node.reserve(again.clone()).await, Reserved::Known(done.clone()), "{again:?}");
    }
    assert_eq!(used(&world, gift).await, (400, 0, RedemptionStatus::PartiallyRedeemed));
    world.verify().await;
}

pub async fn what_cannot_be_redeemed_is_refused_with_the_reason(bed: Bed) {
    let world = World::new(&bed).await;
    let gift = choice_gift(&world, "order", 1_000).await;
    let refused = async |command: Reserve, reason: NotRedeemable| {
        assert_eq!(world.reserve(command.clone()).await, Reserved::Refused(reason), "{command:?}");
    };
    let asked = redeeming(gift, 1, 100, after(10));
    refused(Reserve { link_version: 2, ..asked.clone() }, NotRedeemable::Unknown).await;
    for none in [GiftKey { position: 2, ..gift }, GiftKey { account_id: world.sandbox, ..gift }] {
        refused(Reserve { gift: none, ..asked.clone() }, NotRedeemable::Unknown).await;
    }
    refused(redeeming(gift, 1, 1_001, after(10)), NotRedeemable::TooMuch { open: 1_000 }).await;
    world.redeem(gift, 2, 700, after(20)).await;
    refused(redeeming(gift, 1, 301, after(30)), NotRedeemable::TooMuch { open: 300 }).await;
    // Its time is over, although nobody turned it yet.
    refused(redeeming(gift, 1, 300, now() + A_MONTH), NotRedeemable::Expired).await;
    world.reserved(redeeming(gift, 3, 300, now() + A_MONTH - A_MICROSECOND)).await;

    let used_up = choice_gift(&world, "used", 500).await;
    world.redeem(used_up, 4, 500, after(20)).await;
    refused(redeeming(used_up, 5, 1, after(30)), NotRedeemable::Used).await;

    let waiting = PlaceOrder { timing: scheduled(after(86_400)), ..choosing(world.production, "waiting", &[500]) };
    let order = world.place(waiting).await.summary.order_id;
    let waiting = gift_key(world.production, order, 1);
    refused(redeeming(waiting, 6, 500, after(1)), NotRedeemable::NotYet).await;
    let answer = world.cancel(world.production, order, after(2)).await;
    assert!(matches!(answer, Cancellation::Canceled(_)), "{answer:?}");
    refused(redeeming(waiting, 6, 500, after(3)), NotRedeemable::Canceled).await;
    assert_eq!(world.at_hand(gift).await.redemptions.len(), 2, "a refused one isn't kept");
    world.verify().await;
}

pub async fn a_refused_id_can_be_used_later(bed: Bed) {
    let world = World::new(&bed).await;
    let gift = choice_gift(&world, "order", 1_000).await;
    world.reserve(redeeming(gift, 1, 1_001, after(10))).await;
    world.redeem(gift, 1, 1_000, after(20)).await;
    assert_eq!(used(&world, gift).await, (1_000, 0, RedemptionStatus::Redeemed));
}

pub async fn a_branded_gift_is_redeemed_whole(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(costing(world.production, "order", &[1_000])).await;
    assert_eq!(world.order(order).await.summary.card_type, CardType::BrandedCard);
    let gift = gift_key(world.production, order, 1);
    let part = world.reserve(redeeming(gift, 1, 400, after(10))).await;
    assert_eq!(part, Reserved::Refused(NotRedeemable::TooMuch { open: 1_000 }));
    world.redeem(gift, 1, 1_000, after(10)).await;
    assert_eq!(used(&world, gift).await, (1_000, 0, RedemptionStatus::Redeemed));
}

pub async fn a_gift_that_failed_or_is_a_link_can_be_redeemed(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place(world.command("failed", 1)).await.summary.order_id;
    let claimed = world.claim(now(), 1).await;
    world.settle(vec![failed(&claimed[0], now())], now()).await;
    world.redeem(gift_key(world.production, order, 1), 1, 1_000, after(10)).await;
    let mut command = PlaceOrder { order_type: OrderType::Link, ..world.command("link", 1) };
    command.gifts[0].recipient.email = None;
    let order = world.place_and_send(command).await;
    world.redeem(gift_key(world.production, order, 1), 2, 1_000, after(10)).await;
    world.verify().await;
}

pub async fn a_gift_is_split_until_nothing_is_left(bed: Bed) {
    let world = World::new(&bed).await;
    let gift = choice_gift(&world, "order", 1_000).await;
    for (id, cost) in [(1, 1), (2, 333), (3, 600), (4, 66)] {
        world.redeem(gift, id, cost, after(10)).await;
    }
    assert_eq!(used(&world, gift).await, (1_000, 0, RedemptionStatus::Redeemed));
    assert_eq!(world.turn(now() + A_MONTH).await.expired, 0, "nothing of it expires");
    assert_eq!(used(&world, gift).await, (1_000, 0, RedemptionStatus::Redeemed));
    world.verify().await;
}

// --- settling ---

pub async fn a_redemption_is_settled_once(bed: Bed) {
    let world = World::new(&bed).await;
    let gift = choice_gift(&world, "order", 1_000).await;
    world.reserved(redeeming(gift, 1, 400, after(10))).await;
    world.reserved(redeeming(gift, 2, 400, after(10))).await;
    let done = world.supply(gift, 1, with_code("CODE-1"), after(20)).await;
    let released = world.supply(gift, 2, Supplied::Refused, after(20)).await;
    let before = world.at_hand(gift).await;
    for supplied in [with_code("CODE-1"), with_code("OTHER"), Supplied::Refused] {
        assert_eq!(world.supply(gift, 1, supplied.clone(), after(30)).await, done, "{supplied:?}");
        assert_eq!(world.supply(gift, 2, supplied.clone(), after(30)).await, released, "{supplied:?}");
    }
    assert_eq!(world.at_hand(gift).await, before, "again, or after another outcome, nothing happens");
    assert_eq!(world.story(before.order.order_id, 1).await.len(), 3);
    world.verify().await;
}

pub async fn what_was_not_reserved_is_not_settled(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(choosing(world.production, "order", &[1_000, 1_000])).await;
    let [gift, other] = [1, 2].map(|position| gift_key(world.production, order, position));
    world.reserved(redeeming(gift, 1, 400, after(10))).await;
    assert_eq!(world.supply(gift, 2, with_code("CODE"), after(20)).await, None);
    assert_eq!(world.supply(other, 1, with_code("CODE"), after(20)).await, None, "an id is of one gift");
    let elsewhere = GiftKey { account_id: world.sandbox, ..gift };
    assert_eq!(world.supply(elsewhere, 1, with_code("CODE"), after(20)).await, None);
    assert_eq!(used(&world, gift).await, (0, 400, RedemptionStatus::Unredeemed));
    world.verify().await;
}

pub async fn a_code_is_never_in_what_is_logged(bed: Bed) {
    let world = World::new(&bed).await;
    let gift = choice_gift(&world, "order", 1_000).await;
    world.redeem(gift, 1, 1_000, after(10)).await;
    let shown = format!("{:?}", world.at_hand(gift).await);
    assert!(shown.contains("Sealed(key 1)") && !shown.contains("[99, 111"), "{shown}");
}

// --- at once ---

pub async fn of_two_that_ask_at_once_for_more_than_is_left_one_gets_it(bed: Bed) {
    let world = World::new(&bed).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    for round in 0..10_u128 {
        let gift = choice_gift(&world, &format!("order {round}"), 1_000).await;
        let answers = at_once((0..4_usize).map(|index| {
            let node = nodes[index % 2].clone();
            let id = round * 10 + u128::try_from(index).expect("an id");
            async move { node.reserve(redeeming(gift, id, 600, after(10))).await }
        }))
        .await;
        let got = answers.iter().filter(|answer| matches!(answer, Reserved::New(_))).count();
        let less = Reserved::Refused(NotRedeemable::TooMuch { open: 400 });
        assert_eq!((got, answers.iter().filter(|answer| **answer == less).count()), (1, 3), "{answers:?}");
        assert_eq!(used(&world, gift).await, (0, 600, RedemptionStatus::Unredeemed));
    }
    world.verify().await;
}

pub async fn parts_asked_for_at_once_never_exceed_the_gift(bed: Bed) {
    let world = World::new(&bed).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    let gift = choice_gift(&world, "order", 1_000).await;
    let answers = at_once((0..30_usize).map(|index| {
        let node = nodes[index % 2].clone();
        let id = u128::try_from(index).expect("an id");
        async move {
            let answer = node.reserve(redeeming(gift, id, 100, after(10))).await;
            if matches!(answer, Reserved::New(_)) {
                node.supply(gift, id, with_code("code"), after(11)).await;
            }
            answer
        }
    }))
    .await;
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Reserved::New(_))).count(), 10);
    assert_eq!(answers.iter().filter(|answer| **answer == Reserved::Refused(NotRedeemable::Used)).count(), 20);
    assert_eq!(used(&world, gift).await, (1_000, 0, RedemptionStatus::Redeemed));
    let at_hand = world.at_hand(gift).await;
    assert_eq!(at_hand.redemptions.len(), 10);
    let redeemed = world.story(at_hand.order.order_id, 1).await;
    assert_eq!(redeemed.iter().filter(|(event, _)| *event == EventType::Redeemed).count(), 10);
    world.verify().await;
}

pub async fn one_id_asked_for_at_once_on_two_nodes_is_one_redemption(bed: Bed) {
    let world = World::new(&bed).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    for round in 0..10_u128 {
        let gift = choice_gift(&world, &format!("order {round}"), 1_000).await;
        let answers = at_once((0..6_usize).map(|index| {
            let node = nodes[index % 2].clone();
            async move { node.reserve(redeeming(gift, round, 300, after(10))).await }
        }))
        .await;
        let new: Vec<_> = answers.iter().filter(|answer| matches!(answer, Reserved::New(_))).collect();
        assert_eq!(new.len(), 1, "{answers:?}");
        let redemptions: BTreeSet<_> = answers
            .iter()
            .map(|answer| match answer {
                Reserved::New(redemption) | Reserved::Known(redemption) => redemption.id,
                Reserved::Refused(_) => panic!("{answer:?}"),
            })
            .collect();
        assert_eq!(redemptions, [RedemptionId(round)].into());
        assert_eq!(used(&world, gift).await, (0, 300, RedemptionStatus::Unredeemed));
    }
    world.verify().await;
}

pub async fn of_two_outcomes_at_once_one_counts_and_both_are_told_it(bed: Bed) {
    let world = World::new(&bed).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    for round in 0..10_u128 {
        let gift = choice_gift(&world, &format!("order {round}"), 1_000).await;
        world.reserved(redeeming(gift, round, 1_000, after(10))).await;
        let answers = at_once((0..4_usize).map(|index| {
            let node = nodes[index % 2].clone();
            let supplied = if index < 2 { with_code(&format!("code {index}")) } else { Supplied::Refused };
            async move { node.supply(gift, round, supplied, after(20)).await }
        }))
        .await;
        assert!(answers.iter().all(|answer| answer.is_some() && *answer == answers[0]), "{answers:?}");
        let at_hand = world.at_hand(gift).await;
        assert_eq!(answers[0].as_ref(), at_hand.redemptions.first());
        let redeemed = if at_hand.redemptions[0].state == RedemptionState::Done { 1_000 } else { 0 };
        assert_eq!((at_hand.gift.redeemed, at_hand.gift.reserved), (redeemed, 0));
    }
    world.verify().await;
}

// --- asking the supplier again ---

async fn ask(world: &World, seconds: i64, limit: u32) -> Vec<AskAgain> {
    world.store.claim_redemptions(after(seconds), limit).await.expect("an answer")
}

pub async fn a_supplier_is_asked_again_ever_more_slowly_until_it_answers(bed: Bed) {
    let world = World::new(&bed).await;
    let gift = choice_gift(&world, "order", 1_000).await;
    let reserved = world.reserved(redeeming(gift, 1, 400, now())).await;
    let mut due = 0;
    for wait in [30, 60, 120, 240, 480, 960, 960, 960] {
        due += wait;
        assert_eq!(ask(&world, due - 1, 10).await, [], "not yet at {due} s");
        let asked = ask(&world, due, 10).await;
        assert_eq!(asked.len(), 1, "at {due} s");
        assert_eq!((asked[0].gift, asked[0].environment), (gift, Environment::Production));
        let asked_again = asked[0].redemption.asked_again;
        assert_eq!(asked[0].redemption, Redemption { asked_again, ..reserved.clone() });
        assert_eq!(ask(&world, due, 10).await, [], "no two ask at once");
    }
    assert!(world.at_hand(gift).await.redemptions[0].asked_again >= 7);
    world.supply(gift, 1, with_code("CODE"), after(due)).await;
    assert_eq!(ask(&world, due + 100_000, 10).await, [], "there is a code");
}

pub async fn redemptions_without_an_answer_are_counted_in_production(bed: Bed) {
    let world = World::new(&bed).await;
    let unanswered = async || world.store.unanswered().await.expect("an answer");
    assert_eq!(unanswered().await, Unanswered::default());
    let gift = choice_gift(&world, "order", 1_000).await;
    for id in 1..=3 {
        world.reserved(redeeming(gift, id, 100, after(i64::try_from(id).expect("few")))).await;
    }
    let order = world.place_and_send(choosing(world.sandbox, "play", &[1_000])).await;
    world.reserved(redeeming(gift_key(world.sandbox, order, 1), 9, 100, now())).await;
    assert_eq!(unanswered().await, Unanswered { redemptions: 3, since: Some(after(1)) });
    world.supply(gift, 1, with_code("CODE"), after(10)).await;
    world.supply(gift, 2, Supplied::Refused, after(10)).await;
    assert_eq!(unanswered().await, Unanswered { redemptions: 1, since: Some(after(3)) });
}

pub async fn the_oldest_reserved_are_asked_for_first(bed: Bed) {
    let world = World::new(&bed).await;
    let gift = choice_gift(&world, "order", 1_000).await;
    let order = world.place_and_send(choosing(world.sandbox, "play", &[1_000])).await;
    let play = gift_key(world.sandbox, order, 1);
    for (gift, id, seconds) in [(gift, 5, 2), (play, 6, 0), (gift, 7, 1), (gift, 8, 3)] {
        world.reserved(redeeming(gift, id, 100, after(seconds))).await;
    }
    world.supply(gift, 7, Supplied::Refused, after(4)).await;
    let told = |asked: Vec<AskAgain>| -> Vec<_> {
        asked.into_iter().map(|ask| (ask.redemption.id.0, ask.environment)).collect()
    };
    assert_eq!(told(ask(&world, 100, 0).await), []);
    let first = told(ask(&world, 100, 2).await);
    assert_eq!(first, [(6, Environment::Sandbox), (5, Environment::Production)]);
    assert_eq!(told(ask(&world, 100, 10).await), [(8, Environment::Production)]);
}

pub async fn each_redemption_is_asked_for_by_one_of_two_nodes(bed: Bed) {
    let world = World::new(&bed).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    let gift = choice_gift(&world, "order", 1_000).await;
    for id in 0..40 {
        world.reserved(redeeming(gift, id, 10, now())).await;
    }
    let asked = at_once((0..8_usize).map(|index| {
        let node = nodes[index % 2].clone();
        async move { ask(&node, 60, 7).await }
    }))
    .await;
    let mut all: Vec<_> = asked.into_iter().flatten().map(|ask| ask.redemption.id).collect();
    // A node may have found only what the other was taking.
    loop {
        let rest = ask(&world, 60, 7).await;
        if rest.is_empty() {
            break;
        }
        all.extend(rest.into_iter().map(|ask| ask.redemption.id));
    }
    assert_eq!((all.len(), all.iter().collect::<BTreeSet<_>>().len()), (40, 40));
}

pub async fn a_redemption_is_dated_to_the_microsecond(bed: Bed) {
    let world = World::new(&bed).await;
    let gift = choice_gift(&world, "order", 1_000).await;
    let at = after(10) + SignedDuration::from_micros(123_457);
    let reserved = world.reserved(redeeming(gift, 1, 1_000, at)).await;
    let settled = world.supply(gift, 1, with_code("code"), at + A_MICROSECOND).await.expect("a redemption");
    assert_eq!((reserved.reserved_at, settled.settled_at), (at, Some(at + A_MICROSECOND)));
    assert_eq!(world.at_hand(gift).await.gift.redeemed_at, Some(at + A_MICROSECOND));
}

pub async fn an_id_of_any_128_bits_is_kept(bed: Bed) {
    let world = World::new(&bed).await;
    let gift = choice_gift(&world, "order", 1_000).await;
    let ids = [0, 1, u128::MAX, 1 << 127, u128::from(u64::MAX)];
    for (second, id) in (0..).zip(ids) {
        world.redeem(gift, id, 10, after(second)).await;
    }
    let kept: Vec<_> = world.at_hand(gift).await.redemptions.iter().map(|redemption| redemption.id.0).collect();
    assert_eq!(kept, ids);
}
