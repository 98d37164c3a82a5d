//! Erasing to whom gifts went, once their time is over.

use giftd_domain::Timestamp;
use giftd_domain::gifts::events::EventType;
use giftd_domain::gifts::redemption::NotRedeemable;
use giftd_domain::gifts::verification::{VerificationRequested, Verified};
use giftd_domain::gifts::{Gift, Recipient};
use giftd_domain::ids::{AccountId, OrderId};
use giftd_domain::limits;
use giftd_domain::orders::erase::Retention;
use giftd_domain::orders::place::PlaceOrder;
use giftd_domain::orders::resend::{SkipReason, Skipped};
use giftd_domain::orders::{Order, OrderType};
use giftd_store::{Cancellation, CapturedMail, Erased, Resent, Settled, Work};
use jiff::SignedDuration;

use crate::bed::Bed;
use crate::world::{
    A_MICROSECOND, A_MONTH, GIFT, World, after, at_once, choosing, command, days_before, entropy, failed, gift_key,
    now, redeeming, resending, scheduled, sent,
};

const DAY: SignedDuration = SignedDuration::from_hours(24);
const NOBODY: Recipient = Recipient { email: None, first_name: None, last_name: None, company: None, department: None };

fn retention() -> Retention {
    Retention::days(45).expect("legal")
}

/// When recipients are erased whose gifts return what isn't redeemed and were sent now.
fn due() -> Timestamp {
    now() + A_MONTH + DAY * 45
}

async fn erase(world: &World, at: Timestamp) -> Erased {
    world.store.erase_recipients(retention(), at).await.expect("an answer")
}

fn erased(orders: u64, recipients: u64) -> Erased {
    Erased { orders, recipients, more: false }
}

async fn order_of(world: &World, account: AccountId, order: OrderId) -> Order {
    world.store.order(account, order).await.expect("an answer").expect("an order")
}

fn alice() -> Recipient {
    let text = |text: &str| Some(text.to_owned());
    Recipient {
        email: text("alice.secret@example.com"),
        first_name: text("Alice-secret"),
        last_name: text("Secretson"),
        company: text("Secret Inc"),
        department: text("Dept of secrets"),
    }
}

// --- when ---

pub async fn recipients_are_erased_so_long_after_the_last_of_their_orders_gifts_expired(bed: Bed) {
    let world = World::new(&bed).await;
    let short = world.place_and_send(choosing(world.production, "short", &[GIFT])).await;
    let long = world.place_and_send(world.command("long", 2)).await;
    // Its first gift is sent now, its second an hour later.
    let slow = world.place(choosing(world.production, "slow", &[GIFT, GIFT])).await.summary.order_id;
    let claimed = world.claim(now(), 10).await;
    world.settle(vec![sent(&claimed[0], now())], now()).await;
    world.settle(vec![sent(&claimed[1], after(3_600))], after(3_600)).await;
    let waits = PlaceOrder { timing: scheduled(now() + DAY * 366), ..world.command("waits", 1) };
    let waits = world.place(waits).await.summary.order_id;

    let end = now() + DAY * 180 + DAY * 45;
    let slow_end = due() + SignedDuration::from_hours(1);
    for (order, at, gone) in [(short, due(), 1), (slow, slow_end, 2), (long, end, 2)] {
        assert_eq!(erase(&world, at - A_MICROSECOND).await, erased(0, 0), "not a microsecond before");
        assert!(world.order(order).await.gifts.iter().all(|gift| gift.recipient.email.is_some()));
        assert_eq!(erase(&world, at).await, erased(1, gone));
        assert!(world.order(order).await.gifts.iter().all(|gift| gift.recipient == NOBODY));
    }
    assert_eq!(erase(&world, end + DAY * 10_000).await, erased(0, 0));
    assert!(world.gift(waits, 1).await.recipient.email.is_some(), "an order that didn't end");
    world.verify().await;
}

