//! The clock of a sandbox, which its owner moves ahead.

use std::collections::BTreeSet;

use giftd_domain::Timestamp;
use giftd_domain::account::{AccountClock, ClockMove};
use giftd_domain::gifts::events::EventType;
use giftd_domain::gifts::redemption::{NotRedeemable, Reserved, Supplied};
use giftd_domain::gifts::verification::{VerificationRequested, Verified};
use giftd_domain::gifts::{DeliveryStatus, MailKind, RedemptionStatus};
use giftd_domain::history::{Days, OrderFilter};
use giftd_domain::ids::{AccountId, OrderId};
use giftd_domain::ledger::EntryType;
use giftd_domain::limits;
use giftd_domain::orders::OrderStatus;
use giftd_domain::orders::cancel::NotCancelable;
use giftd_domain::orders::place::PlaceOrder;
use giftd_domain::orders::resend::{SkipReason, Skipped};
use giftd_store::{Backlog, Cancellation, Due, Resent, Turned, Work};
use jiff::SignedDuration;

use crate::bed::Bed;
use crate::world::{
    A_MICROSECOND, A_MONTH, GIFT, World, after, at_once, choosing, code, costing, days_before, gift_key, now,
    redeeming, resending, retry, scheduled, sent,
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);
const LEASE: SignedDuration = SignedDuration::from_secs(limits::CLOCK_LEASE_SECONDS);

async fn clock(world: &World) -> AccountClock {
    world.account(world.sandbox).await.clock
}

async fn begin(world: &World, by: SignedDuration, at: Timestamp) -> ClockMove {
    let clock = world.begin_move(world.sandbox, by, at).await.expect("nobody else moves it");
    clock.moving.expect("it is being moved")
}

async fn step(world: &World, claim: i64, to: Timestamp, at: Timestamp) -> bool {
    world.store.step_clock(world.sandbox, claim, to, at).await.expect("an answer")
}

async fn end(world: &World, claim: i64, at: Timestamp) -> bool {
    world.store.end_move(world.sandbox, claim, at).await.expect("an answer")
}

async fn due(world: &World, until: Timestamp) -> Due {
    world.store.due_until(world.sandbox, until).await.expect("an answer")
}

async fn gift(world: &World, order: OrderId) -> giftd_domain::gifts::Gift {
    let order = world.store.order(world.sandbox, order).await.expect("an answer").expect("an order");
    order.gifts.into_iter().next().expect("a gift")
}

// --- moving it ---

pub async fn an_accounts_clock_is_the_nodes_at_first(bed: Bed) {
    let world = World::new(&bed).await;
    for account in [world.production, world.sandbox] {
        assert_eq!(world.account(account).await.clock, AccountClock::default());
    }
}

pub async fn a_clock_that_begins_to_move_stands_where_it_is(bed: Bed) {
    let world = World::new(&bed).await;
    let begun = world.begin_move(world.sandbox, DAY, now()).await.expect("it begins");
    let moving = begun.moving.expect("it is being moved");
    let expected = ClockMove { at: now(), target: now() + DAY, claim: moving.claim, lease_end: now() + LEASE };
    assert_eq!((begun.ahead, moving), (SignedDuration::ZERO, expected));
    assert_eq!(clock(&world).await, begun);
    assert_eq!(begun.time(after(100)), now());
    let of_organization = world.on_another_node(&bed).await.account(world.sandbox).await;
    assert_eq!(of_organization.clock, begun, "on all nodes");
    assert_eq!(world.account(world.production).await.clock, AccountClock::default(), "no other account's");
}

pub async fn a_clock_that_is_being_moved_is_not_begun_again(bed: Bed) {
    let world = World::new(&bed).await;
    begin(&world, DAY, now()).await;
    let before = clock(&world).await;
    for at in [now(), after(10), now() + LEASE * 100] {
        assert_eq!(world.begin_move(world.sandbox, HOUR, at).await, None);
    }
    assert_eq!(clock(&world).await, before, "nothing happened");
}

pub async fn a_clock_asked_for_at_once_on_two_nodes_begins_once(bed: Bed) {
    let world = World::new(&bed).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    let begun = at_once((1..=8_i64).map(|hours| {
        let node = nodes[usize::try_from(hours % 2).expect("a node")].clone();
        async move { node.begin_move(node.sandbox, HOUR * i32::try_from(hours).expect("hours"), now()).await }
    }))
    .await;
    let begun: Vec<_> = begun.into_iter().flatten().collect();
    assert_eq!(begun.len(), 1);
    assert_eq!(clock(&world).await, begun[0]);
}

