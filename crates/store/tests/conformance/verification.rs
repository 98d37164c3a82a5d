//! Proving that one controls the address of a gift.

use giftd_domain::gifts::MailKind;
use giftd_domain::gifts::events::EventType;
use giftd_domain::gifts::redemption::NotRedeemable;
use giftd_domain::gifts::verification::{VerificationRequested, Verified};
use giftd_domain::ids::{GiftKey, TimeId};
use giftd_domain::orders::OrderType;
use giftd_domain::orders::place::PlaceOrder;
use giftd_store::Cancellation;
use jiff::SignedDuration;

use crate::bed::Bed;
use crate::world::{World, after, at_once, gift_key, now, scheduled, sent};

const MINUTE: i64 = 60;
const DAY: i64 = 86_400;

async fn request(world: &World, gift: GiftKey, seconds: i64) -> VerificationRequested {
    world.store.request_verification(gift, 1, after(seconds)).await.expect("an answer")
}

fn requested(number: u32) -> VerificationRequested {
    VerificationRequested::Requested { number }
}

fn too_many(seconds: i64) -> VerificationRequested {
    VerificationRequested::TooMany { wait: SignedDuration::from_secs(seconds) }
}

async fn verify(world: &World, gift: GiftKey, number: u32, seconds: i64) -> Verified {
    world.store.verify(gift, 1, number, after(seconds)).await.expect("an answer")
}

/// A gift that was sent now.
async fn sent_gift(world: &World) -> GiftKey {
    let order = world.place_and_send(world.command("order", 2)).await;
    gift_key(world.production, order, 2)
}

pub async fn a_verification_mail_is_due_at_once_with_an_event(bed: Bed) {
    let world = World::new(&bed).await;
    let gift = sent_gift(&world).await;
    let before = world.at_hand(gift).await;
    assert_eq!(request(&world, gift, 10).await, requested(1));
    assert_eq!(world.claim(after(9), 10).await, []);
    let claimed = world.claim(after(12), 10).await;
    let told: Vec<_> =
        claimed.iter().map(|d| (d.gift.position, d.kind, d.send_number, d.attempts, d.due_at, d.tried_since)).collect();
    assert_eq!(told, [(2, MailKind::Verification, 1, 0, after(10), after(12))]);
    assert_eq!(claimed[0].recipient.email.as_deref(), Some("r2@example.com"));
    world.settle(vec![sent(&claimed[0], after(13))], after(13)).await;
    assert_eq!(world.claim(after(DAY), 10).await, []);
    let story = world.story(before.order.order_id, 2).await;
    assert_eq!(story[2..], [(EventType::VerificationRequested, None)]);
    assert_eq!(world.at_hand(gift).await, before, "the gift stays as it is");
    world.verify().await;
}

pub async fn a_verification_is_used_once_with_an_event(bed: Bed) {
    let world = World::new(&bed).await;
    let gift = sent_gift(&world).await;
    request(&world, gift, 10).await;
    assert_eq!(verify(&world, gift, 1, 20).await, Verified::Yes);
    assert_eq!(verify(&world, gift, 1, 21).await, Verified::Used);
    let story = world.story(world.at_hand(gift).await.order.order_id, 2).await;
    assert_eq!(story[2..], [(EventType::VerificationRequested, None), (EventType::Verified, None)]);
}

pub async fn a_verification_is_good_for_10_minutes(bed: Bed) {
    let world = World::new(&bed).await;
    let gift = sent_gift(&world).await;
    request(&world, gift, 0).await;
    request(&world, gift, 0).await;
    assert_eq!(verify(&world, gift, 1, 10 * MINUTE - 1).await, Verified::Yes);
    assert_eq!(verify(&world, gift, 2, 10 * MINUTE + 1).await, Verified::TooOld);
    let story = world.story(world.at_hand(gift).await.order.order_id, 2).await;
    assert_eq!(story.iter().filter(|(event, _)| *event == EventType::Verified).count(), 1);
}

pub async fn an_earlier_verification_stays_good_when_another_is_asked_for(bed: Bed) {
    let world = World::new(&bed).await;
    let gift = sent_gift(&world).await;
    request(&world, gift, 0).await;
    world.deliver_all(after(1)).await;
    request(&world, gift, 60).await;
    assert_eq!(verify(&world, gift, 1, 70).await, Verified::Yes);
    assert_eq!(verify(&world, gift, 2, 80).await, Verified::Yes);
}

