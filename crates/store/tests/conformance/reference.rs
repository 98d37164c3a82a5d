//! Catalog and rates.

use giftd_domain::catalog::{BrandedCard, Catalog, ChoiceCard, ChoiceRange, Prices, Reference};
use giftd_domain::fx::{Rate, StoredRate};
use giftd_domain::money::Currency;
use giftd_store::{CatalogImport, Store};

use crate::bed::Bed;
use crate::world::{World, after, now};

fn currency(code: &str) -> Currency {
    code.parse().expect(code)
}

pub fn branded(product_id: &str, code: &str) -> BrandedCard {
    BrandedCard {
        product_id: product_id.to_owned(),
        brand_name: "Sakura Books".to_owned(),
        product_name: "Sakura Books JP".to_owned(),
        country_code: "JPN".to_owned(),
        currency: currency(code),
        prices: Prices::Fixed(vec![1_000, 3_000, 5_000]),
        description: Some("Bücher, 本".to_owned()),
        terms: Some("Valid where shown.\nNo change.".to_owned()),
        image_url: Some("https://example.com/sakura.png".to_owned()),
    }
}

pub fn choice(product_id: &str) -> ChoiceCard {
    ChoiceCard {
        product_id: product_id.to_owned(),
        product_name: "Any brand".to_owned(),
        currency: Currency::USD,
        range: ChoiceRange { min: 500, max: 50_000 },
        image_url: None,
    }
}

pub fn catalog(
    branded: impl IntoIterator<Item = BrandedCard>,
    choice: impl IntoIterator<Item = ChoiceCard>,
) -> Catalog {
    Catalog {
        branded: branded.into_iter().map(|card| (card.product_id.clone(), card)).collect(),
        choice: choice.into_iter().map(|card| (card.product_id.clone(), card)).collect(),
    }
}

pub fn rate(code: &str, rate: &str) -> StoredRate {
    StoredRate { currency: currency(code), rate: Rate::parse(rate).expect(rate), set_at: now() }
}

/// What is there, which must have the version that is told.
async fn reference(store: &dyn Store) -> Reference {
    let reference = store.reference().await.expect("an answer");
    assert_eq!(store.reference_version().await.expect("an answer"), reference.version);
    reference
}

async fn import(store: &dyn Store, catalog: &Catalog) -> CatalogImport {
    sorted(store.import_catalog(catalog, now(), false).await.expect("an answer"))
}

fn sorted(mut import: CatalogImport) -> CatalogImport {
    for ids in [&mut import.added, &mut import.kept, &mut import.removed, &mut import.refused] {
        ids.sort();
    }
    import
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|&id| id.to_owned()).collect()
}

pub async fn there_is_no_reference_data_at_first(bed: Bed) {
    let reference = reference(&*bed.open().await).await;
    assert_eq!(reference.catalog, Catalog::default());
    assert!(reference.rates.is_empty());
}

pub async fn a_catalog_reads_back_as_imported(bed: Bed) {
    let store = bed.open().await;
    let bare = BrandedCard {
        prices: Prices::Range { min: 1_000, max: 50_000, step: 500 },
        description: None,
        terms: None,
        image_url: None,
        ..branded("20002", "USD")
    };
    let one_price = BrandedCard { prices: Prices::Fixed(vec![1]), ..branded("O'Neil's, \"the\" 20%", "KWD") };
    let design = ChoiceCard { image_url: Some("https://example.com/any.png".to_owned()), ..choice("30002") };
    let catalog = catalog([branded("20001", "JPY"), bare, one_price], [choice("30001"), design]);
    let before = reference(&*store).await.version;
    let expected = CatalogImport {
        added: ids(&["20001", "20002", "30001", "30002", "O'Neil's, \"the\" 20%"]),
        ..CatalogImport::default()
    };
    assert_eq!(import(&*store, &catalog).await, expected);
    let after = reference(&*store).await;
    assert_eq!(after.catalog, catalog);
    assert!(after.version > before, "the version grows");
    drop(store);
    assert_eq!(reference(&*bed.open().await).await, after);
}

pub async fn an_import_replaces_the_catalog(bed: Bed) {
    let store = bed.open().await;
    import(&*store, &catalog([branded("1", "JPY"), branded("2", "JPY")], [choice("3"), choice("4")])).await;
    let before = reference(&*store).await.version;
    let cheaper = BrandedCard { prices: Prices::Fixed(vec![500]), ..branded("2", "JPY") };
    let next = catalog([cheaper, branded("5", "USD")], [choice("4")]);
    assert_eq!(
        import(&*store, &next).await,
        CatalogImport { added: ids(&["5"]), kept: ids(&["2", "4"]), removed: ids(&["1", "3"]), refused: vec![] }
    );
    let after = reference(&*store).await;
    assert_eq!(after.catalog, next);
    assert!(after.version > before, "the version grows");
}