pub async fn a_step_moves_the_clock_and_renews_the_claim(bed: Bed) {
    let world = World::new(&bed).await;
    let moving = begin(&world, DAY, now()).await;
    assert!(step(&world, moving.claim, now() + HOUR, after(20)).await);
    let expected = ClockMove { at: now() + HOUR, lease_end: after(20) + LEASE, ..moving };
    assert_eq!(clock(&world).await.moving, Some(expected));
    assert!(step(&world, moving.claim, now() + HOUR - A_MICROSECOND, after(25)).await);
    let renewed = ClockMove { lease_end: after(25) + LEASE, ..expected };
    assert_eq!(clock(&world).await.moving, Some(renewed), "never back");
    for wrong in [moving.claim + 1, moving.claim - 1, 0] {
        assert!(!step(&world, wrong, now() + HOUR * 2, after(26)).await);
        assert!(!end(&world, wrong, after(26)).await);
    }
    assert_eq!(clock(&world).await.moving, Some(renewed), "nothing happened");
}

pub async fn a_moved_clock_runs_on_from_its_target(bed: Bed) {
    let world = World::new(&bed).await;
    let moving = begin(&world, DAY * 10, now()).await;
    assert!(end(&world, moving.claim, after(5)).await);
    let moved = clock(&world).await;
    assert_eq!(moved.moving, None);
    assert_eq!(moved.time(after(5)), now() + DAY * 10);
    assert_eq!(moved.time(after(65)), after(60) + DAY * 10, "and runs");
    assert!(!step(&world, moving.claim, now() + DAY * 20, after(6)).await, "the move is over");
    assert!(!end(&world, moving.claim, after(6)).await);
    assert_eq!(clock(&world).await, moved);
}

pub async fn moves_add_up(bed: Bed) {
    let world = World::new(&bed).await;
    let mut claims = BTreeSet::new();
    for (second, days) in [(0, 1), (10, 400), (20, 30)] {
        let at = after(second);
        let moving = begin(&world, DAY * days, at).await;
        assert!(claims.last().is_none_or(|last| *last < moving.claim), "claims count up");
        claims.insert(moving.claim);
        assert_eq!(moving.target, moving.at + DAY * days);
        assert!(end(&world, moving.claim, at).await);
    }
    assert_eq!(clock(&world).await.ahead, DAY * 431);
}

pub async fn a_clock_never_goes_back_however_long_a_move_takes(bed: Bed) {
    let world = World::new(&bed).await;
    let ahead = world.jump(DAY, now()).await.ahead;
    let moving = begin(&world, HOUR, after(10)).await;
    let late = after(10) + HOUR * 3;
    assert!(end(&world, moving.claim, late).await);
    let clock = clock(&world).await;
    assert!(clock.ahead >= ahead && clock.time(late) >= moving.target, "{clock:?}");
}

pub async fn another_node_takes_a_move_over_when_its_lease_ends(bed: Bed) {
    let world = World::new(&bed).await;
    let other_node = world.on_another_node(&bed).await;
    let take_over = async |node: &World, at| node.store.take_over_moves(at).await.expect("an answer");
    assert_eq!(take_over(&other_node, now() + DAY).await, [], "there is none");
    let moving = begin(&world, DAY, now()).await;
    assert!(step(&world, moving.claim, now() + HOUR, after(20)).await);
    assert_eq!(take_over(&other_node, after(20) + LEASE - A_MICROSECOND).await, []);
    let late = after(20) + LEASE;
    let taken = take_over(&other_node, late).await;
    assert_eq!(taken.len(), 1);
    let (account, taken) = taken[0];
    let theirs = taken.moving.expect("it is being moved");
    assert_eq!((account, taken.ahead), (world.sandbox, SignedDuration::ZERO));
    assert_eq!(theirs, ClockMove { claim: theirs.claim, at: now() + HOUR, lease_end: late + LEASE, ..moving });
    assert!(theirs.claim > moving.claim);
    assert_eq!(take_over(&world, late).await, [], "once");
    assert!(!step(&world, moving.claim, now() + HOUR * 2, late).await, "the first has lost it");
    assert!(!end(&world, moving.claim, late).await);
    assert_eq!(clock(&world).await, taken);
    assert!(step(&other_node, theirs.claim, now() + HOUR * 2, late).await);
    assert!(end(&other_node, theirs.claim, late).await);
    assert_eq!(clock(&world).await.time(late), now() + DAY);
    assert_eq!(take_over(&world, late + DAY).await, []);
}

