//! Sending gifts again, perhaps to another address.

use giftd_domain::gifts::events::EventType;
use giftd_domain::gifts::redemption::{NotRedeemable, Reserved};
use giftd_domain::gifts::verification::{VerificationRequested, Verified};
use giftd_domain::gifts::{DeliveryStatus, MailKind, RedemptionStatus};
use giftd_domain::ids::{OrderId, TimeId};
use giftd_domain::limits;
use giftd_domain::orders::place::PlaceOrder;
use giftd_domain::orders::resend::{Resend, SkipReason, Skipped};
use giftd_domain::orders::{OrderStatus, OrderType};
use giftd_store::{Cancellation, Resent, Settled};
use jiff::SignedDuration;

use crate::bed::Bed;
use crate::world::{
    A_MICROSECOND, A_MONTH, GIFT, LEASE, World, after, at_once, choosing, failed, gift_key, now, redeeming, resending,
    retry, scheduled, sent,
};

const R1: &str = "r1@example.com";
const R2: &str = "r2@example.com";
const NEW: &str = "new@example.com";
const A_DAY: i64 = 86_400;

fn done(requeued: u32) -> Resent {
    Resent::Done { requeued, skipped: vec![] }
}

fn partly(requeued: u32, skipped: &[(&str, SkipReason)]) -> Resent {
    let skipped = skipped.iter().map(|&(email, reason)| Skipped { email: email.to_owned(), reason }).collect();
    Resent::Done { requeued, skipped }
}

/// Asks as `app_1` for gifts of a production order.
async fn resend(world: &World, order: OrderId, entries: &[(&str, Option<&str>)], seconds: i64) -> Resent {
    world.resend(resending(world.production, order, entries, after(seconds))).await
}

async fn address(world: &World, order: OrderId, position: usize) -> String {
    world.gift(order, position).await.recipient.email.expect("an address")
}

/// An order of choice cards to addresses, sent now.
async fn sent_to(world: &World, key: &str, addresses: &[&str]) -> OrderId {
    let mut command = choosing(world.production, key, &vec![GIFT; addresses.len()]);
    for (gift, address) in command.gifts.iter_mut().zip(addresses) {
        gift.recipient.email = Some((*address).to_owned());
    }
    world.place_and_send(command).await
}

// --- to the same address ---

pub async fn a_gift_that_is_sent_again_has_a_new_mail_due_now(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(world.command("order", 2)).await;
    let (before, balances) = (world.order(order).await, world.balances().await);
    assert_eq!(resend(&world, order, &[(R2, None)], 100).await, done(1));
    assert_eq!(world.order(order).await, before, "nothing of the gift changes before the mail is settled");
    assert_eq!(world.claim(after(100) - A_MICROSECOND, 10).await, []);
    let claimed = world.claim(after(103), 10).await;
    let told: Vec<_> = claimed
        .iter()
        .map(|d| (d.gift.position, d.kind, d.send_number, d.attempts, d.due_at, d.tried_since, d.link_version))
        .collect();
    assert_eq!(told, [(2, MailKind::Gift, 2, 0, after(100), after(103), 1)]);
    assert_eq!(claimed[0].expires_at, before.gifts[1].expires_at);
    let settled = Settled { settled: 1, dropped: 0, completed_orders: 0 };
    assert_eq!(world.settle(vec![sent(&claimed[0], after(110))], after(110)).await, settled);
    let gift = world.gift(order, 2).await;
    assert_eq!((gift.delivery_status, gift.delivery_attempts), (DeliveryStatus::Sent, 2));
    assert_eq!((gift.sent_at, gift.expires_at), (Some(now()), before.gifts[1].expires_at), "the first success counts");
    assert_eq!(world.balances().await, balances, "money doesn't move");
    assert_eq!(world.order(order).await.summary, before.summary);
    world.verify().await;
}

pub async fn who_asked_is_recorded_with_an_event(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(world.command("order", 2)).await;
    let asked = Resend {
        client_id: "app_2".to_owned(),
        request_id: "request 2".to_owned(),
        ..resending(world.production, order, &[(R1, None), (R2, Some(NEW))], after(10))
    };
    assert_eq!(world.resend(asked).await, done(2));
    let rows = async |wanted: &str| bed.number(&format!("SELECT count(*) FROM resends WHERE {wanted}")).await;
    assert_eq!(rows("client_id = 'app_2' AND request_id = 'request 2'").await, 2);
    assert_eq!(rows("position = 1 AND from_email = 'r1@example.com' AND to_email IS NULL").await, 1);
    assert_eq!(rows("position = 2 AND from_email = 'r2@example.com' AND to_email = 'new@example.com'").await, 1);
    let (resent, sent) = (EventType::Resent, EventType::Sent);
    assert_eq!(world.story(order, 1).await[1..], [(sent, Some(format!("to {R1}"))), (resent, Some(R1.to_owned()))]);
    let moved = (resent, Some(format!("{R2} → {NEW}")));
    assert_eq!(world.story(order, 2).await[1..], [(sent, Some(format!("to {R2}"))), moved]);
}