pub async fn a_product_may_be_listed_again(bed: Bed) {
    let store = bed.open().await;
    let all = catalog([branded("1", "JPY"), branded("2", "JPY")], []);
    import(&*store, &all).await;
    import(&*store, &catalog([branded("1", "JPY")], [])).await;
    let again = import(&*store, &all).await;
    assert_eq!(again, CatalogImport { added: ids(&["2"]), kept: ids(&["1"]), ..CatalogImport::default() });
    assert_eq!(reference(&*store).await.catalog, all);
    import(&*store, &Catalog::default()).await;
    assert_eq!(reference(&*store).await.catalog, Catalog::default(), "and the list may be empty");
}

pub async fn a_dry_run_tells_what_an_import_would_do_and_does_nothing(bed: Bed) {
    let store = bed.open().await;
    import(&*store, &catalog([branded("1", "JPY"), branded("2", "JPY")], [])).await;
    let before = reference(&*store).await;
    let next = catalog([branded("2", "JPY"), branded("3", "JPY")], []);
    let told = sorted(store.import_catalog(&next, now(), true).await.expect("an answer"));
    assert_eq!(reference(&*store).await, before);
    assert_eq!(told, CatalogImport { added: ids(&["3"]), kept: ids(&["2"]), removed: ids(&["1"]), refused: vec![] });
    assert_eq!(told, import(&*store, &next).await);
}

pub async fn a_changed_currency_or_kind_is_refused_as_a_whole(bed: Bed) {
    let store = bed.open().await;
    import(&*store, &catalog([branded("1", "JPY"), branded("2", "JPY"), branded("gone", "JPY")], [choice("4")])).await;
    import(&*store, &catalog([branded("1", "JPY"), branded("2", "JPY")], [choice("4")])).await;
    let before = reference(&*store).await;
    for (what, next, refused) in [
        ("a currency", catalog([branded("1", "USD"), branded("2", "JPY"), branded("5", "JPY")], []), ids(&["1"])),
        ("a kind", catalog([branded("1", "JPY"), branded("4", "USD")], [choice("2")]), ids(&["2", "4"])),
        ("the currency of what is no longer listed", catalog([branded("gone", "EUR")], []), ids(&["gone"])),
        ("the kind of what is no longer listed", catalog([], [choice("gone")]), ids(&["gone"])),
    ] {
        for dry_run in [true, false] {
            let told = sorted(store.import_catalog(&next, now(), dry_run).await.expect("an answer"));
            assert_eq!(told.refused, refused, "{what}");
            assert_eq!(reference(&*store).await, before, "{what}");
        }
    }
}

pub async fn orders_of_a_product_that_is_no_longer_listed_stay(bed: Bed) {
    let world = World::new(&bed).await;
    import(&*world.store, &catalog([branded("10001", "USD")], [])).await;
    let order = world.place(world.command("order", 2)).await;
    import(&*world.store, &Catalog::default()).await;
    assert_eq!(world.order(order.summary.order_id).await, order);
    world.deliver_all(after(1)).await;
    world.verify().await;
}

pub async fn rates_are_set_and_others_stay(bed: Bed) {
    let store = bed.open().await;
    let first = reference(&*store).await.version;
    store.set_rates(&[rate("JPY", "0.006675"), rate("EUR", "1.0842")]).await.expect("rates");
    let second = reference(&*store).await;
    assert!(second.version > first, "the version grows");
    let newer = StoredRate { set_at: after(60), ..rate("JPY", "0.000000000001") };
    store.set_rates(&[newer, rate("KWD", "999999.999999999999")]).await.expect("rates");
    let third = reference(&*store).await;
    assert!(third.version > second.version, "the version grows");
    let rates: Vec<_> = third.rates.into_iter().collect();
    let expected = [rate("EUR", "1.0842"), newer, rate("KWD", "999999.999999999999")]
        .map(|rate| (rate.currency.code().to_owned(), rate));
    assert_eq!(rates, expected);
}

pub async fn rates_and_catalog_leave_each_other_alone(bed: Bed) {
    let store = bed.open().await;
    let all = catalog([branded("1", "JPY")], [choice("2")]);
    store.set_rates(&[rate("JPY", "0.006675")]).await.expect("rates");
    import(&*store, &all).await;
    store.set_rates(&[rate("EUR", "1.0842")]).await.expect("rates");
    let reference = reference(&*store).await;
    assert_eq!((reference.catalog, reference.rates.len()), (all, 2));
}

pub async fn another_node_sees_a_new_version(bed: Bed) {
    let (here, there) = (bed.open().await, bed.open().await);
    let before = reference(&*there).await.version;
    import(&*here, &catalog([branded("1", "JPY")], [])).await;
    assert!(there.reference_version().await.expect("an answer") > before);
    assert_eq!(reference(&*there).await, reference(&*here).await);
}
