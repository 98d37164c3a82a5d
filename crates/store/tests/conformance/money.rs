//! An operator's entries, the ledger's pages, and whether the books are told to be wrong when they are.

use giftd_domain::gifts::redemption::{NewCode, RedemptionId, Supplied};
use giftd_domain::history::{Days, OrderFilter};
use giftd_domain::ids::{AccountId, OrderId};
use giftd_domain::ledger::{Entry, EntryType, Postings};
use giftd_domain::orders::OrderStatus;
use giftd_domain::orders::place::PlaceOrder;
use giftd_store::{OperatorEntry, OperatorOutcome, Work};
use jiff::SignedDuration;

use crate::bed::{Bed, Database};
use crate::world::{
    A_MONTH, Dice, World, after, at_once, choosing, code, costing, days_before, entropy, failed, gift_key, instant,
    now, redeeming, resending, retry, scheduled, sent,
};

// --- operator entries ---

pub async fn a_credit_moves_money_from_funding_to_available(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let entry = world.credit(12_345, "wire 1").await;
    let postings = Postings { funding: -12_345, available: 12_345, pending: 0, issued: 0 };
    assert_eq!((entry.entry_type, entry.reference.as_str()), (EntryType::Charge, "wire 1"));
    assert_eq!((entry.postings, entry.available_after, entry.created_at()), (postings, 12_345, now()));
    assert_eq!(world.balances().await, postings);
    assert_eq!(world.ledger(world.production).await.items, [entry]);
    world.verify().await;
}

pub async fn a_debit_moves_money_back_to_funding(bed: Bed) {
    let world = World::with_funds(&bed, 10_000).await;
    let outcome = world.operate(world.production, EntryType::Transfer, 10_000, "bounced").await;
    let OperatorOutcome::Posted(entry) = outcome else { panic!("not posted: {outcome:?}") };
    assert_eq!((entry.entry_type, entry.available_after), (EntryType::Transfer, 0));
    assert_eq!(entry.postings, Postings { funding: 10_000, available: -10_000, pending: 0, issued: 0 });
    assert_eq!(world.balances().await, Postings::default());
    assert_eq!(world.ledger(world.production).await.items[0], entry);
    world.verify().await;
}

pub async fn a_reference_counts_once_for_an_account_and_type(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let other = World::beside(world.store.clone(), "Other").await;
    world.credit(500, "same").await;
    let before = (world.account(world.production).await, world.ledger(world.production).await);
    for _ in 0..2 {
        assert_eq!(world.operate(world.production, EntryType::Charge, 500, "same").await, OperatorOutcome::Known);
        let other_amount = world.operate(world.production, EntryType::Charge, 501, "same").await;
        assert_eq!(other_amount, OperatorOutcome::OtherAmount { cents: 500 });
    }
    assert_eq!((world.account(world.production).await, world.ledger(world.production).await), before, "nothing moved");

    for (account, entry_type, reference) in [
        (world.production, EntryType::Transfer, "same"),
        (world.sandbox, EntryType::Charge, "same"),
        (other.production, EntryType::Charge, "same"),
        (world.production, EntryType::Charge, "SAME"),
        (world.production, EntryType::Charge, "same "),
    ] {
        let outcome = world.operate(account, entry_type, 500, reference).await;
        assert!(matches!(outcome, OperatorOutcome::Posted(_)), "{account} {entry_type:?} {reference:?}: {outcome:?}");
    }
    world.verify().await;
}

pub async fn a_debit_is_never_below_zero_and_leaves_the_reference_free(bed: Bed) {
    let world = World::with_funds(&bed, 1_000).await;
    let before = world.account(world.production).await;
    let refused = world.operate(world.production, EntryType::Transfer, 1_001, "bounced").await;
    assert_eq!(refused, OperatorOutcome::Insufficient { available: 1_000 });
    assert_eq!(world.account(world.production).await, before, "nothing moved");
    world.credit(1, "one more").await;
    let posted = world.operate(world.production, EntryType::Transfer, 1_001, "bounced").await;
    assert!(matches!(posted, OperatorOutcome::Posted(_)), "{posted:?}");
}