pub async fn two_gifts_with_one_address_are_both_sent_again_whatever_its_case(bed: Bed) {
    let world = World::new(&bed).await;
    let order = sent_to(&world, "order", &["Alice@Example.com", R2, "alice@example.com"]).await;
    assert_eq!(resend(&world, order, &[("ALICE@example.COM", None)], 10).await, done(2));
    let claimed = world.claim(after(10), 10).await;
    let mut told: Vec<_> = claimed.iter().map(|d| (d.gift.position, d.recipient.email.clone())).collect();
    told.sort();
    let (first, third) = ("Alice@Example.com".to_owned(), "alice@example.com".to_owned());
    assert_eq!(told, [(1, Some(first)), (3, Some(third))], "each as it was written in the order");
}

pub async fn a_failed_gift_that_is_sent_again_becomes_sent_and_keeps_its_expiry(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place(world.command("order", 1)).await.summary.order_id;
    let claimed = world.claim(after(1), 10).await;
    world.settle(vec![failed(&claimed[0], after(2))], after(3)).await;
    let (before, balances) = (world.order(order).await, world.balances().await);
    assert_eq!(before.summary.status, OrderStatus::Complete);
    assert_eq!(resend(&world, order, &[(R1, None)], 100).await, done(1));
    assert_eq!(world.gift(order, 1).await.delivery_status, DeliveryStatus::Failed, "until it is settled");
    let claimed = world.claim(after(100), 10).await;
    let settled = Settled { settled: 1, dropped: 0, completed_orders: 0 };
    assert_eq!(world.settle(vec![sent(&claimed[0], after(105))], after(106)).await, settled);
    let gift = world.gift(order, 1).await;
    assert_eq!((gift.delivery_status, gift.delivery_error), (DeliveryStatus::Sent, None));
    assert_eq!((gift.sent_at, gift.expires_at), (Some(after(105)), before.gifts[0].expires_at));
    assert_eq!((world.balances().await, world.order(order).await.summary), (balances, before.summary));
    world.verify().await;
}

pub async fn a_gift_of_an_order_under_way_that_failed_first_expires_from_its_first_success(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place(world.command("order", 2)).await.summary.order_id;
    let mut claimed = world.claim(after(1), 10).await;
    claimed.sort_by_key(|delivery| delivery.gift);
    world.settle(vec![failed(&claimed[0], after(2)), retry(&claimed[1], after(2), after(900))], after(2)).await;
    assert_eq!(resend(&world, order, &[(R1, None)], 100).await, done(1));
    let again = world.claim(after(100), 10).await;
    world.settle(vec![sent(&again[0], after(105))], after(105)).await;
    let lasts = SignedDuration::from_hours(180 * 24);
    let gift = world.gift(order, 1).await;
    assert_eq!((gift.sent_at, gift.expires_at), (Some(after(105)), Some(after(105) + lasts)));
    let last = world.claim(after(900), 10).await;
    assert_eq!(world.settle(vec![sent(&last[0], after(901))], after(901)).await.completed_orders, 1);
    assert_eq!(world.gift(order, 1).await, gift, "which the order's completion leaves alone");
    assert_eq!(world.balances().await.issued, 2 * GIFT);
    world.verify().await;
}

pub async fn a_sent_gift_whose_resend_fails_is_failed_and_keeps_its_first_success(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(world.command("order", 1)).await;
    let (before, balances) = (world.gift(order, 1).await, world.balances().await);
    resend(&world, order, &[(R1, None)], 10).await;
    let claimed = world.claim(after(10), 10).await;
    world.settle(vec![retry(&claimed[0], after(11), after(20))], after(11)).await;
    let tried = world.gift(order, 1).await;
    assert_eq!((tried.delivery_status, tried.delivery_error), (DeliveryStatus::Sent, None), "it stays until settled");
    let claimed = world.claim(after(20), 10).await;
    assert_eq!((claimed[0].attempts, claimed[0].send_number), (1, 2), "attempts are counted for each send");
    world.settle(vec![failed(&claimed[0], after(21))], after(21)).await;
    let gift = world.gift(order, 1).await;
    assert_eq!((gift.delivery_status, gift.delivery_attempts), (DeliveryStatus::Failed, 3));
    assert_eq!(gift.delivery_error.as_deref(), Some("550 5.1.1 no such user"));
    assert_eq!((gift.sent_at, gift.expires_at), (before.sent_at, before.expires_at));
    assert_eq!(world.balances().await, balances);
    world.verify().await;
}

