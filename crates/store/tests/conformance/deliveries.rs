//! Claiming deliveries and settling their outcomes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use giftd_domain::Timestamp;
use giftd_domain::access::Environment;
use giftd_domain::account::AccountClock;
use giftd_domain::gifts::verification::VerificationRequested;
use giftd_domain::gifts::{ClaimedDelivery, DeliveryOutcome, DeliveryStatus, Gift, MailKind, RedemptionStatus};
use giftd_domain::history::{Days, OrderFilter};
use giftd_domain::ids::{AccountId, GiftId, OrderId};
use giftd_domain::ledger::Postings;
use giftd_domain::money::Money;
use giftd_domain::orders::place::PlaceOrder;
use giftd_domain::orders::{OrderStatus, OrderType};
use giftd_domain::templates::TemplateContent;
use giftd_store::{Backlog, Mails, SettleDelivery, Settled, Work};
use jiff::SignedDuration;

use crate::bed::Bed;
use crate::world::{
    A_MICROSECOND, A_MONTH, GIFT, LEASE, World, after, at_once, costing, days_before, failed, gift_key, instant, now,
    resending, retry, scheduled, sent,
};

fn gifts_of(claimed: &[ClaimedDelivery]) -> BTreeSet<GiftId> {
    claimed.iter().map(|delivery| delivery.gift).collect()
}

async fn gift(world: &World, order: OrderId, position: usize) -> Gift {
    world.gift(order, position).await
}

async fn issues(bed: &Bed) -> i64 {
    bed.number("SELECT count(*) FROM ledger WHERE type = 'ISSUE'").await
}

fn settled(settled: u64, dropped: u64, completed_orders: u64) -> Settled {
    Settled { settled, dropped, completed_orders }
}

// --- claiming ---

pub async fn a_claim_has_all_that_the_mail_needs(bed: Bed) {
    let world = World::new(&bed).await;
    let mut command = PlaceOrder {
        total_amount: Money::new(5_000, "JPY".parse().expect("yen")),
        ..costing(world.production, "order", &[3_338])
    };
    command.gifts[0].amount = 5_000;
    command.gifts[0].recipient.first_name = Some("Alice".to_owned());
    command.gifts[0].recipient.department = Some("部".to_owned());
    command.email_setting.message = Some("Dear Alice,\n\tthank you".to_owned());
    let order = world.place(command.clone()).await.summary;
    let claimed = world.claim(after(7), 10).await;
    assert_eq!(
        claimed,
        [ClaimedDelivery {
            account_id: world.production,
            environment: Environment::Production,
            clock: AccountClock::default(),
            gift: GiftId { order: order.order_id, position: 1 },
            kind: MailKind::Gift,
            claim: claimed[0].claim,
            send_number: 1,
            attempts: 0,
            due_at: now(),
            tried_since: after(7),
            link_version: 1,
            recipient: command.gifts[0].recipient.clone(),
            amount: Money::new(5_000, "JPY".parse().expect("yen")),
            card_name: command.card_name,
            sender_name: command.email_setting.sender_name,
            subject: command.email_setting.subject,
            message: command.email_setting.message,
            template: TemplateContent::first("Acme"),
            refund_option: false,
            expires_at: None,
        }]
    );
    assert!(claimed[0].claim > 0);
}

pub async fn a_claim_tells_the_environment(bed: Bed) {
    let world = World::new(&bed).await;
    world.place(world.command("order", 1)).await;
    world.place(costing(world.sandbox, "play", &[GIFT])).await;
    let claimed = world.claim(now(), 10).await;
    let found: BTreeSet<_> = claimed.iter().map(|d| (d.account_id, d.environment == Environment::Sandbox)).collect();
    assert_eq!(found, [(world.production, false), (world.sandbox, true)].into());
}

pub async fn only_what_is_due_is_claimed(bed: Bed) {
    let world = World::new(&bed).await;
    world.place(world.command("now", 2)).await;
    assert_eq!(world.claim(now() - A_MICROSECOND, 10).await, []);
    assert_eq!(world.claim(now(), 10).await.len(), 2);
}

pub async fn a_scheduled_order_is_not_claimed_before_its_instant(bed: Bed) {
    let world = World::new(&bed).await;
    let send_at = instant("2026-12-24T00:00:00Z");
    let order = world.place(PlaceOrder { timing: scheduled(send_at), ..world.command("order", 2) }).await;
    assert_eq!(world.claim(send_at - A_MICROSECOND, 10).await, []);
    assert_eq!(world.order(order.summary.order_id).await.summary.status, OrderStatus::Pending);
    let claimed = world.claim(send_at, 10).await;
    assert_eq!(claimed.len(), 2);
    assert!(claimed.iter().all(|delivery| delivery.due_at == send_at));
    assert_eq!(world.order(order.summary.order_id).await.summary.status, OrderStatus::InProgress);
}

pub async fn the_oldest_due_are_claimed_first_up_to_the_limit(bed: Bed) {
    let world = World::new(&bed).await;
    world.place(PlaceOrder { timing: scheduled(after(40)), ..world.command("fourth", 1) }).await;
    world.place(PlaceOrder { now: after(20), ..world.command("third", 2) }).await;
    world.place(PlaceOrder { now: after(10), ..world.command("second", 2) }).await;
    world.place(costing(world.sandbox, "first", &[GIFT])).await;
    let mut due = Vec::new();
    for limit in [0, 1, 1, 2, 10, 10] {
        let claimed = world.claim(after(50), limit).await;
        let mut instants: Vec<_> = claimed.iter().map(|delivery| delivery.due_at).collect();
        instants.sort();
        due.push(instants);
    }
    assert_eq!(
        due,
        [vec![], vec![now()], vec![after(10)], vec![after(10), after(20)], vec![after(20), after(40)], vec![]]
    );
}

