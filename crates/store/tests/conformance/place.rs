//! Placing orders.

use std::collections::BTreeSet;

use giftd_domain::Timestamp;
use giftd_domain::account::Account;
use giftd_domain::history::{OrderFilter, PageRequest};
use giftd_domain::ids::{AccountId, OrderId, TemplateId};
use giftd_domain::ledger::{EntryType, Postings};
use giftd_domain::money::{Currency, Money};
use giftd_domain::orders::place::{
    KnownKey, PlaceOrder, Request, RequestedGift, RequestedGifts, RequestedMails, RequestedTiming, Rules,
};
use giftd_domain::orders::{CardType, EmailSetting, OrderStatus, OrderType};
use giftd_domain::schedule::{Schedule, SendTiming};
use giftd_store::{Placed, StoreError};
use jiff::SignedDuration;
use rust_decimal::Decimal;

use crate::bed::Bed;
use crate::reference::{branded, catalog, choice, rate};
use crate::world::{FUNDS, GIFT, World, after, again, at_once, command, costing, entropy, instant, now, sent};

/// What an account's clients can see of it.
async fn seen(world: &World, account: AccountId) -> (Account, u64, u64, i64) {
    let ledger = world.ledger(account).await.total;
    let orders = world.orders_of(account, &OrderFilter::default(), 1, 1).await.total;
    let due = world.store.backlog(Timestamp::MAX).await.expect("an answer").due;
    (world.account(account).await, ledger, orders, i64::try_from(due).expect("a count"))
}

/// Places all behind an order that is held up: they gather meanwhile, and share a transaction.
async fn place_as_a_group(bed: &Bed, world: &World, commands: Vec<PlaceOrder>) -> Vec<Placed> {
    let hold = bed.hold_writes().await;
    let first = command(world.sandbox, "the one in front", 1);
    let tasks: Vec<_> = [first]
        .into_iter()
        .chain(commands)
        .map(|command| {
            let world = world.clone();
            tokio::spawn(async move { world.try_place(command).await })
        })
        .collect();
    // Nothing tells that they are queued. Were they not yet, they would share fewer transactions.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    hold.release().await;
    let mut placed = Vec::new();
    for task in tasks {
        placed.push(task.await.expect("the task ends well"));
    }
    assert!(is_new(&placed.remove(0)));
    placed
}

fn is_new(placed: &Placed) -> bool {
    matches!(placed, Placed::New(_))
}

// --- one order ---

pub async fn a_new_order_is_answered_as_it_reads_back(bed: Bed) {
    let world = World::new(&bed).await;
    let command = world.command("order", 3);
    let order = world.place(command.clone()).await;
    let id = order.summary.order_id;
    assert_eq!((order.summary.created_at(), order.summary.status), (now(), OrderStatus::Pending));
    assert_eq!(order, command.clone().into_order(id));
    assert_eq!(world.order(id).await, order);
    assert_eq!(world.orders(&OrderFilter::default()).await.items, [order.summary]);
    let known = world.store.order_by_key(world.production, "order").await.expect("an answer");
    assert_eq!(known, Some(KnownKey { order_id: id, fingerprint: command.fingerprint }));
    assert_eq!(world.store.account_of_order(id).await.expect("an answer"), Some(world.production));
}

