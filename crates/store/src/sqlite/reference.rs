//! The catalog and the rates.

use std::collections::BTreeMap;

use giftd_domain::Timestamp;
use giftd_domain::catalog::{BrandedCard, Catalog, ChoiceCard, ChoiceRange, Prices, Reference};
use giftd_domain::fx::{Rate, StoredRate};
use giftd_domain::gifts::redemption::KnownCard;
use giftd_domain::money::Currency;
use giftd_domain::orders::CardType;
use rusqlite::{Connection, Row, params};

use super::error::broken;
use super::group::Group;
use super::rows::{Column, Named, name};
use crate::{CatalogImport, StoreError};

/// The version of what is listed.
pub(super) fn reference_version(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.prepare_cached("SELECT version FROM reference")?.query_row([], |row| row.get(0))?)
}

/// What is listed, and the rates.
pub(super) fn reference(connection: &Connection) -> Result<Reference, StoreError> {
    let version = reference_version(connection)?;
    let mut catalog = Catalog::default();
    let mut statement = connection.prepare_cached(
        "SELECT product_id, card_type, brand_name, product_name, country_code, currency, price_type, prices,
            description, terms, image_url FROM products WHERE listed = 1",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        match row.get::<_, Named<CardType>>(1)?.0 {
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
    Ok(Reference { version, catalog, rates: rates(connection)? })
}

/// A branded card that was ever imported.
pub(super) fn known_card(connection: &Connection, product_id: &str) -> Result<Option<KnownCard>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT product_id, card_type, brand_name, product_name, country_code, currency, price_type, prices,
            description, terms, image_url, listed FROM products WHERE product_id = ?1 AND card_type = 'BRANDED_CARD'",
    )?;
    let mut rows = statement.query([product_id])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(KnownCard { card: branded_card(row)?, listed: row.get(11)? }))
}

fn branded_card(row: &Row<'_>) -> Result<BrandedCard, StoreError> {
    Ok(BrandedCard {
        product_id: row.get(0)?,
        brand_name: row.get(2)?,
        product_name: row.get(3)?,
        country_code: row.get(4)?,
        currency: row.get::<_, Column<Currency>>(5)?.0,
        prices: prices(row)?,
        description: row.get(8)?,
        terms: row.get(9)?,
        image_url: row.get(10)?,
    })
}

fn choice_card(row: &Row<'_>) -> Result<ChoiceCard, StoreError> {
    let Prices::Range { min, max, .. } = prices(row)? else {
        return Err(broken("a choice card has a list of prices"));
    };
    Ok(ChoiceCard {
        product_id: row.get(0)?,
        product_name: row.get(3)?,
        currency: row.get::<_, Column<Currency>>(5)?.0,
        range: ChoiceRange { min, max },
        image_url: row.get(10)?,
    })
}

fn prices(row: &Row<'_>) -> Result<Prices, StoreError> {
    let (price_type, text): (String, String) = (row.get(6)?, row.get(7)?);
    let numbers: Result<Vec<i64>, _> = text.split(',').map(str::parse).collect();
    match (price_type.as_str(), numbers.as_deref()) {
        ("FIXED", Ok(prices)) => Ok(Prices::Fixed(prices.to_vec())),
        ("RANGE", Ok(&[min, max, step])) => Ok(Prices::Range { min, max, step }),
        _ => Err(broken(format!("`{text}` are no prices"))),
    }
}

fn rates(connection: &Connection) -> Result<BTreeMap<String, StoredRate>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT currency, rate, set_at FROM fx_rates")?;
    let mut rows = statement.query([])?;
    let mut rates = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let currency = row.get::<_, Column<Currency>>(0)?.0;
        let rate = Rate::parse(&row.get::<_, String>(1)?).map_err(|error| broken(error.to_string()))?;
        let set_at = row.get::<_, Column<Timestamp>>(2)?.0;
        rates.insert(currency.code().to_owned(), StoredRate { currency, rate, set_at });
    }
    Ok(rates)
}

/// A product as its row has it.
struct Product<'a> {
    id: &'a str,
    card_type: CardType,
    brand_name: Option<&'a str>,
    product_name: &'a str,
    country_code: Option<&'a str>,
    currency: Currency,
    price_type: &'static str,
    prices: String,
    description: Option<&'a str>,
    terms: Option<&'a str>,
    image_url: Option<&'a str>,
}

