//! Pages of orders, compared with a plain filter over all of them in memory.

use std::collections::HashMap;

use giftd_domain::history::{Days, OrderFilter};
use giftd_domain::limits;
use giftd_domain::orders::place::PlaceOrder;
use giftd_domain::orders::{CardType, OrderStatus, OrderSummary, OrderType};
use giftd_store::Cancellation;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::bed::{Bed, Database};
use crate::world::{Dice, World, failed, instant, now, scheduled, sent};

const CARDS: [&str; 6] = ["Sakura Books JP", "Café Crème ÉTÉ", "50% off_all", "Übermarkt", "It's \"quoted\"", "a\\b"];
const CREATORS: [&str; 5] = ["Payroll", "ПАЙРОЛЛ", "rewards-BOT_1", "Ελλάδα ΑΘΗΝΑΣ", "sakura team"];
const STATES: [OrderStatus; 4] =
    [OrderStatus::Pending, OrderStatus::InProgress, OrderStatus::Complete, OrderStatus::Canceled];
const KEYWORDS: [&str; 22] = [
    "sakura",
    "SAKURA",
    "book",
    "été",
    "ÉTÉ",
    "crÈme",
    "cafe",
    "%",
    "_",
    "50%",
    "\\",
    "'",
    "\"",
    "пай",
    "РОЛЛ",
    "ü",
    "ÜBER",
    "αθηνα",
    "bot",
    "payroll",
    "no such words",
    "a",
];

fn day_of(order: &OrderSummary) -> Date {
    TimeZone::UTC.to_datetime(order.created_at()).date()
}

/// The plain filter.
fn matches(order: &OrderSummary, key: &str, filter: &OrderFilter) -> bool {
    let holds = |keyword: &str| {
        let keyword = keyword.to_lowercase();
        order.card_name.to_lowercase().contains(&keyword) || order.creator.to_lowercase().contains(&keyword)
    };
    filter.order_type.is_none_or(|wanted| wanted == order.order_id.order_type)
        && filter.card_type.is_none_or(|wanted| wanted == order.card_type)
        && filter.status.is_none_or(|wanted| wanted == order.status)
        && filter.days.from.is_none_or(|from| from <= day_of(order))
        && filter.days.to.is_none_or(|to| day_of(order) <= to)
        && filter.keyword.as_deref().is_none_or(holds)
        && filter.client_order_id.as_deref().is_none_or(|wanted| wanted == key)
}

/// All orders of an account, newest first, with their keys.
struct History(Vec<(String, OrderSummary)>);

impl History {
    async fn compare(&self, world: &World, filter: &OrderFilter, pages: &[(u32, u32)]) {
        let expected: Vec<_> =
            self.0.iter().filter(|(key, order)| matches(order, key, filter)).map(|(_, order)| order).collect();
        for &(page, size) in pages {
            let offset = usize::try_from((u64::from(page) - 1) * u64::from(size)).expect("an offset");
            let wanted: Vec<_> =
                expected.iter().skip(offset).take(usize::try_from(size).expect("a size")).copied().collect();
            let found = world.orders_of(world.production, filter, page, size).await;
            assert_eq!(found.total, u64::try_from(expected.len()).expect("a total"), "{filter:?}");
            let ids =
                |orders: &[&OrderSummary]| orders.iter().map(|order| order.order_id.to_string()).collect::<Vec<_>>();
            assert_eq!(ids(&found.items.iter().collect::<Vec<_>>()), ids(&wanted), "{filter:?}, page {page} of {size}");
            assert_eq!(found.items.iter().collect::<Vec<_>>(), wanted, "{filter:?}, page {page} of {size}");
        }
    }

    /// As the orders are by now.
    async fn refreshed(self, world: &World) -> Self {
        let mut orders = Vec::new();
        for (key, order) in self.0 {
            orders.push((key, world.order(order.order_id).await.summary));
        }
        Self(orders)
    }
}