pub async fn every_field_of_an_order_is_kept(bed: Bed) {
    let world = World::new(&bed).await;
    let yen: Currency = "JPY".parse().expect("yen");
    let mut command = PlaceOrder {
        idempotency_key: "ключ-'\"\\%_;--🎁".to_owned(),
        fingerprint: std::array::from_fn(|index| u8::try_from(255 - index).expect("a byte")),
        order_type: OrderType::Smart,
        card_type: CardType::ChoiceCard,
        product_id: "ü-1".to_owned(),
        card_name: "Sakura Books JP 桜".to_owned(),
        creator: "Payroll 🎁".to_owned(),
        timing: SendTiming::Scheduled(Schedule {
            local: "2026-12-24T09:00:07".parse().expect("a local time"),
            timezone: "Asia/Tokyo".to_owned(),
            send_at: instant("2026-12-24T00:00:07Z"),
        }),
        email_setting: EmailSetting {
            sender_name: "Acme \"Corp\" <x>".to_owned(),
            subject: "A gift for you! ¥".to_owned(),
            message: Some("Dear all,\n\tthank you.\n".to_owned()),
            template_id: TemplateId(13),
        },
        refund_option: true,
        fx_rate: Some(rate("JPY", "0.006675").rate),
        ..costing(world.production, "", &[3_338, 1])
    };
    command.total_amount = Money::new(5_001, yen);
    command.gifts[0].amount = 5_000;
    command.gifts[0].recipient.first_name = Some("Alice".to_owned());
    command.gifts[0].recipient.last_name = Some("O'Neil".to_owned());
    command.gifts[1].recipient.company = Some(String::new());
    command.gifts[1].recipient.department = Some("部".to_owned());
    let order = world.place(command.clone()).await;
    assert_eq!(order, command.clone().into_order(order.summary.order_id));
    assert_eq!(world.order(order.summary.order_id).await, order);
    assert_eq!(world.orders(&OrderFilter::default()).await.items, std::slice::from_ref(&order.summary));
    assert_eq!(
        world.try_place(again(&command)).await,
        Placed::Known { order_id: order.summary.order_id, same_request: true }
    );
}

pub async fn an_order_takes_its_cost_from_available_to_pending(bed: Bed) {
    let world = World::with_funds(&bed, 10_000).await;
    let order = world.place(costing(world.production, "order", &[2_000, 1])).await;
    assert_eq!(world.balances().await, Postings { funding: -10_000, available: 7_999, pending: 2_001, issued: 0 });
    let entry = world.ledger(world.production).await.items[0].clone();
    assert_eq!((entry.entry_type, entry.reference.clone()), (EntryType::Use, order.summary.order_id.to_string()));
    assert_eq!(entry.postings, Postings { funding: 0, available: -2_001, pending: 2_001, issued: 0 });
    assert_eq!((entry.available_after, entry.created_at()), (7_999, now()));
    assert_eq!(world.account(world.production).await.last_id, Some(entry.id));
    world.verify().await;
}

pub async fn what_the_rules_let_pass_is_placed_at_the_stored_rate(bed: Bed) {
    let world = World::new(&bed).await;
    world
        .store
        .import_catalog(&catalog([branded("20001", "JPY")], [choice("30001")]), now(), false)
        .await
        .expect("a catalog");
    world.store.set_rates(&[rate("JPY", "0.006675")]).await.expect("rates");
    let reference = world.store.reference().await.expect("an answer");
    let settings = world.store.account_settings(world.production).await.expect("an answer").expect("settings");
    let rules = Rules {
        account_id: world.production,
        creator: "Payroll",
        organization: "Acme",
        settings: &settings,
        reference: &reference,
        fx_max_age: SignedDuration::from_hours(24),
        now: now(),
        node_now: now(),
    };
    let request = Request {
        card_type: CardType::BrandedCard,
        idempotency_key: "order".to_owned(),
        product_id: "20001".to_owned(),
        send_timing: RequestedTiming {
            scheduled: true,
            scheduled_at: Some("2026-12-24T09:00:00".to_owned()),
            timezone: Some("Asia/Tokyo".to_owned()),
        },
        gifts: RequestedGifts::Mails(RequestedMails {
            sender_name: "Acme Corp".to_owned(),
            subject: "A gift for you!".to_owned(),
            message: None,
            template_id: Some("12".to_owned()),
            recipients: vec![RequestedGift {
                email: "alice@bücher.example".to_owned(),
                first_name: Some("Alice".to_owned()),
                last_name: None,
                company: None,
                department: None,
                amount: Decimal::from(5_000),
            }],
        }),
        refund_option: false,
    };
    let command = request.check(&rules, entropy()).expect("nothing is wrong with it");
    let order = world.place(command).await;
    assert_eq!((order.summary.total_cost, order.summary.card_name.as_str()), (3_338, "Sakura Books JP"));
    assert_eq!(order.summary.send_at(), instant("2026-12-24T00:00:00Z"));
    assert_eq!(order.gifts[0].recipient.email.as_deref(), Some("alice@xn--bcher-kva.example"));
    assert_eq!(world.order(order.summary.order_id).await, order);
    assert_eq!(world.balances().await.pending, 3_338);
    let again = request.check(&Rules { now: after(9), ..rules }, entropy()).expect("nothing is wrong with it");
    assert_eq!(world.try_place(again).await, Placed::Known { order_id: order.summary.order_id, same_request: true });
}