pub async fn what_goes_out_and_what_stays_are_claimed_apart(bed: Bed) {
    let world = World::new(&bed).await;
    let mut links = world.command("links", 3);
    links.order_type = OrderType::Link;
    for gift in &mut links.gifts {
        gift.recipient.email = None;
    }
    // What stays is due first.
    let links = world.place(links).await.summary.order_id;
    let sandbox = world.place(PlaceOrder { now: after(1), ..costing(world.sandbox, "sandbox", &[GIFT; 3]) }).await;
    let sandbox = sandbox.summary.order_id;
    let mailed = world.place(PlaceOrder { now: after(2), ..world.command("mailed", 3) }).await.summary.order_id;
    let orders = |claimed: &[ClaimedDelivery]| claimed.iter().map(|mail| mail.gift.order).collect::<Vec<_>>();

    let staying = world.claim_mails(Mails::Staying, after(9), 4).await;
    assert_eq!(orders(&staying), [links, links, links, sandbox]);
    let outgoing = world.claim_mails(Mails::Outgoing, after(9), 2).await;
    assert_eq!(orders(&outgoing), [mailed, mailed]);
    assert_eq!(orders(&world.claim_mails(Mails::All, after(9), 9).await), [sandbox, sandbox, mailed]);
    for mails in [Mails::Outgoing, Mails::Staying] {
        assert_eq!(world.claim_mails(mails, after(9), 9).await, [], "each was claimed once");
    }

    // The same of verifications and mails that are sent again.
    let settlements = staying.iter().chain(&outgoing).map(|mail| sent(mail, after(9))).collect();
    world.settle(settlements, after(9)).await;
    for (account, order) in [(world.sandbox, sandbox), (world.production, mailed)] {
        let position = if account == world.sandbox { staying[3].gift.position } else { outgoing[0].gift.position };
        let gift = gift_key(account, order, position);
        let requested = world.store.request_verification(gift, 1, after(10)).await.expect("an answer");
        assert!(matches!(requested, VerificationRequested::Requested { .. }), "{requested:?}");
    }
    assert_eq!(orders(&world.claim_mails(Mails::Outgoing, after(10), 9).await), [mailed]);
    assert_eq!(orders(&world.claim_mails(Mails::Staying, after(10), 9).await), [sandbox]);
}

pub async fn verifications_are_claimed_before_all_that_waits(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(world.command("sent", 3)).await;
    world.place(PlaceOrder { now: after(10), ..world.command("backlog", 300) }).await;
    for (position, seconds) in [(2, 30), (3, 20)] {
        ask_to_verify(&world, world.production, order, position, seconds).await;
    }
    let claimed = world.claim(after(40), 10).await;
    assert_eq!(told(&claimed[..2]), [(MailKind::Verification, 3, after(20)), (MailKind::Verification, 2, after(30))]);
    assert_eq!(claimed.len(), 10);
    assert!(claimed[2..].iter().all(|mail| (mail.kind, mail.due_at) == (MailKind::Gift, after(10))), "{claimed:?}");
    // However few are asked for.
    ask_to_verify(&world, world.production, order, 1, 50).await;
    assert_eq!(told(&world.claim(after(50), 1).await), [(MailKind::Verification, 1, after(50))]);
    assert_eq!(world.claim(after(50), 1_000).await.len(), 292, "and all others after them");
}

pub async fn verifications_of_a_clock_that_moves_are_claimed_first(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(costing(world.sandbox, "sent", &[GIFT])).await;
    world.place(PlaceOrder { now: after(10), ..costing(world.sandbox, "backlog", &[GIFT; 20]) }).await;
    ask_to_verify(&world, world.sandbox, order, 1, 20).await;
    world.begin_move(world.sandbox, SignedDuration::from_hours(1), after(30)).await.expect("a move");
    let claimed = world.claim_work(Work::Moving(world.sandbox), after(40), 5).await;
    assert_eq!(told(&claimed[..1]), [(MailKind::Verification, 1, after(20))]);
    assert!(claimed[1..].iter().all(|mail| mail.kind == MailKind::Gift), "{claimed:?}");
    assert_eq!(claimed.len(), 5);
}

async fn ask_to_verify(world: &World, account: AccountId, order: OrderId, position: u32, seconds: i64) {
    let gift = gift_key(account, order, position);
    let asked = world.store.request_verification(gift, 1, after(seconds)).await.expect("an answer");
    assert_eq!(asked, VerificationRequested::Requested { number: 1 });
}

/// The kind of each mail, its gift's position, and when it is due.
fn told(claimed: &[ClaimedDelivery]) -> Vec<(MailKind, u32, Timestamp)> {
    claimed.iter().map(|mail| (mail.kind, mail.gift.position, mail.due_at)).collect()
}