pub async fn an_old_mails_claim_settles_nothing_after_a_resend(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(world.command("order", 1)).await;
    resend(&world, order, &[(R1, None)], 10).await;
    let old = world.claim(after(10), 10).await;
    assert_eq!(resend(&world, order, &[(R1, Some(NEW))], 11).await, done(1), "whatever became of an earlier mail");
    let before = world.gift(order, 1).await;
    for stale in [sent(&old[0], after(12)), failed(&old[0], after(12)), retry(&old[0], after(12), after(900))] {
        let dropped = Settled { settled: 0, dropped: 1, completed_orders: 0 };
        assert_eq!(world.settle(vec![stale], after(12)).await, dropped);
    }
    assert_eq!(world.gift(order, 1).await, before);
    let new = world.claim(after(12), 10).await;
    assert_eq!(new.len(), 1, "the new mail doesn't wait for the old claim's lease");
    assert_eq!((new[0].send_number, new[0].attempts, new[0].recipient.email.as_deref()), (3, 0, Some(NEW)));
    assert_eq!((new[0].due_at, new[0].tried_since), (after(11), after(12)));
    assert_ne!(new[0].claim, old[0].claim);
    world.settle(vec![sent(&new[0], after(13))], after(13)).await;
    assert_eq!(world.claim(after(A_DAY), 10).await, [], "the old one is gone");
    world.verify().await;
}

pub async fn a_claim_of_an_earlier_send_settles_nothing_however_late_it_comes(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place(world.command("order", 1)).await.summary.order_id;
    // The first one's lease ends; the second one sends.
    let lost = world.claim(now(), 10).await;
    let taken_over = world.claim(now() + LEASE, 10).await;
    world.settle(vec![sent(&taken_over[0], now() + LEASE)], now() + LEASE).await;
    for round in 1..=3 {
        let at = now() + LEASE * (round * 10);
        world.resend(Resend { now: at, ..resending(world.production, order, &[(R1, None)], at) }).await;
        let before = world.gift(order, 1).await;
        let new = world.claim(at, 10).await;
        let late = vec![failed(&lost[0], at), failed(&taken_over[0], at)];
        let outcome = world.settle(late, at).await;
        assert_eq!((outcome.settled, outcome.dropped), (0, 2), "round {round}");
        assert_eq!(world.gift(order, 1).await, before);
        assert_eq!(world.settle(vec![sent(&new[0], at)], at).await.settled, 1, "round {round}");
    }
}

pub async fn a_mail_that_waits_is_replaced_by_a_resend(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(world.command("order", 1)).await;
    resend(&world, order, &[(R1, None)], 10).await;
    let claimed = world.claim(after(10), 10).await;
    world.settle(vec![retry(&claimed[0], after(10), after(4_000))], after(10)).await;
    resend(&world, order, &[(R1, None)], 20).await;
    resend(&world, order, &[(R1, None)], 30).await;
    let claimed = world.claim(after(30), 10).await;
    let told: Vec<_> = claimed.iter().map(|d| (d.send_number, d.attempts, d.due_at, d.tried_since)).collect();
    assert_eq!(told, [(4, 0, after(30), after(30))], "one mail, the latest, which starts anew");
    assert_eq!(world.claim(after(30) + LEASE - A_MICROSECOND, 10).await, []);
}

// --- who is skipped ---