pub async fn a_verification_is_for_its_gift_and_link(bed: Bed) {
    let world = World::new(&bed).await;
    let gift = sent_gift(&world).await;
    request(&world, gift, 0).await;
    let verify = async |gift: GiftKey, link_version, number| {
        world.store.verify(gift, link_version, number, after(10)).await.expect("an answer")
    };
    for (gift, link_version, number) in [
        (gift, 1, 0),
        (gift, 1, 2),
        (gift, 2, 1),
        (gift, 0, 1),
        (GiftKey { position: 1, ..gift }, 1, 1),
        (GiftKey { position: 9, ..gift }, 1, 1),
        (GiftKey { account_id: world.sandbox, ..gift }, 1, 1),
        (GiftKey { order: TimeId::first_at(after(5)), ..gift }, 1, 1),
    ] {
        assert_eq!(verify(gift, link_version, number).await, Verified::Unknown, "{gift:?} {link_version} {number}");
    }
    assert_eq!(verify(gift, 1, 1).await, Verified::Yes, "and none of these used it");
}

pub async fn a_waiting_verification_mail_is_replaced(bed: Bed) {
    let world = World::new(&bed).await;
    let gift = sent_gift(&world).await;
    request(&world, gift, 10).await;
    let old = world.claim(after(10), 10).await;
    assert_eq!(request(&world, gift, 20).await, requested(2));
    let outcome = world.settle(vec![sent(&old[0], after(21))], after(21)).await;
    assert_eq!((outcome.settled, outcome.dropped), (0, 1), "the old mail's claim settles nothing");
    let told: Vec<_> =
        world.claim(after(21), 10).await.iter().map(|d| (d.send_number, d.attempts, d.due_at, d.tried_since)).collect();
    assert_eq!(told, [(2, 0, after(20), after(21))]);
}

pub async fn at_most_3_are_asked_for_in_10_minutes(bed: Bed) {
    let world = World::new(&bed).await;
    let gift = sent_gift(&world).await;
    for (number, seconds) in [(1, 0), (2, 60), (3, 120)] {
        assert_eq!(request(&world, gift, seconds).await, requested(number));
    }
    world.deliver_all(after(121)).await;
    assert_eq!(request(&world, gift, 180).await, too_many(10 * MINUTE - 180));
    assert_eq!(request(&world, gift, 10 * MINUTE - 1).await, too_many(1));
    assert_eq!(world.claim(after(10 * MINUTE), 10).await, [], "a refused one mails nothing");
    let other = GiftKey { position: 1, ..gift };
    assert_eq!(request(&world, other, 180).await, requested(1), "each gift for itself");
    assert_eq!(request(&world, gift, 10 * MINUTE).await, requested(4), "and doesn't count");
    assert_eq!(request(&world, gift, 10 * MINUTE + 1).await, too_many(59));
    let story = world.story(world.at_hand(gift).await.order.order_id, 2).await;
    assert_eq!(story.iter().filter(|(event, _)| *event == EventType::VerificationRequested).count(), 4);
}

pub async fn at_most_10_are_asked_for_in_24_hours(bed: Bed) {
    let world = World::new(&bed).await;
    let gift = sent_gift(&world).await;
    for index in 0..10 {
        let number = u32::try_from(index + 1).expect("a number");
        assert_eq!(request(&world, gift, index * 20 * MINUTE).await, requested(number));
    }
    assert_eq!(request(&world, gift, 200 * MINUTE).await, too_many(DAY - 200 * MINUTE));
    assert_eq!(request(&world, gift, DAY - 1).await, too_many(1));
    assert_eq!(request(&world, gift, DAY).await, requested(11));
    assert_eq!(request(&world, gift, DAY + 1).await, too_many(20 * MINUTE - 1));
    // Also of those that were asked for after many more.
    for index in 1..10 {
        let number = u32::try_from(index + 11).expect("a number");
        assert_eq!(request(&world, gift, DAY + index * 20 * MINUTE).await, requested(number));
    }
    assert_eq!(request(&world, gift, DAY + 200 * MINUTE).await, too_many(DAY - 200 * MINUTE));
    assert_eq!(request(&world, gift, 2 * DAY).await, requested(21));
}

