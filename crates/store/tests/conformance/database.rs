//! The database itself: schema, clock, the fingerprints of keys, and what outlives a process.

use std::collections::BTreeMap;
use std::time::Duration;

use giftd_domain::access::Environment;
use giftd_domain::catalog::ChoiceRange;
use giftd_domain::history::OrderFilter;
use giftd_domain::ledger::EntryType;
use giftd_domain::limits;
use giftd_domain::orders::OrderStatus;
use giftd_store::{OperatorOutcome, Placed, StoreError};

use crate::bed::{Bed, Database};
use crate::world::{World, after, again, at_once, entropy, now, retry, sent};

pub async fn an_opened_store_is_ready(bed: Bed) {
    assert!(bed.open().await.ready().await.is_ok());
}

pub async fn an_unknown_kind_of_url_is_refused(_: Bed) {
    let refused = giftd_store::open("mysql://127.0.0.1/giftd", limits::GROUP_ORDERS).await.err();
    assert!(matches!(refused, Some(StoreError::Schema(_))), "{refused:?}");
}

pub async fn nodes_that_start_together_migrate_once(bed: Bed) {
    let url = bed.url().to_owned();
    let stores = at_once((0..4).map(|_| {
        let url = url.clone();
        async move { giftd_store::open(&url, limits::GROUP_ORDERS).await }
    }))
    .await;
    for store in stores {
        store.expect("the store opens").ready().await.expect("it is ready");
    }
    assert_eq!(bed.number("SELECT count(*) FROM reference").await, 1);
}

pub async fn a_schema_newer_than_the_binary_is_refused(bed: Bed) {
    let store = bed.open().await;
    bed.execute("INSERT INTO schema_migrations (number) VALUES (1000000)").await;
    let ready = store.ready().await;
    assert!(matches!(ready, Err(StoreError::Schema(_))), "a running node notices: {ready:?}");
    let opened = giftd_store::open(bed.url(), limits::GROUP_ORDERS).await.err();
    assert!(matches!(opened, Some(StoreError::Schema(_))), "another does not start: {opened:?}");
}

pub async fn slow_what_is_held_up_is_unavailable_within_half_a_minute(bed: Bed) {
    let world = World::new(&bed).await;
    let hold = bed.hold_writes().await;
    let placing = (0..5).map(|number| {
        let (store, command) = (world.store.clone(), world.command(&format!("held-{number}"), 1));
        async move { store.place_order(command).await.err() }
    });
    let answers =
        tokio::time::timeout(Duration::from_secs(30), at_once(placing)).await.expect("an answer for everyone");
    for answer in answers {
        assert!(matches!(answer, Some(StoreError::Unavailable(_))), "{answer:?}");
    }
    hold.release().await;
    world.place(world.command("after", 1)).await;
}

pub async fn the_clock_is_the_databases(bed: Bed) {
    let milliseconds = match bed.database {
        Database::Sqlite => "SELECT CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER)",
        Database::Postgres => "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
    };
    let store = bed.open().await;
    let before = bed.number(milliseconds).await;
    let time = store.database_time().await.expect("a time").as_millisecond();
    let after = bed.number(milliseconds).await;
    assert!((before - 1..=after + 1).contains(&time), "{before} <= {time} <= {after}");
}

pub async fn key_fingerprints_are_recorded_once(bed: Bed) {
    let fingerprints =
        |of: &str| BTreeMap::from([("tokens".to_owned(), of.to_owned()), ("links".to_owned(), format!("{of}!"))]);
    let store = bed.open().await;
    assert_eq!(store.key_fingerprints().await.expect("an answer"), BTreeMap::new());
    assert!(store.record_key_fingerprints(&fingerprints("a")).await.expect("an answer"), "the first are taken");
    assert!(!store.record_key_fingerprints(&fingerprints("b")).await.expect("an answer"), "others are not");
    let other = BTreeMap::from([("codes".to_owned(), "c".to_owned())]);
    assert!(!store.record_key_fingerprints(&other).await.expect("an answer"), "nor those of another key");
    assert_eq!(store.key_fingerprints().await.expect("an answer"), fingerprints("a"));
    drop(store);
    assert_eq!(bed.open().await.key_fingerprints().await.expect("an answer"), fingerprints("a"));
}