pub async fn each_gift_that_is_not_sent_again_is_told_with_its_reason(bed: Bed) {
    use SkipReason::{AlreadyMoved, AlreadyRedeemed, Expired, LimitReached, NotARecipient, NotYetSent};
    let world = World::new(&bed).await;
    let addresses = ["used@a.co", "partly@a.co", "moved@a.co", "often@a.co", "waits@a.co", "fine@a.co"];
    let mut command = choosing(world.production, "order", &[GIFT; 6]);
    for (gift, address) in command.gifts.iter_mut().zip(addresses) {
        gift.recipient.email = Some(address.to_owned());
    }
    let order = world.place(command).await.summary.order_id;
    let claimed = world.claim(now(), 10).await;
    let outcomes = claimed.iter().map(|delivery| match delivery.gift.position {
        5 => retry(delivery, now(), after(40 * A_DAY)),
        _ => sent(delivery, now()),
    });
    world.settle(outcomes.collect(), now()).await;
    world.redeem(gift_key(world.production, order, 1), 1, GIFT, after(1)).await;
    world.redeem(gift_key(world.production, order, 2), 2, 1, after(1)).await;
    assert_eq!(resend(&world, order, &[("moved@a.co", Some(NEW))], 2).await, done(1));
    for _ in 0..limits::RESENDS_A_DAY {
        assert_eq!(resend(&world, order, &[("often@a.co", None)], 2).await, done(1));
    }
    let before = world.order(order).await;
    let entries = [
        ("fine@a.co", None),
        ("Often@a.co", None),
        ("Nobody@a.co", None),
        ("MOVED@a.co", Some("New@Example.com")),
        ("waits@a.co", None),
        ("partly@a.co", Some("thief@a.co")),
        ("USED@a.co", None),
    ];
    let skipped = [
        ("Often@a.co", LimitReached),
        ("Nobody@a.co", NotARecipient),
        ("MOVED@a.co", AlreadyMoved),
        ("waits@a.co", NotYetSent),
        ("partly@a.co", AlreadyRedeemed),
        ("USED@a.co", AlreadyRedeemed),
    ];
    assert_eq!(resend(&world, order, &entries, 3).await, partly(1, &skipped), "as the client wrote them");
    let again = [("partly@a.co", None)];
    assert_eq!(resend(&world, order, &again, 3).await, done(1), "a partly redeemed gift to its own address");
    assert_eq!(world.order(order).await.gifts, before.gifts, "nothing moved");

    // Its time is over, whether it was turned already or not.
    let end = 30 * A_DAY;
    let expired = partly(0, &[("fine@a.co", Expired)]);
    assert_eq!(resend(&world, order, &[("fine@a.co", None)], end).await, expired);
    world.turn(after(end)).await;
    assert_eq!(resend(&world, order, &[("fine@a.co", None)], end).await, expired);
    assert_eq!(resend(&world, order, &[("partly@a.co", None)], end).await, partly(0, &[("partly@a.co", Expired)]));
    world.verify().await;
}

pub async fn gifts_of_one_address_are_told_apart(bed: Bed) {
    let world = World::new(&bed).await;
    let order = sent_to(&world, "order", &[R1, R1, R1, R1]).await;
    world.redeem(gift_key(world.production, order, 2), 1, GIFT, after(1)).await;
    world.redeem(gift_key(world.production, order, 4), 2, GIFT, after(1)).await;
    let answer = resend(&world, order, &[("R1@example.com", Some(NEW))], 2).await;
    assert_eq!(answer, partly(2, &[("R1@example.com", SkipReason::AlreadyRedeemed)]), "one entry for a reason");
    for (position, expected) in [(1, NEW), (2, R1), (3, NEW), (4, R1)] {
        assert_eq!(address(&world, order, position).await, expected, "of gift {position}");
    }
}

pub async fn where_nobody_is_known_nothing_happens(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(world.command("order", 1)).await;
    let before = world.order(order).await;
    let entries = [("nobody@example.com", None), ("noone@example.com", Some(NEW))];
    assert_eq!(resend(&world, order, &entries, 1).await, Resent::NobodyKnown);
    assert_eq!(world.order(order).await, before);
    assert_eq!(bed.number("SELECT count(*) FROM resends").await, 0);
    assert_eq!(world.claim(after(A_DAY), 10).await, []);
}

pub async fn known_gifts_of_which_none_is_sent_again_are_no_refusal(bed: Bed) {
    let world = World::new(&bed).await;
    let order = sent_to(&world, "order", &[R1]).await;
    world.redeem(gift_key(world.production, order, 1), 1, GIFT, after(1)).await;
    let answer = resend(&world, order, &[(R1, None)], 2).await;
    assert_eq!(answer, partly(0, &[(R1, SkipReason::AlreadyRedeemed)]));
}

pub async fn an_order_that_has_not_gone_out_or_was_canceled_is_not_sent_again(bed: Bed) {
    let world = World::new(&bed).await;
    let waiting = PlaceOrder { timing: scheduled(after(A_DAY)), ..world.command("waiting", 1) };
    let orders = [
        world.place(waiting.clone()).await.summary.order_id,
        world.place(world.command("pending", 1)).await.summary.order_id,
    ];
    for order in orders {
        assert_eq!(resend(&world, order, &[(R1, None)], 1).await, Resent::NotResendable);
        assert_eq!(resend(&world, order, &[("nobody@example.com", None)], 1).await, Resent::NotResendable);
    }
    let answer = world.cancel(world.production, orders[0], after(1)).await;
    assert!(matches!(answer, Cancellation::Canceled(_)), "{answer:?}");
    assert_eq!(resend(&world, orders[0], &[(R1, None)], 1).await, Resent::NotResendable);
    assert_eq!(bed.number("SELECT count(*) FROM mails").await, 1, "the pending order's own");
}

