//! `giftd_store::copy`, from each database to each.

use std::collections::{BTreeMap, BTreeSet};

use giftd_domain::access::Environment;
use giftd_domain::catalog::ChoiceRange;
use giftd_domain::gifts::redemption::Supplied;
use giftd_domain::gifts::verification::VerificationRequested;
use giftd_domain::ids::OrderId;
use giftd_domain::money::Money;
use giftd_domain::orders::place::PlaceOrder;
use giftd_domain::orders::resend::Resend;
use giftd_domain::orders::{CardType, EmailSetting, OrderStatus};
use giftd_store::{Copied, CopyError, CopyProgress, Placed, StoreError, copy};
use jiff::SignedDuration;
use rusqlite::types::Value;

use crate::bed::Database::{Postgres, Sqlite};
use crate::bed::{Bed, on_two, runtime};
use crate::world::{
    A_MONTH, World, account_of, after, again, choosing, code, costing, failed, gift_key, now, redeeming, resending,
    retry, scheduled, sent,
};
use crate::{codes, organizations, reference, sandbox_mails, templates};

/// Makes each named promise a test of each way.
macro_rules! ways {
    ($($promise:ident)+) => {
        mod sqlite_to_postgres { use super::*; $(#[test] fn $promise() { on_two(Sqlite, Postgres, super::$promise); })+ }
        mod postgres_to_sqlite { use super::*; $(#[test] fn $promise() { on_two(Postgres, Sqlite, super::$promise); })+ }
        mod sqlite_to_sqlite { use super::*; $(#[test] fn $promise() { on_two(Sqlite, Sqlite, super::$promise); })+ }
        mod postgres_to_postgres { use super::*; $(#[test] fn $promise() { on_two(Postgres, Postgres, super::$promise); })+ }
    };
}

ways! {
    every_row_of_every_table_arrives
    work_goes_on_on_a_copy
    a_copy_goes_into_a_new_database_only
    nothing_is_copied_that_the_target_does_not_know
    a_copy_that_fails_leaves_nothing
    books_that_do_not_balance_are_not_copied
    a_database_that_is_not_giftds_is_not_copied
    nobody_writes_to_the_source_while_it_is_copied_and_all_read
}

async fn copied(from: &Bed, to: &Bed) -> Copied {
    copy(from.url(), to.url(), |_| ()).await.expect("copied")
}

async fn refused(from: &Bed, to: &Bed) -> CopyError {
    copy(from.url(), to.url(), |_| ()).await.expect_err("refused")
}

/// The orders of a full database that more is done with.
struct Full {
    world: World,
    /// The command of an order that is done.
    placed: PlaceOrder,
    /// An order with a gift whose mail waits for its next try.
    waiting: OrderId,
    /// A choice gift, partly redeemed.
    redeemed: OrderId,
}

/// Something of everything that giftd keeps.
async fn fill(bed: &Bed) -> Full {
    let world = World::new(bed).await;
    let (store, organization) = (&world.store, world.organization);
    let fingerprints = BTreeMap::from([("links".to_owned(), "a".to_owned()), ("codes".to_owned(), "b".to_owned())]);
    assert!(store.record_key_fingerprints(&fingerprints).await.expect("recorded"));
    store.set_choice_range(organization, ChoiceRange { min: 500, max: 7_000 }).await.expect("set");
    store.set_logo(organization, Some((0..=255).collect())).await.expect("set");
    store.set_postal_line(organization, Some("1 Main Street, 本")).await.expect("set");
    store.create_app(&organizations::app(&world, "app_1", 0)).await.expect("an app");
    store.create_app(&organizations::app(&world, "app_2", 1)).await.expect("an app");
    store.revoke_app("app_2", after(2)).await.expect("revoked");
    for name in ["Plain", "Gone"] {
        store.create_template(world.production, &templates::content(name)).await.expect("a template");
    }
    store.delete_template(world.production, giftd_domain::ids::TemplateId(14), after(2)).await.expect("deleted");
    let catalog = reference::catalog([reference::branded("20001", "JPY")], [reference::choice("55")]);
    store.import_catalog(&catalog, now(), false).await.expect("a catalog");
    store.set_rates(&[reference::rate("JPY", "0.006675")]).await.expect("a rate");
    store
        .import_codes("20001", (0..3).map(|number| codes::new_code(number, 500)).collect(), now())
        .await
        .expect("codes");
    let id = giftd_domain::gifts::redemption::RedemptionId(77);
    store.take_code("20001", 500, id, now()).await.expect("an answer").expect("a code");
    store.count_test_mail(world.production, now()).await.expect("counted");
    let mails = vec![sandbox_mails::mail(1, "a@example.com", None), sandbox_mails::mail(2, "b@example.com", None)];
    store.keep_mails(world.sandbox, mails, after(3), 5).await.expect("kept");

    let plain = world.command("done", 2);
    let placed = PlaceOrder {
        fingerprint: [255; 32],
        fx_rate: Some(reference::rate("JPY", "0.006675").rate),
        email_setting: EmailSetting { message: Some("Zwölf\n\t🎁".to_owned()), ..plain.email_setting.clone() },
        ..plain
    };
    let done = world.place_and_send(placed.clone()).await;
    let moved = Resend {
        now: after(10),
        ..resending(world.production, done, &[("r1@example.com", Some("new@example.com"))], now())
    };
    world.resend(moved).await;
    world.deliver_all(after(11)).await;
    let asked = store.request_verification(gift_key(world.production, done, 2), 1, after(12)).await.expect("an answer");
    assert_eq!(asked, VerificationRequested::Requested { number: 1 });
    store.verify(gift_key(world.production, done, 2), 1, 1, after(13)).await.expect("an answer");

    let redeemed = world.place_and_send(choosing(world.production, "choice", &[5_000, 2_000])).await;
    let gift = gift_key(world.production, redeemed, 1);
    world.redeem(gift, u128::MAX, 1_000, after(14)).await;
    world.reserved(redeeming(gift, 2, 500, after(15))).await;
    world.reserved(redeeming(gift, 3, 600, after(15))).await;
    world.supply(gift, 3, Supplied::Refused, after(16)).await;

    world.place(costing(world.production, "fails", &[300])).await;
    let failing = world.claim(after(17), 10).await;
    world.settle(failing.iter().map(|mail| failed(mail, after(17))).collect(), after(17)).await;
    let later = PlaceOrder { timing: scheduled(now() + A_MONTH * 3), ..world.command("canceled", 1) };
    let canceled = world.place(later).await.summary.order_id;
    world.cancel(world.production, canceled, after(18)).await;
    let later = PlaceOrder { timing: scheduled(now() + A_MONTH * 3), ..world.command("scheduled", 1) };
    world.place(later).await;
    world.jump(SignedDuration::from_hours(48), after(19)).await;
    let other = World::beside(world.store.clone(), "Émile & Söhne").await;
    other.begin_move(other.sandbox, SignedDuration::from_hours(24), after(20)).await.expect("it moves");

    let waiting = world.place(world.command("waiting", 3)).await.summary.order_id;
    let claimed = world.claim(after(21), 2).await;
    world.settle(vec![sent(&claimed[0], after(21)), retry(&claimed[1], after(21), after(60))], after(21)).await;
    world.verify().await;
    Full { world, placed, waiting, redeemed }
}

/// All rows of all tables of a file, in their order.
fn contents(bed: &Bed, tables: &BTreeSet<String>) -> BTreeMap<String, Vec<String>> {
    let sqlite = bed.sqlite();
    let rows = |table: &String| {
        let mut statement = sqlite.prepare(&format!("SELECT * FROM {table}")).expect(table);
        let columns = statement.column_count();
        let rows = statement
            .query_map([], |row| (0..columns).map(|column| row.get::<_, Value>(column)).collect::<Result<Vec<_>, _>>());
        let mut rows: Vec<_> = rows.expect(table).map(|row| format!("{:?}", row.expect("a row"))).collect();
        rows.sort();
        (table.clone(), rows)
    };
    tables.iter().map(rows).collect()
}

async fn every_row_of_every_table_arrives(from: Bed, to: Bed) {
    drop(fill(&from).await);
    let Copied { tables, books } = copied(&from, &to).await;
    let mut known = from.tables().await;
    assert!(known.remove("schema_migrations"));
    assert_eq!(tables.keys().cloned().collect::<BTreeSet<_>>(), known, "each table is copied");
    for (table, rows) in &tables {
        assert!(*rows > 0, "this test has to put something into {table}");
        let count = format!("SELECT COUNT(*) FROM {table}");
        let rows = i64::try_from(*rows).expect("a count");
        assert_eq!((from.number(&count).await, to.number(&count).await), (rows, rows), "{table}");
    }
    assert_eq!((books.accounts, books.orders), (4, 6));
    for sql in [
        "SELECT SUM(available) FROM accounts",
        "SELECT SUM(pending * account_id) FROM accounts",
        "SELECT SUM(issued * account_id) FROM accounts",
        "SELECT SUM(available_after) FROM ledger",
    ] {
        let sql = &format!("SELECT CAST(({sql}) AS BIGINT)");
        assert_eq!(from.number(sql).await, to.number(sql).await, "{sql}");
    }
    assert_eq!(World::beside(to.open().await, "Next").await.verify().await.accounts, 6);
}

#[test]
fn there_and_back_again_gives_the_same_rows() {
    on_two(Sqlite, Postgres, async |here: Bed, there: Bed| {
        drop(fill(&here).await);
        copied(&here, &there).await;
        let back = here.beside("back.db");
        copied(&there, &back).await;
        let tables = here.tables().await;
        let (before, after) = (contents(&here, &tables), contents(&back, &tables));
        for table in &tables {
            assert!(!before[table].is_empty());
            assert_eq!(before[table], after[table], "{table}");
        }
    });
}

async fn work_goes_on_on_a_copy(from: Bed, to: Bed) {
    let Full { world, placed, waiting, redeemed } = fill(&from).await;
    let fingerprints = world.store.key_fingerprints().await.expect("an answer");
    let balances = world.balances().await;
    let World { organization, production, sandbox, .. } = world;
    drop(world);
    copied(&from, &to).await;
    let world = World { store: to.open().await, organization, production, sandbox };
    assert_eq!(world.store.key_fingerprints().await.expect("an answer"), fingerprints);
    assert_eq!(world.balances().await, balances);
    // A key that was used stays used, money that was taken stays taken.
    assert!(matches!(world.try_place(again(&placed)).await, Placed::Known { same_request: true, .. }));
    world.deliver_all(after(120)).await;
    assert_eq!(world.order(waiting).await.summary.status, OrderStatus::Complete);
    // What was reserved is settled, and the rest of the gift is redeemed.
    let gift = gift_key(production, redeemed, 1);
    world.supply(gift, 2, Supplied::Code(code("after")), after(130)).await.expect("it was reserved");
    world.redeem(gift, 9, 3_500, after(131)).await;
    let order = world.place_and_send(PlaceOrder { now: after(140), ..world.command("after", 2) }).await;
    assert_eq!(world.order(order).await.summary.status, OrderStatus::Complete);
    let turned = world.turn(now() + A_MONTH * 8).await;
    assert!(turned.expired > 3, "{turned:?}");
    // Numbers go on after the last.
    let next = World::beside(world.store.clone(), "Next").await;
    assert!(next.organization > organization && next.production > sandbox, "{:?}", next.organization);
    let sandbox = account_of(&*world.store, next.organization, Environment::Sandbox).await;
    assert_eq!(Money::usd(sandbox.balances.available), Money::usd(1_000_000));
    let card = PlaceOrder { card_type: CardType::ChoiceCard, ..costing(sandbox.account_id, "first", &[500]) };
    assert!(matches!(world.try_place(card).await, Placed::New(_)));
    world.verify().await;
}

async fn a_copy_goes_into_a_new_database_only(from: Bed, to: Bed) {
    drop(World::new(&from).await);
    drop(to.open().await);
    to.execute("INSERT INTO keys (name, fingerprint) VALUES ('links', 'x')").await;
    let error = refused(&from, &to).await;
    assert!(matches!(&error, CopyError::NotEmpty(found) if found["keys"] == 1 && found.len() == 1), "{error}");
    assert!(error.to_string().contains("1 rows in keys"), "{error}");
    to.execute("DELETE FROM keys").await;
    copied(&from, &to).await;
    let error = refused(&from, &to).await;
    assert!(matches!(&error, CopyError::NotEmpty(found) if found["accounts"] == 2), "{error}");
}

async fn nothing_is_copied_that_the_target_does_not_know(from: Bed, to: Bed) {
    drop(World::new(&from).await);
    from.execute("CREATE TABLE later (id BIGINT PRIMARY KEY)").await;
    let error = refused(&from, &to).await;
    assert!(error.to_string().contains("later"), "{error}");
    from.execute("DROP TABLE later").await;
    from.execute("ALTER TABLE gifts ADD COLUMN later TEXT").await;
    let error = refused(&from, &to).await;
    assert!(error.to_string().contains("column later of Text in gifts"), "{error}");
}

async fn a_copy_that_fails_leaves_nothing(from: Bed, to: Bed) {
    drop(fill(&from).await);
    // A value that one of the last tables of the target refuses.
    match from.database {
        Sqlite => from.execute("PRAGMA ignore_check_constraints = 1; UPDATE templates SET image_size = 101").await,
        Postgres => {
            from.execute(
                "ALTER TABLE templates DROP CONSTRAINT templates_image_size_check; UPDATE templates SET image_size = 101",
            )
            .await;
        }
    }
    let error = refused(&from, &to).await;
    assert!(matches!(&error, CopyError::Store(StoreError::Broken(_))), "{error}");
    drop(to.open().await);
    for table in ["accounts", "orders", "gifts", "organizations", "templates"] {
        assert_eq!(to.number(&format!("SELECT COUNT(*) FROM {table}")).await, 0, "{table}");
    }
    assert_eq!(to.number("SELECT COUNT(*) FROM reference").await, 1, "as the migrations made it");
    from.execute("UPDATE templates SET image_size = 100").await;
    copied(&from, &to).await;
}

async fn books_that_do_not_balance_are_not_copied(from: Bed, to: Bed) {
    drop(World::new(&from).await);
    from.execute("UPDATE ledger_counts SET n = n + 1 WHERE span = 0 AND type = 'CHARGE'").await;
    let error = refused(&from, &to).await;
    assert!(matches!(&error, CopyError::Unbalanced(found) if !found.is_empty()), "{error}");
}

async fn a_database_that_is_not_giftds_is_not_copied(from: Bed, to: Bed) {
    // None is made where there was none: a name that was mistyped stays free.
    assert!(matches!(refused(&from, &to).await, CopyError::Store(_)));
    from.execute("CREATE TABLE other (id BIGINT)").await;
    assert!(matches!(refused(&from, &to).await, CopyError::Store(_)));
    assert_eq!(from.tables().await, BTreeSet::from(["other".to_owned()]));
}

#[test]
fn a_postgres_that_somebody_works_on_is_not_copied() {
    on_two(Postgres, Sqlite, async |from: Bed, to: Bed| {
        let world = World::new(&from).await;
        let error = refused(&from, &to).await;
        assert!(matches!(&error, CopyError::InUse(found) if !found.is_empty()), "{error}");
        drop(world);
        copied(&from, &to).await;
    });
}

async fn nobody_writes_to_the_source_while_it_is_copied_and_all_read(from: Bed, to: Bed) {
    drop(fill(&from).await);
    let (change, tried) = ("UPDATE organizations SET name = 'changed'", std::cell::Cell::new(0));
    let copying = copy(from.url(), to.url(), |progress| {
        if let CopyProgress::Copied { .. } = progress
            && tried.get() < 3
        {
            let look = async { (from.try_at_once(change).await, from.number("SELECT COUNT(*) FROM orders").await) };
            // On a thread of its own: waiting here would take the wake-ups of the copy, which waits on this one.
            let looked = std::thread::scope(|scope| scope.spawn(|| runtime().block_on(look)).join());
            let (written, orders) = looked.expect("the look ends well");
            let refusal = written.expect_err("the copy would not have it");
            assert!(refusal.contains("lock"), "{refusal}");
            assert_eq!(orders, 6);
            tried.set(tried.get() + 1);
        }
    });
    copying.await.expect("copied");
    assert_eq!(tried.get(), 3);
    from.try_at_once(change).await.expect("nobody is held up after it");
    assert_eq!(to.number("SELECT COUNT(*) FROM organizations WHERE name = 'changed'").await, 0);
}
