//! The catalog and the rates.

use std::collections::BTreeMap;

use giftd_domain::Timestamp;
use giftd_domain::catalog::{BrandedCard, Catalog, ChoiceCard, ChoiceRange, Prices, Reference};
use giftd_domain::fx::{Rate, StoredRate};
use giftd_domain::gifts::redemption::KnownCard;
use giftd_domain::money::Currency;
use giftd_domain::orders::CardType;
use tokio_postgres::Row;

use super::batch::{Batch, parameters};
use super::error::{Failure, broken};
use super::operation::Connection;
use super::rows::{Columns as _, micros, name, storable};
use crate::CatalogImport;

/// The version of what is listed.
pub(super) async fn reference_version(connection: &Connection) -> Result<i64, Failure> {
    let statement = connection.prepare_cached("SELECT version FROM reference").await?;
    connection.query_one(&statement, &[]).await?.value("version")
}

/// What is listed, and the rates. Inside a snapshot.
pub(super) async fn reference(connection: &Connection) -> Result<Reference, Failure> {
    let version = reference_version(connection).await?;
    let statement = connection
        .prepare_cached(
            "SELECT product_id, card_type, brand_name, product_name, country_code, currency, price_type, prices,
                description, terms, image_url FROM products WHERE listed",
        )
        .await?;
    let mut catalog = Catalog::default();
    for row in &connection.query(&statement, &[]).await? {
        match row.named::<CardType>("card_type")? {
            CardType::BrandedCard => {
                let card = branded_card(row)?;
                catalog.branded.insert(card.product_id.clone(), card);
            }
            CardType::ChoiceCard => {
                let card = choice_card(row)?;
                catalog.choice.insert(card.product_id.clone(), card);
            }
        }
    }
    Ok(Reference { version, catalog, rates: rates(connection).await? })
}

/// A branded card that was ever imported.
pub(super) async fn known_card(connection: &Connection, product_id: &str) -> Result<Option<KnownCard>, Failure> {
    if !storable(product_id) {
        return Ok(None);
    }
    let statement = connection
        .prepare_cached(
            "SELECT product_id, brand_name, product_name, country_code, currency, price_type, prices, description, terms,
                image_url, listed
             FROM products WHERE product_id = $1 AND card_type = $2",
        )
        .await?;
    let found = connection.query_opt(&statement, &[&product_id, &name(CardType::BrandedCard)]).await?;
    found.map(|row| Ok(KnownCard { card: branded_card(&row)?, listed: row.value("listed")? })).transpose()
}

fn branded_card(row: &Row) -> Result<BrandedCard, Failure> {
    Ok(BrandedCard {
        product_id: row.value("product_id")?,
        brand_name: row.value("brand_name")?,
        product_name: row.value("product_name")?,
        country_code: row.value("country_code")?,
        currency: row.currency("currency")?,
        prices: prices(row)?,
        description: row.value("description")?,
        terms: row.value("terms")?,
        image_url: row.value("image_url")?,
    })
}

fn choice_card(row: &Row) -> Result<ChoiceCard, Failure> {
    let Prices::Range { min, max, .. } = prices(row)? else {
        return Err(broken("a choice card has a list of prices").into());
    };
    Ok(ChoiceCard {
        product_id: row.value("product_id")?,
        product_name: row.value("product_name")?,
        currency: row.currency("currency")?,
        range: ChoiceRange { min, max },
        image_url: row.value("image_url")?,
    })
}

fn prices(row: &Row) -> Result<Prices, Failure> {
    let (price_type, text): (&str, &str) = (row.value("price_type")?, row.value("prices")?);
    let numbers: Result<Vec<i64>, _> = text.split(',').map(str::parse).collect();
    match (price_type, numbers.as_deref()) {
        ("FIXED", Ok(prices)) => Ok(Prices::Fixed(prices.to_vec())),
        ("RANGE", Ok(&[min, max, step])) => Ok(Prices::Range { min, max, step }),
        _ => Err(broken(format!("`{text}` are no prices")).into()),
    }
}

async fn rates(connection: &Connection) -> Result<BTreeMap<String, StoredRate>, Failure> {
    let statement = connection.prepare_cached("SELECT currency, rate, set_at FROM fx_rates").await?;
    let mut rates = BTreeMap::new();
    for row in &connection.query(&statement, &[]).await? {
        let currency = row.currency("currency")?;
        let rate = Rate::parse(row.value("rate")?).map_err(|error| broken(error.to_string()))?;
        rates.insert(currency.code().to_owned(), StoredRate { currency, rate, set_at: row.instant("set_at")? });
    }
    Ok(rates)
}

/// Products, column by column.
#[derive(Default)]
struct Products {
    ids: Vec<String>,
    card_types: Vec<&'static str>,
    brand_names: Vec<Option<String>>,
    product_names: Vec<String>,
    country_codes: Vec<Option<String>>,
    currencies: Vec<&'static str>,
    price_types: Vec<&'static str>,
    prices: Vec<String>,
    descriptions: Vec<Option<String>>,
    terms: Vec<Option<String>>,
    image_urls: Vec<Option<String>>,
}