pub async fn only_the_accounts_own_order_is_sent_again(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(world.command("order", 1)).await;
    let link = OrderId { order_type: OrderType::Link, ..order };
    let none = OrderId { time: TimeId::first_at(after(5)), ..order };
    for (account, order) in [(world.sandbox, order), (world.production, link), (world.production, none)] {
        let asked = resending(account, order, &[(R1, None)], after(1));
        assert_eq!(world.resend(asked).await, Resent::Unknown, "{order}");
    }
    assert_eq!(world.claim(after(A_DAY), 10).await, []);
}

// --- to another address ---

pub async fn a_moved_gift_has_its_new_address_and_the_next_link(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(world.command("order", 2)).await;
    let before = world.order(order).await;
    assert_eq!(resend(&world, order, &[(R1, Some(NEW))], 10).await, done(1));
    let after_it = world.order(order).await;
    let moved = &after_it.gifts[0];
    assert_eq!((moved.recipient.email.as_deref(), moved.link_version), (Some(NEW), 2));
    let mut back = after_it.clone();
    (back.gifts[0].recipient.email, back.gifts[0].link_version) = (Some(R1.to_owned()), 1);
    assert_eq!(back, before, "and nothing else changed");
    let claimed = world.claim(after(10), 10).await;
    assert_eq!((claimed[0].link_version, claimed[0].recipient.email.as_deref()), (2, Some(NEW)));
    let gift = gift_key(world.production, order, 1);
    let old_link = world.reserve(redeeming(gift, 1, GIFT, after(20))).await;
    assert_eq!(old_link, Reserved::Refused(NotRedeemable::Unknown), "the link in the old mail stops working");
    // And once more.
    assert_eq!(resend(&world, order, &[("NEW@example.com", Some("newer@example.com"))], 30).await, done(1));
    let gift = world.gift(order, 1).await;
    assert_eq!((gift.recipient.email.as_deref(), gift.link_version), (Some("newer@example.com"), 3));
    world.verify().await;
}

pub async fn the_same_move_again_sends_nothing(bed: Bed) {
    let world = World::new(&bed).await;
    let order = sent_to(&world, "order", &[R1, R1, R2]).await;
    let entries = [(R1, Some(NEW))];
    assert_eq!(resend(&world, order, &entries, 10).await, done(2));
    world.deliver_all(after(11)).await;
    let before = world.order(order).await;
    for asked in [[(R1, Some(NEW))], [("R1@EXAMPLE.com", Some("New@example.com"))]] {
        let answer = resend(&world, order, &asked, 20).await;
        assert_eq!(answer, partly(0, &[(asked[0].0, SkipReason::AlreadyMoved)]));
    }
    assert_eq!(world.order(order).await, before);
    assert_eq!(world.claim(after(30), 10).await, []);
    let elsewhere = resend(&world, order, &[(R1, Some("other@example.com"))], 30).await;
    assert_eq!(elsewhere, Resent::NobodyKnown, "to another address it isn't the same move");
    // A retry also after the gift moved on.
    assert_eq!(resend(&world, order, &[(NEW, Some("newer@example.com"))], 40).await, done(2));
    for later in [50, 3 * A_DAY] {
        assert_eq!(resend(&world, order, &entries, later).await, partly(0, &[(R1, SkipReason::AlreadyMoved)]));
    }
}

pub async fn addresses_are_read_against_the_state_at_the_start(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(world.command("order", 2)).await;
    // Both change places.
    assert_eq!(resend(&world, order, &[(R1, Some(R2)), (R2, Some(R1))], 10).await, done(2));
    assert_eq!((address(&world, order, 1).await, address(&world, order, 2).await), (R2.to_owned(), R1.to_owned()));
    let claimed = world.claim(after(10), 10).await;
    let mut told: Vec<_> = claimed.iter().map(|d| (d.gift.position, d.recipient.email.as_deref())).collect();
    told.sort();
    assert_eq!(told, [(1, Some(R2)), (2, Some(R1))]);
}