pub async fn an_order_of_10000_recipients_is_placed_whole(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place(world.command("large", 10_000)).await;
    assert_eq!((order.gifts.len(), order.summary.recipient_count), (10_000, 10_000));
    assert_eq!(world.order(order.summary.order_id).await, order);
    assert_eq!(world.balances().await.pending, 10_000 * GIFT);
    assert_eq!(world.store.backlog(now()).await.expect("an answer").due, 10_000);
    world.verify().await;
}

pub async fn an_orders_start_has_its_first_gifts(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place(world.command("order", 5)).await;
    let id = order.summary.order_id;
    for (most, gifts) in [(0, 0), (2, 2), (5, 5), (10_000, 5)] {
        let start = world.store.order_start(world.production, id, most).await.expect("an answer").expect("the order");
        assert_eq!((&start.summary, &*start.gifts), (&order.summary, &order.gifts[..gifts]));
    }
    assert_eq!(world.store.order_start(world.sandbox, id, 2).await.expect("an answer"), None, "another account's");
}

pub async fn orders_large_and_small_are_placed_together(bed: Bed) {
    let world = World::new(&bed).await;
    let commands = [1, 3_000, 1, 1, 2_500, 1].iter().enumerate();
    let commands = commands.map(|(index, &recipients)| world.command(&format!("order {index}"), recipients)).collect();
    assert!(world.place_at_once(commands).await.iter().all(is_new));
    assert_eq!(world.balances().await.pending, 5_504 * GIFT);
    world.verify().await;
}

// --- keys ---

pub async fn the_same_request_again_is_known_and_moves_nothing(bed: Bed) {
    let world = World::new(&bed).await;
    let command = world.command("order", 2);
    let order = world.place(command.clone()).await;
    let before = seen(&world, world.production).await;
    for _ in 0..3 {
        let known = world.try_place(again(&command)).await;
        assert_eq!(known, Placed::Known { order_id: order.summary.order_id, same_request: true });
    }
    assert_eq!(seen(&world, world.production).await, before);
}

pub async fn another_request_with_a_known_key_is_told_from_the_first(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place(world.command("order", 2)).await;
    let before = seen(&world, world.production).await;
    let other = PlaceOrder { fingerprint: [2; 32], ..world.command("order", 1) };
    assert_eq!(world.try_place(other).await, Placed::Known { order_id: order.summary.order_id, same_request: false });
    assert_eq!(seen(&world, world.production).await, before);
    assert_eq!(world.order(order.summary.order_id).await, order);
}

pub async fn the_key_is_looked_at_before_the_balance(bed: Bed) {
    let world = World::with_funds(&bed, GIFT).await;
    let command = world.command("order", 1);
    let order_id = world.place(command.clone()).await.summary.order_id;
    assert_eq!(world.balances().await.available, 0);
    assert_eq!(world.try_place(again(&command)).await, Placed::Known { order_id, same_request: true });
    let dearer = PlaceOrder { fingerprint: [2; 32], ..world.command("order", 99) };
    assert_eq!(world.try_place(dearer).await, Placed::Known { order_id, same_request: false });
}

