//! The catalog.

use giftd_domain::catalog::{Catalog, ChoiceRange};

use crate::bed::Bed;

async fn ids(bed: &Bed, path: &str) -> Vec<String> {
    let answer = bed.get(&format!("/api/v1/catalog/{path}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let products = answer.json["data"].as_array().expect("products");
    products.iter().map(|product| product["productId"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn branded_cards_tell_their_price_points_with_exact_digits() {
    let bed = Bed::new().await;
    let range = bed.get("/api/v1/catalog/branded-cards/10042").await;
    assert_eq!(
        range.text,
        r#"{"data":{"productId":"10042","brandName":"Cedar","productName":"Cedar US","countryCode":"USA","currencyCode":"USD","priceType":"RANGE","prices":[5.00,5000.00],"priceStep":5.00,"description":"Everything for a home.","terms":null,"imageUrl":null}}"#
    );
    let fixed = bed.get("/api/v1/catalog/branded-cards/20001").await;
    assert!(fixed.text.contains(r#""priceType":"FIXED","prices":[1000,3000,5000],"priceStep":null"#), "{}", fixed.text);
}

#[tokio::test]
async fn branded_cards_are_paged_filtered_and_searched() {
    let bed = Bed::new().await;
    for (query, expected) in [
        ("", vec!["10042", "20001", "30101"]),
        ("?pageSize=2", vec!["10042", "20001"]),
        ("?pageSize=2&page=2", vec!["30101"]),
        ("?page=3", vec![]),
        ("?countryCode=JPN", vec!["20001"]),
        ("?countryCode=jpn", vec!["20001"]),
        ("?currencyCode=EUR", vec!["30101"]),
        ("?currencyCode=EUR&countryCode=USA", vec![]),
        ("?search=SÖHNE", vec!["30101"]),
        ("?search=cedar+us", vec!["10042"]),
        ("?search=s&currencyCode=USD", vec!["10042"]),
        ("?search=nothing", vec![]),
    ] {
        assert_eq!(ids(&bed, &format!("branded-cards{}", query.replace('Ö', "%C3%96"))).await, expected, "{query}");
    }
    let answer = bed.get("/api/v1/catalog/branded-cards?pageSize=2").await;
    assert_eq!(answer.json["pagination"]["totalItems"], 3);
    let wrong = bed.get("/api/v1/catalog/branded-cards?page=0&pageSize=101&search=%00&countryCode=%0a").await;
    wrong.assert_invalid(&[
        "page OUT_OF_RANGE",
        "pageSize OUT_OF_RANGE",
        "countryCode CONTROL_CHARACTER",
        "search CONTROL_CHARACTER",
    ]);
}

#[tokio::test]
async fn choice_cards_tell_the_organizations_range() {
    let bed = Bed::new().await;
    let product = bed.get("/api/v1/catalog/choice-cards/55").await;
    assert_eq!(
        product.text,
        r#"{"data":{"productId":"55","productName":"Pick one","imageUrl":"https://images.example/55.png","currencyCode":"USD","prices":[5.00,200.00]}}"#
    );
    assert_eq!(ids(&bed, "choice-cards").await, ["55"]);
    assert_eq!(ids(&bed, "choice-cards?search=PICK").await, ["55"]);
    assert!(ids(&bed, "choice-cards?search=cedar").await.is_empty());
    let other = bed.stranger().await;
    let range = ChoiceRange { min: 1_000, max: 2_050 };
    assert!(bed.giftd.store.set_choice_range(other.organization_id, range).await.expect("set"));
    for path in ["choice-cards", "choice-cards/55"] {
        let answer = bed.get_as(&bed.token_of(&other), &format!("/api/v1/catalog/{path}")).await;
        assert!(answer.text.contains(r#""prices":[10.00,20.50]"#), "{}", answer.text);
    }
}

#[tokio::test]
async fn what_is_not_listed_is_404() {
    let bed = Bed::new().await;
    for path in
        ["branded-cards/nothing", "branded-cards/55", "choice-cards/10042", "branded-cards/%00", "choice-cards/%0a"]
    {
        bed.get(&format!("/api/v1/catalog/{path}")).await.assert_error(404, "PRODUCT_NOT_FOUND");
    }
    bed.import(&Catalog::default()).await;
    bed.get("/api/v1/catalog/branded-cards/10042").await.assert_error(404, "PRODUCT_NOT_FOUND");
    assert!(ids(&bed, "branded-cards").await.is_empty());
}