pub async fn a_moved_gifts_verification_dies(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(world.command("order", 2)).await;
    let keys = [1, 2].map(|position| gift_key(world.production, order, position));
    for (gift, mailed) in [(keys[0], true), (keys[1], false)] {
        let asked = world.store.request_verification(gift, 1, after(10)).await.expect("an answer");
        assert_eq!(asked, VerificationRequested::Requested { number: 1 });
        if mailed {
            world.deliver_all(after(10)).await;
        }
    }
    assert_eq!(resend(&world, order, &[(R1, Some("a@example.com")), (R2, Some("b@example.com"))], 20).await, done(2));
    for gift in keys {
        for link_version in [1, 2] {
            let used = world.store.verify(gift, link_version, 1, after(21)).await.expect("an answer");
            assert_eq!(used, Verified::Unknown, "link {link_version}");
        }
    }
    let kinds: Vec<_> = world.claim(after(30), 10).await.into_iter().map(|delivery| delivery.kind).collect();
    assert_eq!(kinds, [MailKind::Gift, MailKind::Gift], "no verification waits");
    // The new address can be proven.
    let asked = world.store.request_verification(keys[0], 2, after(40)).await.expect("an answer");
    let VerificationRequested::Requested { number } = asked else { panic!("refused: {asked:?}") };
    assert_eq!(world.store.verify(keys[0], 2, number, after(41)).await.expect("an answer"), Verified::Yes);
}

pub async fn a_verification_mail_under_way_settles_nothing_after_a_move(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(world.command("order", 1)).await;
    let gift = gift_key(world.production, order, 1);
    world.store.request_verification(gift, 1, after(10)).await.expect("an answer");
    let under_way = world.claim(after(10), 10).await;
    resend(&world, order, &[(R1, Some(NEW))], 20).await;
    world.store.request_verification(gift, 2, after(21)).await.expect("an answer");
    let outcome = world.settle(vec![retry(&under_way[0], after(22), after(500))], after(22)).await;
    assert_eq!((outcome.settled, outcome.dropped), (0, 1));
    let mut waiting: Vec<_> =
        world.claim(after(22), 10).await.iter().map(|d| (d.kind, d.recipient.email.clone(), d.link_version)).collect();
    waiting.sort();
    let new = Some(NEW.to_owned());
    assert_eq!(waiting, [(MailKind::Gift, new.clone(), 2), (MailKind::Verification, new, 2)]);
}

pub async fn a_verification_asked_for_before_a_resend_to_the_same_address_stays_good(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(world.command("order", 1)).await;
    let gift = gift_key(world.production, order, 1);
    world.store.request_verification(gift, 1, after(10)).await.expect("an answer");
    assert_eq!(resend(&world, order, &[(R1, None)], 20).await, done(1));
    assert_eq!(world.store.verify(gift, 1, 1, after(30)).await.expect("an answer"), Verified::Yes);
    let mut kinds: Vec<_> = world.claim(after(30), 10).await.into_iter().map(|delivery| delivery.kind).collect();
    kinds.sort();
    assert_eq!(kinds, [MailKind::Gift, MailKind::Verification]);
}

// --- limits ---

pub async fn a_gift_is_sent_again_at_most_10_times_in_24_hours(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(world.command("order", 2)).await;
    assert_eq!(limits::RESENDS_A_DAY, 10);
    for index in 0..10 {
        assert_eq!(resend(&world, order, &[(R1, None)], index * 600).await, done(1), "{index}");
        world.deliver_all(after(index * 600 + 1)).await;
    }
    let limited = partly(0, &[(R1, SkipReason::LimitReached)]);
    assert_eq!(resend(&world, order, &[(R1, None)], 6_000).await, limited);
    assert_eq!(resend(&world, order, &[(R1, Some(NEW))], 6_000).await, limited, "whoever asks, and to move it as well");
    let other_app = Resend {
        client_id: "app_2".to_owned(),
        ..resending(world.production, order, &[(R1, None), (R2, None)], after(6_000))
    };
    assert_eq!(world.resend(other_app).await, partly(1, &[(R1, SkipReason::LimitReached)]), "each gift for itself");
    assert_eq!(resend(&world, order, &[(R1, None)], A_DAY - 1).await, limited);
    assert_eq!(resend(&world, order, &[(R1, None)], A_DAY + 1).await, done(1), "the first was 24 hours ago");
    assert_eq!(resend(&world, order, &[(R1, None)], A_DAY + 2).await, limited, "the others weren't");
    assert_eq!(world.gift(order, 1).await.link_version, 1);
    world.verify().await;
}