pub async fn a_key_is_exact(bed: Bed) {
    let world = World::new(&bed).await;
    let keys = ["key", "KEY", "key ", " key", "kéy", "ke\u{301}y", "k_y", "k%y", &"k".repeat(64), &"🎁".repeat(64)];
    let mut placed = Vec::new();
    for key in keys {
        placed.push(world.place(world.command(key, 1)).await.summary.order_id);
    }
    for (key, order_id) in keys.into_iter().zip(placed) {
        let known = world.try_place(world.command(key, 1)).await;
        assert_eq!(known, Placed::Known { order_id, same_request: true }, "{key}");
    }
    assert_eq!(world.orders(&OrderFilter::default()).await.total, 10);
    assert_eq!(world.store.order_by_key(world.production, "Key").await.expect("an answer"), None);
}

pub async fn a_key_belongs_to_one_account(bed: Bed) {
    let world = World::new(&bed).await;
    let other = World::beside(world.store.clone(), "Other").await;
    other.credit(FUNDS, "a transfer").await;
    let mut ids = BTreeSet::new();
    for account in [world.production, world.sandbox, other.production, other.sandbox] {
        let order = world.place(command(account, "order", 1)).await;
        let known = world.store.order_by_key(account, "order").await.expect("an answer").expect("an order");
        assert_eq!(known.order_id, order.summary.order_id);
        ids.insert(order.summary.order_id);
    }
    assert_eq!(ids.len(), 4);
}

pub async fn a_key_asked_for_50_times_at_once_makes_one_order(bed: Bed) {
    let world = World::new(&bed).await;
    let command = world.command("order", 2);
    let placed = place_as_a_group(&bed, &world, (0..50).map(|_| again(&command)).collect()).await;
    assert_eq!(placed.iter().filter(|placed| is_new(placed)).count(), 1);
    let known = world.store.order_by_key(world.production, "order").await.expect("an answer").expect("an order");
    for placed in placed.iter().filter(|placed| !is_new(placed)) {
        assert_eq!(*placed, Placed::Known { order_id: known.order_id, same_request: true });
    }
    assert_eq!(world.orders(&OrderFilter::default()).await.total, 1);
    assert_eq!(world.balances().await.pending, 2 * GIFT);
    world.verify().await;
}

pub async fn two_requests_at_once_with_one_key_make_one_order(bed: Bed) {
    let world = World::new(&bed).await;
    let commands = (0..40).map(|index| PlaceOrder { fingerprint: [index % 2; 32], ..world.command("order", 1) });
    let placed = place_as_a_group(&bed, &world, commands.collect()).await;
    let known = world.store.order_by_key(world.production, "order").await.expect("an answer").expect("an order");
    let mut new = 0;
    for (index, placed) in (0_u8..).zip(&placed) {
        let same_request = known.fingerprint == [index % 2; 32];
        match placed {
            Placed::New(order) => {
                new += 1;
                assert_eq!((order.summary.order_id, same_request), (known.order_id, true));
            }
            other => assert_eq!(*other, Placed::Known { order_id: known.order_id, same_request }),
        }
    }
    assert_eq!(new, 1);
    assert_eq!(world.balances().await.pending, GIFT);
}

pub async fn nodes_that_race_with_the_same_keys_make_one_order_of_each(bed: Bed) {
    let world = World::new(&bed).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await, world.on_another_node(&bed).await];
    let placed = at_once((0..20).flat_map(|key| nodes.clone().map(|node| (key, node))).map(|(key, node)| async move {
        let command = node.command(&format!("order {key}"), 1);
        (key, node.try_place(command).await)
    }))
    .await;
    for key in 0..20 {
        let of_key: Vec<_> = placed.iter().filter(|(of, _)| *of == key).map(|(_, placed)| placed).collect();
        assert_eq!(of_key.iter().filter(|placed| is_new(placed)).count(), 1, "{of_key:?}");
        let known = world
            .store
            .order_by_key(world.production, &format!("order {key}"))
            .await
            .expect("an answer")
            .expect("an order");
        for placed in of_key.into_iter().filter(|placed| !is_new(placed)) {
            assert_eq!(*placed, Placed::Known { order_id: known.order_id, same_request: true });
        }
    }
    assert_eq!(world.balances().await.pending, 20 * GIFT);
    world.verify().await;
}