pub async fn a_known_reference_is_told_before_the_balance_is_looked_at(bed: Bed) {
    let world = World::with_funds(&bed, 1_000).await;
    world.operate(world.production, EntryType::Transfer, 1_000, "bounced").await;
    let again = world.operate(world.production, EntryType::Transfer, 1_000, "bounced").await;
    assert_eq!(again, OperatorOutcome::Known);
    let other = world.operate(world.production, EntryType::Transfer, 2_000, "bounced").await;
    assert_eq!(other, OperatorOutcome::OtherAmount { cents: 1_000 });
}

pub async fn an_entry_for_no_account_is_told(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    for entry_type in [EntryType::Charge, EntryType::Transfer] {
        let outcome = world.operate(AccountId(4_711), entry_type, 500, "lost").await;
        assert_eq!(outcome, OperatorOutcome::NoAccount);
    }
}

pub async fn a_reference_that_is_posted_at_once_on_two_nodes_counts_once(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    let outcomes = at_once((0..16).map(|index: usize| {
        let node = nodes[index % 2].clone();
        async move { node.operate(node.production, EntryType::Charge, 700, "once").await }
    }))
    .await;
    let posted = outcomes.iter().filter(|outcome| matches!(outcome, OperatorOutcome::Posted(_))).count();
    let known = outcomes.iter().filter(|outcome| **outcome == OperatorOutcome::Known).count();
    assert_eq!((posted, known), (1, 15), "{outcomes:?}");
    assert_eq!(world.balances().await.available, 700);
    world.verify().await;
}

pub async fn debits_at_once_never_overdraw(bed: Bed) {
    let world = World::with_funds(&bed, 1_000).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    let outcomes = at_once((0..16).map(|index: usize| {
        let node = nodes[index % 2].clone();
        async move { node.operate(node.production, EntryType::Transfer, 300, &format!("debit {index}")).await }
    }))
    .await;
    let posted = outcomes.iter().filter(|outcome| matches!(outcome, OperatorOutcome::Posted(_))).count();
    let refused = outcomes.iter().filter(|outcome| matches!(outcome, OperatorOutcome::Insufficient { .. })).count();
    assert_eq!((posted, refused), (3, 13), "{outcomes:?}");
    assert_eq!(world.balances().await.available, 100);
    world.verify().await;
}

pub async fn a_sandbox_that_a_debit_makes_poor_is_refilled(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let outcome = world.operate(world.sandbox, EntryType::Transfer, 900_001, "bounced").await;
    let OperatorOutcome::Posted(entry) = outcome else { panic!("not posted: {outcome:?}") };
    assert_eq!((entry.entry_type, entry.available_after), (EntryType::Transfer, 99_999));
    assert_eq!(world.account(world.sandbox).await.balances.available, 1_000_000);
    let ledger = world.ledger(world.sandbox).await.items;
    assert_eq!((ledger[0].entry_type, ledger[0].postings.available), (EntryType::Charge, 900_001));
    assert_eq!(ledger[1], entry);
    world.verify().await;
}

// --- pages of the ledger ---

/// Posts `count` charges and transfers at random over some 70 days; newest last.
async fn post_at_random(world: &World, count: u64) -> Vec<Entry> {
    let mut dice = Dice::new(5);
    let mut now = instant("2026-10-20T23:59:58Z");
    let mut posted = Vec::new();
    for index in 0..count {
        let step = *dice.pick(&[0, 0, 1, 1_000, 3_600_000, 86_400_000]);
        now += SignedDuration::from_millis(step);
        let entry_type = if index > 5 && dice.below(3) == 0 { EntryType::Transfer } else { EntryType::Charge };
        let cents = if entry_type == EntryType::Charge { 1_000 } else { 10 };
        let reference = format!("entry {index}");
        let entry =
            OperatorEntry { account_id: world.production, entry_type, cents, reference, now, entropy: entropy() };
        match world.store.operator_entry(entry).await.expect("an answer") {
            OperatorOutcome::Posted(entry) => posted.push(entry),
            other => panic!("not posted: {other:?}"),
        }
    }
    posted
}