pub async fn recipients_of_a_canceled_order_are_erased_so_long_after_it_was_canceled(bed: Bed) {
    let world = World::new(&bed).await;
    for (key, command) in [("a", world.command("a", 2)), ("b", choosing(world.production, "b", &[GIFT]))] {
        let command = PlaceOrder { timing: scheduled(now() + DAY), ..command };
        let order = world.place(command).await.summary.order_id;
        assert!(matches!(world.cancel(world.production, order, after(10)).await, Cancellation::Canceled(_)), "{key}");
    }
    assert_eq!(erase(&world, after(10) + DAY * 45 - A_MICROSECOND).await, erased(0, 0));
    assert_eq!(erase(&world, after(10) + DAY * 45).await, erased(2, 3));
    assert_eq!(bed.mentioning("example.com").await, Vec::<String>::new());
    world.verify().await;
}

pub async fn a_sandboxes_recipients_are_erased_by_its_clock(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(choosing(world.sandbox, "order", &[GIFT])).await;
    let in_production = world.place_and_send(choosing(world.production, "order", &[GIFT])).await;
    world.jump(A_MONTH + DAY * 44, after(10)).await;
    assert_eq!(erase(&world, after(10)).await, erased(0, 0));
    let clock = world.begin_move(world.sandbox, DAY, after(20)).await.expect("nobody else moves it");
    assert_eq!(erase(&world, after(20)).await, erased(0, 0), "while it is being moved, who moves it works alone");
    let claim = clock.moving.expect("it is being moved").claim;
    assert!(world.store.end_move(world.sandbox, claim, after(20)).await.expect("an answer"));
    assert_eq!(erase(&world, after(20)).await, erased(1, 1));
    assert_eq!(order_of(&world, world.sandbox, order).await.gifts[0].recipient, NOBODY);
    assert!(world.gift(in_production, 1).await.recipient.email.is_some());
    world.verify().await;
}

// --- what ---

/// An order of a sandbox about Alice and Bob with all that may happen to it.
async fn eventful(world: &World) -> OrderId {
    let mut command = choosing(world.sandbox, "order", &[GIFT, GIFT]);
    command.gifts[0].recipient = alice();
    command.gifts[1].recipient = Recipient { email: Some("bob.secret@example.com".to_owned()), ..alice() };
    let order = world.place(command).await.summary.order_id;
    let claimed = world.claim(now(), 10).await;
    for delivery in &claimed {
        let settlement = match delivery.gift.position {
            1 => sent(delivery, now()),
            _ => {
                let mut failed = failed(delivery, now());
                failed.settlement.outcome = giftd_domain::gifts::DeliveryOutcome::Failed {
                    at: now(),
                    error: "550 5.1.1 <bob.secret@example.com>: no such user".to_owned(),
                };
                failed
            }
        };
        world.settle_reminding(vec![settlement], &days_before(&[1]), now()).await;
    }
    let move_alice = [("alice.secret@example.com", Some("moved.secret@example.com"))];
    let done = Resent::Done { requeued: 1, skipped: vec![] };
    assert_eq!(world.resend(resending(world.sandbox, order, &move_alice, after(10))).await, done);
    world.deliver_all(after(20)).await;
    let gift = gift_key(world.sandbox, order, 1);
    let asked = world.store.request_verification(gift, 2, after(30)).await.expect("an answer");
    assert_eq!(asked, VerificationRequested::Requested { number: 1 });
    assert_eq!(world.store.verify(gift, 2, 1, after(40)).await.expect("an answer"), Verified::Yes);
    let redeem = giftd_domain::gifts::redemption::Reserve { link_version: 2, ..redeeming(gift, 7, 250, after(50)) };
    world.reserved(redeem).await;
    let supplied = giftd_domain::gifts::redemption::Supplied::Code(crate::world::code("TEST"));
    world.supply(gift, 7, supplied, after(50)).await.expect("a redemption");
    let mail = CapturedMail {
        message_id: "<1@giftd>".to_owned(),
        to: "moved.secret@example.com".to_owned(),
        order_id: Some(order),
        subject: "A gift for you, Alice-secret".to_owned(),
        text: "Dear Alice-secret".to_owned(),
        html: "<p>Alice-secret</p>".to_owned(),
        created_at: after(20),
    };
    let other = CapturedMail { message_id: "<2@giftd>".to_owned(), order_id: None, ..mail.clone() };
    world.store.keep_mails(world.sandbox, vec![mail, other], after(60), entropy()).await.expect("an answer");
    // A reminder, and a resend that nobody comes to send.
    world.turn_reminding(Work::Everyone, now() + DAY * 29, &days_before(&[1])).await;
    let again = resending(world.sandbox, order, &[("moved.secret@example.com", None)], now() + DAY * 29);
    assert_eq!(world.resend(again).await, Resent::Done { requeued: 1, skipped: vec![] });
    world.turn(now() + A_MONTH).await;
    order
}

