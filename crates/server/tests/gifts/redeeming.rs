//! Redeeming with several nodes and with crashes: each code exactly once, nothing lost.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use giftd::clock::Clock;
use giftd::state::Giftd;
use giftd::supplier::sealed::{self, Place};
use giftd::supplier::{reveal, supply};
use giftd_domain::access::Environment;
use giftd_domain::gifts::RedemptionStatus;
use giftd_domain::gifts::redemption::{NotRedeemable, RedemptionId, RedemptionState, Reserved};
use tokio::task::JoinSet;

use crate::bed::{Bed, COST, Database, FACE, Given, PRODUCT, balanced, import, on, reserved, sent_gift, stock, until};

#[test]
fn a_double_tap_on_two_nodes_is_one_code_on_sqlite() {
    on(Database::Sqlite, double_tap);
}

#[test]
fn a_double_tap_on_two_nodes_is_one_code_on_postgres() {
    on(Database::Postgres, double_tap);
}

async fn double_tap(bed: Bed) {
    let nodes = [bed.node(Clock::system()).await, bed.node(Clock::system()).await];
    import(&nodes[0], &["A", "B", "C", "D", "E", "F", "G", "H"]).await;
    let gift = sent_gift(&nodes[0], Given::at(nodes[0].clock.now())).await;
    for id in 1..=4 {
        let mut taps = JoinSet::new();
        for tap in 0..6 {
            let (giftd, key) = (nodes[tap % 2].clone(), gift.key);
            let command = gift.reserve(id, giftd.clock.now());
            taps.spawn(async move {
                let redemption = reserved(&giftd, command).await;
                let said = supply(&giftd, key, Environment::Production, &redemption).await.expect("an answer");
                assert_eq!(said.state, RedemptionState::Done);
                reveal(&giftd, &said).expect("a code").code
            });
        }
        let codes: BTreeSet<String> = taps.join_all().await.into_iter().collect();
        assert_eq!(codes.len(), 1, "one code for all taps");
    }
    assert_eq!(stock(nodes[0].store.as_ref()).await, (4, 4), "one for each redemption");
    let now = gift.now(&nodes[1]).await;
    assert_eq!((now.redeemed, now.reserved, now.redemption_status), (COST, 0, RedemptionStatus::Redeemed));
    balanced(nodes[0].store.as_ref()).await;
}

#[test]
fn of_more_redemptions_than_codes_each_code_goes_to_one_and_the_others_take_nothing_on_sqlite() {
    on(Database::Sqlite, too_few_codes);
}

#[test]
fn of_more_redemptions_than_codes_each_code_goes_to_one_and_the_others_take_nothing_on_postgres() {
    on(Database::Postgres, too_few_codes);
}

async fn too_few_codes(bed: Bed) {
    let nodes = [bed.node(Clock::system()).await, bed.node(Clock::system()).await];
    import(&nodes[0], &["A", "B", "C", "D", "E"]).await;
    let mut asked = JoinSet::new();
    for number in 0..8_usize {
        let giftd = nodes[number % 2].clone();
        let gift = Arc::new(sent_gift(&giftd, Given::at(giftd.clock.now())).await);
        asked.spawn(async move {
            let redemption = gift.reserved(&giftd, 1 + number as u128).await;
            let said = supply(&giftd, gift.key, Environment::Production, &redemption).await.expect("an answer");
            let now = gift.now(&giftd).await;
            let taken = if said.state == RedemptionState::Done { FACE } else { 0 };
            assert_eq!((now.redeemed, now.reserved), (taken, 0));
            reveal(&giftd, &said).map(|code| code.code)
        });
    }
    let mut codes: Vec<String> = asked.join_all().await.into_iter().flatten().collect();
    codes.sort_unstable();
    assert_eq!(codes, ["A", "B", "C", "D", "E"]);
    assert_eq!(stock(nodes[0].store.as_ref()).await, (0, 5));
    balanced(nodes[0].store.as_ref()).await;
}

#[test]
fn two_nodes_never_reserve_more_than_there_is_on_sqlite() {
    on(Database::Sqlite, all_at_once);
}

#[test]
fn two_nodes_never_reserve_more_than_there_is_on_postgres() {
    on(Database::Postgres, all_at_once);
}