// --- the balance ---

pub async fn an_order_above_the_balance_does_nothing_and_leaves_the_key_free(bed: Bed) {
    let world = World::with_funds(&bed, 2 * GIFT).await;
    let before = seen(&world, world.production).await;
    let command = world.command("order", 3);
    let refused = world.try_place(command.clone()).await;
    assert_eq!(refused, Placed::Insufficient { required: 3 * GIFT, available: 2 * GIFT });
    assert_eq!(seen(&world, world.production).await, before);
    assert_eq!(world.store.order_by_key(world.production, "order").await.expect("an answer"), None);

    world.credit(GIFT, "what was missing").await;
    assert_eq!(world.place(again(&command)).await.summary.status, OrderStatus::Pending);
    assert_eq!(world.balances().await.available, 0, "the whole balance may be spent");
    let next = world.try_place(world.command("next", 1)).await;
    assert_eq!(next, Placed::Insufficient { required: GIFT, available: 0 });
    world.verify().await;
}

pub async fn of_64_orders_at_once_only_those_that_are_funded_are_placed(bed: Bed) {
    let world = World::with_funds(&bed, 20 * GIFT + 999).await;
    let commands = (0..64).map(|key| world.command(&format!("order {key}"), 1)).collect();
    let placed = place_as_a_group(&bed, &world, commands).await;
    assert_eq!(placed.iter().filter(|placed| is_new(placed)).count(), 20);
    assert!(
        placed.iter().filter(|placed| !is_new(placed)).all(|refused| matches!(refused, Placed::Insufficient { .. }))
    );
    let balances = world.balances().await;
    assert_eq!((balances.available, balances.pending), (999, 20 * GIFT));
    assert_eq!(world.orders(&OrderFilter::default()).await.total, 20);
    world.verify().await;
}

pub async fn orders_on_two_nodes_never_overdraw(bed: Bed) {
    let world = World::with_funds(&bed, 10 * GIFT).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    let placed = at_once((0..64_u32).map(|key| {
        let node = nodes[usize::try_from(key % 2).expect("an index")].clone();
        async move { node.try_place(node.command(&format!("order {key}"), 1 + key % 3)).await }
    }))
    .await;
    let spent: i64 =
        placed.iter().map(|placed| if let Placed::New(order) = placed { order.summary.total_cost } else { 0 }).sum();
    let balances = world.balances().await;
    assert_eq!((balances.available, balances.pending), (10 * GIFT - spent, spent));
    assert!(balances.available < GIFT, "what fits is placed: {balances:?}");
    world.verify().await;
}

// --- the sandbox ---

pub async fn a_sandbox_that_falls_below_a_thousand_dollars_is_refilled_with_the_order(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    world.place(costing(world.sandbox, "to the edge", &[900_000])).await;
    assert_eq!(world.account(world.sandbox).await.balances.available, 100_000, "1,000.00 is not below");
    let order = world.place(costing(world.sandbox, "over it", &[1])).await;
    let account = world.account(world.sandbox).await;
    assert_eq!(account.balances, Postings { funding: -1_900_001, available: 1_000_000, pending: 900_001, issued: 0 });
    let ledger = world.ledger(world.sandbox).await.items;
    let id = order.summary.order_id.to_string();
    let found: Vec<_> =
        ledger.iter().map(|e| (e.entry_type, e.reference.as_str(), e.postings.available, e.available_after)).collect();
    assert_eq!(
        found[..2],
        [(EntryType::Charge, "sandbox refill", 900_001, 1_000_000), (EntryType::Use, id.as_str(), -1, 99_999)]
    );
    assert_eq!(account.last_id, Some(ledger[0].id));
    world.verify().await;
}

pub async fn a_sandbox_order_above_the_balance_is_refused(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let refused = world.try_place(costing(world.sandbox, "order", &[1_000_001])).await;
    assert_eq!(refused, Placed::Insufficient { required: 1_000_001, available: 1_000_000 });
    world.place(costing(world.sandbox, "order", &[1_000_000])).await;
    assert_eq!(world.account(world.sandbox).await.balances.available, 1_000_000);
}