pub async fn nothing_is_left_that_names_an_erased_recipient(bed: Bed) {
    let world = World::new(&bed).await;
    let order = eventful(&world).await;
    let before = bed.mentioning("secret").await;
    for table in ["gift_events", "gifts", "resends", "sandbox_mails"] {
        assert!(before.contains(&table.to_owned()), "{table} isn't among {before:?}");
    }
    let waiting = world.claim(due() - DAY, 10).await;
    assert_eq!(waiting.len(), 3, "the resend, the reminder and the verification: {waiting:?}");
    assert_eq!(erase(&world, due()).await, erased(1, 2));
    assert_eq!(bed.mentioning("secret").await, ["sandbox_mails"]);
    let page = giftd_domain::history::PageRequest { page: 1, page_size: 10 };
    let kept = world.store.kept_mails(world.sandbox, None, None, after(60), page).await.expect("a page").items;
    assert_eq!(kept.iter().map(|mail| mail.message_id.as_str()).collect::<Vec<_>>(), ["<2@giftd>"], "of no order");
    assert!(order_of(&world, world.sandbox, order).await.gifts.iter().all(|gift| gift.recipient == NOBODY));

    // Nobody is written to any more, and who was being written to leaves nothing behind.
    assert_eq!(world.claim(due() + DAY, 10).await, []);
    let outcomes = waiting.iter().map(|delivery| failed(delivery, due())).collect();
    assert_eq!(world.settle(outcomes, due()).await, Settled { settled: 0, dropped: 3, completed_orders: 0 });
    let gift = gift_key(world.sandbox, order, 1);
    let asked = world.store.request_verification(gift, 2, due()).await.expect("an answer");
    assert_eq!(asked, VerificationRequested::Refused(NotRedeemable::Unknown));
    assert_eq!(world.store.verify(gift, 2, 1, due()).await.expect("an answer"), Verified::Unknown);
    world.verify().await;
}

pub async fn the_money_the_codes_and_what_happened_stay(bed: Bed) {
    let world = World::new(&bed).await;
    let order = eventful(&world).await;
    let before = order_of(&world, world.sandbox, order).await;
    let events = world.events(world.sandbox, order).await;
    let (account, ledger) = (world.account(world.sandbox).await, world.ledger(world.sandbox).await);
    let redemptions = world.at_hand(gift_key(world.sandbox, order, 1)).await.redemptions;
    let resends = "SELECT count(*) FROM resends WHERE client_id = 'app_1' AND request_id = 'request 1'";
    let (asked, moved) = (bed.number(resends).await, bed.number(&format!("{resends} AND to_email IS NOT NULL")).await);
    assert_eq!((redemptions.len(), asked, moved), (1, 2, 1));
    erase(&world, due()).await;

    let nameless = |gift: Gift| Gift { recipient: NOBODY, delivery_error: None, ..gift };
    let expected = Order { gifts: before.gifts.into_iter().map(nameless).collect(), ..before };
    assert_eq!(order_of(&world, world.sandbox, order).await, expected);
    let told = events.into_iter().map(|mut event| {
        if matches!(event.event_type, EventType::Sent | EventType::Failed | EventType::Resent) {
            event.detail = None;
        }
        event
    });
    assert_eq!(world.events(world.sandbox, order).await, told.collect::<Vec<_>>());
    assert_eq!((world.account(world.sandbox).await, world.ledger(world.sandbox).await), (account, ledger));
    assert_eq!(world.at_hand(gift_key(world.sandbox, order, 1)).await.redemptions, redemptions);
    assert_eq!(bed.number(resends).await, asked, "who asked");
    assert_eq!(bed.number(&format!("{resends} AND to_email IS NOT NULL")).await, moved, "and that it moved");
    world.verify().await;
}