async fn all_at_once(bed: Bed) {
    let nodes = [bed.node(Clock::system()).await, bed.node(Clock::system()).await];
    import(&nodes[0], &["A", "B", "C", "D", "E", "F", "G", "H"]).await;
    let gift = sent_gift(&nodes[0], Given::at(nodes[0].clock.now())).await;
    let mut asked = JoinSet::new();
    for number in 0..8_usize {
        let (giftd, key) = (nodes[number % 2].clone(), gift.key);
        let command = gift.reserve(1 + number as u128, giftd.clock.now());
        asked.spawn(async move {
            match giftd.store.reserve(command).await.expect("an answer") {
                Reserved::New(redemption) => {
                    let said = supply(&giftd, key, Environment::Production, &redemption).await.expect("an answer");
                    assert_eq!(said.state, RedemptionState::Done);
                    true
                }
                Reserved::Refused(NotRedeemable::Used) => false,
                other => panic!("{other:?}"),
            }
        });
    }
    let done = asked.join_all().await.into_iter().filter(|done| *done).count();
    assert_eq!(done, 4, "what the gift holds, and no more");
    assert_eq!(stock(nodes[0].store.as_ref()).await, (4, 4));
    assert_eq!(gift.now(&nodes[0]).await.redeemed, COST);
    balanced(nodes[0].store.as_ref()).await;
}

#[test]
fn a_redemption_left_alone_after_its_code_was_taken_is_finished_with_that_code_on_sqlite() {
    on(Database::Sqlite, left_alone);
}

#[test]
fn a_redemption_left_alone_after_its_code_was_taken_is_finished_with_that_code_on_postgres() {
    on(Database::Postgres, left_alone);
}

async fn left_alone(bed: Bed) {
    let giftd = bed.node(Clock::system()).await;
    let gift = sent_gift(&giftd, Given::at(giftd.clock.now())).await;
    // Nodes that died half a minute ago: one before it asked, one between the answer and settling it.
    let then = giftd.clock.now() - Duration::from_secs(31);
    import(&giftd, &["FIRST", "SECOND"]).await;
    for id in [1, 2] {
        reserved(&giftd, gift.reserve(id, then)).await;
    }
    let taken = giftd.store.take_code(PRODUCT, FACE, RedemptionId(2), then).await.expect("an answer").expect("a code");
    let place = Place::Stock { product_id: PRODUCT, face_value: FACE };
    let taken = sealed::open(giftd.keys.codes(), place, &taken).expect("readable");

    let unanswered = giftd.store.unanswered().await.expect("an answer");
    assert_eq!((unanswered.redemptions, unanswered.since), (2, Some(then)));
    let node = bed.working_node().await;
    let done = until("both redemptions are DONE", async || {
        let (one, two) = (gift.redemption(&giftd, 1).await, gift.redemption(&giftd, 2).await);
        (one.state == RedemptionState::Done && two.state == RedemptionState::Done).then_some([one, two])
    })
    .await;
    let [one, two] = done.each_ref().map(|redemption| reveal(&node.giftd, redemption).expect("a code"));
    assert!(two == taken && one != taken, "the code that it had taken, and the other one");
    assert_eq!(stock(giftd.store.as_ref()).await, (0, 2));
    let now = gift.now(&giftd).await;
    assert_eq!((now.redeemed, now.reserved, now.redemption_status), (2 * FACE, 0, RedemptionStatus::PartiallyRedeemed));
    until("the stock is in the metrics", async || {
        let stock = r#"giftd_codes_available{product="10042",face_value="2500"}"#;
        node.giftd.metrics.render().contains(stock).then_some(())
    })
    .await;
    node.stop().await;
    balanced(giftd.store.as_ref()).await;
}

#[test]
fn a_redemption_left_alone_without_stock_is_released_by_the_worker() {
    on(Database::Sqlite, async |bed: Bed| {
        let giftd = bed.node(Clock::system()).await;
        let gift = sent_gift(&giftd, Given::at(giftd.clock.now())).await;
        reserved(&giftd, gift.reserve(1, giftd.clock.now() - Duration::from_secs(31))).await;
        let node = bed.working_node().await;
        until("it is RELEASED", async || {
            (gift.redemption(&giftd, 1).await.state == RedemptionState::Released).then_some(())
        })
        .await;
        assert_eq!(gift.now(&giftd).await.open(), COST);
        node.stop().await;
        balanced(giftd.store.as_ref()).await;
    });
}

#[test]
fn what_was_just_reserved_is_left_to_the_page_that_reserved_it() {
    on(Database::Sqlite, async |bed: Bed| {
        let giftd: Arc<Giftd> = bed.node(Clock::system()).await;
        let gift = sent_gift(&giftd, Given::at(giftd.clock.now())).await;
        import(&giftd, &["A"]).await;
        gift.reserved(&giftd, 1).await;
        assert_eq!(giftd.store.claim_redemptions(giftd.clock.now(), 10).await.expect("an answer"), []);
    });
}