pub async fn ledger_pages_are_newest_first_with_totals(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let posted = post_at_random(&world, 160).await;
    let days = |from: &str, to: &str| {
        let day = |text: &str| (!text.is_empty()).then(|| text.parse().expect("a day"));
        Days { from: day(from), to: day(to) }
    };
    let first = posted[0].created_at().to_string()[..10].to_owned();
    let last = posted[159].created_at().to_string()[..10].to_owned();
    for days in [
        Days::default(),
        days(&first, &first),
        days(&last, &last),
        days("", &first),
        days(&last, ""),
        days("2026-11-01", "2026-11-30"),
        days("2026-10-21", "2026-12-02"),
        days("2026-11-05", "2026-11-11"),
        days("2026-11-05", ""),
        days("", "2026-11-05"),
        days("2020-01-01", "2020-12-31"),
    ] {
        for entry_type in [None, Some(EntryType::Charge), Some(EntryType::Transfer), Some(EntryType::Refund)] {
            let expected: Vec<_> = posted
                .iter()
                .rev()
                .filter(|entry| entry_type.is_none_or(|wanted| wanted == entry.entry_type))
                .filter(|entry| {
                    let day = jiff::tz::TimeZone::UTC.to_datetime(entry.created_at()).date();
                    days.from.is_none_or(|from| from <= day) && days.to.is_none_or(|to| day <= to)
                })
                .cloned()
                .collect();
            for (page, size) in [(1, 100), (2, 100), (1, 7), (4, 7), (9, 7), (160, 1), (1_000_000_000, 100)] {
                let offset = usize::try_from((u64::from(page) - 1) * u64::from(size)).expect("an offset");
                let take = usize::try_from(size).expect("a size");
                let wanted: Vec<_> = expected.iter().skip(offset).take(take).cloned().collect();
                let found = world.ledger_of(world.production, entry_type, days, page, size).await;
                assert_eq!(found.total, u64::try_from(expected.len()).expect("a total"), "{days:?} {entry_type:?}");
                assert_eq!(found.items, wanted, "{days:?} {entry_type:?} page {page} of {size}");
            }
        }
    }
}

pub async fn an_issue_is_never_listed(bed: Bed) {
    let world = World::new(&bed).await;
    world.place(world.command("order", 3)).await;
    world.deliver_all(after(1)).await;
    assert_eq!(world.count(OrderStatus::Complete).await, 1);
    assert!(bed.number("SELECT count(*) FROM ledger WHERE type = 'ISSUE'").await > 0);
    let all = world.ledger(world.production).await;
    let types: Vec<_> = all.items.iter().map(|entry| entry.entry_type).collect();
    assert_eq!((all.total, types), (2, vec![EntryType::Use, EntryType::Charge]));
    let today = Days { from: "2026-11-22".parse().ok(), to: "2026-11-22".parse().ok() };
    let of_today = world.ledger_of(world.production, None, today, 1, 100).await;
    assert_eq!((of_today.total, of_today.items.as_slice()), (1, &all.items[..1]));
    let issues = world.ledger_of(world.production, Some(EntryType::Issue), Days::default(), 1, 100).await;
    assert_eq!((issues.total, issues.items), (0, vec![]));
}

pub async fn another_accounts_entries_are_not_listed(bed: Bed) {
    let world = World::new(&bed).await;
    let other = World::beside(world.store.clone(), "Other").await;
    assert_eq!(other.ledger(other.production).await.total, 0);
    assert_eq!(other.ledger(other.sandbox).await.total, 1);
    assert_eq!(other.ledger(AccountId(4_711)).await.total, 0);
}

// --- the books ---

/// Orders in every state, and all kinds of entries.
async fn busy(bed: &Bed) -> World {
    let world = World::new(bed).await;
    world.operate(world.production, EntryType::Transfer, 5_000, "bounced").await;
    for index in 0..3 {
        world.place(world.command(&format!("order {index}"), 3)).await;
    }
    world.place(costing(world.sandbox, "play", &[950_000])).await;
    let claimed = world.claim(now(), 5).await;
    let done =
        [sent(&claimed[0], now()), sent(&claimed[1], now()), failed(&claimed[2], now()), sent(&claimed[3], now())];
    world.settle(done.into(), now()).await;
    world.settle(vec![retry(&claimed[4], now(), after(60))], now()).await;
    world
}