impl Products {
    fn of(catalog: &Catalog) -> Self {
        let mut products = Self::default();
        for card in catalog.branded.values() {
            products.brand_names.push(Some(card.brand_name.clone()));
            products.country_codes.push(Some(card.country_code.clone()));
            products.descriptions.push(card.description.clone());
            products.terms.push(card.terms.clone());
            products.image_urls.push(card.image_url.clone());
            products.add(CardType::BrandedCard, &card.product_id, &card.product_name, card.currency, &card.prices);
        }
        for card in catalog.choice.values() {
            products.brand_names.push(None);
            products.country_codes.push(None);
            products.descriptions.push(None);
            products.terms.push(None);
            products.image_urls.push(card.image_url.clone());
            let range = Prices::Range { min: card.range.min, max: card.range.max, step: 1 };
            products.add(CardType::ChoiceCard, &card.product_id, &card.product_name, card.currency, &range);
        }
        products
    }

    /// What both kinds have.
    fn add(&mut self, card_type: CardType, id: &str, product_name: &str, currency: Currency, prices: &Prices) {
        let (price_type, numbers) = match prices {
            Prices::Fixed(prices) => ("FIXED", prices.clone()),
            Prices::Range { min, max, step } => ("RANGE", vec![*min, *max, *step]),
        };
        self.ids.push(id.to_owned());
        self.card_types.push(name(card_type));
        self.product_names.push(product_name.to_owned());
        self.currencies.push(currency.code());
        self.price_types.push(price_type);
        self.prices.push(numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
    }
}

/// Replaces the catalog, or tells what that would do. Inside a transaction.
pub(super) async fn import_catalog(
    connection: &Connection,
    catalog: &Catalog,
    now: Timestamp,
    dry_run: bool,
) -> Result<CatalogImport, Failure> {
    // First, so that imports at once come one after the other.
    connection.execute("SELECT version FROM reference FOR UPDATE", &[]).await?;
    let statement = connection.prepare_cached("SELECT product_id, card_type, currency, listed FROM products").await?;
    // By product id: its kind, its currency, whether it is listed.
    let mut before: BTreeMap<String, (String, String, bool)> = BTreeMap::new();
    for row in &connection.query(&statement, &[]).await? {
        let product = (row.value("card_type")?, row.value("currency")?, row.value("listed")?);
        before.insert(row.value("product_id")?, product);
    }
    let products = Products::of(catalog);
    let mut import = CatalogImport::default();
    for ((id, card_type), currency) in products.ids.iter().zip(&products.card_types).zip(&products.currencies) {
        let list = match before.get(id) {
            Some((kind, code, _)) if (kind.as_str(), code.as_str()) != (*card_type, *currency) => &mut import.refused,
            Some((_, _, true)) => &mut import.kept,
            _ => &mut import.added,
        };
        list.push(id.clone());
    }
    let is_named = |id: &String| catalog.branded.contains_key(id) || catalog.choice.contains_key(id);
    let gone = before.iter().filter(|(id, (_, _, listed))| *listed && !is_named(id));
    import.removed = gone.map(|(id, _)| id.clone()).collect();
    if dry_run || !import.refused.is_empty() {
        return Ok(import);
    }
    let mut batch = Batch::new(connection);
    batch.add("UPDATE products SET listed = FALSE WHERE listed", Vec::new()).await?;
    add_products(&mut batch, products, now).await?;
    changed(&mut batch).await?;
    batch.send().await?;
    Ok(import)
}

async fn add_products(batch: &mut Batch<'_>, products: Products, now: Timestamp) -> Result<(), Failure> {
    let Products { ids, card_types, brand_names, product_names, country_codes, currencies, .. } = products;
    let Products { price_types, prices, descriptions, terms, image_urls, .. } = products;
    batch
        .add(
            "INSERT INTO products (product_id, card_type, brand_name, product_name, country_code, currency, price_type,
                prices, description, terms, image_url, listed, updated_at)
             SELECT *, TRUE, $12 FROM unnest($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TEXT[],
                $7::TEXT[], $8::TEXT[], $9::TEXT[], $10::TEXT[], $11::TEXT[])
             ON CONFLICT (product_id) DO UPDATE SET listed = TRUE, brand_name = excluded.brand_name,
                product_name = excluded.product_name, country_code = excluded.country_code,
                price_type = excluded.price_type, prices = excluded.prices, description = excluded.description,
                terms = excluded.terms, image_url = excluded.image_url, updated_at = excluded.updated_at",
            parameters![
                ids,
                card_types,
                brand_names,
                product_names,
                country_codes,
                currencies,
                price_types,
                prices,
                descriptions,
                terms,
                image_urls,
                micros(now),
            ],
        )
        .await
}

/// Sets rates; others stay. Inside a transaction.
pub(super) async fn set_rates(connection: &Connection, rates: &[StoredRate]) -> Result<(), Failure> {
    // Of a currency that is given twice the last counts.
    let rates: BTreeMap<&str, &StoredRate> = rates.iter().map(|rate| (rate.currency.code(), rate)).collect();
    let currencies: Vec<&str> = rates.keys().copied().collect();
    let values: Vec<String> = rates.values().map(|stored| stored.rate.to_string()).collect();
    let set_at: Vec<i64> = rates.values().map(|stored| micros(stored.set_at)).collect();
    let mut batch = Batch::new(connection);
    // First the version's row, as importing does.
    changed(&mut batch).await?;
    batch
        .add(
            "INSERT INTO fx_rates (currency, rate, set_at)
             SELECT * FROM unnest($1::TEXT[], $2::TEXT[], $3::BIGINT[])
             ON CONFLICT (currency) DO UPDATE SET rate = excluded.rate, set_at = excluded.set_at",
            parameters![currencies, values, set_at],
        )
        .await?;
    batch.send().await
}

/// Lets every node notice.
async fn changed(batch: &mut Batch<'_>) -> Result<(), Failure> {
    batch.add("UPDATE reference SET version = version + 1", Vec::new()).await
}