/// Half of the orders are of one kind; of the many others there are few each.
fn at_random(world: &World, dice: &mut Dice, key: String, now: Timestamp) -> PlaceOrder {
    if dice.below(2) == 0 {
        return PlaceOrder { now, ..world.command(&key, 1) };
    }
    let order_type = *dice.pick(&[OrderType::OneTime, OrderType::OneTime, OrderType::Smart, OrderType::Link]);
    PlaceOrder {
        order_type,
        card_type: *dice.pick(&[CardType::BrandedCard, CardType::ChoiceCard]),
        card_name: (*dice.pick(&CARDS)).to_owned(),
        creator: (*dice.pick(&CREATORS)).to_owned(),
        now,
        ..world.command(&key, 1)
    }
}

/// Orders over some months, several of them in a millisecond, in all states that there are.
async fn random_history(world: &World, count: usize) -> History {
    let mut dice = Dice::new(11);
    let mut clock = instant("2026-09-28T23:59:59.990Z");
    let mut orders = Vec::new();
    for index in 0..count {
        clock += SignedDuration::from_millis(*dice.pick(&[0, 0, 0, 1, 5, 40_000, 7_200_000, 86_400_000, -3_000]));
        let command = at_random(world, &mut dice, format!("key {index}"), clock);
        orders.push((command.idempotency_key.clone(), world.place(command).await.summary));
        if dice.below(12) == 0 {
            let claimed = world.claim(clock, 8).await;
            let settlements = claimed
                .iter()
                .filter_map(|delivery| dice.sometimes(70, delivery))
                .map(|delivery| if index % 3 == 0 { failed(delivery, clock) } else { sent(delivery, clock) });
            let settlements = settlements.collect();
            world.settle(settlements, clock).await;
        }
    }
    orders.reverse();
    History(orders).refreshed(world).await
}

fn random_filter(dice: &mut Dice) -> OrderFilter {
    let date = |dice: &mut Dice| {
        Date::constant(2026, 9, 25)
            .saturating_add(jiff::Span::new().days(i64::try_from(dice.below(120)).expect("days")))
    };
    let from = date(dice);
    let to = *dice.pick(&[
        from,
        from.saturating_add(jiff::Span::new().days(9)),
        from.saturating_add(jiff::Span::new().days(45)),
    ]);
    let days = match dice.below(6) {
        0 => Days { from: Some(from), to: Some(to) },
        1 => Days { from: Some(from), to: None },
        2 => Days { from: None, to: Some(to) },
        _ => Days::default(),
    };
    let order_type = *dice.pick(&[OrderType::OneTime, OrderType::Smart, OrderType::Link]);
    let card_type = *dice.pick(&[CardType::BrandedCard, CardType::ChoiceCard]);
    let status = *dice.pick(&STATES);
    let keyword = (*dice.pick(&KEYWORDS)).to_owned();
    let client_order_id = format!("key {}", dice.below(400));
    OrderFilter {
        order_type: dice.sometimes(30, order_type),
        card_type: dice.sometimes(30, card_type),
        status: dice.sometimes(40, status),
        days,
        keyword: dice.sometimes(40, keyword),
        client_order_id: dice.sometimes(5, client_order_id),
    }
}

pub async fn every_filter_finds_what_a_plain_filter_finds(bed: Bed) {
    let world = World::new(&bed).await;
    let other = World::beside(world.store.clone(), "Other").await;
    other.credit(1_000_000, "a transfer").await;
    for key in ["key 1", "key 2", "key 3"] {
        other.place(other.command(key, 1)).await;
    }
    let history = random_history(&world, 320).await;
    let mut filters = vec![OrderFilter::default()];
    for order_type in [OrderType::OneTime, OrderType::Smart, OrderType::Link] {
        filters.push(OrderFilter { order_type: Some(order_type), ..OrderFilter::default() });
    }
    for card_type in [CardType::BrandedCard, CardType::ChoiceCard] {
        filters.push(OrderFilter { card_type: Some(card_type), ..OrderFilter::default() });
    }
    for status in STATES {
        filters.push(OrderFilter { status: Some(status), ..OrderFilter::default() });
    }
    for keyword in KEYWORDS {
        filters.push(OrderFilter { keyword: Some(keyword.to_owned()), ..OrderFilter::default() });
    }
    let pages = [(1, 100), (2, 100), (1, 20), (9, 20), (3, 7), (45, 7), (60, 1), (1_000_000_000, 100)];
    for filter in &filters {
        history.compare(&world, filter, &pages).await;
    }
    let mut dice = Dice::new(3);
    for _ in 0..120 {
        let page = u32::try_from(1 + dice.below(6)).expect("a page");
        history.compare(&world, &random_filter(&mut dice), &[(1, 100), (page, 9)]).await;
    }
    world.verify().await;
}