pub async fn the_books_count_what_they_looked_at(bed: Bed) {
    let world = busy(&bed).await;
    let report = world.verify().await;
    let count =
        async |table: &str| u64::try_from(bed.number(&format!("SELECT count(*) FROM {table}")).await).expect("a count");
    assert_eq!((report.accounts, report.orders), (2, 4));
    assert_eq!((report.accounts, report.orders), (count("accounts").await, count("orders").await));
    assert_eq!(report.entries, count("ledger").await);
}

/// Plants a difference, and takes it back with the second statement.
async fn planted(world: &World, bed: &Bed, (what, plant, take_back): (&str, &str, &str)) {
    bed.execute(plant).await;
    let report = world.store.verify_ledger().await.expect("a report");
    assert!(!report.differences.is_empty(), "{what} is not found: {plant}");
    bed.execute(take_back).await;
    world.verify().await;
}

pub async fn planted_differences_in_money_are_found(bed: Bed) {
    let world = busy(&bed).await;
    for plant in [
        (
            "an account with a cent too much",
            "UPDATE accounts SET available = available + 1, funding = funding - 1 WHERE environment = 'PRODUCTION'",
            "UPDATE accounts SET available = available - 1, funding = funding + 1 WHERE environment = 'PRODUCTION'",
        ),
        (
            "an account with a cent of pending that is issued",
            "UPDATE accounts SET pending = pending - 1, issued = issued + 1 WHERE environment = 'PRODUCTION'",
            "UPDATE accounts SET pending = pending + 1, issued = issued - 1 WHERE environment = 'PRODUCTION'",
        ),
        (
            "a lost credit",
            "UPDATE ledger SET account_id = account_id + 1000 WHERE type = 'TRANSFER'",
            "UPDATE ledger SET account_id = account_id - 1000 WHERE type = 'TRANSFER'",
        ),
        (
            "a changed credit",
            "UPDATE ledger SET available = available + 1, funding = funding - 1 WHERE reference = 'the first transfer'",
            "UPDATE ledger SET available = available - 1, funding = funding + 1 WHERE reference = 'the first transfer'",
        ),
        (
            "a balance after an entry",
            "UPDATE ledger SET available_after = available_after + 1 WHERE type = 'TRANSFER'",
            "UPDATE ledger SET available_after = available_after - 1 WHERE type = 'TRANSFER'",
        ),
    ] {
        planted(&world, &bed, plant).await;
    }
}

pub async fn planted_differences_in_gifts_are_found(bed: Bed) {
    let world = busy(&bed).await;
    for plant in [
        (
            "a gift that is sent without its money",
            "UPDATE gifts SET delivery_status = 'SENT' WHERE delivery_status = 'PENDING' AND delivery_attempts = 1",
            "UPDATE gifts SET delivery_status = 'PENDING' WHERE delivery_status = 'SENT' AND sent_at IS NULL",
        ),
        (
            "a cheaper gift",
            "UPDATE gifts SET cost = cost - 1 WHERE delivery_status = 'PENDING' AND delivery_attempts = 1",
            "UPDATE gifts SET cost = cost + 1 WHERE delivery_status = 'PENDING' AND delivery_attempts = 1",
        ),
        (
            "a lost gift",
            "UPDATE gifts SET account_id = account_id + 1000 WHERE delivery_status = 'PENDING' AND delivery_attempts = 1",
            "UPDATE gifts SET account_id = account_id - 1000 WHERE account_id > 1000",
        ),
    ] {
        planted(&world, &bed, plant).await;
    }
}

