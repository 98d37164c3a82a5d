//! Codes that an operator imported.

use std::collections::BTreeSet;

use giftd_domain::gifts::redemption::{NewCode, RedemptionId, Sealed, Stock, Supplied};
use giftd_store::CodesImport;

use crate::bed::Bed;
use crate::world::{World, after, at_once, choosing, gift_key, now, redeeming};

/// Code number `number`, worth `face_value`.
pub fn new_code(number: u16, face_value: i64) -> NewCode {
    let mut hash = [7; 32];
    hash[..2].copy_from_slice(&number.to_be_bytes());
    let key_id = format!("key {}", number % 2);
    NewCode { hash, face_value, sealed: Sealed { key_id, bytes: format!("code {number}").into_bytes() } }
}

fn codes(numbers: std::ops::Range<u16>, face_value: i64) -> Vec<NewCode> {
    numbers.map(|number| new_code(number, face_value)).collect()
}

async fn import(world: &World, product_id: &str, codes: Vec<NewCode>, seconds: i64) -> (u64, u64) {
    let import = world.store.import_codes(product_id, codes, after(seconds)).await;
    let CodesImport { imported, skipped } = import.expect("an answer");
    (imported, skipped)
}

async fn take(world: &World, product_id: &str, face_value: i64, redemption: u128) -> Option<Sealed> {
    let redemption = RedemptionId(redemption);
    world.store.take_code(product_id, face_value, redemption, after(100)).await.expect("an answer")
}

/// Product, face value, available, handed out.
async fn stock(world: &World) -> Vec<(String, i64, u64, u64)> {
    let stock = world.store.stock().await.expect("an answer");
    let mut stock: Vec<_> = stock
        .into_iter()
        .map(|Stock { product_id, face_value, available, handed_out }| (product_id, face_value, available, handed_out))
        .collect();
    stock.sort();
    stock
}

fn of(product_id: &str, face_value: i64, available: u64, handed_out: u64) -> (String, i64, u64, u64) {
    (product_id.to_owned(), face_value, available, handed_out)
}

pub async fn imported_codes_are_counted_by_product_and_face_value(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    assert_eq!(stock(&world).await, []);
    let mixed = [codes(0..3, 1_000), codes(3..5, 5_000)].concat();
    assert_eq!(import(&world, "20001", mixed, 0).await, (5, 0));
    assert_eq!(import(&world, "20002", codes(10..11, 1_000), 1).await, (1, 0));
    assert_eq!(import(&world, "20001", vec![], 2).await, (0, 0));
    let expected = [of("20001", 1_000, 3, 0), of("20001", 5_000, 2, 0), of("20002", 1_000, 1, 0)];
    assert_eq!(stock(&world).await, expected);
    world.verify().await;
}

pub async fn a_known_code_is_skipped_and_counted(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    assert_eq!(import(&world, "20001", codes(0..3, 1_000), 0).await, (3, 0));
    assert_eq!(import(&world, "20001", codes(1..5, 1_000), 1).await, (2, 2));
    let twice = vec![new_code(9, 1_000), new_code(9, 1_000)];
    assert_eq!(import(&world, "20001", twice, 2).await, (1, 1), "also twice in one import");
    assert!(take(&world, "20001", 1_000, 1).await.is_some());
    assert_eq!(import(&world, "20001", codes(0..5, 1_000), 3).await, (0, 5), "also when it was handed out");
    assert_eq!(stock(&world).await, [of("20001", 1_000, 5, 1)]);
    world.verify().await;
}

pub async fn codes_are_imported_all_or_none(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let mut wrong = codes(0..10, 1_000);
    wrong[9].face_value = 0;
    assert!(world.store.import_codes("20001", wrong, now()).await.is_err(), "a code is worth something");
    assert_eq!(bed.number("SELECT count(*) FROM codes").await, 0);
    assert_eq!(stock(&world).await, []);
    assert_eq!(take(&world, "20001", 1_000, 1).await, None);
    world.verify().await;
}