pub async fn the_words_to_a_single_recipient_are_erased_and_those_to_several_stay(bed: Bed) {
    let world = World::new(&bed).await;
    let mut words = Vec::new();
    for (key, costs) in [("one", vec![GIFT]), ("two", vec![GIFT, GIFT])] {
        let mut command = choosing(world.production, key, &costs);
        command.email_setting.subject = "Alice, well done!".to_owned();
        command.email_setting.message = Some("Dear Alice".to_owned());
        let placed = command.clone();
        let order = world.place_and_send(command).await;
        words.push((order, placed));
    }
    assert_eq!(erase(&world, due()).await, erased(2, 3));
    for (order, placed) in words {
        let setting = world.order(order).await.summary.email_setting;
        let expected = match placed.gifts.len() {
            1 => (String::new(), None),
            _ => (placed.email_setting.subject.clone(), placed.email_setting.message.clone()),
        };
        assert_eq!((setting.subject, setting.message), expected);
        assert_eq!(setting.sender_name, placed.email_setting.sender_name);
        let known = world.try_place(crate::world::again(&placed)).await;
        assert_eq!(known, giftd_store::Placed::Known { order_id: order, same_request: true }, "its key still counts");
    }
}

pub async fn links_have_no_recipients_to_erase(bed: Bed) {
    let world = World::new(&bed).await;
    let mut links = PlaceOrder { order_type: OrderType::Link, ..choosing(world.production, "links", &[GIFT, GIFT]) };
    for gift in &mut links.gifts {
        gift.recipient = NOBODY;
    }
    let order = world.place_and_send(links).await;
    let before = world.order(order).await;
    assert_eq!(erase(&world, due()).await, erased(1, 0));
    assert_eq!(world.order(order).await, before);
    assert_eq!(erase(&world, due()).await, erased(0, 0));
}

// --- once, whoever else is at work ---

pub async fn erasing_again_does_nothing(bed: Bed) {
    let world = World::new(&bed).await;
    let order = eventful(&world).await;
    assert_eq!(erase(&world, due()).await, erased(1, 2));
    let at = "SELECT erased_at FROM orders";
    let (once, instant) = (order_of(&world, world.sandbox, order).await, bed.number(at).await);
    for later in [due(), due() + DAY * 1_000] {
        assert_eq!(erase(&world, later).await, erased(0, 0));
    }
    assert_eq!((order_of(&world, world.sandbox, order).await, bed.number(at).await), (once, instant));
    assert_eq!(instant, due().as_microsecond());
}

pub async fn an_erased_recipient_is_not_known_any_more(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(choosing(world.production, "order", &[GIFT, GIFT])).await;
    world.turn(now() + A_MONTH).await;
    let again = |at| world.resend(resending(world.production, order, &[("r1@example.com", None)], at));
    let expired = Skipped { email: "r1@example.com".to_owned(), reason: SkipReason::Expired };
    assert_eq!(again(due()).await, Resent::Done { requeued: 0, skipped: vec![expired] });
    erase(&world, due()).await;
    assert_eq!(again(due()).await, Resent::NobodyKnown);
    let empty = resending(world.production, order, &[("x@example.com", Some("r1@example.com"))], due());
    assert_eq!(world.resend(empty).await, Resent::NobodyKnown);
}