pub async fn the_first_claim_makes_an_order_in_progress(bed: Bed) {
    let world = World::new(&bed).await;
    let first = world.place(world.command("first", 2)).await.summary.order_id;
    let second = world.place(PlaceOrder { now: after(1), ..world.command("second", 1) }).await.summary.order_id;
    assert_eq!(world.count(OrderStatus::Pending).await, 2);
    assert_eq!(world.claim(after(1), 1).await.len(), 1);
    for (order, status) in [(first, OrderStatus::InProgress), (second, OrderStatus::Pending)] {
        assert_eq!(world.order(order).await.summary.status, status);
        let filter = OrderFilter { status: Some(status), ..OrderFilter::default() };
        let page = world.orders(&filter).await;
        assert_eq!((page.total, page.items.len(), page.items[0].order_id), (1, 1, order));
    }
    let delivery_statuses: Vec<_> = world.order(first).await.gifts.iter().map(|gift| gift.delivery_status).collect();
    assert_eq!(delivery_statuses, [DeliveryStatus::Pending; 2], "claimed is not yet sent");
    world.verify().await;
}

pub async fn nobody_else_gets_a_claimed_delivery_until_its_lease_ends(bed: Bed) {
    let world = World::new(&bed).await;
    let other_node = world.on_another_node(&bed).await;
    world.place(world.command("order", 2)).await;
    let first = world.claim(after(10), 10).await;
    for node in [&world, &other_node] {
        assert_eq!(node.claim(after(10), 10).await, []);
        assert_eq!(node.claim(after(10) + LEASE - A_MICROSECOND, 10).await, []);
    }
    let taken_over = other_node.claim(after(10) + LEASE, 10).await;
    assert_eq!(gifts_of(&taken_over), gifts_of(&first));
    for delivery in &taken_over {
        let before = first.iter().find(|before| before.gift == delivery.gift).expect("it was claimed before");
        assert!(delivery.claim > before.claim, "a later claim has a higher number");
        let same = (now(), after(10), 1);
        assert_eq!((delivery.due_at, delivery.tried_since, delivery.send_number), same, "and is the same send");
    }
    assert_eq!(world.claim(after(10) + LEASE, 10).await, [], "and has a lease of its own");
}

pub async fn claimers_at_once_get_different_deliveries(bed: Bed) {
    let world = World::new(&bed).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    world.place_at_once((0..20).map(|key| world.command(&format!("order {key}"), 10)).collect()).await;
    let claimed = Arc::new(AtomicUsize::new(0));
    let of_each = at_once((0..8_usize).map(|claimer| {
        let (node, claimed) = (nodes[claimer % 2].clone(), claimed.clone());
        async move {
            let mut mine = Vec::new();
            // A claimer may find only what others are claiming: it looks again until all is claimed.
            while claimed.load(Ordering::SeqCst) < 200 {
                let more = node.claim(after(1), 7).await;
                assert!(more.len() <= 7);
                claimed.fetch_add(more.len(), Ordering::SeqCst);
                mine.extend(more.into_iter().map(|delivery| delivery.gift));
                tokio::task::yield_now().await;
            }
            mine
        }
    }))
    .await;
    let all: Vec<_> = of_each.concat();
    assert_eq!((all.len(), all.iter().collect::<BTreeSet<_>>().len()), (200, 200));
    assert_eq!(world.count(OrderStatus::InProgress).await, 20);
    world.verify().await;
}

pub async fn the_backlog_is_what_is_due_and_not_claimed(bed: Bed) {
    let world = World::new(&bed).await;
    let backlog = async |seconds: i64| world.store.backlog(after(seconds)).await.expect("an answer");
    assert_eq!(backlog(0).await, Backlog::default());
    world.place(world.command("now", 2)).await;
    world.place(PlaceOrder { timing: scheduled(after(100)), ..world.command("later", 3) }).await;
    assert_eq!(backlog(-1).await, Backlog::default());
    assert_eq!(backlog(99).await, Backlog { due: 2, oldest_due: Some(now()) });
    assert_eq!(backlog(100).await, Backlog { due: 5, oldest_due: Some(now()) });
    let claimed = world.claim(after(99), 10).await;
    assert_eq!(backlog(100).await, Backlog { due: 3, oldest_due: Some(after(100)) });
    assert_eq!(backlog(99 + 60).await.due, 5, "a lease that ended makes it due again");
    world.settle(claimed.iter().map(|delivery| sent(delivery, after(99))).collect(), after(99)).await;
    assert_eq!(backlog(99 + 60).await.due, 3);
}

// --- settling ---

pub async fn a_sent_gift_is_issued(bed: Bed) {
    let world = World::with_funds(&bed, 100_000).await;
    let order = world.place(costing(world.production, "order", &[2_000, 500])).await.summary.order_id;
    let claimed = world.claim(after(1), 10).await;
    let first = claimed.iter().find(|delivery| delivery.gift.position == 1).expect("the first gift");
    let at = after(3) + SignedDuration::from_millis(250);
    assert_eq!(world.settle(vec![sent(first, at)], after(4)).await, settled(1, 0, 0));
    let gift = gift(&world, order, 1).await;
    assert_eq!((gift.delivery_status, gift.delivery_attempts, gift.delivery_error), (DeliveryStatus::Sent, 1, None));
    assert_eq!((gift.sent_at, gift.expires_at), (Some(at), Some(at + SignedDuration::from_hours(180 * 24))));
    assert_eq!((gift.redemption_status, gift.redeemed_at, gift.refunded), (RedemptionStatus::Unredeemed, None, None));
    assert_eq!(world.balances().await, Postings { funding: -100_000, available: 97_500, pending: 500, issued: 2_000 });
    let order = world.order(order).await;
    assert_eq!((order.summary.status, order.summary.completed_at), (OrderStatus::InProgress, None));
    assert_eq!((order.gifts[1].delivery_status, order.gifts[1].delivery_attempts), (DeliveryStatus::Pending, 0));
    world.verify().await;
}