pub async fn planted_differences_in_counts_are_found(bed: Bed) {
    let world = busy(&bed).await;
    for plant in [
        (
            "an order counted twice",
            "UPDATE order_counts SET complete = complete + 1 WHERE span = 0 AND complete > 0",
            "UPDATE order_counts SET complete = complete - 1 WHERE span = 0 AND complete > 0",
        ),
        (
            "an order's day counted twice",
            "UPDATE order_totals SET n = n + 1 WHERE span = 20261122 AND status = 'COMPLETE'",
            "UPDATE order_totals SET n = n - 1 WHERE span = 20261122 AND status = 'COMPLETE'",
        ),
        (
            "an order's month counted twice, of its kind and of all",
            "UPDATE order_counts SET complete = complete + 1 WHERE span = 202611 AND complete > 0;
             UPDATE order_totals SET n = n + 1 WHERE span = 202611 AND status = 'COMPLETE'",
            "UPDATE order_counts SET complete = complete - 1 WHERE span = 202611 AND complete > 0;
             UPDATE order_totals SET n = n - 1 WHERE span = 202611 AND status = 'COMPLETE'",
        ),
        (
            "an order counted in all, but not of its kind",
            "UPDATE order_totals SET n = n + 1 WHERE status = 'COMPLETE'",
            "UPDATE order_totals SET n = n - 1 WHERE status = 'COMPLETE'",
        ),
        (
            "an order's month not counted",
            "UPDATE order_counts SET account_id = account_id + 1000 WHERE span = 202611 AND complete > 0",
            "UPDATE order_counts SET account_id = account_id - 1000 WHERE account_id > 1000",
        ),
        (
            "an order whose status changed uncounted",
            "UPDATE orders SET status = 'IN_PROGRESS' WHERE status = 'PENDING' AND idempotency_key = 'order 2'",
            "UPDATE orders SET status = 'PENDING' WHERE status = 'IN_PROGRESS' AND idempotency_key = 'order 2'",
        ),
        (
            "a lost order",
            "UPDATE orders SET account_id = account_id + 1000 WHERE status = 'COMPLETE'",
            "UPDATE orders SET account_id = account_id - 1000 WHERE account_id > 1000",
        ),
        (
            "an order's open gifts",
            "UPDATE orders SET open_gifts = open_gifts - 1 WHERE idempotency_key = 'order 2'",
            "UPDATE orders SET open_gifts = open_gifts + 1 WHERE idempotency_key = 'order 2'",
        ),
        (
            "an entry counted twice",
            "UPDATE ledger_counts SET n = n + 1 WHERE span = 0 AND type = 'USE'",
            "UPDATE ledger_counts SET n = n - 1 WHERE span = 0 AND type = 'USE'",
        ),
        (
            "an entry's month not counted",
            "UPDATE ledger_counts SET account_id = account_id + 1000 WHERE span = 202611 AND type = 'TRANSFER'",
            "UPDATE ledger_counts SET account_id = account_id - 1000 WHERE account_id > 1000",
        ),
    ] {
        planted(&world, &bed, plant).await;
    }
}

/// Gifts in every state of their lives: canceled, redeemed whole and in part, held, released, expired; and codes.
async fn lively(bed: &Bed) -> World {
    let world = World::new(bed).await;
    let timing = scheduled(now() + A_MONTH);
    let canceled = world.place(PlaceOrder { timing, ..world.command("canceled", 2) }).await.summary.order_id;
    world.cancel(world.production, canceled, after(1)).await;
    let order = world.place_and_send(choosing(world.production, "order", &[1_000, 1_000, 1_000, 1_000])).await;
    let [redeemed, partly, held, _] = [1, 2, 3, 4].map(|position| gift_key(world.production, order, position));
    world.redeem(redeemed, 1, 1_000, after(2)).await;
    world.redeem(partly, 2, 400, after(2)).await;
    world.reserved(redeeming(held, 3, 300, after(2))).await;
    world.reserved(redeeming(held, 4, 200, after(2))).await;
    world.supply(held, 4, Supplied::Refused, after(3)).await;
    world.turn(now() + A_MONTH).await;
    let codes = (0..4).map(|number| NewCode { hash: [number; 32], face_value: 1_000, sealed: code("code") }).collect();
    world.store.import_codes("20001", codes, now()).await.expect("an answer");
    world.store.take_code("20001", 1_000, RedemptionId(1), now()).await.expect("an answer").expect("a code");
    world.verify().await;
    world
}