pub async fn sandbox_orders_at_once_find_each_refill(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let commands = (0..12).map(|key| costing(world.sandbox, &format!("order {key}"), &[950_000])).collect();
    assert!(world.place_at_once(commands).await.iter().all(is_new));
    let balances = world.account(world.sandbox).await.balances;
    assert_eq!((balances.available, balances.pending), (1_000_000, 12 * 950_000));
    assert_eq!(world.ledger(world.sandbox).await.total, 1 + 2 * 12);
    world.verify().await;
}

// --- accounts ---

pub async fn an_order_is_seen_by_its_account_only_and_under_its_own_id(bed: Bed) {
    let world = World::new(&bed).await;
    let other = World::beside(world.store.clone(), "Other").await;
    let id = world.place(world.command("order", 1)).await.summary.order_id;
    for account in [world.sandbox, other.production, AccountId(4_711)] {
        assert_eq!(world.store.order(account, id).await.expect("an answer"), None);
        assert_eq!(world.store.order_by_key(account, "order").await.expect("an answer"), None);
        assert_eq!(world.orders_of(account, &OrderFilter::default(), 1, 20).await.total, 0);
    }
    let smart = OrderId { order_type: OrderType::Smart, ..id };
    assert_eq!(world.store.order(world.production, smart).await.expect("an answer"), None, "{smart} is no order");
    assert_eq!(world.store.account_of_order(smart).await.expect("an answer"), None, "{smart} is no order");
}

pub async fn orders_of_many_accounts_at_once_leave_each_other_alone(bed: Bed) {
    let store = bed.open().await;
    let mut worlds = Vec::new();
    for index in 0..6_i64 {
        let world = World::beside(store.clone(), &format!("org {index}")).await;
        world.credit((index + 1) * 3 * GIFT, "a transfer").await;
        worlds.push(world);
    }
    let commands =
        (0..20).flat_map(|key| worlds.iter().map(move |world| world.command(&format!("order {key}"), 1))).collect();
    worlds[0].place_at_once(commands).await;
    for (index, world) in (0_i64..).zip(&worlds) {
        let placed = ((index + 1) * 3).min(20);
        let balances = world.balances().await;
        assert_eq!((balances.available, balances.pending), ((index + 1) * 3 * GIFT - placed * GIFT, placed * GIFT));
        assert_eq!(world.orders(&OrderFilter::default()).await.total, u64::try_from(placed).expect("a count"));
    }
    worlds[0].verify().await;
}

pub async fn an_order_that_cannot_be_placed_does_not_harm_those_beside_it(bed: Bed) {
    let world = World::new(&bed).await;
    let other = World::beside(world.store.clone(), "Other").await;
    other.credit(FUNDS, "a transfer").await;
    let before = seen(&other, other.production).await.0;
    // The ids of its millisecond are used up by the order's own: its entry finds none.
    let impossible = |key: &str| PlaceOrder { entropy: u128::MAX, now: after(60), ..other.command(key, 1) };
    let commands = vec![
        world.command("before", 1),
        impossible("impossible"),
        command(AccountId(4_711), "nobody's", 1),
        world.command("between", 1),
        PlaceOrder { now: after(30), ..other.command("good", 1) },
        impossible("impossible too"),
        world.command("after", 1),
    ];
    let answers = at_once(commands.into_iter().map(|command| {
        let store = world.store.clone();
        async move { store.place_order(command).await }
    }))
    .await;
    for (index, answer) in answers.iter().enumerate() {
        match (index, answer) {
            (1 | 2 | 5, Err(StoreError::Broken(_))) => {}
            (0 | 3 | 4 | 6, Ok(placed)) if is_new(placed) => {}
            _ => panic!("{index}: {answer:?}"),
        }
    }
    assert_eq!(other.orders(&OrderFilter::default()).await.total, 1);
    assert_eq!(other.balances().await.available, before.balances.available - GIFT);
    for key in ["impossible", "impossible too"] {
        assert_eq!(other.store.order_by_key(other.production, key).await.expect("an answer"), None);
    }
    world.place(command(other.production, "impossible", 1)).await;
    world.verify().await;
}