pub async fn a_failed_gift_is_issued_as_well(bed: Bed) {
    let world = World::with_funds(&bed, 100_000).await;
    let order = world.place(costing(world.production, "order", &[2_000, 500])).await.summary.order_id;
    let claimed = world.claim(after(1), 10).await;
    let first = claimed.iter().find(|delivery| delivery.gift.position == 1).expect("the first gift");
    assert_eq!(world.settle(vec![failed(first, after(3))], after(4)).await, settled(1, 0, 0));
    let gift = gift(&world, order, 1).await;
    assert_eq!((gift.delivery_status, gift.delivery_attempts), (DeliveryStatus::Failed, 1));
    assert_eq!(gift.delivery_error.as_deref(), Some("550 5.1.1 no such user"));
    assert_eq!((gift.sent_at, gift.expires_at), (None, None), "its time runs from the order's completion");
    assert_eq!(world.balances().await, Postings { funding: -100_000, available: 97_500, pending: 500, issued: 2_000 });
    assert_eq!(world.claim(after(3_600), 10).await.len(), 1, "and is not tried again");
    world.verify().await;
}

pub async fn a_retry_is_due_at_its_instant_and_moves_no_money(bed: Bed) {
    let world = World::with_funds(&bed, 100_000).await;
    let order = world.place(costing(world.production, "order", &[2_000])).await.summary.order_id;
    let claimed = world.claim(after(1), 10).await;
    // Before the lease of the claim ends.
    let retry_at = after(31);
    assert_eq!(world.settle(vec![retry(&claimed[0], after(2), retry_at)], after(2)).await, settled(1, 0, 0));
    let waiting = gift(&world, order, 1).await;
    assert_eq!((waiting.delivery_status, waiting.delivery_attempts), (DeliveryStatus::Pending, 1));
    assert_eq!(
        (waiting.delivery_error.as_deref(), waiting.sent_at, waiting.expires_at),
        (Some("421 busy"), None, None)
    );
    assert_eq!(world.balances().await, Postings { funding: -100_000, available: 98_000, pending: 2_000, issued: 0 });
    assert_eq!(issues(&bed).await, 0);
    assert_eq!(world.order(order).await.summary.status, OrderStatus::InProgress);

    assert_eq!(world.claim(retry_at - A_MICROSECOND, 10).await, []);
    let again = world.claim(retry_at, 10).await;
    let found: Vec<_> =
        again.iter().map(|d| (d.gift.position, d.attempts, d.due_at, d.tried_since, d.send_number)).collect();
    assert_eq!(found, [(1, 1, now(), after(1), 1)], "the time to give up runs from the first claim");
    assert!(again[0].claim > claimed[0].claim);
    assert_eq!(world.settle(vec![sent(&again[0], after(40))], after(40)).await, settled(1, 0, 1));
    let gift = gift(&world, order, 1).await;
    assert_eq!((gift.delivery_attempts, gift.delivery_error), (2, None), "the error is gone once sent");
    world.verify().await;
}

pub async fn a_retry_after_the_lease_is_not_claimed_when_the_lease_ends(bed: Bed) {
    let world = World::new(&bed).await;
    world.place(world.command("order", 1)).await;
    let claimed = world.claim(now(), 10).await;
    world.settle(vec![retry(&claimed[0], after(1), after(3_600))], after(1)).await;
    assert_eq!(world.claim(after(3_600) - A_MICROSECOND, 10).await, []);
    assert_eq!(world.claim(after(3_600), 10).await.len(), 1);
}

pub async fn whoever_settles_the_last_gift_completes_the_order(bed: Bed) {
    let world = World::with_funds(&bed, 3 * GIFT).await;
    let order = world.place(world.command("order", 3)).await.summary.order_id;
    let claimed = world.claim(after(1), 10).await;
    assert_eq!(world.settle(vec![sent(&claimed[0], after(2))], after(2)).await, settled(1, 0, 0));
    assert_eq!(world.settle(vec![retry(&claimed[1], after(3), after(10))], after(3)).await, settled(1, 0, 0));
    assert_eq!(world.settle(vec![failed(&claimed[2], after(4))], after(4)).await, settled(1, 0, 0));
    assert_eq!(world.count(OrderStatus::InProgress).await, 1);
    let last = world.claim(after(10), 10).await;
    assert_eq!(world.settle(vec![sent(&last[0], after(11))], after(12)).await, settled(1, 0, 1));
    let summary = world.order(order).await.summary;
    assert_eq!((summary.status, summary.completed_at), (OrderStatus::Complete, Some(after(12))));
    assert_eq!((world.count(OrderStatus::InProgress).await, world.count(OrderStatus::Complete).await), (0, 1));
    assert_eq!(world.orders(&OrderFilter::default()).await.items, [summary]);
    let balances = world.balances().await;
    assert_eq!((balances.pending, balances.issued), (0, 3 * GIFT), "a complete order has nothing pending");
    assert_eq!(world.claim(after(100_000), 10).await, []);
    world.verify().await;
}

pub async fn failed_gifts_expire_from_the_orders_completion(bed: Bed) {
    let world = World::new(&bed).await;
    for (key, refund_option, days) in [("plain", false, 180), ("refund", true, 30)] {
        let order = world.place(PlaceOrder { refund_option, ..world.command(key, 3) }).await.summary.order_id;
        let mut claimed = world.claim(after(1), 10).await;
        claimed.sort_by_key(|delivery| delivery.gift);
        world.settle(vec![failed(&claimed[0], after(2)), sent(&claimed[1], after(2))], after(3)).await;
        assert_eq!(gift(&world, order, 1).await.expires_at, None);
        assert_eq!(world.settle(vec![failed(&claimed[2], after(50))], after(60)).await, settled(1, 0, 1));
        let lasts = SignedDuration::from_hours(days * 24);
        let order = world.order(order).await;
        assert_eq!(order.summary.completed_at, Some(after(60)));
        let expires: Vec<_> = order.gifts.iter().map(|gift| gift.expires_at).collect();
        assert_eq!(expires, [Some(after(60) + lasts), Some(after(2) + lasts), Some(after(60) + lasts)], "{key}");
    }
    world.verify().await;
}