/// What migration 6 replaced: a row for each state that an order has been in, also when none is any more; each has been PENDING.
const STATES_IN_ROWS: &str = "
    CREATE TABLE counts_then (account_id BIGINT NOT NULL, span BIGINT NOT NULL, kind_id BIGINT NOT NULL,
        status TEXT NOT NULL, n BIGINT NOT NULL CHECK (n >= 0),
        CONSTRAINT counts_then_pkey PRIMARY KEY (account_id, span, kind_id, status));
    INSERT INTO counts_then SELECT account_id, span, kind_id, 'PENDING', pending FROM order_counts;
    INSERT INTO counts_then SELECT account_id, span, kind_id, 'IN_PROGRESS', in_progress FROM order_counts WHERE in_progress > 0;
    INSERT INTO counts_then SELECT account_id, span, kind_id, 'COMPLETE', complete FROM order_counts WHERE complete > 0;
    INSERT INTO counts_then SELECT account_id, span, kind_id, 'CANCELED', canceled FROM order_counts WHERE canceled > 0;
    DROP TABLE order_counts;
    ALTER TABLE counts_then RENAME TO order_counts;";

/// And migration 5: days by kind. Here all of a day have one kind.
const DAYS_BY_KIND: &str = "
    INSERT INTO order_counts SELECT account_id, span, 1, status, n FROM order_totals WHERE span > 999912;
    DROP TABLE order_totals;";

pub async fn counts_of_an_older_schema_are_carried_over(bed: Bed) {
    let world = busy(&bed).await;
    let timing = scheduled(now() + A_MONTH);
    let order = world.place(PlaceOrder { timing, ..world.command("canceled", 1) }).await.summary.order_id;
    world.cancel(world.production, order, after(1)).await;
    let complete = OrderFilter { status: Some(OrderStatus::Complete), ..OrderFilter::default() };
    let named = OrderFilter { keyword: Some("a".to_owned()), ..OrderFilter::default() };
    let pages = async |world: &World| {
        let page = async |filter| world.orders_of(world.production, filter, 1, 20).await;
        [page(&complete).await, page(&named).await]
    };
    let before = pages(&world).await;
    assert!(before.iter().all(|page| page.total > 0));
    let World { organization, production, sandbox, mut store } = world;
    for (migration, days) in [(5, ""), (4, DAYS_BY_KIND)] {
        drop(store);
        bed.execute(&format!("{STATES_IN_ROWS}{days} DELETE FROM schema_migrations WHERE number > {migration};")).await;
        if bed.database == Database::Postgres {
            bed.execute("ALTER TABLE order_counts RENAME CONSTRAINT counts_then_pkey TO order_counts_pkey").await;
        }
        let world = World { organization, production, sandbox, store: bed.open().await };
        world.verify().await;
        assert_eq!(pages(&world).await, before, "from migration {migration}");
        store = world.store;
    }
    let world = World { organization, production, sandbox, store };
    world.place(world.command("another", 1)).await;
    world.verify().await;
}

pub async fn planted_differences_in_refunds_and_redemptions_are_found(bed: Bed) {
    let world = lively(&bed).await;
    for plant in [
        (
            "a gift whose refund was a cent more than what returned",
            "UPDATE gifts SET refunded = refunded + 1 WHERE refunded = 420",
            "UPDATE gifts SET refunded = refunded - 1 WHERE refunded = 421",
        ),
        (
            "a gift whose refund isn't in the gift",
            "UPDATE gifts SET refunded = NULL WHERE refunded = 420",
            "UPDATE gifts SET refunded = 420 WHERE refunded IS NULL AND redeemed = 400",
        ),
        (
            "an expiry that is no refund",
            "UPDATE ledger SET type = 'CHARGE' WHERE type = 'REFUND' AND issued <> 0",
            "UPDATE ledger SET type = 'REFUND' WHERE type = 'CHARGE' AND issued <> 0",
        ),
        (
            "a cancellation that is no refund",
            "UPDATE ledger SET type = 'CHARGE' WHERE type = 'REFUND' AND pending <> 0",
            "UPDATE ledger SET type = 'REFUND' WHERE type = 'CHARGE' AND pending <> 0",
        ),
        (
            "a canceled gift that still waits",
            "UPDATE gifts SET delivery_status = 'PENDING' WHERE delivery_status = 'CANCELED' AND position = 1",
            "UPDATE gifts SET delivery_status = 'CANCELED' WHERE delivery_status = 'PENDING' AND position = 1",
        ),
        (
            "a gift that is redeemed a cent less",
            "UPDATE gifts SET redeemed = redeemed - 1 WHERE redeemed = 400",
            "UPDATE gifts SET redeemed = redeemed + 1 WHERE redeemed = 399",
        ),
        (
            "a gift that holds nothing",
            "UPDATE gifts SET reserved = 0 WHERE reserved = 300",
            "UPDATE gifts SET reserved = 300 WHERE position = 3 AND redemption_status = 'EXPIRED'",
        ),
        (
            "a redemption that took a cent more",
            "UPDATE redemptions SET cost = cost + 1 WHERE cost = 400",
            "UPDATE redemptions SET cost = cost - 1 WHERE cost = 401",
        ),
        (
            "a reservation that was released uncounted",
            "UPDATE redemptions SET state = 'RELEASED', settled_at = 7, ask_at = NULL WHERE state = 'RESERVED'",
            "UPDATE redemptions SET state = 'RESERVED', settled_at = NULL, ask_at = 7 WHERE settled_at = 7",
        ),
        (
            "a lost redemption",
            "UPDATE redemptions SET position = position + 100 WHERE cost = 1000",
            "UPDATE redemptions SET position = position - 100 WHERE position > 100",
        ),
    ] {
        planted(&world, &bed, plant).await;
    }
}