pub async fn a_move_is_taken_over_by_one_of_two_nodes(bed: Bed) {
    let world = World::new(&bed).await;
    let other = World::beside(world.store.clone(), "Other").await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    for account in [world.sandbox, other.sandbox] {
        world.begin_move(account, DAY, now()).await.expect("it begins");
    }
    let taken = at_once((0..6_usize).map(|index| {
        let node = nodes[index % 2].clone();
        async move { node.store.take_over_moves(now() + LEASE).await.expect("an answer") }
    }))
    .await;
    let rest = world.store.take_over_moves(now() + LEASE).await.expect("an answer");
    let mut taken: Vec<_> = taken.into_iter().chain([rest]).flatten().map(|(account, _)| account).collect();
    taken.sort();
    let mut expected = vec![world.sandbox, other.sandbox];
    expected.sort();
    assert_eq!(taken, expected);
}

// --- who works meanwhile ---

pub async fn everyone_leaves_an_account_alone_whose_clock_is_being_moved(bed: Bed) {
    let world = World::new(&bed).await;
    world.place_and_send(choosing(world.sandbox, "sent", &[GIFT])).await;
    world.place_and_send(choosing(world.production, "real", &[GIFT])).await;
    let late = now() + A_MONTH;
    world.place(PlaceOrder { now: late, ..costing(world.sandbox, "play", &[GIFT, GIFT]) }).await;
    world.place(PlaceOrder { now: late, ..costing(world.production, "really", &[GIFT]) }).await;
    let moving = begin(&world, DAY, late).await;
    assert_eq!(world.turn(late).await.expired, 1, "the production gift");
    let claimed = world.claim(late, 10).await;
    assert_eq!(claimed.iter().map(|delivery| delivery.account_id).collect::<Vec<_>>(), [world.production]);

    // Who moves it works for this account only.
    let mine = Work::Moving(world.sandbox);
    let turned = world.turn_reminding(mine, late, &days_before(&[])).await;
    assert_eq!((turned.expired, turned.refunded), (1, 700));
    assert_eq!(world.claim_work(mine, late, 1).await.len(), 1);
    let claimed = world.claim_work(mine, late, 10).await;
    assert_eq!((claimed.len(), claimed[0].account_id), (1, world.sandbox));
    assert_eq!(claimed[0].clock.moving.map(|moving| moving.claim), Some(moving.claim));
    let outcome = world.settle(vec![sent(&claimed[0], late)], late).await;
    assert_eq!((outcome.settled, outcome.dropped), (1, 0));
    assert!(end(&world, moving.claim, late).await);
    assert_eq!(world.claim(late, 10).await.len(), 1, "when it has arrived everyone works again");
    world.verify().await;
}

pub async fn what_was_claimed_before_the_move_can_be_settled_during_it(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place(costing(world.sandbox, "order", &[GIFT])).await.summary.order_id;
    let claimed = world.claim(now(), 10).await;
    begin(&world, DAY, after(1)).await;
    assert_eq!(world.settle(vec![sent(&claimed[0], after(2))], after(2)).await.settled, 1);
    let gift = gift(&world, order).await;
    assert_eq!((gift.delivery_status, gift.sent_at), (DeliveryStatus::Sent, Some(after(2))));
    world.verify().await;
}

pub async fn who_moves_a_clock_dates_what_happens_by_instants_still_to_come(bed: Bed) {
    let world = World::new(&bed).await;
    let ahead = world.jump(DAY * 100, now()).await;
    let send_at = ahead.time(now()) + DAY;
    let timing = scheduled(send_at);
    let command = PlaceOrder { timing, now: ahead.time(now()), ..choosing(world.sandbox, "order", &[GIFT]) };
    let order = world.place(command).await.summary.order_id;
    let moving = begin(&world, DAY * 2, after(1)).await;
    let due_at = ahead.node_time(send_at);
    assert_eq!(due_at, now() + DAY);
    assert!(step(&world, moving.claim, send_at, after(2)).await);
    let claimed = world.claim_work(Work::Moving(world.sandbox), due_at, 10).await;
    assert_eq!((claimed.len(), claimed[0].due_at), (1, due_at));
    world.settle(vec![sent(&claimed[0], due_at)], due_at).await;
    let gift = gift(&world, order).await;
    assert_eq!((gift.sent_at, gift.expires_at), (Some(send_at), Some(send_at + A_MONTH)));
    let summary = world.store.order(world.sandbox, order).await.expect("an answer").expect("an order").summary;
    assert_eq!((summary.status, summary.completed_at), (OrderStatus::Complete, Some(send_at)));
    assert_eq!(world.events(world.sandbox, order).await[0].at, send_at);
    world.verify().await;
}