pub async fn an_order_whose_gifts_all_fail_is_complete(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place(world.command("order", 4)).await.summary.order_id;
    let claimed = world.claim(after(1), 10).await;
    let outcome = world.settle(claimed.iter().map(|delivery| failed(delivery, after(2))).collect(), after(2)).await;
    assert_eq!(outcome, settled(4, 0, 1));
    let order = world.order(order).await;
    assert_eq!(order.summary.status, OrderStatus::Complete);
    let expires = Some(after(2) + SignedDuration::from_hours(180 * 24));
    assert!(order.gifts.iter().all(|gift| gift.expires_at == expires));
    assert_eq!(world.balances().await.pending, 0);
}

pub async fn a_settlement_posts_one_entry_for_each_order(bed: Bed) {
    let world = World::new(&bed).await;
    for key in ["one", "two", "three"] {
        world.place(costing(world.production, key, &[100, 20, 3])).await;
    }
    world.place(costing(world.sandbox, "play", &[100])).await;
    let claimed = world.claim(after(1), 100).await;
    let third = |delivery: &&ClaimedDelivery| delivery.gift.position == 3;
    let most: Vec<_> =
        claimed.iter().filter(|delivery| !third(delivery)).map(|delivery| sent(delivery, after(2))).collect();
    assert_eq!(world.settle(most, after(2)).await, settled(7, 0, 1));
    assert_eq!(issues(&bed).await, 4);
    let counted =
        "SELECT count(*) FROM ledger WHERE type = 'ISSUE' AND pending = -120 AND issued = 120 AND available = 0";
    assert_eq!(bed.number(counted).await, 3);
    let rest: Vec<_> = claimed.iter().filter(third).map(|delivery| failed(delivery, after(3))).collect();
    assert_eq!(world.settle(rest, after(3)).await, settled(3, 0, 3));
    assert_eq!(issues(&bed).await, 7);
    assert_eq!(world.balances().await.issued, 3 * 123);
    world.verify().await;
}

pub async fn only_the_latest_claim_settles(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place(world.command("order", 1)).await.summary.order_id;
    let first = world.claim(now(), 10).await;
    let second = world.claim(after(60), 10).await;
    let before = world.order(order).await;
    for stale in [sent(&first[0], after(61)), failed(&first[0], after(61)), retry(&first[0], after(61), after(62))] {
        assert_eq!(world.settle(vec![stale], after(61)).await, settled(0, 1, 0));
    }
    assert_eq!(world.order(order).await, before, "nothing happened");
    assert_eq!(world.claim(after(119), 10).await, [], "nor was the lease shortened");
    let both = vec![failed(&first[0], after(61)), sent(&second[0], after(62))];
    assert_eq!(world.settle(both, after(62)).await, settled(1, 1, 1));
    assert_eq!(gift(&world, order, 1).await.delivery_status, DeliveryStatus::Sent);
    world.verify().await;
}

pub async fn the_latest_claim_settles_also_after_its_lease(bed: Bed) {
    let world = World::new(&bed).await;
    world.place(world.command("order", 1)).await;
    let claimed = world.claim(now(), 10).await;
    assert_eq!(world.settle(vec![sent(&claimed[0], after(500))], after(500)).await, settled(1, 0, 1));
}

pub async fn an_outcome_counts_once(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place(world.command("order", 3)).await.summary.order_id;
    let mut claimed = world.claim(now(), 10).await;
    claimed.sort_by_key(|delivery| delivery.gift);
    let twice = vec![sent(&claimed[0], after(1)), sent(&claimed[0], after(1))];
    assert_eq!(world.settle(twice, after(1)).await, settled(1, 1, 0), "in one settlement");
    assert_eq!(world.settle(vec![failed(&claimed[0], after(2))], after(2)).await, settled(0, 1, 0), "in two");
    assert_eq!(world.balances().await.issued, GIFT);
    assert_eq!(gift(&world, order, 1).await.delivery_status, DeliveryStatus::Sent);

    let retried = retry(&claimed[1], after(1), after(30));
    assert_eq!(world.settle(vec![retried.clone()], after(1)).await, settled(1, 0, 0));
    assert_eq!(world.settle(vec![retried], after(1)).await, settled(0, 1, 0), "a retry as well");
    assert_eq!(world.settle(vec![sent(&claimed[1], after(1))], after(1)).await, settled(0, 1, 0));
    let waiting = gift(&world, order, 2).await;
    assert_eq!((waiting.delivery_status, waiting.delivery_attempts), (DeliveryStatus::Pending, 1));

    let contradicting =
        vec![sent(&claimed[2], after(1)), failed(&claimed[2], after(1)), retry(&claimed[2], after(1), after(2))];
    assert_eq!(world.settle(contradicting, after(1)).await, settled(1, 2, 0));
    assert_eq!(gift(&world, order, 3).await.delivery_attempts, 1);
    world.verify().await;
}