pub async fn the_pages_of_a_filter_hold_each_order_once(bed: Bed) {
    let world = World::new(&bed).await;
    let history = random_history(&world, 90).await;
    for filter in [
        OrderFilter::default(),
        OrderFilter { keyword: Some("sakura".to_owned()), ..OrderFilter::default() },
        OrderFilter { status: Some(OrderStatus::Complete), ..OrderFilter::default() },
        OrderFilter { days: Days { from: Some(Date::constant(2026, 10, 1)), to: None }, ..OrderFilter::default() },
    ] {
        for size in [1, 3, 8] {
            let pages: Vec<_> = (1..=90_u32.div_ceil(size) + 1).map(|page| (page, size)).collect();
            history.compare(&world, &filter, &pages).await;
        }
    }
}

pub async fn days_are_inclusive_and_in_utc(bed: Bed) {
    let world = World::new(&bed).await;
    let mut ids = Vec::new();
    for (key, at, card_type) in [
        ("another kind", "2026-09-01T00:00:00Z", CardType::ChoiceCard),
        ("a", "2026-10-30T23:59:59.999Z", CardType::BrandedCard),
        ("b", "2026-10-31T00:00:00Z", CardType::BrandedCard),
        ("c", "2026-10-31T23:59:59.999Z", CardType::BrandedCard),
        ("d", "2026-11-01T00:00:00Z", CardType::BrandedCard),
        ("e", "2027-01-01T00:00:00Z", CardType::BrandedCard),
    ] {
        let command = PlaceOrder { card_type, now: instant(at), ..world.command(key, 1) };
        ids.push(world.place(command).await.summary.order_id);
    }
    for (from, to, wanted) in [
        ("2026-10-31", "2026-10-31", 2..4),
        ("2026-10-30", "2026-10-31", 1..4),
        ("2026-10-31", "2026-11-01", 2..5),
        ("2026-11-01", "2026-12-31", 4..5),
        ("2026-11-01", "2027-01-01", 4..6),
        ("2026-10-01", "2026-10-31", 1..4),
        ("2027-01-02", "2027-12-31", 6..6),
        ("0001-01-01", "9999-12-31", 0..6),
        ("0001-01-01", "1969-12-31", 0..0),
    ] {
        let days = Days { from: from.parse().ok(), to: to.parse().ok() };
        let whole = OrderFilter { days, ..OrderFilter::default() };
        // Those of some kinds, and one by its key, are found by other ways.
        let branded = OrderFilter { card_type: Some(CardType::BrandedCard), ..whole.clone() };
        let last = OrderFilter { client_order_id: Some("e".to_owned()), ..whole.clone() };
        let from = |first: usize| wanted.start.max(first)..wanted.end.max(first);
        for (filter, wanted) in [(whole, wanted.clone()), (branded, from(1)), (last, from(5))] {
            let found = world.orders(&filter).await;
            let found_ids: Vec<_> = found.items.iter().rev().map(|order| order.order_id).collect();
            assert_eq!(
                (found.total, found_ids.as_slice()),
                (u64::try_from(wanted.len()).expect("a count"), &ids[wanted]),
                "{filter:?}"
            );
        }
    }
}

pub async fn orders_of_one_millisecond_are_newest_first(bed: Bed) {
    let world = World::new(&bed).await;
    let mut placed = Vec::new();
    for key in 0..30 {
        placed.push(world.place(world.command(&format!("order {key}"), 1)).await.summary.order_id);
    }
    placed.reverse();
    for size in [30, 7, 1] {
        let mut found = Vec::new();
        for page in 1..=30_u32.div_ceil(size) {
            found.extend(world.orders_of(world.production, &OrderFilter::default(), page, size).await.items);
        }
        assert_eq!(found.iter().map(|order| order.order_id).collect::<Vec<_>>(), placed);
        assert!(found.iter().all(|order| order.created_at() == now()));
    }
}