pub async fn who_moves_a_clock_dates_each_turn_by_its_own_instant(bed: Bed) {
    let world = World::new(&bed).await;
    let reminders = days_before(&[7]);
    let order = world.place(choosing(world.sandbox, "order", &[1_000, 1_000, 500])).await.summary.order_id;
    let mut claimed = world.claim(now(), 10).await;
    claimed.sort_by_key(|delivery| delivery.gift);
    let outcomes = vec![sent(&claimed[0], after(10)), sent(&claimed[1], after(10)), sent(&claimed[2], after(11))];
    world.settle_reminding(outcomes, &reminders, after(11)).await;
    begin(&world, DAY * 50, after(20)).await;
    let mine = Work::Moving(world.sandbox);
    let week_before = after(10) + A_MONTH - DAY * 7;
    let turned = world.turn_group(mine, week_before + HOUR, &reminders).await;
    assert_eq!(turned, Turned { gifts: 3, reminded: 3, expired: 0, refunded: 0 });
    let mails = world.claim_work(mine, week_before + HOUR, 10).await;
    let due: BTreeSet<_> = mails.iter().map(|mail| (mail.gift.position, mail.kind, mail.due_at)).collect();
    let second = SignedDuration::from_secs(1);
    let reminder = MailKind::Reminder;
    let expected = [(1, reminder, week_before), (2, reminder, week_before), (3, reminder, week_before + second)].into();
    assert_eq!(due, expected);

    let turned = world.turn_group(mine, after(10) + A_MONTH + HOUR, &reminders).await;
    assert_eq!((turned.expired, turned.refunded), (3, 700 + 700 + 350));
    let entries = world.ledger_of(world.sandbox, Some(EntryType::Refund), Days::default(), 1, 10).await.items;
    let told: Vec<_> = entries.iter().map(|entry| (entry.created_at(), entry.postings.available)).collect();
    let first = after(10) + A_MONTH;
    assert_eq!(told, [(first + second, 350), (first, 1_400)], "one entry for each order and instant");
    let events = world.events(world.sandbox, order).await;
    let instants: BTreeSet<_> = events
        .iter()
        .filter(|event| matches!(event.event_type, EventType::Expired | EventType::Refunded))
        .map(|event| (event.position, event.at))
        .collect();
    assert_eq!(instants, [(1, first), (2, first), (3, first + second)].into());
    world.verify().await;
}

pub async fn what_is_asked_for_during_a_move_is_dated_by_where_the_clock_stands(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(choosing(world.sandbox, "order", &[GIFT])).await;
    let send_at = now() + DAY * 5;
    let timing = scheduled(send_at);
    let orders: Vec<_> = {
        let mut orders = Vec::new();
        for key in ["first", "second"] {
            let command = PlaceOrder { timing: timing.clone(), ..costing(world.sandbox, key, &[GIFT]) };
            orders.push(world.place(command).await.summary.order_id);
        }
        orders
    };
    let moving = begin(&world, DAY * 40, after(1)).await;
    let stands = send_at - HOUR;
    assert!(step(&world, moving.claim, stands, after(2)).await);
    match world.cancel(world.sandbox, orders[0], after(3)).await {
        Cancellation::Canceled(canceled) => assert_eq!(canceled.summary.canceled_at, Some(stands)),
        other => panic!("not canceled: {other:?}"),
    }
    let key = gift_key(world.sandbox, order, 1);
    let reserved = world.reserved(redeeming(key, 1, 400, after(4))).await;
    assert_eq!(reserved.reserved_at, stands);
    let settled = world.supply(key, 1, Supplied::Code(code("CODE")), after(5)).await.expect("a redemption");
    assert_eq!(settled.settled_at, Some(stands));
    world.resend(resending(world.sandbox, order, &[("r1@example.com", None)], after(6))).await;
    let told: Vec<_> = world.events(world.sandbox, order).await[..2].iter().map(|e| (e.event_type, e.at)).collect();
    assert_eq!(told, [(EventType::Resent, stands), (EventType::Redeemed, stands)]);
    let debit = world.operate(world.sandbox, EntryType::Transfer, 5, "bounced").await;
    assert!(matches!(&debit, giftd_store::OperatorOutcome::Posted(entry) if entry.created_at() == stands), "{debit:?}");

    assert!(step(&world, moving.claim, stands + A_MICROSECOND, after(7)).await);
    let late = world.cancel(world.sandbox, orders[1], after(8)).await;
    assert_eq!(late, Cancellation::Refused(NotCancelable::TooLate));
    assert!(step(&world, moving.claim, now() + A_MONTH, after(9)).await);
    let answer = world.reserve(redeeming(key, 2, 600, after(10))).await;
    assert_eq!(answer, Reserved::Refused(NotRedeemable::Expired));
    world.verify().await;
}