pub async fn outcomes_of_what_does_not_exist_are_dropped(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place(world.command("order", 1)).await;
    let claimed = world.claim(now(), 10).await;
    let wrong = |change: fn(&mut SettleDelivery, &World)| {
        let mut settlement = sent(&claimed[0], after(1));
        change(&mut settlement, &world);
        settlement
    };
    let none = vec![
        wrong(|settlement, _| settlement.settlement.gift.position = 2),
        wrong(|settlement, world| settlement.settlement.account_id = world.sandbox),
        wrong(|settlement, _| settlement.settlement.account_id.0 = 4_711),
        wrong(|settlement, _| settlement.settlement.claim += 1),
        wrong(|settlement, _| settlement.settlement.claim = 0),
    ];
    assert_eq!(world.settle(none, after(1)).await, settled(0, 5, 0));
    assert_eq!(world.settle(vec![], after(1)).await, settled(0, 0, 0));
    assert_eq!(world.order(order.summary.order_id).await.gifts, order.gifts);
    assert_eq!(issues(&bed).await, 0);
    world.verify().await;
}

pub async fn a_long_error_with_any_letters_is_kept(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place(world.command("order", 1)).await.summary.order_id;
    let claimed = world.claim(now(), 10).await;
    let error = "Postfach voll: 'ü' \"%_\\ 満 ".repeat(20).chars().take(500).collect::<String>();
    let mut settlement = retry(&claimed[0], after(1), after(2));
    settlement.settlement.outcome = DeliveryOutcome::Retry { at: after(1), error: error.clone() };
    world.settle(vec![settlement], after(1)).await;
    assert_eq!(gift(&world, order, 1).await.delivery_error, Some(error));
}

pub async fn an_order_is_completed_once_however_many_settle_it(bed: Bed) {
    let world = World::new(&bed).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    let order = world.place(world.command("order", 50)).await.summary.order_id;
    let claimed = world.claim(now(), 100).await;
    assert_eq!(claimed.len(), 50);
    // Each outcome comes twice, from different nodes.
    let outcomes = at_once(claimed.iter().chain(&claimed).enumerate().map(|(index, delivery)| {
        let node = nodes[index % 2].clone();
        let settlement = if index % 10 < 3 { failed(delivery, after(1)) } else { sent(delivery, after(1)) };
        async move { node.settle(vec![settlement], after(2)).await }
    }))
    .await;
    let sum = |of: fn(&Settled) -> u64| outcomes.iter().map(of).sum::<u64>();
    assert_eq!((sum(|s| s.settled), sum(|s| s.dropped), sum(|s| s.completed_orders)), (50, 50, 1));
    let order = world.order(order).await;
    assert_eq!((order.summary.status, order.summary.completed_at), (OrderStatus::Complete, Some(after(2))));
    assert!(order.gifts.iter().all(|gift| gift.delivery_attempts == 1 && gift.expires_at.is_some()));
    let balances = world.balances().await;
    assert_eq!((balances.pending, balances.issued), (0, 50 * GIFT));
    world.verify().await;
}

pub async fn a_large_order_is_delivered_in_groups(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place(world.command("large", 2_500)).await.summary.order_id;
    let mut completed = 0;
    loop {
        let claimed = world.claim(after(1), 500).await;
        if claimed.is_empty() {
            break;
        }
        completed += world.settle(claimed.iter().map(|d| sent(d, after(1))).collect(), after(1)).await.completed_orders;
    }
    assert_eq!(completed, 1);
    assert_eq!(issues(&bed).await, 5, "one entry for each group");
    assert_eq!(world.order(order).await.summary.status, OrderStatus::Complete);
    world.verify().await;
}