pub async fn the_oldest_import_is_handed_out_first(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    import(&world, "20001", codes(50..51, 1_000), 0).await;
    import(&world, "20001", codes(10..11, 1_000), 1).await;
    import(&world, "20001", codes(90..91, 1_000), 2).await;
    for (redemption, expected) in [(3, 50), (1, 10), (2, 90)] {
        assert_eq!(take(&world, "20001", 1_000, redemption).await, Some(new_code(expected, 1_000).sealed));
    }
    assert_eq!(take(&world, "20001", 1_000, 4).await, None);
    assert_eq!(stock(&world).await, [of("20001", 1_000, 0, 3)]);
    world.verify().await;
}

pub async fn a_redemption_gets_the_same_code_each_time_it_asks(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let other_node = world.on_another_node(&bed).await;
    import(&world, "20001", codes(0..2, 1_000), 0).await;
    let first = take(&world, "20001", 1_000, 1).await;
    assert!(first.is_some());
    let second = take(&world, "20001", 1_000, 2).await;
    assert_ne!(first, second);
    for node in [&world, &other_node] {
        assert_eq!(take(node, "20001", 1_000, 1).await, first, "also when no other is left");
        assert_eq!(take(node, "20001", 1_000, 2).await, second);
    }
    assert_eq!(stock(&world).await, [of("20001", 1_000, 0, 2)]);
}

pub async fn a_code_is_of_the_product_and_the_face_value_asked_for(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    import(&world, "20001", codes(0..1, 1_000), 0).await;
    import(&world, "20002", codes(1..2, 5_000), 0).await;
    for (product_id, face_value) in [("20001", 5_000), ("20002", 1_000), ("20003", 1_000), ("2000", 1_000)] {
        assert_eq!(take(&world, product_id, face_value, 1).await, None, "{product_id} {face_value}");
    }
    assert_eq!(take(&world, "20002", 5_000, 1).await, Some(new_code(1, 5_000).sealed));
    assert_eq!(take(&world, "20001", 1_000, 2).await, Some(new_code(0, 1_000).sealed));
}

pub async fn out_of_stock_takes_nothing_and_a_later_import_helps(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    assert_eq!(take(&world, "20001", 1_000, 1).await, None);
    assert_eq!(stock(&world).await, []);
    import(&world, "20001", codes(0..1, 1_000), 0).await;
    assert_eq!(take(&world, "20001", 1_000, 1).await, Some(new_code(0, 1_000).sealed));
    world.verify().await;
}

pub async fn of_50_that_ask_at_once_for_40_codes_each_gets_its_own(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    import(&world, "20001", codes(0..40, 1_000), 0).await;
    let taken = at_once((0..50_usize).map(|index| {
        let node = nodes[index % 2].clone();
        async move { take(&node, "20001", 1_000, u128::try_from(index).expect("an id")).await }
    }))
    .await;
    let got: Vec<_> = taken.iter().flatten().map(|sealed| sealed.bytes.clone()).collect();
    assert_eq!((got.len(), got.iter().collect::<BTreeSet<_>>().len()), (40, 40));
    assert_eq!(stock(&world).await, [of("20001", 1_000, 0, 40)]);
    for (redemption, sealed) in (0..).zip(taken) {
        assert_eq!(take(&world, "20001", 1_000, redemption).await, sealed, "and keeps it");
    }
    world.verify().await;
}

pub async fn a_redemption_that_asks_at_once_on_two_nodes_gets_one_code(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    import(&world, "20001", codes(0..100, 1_000), 0).await;
    for redemption in 0..10_u128 {
        let taken = at_once((0..6_usize).map(|index| {
            let node = nodes[index % 2].clone();
            async move { take(&node, "20001", 1_000, redemption).await }
        }))
        .await;
        assert!(taken[0].is_some() && taken.iter().all(|code| *code == taken[0]), "{taken:?}");
    }
    assert_eq!(stock(&world).await, [of("20001", 1_000, 90, 10)]);
    world.verify().await;
}