pub async fn of_nodes_that_record_key_fingerprints_together_one_is_first(bed: Bed) {
    let stores = [bed.open().await, bed.open().await];
    let recorded = at_once((0..8).map(|node: usize| {
        let store = stores[node % 2].clone();
        let fingerprints =
            BTreeMap::from([("tokens".to_owned(), node.to_string()), ("links".to_owned(), node.to_string())]);
        async move { store.record_key_fingerprints(&fingerprints).await.expect("an answer").then_some(fingerprints) }
    }))
    .await;
    let first: Vec<_> = recorded.into_iter().flatten().collect();
    assert_eq!(first.len(), 1, "one node was first");
    assert_eq!(stores[0].key_fingerprints().await.expect("an answer"), first[0], "and all of it counts");
}

pub async fn what_was_answered_is_there_after_a_restart(bed: Bed) {
    let world = World::new(&bed).await;
    let command = world.command("kept", 3);
    let order = world.place(command.clone()).await;
    let claimed = world.claim(now(), 2).await;
    world.settle(vec![sent(&claimed[0], after(1)), retry(&claimed[1], after(1), after(30))], after(1)).await;
    let range = ChoiceRange { min: 500, max: 7_000 };
    world.store.set_choice_range(world.organization, range).await.expect("an answer");

    let seen = async |world: &World| {
        (
            world.account(world.production).await,
            world.account(world.sandbox).await,
            world.ledger(world.production).await,
            world.orders(&OrderFilter::default()).await,
            world.order(order.summary.order_id).await,
            world.store.account_settings(world.production).await.expect("an answer"),
            world.store.organizations().await.expect("an answer"),
            world.store.backlog(after(30)).await.expect("an answer"),
        )
    };
    let before = seen(&world).await;
    let (organization, production, sandbox) = (world.organization, world.production, world.sandbox);
    drop(world);
    let world = World { store: bed.open().await, organization, production, sandbox };
    assert_eq!(seen(&world).await, before);

    // And work goes on where it stopped.
    let known = Placed::Known { order_id: order.summary.order_id, same_request: true };
    assert_eq!(world.try_place(again(&command)).await, known);
    let first = world.operate(world.production, EntryType::Charge, crate::world::FUNDS, "the first transfer").await;
    assert_eq!(first, OperatorOutcome::Known);
    assert_eq!(world.place(world.command("next", 1)).await.summary.status, OrderStatus::Pending);
    world.deliver_all(after(120)).await;
    assert_eq!(world.order(order.summary.order_id).await.summary.status, OrderStatus::Complete);
    world.verify().await;
}

pub async fn what_was_answered_is_seen_by_others_at_once(bed: Bed) {
    let world = World::new(&bed).await;
    let command_line = world.on_another_node(&bed).await;
    let order = world.place(world.command("here", 1)).await;
    assert_eq!(command_line.order(order.summary.order_id).await, order);
    command_line.credit(1_234, "beside a running server").await;
    assert_eq!(world.balances().await, command_line.balances().await);
    let there = command_line.place(command_line.command("there", 1)).await;
    assert!(there.summary.order_id > order.summary.order_id, "ids of an account increase on all nodes");
    assert_eq!(world.order(there.summary.order_id).await, there);
    world.verify().await;
}

pub async fn money_of_a_command_beside_a_running_server_can_be_spent(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let refused = world.try_place(world.command("order", 1)).await;
    assert!(matches!(refused, Placed::Insufficient { available: 0, .. }), "{refused:?}");
    world.on_another_node(&bed).await.credit(1_000, "transfer").await;
    world.place(world.command("order", 1)).await;
    assert_eq!(world.balances().await.available, 0);
}

pub async fn organizations_made_together_are_all_there(bed: Bed) {
    let stores = [bed.open().await, bed.open().await];
    let made =
        at_once((0..8).map(|index: usize| {
            let store = stores[index % 2].clone();
            async move {
                store.create_organization(&format!("org {index}"), now(), entropy()).await.expect("an organization")
            }
        }))
        .await;
    let listed = stores[0].organizations().await.expect("an answer");
    assert_eq!(listed.len(), 8);
    for organization in made {
        for environment in [Environment::Production, Environment::Sandbox] {
            let account =
                stores[1].account_of(organization, environment).await.expect("an answer").expect("an account");
            assert_eq!((account.organization_id, account.environment), (organization, environment));
        }
    }
}