pub async fn an_app_moves_at_most_100_gifts_in_24_hours_whichever_the_order(bed: Bed) {
    let world = World::new(&bed).await;
    assert_eq!(limits::MOVES_A_DAY, 100);
    let shared = vec!["shared@example.com"; 60];
    let first = sent_to(&world, "first", &shared).await;
    let second = sent_to(&world, "second", &[vec![R1; 40], vec![R2; 1]].concat()).await;
    let third = sent_to(&world, "third", &[R1]).await;
    let by_another = |order, address, seconds| Resend {
        client_id: "app_2".to_owned(),
        ..resending(world.production, order, &[(address, Some("b@example.com"))], after(seconds))
    };
    assert_eq!(world.resend(by_another(third, R1, 5)).await, done(1), "which counts for the other app only");
    assert_eq!(resend(&world, first, &[("shared@example.com", Some(NEW))], 10).await, done(60));
    let before = world.order(second).await;
    let all = [(R1, Some(NEW)), (R2, Some(NEW))];
    assert_eq!(resend(&world, second, &all, 20).await, Resent::TooManyMoves);
    assert_eq!(world.order(second).await, before, "all or nothing");
    let rows = bed.number("SELECT count(*) FROM resends").await;
    assert_eq!(rows, 61);
    assert_eq!(resend(&world, second, &[(R1, Some(NEW))], 30).await, done(40), "exactly 100");
    assert_eq!(resend(&world, second, &[(R2, Some(NEW))], 40).await, Resent::TooManyMoves);
    let answer = resend(&world, second, &[(R2, None)], 40).await;
    assert_eq!(answer, done(1), "to its own address it is no move");
    let retried = partly(0, &[("shared@example.com", SkipReason::AlreadyMoved)]);
    assert_eq!(resend(&world, first, &[("shared@example.com", Some(NEW))], 40).await, retried, "a retry moves nothing");
    assert_eq!(world.resend(by_another(second, R2, 40)).await, done(1), "another app has its own");
    assert_eq!(resend(&world, second, &[(NEW, Some(R1))], A_DAY + 9).await, Resent::TooManyMoves);
    assert_eq!(resend(&world, second, &[(NEW, Some(R1))], A_DAY + 11).await, done(40), "60 were 24 hours ago");
    world.verify().await;
}

pub async fn moves_at_once_never_exceed_an_apps_limit(bed: Bed) {
    let world = World::new(&bed).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    let shared = vec!["shared@example.com"; 30];
    let mut orders = Vec::new();
    for key in 0..6 {
        orders.push(sent_to(&world, &format!("order {key}"), &shared).await);
    }
    let answers = at_once(orders.iter().copied().enumerate().map(|(index, order)| {
        let node = nodes[index % 2].clone();
        async move { resend(&node, order, &[("shared@example.com", Some(NEW))], 10).await }
    }))
    .await;
    let (moved, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| *answer == done(30));
    assert_eq!(refused, vec![Resent::TooManyMoves; 3]);
    assert_eq!(moved.len(), 3);
    assert_eq!(bed.number("SELECT count(*) FROM gifts WHERE email = 'new@example.com'").await, 90);
}

// --- at once ---

pub async fn resends_at_once_on_two_nodes_each_decide_on_what_the_one_before_has_left(bed: Bed) {
    let world = World::new(&bed).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    let order = world.place_and_send(world.command("order", 3)).await;
    let answers = at_once((0..30_usize).map(|index| {
        let node = nodes[index % 2].clone();
        async move { resend(&node, order, &[(R1, None)], 10).await }
    }))
    .await;
    assert_eq!(answers.iter().filter(|answer| **answer == done(1)).count(), 10);
    let limited = partly(0, &[(R1, SkipReason::LimitReached)]);
    assert_eq!(answers.iter().filter(|answer| **answer == limited).count(), 20);
    let claimed = world.claim(after(10), 10).await;
    assert_eq!((claimed.len(), claimed[0].send_number), (1, 11), "one mail, the latest");
    assert_eq!(world.story(order, 1).await.len(), 12);
    world.verify().await;
}

pub async fn a_move_asked_for_at_once_on_two_nodes_moves_once(bed: Bed) {
    let world = World::new(&bed).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    for round in 0..5 {
        let order = world.place_and_send(world.command(&format!("order {round}"), 2)).await;
        let answers = at_once((0..6_usize).map(|index| {
            let node = nodes[index % 2].clone();
            async move { resend(&node, order, &[(R1, Some(NEW))], 10).await }
        }))
        .await;
        assert_eq!(answers.iter().filter(|answer| **answer == done(1)).count(), 1);
        let known = partly(0, &[(R1, SkipReason::AlreadyMoved)]);
        assert_eq!(answers.iter().filter(|answer| **answer == known).count(), 5);
        assert_eq!(world.gift(order, 1).await.link_version, 2);
    }
}