pub async fn a_client_order_id_is_exact_and_combines_with_the_rest(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place(world.command("Order-1%", 1)).await.summary;
    world.place(world.command("order-10", 1)).await;
    let wanted = |key: &str| OrderFilter { client_order_id: Some(key.to_owned()), ..OrderFilter::default() };
    let found = world.orders(&wanted("Order-1%")).await;
    assert_eq!((found.total, found.items), (1, vec![order]));
    for missing in ["order-1%", "Order-1", "Order-", "%", "", "Order-1% "] {
        assert_eq!(world.orders(&wanted(missing)).await.total, 0, "{missing}");
    }
    let today = "2026-11-22".parse().ok();
    let fitting = OrderFilter {
        order_type: Some(OrderType::OneTime),
        card_type: Some(CardType::BrandedCard),
        status: Some(OrderStatus::Pending),
        days: Days { from: today, to: today },
        keyword: Some("pay".to_owned()),
        ..wanted("Order-1%")
    };
    assert_eq!(world.orders(&fitting).await.total, 1);
    assert_eq!(world.orders_of(world.production, &fitting, 2, 20).await.items, []);
    for misfit in [
        OrderFilter { order_type: Some(OrderType::Link), ..fitting.clone() },
        OrderFilter { card_type: Some(CardType::ChoiceCard), ..fitting.clone() },
        OrderFilter { status: Some(OrderStatus::Complete), ..fitting.clone() },
        OrderFilter { days: Days { from: None, to: "2026-11-21".parse().ok() }, ..fitting.clone() },
        OrderFilter { days: Days { from: "2026-11-23".parse().ok(), to: None }, ..fitting.clone() },
        OrderFilter { keyword: Some("sakura".to_owned()), ..fitting.clone() },
    ] {
        let found = world.orders(&misfit).await;
        assert_eq!((found.total, found.items), (0, vec![]), "{misfit:?}");
    }
}

/// Of 400 orders over some weeks 20 are of two rare kinds, five in each state; nearly all others are complete. So the
/// rare ones are gathered: the closed ones by their kind, the others from among all that are open.
pub async fn the_few_of_a_kind_are_found_in_every_state(bed: Bed) {
    let world = World::new(&bed).await;
    let (begin, ahead) = (instant("2026-09-20T12:00:00Z"), instant("2027-02-01T00:00:00Z"));
    let (mut orders, mut to_cancel, mut to_claim_only) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..400_i64 {
        let key = format!("key {index}");
        let now = begin + SignedDuration::from_hours(3 * index);
        let mut command = PlaceOrder { now, ..world.command(&key, 1) };
        let state = match index % 20 {
            7 => {
                command.card_name = "Zephyr Umbrellas".to_owned();
                command.creator = CREATORS[usize::try_from(index % 3).expect("a creator").min(1)].to_owned();
                STATES[usize::try_from(index / 20 % 4).expect("a state")]
            }
            _ if index % 50 == 10 => OrderStatus::Pending,
            _ if index % 50 == 11 => OrderStatus::Canceled,
            _ => OrderStatus::Complete,
        };
        if matches!(state, OrderStatus::Pending | OrderStatus::Canceled) {
            command.timing = scheduled(ahead);
        }
        let order = world.place(command).await.summary;
        match state {
            OrderStatus::Canceled => to_cancel.push(order.order_id),
            OrderStatus::InProgress => to_claim_only.push(order.order_id),
            OrderStatus::Pending | OrderStatus::Complete => {}
        }
        orders.push((key, order));
    }
    let clock = begin + SignedDuration::from_hours(3 * 400);
    for order in to_cancel {
        assert!(matches!(world.cancel(world.production, order, clock).await, Cancellation::Canceled(_)));
    }
    let claimed = world.claim(clock, 500).await;
    let to_send = claimed.iter().filter(|delivery| !to_claim_only.contains(&delivery.gift.order));
    world.settle(to_send.map(|delivery| sent(delivery, clock)).collect(), clock).await;
    orders.reverse();
    let history = History(orders).refreshed(&world).await;
    let rare = OrderFilter { keyword: Some("zephyr".to_owned()), ..OrderFilter::default() };
    let (from, to) = (Some(Date::constant(2026, 9, 29)), Some(Date::constant(2026, 11, 2)));
    for status in [None].into_iter().chain(STATES.map(Some)) {
        for days in [Days::default(), Days { from, to }, Days { from, to: None }, Days { from: None, to }] {
            let filter = OrderFilter { status, days, ..rare.clone() };
            history.compare(&world, &filter, &[(1, 100), (1, 7), (2, 7), (3, 7), (1, 1), (11, 1), (20, 1)]).await;
        }
    }
    let of_one_creator = OrderFilter { keyword: Some("payroll".to_owned()), ..rare.clone() };
    history.compare(&world, &of_one_creator, &[(1, 100), (1, 5), (2, 5)]).await;
    world.verify().await;
}