pub async fn planted_differences_in_codes_and_events_are_found(bed: Bed) {
    let world = lively(&bed).await;
    for plant in [
        (
            "a code in stock too much",
            "UPDATE code_stock SET available = available + 1",
            "UPDATE code_stock SET available = available - 1",
        ),
        (
            "a handed out code too much",
            "UPDATE code_stock SET handed_out = handed_out + 1",
            "UPDATE code_stock SET handed_out = handed_out - 1",
        ),
        (
            "a code in stock that is handed out",
            "UPDATE code_stock SET available = available - 1, handed_out = handed_out + 1",
            "UPDATE code_stock SET available = available + 1, handed_out = handed_out - 1",
        ),
        (
            "a code of another product",
            "UPDATE codes SET product_id = '20002' WHERE handed_out_at IS NOT NULL",
            "UPDATE codes SET product_id = '20001' WHERE product_id = '20002'",
        ),
        ("a stock without codes", "UPDATE codes SET face_value = 5000", "UPDATE codes SET face_value = 1000"),
        (
            "an event counted twice",
            "UPDATE gifts SET events = events + 1 WHERE redeemed = 400",
            "UPDATE gifts SET events = events - 1 WHERE redeemed = 400",
        ),
        (
            "a lost event",
            "UPDATE gift_events SET account_id = account_id + 1000 WHERE type = 'REDEEMED' AND position = 2",
            "UPDATE gift_events SET account_id = account_id - 1000 WHERE account_id > 1000",
        ),
    ] {
        planted(&world, &bed, plant).await;
    }
}

pub async fn the_books_balance_also_while_gifts_are_canceled_redeemed_and_expire(bed: Bed) {
    let world = World::new(&bed).await;
    let moving = {
        let world = world.clone();
        tokio::spawn(async move {
            for round in 0..8_u128 {
                let timing = scheduled(now() + A_MONTH * 2);
                let waiting = PlaceOrder { timing, ..world.command(&format!("waiting {round}"), 3) };
                let waiting = world.place(waiting).await.summary.order_id;
                let command = choosing(world.production, &format!("order {round}"), &[1_000, 999]);
                let order = world.place_and_send(command).await;
                world.cancel(world.production, waiting, after(1)).await;
                let gift = gift_key(world.production, order, 1);
                world.redeem(gift, round * 10, 300, after(1)).await;
                world.reserved(redeeming(gift, round * 10 + 1, 300, after(1))).await;
                world.turn(now() + A_MONTH).await;
                world.supply(gift, round * 10 + 1, Supplied::Refused, now() + A_MONTH).await;
            }
        })
    };
    while !moving.is_finished() {
        world.verify().await;
    }
    moving.await.expect("all is done");
    // 70 % of 700 and of 999 cents come back.
    assert_eq!(world.balances().await.issued, 8 * (1_999 - 490 - 699));
    world.verify().await;
}