pub async fn resending_and_settling_at_once_lose_nothing(bed: Bed) {
    let world = World::new(&bed).await;
    let other_node = world.on_another_node(&bed).await;
    let order = world.place_and_send(world.command("order", 4)).await;
    for round in 1..=10_i64 {
        let at = round * A_DAY / 8;
        let sender = other_node.clone();
        let sending = tokio::spawn(async move { sender.deliver_all(after(at)).await });
        let entries: Vec<_> = (1..=4).map(|position| format!("r{position}@example.com")).collect();
        let entries: Vec<_> = entries.iter().map(|address| (address.as_str(), None)).collect();
        assert_eq!(resend(&world, order, &entries, at).await, done(4), "round {round}");
        sending.await.expect("an end");
    }
    world.deliver_all(after(2 * A_DAY)).await;
    for gift in world.order(order).await.gifts {
        assert_eq!((gift.delivery_status, gift.link_version), (DeliveryStatus::Sent, 1));
        let sent = world.story(order, gift.position).await;
        let resent = sent.iter().filter(|(event, _)| *event == EventType::Resent).count();
        let mailed = sent.iter().filter(|(event, _)| *event == EventType::Sent).count();
        assert_eq!(resent, 10);
        assert!((2..=11).contains(&mailed), "{mailed} mails");
        assert_eq!(usize::try_from(gift.delivery_attempts).expect("a count"), mailed);
    }
    assert_eq!(bed.number("SELECT count(*) FROM mails").await, 0);
    assert_eq!(world.balances().await.issued, 4 * GIFT);
    world.verify().await;
}

pub async fn moving_and_redeeming_at_once_never_shows_codes_at_the_new_address(bed: Bed) {
    let world = World::new(&bed).await;
    let other_node = world.on_another_node(&bed).await;
    for round in 0..15_u128 {
        let order = sent_to(&world, &format!("order {round}"), &[R1]).await;
        let gift = gift_key(world.production, order, 1);
        let redeemer = other_node.clone();
        let redeeming = tokio::spawn(async move { redeemer.reserve(redeeming(gift, round, 400, after(10))).await });
        let mover = Resend {
            client_id: format!("app_{round}"),
            ..resending(world.production, order, &[(R1, Some(NEW))], after(10))
        };
        let moved = world.resend(mover).await;
        let reserved = redeeming.await.expect("an end");
        let is_new = matches!(reserved, Reserved::New(_));
        if is_new {
            assert_eq!(moved, partly(0, &[(R1, SkipReason::AlreadyRedeemed)]), "round {round}");
        } else {
            assert_eq!(reserved, Reserved::Refused(NotRedeemable::Unknown), "round {round}");
            assert_eq!(moved, done(1), "round {round}");
        }
        let gift = world.gift(order, 1).await;
        assert_eq!((gift.link_version, gift.reserved), if is_new { (1, 400) } else { (2, 0) });
        assert_eq!(gift.redemption_status, RedemptionStatus::Unredeemed);
    }
    world.verify().await;
}

pub async fn a_large_order_is_sent_again_whole(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(world.command("large", 2_000)).await;
    let addresses: Vec<_> = (1..=2_000).map(|position| format!("R{position}@example.com")).collect();
    let entries: Vec<_> = addresses.iter().map(|address| (address.as_str(), None)).collect();
    assert_eq!(resend(&world, order, &entries, 10).await, done(2_000));
    assert_eq!(world.store.backlog(after(10)).await.expect("an answer").due, 2_000);
    world.deliver_all(after(10)).await;
    assert!(world.order(order).await.gifts.iter().all(|gift| gift.delivery_attempts == 2));
    let expired = resend(&world, order, &entries, 181 * A_DAY).await;
    assert!(matches!(expired, Resent::Done { requeued: 0, skipped } if skipped.len() == 2_000));
    world.verify().await;
}

pub async fn a_link_has_no_address_to_send_to(bed: Bed) {
    let world = World::new(&bed).await;
    let mut command = PlaceOrder { order_type: OrderType::Link, ..world.command("order", 1) };
    command.gifts[0].recipient.email = None;
    let order = world.place_and_send(command).await;
    assert_eq!(resend(&world, order, &[(R1, None)], 1).await, Resent::NobodyKnown);
    assert_eq!(world.story(order, 1).await, [(EventType::Placed, None), (EventType::Sent, None)]);
}

pub async fn a_resend_is_not_held_up_by_a_moment_before_the_expiry(bed: Bed) {
    let world = World::new(&bed).await;
    let order = sent_to(&world, "order", &[R1]).await;
    let end = now() + A_MONTH;
    let at = |now| Resend { now, ..resending(world.production, order, &[(R1, None)], now) };
    assert_eq!(world.resend(at(end - A_MICROSECOND)).await, done(1));
    assert_eq!(world.resend(at(end)).await, partly(0, &[(R1, SkipReason::Expired)]));
}