pub async fn placing_claiming_and_settling_at_once_lose_nothing(bed: Bed) {
    let world = World::new(&bed).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    let delivered = Arc::new(AtomicUsize::new(0));
    let placers: Vec<_> = nodes
        .iter()
        .enumerate()
        .map(|(node, world)| {
            let world = world.clone();
            tokio::spawn(async move {
                for round in 0..5 {
                    world
                        .place_at_once((0..8).map(|key| world.command(&format!("{node} {round} {key}"), 3)).collect())
                        .await;
                }
            })
        })
        .collect();
    let senders: Vec<_> = nodes
        .iter()
        .map(|world| {
            let (world, delivered) = (world.clone(), delivered.clone());
            tokio::spawn(async move {
                while delivered.load(Ordering::SeqCst) < 240 {
                    let claimed = world.claim(after(1), 20).await;
                    let outcome = world.settle(claimed.iter().map(|d| sent(d, after(1))).collect(), after(1)).await;
                    assert_eq!(outcome.dropped, 0, "nobody else had the claim");
                    delivered.fetch_add(usize::try_from(outcome.settled).expect("a count"), Ordering::SeqCst);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for task in placers.into_iter().chain(senders) {
        task.await.expect("the task ends well");
    }
    assert_eq!(world.count(OrderStatus::Complete).await, 80);
    let balances = world.balances().await;
    assert_eq!((balances.pending, balances.issued), (0, 240 * GIFT));
    assert_eq!(world.store.backlog(after(1_000_000)).await.expect("an answer").due, 0);
    world.verify().await;
}

pub async fn an_order_is_read_as_of_one_moment(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place(world.command("order", 40)).await.summary.order_id;
    let moving = {
        let world = world.clone();
        tokio::spawn(async move {
            for seconds in 0..20 {
                let claimed = world.claim(after(seconds), 2).await;
                world.settle(claimed.iter().map(|d| sent(d, after(seconds))).collect(), after(seconds)).await;
            }
        })
    };
    while !moving.is_finished() {
        let order = world.order(order).await;
        let open = order.gifts.iter().filter(|gift| gift.delivery_status == DeliveryStatus::Pending).count();
        assert_eq!(order.summary.status == OrderStatus::Complete, open == 0, "{open} open");
        assert!(order.summary.status != OrderStatus::Pending || open == 40, "{open} open");
        assert_eq!(open % 2, 0, "two are settled at once");
    }
    moving.await.expect("all is delivered");
    assert_eq!(world.order(order).await.summary.status, OrderStatus::Complete);
}

pub async fn settling_with_a_clock_that_stepped_back_keeps_the_ledgers_order(bed: Bed) {
    let world = World::new(&bed).await;
    world.place(PlaceOrder { now: after(86_400), ..world.command("order", 2) }).await;
    let claimed = world.claim(after(86_400), 10).await;
    world.settle(claimed.iter().map(|delivery| sent(delivery, now())).collect(), now()).await;
    world.credit(5, "later").await;
    let entries = world.ledger_of(world.production, None, Days::default(), 1, 10).await.items;
    assert!(entries.is_sorted_by(|one, next| one.id > next.id));
    assert_eq!(entries[0].reference, "later");
    world.verify().await;
}

// --- mails of other kinds ---

/// A gift with each kind of mail waiting: the reminder since 23 days after `now()`, the others a minute later.
async fn with_each_kind(world: &World) -> (OrderId, jiff::Timestamp) {
    let command = PlaceOrder { refund_option: true, ..world.command("order", 1) };
    let reminders = days_before(&[7]);
    let order = world.place_and_send_reminding(command, &reminders).await;
    let week_before = now() + A_MONTH - SignedDuration::from_hours(7 * 24);
    let turned = world.turn_reminding(giftd_store::Work::Everyone, week_before, &reminders).await;
    assert_eq!(turned.reminded, 1);
    let at = week_before + SignedDuration::from_mins(1);
    world.resend(resending(world.production, order, &[("r1@example.com", None)], at)).await;
    let gift = gift_key(world.production, order, 1);
    world.store.request_verification(gift, 1, at).await.expect("an answer");
    (order, at)
}

pub async fn each_kind_of_mail_waits_for_itself(bed: Bed) {
    let world = World::new(&bed).await;
    let (order, at) = with_each_kind(&world).await;
    assert_eq!(world.store.backlog(at).await.expect("an answer").due, 3);
    let week_before = at - SignedDuration::from_mins(1);
    assert_eq!(world.store.backlog(at).await.expect("an answer").oldest_due, Some(week_before));
    let mut claimed = world.claim(at, 1).await;
    assert_eq!(claimed[0].kind, MailKind::Verification, "verifications first");
    claimed.extend(world.claim(at, 1).await);
    assert_eq!(claimed[1].kind, MailKind::Reminder, "and of the others the oldest due, whatever the kind");
    claimed.extend(world.claim(at, 10).await);
    claimed.sort_by_key(|delivery| delivery.kind);
    let told: Vec<_> = claimed.iter().map(|d| (d.kind, d.send_number, d.attempts, d.due_at)).collect();
    assert_eq!(
        told,
        [(MailKind::Gift, 2, 0, at), (MailKind::Reminder, 1, 0, week_before), (MailKind::Verification, 1, 0, at)]
    );
    let expires_at = gift(&world, order, 1).await.expires_at;
    assert!(expires_at.is_some());
    for delivery in &claimed {
        assert_eq!((delivery.tried_since, delivery.link_version, delivery.refund_option), (at, 1, true));
        assert_eq!((delivery.expires_at, &delivery.subject), (expires_at, &"A gift for you!".to_owned()));
        assert_eq!(delivery.recipient.email.as_deref(), Some("r1@example.com"));
    }
    assert_eq!(world.claim(at, 10).await, []);
    assert_eq!(world.claim(at + LEASE, 10).await.len(), 3, "each has its lease");
}

pub async fn outcomes_of_other_kinds_leave_the_gift_and_its_money_alone(bed: Bed) {
    let world = World::new(&bed).await;
    let (order, at) = with_each_kind(&world).await;
    let (before, balances) = (world.order(order).await, world.balances().await);
    let events = world.events(world.production, order).await;
    let claimed = world.claim(at, 10).await;
    let others = || claimed.iter().filter(|delivery| delivery.kind != MailKind::Gift);
    let retried = others().map(|delivery| retry(delivery, at, at + LEASE * 2)).collect();
    assert_eq!(world.settle(retried, at).await, settled(2, 0, 0));
    let again = world.claim(at + LEASE * 2, 10).await;
    let of_kind = |kind: MailKind| again.iter().find(|delivery| delivery.kind == kind).expect("it is due");
    let (reminder, verification) = (of_kind(MailKind::Reminder), of_kind(MailKind::Verification));
    assert_eq!((reminder.attempts, verification.attempts, of_kind(MailKind::Gift).attempts), (1, 1, 0));
    let outcomes = vec![failed(reminder, at + LEASE * 2), sent(verification, at + LEASE * 2)];
    assert_eq!(world.settle(outcomes, at + LEASE * 2).await, settled(2, 0, 0));
    assert_eq!((world.order(order).await, world.balances().await), (before, balances));
    assert_eq!(world.events(world.production, order).await, events, "nor is it an event");
    assert_eq!(world.claim(at + LEASE * 10, 10).await.len(), 1, "only the gift's mail is left");
    world.verify().await;
}

pub async fn an_outcome_counts_for_its_own_kind_only(bed: Bed) {
    let world = World::new(&bed).await;
    let (order, at) = with_each_kind(&world).await;
    let before = world.order(order).await;
    let mut claimed = world.claim(at, 10).await;
    claimed.sort_by_key(|delivery| delivery.kind);
    let reminder = claimed.iter().find(|delivery| delivery.kind == MailKind::Reminder).expect("a reminder");
    assert_eq!(world.settle(vec![sent(reminder, at)], at).await, settled(1, 0, 0));
    assert_eq!(world.settle(vec![sent(reminder, at)], at).await, settled(0, 1, 0), "once");
    assert_eq!(world.order(order).await, before);
    let kinds: Vec<_> = world.claim(at + LEASE, 10).await.into_iter().map(|delivery| delivery.kind).collect();
    assert_eq!(kinds.iter().collect::<BTreeSet<_>>(), [MailKind::Gift, MailKind::Verification].iter().collect());
}

pub async fn attempts_are_counted_for_each_send_and_all_of_them_in_the_gift(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place(world.command("order", 1)).await.summary.order_id;
    for attempts in 0..3 {
        let claimed = world.claim(after(i64::from(attempts) * 100), 10).await;
        assert_eq!(claimed[0].attempts, attempts);
        let next = after(i64::from(attempts) * 100 + 100);
        world.settle(vec![retry(&claimed[0], next, next)], next).await;
    }
    world.deliver_all(after(300)).await;
    assert_eq!(gift(&world, order, 1).await.delivery_attempts, 4);
    world.resend(resending(world.production, order, &[("r1@example.com", None)], after(400))).await;
    let claimed = world.claim(after(400), 10).await;
    assert_eq!((claimed[0].attempts, claimed[0].send_number), (0, 2));
    world.settle(vec![sent(&claimed[0], after(400))], after(400)).await;
    assert_eq!(gift(&world, order, 1).await.delivery_attempts, 5);
}

pub async fn a_claim_tells_the_refund_option(bed: Bed) {
    let world = World::new(&bed).await;
    for refund_option in [false, true] {
        world.place(PlaceOrder { refund_option, ..world.command(&refund_option.to_string(), 1) }).await;
        assert_eq!(world.claim(now(), 10).await[0].refund_option, refund_option);
    }
}

pub async fn a_claim_tells_its_accounts_clock(bed: Bed) {
    let world = World::new(&bed).await;
    let ahead = SignedDuration::from_hours(100);
    let clock = world.jump(ahead, now()).await;
    world.place(world.command("real", 1)).await;
    world.place(PlaceOrder { now: clock.time(after(1)), ..costing(world.sandbox, "play", &[GIFT]) }).await;
    let told: BTreeSet<_> = world.claim(after(1), 10).await.iter().map(|d| (d.account_id, d.clock.ahead)).collect();
    assert_eq!(told, [(world.production, SignedDuration::ZERO), (world.sandbox, ahead)].into());
}

pub async fn a_gift_that_gets_its_expiry_turns_next_when_the_reminders_say(bed: Bed) {
    let world = World::new(&bed).await;
    let day = SignedDuration::from_hours(24);
    for (key, reminders, first) in [("none", days_before(&[]), 30), ("two", days_before(&[1, 7]), 23)] {
        let command = PlaceOrder { refund_option: true, ..world.command(key, 1) };
        world.place_and_send_reminding(command, &reminders).await;
        let due = |until| world.store.due_until(world.production, until);
        let turns_at = now() + day * first;
        let before = due(turns_at - A_MICROSECOND).await.expect("an answer");
        assert_eq!((before.first_turn, before.events), (None, 0), "{key}");
        let at = due(turns_at).await.expect("an answer");
        assert_eq!((at.first_turn, at.first_mail, at.events), (Some(turns_at), None, 1), "{key}");
        // So that it doesn't turn again.
        world.turn_reminding(giftd_store::Work::Everyone, now() + day * 30, &reminders).await;
        bed.execute("DELETE FROM mails").await;
    }
}

pub async fn a_failed_gift_gets_its_turn_with_its_orders_completion(bed: Bed) {
    let world = World::new(&bed).await;
    let command = PlaceOrder { refund_option: true, ..world.command("order", 2) };
    world.place(command).await;
    let claimed = world.claim(after(1), 10).await;
    world.settle(vec![failed(&claimed[0], after(2))], after(2)).await;
    let due = |until| world.store.due_until(world.production, until);
    assert_eq!(due(after(2) + A_MONTH * 10).await.expect("an answer").first_turn, None);
    world.settle(vec![failed(&claimed[1], after(60))], after(60)).await;
    let due = due(after(60) + A_MONTH).await.expect("an answer");
    assert_eq!((due.events, due.first_turn), (2, Some(after(60) + A_MONTH)));
}

pub async fn a_gift_that_is_a_link_is_settled_as_any_other(bed: Bed) {
    let world = World::new(&bed).await;
    let mut command = PlaceOrder { order_type: OrderType::Link, ..world.command("order", 2) };
    for gift in &mut command.gifts {
        gift.recipient.email = None;
    }
    let order = world.place(command).await.summary.order_id;
    let claimed = world.claim(now(), 10).await;
    assert!(claimed.iter().all(|delivery| delivery.recipient.email.is_none() && delivery.kind == MailKind::Gift));
    let outcomes = claimed.iter().map(|delivery| sent(delivery, now())).collect();
    assert_eq!(world.settle(outcomes, now()).await, settled(2, 0, 1));
    assert_eq!(world.order(order).await.summary.status, OrderStatus::Complete);
    world.verify().await;
}