pub async fn large_orders_are_erased_in_groups(bed: Bed) {
    let world = World::new(&bed).await;
    let large = limits::GROUP_GIFTS + 500;
    let sizes = [large, 1_500, 400, 1_500, 1];
    for (number, size) in (0..).zip(sizes) {
        let costs = vec![100; size];
        let placed =
            PlaceOrder { now: after(number), ..choosing(world.production, &format!("order {number}"), &costs) };
        world.place_and_send(placed).await;
    }
    let (mut rounds, mut orders, mut recipients) = (0, 0, 0);
    loop {
        let erased = erase(&world, due() + DAY).await;
        let most = if erased.orders == 1 { large } else { limits::GROUP_GIFTS };
        assert!(usize::try_from(erased.recipients).is_ok_and(|recipients| recipients <= most), "{erased:?}");
        (rounds, orders, recipients) = (rounds + 1, orders + erased.orders, recipients + erased.recipients);
        if !erased.more {
            break;
        }
    }
    assert_eq!((orders, recipients), (5, u64::try_from(sizes.iter().sum::<usize>()).expect("a count")));
    assert!((3..=5).contains(&rounds), "{rounds}");
    assert_eq!(bed.mentioning("example.com").await, Vec::<String>::new());
    world.verify().await;
}

pub async fn many_orders_are_erased_in_groups(bed: Bed) {
    let world = World::new(&bed).await;
    let many = limits::ERASE_ORDERS + 10;
    let commands = (0..many).map(|number| command(world.production, &format!("order {number}"), 1)).collect();
    world.place_at_once(commands).await;
    world.deliver_all(now()).await;
    let at = now() + DAY * 180 + DAY * 45;
    let most = u64::try_from(limits::ERASE_ORDERS).expect("a count");
    assert_eq!(erase(&world, at).await, Erased { orders: most, recipients: most, more: true });
    assert_eq!(erase(&world, at).await, erased(10, 10));
}

pub async fn nodes_that_erase_at_once_erase_each_recipient_once(bed: Bed) {
    let world = World::new(&bed).await;
    for number in 0..20 {
        world.place(choosing(world.production, &format!("order {number}"), &[100, 100])).await;
    }
    world.deliver_all(now()).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    let rounds = at_once(nodes.into_iter().map(|node| async move { erase(&node, due()).await })).await;
    let (orders, recipients) = rounds
        .iter()
        .fold((0, 0), |(orders, recipients), round| (orders + round.orders, recipients + round.recipients));
    assert_eq!((orders, recipients), (20, 40), "{rounds:?}");
    world.verify().await;
}

pub async fn whatever_is_settled_asked_for_and_erased_at_once_names_nobody_afterwards(bed: Bed) {
    let world = World::new(&bed).await;
    let other = world.on_another_node(&bed).await;
    for number in 0..10 {
        let mut command = choosing(world.production, &format!("order {number}"), &[GIFT, GIFT]);
        command.gifts[0].recipient = alice();
        let order = world.place_and_send(command).await;
        let addresses = [("alice.secret@example.com", None), ("r2@example.com", None)];
        let late = now() + A_MONTH - A_MICROSECOND;
        world.resend(resending(world.production, order, &addresses, late)).await;
        let claimed = world.claim(due(), 10).await;
        assert_eq!(claimed.len(), 2);
        let (here, there, third) = (world.clone(), other.clone(), other.clone());
        let (_, _, again) = tokio::join!(
            tokio::spawn(async move {
                here.settle(claimed.iter().map(|delivery| sent(delivery, due())).collect(), due()).await
            }),
            tokio::spawn(async move { erase(&there, due()).await }),
            tokio::spawn(async move { third.resend(resending(third.production, order, &addresses, due())).await }),
        );
        let again = again.expect("no panic");
        assert!(matches!(again, Resent::NobodyKnown | Resent::Done { requeued: 0, .. }), "{again:?}");
        assert_eq!(bed.mentioning("example.com").await, Vec::<String>::new());
    }
    world.verify().await;
}
