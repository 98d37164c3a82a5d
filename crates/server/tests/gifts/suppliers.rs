//! What suppliers say, and what becomes of it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use giftd::clock::Clock;
use giftd::supplier::{Answer, Code, Supplier, in_stock, reveal, supply, supply_from};
use giftd_domain::Timestamp;
use giftd_domain::access::Environment;
use giftd_domain::gifts::redemption::{Redemption, RedemptionId, RedemptionState};
use giftd_domain::limits;
use giftd_domain::money::Money;

use crate::bed::{Bed, Database, FACE, Given, PRODUCT, balanced, import, on, sent_gift, stock};

fn noon() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().expect("an instant")
}

/// Doesn't answer the first time.
#[derive(Default)]
struct Slow {
    asked: AtomicU32,
}

#[async_trait]
impl Supplier for Slow {
    async fn ask(&self, product_id: &str, face: Money, redemption: RedemptionId) -> Answer {
        assert_eq!((product_id, face, redemption), (PRODUCT, Money::usd(FACE), RedemptionId(1)));
        match self.asked.fetch_add(1, Ordering::Relaxed) {
            0 => std::future::pending().await,
            _ => Answer::Code(Code { code: "LATE".to_owned(), pin: None }),
        }
    }
}

#[test]
fn a_supplier_that_times_out_keeps_the_reservation_and_is_asked_again_with_the_same_id() {
    on(Database::Sqlite, async |bed: Bed| {
        let clock = Clock::fixed(noon());
        let giftd = bed.node(clock.clone()).await;
        let gift = sent_gift(&giftd, Given::at(noon())).await;
        let (redemption, slow) = (gift.reserved(&giftd, 1).await, Slow::default());

        let (said, ()) = tokio::join!(supply_from(&giftd, &slow, gift.key, &redemption), async {
            while slow.asked.load(Ordering::Relaxed) == 0 {
                tokio::task::yield_now().await;
            }
            clock.advance(Duration::from_secs(limits::SUPPLIER_SECONDS));
        });
        let said = said.expect("an answer");
        assert_eq!((said.state, gift.now(&giftd).await.reserved), (RedemptionState::Reserved, FACE));
        assert_eq!(reveal(&giftd, &said), None);

        let said = supply_from(&giftd, &slow, gift.key, &said).await.expect("an answer");
        assert_eq!(said.state, RedemptionState::Done);
        assert_eq!(reveal(&giftd, &said).map(|code| code.code).as_deref(), Some("LATE"));
        assert_eq!(said, gift.redemption(&giftd, 1).await);
        let now = gift.now(&giftd).await;
        assert_eq!((now.reserved, now.redeemed), (0, FACE));
        let again = supply_from(&giftd, &slow, gift.key, &said).await.expect("an answer");
        assert_eq!((again, slow.asked.load(Ordering::Relaxed)), (said, 2), "nobody is asked for what is settled");
        balanced(giftd.store.as_ref()).await;
    });
}

#[test]
fn out_of_stock_takes_nothing_from_the_gift() {
    on(Database::Sqlite, async |bed: Bed| {
        let giftd = bed.node(Clock::fixed(noon())).await;
        let gift = sent_gift(&giftd, Given::at(noon())).await;
        let redemption = gift.reserved(&giftd, 1).await;
        let said = supply(&giftd, gift.key, Environment::Production, &redemption).await.expect("an answer");
        assert_eq!((said.state, reveal(&giftd, &said)), (RedemptionState::Released, None));
        let now = gift.now(&giftd).await;
        assert_eq!((now.reserved, now.redeemed), (0, 0));
        balanced(giftd.store.as_ref()).await;
    });
}

#[test]
fn a_sandbox_needs_no_stock_and_its_codes_are_for_tests() {
    on(Database::Sqlite, async |bed: Bed| {
        let giftd = bed.node(Clock::fixed(noon())).await;
        import(&giftd, &["REAL"]).await;
        let gift = sent_gift(&giftd, Given { environment: Environment::Sandbox, ..Given::at(noon()) }).await;
        let redemption = gift.reserved(&giftd, 1).await;
        let said = supply(&giftd, gift.key, Environment::Sandbox, &redemption).await.expect("an answer");
        let code = reveal(&giftd, &said).expect("a code");
        assert!(code.code.starts_with("TEST-") && code.pin.is_some());
        assert_eq!(stock(giftd.store.as_ref()).await, (1, 0), "no real code was touched");
    });
}

#[test]
fn what_is_in_stock_is_what_can_be_handed_out_and_a_sandbox_has_everything() {
    on(Database::Sqlite, async |bed: Bed| {
        let giftd = bed.node(Clock::fixed(noon())).await;
        import(&giftd, &["A"]).await;
        let production = in_stock(&giftd, Environment::Production).await.expect("an answer");
        assert!(production.has(PRODUCT, FACE));
        assert!(!production.has(PRODUCT, FACE + 1) && !production.has("20001", FACE));
        assert!(in_stock(&giftd, Environment::Sandbox).await.expect("an answer").has("20001", 1));
    });
}

#[test]
fn a_code_that_someone_moved_to_another_redemption_is_not_shown() {
    on(Database::Sqlite, async |bed: Bed| {
        let giftd = bed.node(Clock::fixed(noon())).await;
        import(&giftd, &["A", "B"]).await;
        let gift = sent_gift(&giftd, Given::at(noon())).await;
        let mut done = Vec::new();
        for id in [1, 2] {
            let redemption = gift.reserved(&giftd, id).await;
            done.push(supply(&giftd, gift.key, Environment::Production, &redemption).await.expect("an answer"));
        }
        assert!(done.iter().all(|one| reveal(&giftd, one).is_some()));
        let swapped = Redemption { code: done[0].code.clone(), ..done[1].clone() };
        assert_eq!(reveal(&giftd, &swapped), None);
    });
}

#[test]
fn a_code_sealed_under_a_lost_key_stays_the_redemptions_until_the_key_is_back() {
    on(Database::Sqlite, async |bed: Bed| {
        let giftd = bed.node(Clock::fixed(noon())).await;
        // As if it had been imported under another codes.key.
        let elsewhere = other_keys();
        let code = Code { code: "A".to_owned(), pin: None };
        let place = giftd::supplier::sealed::Place::Stock { product_id: PRODUCT, face_value: FACE };
        let new = giftd_domain::gifts::redemption::NewCode {
            hash: [1; 32],
            face_value: FACE,
            sealed: giftd::supplier::sealed::seal(&elsewhere, [1; 24], place, &code),
        };
        giftd.store.import_codes(PRODUCT, vec![new], noon()).await.expect("imported");
        let gift = sent_gift(&giftd, Given::at(noon())).await;
        let redemption = gift.reserved(&giftd, 1).await;
        let said = supply(&giftd, gift.key, Environment::Production, &redemption).await.expect("an answer");
        assert_eq!((said.state, stock(giftd.store.as_ref()).await), (RedemptionState::Reserved, (0, 1)));
    });
}

fn other_keys() -> giftd::keys::SecretKey {
    giftd::keys::SecretKey::from_bytes([9; 32])
}