pub async fn an_order_placed_during_a_move_goes_out_in_it_or_after_it(bed: Bed) {
    let world = World::new(&bed).await;
    let moving = begin(&world, DAY * 10, now()).await;
    let stands = now() + DAY * 3;
    assert!(step(&world, moving.claim, stands, after(1)).await);
    let time = clock(&world).await.time(after(2));
    assert_eq!(time, stands);
    for key in ["in it", "after it"] {
        world.place(PlaceOrder { now: time, ..costing(world.sandbox, key, &[GIFT]) }).await;
    }
    let mine = Work::Moving(world.sandbox);
    assert_eq!(world.claim_work(mine, stands - A_MICROSECOND, 10).await, []);
    let claimed = world.claim_work(mine, stands, 1).await;
    assert_eq!(claimed.len(), 1);
    world.settle(vec![sent(&claimed[0], stands)], stands).await;
    assert!(end(&world, moving.claim, after(3)).await);
    assert_eq!(world.claim(after(3), 10).await.len(), 1);
}

pub async fn a_move_that_does_what_is_due_on_its_way_leaves_everything_as_if_time_had_passed(bed: Bed) {
    let world = World::new(&bed).await;
    let reminders = days_before(&[7, 1]);
    let send_at = now() + DAY * 2;
    let command = PlaceOrder { timing: scheduled(send_at), ..choosing(world.sandbox, "order", &[1_000, 500]) };
    let order = world.place(command).await.summary.order_id;
    let clock_then = world.begin_move(world.sandbox, DAY * 40, after(1)).await.expect("it begins");
    let moving = clock_then.moving.expect("it is being moved");
    let until = clock_then.node_time(moving.target);
    let mine = Work::Moving(world.sandbox);
    let mut mailed = Vec::new();
    let mut steps = 0;
    loop {
        let due = due(&world, until).await;
        let Some(first) = [due.first_mail, due.first_turn].into_iter().flatten().min() else {
            assert_eq!(due.events, 0);
            break;
        };
        assert!(due.events > 0);
        assert!(step(&world, moving.claim, clock_then.shown_at(first), after(2)).await);
        world.turn_reminding(mine, first, &reminders).await;
        let claimed = world.claim_work(mine, first, 10).await;
        mailed.extend(claimed.iter().map(|mail| (mail.gift.position, mail.kind, mail.send_number, first)));
        world.settle_reminding(claimed.iter().map(|mail| sent(mail, first)).collect(), &reminders, first).await;
        steps += 1;
        assert!(steps < 10, "it comes to an end");
    }
    assert!(end(&world, moving.claim, after(5)).await);
    mailed.sort();
    let expires_at = send_at + A_MONTH;
    let of = |position| {
        [
            (position, MailKind::Gift, 1, send_at),
            (position, MailKind::Reminder, 1, expires_at - DAY * 7),
            (position, MailKind::Reminder, 2, expires_at - DAY),
        ]
    };
    assert_eq!(mailed, [of(1), of(2)].concat());
    let gift = gift(&world, order).await;
    assert_eq!((gift.sent_at, gift.expires_at), (Some(send_at), Some(expires_at)));
    assert_eq!((gift.redemption_status, gift.refunded), (RedemptionStatus::Expired, Some(700)));
    let refund = world.ledger(world.sandbox).await.items.swap_remove(0);
    assert_eq!((refund.entry_type, refund.created_at()), (EntryType::Refund, expires_at));
    assert_eq!(refund.postings.available, 700 + 350);
    let far = after(5) + DAY * 1_000;
    assert_eq!(due(&world, far).await, Due::default(), "nothing is left");
    assert_eq!(world.claim(far, 10).await, []);
    world.verify().await;
}

// --- what waits ---