// --- ids and time ---

pub async fn ids_increase_also_within_a_millisecond_and_when_the_clock_steps_back(bed: Bed) {
    let world = World::new(&bed).await;
    let mut orders = Vec::new();
    for (index, seconds) in [0, 0, 0, 86_400, -86_400, 0, 86_400, 86_401].into_iter().enumerate() {
        let command = PlaceOrder { now: after(seconds), ..world.command(&format!("order {index}"), 1) };
        orders.push(world.place(command).await.summary);
    }
    assert!(orders.is_sorted_by(|one, next| one.order_id < next.order_id), "{orders:?}");
    let created: Vec<_> = orders.iter().map(|order| order.created_at()).collect();
    let later = after(86_400);
    assert_eq!(
        created,
        [now(), now(), now(), later, later, later, later, after(86_401)],
        "never before the one before it"
    );
    orders.reverse();
    assert_eq!(world.orders(&OrderFilter::default()).await.items, orders, "newest first");
    let ledger = world.ledger(world.production).await.items;
    assert!(ledger.is_sorted_by(|one, next| one.id > next.id), "and so are entries");
    world.verify().await;
}

pub async fn an_immediate_order_is_due_at_once_also_when_the_clock_stepped_back(bed: Bed) {
    let world = World::new(&bed).await;
    world.place(PlaceOrder { now: after(600), ..world.command("first", 1) }).await;
    let second = world.place(world.command("second", 1)).await;
    assert_eq!(second.summary.created_at(), after(600));
    let claimed = world.claim(now(), 10).await;
    assert_eq!(claimed.iter().map(|delivery| delivery.gift.order).collect::<Vec<_>>(), [second.summary.order_id]);
}

pub async fn what_is_placed_after_anothers_answer_comes_before_it_in_the_history_on_all_nodes(bed: Bed) {
    let world = World::new(&bed).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    let mut answered = Vec::new();
    for round in 0..8 {
        let earlier = answered.iter().max().copied();
        let placed = at_once((0..6_usize).map(|index| {
            let node = nodes[index % 2].clone();
            // Each node's clock is a bit off.
            let now = after(if index % 2 == 0 { 1 } else { 0 });
            let command = PlaceOrder { now, ..node.command(&format!("{round} {index}"), 1) };
            async move { node.place(command).await.summary.order_id }
        }))
        .await;
        assert!(placed.iter().all(|id| earlier.is_none_or(|earlier| earlier < *id)), "round {round}");
        answered.extend(placed);
    }
    answered.sort();
    answered.reverse();
    let listed: Vec<_> = world.orders(&OrderFilter::default()).await.items.iter().map(|order| order.order_id).collect();
    assert_eq!(listed, answered);
}

// --- limits ---

pub async fn when_too_much_waits_it_is_told_and_nothing_is_lost(bed: Bed) {
    let world = World::new(&bed).await;
    let hold = bed.hold_writes().await;
    let count = giftd_domain::limits::WRITES_QUEUED + giftd_domain::limits::GROUP_ORDERS + 200;
    let (told, mut full) = tokio::sync::mpsc::unbounded_channel();
    let tasks: Vec<_> = (0..count)
        .map(|index| {
            let (store, told) = (world.store.clone(), told.clone());
            let command = world.command(&format!("order {index}"), 1);
            tokio::spawn(async move {
                let answer = store.place_order(command).await;
                if matches!(answer, Err(StoreError::Full)) {
                    told.send(()).ok();
                }
                answer
            })
        })
        .collect();
    full.recv().await.expect("one is told that too much waits");
    hold.release().await;
    let mut placed = BTreeSet::new();
    let mut refused = Vec::new();
    for (index, task) in tasks.into_iter().enumerate() {
        match task.await.expect("the task ends well") {
            Ok(Placed::New(order)) => assert!(placed.insert(order.summary.order_id)),
            Err(StoreError::Full) => refused.push(format!("order {index}")),
            other => panic!("order {index}: {other:?}"),
        }
    }
    let expected = u64::try_from(placed.len()).expect("a count");
    assert_eq!(world.orders(&OrderFilter::default()).await.total, expected);
    assert_eq!(world.balances().await.pending, i64::try_from(placed.len()).expect("a count") * GIFT);
    for key in refused {
        assert_eq!(world.store.order_by_key(world.production, &key).await.expect("an answer"), None);
        world.place(world.command(&key, 1)).await;
    }
    world.verify().await;
}

