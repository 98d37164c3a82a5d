//! A catalog file: `{"brandedCards": […], "choiceCards": […]}` with the API's field names, read strictly.

use std::collections::BTreeMap;

use giftd_domain::catalog::{BrandedCard, Catalog, ChoiceCard, ChoiceRange, Prices};
use giftd_domain::limits;
use giftd_domain::money::Currency;
use giftd_domain::problems::Problems;
use giftd_domain::text::{self, NotAText};
use rust_decimal::Decimal;

use super::output::Failure;
use crate::api::catalog::branded::PriceType;
use crate::api::fields::{Fields, read_object};

/// Characters of an image's URL.
const URL_CHARACTERS: usize = 2_000;

/// The catalog of a file's bytes, or everything that is wrong with it, by path.
pub fn read(bytes: &[u8]) -> Result<Catalog, Failure> {
    let lists = read_object(bytes, |file| {
        let branded = file.objects("brandedCards", limits::PRODUCTS, branded_card);
        let choice = file.objects("choiceCards", limits::PRODUCTS, choice_card);
        if branded.is_none() && choice.is_none() {
            file.problem(
                "brandedCards",
                "REQUIRED",
                "must be there, or choiceCards: an import replaces the whole catalog",
            );
        }
        Some((branded.unwrap_or_default(), choice.unwrap_or_default()))
    });
    let (branded, choice) = lists.map_err(|error| match error.details() {
        [] => Failure::new("MALFORMED_JSON", error.message().replace("The body", "The file")),
        details => {
            let mut problems = Problems::new();
            for one in details {
                problems.add(one.field.clone(), one.code, one.message.clone());
            }
            refused(problems)
        }
    })?;
    let mut problems = Problems::new();
    let mut catalog = Catalog::default();
    let mut seen = BTreeMap::new();
    let mut is_new = |id: &str, path: String| match seen.get(id) {
        Some(first) => {
            problems.add(format!("{path}.productId"), "DUPLICATE", format!("{id} is {first} already"));
            false
        }
        None => {
            seen.insert(id.to_owned(), path);
            true
        }
    };
    for (index, card) in branded.into_iter().enumerate() {
        if is_new(&card.product_id, format!("brandedCards[{index}]")) {
            catalog.branded.insert(card.product_id.clone(), card);
        }
    }
    for (index, card) in choice.into_iter().enumerate() {
        if is_new(&card.product_id, format!("choiceCards[{index}]")) {
            catalog.choice.insert(card.product_id.clone(), card);
        }
    }
    if problems.is_empty() { Ok(catalog) } else { Err(refused(problems)) }
}

fn refused(problems: Problems) -> Failure {
    Failure::invalid("The catalog is wrong, and nothing was imported:", problems)
}

fn branded_card(card: &mut Fields<'_, '_>) -> Option<BrandedCard> {
    let product_id = line(card, "productId", limits::PRODUCT_ID_CHARACTERS);
    let brand_name = line(card, "brandName", limits::NAME_CHARACTERS);
    let product_name = line(card, "productName", limits::NAME_CHARACTERS);
    let country_code = country(card);
    let currency = card.required_text("currencyCode").and_then(|code| currency(card, &code));
    let price_type = card.required_choice::<PriceType>("priceType");
    let prices = card.required_decimals("prices", limits::PRODUCT_PRICES);
    let step = card.decimal("priceStep");
    let prices = match (price_type, currency, prices) {
        (Some(price_type), Some(currency), Some(prices)) => branded_prices(card, price_type, currency, &prices, step),
        _ => None,
    };
    let (description, terms) = (lines(card, "description"), lines(card, "terms"));
    let image_url = image_url(card);
    Some(BrandedCard {
        product_id: product_id?,
        brand_name: brand_name?,
        product_name: product_name?,
        country_code: country_code?,
        currency: currency?,
        prices: prices?,
        description,
        terms,
        image_url,
    })
}

fn choice_card(card: &mut Fields<'_, '_>) -> Option<ChoiceCard> {
    let product_id = line(card, "productId", limits::PRODUCT_ID_CHARACTERS);
    let product_name = line(card, "productName", limits::NAME_CHARACTERS);
    let code = card.text("currencyCode");
    if code.is_some_and(|code| code != Currency::USD.code()) {
        card.problem("currencyCode", "NOT_USD", "must be USD: choice cards are in US dollars");
    }
    let range = card.required_decimals("prices", 2).and_then(|prices| range(card, &prices, Currency::USD));
    let image_url = image_url(card);
    let (min, max) = range?;
    Some(ChoiceCard {
        product_id: product_id?,
        product_name: product_name?,
        currency: Currency::USD,
        range: ChoiceRange { min, max },
        image_url,
    })
}

fn branded_prices(
    card: &mut Fields<'_, '_>,
    price_type: PriceType,
    currency: Currency,
    prices: &[Decimal],
    step: Option<Decimal>,
) -> Option<Prices> {
    match (price_type, step) {
        (PriceType::Fixed, Some(_)) => {
            card.problem("priceStep", "NOT_ALLOWED", "must be left out when priceType is FIXED");
            None
        }
        (PriceType::Fixed, None) => {
            let mut minor =
                prices.iter().map(|&price| minor(card, "prices", price, currency)).collect::<Option<Vec<_>>>()?;
            minor.sort_unstable();
            if minor.is_empty() || minor.windows(2).any(|pair| pair[0] == pair[1]) {
                card.problem("prices", "INVALID", "must be at least one price, each listed once");
                return None;
            }
            Some(Prices::Fixed(minor))
        }
        (PriceType::Range, None) => {
            card.problem("priceStep", "REQUIRED", "is required when priceType is RANGE");
            None
        }
        (PriceType::Range, Some(step)) => {
            let step = minor(card, "priceStep", step, currency);
            let (min, max) = range(card, prices, currency)?;
            Some(Prices::Range { min, max, step: step? })
        }
    }
}