pub async fn a_page_and_its_total_are_of_one_moment(bed: Bed) {
    let world = World::new(&bed).await;
    let moving = {
        let world = world.clone();
        tokio::spawn(async move {
            for round in 0..10 {
                world.place_at_once((0..5).map(|key| world.command(&format!("{round} {key}"), 1)).collect()).await;
                let claimed = world.claim(now(), 4).await;
                world.settle(claimed.iter().skip(1).map(|delivery| sent(delivery, now())).collect(), now()).await;
            }
        })
    };
    while !moving.is_finished() {
        for status in [None, Some(OrderStatus::Pending), Some(OrderStatus::InProgress), Some(OrderStatus::Complete)] {
            let found = world.orders(&OrderFilter { status, ..OrderFilter::default() }).await;
            assert_eq!(u64::try_from(found.items.len()).expect("a count"), found.total, "all fit on the page");
            assert!(found.items.iter().all(|order| status.is_none_or(|status| status == order.status)), "{status:?}");
        }
    }
    moving.await.expect("all is placed");
}

/// Every other day many orders, placed together.
async fn long_history(world: &World, days: i64, orders_a_day: usize) -> History {
    let mut dice = Dice::new(17);
    let mut orders = Vec::new();
    for day in 0..days {
        let now = instant("2026-09-20T12:00:00Z") + SignedDuration::from_hours(48 * day);
        let commands: Vec<_> =
            (0..orders_a_day).map(|index| at_random(world, &mut dice, format!("{day} {index}"), now)).collect();
        let keys: Vec<_> = commands.iter().map(|command| command.idempotency_key.clone()).collect();
        for (key, placed) in keys.into_iter().zip(world.place_at_once(commands).await) {
            match placed {
                giftd_store::Placed::New(order) => orders.push((key, order.summary)),
                other => panic!("not placed: {other:?}"),
            }
        }
    }
    orders.sort_by_key(|(_, order)| std::cmp::Reverse(order.order_id.time));
    History(orders)
}