pub async fn too_many_gifts_that_wait_are_told_as_well(bed: Bed) {
    let world = World::new(&bed).await;
    let hold = bed.hold_writes().await;
    let (told, mut full) = tokio::sync::mpsc::unbounded_channel();
    let tasks: Vec<_> = (0..16)
        .map(|index| {
            let (store, told) = (world.store.clone(), told.clone());
            let command = world.command(&format!("order {index}"), 10_000);
            tokio::spawn(async move {
                let answer = store.place_order(command).await;
                if matches!(answer, Err(StoreError::Full)) {
                    told.send(()).ok();
                }
                answer.map(|placed| is_new(&placed))
            })
        })
        .collect();
    full.recv().await.expect("one is told that too much waits");
    for task in &tasks[11..] {
        task.abort();
    }
    hold.release().await;
    let mut new = 0;
    for task in tasks {
        match task.await {
            Ok(Ok(true)) => new += 1,
            Ok(Err(StoreError::Full)) => {}
            Err(aborted) if aborted.is_cancelled() => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(new > 0);
    world.verify().await;
}

// --- callers that go away ---

pub async fn an_order_whose_caller_went_away_is_placed_whole_or_not_at_all(bed: Bed) {
    let world = World::new(&bed).await;
    let hold = bed.hold_writes().await;
    let commands: Vec<_> = (0..20).map(|key| world.command(&format!("order {key}"), 2)).collect();
    let tasks: Vec<_> = commands
        .iter()
        .map(|command| {
            let (world, command) = (world.clone(), command.clone());
            tokio::spawn(async move { world.try_place(command).await })
        })
        .collect();
    for task in tasks.iter().step_by(2) {
        task.abort();
    }
    hold.release().await;
    for task in tasks {
        if let Err(ended) = task.await {
            assert!(ended.is_cancelled(), "{ended}");
        }
    }
    // Asking again with the same key tells, and puts right what is missing.
    for command in &commands {
        let placed = world.try_place(again(command)).await;
        assert!(is_new(&placed) || matches!(placed, Placed::Known { same_request: true, .. }), "{placed:?}");
    }
    assert_eq!(world.orders(&OrderFilter::default()).await.total, 20);
    assert_eq!(world.balances().await.pending, 40 * GIFT);
    let claimed = world.claim(after(10), 100).await;
    assert_eq!(claimed.len(), 40);
    world.settle(claimed.iter().map(|delivery| sent(delivery, after(10))).collect(), after(10)).await;
    assert_eq!(world.count(OrderStatus::Complete).await, 20);
    world.verify().await;
}

// --- pages ---

pub async fn a_page_of_orders_holds_their_summaries(bed: Bed) {
    let world = World::new(&bed).await;
    let mut placed = Vec::new();
    for key in 0..5 {
        placed.insert(0, world.place(world.command(&format!("order {key}"), 2)).await.summary);
    }
    for (page, page_size, wanted) in
        [(1, 2, 0..2), (2, 2, 2..4), (3, 2, 4..5), (4, 2, 5..5), (1, 5, 0..5), (2, 5, 5..5)]
    {
        let found =
            world.store.orders_page(world.production, &OrderFilter::default(), PageRequest { page, page_size }).await;
        let found = found.expect("a page");
        assert_eq!((found.total, found.items.as_slice()), (5, &placed[wanted]));
    }
}