pub async fn codes_imported_at_once_on_two_nodes_are_there_once(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    let imports = at_once((0..4_usize).map(|index| {
        let node = nodes[index % 2].clone();
        let mut codes = codes(0..200, 1_000);
        // Each in an order of its own.
        codes.rotate_left(index * 50);
        if index % 2 == 1 {
            codes.reverse();
        }
        async move { import(&node, "20001", codes, 0).await }
    }))
    .await;
    assert_eq!(imports.iter().map(|(imported, _)| imported).sum::<u64>(), 200);
    assert_eq!(imports.iter().map(|(_, skipped)| skipped).sum::<u64>(), 600);
    assert_eq!(stock(&world).await, [of("20001", 1_000, 200, 0)]);
    world.verify().await;
}

pub async fn importing_and_handing_out_at_once_lose_no_code(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let other_node = world.on_another_node(&bed).await;
    let importing = {
        let world = world.clone();
        tokio::spawn(async move {
            for batch in 0..20_u16 {
                import(&world, "20001", codes(batch * 5..batch * 5 + 5, 1_000), i64::from(batch)).await;
            }
        })
    };
    let mut taken = BTreeSet::new();
    let mut redemption = 0;
    loop {
        let all_is_imported = importing.is_finished();
        match take(&other_node, "20001", 1_000, redemption).await {
            Some(sealed) => {
                assert!(taken.insert(sealed.bytes), "each code once");
                redemption += 1;
            }
            None if all_is_imported => break,
            None => tokio::task::yield_now().await,
        }
    }
    importing.await.expect("all is imported");
    assert_eq!(taken.len(), 100);
    assert_eq!(stock(&world).await, [of("20001", 1_000, 0, 100)]);
    world.verify().await;
}

pub async fn a_thousand_codes_are_imported_together(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let count = u16::try_from(giftd_domain::limits::IMPORT_CODES).expect("a count");
    assert_eq!(import(&world, "20001", codes(0..count, 1_000), 0).await, (u64::from(count), 0));
    assert_eq!(import(&world, "20001", codes(0..count, 1_000), 1).await, (0, u64::from(count)));
    assert_eq!(stock(&world).await, [of("20001", 1_000, u64::from(count), 0)]);
}

pub async fn a_code_that_came_after_its_redemption_was_released_is_in_stock_again(bed: Bed) {
    let world = World::new(&bed).await;
    let order = world.place_and_send(choosing(world.production, "order", &[1_000])).await;
    let gift = gift_key(world.production, order, 1);
    for id in [1, 2] {
        world.reserved(redeeming(gift, id, 400, now())).await;
    }
    // Two asked for the first at once: one before there were codes, and one after.
    assert_eq!(take(&world, "20001", 1_000, 1).await, None);
    import(&world, "20001", codes(0..2, 1_000), 0).await;
    let late = take(&world, "20001", 1_000, 1).await.expect("a code");
    let released = world.supply(gift, 1, Supplied::Refused, after(10)).await;
    assert_eq!(stock(&world).await, [of("20001", 1_000, 1, 1)]);
    for _ in 0..2 {
        assert_eq!(world.supply(gift, 1, Supplied::Code(late.clone()), after(11)).await, released);
        assert_eq!(stock(&world).await, [of("20001", 1_000, 2, 0)]);
    }
    // What a redemption keeps, nobody takes from it.
    let kept = take(&world, "20001", 1_000, 2).await.expect("a code");
    world.supply(gift, 2, Supplied::Code(kept.clone()), after(12)).await;
    world.supply(gift, 2, Supplied::Code(kept), after(13)).await;
    assert_eq!(stock(&world).await, [of("20001", 1_000, 1, 1)]);
    world.verify().await;
}