fn range(card: &mut Fields<'_, '_>, prices: &[Decimal], currency: Currency) -> Option<(i64, i64)> {
    let &[min, max] = prices else {
        card.problem("prices", "INVALID", "must be [least, most]");
        return None;
    };
    let (min, max) = (minor(card, "prices", min, currency)?, minor(card, "prices", max, currency)?);
    if min > max {
        card.problem("prices", "INVALID", "must be [least, most], the least first");
        return None;
    }
    Some((min, max))
}

/// `amount` in minor units, above 0.
fn minor(card: &mut Fields<'_, '_>, name: &str, amount: Decimal, currency: Currency) -> Option<i64> {
    match currency.minor_units(amount) {
        Ok(minor) if minor > 0 => Some(minor),
        Ok(_) => {
            card.problem(name, "OUT_OF_RANGE", format!("{amount} must be above 0"));
            None
        }
        Err(problem) => {
            card.problem(name, "INVALID", format!("{amount}: {problem}"));
            None
        }
    }
}

fn currency(card: &mut Fields<'_, '_>, code: &str) -> Option<Currency> {
    let currency = Currency::from_code(code);
    if currency.is_none() {
        card.problem("currencyCode", "UNKNOWN_VALUE", "must be an ISO 4217 code such as USD or JPY");
    }
    currency
}

fn country(card: &mut Fields<'_, '_>) -> Option<String> {
    let code = card.required_text("countryCode")?;
    let is_code = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    if !is_code {
        card.problem("countryCode", "INVALID", "must be an ISO 3166-1 alpha-3 code such as USA or JPN");
    }
    is_code.then_some(code)
}

fn line(card: &mut Fields<'_, '_>, name: &str, max: usize) -> Option<String> {
    let text = card.required_text(name)?;
    checked(card, name, text, |text| text::filled_line(text, max))
}

fn lines(card: &mut Fields<'_, '_>, name: &str) -> Option<String> {
    let text = card.text(name)?;
    checked(card, name, text, |text| text::lines(text, limits::PRODUCT_TEXT_CHARACTERS))
}

fn image_url(card: &mut Fields<'_, '_>) -> Option<String> {
    let url = card.text("imageUrl")?;
    if !url.starts_with("https://") && !url.starts_with("http://") {
        card.problem("imageUrl", "INVALID", "must begin with https:// or http://");
        return None;
    }
    checked(card, "imageUrl", url, |url| text::line(url, URL_CHARACTERS))
}

fn checked(
    card: &mut Fields<'_, '_>,
    name: &str,
    text: String,
    rule: impl FnOnce(&str) -> Result<(), NotAText>,
) -> Option<String> {
    match rule(&text) {
        Ok(()) => Some(text),
        Err(problem) => {
            card.problem(name, problem.code(), problem.to_string());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(file: &str) -> Vec<String> {
        read(file.as_bytes()).map(|_| Vec::new()).unwrap_or_else(|failure| failure.fields())
    }

    #[test]
    fn the_demos_catalog_is_one() {
        let catalog = read(include_bytes!("../../demo/catalog.json")).expect("legal");
        assert_eq!(catalog.branded["10042"].prices, Prices::Range { min: 500, max: 50_000, step: 500 });
        assert_eq!(catalog.choice["55"].range, ChoiceRange { min: 500, max: 50_000 });
        assert_eq!(catalog.choice["55"].currency, Currency::USD);
    }

    #[test]
    fn every_problem_is_told_with_its_path() {
        let file = r#"{"brandedCards": [
            {"productId": "1", "brandName": "B", "productName": "P", "countryCode": "USA", "currencyCode": "USD",
             "priceType": "FIXED", "prices": [10, 10]},
            {"productId": " ", "brandName": "B", "countryCode": "US", "currencyCode": "XXX", "priceType": "RANGE",
             "prices": [10, 5], "imageURL": "x"},
            {"productId": "3", "brandName": "B", "productName": "P", "countryCode": "JPN", "currencyCode": "JPY",
             "priceType": "RANGE", "prices": [10.5, 500], "priceStep": 0},
            {"productId": "4", "brandName": "B", "productName": "P", "countryCode": "JPN", "currencyCode": "JPY",
             "priceType": "FIXED", "prices": [500], "priceStep": 1, "imageUrl": "javascript:1"}
          ], "choiceCards": [{"productId": "5", "productName": "C", "currencyCode": "EUR", "prices": [5]}], "more": 1}"#;
        assert_eq!(
            fields(file),
            [
                "brandedCards[0].prices",
                "brandedCards[1].productId",
                "brandedCards[1].productName",
                "brandedCards[1].countryCode",
                "brandedCards[1].currencyCode",
                "brandedCards[1].imageURL",
                "brandedCards[2].priceStep",
                "brandedCards[2].prices",
                "brandedCards[3].priceStep",
                "brandedCards[3].imageUrl",
                "choiceCards[0].currencyCode",
                "choiceCards[0].prices",
                "more",
            ]
        );
    }

    #[test]
    fn a_product_is_listed_once_and_no_branded_card_is_a_choice_card() {
        let card = r#"{"productId": "1", "productName": "C", "prices": [5, 10]}"#;
        assert_eq!(fields(&format!(r#"{{"choiceCards": [{card}, {card}]}}"#)), ["choiceCards[1].productId"]);
        assert_eq!(fields(&format!(r#"{{"choiceCards": [{card}]}}"#)), Vec::<String>::new());
        assert_eq!(fields("{}"), ["brandedCards"]);
        assert!(read(b"[]").is_err() && read(b"{").is_err() && read(b"").is_err());
    }
}