fn products(catalog: &Catalog) -> impl Iterator<Item = Product<'_>> {
    let branded = catalog.branded.values().map(|card| {
        let (price_type, prices) = match &card.prices {
            Prices::Fixed(prices) => ("FIXED", prices.iter().map(i64::to_string).collect::<Vec<_>>().join(",")),
            Prices::Range { min, max, step } => ("RANGE", format!("{min},{max},{step}")),
        };
        Product {
            id: &card.product_id,
            card_type: CardType::BrandedCard,
            brand_name: Some(&card.brand_name),
            product_name: &card.product_name,
            country_code: Some(&card.country_code),
            currency: card.currency,
            price_type,
            prices,
            description: card.description.as_deref(),
            terms: card.terms.as_deref(),
            image_url: card.image_url.as_deref(),
        }
    });
    let choice = catalog.choice.values().map(|card| Product {
        id: &card.product_id,
        card_type: CardType::ChoiceCard,
        brand_name: None,
        product_name: &card.product_name,
        country_code: None,
        currency: card.currency,
        price_type: "RANGE",
        prices: format!("{},{},1", card.range.min, card.range.max),
        description: None,
        terms: None,
        image_url: card.image_url.as_deref(),
    });
    branded.chain(choice)
}

/// Replaces the catalog, or tells what that would do.
pub(super) fn import_catalog(
    group: &Group<'_>,
    catalog: &Catalog,
    now: Timestamp,
    dry_run: bool,
) -> Result<CatalogImport, StoreError> {
    let connection = group.connection();
    // By product id: its kind, its currency, whether it is listed.
    let before: BTreeMap<String, (CardType, Currency, bool)> = connection
        .prepare_cached("SELECT product_id, card_type, currency, listed FROM products")?
        .query_map([], |row| {
            let product = (row.get::<_, Named<_>>(1)?.0, row.get::<_, Column<_>>(2)?.0, row.get(3)?);
            Ok((row.get(0)?, product))
        })?
        .collect::<Result<_, _>>()?;
    let mut import = CatalogImport::default();
    for product in products(catalog) {
        let list = match before.get(product.id) {
            Some((card_type, currency, _)) if (*card_type, *currency) != (product.card_type, product.currency) => {
                &mut import.refused
            }
            Some((_, _, true)) => &mut import.kept,
            _ => &mut import.added,
        };
        list.push(product.id.to_owned());
    }
    let is_named = |id: &String| catalog.branded.contains_key(id) || catalog.choice.contains_key(id);
    import.removed =
        before.iter().filter(|(id, (_, _, listed))| *listed && !is_named(id)).map(|(id, _)| id.clone()).collect();
    if dry_run || !import.refused.is_empty() {
        return Ok(import);
    }
    connection.prepare_cached("UPDATE products SET listed = 0 WHERE listed = 1")?.execute([])?;
    for product in products(catalog) {
        connection
            .prepare_cached(
                "INSERT INTO products (product_id, card_type, listed, brand_name, product_name, country_code, currency,
                    price_type, prices, description, terms, image_url, updated_at)
                 VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
                 ON CONFLICT DO UPDATE SET listed = 1, brand_name = excluded.brand_name,
                    product_name = excluded.product_name, country_code = excluded.country_code,
                    price_type = excluded.price_type, prices = excluded.prices, description = excluded.description,
                    terms = excluded.terms, image_url = excluded.image_url, updated_at = excluded.updated_at",
            )?
            .execute(params![
                product.id,
                name(product.card_type),
                product.brand_name,
                product.product_name,
                product.country_code,
                product.currency.code(),
                product.price_type,
                product.prices,
                product.description,
                product.terms,
                product.image_url,
                Column(now)
            ])?;
    }
    changed(group)?;
    Ok(import)
}

/// Sets rates; others stay.
pub(super) fn set_rates(group: &Group<'_>, rates: &[StoredRate]) -> Result<(), StoreError> {
    for StoredRate { currency, rate, set_at } in rates {
        group
            .connection()
            .prepare_cached(
                "INSERT INTO fx_rates (currency, rate, set_at) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET rate = excluded.rate, set_at = excluded.set_at",
            )?
            .execute(params![currency.code(), rate.to_string(), Column(*set_at)])?;
    }
    changed(group)
}

/// Lets every node notice.
fn changed(group: &Group<'_>) -> Result<(), StoreError> {
    group.connection().prepare_cached("UPDATE reference SET version = version + 1")?.execute([])?;
    Ok(())
}