pub async fn what_waits_in_an_account_is_counted_up_to_an_instant(bed: Bed) {
    let world = World::new(&bed).await;
    assert_eq!(due(&world, now() + DAY * 1_000).await, Due::default());
    world.place_and_send(choosing(world.sandbox, "sent", &[GIFT, GIFT, GIFT])).await;
    world.place_and_send(choosing(world.production, "real", &[GIFT])).await;
    let later = PlaceOrder { timing: scheduled(now() + DAY), ..costing(world.sandbox, "later", &[GIFT, GIFT]) };
    world.place(later.clone()).await;
    world.place(PlaceOrder { account_id: world.production, ..later }).await;
    let first_mail = Some(now() + DAY);
    let first_turn = Some(now() + A_MONTH);
    for (until, expected) in [
        (now() + DAY - A_MICROSECOND, Due::default()),
        (now() + DAY, Due { events: 2, first_mail, first_turn: None }),
        (now() + A_MONTH - A_MICROSECOND, Due { events: 2, first_mail, first_turn: None }),
        (now() + A_MONTH, Due { events: 5, first_mail, first_turn }),
    ] {
        assert_eq!(due(&world, until).await, expected, "{until}");
    }
    assert_eq!(world.store.due_until(AccountId(4_711), now() + DAY).await.expect("an answer"), Due::default());
}

pub async fn what_waits_comes_nearer_by_as_much_as_the_clock_moved(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(choosing(world.sandbox, "sent", &[GIFT])).await;
    let later = PlaceOrder { timing: scheduled(now() + DAY * 5), ..costing(world.sandbox, "later", &[GIFT]) };
    world.place(later.clone()).await;
    world.place(PlaceOrder { account_id: world.production, ..later }).await;
    world.place(PlaceOrder { now: after(1), ..costing(world.sandbox, "retried", &[GIFT]) }).await;
    let claimed = world.claim(after(1), 10).await;
    world.settle(vec![retry(&claimed[0], after(2), now() + DAY * 3)], after(2)).await;
    let before = gift(&world, order).await;

    world.jump(DAY * 2, after(10)).await;
    let expected = Due { events: 3, first_mail: Some(now() + DAY), first_turn: Some(now() + A_MONTH - DAY * 2) };
    assert_eq!(due(&world, now() + A_MONTH).await, expected);
    assert_eq!(gift(&world, order).await, before, "what is recorded stays");
    assert_eq!(world.claim(now() + DAY - A_MICROSECOND, 10).await, []);
    let retried = world.claim(now() + DAY, 10).await;
    let told: Vec<_> = retried.iter().map(|d| (d.attempts, d.due_at, d.tried_since)).collect();
    assert_eq!(told, [(1, after(1) - DAY * 2, after(1) - DAY * 2)], "the 24 hours of its retries pass as well");
    let scheduled = world.claim(now() + DAY * 3, 10).await;
    let told: Vec<_> = scheduled.iter().filter(|d| d.attempts == 0).map(|d| (d.account_id, d.due_at)).collect();
    assert_eq!(told, [(world.sandbox, now() + DAY * 3)], "another account's stays where it is");
    assert_eq!(world.turn(now() + A_MONTH - DAY * 2 - A_MICROSECOND).await, Turned::default());
    let turned = world.turn(now() + A_MONTH - DAY * 2).await;
    assert_eq!((turned.expired, turned.refunded), (1, 700));
    let refund = world.ledger_of(world.sandbox, Some(EntryType::Refund), Days::default(), 1, 1).await.items;
    assert_eq!(refund[0].created_at(), now() + A_MONTH, "by the account's clock");
    world.verify().await;
}

pub async fn what_became_due_by_a_jump_is_the_oldest_work_there_is(bed: Bed) {
    let world = World::new(&bed).await;
    let later = PlaceOrder { timing: scheduled(now() + DAY), ..costing(world.sandbox, "later", &[GIFT]) };
    world.place(later).await;
    world.place(world.command("real", 1)).await;
    world.jump(DAY * 2, now()).await;
    let claimed = world.claim(now(), 1).await;
    assert_eq!((claimed[0].account_id, claimed[0].due_at), (world.sandbox, now() - DAY));
    assert_eq!(world.store.backlog(now()).await.expect("an answer"), Backlog { due: 1, oldest_due: Some(now()) });
}

// --- what is recorded goes by the account's clock ---