pub async fn used_verifications_count_as_asked_for(bed: Bed) {
    let world = World::new(&bed).await;
    let gift = sent_gift(&world).await;
    for number in 1..=3 {
        assert_eq!(request(&world, gift, 0).await, requested(number));
        assert_eq!(verify(&world, gift, number, 1).await, Verified::Yes);
    }
    assert_eq!(request(&world, gift, 60).await, too_many(9 * MINUTE));
}

pub async fn of_those_that_ask_at_once_3_get_a_mail(bed: Bed) {
    let world = World::new(&bed).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    let gift = sent_gift(&world).await;
    let mut answers = at_once((0..20_usize).map(|index| {
        let node = nodes[index % 2].clone();
        async move { request(&node, gift, 10).await }
    }))
    .await;
    answers.sort_by_key(|answer| match answer {
        VerificationRequested::Requested { number } => *number,
        _ => 100,
    });
    assert_eq!(answers[..3], [requested(1), requested(2), requested(3)]);
    assert!(answers[3..].iter().all(|answer| *answer == too_many(10 * MINUTE)), "{answers:?}");
}

pub async fn a_verification_used_at_once_on_two_nodes_counts_once(bed: Bed) {
    let world = World::new(&bed).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    let gift = sent_gift(&world).await;
    request(&world, gift, 10).await;
    let answers = at_once((0..8_usize).map(|index| {
        let node = nodes[index % 2].clone();
        async move { verify(&node, gift, 1, 20).await }
    }))
    .await;
    assert_eq!(answers.iter().filter(|answer| **answer == Verified::Yes).count(), 1);
    assert_eq!(answers.iter().filter(|answer| **answer == Verified::Used).count(), 7);
}

pub async fn who_has_no_business_with_a_gift_gets_no_mail(bed: Bed) {
    let world = World::new(&bed).await;
    let gift = sent_gift(&world).await;
    let asked = async |gift: GiftKey, link_version| {
        world.store.request_verification(gift, link_version, after(10)).await.expect("an answer")
    };
    let refused = |why| VerificationRequested::Refused(why);
    assert_eq!(asked(gift, 2).await, refused(NotRedeemable::Unknown));
    assert_eq!(asked(GiftKey { position: 3, ..gift }, 1).await, refused(NotRedeemable::Unknown));
    assert_eq!(asked(GiftKey { account_id: world.sandbox, ..gift }, 1).await, refused(NotRedeemable::Unknown));

    let waiting = PlaceOrder { timing: scheduled(after(DAY)), ..world.command("waiting", 1) };
    let order = world.place(waiting).await.summary.order_id;
    let waiting = gift_key(world.production, order, 1);
    assert_eq!(asked(waiting, 1).await, refused(NotRedeemable::NotYet));
    let answer = world.cancel(world.production, order, after(1)).await;
    assert!(matches!(answer, Cancellation::Canceled(_)), "{answer:?}");
    assert_eq!(asked(waiting, 1).await, refused(NotRedeemable::Canceled));

    let mut link = PlaceOrder { order_type: OrderType::Link, ..world.command("link", 1) };
    link.gifts[0].recipient.email = None;
    let order = world.place_and_send(link).await;
    let answer = asked(gift_key(world.production, order, 1), 1).await;
    assert!(matches!(answer, VerificationRequested::Refused(_)), "it has no address: {answer:?}");
    assert_eq!(world.claim(after(2 * DAY), 10).await, []);
}

pub async fn the_recipient_of_an_expired_gift_can_still_prove_the_address(bed: Bed) {
    let world = World::new(&bed).await;
    let gift = sent_gift(&world).await;
    world.redeem(gift, 1, 1_000, now()).await;
    world.turn(after(181 * DAY)).await;
    let other = GiftKey { position: 1, ..gift };
    for gift in [gift, other] {
        assert_eq!(request(&world, gift, 181 * DAY).await, requested(1), "its codes can be seen for a while");
        assert_eq!(verify(&world, gift, 1, 181 * DAY + 1).await, Verified::Yes);
    }
}