/// One thing that may happen to one of the orders. Whoever is late is refused; nothing may break.
async fn something(node: &World, dice: &mut Dice, orders: &[OrderId], id: u128) {
    let order = *dice.pick(orders);
    let at = after(i64::try_from(dice.below(600)).expect("seconds"));
    let gift = gift_key(node.production, order, u32::try_from(1 + dice.below(4)).expect("a position"));
    match dice.below(8) {
        0 | 1 => {
            let claimed = node.claim(at + A_MONTH * 2, 7).await;
            let outcomes = claimed.iter().map(|delivery| match dice.below(4) {
                0 => failed(delivery, at),
                1 => retry(delivery, at, at),
                _ => sent(delivery, at),
            });
            node.settle(outcomes.collect(), at).await;
        }
        2 => drop(node.cancel(node.production, order, at).await),
        3 => {
            let mut entries = [("r3@example.com", None), ("r1@example.com", None), ("r2@example.com", None)];
            entries.rotate_left(usize::try_from(dice.below(3)).expect("an index"));
            node.resend(resending(node.production, order, &entries, at)).await;
        }
        4 | 5 => {
            let cost = 1 + i64::try_from(dice.below(400)).expect("cents");
            node.reserve(redeeming(gift, id, cost, at)).await;
            let supplied = dice.sometimes(60, Supplied::Code(code("code"))).unwrap_or(Supplied::Refused);
            node.supply(gift, id, supplied, at + A_MONTH * i32::try_from(dice.below(2)).expect("a month")).await;
        }
        6 => drop(node.store.request_verification(gift, 1, at).await.expect("an answer")),
        _ => drop(node.turn_group(Work::Everyone, after(300) + A_MONTH, &days_before(&[7])).await),
    }
}

pub async fn whatever_happens_at_once_on_two_nodes_the_books_balance(bed: Bed) {
    let world = World::new(&bed).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    let mut orders = Vec::new();
    for key in 0..12 {
        let command = choosing(world.production, &format!("order {key}"), &[1_000, 999, 1, 333]);
        let waits = PlaceOrder { timing: scheduled(now() + A_MONTH * 2), ..command.clone() };
        let command = if key % 3 == 0 { waits } else { command };
        orders.push(world.place(command).await.summary.order_id);
    }
    at_once((0..6_u64).map(|task| {
        let (node, orders) = (nodes[usize::from(task % 2 == 1)].clone(), orders.clone());
        async move {
            let mut dice = Dice::new(task);
            for round in 0..60 {
                something(&node, &mut dice, &orders, u128::from(task * 1_000 + round)).await;
            }
        }
    }))
    .await;
    world.verify().await;

    // All comes to an end: every mail is sent, every gift expires, and no cent is missing.
    let end = now() + A_MONTH * 12;
    world.deliver_all(end).await;
    world.turn(end + A_MONTH).await;
    world.verify().await;
    let (mut spent, mut returned) = (0, 0);
    for order in orders {
        let order = world.order(order).await;
        for gift in order.gifts {
            if order.summary.status == OrderStatus::Canceled {
                assert_eq!((gift.redeemed, gift.reserved, gift.voided, gift.refunded), (0, 0, 0, None));
                continue;
            }
            assert_eq!((gift.redeemed + gift.voided, gift.reserved), (gift.cost, 0), "{gift:?}");
            let refund = (gift.voided * 7 + 5) / 10;
            assert_eq!(gift.refunded.unwrap_or(0), refund, "{gift:?}");
            spent += gift.cost;
            returned += refund;
        }
    }
    let balances = world.balances().await;
    assert_eq!((balances.pending, balances.issued), (0, spent - returned));
    assert_eq!(balances.available, -balances.funding - spent + returned);
}

pub async fn the_books_balance_also_while_money_moves(bed: Bed) {
    let world = World::new(&bed).await;
    let moving = {
        let world = world.clone();
        tokio::spawn(async move {
            for round in 0..8 {
                let commands = (0..16).map(|index| world.command(&format!("{round} {index}"), 2)).collect();
                world.place_at_once(commands).await;
                world.deliver_all(after(round)).await;
            }
        })
    };
    while !moving.is_finished() {
        world.verify().await;
    }
    moving.await.expect("all is placed and delivered");
    assert_eq!(world.verify().await.orders, 128);
    assert_eq!(world.count(OrderStatus::Complete).await, 128);
}