/// With more orders than are gathered or passed over: then the parts that hold the page are found by the counts.
pub async fn slow_a_long_history_is_paged_as_a_short_one(bed: Bed) {
    let world = World::new(&bed).await;
    let many = usize::try_from(limits::HISTORY_GATHERED).expect("a count");
    let history = long_history(&world, 33, many * 3 / 33).await;
    let whole = OrderFilter::default();
    let filters = [
        whole.clone(),
        // Of the 60,000 orders more match than are gathered.
        OrderFilter { keyword: Some("a".to_owned()), ..whole.clone() },
        OrderFilter { order_type: Some(OrderType::OneTime), keyword: Some("a".to_owned()), ..whole.clone() },
        OrderFilter { status: Some(OrderStatus::Pending), ..whole.clone() },
        OrderFilter { keyword: Some("a".to_owned()), status: Some(OrderStatus::Pending), ..whole.clone() },
        OrderFilter { keyword: Some("payroll".to_owned()), ..whole.clone() },
        OrderFilter {
            days: Days { from: Some(Date::constant(2026, 9, 22)), to: Some(Date::constant(2026, 10, 20)) },
            ..whole.clone()
        },
        OrderFilter {
            keyword: Some("a".to_owned()),
            days: Days { from: Some(Date::constant(2026, 9, 22)), to: None },
            ..whole.clone()
        },
        // More than half of the first and of the last month: what is left of them is read.
        OrderFilter {
            keyword: Some("a".to_owned()),
            days: Days { from: Some(Date::constant(2026, 9, 7)), to: Some(Date::constant(2026, 11, 20)) },
            ..whole.clone()
        },
        // Fewer.
        OrderFilter { card_type: Some(CardType::ChoiceCard), keyword: Some("a".to_owned()), ..whole.clone() },
        OrderFilter { keyword: Some("SAKURA".to_owned()), ..whole.clone() },
        OrderFilter { keyword: Some("50%".to_owned()), order_type: Some(OrderType::Link), ..whole.clone() },
    ];
    for filter in &filters {
        history
            .compare(
                &world,
                filter,
                &[
                    (1, 20),
                    (2, 100),
                    (77, 100),
                    (130, 100),
                    (1_500, 13),
                    (200, 100),
                    (250, 100),
                    (300, 100),
                    (390, 100),
                    (400, 100),
                    (500, 100),
                ],
            )
            .await;
    }
    // Some of the first days are complete, some in progress.
    let History(mut orders) = history;
    let places: HashMap<_, _> = orders.iter().enumerate().map(|(place, (_, order))| (order.order_id, place)).collect();
    for round in 0..20_i64 {
        let clock = instant("2026-12-01T00:00:00Z") + SignedDuration::from_hours(round);
        let claimed = world.claim(clock, 500).await;
        let (claimed_only, to_send) = claimed.split_at(50);
        world.settle(to_send.iter().map(|delivery| sent(delivery, clock)).collect(), clock).await;
        for delivery in claimed_only {
            orders[places[&delivery.gift.order]].1.status = OrderStatus::InProgress;
        }
        for delivery in to_send {
            let order = &mut orders[places[&delivery.gift.order]].1;
            (order.status, order.completed_at) = (OrderStatus::Complete, Some(clock));
        }
    }
    let history = History(orders);
    for status in [OrderStatus::Pending, OrderStatus::InProgress, OrderStatus::Complete] {
        for filter in &filters {
            let filter = OrderFilter { status: Some(status), ..filter.clone() };
            history.compare(&world, &filter, &[(1, 20), (3, 100), (60, 100), (222, 33)]).await;
        }
    }
    if bed.database == Database::Postgres {
        let World { organization, production, sandbox, .. } = world;
        drop(world.store);
        let world = async || World { store: bed.open().await, organization, production, sandbox };
        // SQLite's statements name their index, or fail. PostgreSQL counts what it reads of the 60,000 orders.
        let keyword = |word: &str| OrderFilter { keyword: Some(word.to_owned()), ..whole.clone() };
        for (filter, page, most) in [
            (whole.clone(), 1, 100),
            (keyword("a"), 1, 200),
            (OrderFilter { order_type: Some(OrderType::OneTime), ..whole.clone() }, 1, 200),
            (OrderFilter { status: Some(OrderStatus::Pending), ..whole.clone() }, 1, 100),
            // The half of a day.
            (whole.clone(), 1_000, 1_000),
            (OrderFilter { status: Some(OrderStatus::Pending), ..whole.clone() }, 700, 1_000),
            // Passed over from the nearer end, which is as little as the half of a month of so many.
            (keyword("a"), 1_200, signed(limits::HISTORY_PASSED / 2) + 100),
        ] {
            let (before, counts_before) = (rows_read(&bed, "orders").await, rows_read(&bed, "order_counts").await);
            let world = world().await;
            assert_eq!(world.orders_of(world.production, &filter, page, 20).await.items.len(), 20, "{filter:?}");
            drop(world);
            let read = rows_read(&bed, "orders").await - before;
            assert!((20..most).contains(&read), "page {page} of {filter:?} reads {read} of 60,000 rows");
            let counts_read = rows_read(&bed, "order_counts").await - counts_before;
            assert_eq!(counts_read > 0, !filter.takes_all_kinds(), "{filter:?} reads {counts_read} counts by kind");
        }
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).expect("a count")
}

/// Rows of a table that PostgreSQL has read, from it or an index, in connections that are closed:
/// when one closes, it is counted.
async fn rows_read(bed: &Bed, table: &str) -> i64 {
    let others = "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    while bed.number(others).await > 0 {
        tokio::task::yield_now().await;
    }
    let read = format!(
        "SELECT (SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = '{table}')
            + (SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname = '{table}')"
    );
    bed.number(&read).await
}