pub async fn everything_recorded_is_in_the_accounts_time(bed: Bed) {
    let world = World::new(&bed).await;
    let clock = world.jump(DAY * 100, now()).await;
    let shown = |seconds| clock.shown_at(after(seconds));
    let command = PlaceOrder { now: shown(1), ..choosing(world.sandbox, "order", &[1_000]) };
    let placed = world.place(command).await;
    let order = placed.summary.order_id;
    assert_eq!(placed.summary.created_at(), shown(1));
    assert_eq!(world.claim(after(1) - A_MICROSECOND, 10).await, [], "due by the node's clock");
    let claimed = world.claim(after(2), 10).await;
    assert_eq!((claimed[0].due_at, claimed[0].tried_since), (after(1), after(2)));
    world.settle(vec![sent(&claimed[0], after(3))], after(4)).await;
    let sent_gift = gift(&world, order).await;
    assert_eq!((sent_gift.sent_at, sent_gift.expires_at), (Some(shown(3)), Some(shown(3) + A_MONTH)));
    let summary = world.store.order(world.sandbox, order).await.expect("an answer").expect("an order").summary;
    assert_eq!(summary.completed_at, Some(shown(4)));

    world.resend(resending(world.sandbox, order, &[("r1@example.com", None)], after(10))).await;
    let again = world.claim(after(10), 10).await;
    assert_eq!((again[0].due_at, again[0].expires_at), (after(10), Some(shown(3) + A_MONTH)));
    world.settle(vec![sent(&again[0], after(11))], after(11)).await;
    let key = gift_key(world.sandbox, order, 1);
    world.store.request_verification(key, 1, after(12)).await.expect("an answer");
    world.store.verify(key, 1, 1, after(13)).await.expect("an answer");
    let reserved = world.reserved(redeeming(key, 1, 400, after(14))).await;
    assert_eq!(reserved.reserved_at, shown(14));
    let done = world.supply(key, 1, Supplied::Code(code("CODE")), after(15)).await.expect("a redemption");
    assert_eq!(done.settled_at, Some(shown(15)));
    assert_eq!(world.at_hand(key).await.clock, clock);
    let end = clock.node_time(shown(3) + A_MONTH);
    assert_eq!(end, after(3) + A_MONTH);
    let last = end - A_MICROSECOND;
    world.reserved(redeeming(key, 2, 100, last)).await;
    let over = world.reserve(redeeming(key, 3, 100, end)).await;
    assert_eq!(over, Reserved::Refused(NotRedeemable::Expired));
    assert_eq!(world.turn(last).await, Turned::default());
    assert_eq!(world.turn(end).await.refunded, 350);

    let mut told: Vec<_> = world.events(world.sandbox, order).await.iter().map(|e| (e.event_type, e.at)).collect();
    told.reverse();
    assert_eq!(
        told,
        [
            (EventType::Placed, shown(1)),
            (EventType::Sent, shown(3)),
            (EventType::Resent, shown(10)),
            (EventType::Sent, shown(11)),
            (EventType::VerificationRequested, shown(12)),
            (EventType::Verified, shown(13)),
            (EventType::Redeemed, shown(15)),
            (EventType::Expired, shown(3) + A_MONTH),
            (EventType::Refunded, shown(3) + A_MONTH),
        ]
    );
    let refund = world.ledger(world.sandbox).await.items.swap_remove(0);
    assert_eq!((refund.entry_type, refund.created_at()), (EntryType::Refund, shown(3) + A_MONTH));
    world.verify().await;
}

pub async fn canceling_goes_by_the_accounts_clock(bed: Bed) {
    let world = World::new(&bed).await;
    let mut orders = Vec::new();
    for key in ["first", "second"] {
        let timing = scheduled(now() + DAY * 10);
        orders.push(world.place(PlaceOrder { timing, ..costing(world.sandbox, key, &[GIFT]) }).await.summary.order_id);
    }
    let clock = world.jump(DAY * 9, now()).await;
    let last = now() + DAY - HOUR;
    let late = world.cancel(world.sandbox, orders[0], last + A_MICROSECOND).await;
    assert_eq!(late, Cancellation::Refused(NotCancelable::TooLate));
    match world.cancel(world.sandbox, orders[1], last).await {
        Cancellation::Canceled(order) => assert_eq!(order.summary.canceled_at, Some(clock.shown_at(last))),
        other => panic!("not canceled: {other:?}"),
    }
    let refund = world.ledger(world.sandbox).await.items.swap_remove(0);
    assert_eq!((refund.entry_type, refund.created_at()), (EntryType::Refund, clock.shown_at(last)));
    assert_eq!(world.events(world.sandbox, orders[1]).await[0].at, clock.shown_at(last));
}

pub async fn money_of_an_operator_is_dated_by_the_accounts_clock(bed: Bed) {
    let world = World::new(&bed).await;
    let clock = world.jump(DAY * 3, now()).await;
    for entry_type in [EntryType::Transfer, EntryType::Charge] {
        match world.operate(world.sandbox, entry_type, 100, "operator's").await {
            giftd_store::OperatorOutcome::Posted(entry) => assert_eq!(entry.created_at(), clock.time(now())),
            other => panic!("not posted: {other:?}"),
        }
    }
    world.verify().await;
}

pub async fn after_a_jump_orders_are_listed_on_the_days_of_the_accounts_clock(bed: Bed) {
    let world = World::new(&bed).await;
    let first = world.place(costing(world.sandbox, "first", &[GIFT])).await.summary;
    let clock = world.jump(DAY * 30, after(1)).await;
    let command = PlaceOrder { now: clock.time(after(2)), ..costing(world.sandbox, "second", &[GIFT]) };
    let second = world.place(command).await.summary;
    let listed = world.orders_of(world.sandbox, &OrderFilter::default(), 1, 10).await.items;
    assert_eq!(listed, [second.clone(), first.clone()]);
    for (day, expected) in [("2026-11-22", first), ("2026-12-22", second)] {
        let days = Days { from: day.parse().ok(), to: day.parse().ok() };
        let listed = world.orders_of(world.sandbox, &OrderFilter { days, ..OrderFilter::default() }, 1, 10).await;
        assert_eq!((listed.total, listed.items), (1, vec![expected]), "{day}");
        let entries = world.ledger_of(world.sandbox, Some(EntryType::Use), days, 1, 10).await;
        assert_eq!(entries.total, 1, "{day}");
    }
    let claimed: Vec<_> = world.claim(after(2), 10).await.iter().map(|delivery| delivery.due_at).collect();
    assert_eq!(claimed, [now() - DAY * 30, after(2)]);
    world.verify().await;
}

// --- limits go by the node's clock ---

pub async fn limits_go_by_the_nodes_clock(bed: Bed) {
    let world = World::new(&bed).await;
    let command = PlaceOrder { refund_option: false, ..choosing(world.sandbox, "order", &[GIFT; 102]) };
    let order = world.place_and_send(command).await;
    let key = gift_key(world.sandbox, order, 1);
    let resend = async |address: &str, to: Option<&str>, seconds| {
        world.resend(resending(world.sandbox, order, &[(address, to)], after(seconds))).await
    };
    let done = Resent::Done { requeued: 1, skipped: vec![] };
    for second in 0..10 {
        assert_eq!(resend("r1@example.com", None, second).await, done);
    }
    for position in 2..=101 {
        assert_eq!(resend(&format!("r{position}@example.com"), Some("new@example.com"), 10).await, done);
    }
    let request = async |seconds| world.store.request_verification(key, 1, after(seconds)).await.expect("an answer");
    for number in 1..=3 {
        assert_eq!(request(11).await, VerificationRequested::Requested { number });
    }
    world.reserved(redeeming(gift_key(world.sandbox, order, 102), 1, GIFT, after(11))).await;

    world.jump(DAY * 10, after(12)).await;
    let skipped = Skipped { email: "r1@example.com".to_owned(), reason: SkipReason::LimitReached };
    assert_eq!(resend("r1@example.com", None, 13).await, Resent::Done { requeued: 0, skipped: vec![skipped] });
    let moved = resend("new@example.com", Some("newer@example.com"), 13).await;
    assert_eq!(moved, Resent::TooManyMoves);
    assert!(matches!(request(13).await, VerificationRequested::TooMany { .. }));
    let used = world.store.verify(key, 1, 3, after(13)).await.expect("an answer");
    assert_eq!(used, Verified::Yes, "its ten minutes are real");
    let asked = world.store.claim_redemptions(after(40), 10).await.expect("an answer");
    assert_eq!(asked, [], "a supplier goes by real time");
    assert_eq!(world.store.claim_redemptions(after(41), 10).await.expect("an answer").len(), 1);
    assert_eq!(world.store.verify(key, 1, 2, after(11 + 601)).await.expect("an answer"), Verified::TooOld);
    assert!(matches!(request(11 + 601).await, VerificationRequested::Requested { .. }));
    world.verify().await;
}

pub async fn a_verification_mail_that_waits_is_not_older_after_a_jump(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(choosing(world.sandbox, "order", &[GIFT])).await;
    let key = gift_key(world.sandbox, order, 1);
    world.store.request_verification(key, 1, after(10)).await.expect("an answer");
    let claimed = world.claim(after(10), 10).await;
    world.settle(vec![retry(&claimed[0], after(11), after(30))], after(11)).await;
    world.jump(DAY * 5, after(20)).await;
    let claimed = world.claim(after(30), 10).await;
    let told: Vec<_> = claimed.iter().map(|d| (d.kind, d.attempts, d.tried_since)).collect();
    assert_eq!(told, [(MailKind::Verification, 1, after(10))], "or it would be given up at once");
    assert_eq!(world.store.verify(key, 1, 1, after(40)).await.expect("an answer"), Verified::Yes);
}
