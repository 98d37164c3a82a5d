//! A choice gift: brands that fit, amounts that fit, several codes, and a rest.

use giftd_domain::access::Environment;
use giftd_domain::gifts::RedemptionStatus;
use giftd_domain::limits;

use crate::bed::{Bed, Browser, CHOICE, DAY, Given, Page, Sent, catalog, different, rate};

async fn confirm(browser: &mut Browser, gift: &Sent, product: &str, amount: &str) -> Page {
    let page = browser.get(&format!("{}/pick/{product}", gift.path())).await;
    browser.submit(&page, "amount-form", &[("amount", amount)]).await
}

async fn pick(browser: &mut Browser, gift: &Sent, product: &str, amount: &str) -> Page {
    let page = confirm(browser, gift, product, amount).await;
    let answer = browser.submit(&page, "redeem-form", &[]).await;
    browser.follow(&answer).await
}

#[tokio::test]
async fn a_gift_is_split_over_two_brands_at_todays_rate_and_the_rest_stays() {
    let bed = Bed::new().await;
    let gift = bed.give(CHOICE).await;
    let mut browser = bed.opened(&gift).await;
    let first = pick(&mut browser, &gift, "10042", "25.00").await;
    first.assert(200, "Cedar US · $25.00");
    let page = confirm(&mut browser, &gift, "20001", "3000").await;
    page.assert(200, "Taken from your gift$20.03");
    assert!(page.text().contains("Left after that$4.97"), "{}", page.text());
    let answer = browser.submit(&page, "redeem-form", &[]).await;
    let second = browser.follow(&answer).await;
    second.assert(200, "Sakura Books JP · ¥3,000");

    let own = browser.get(&gift.path()).await;
    own.assert(200, "Left$4.97");
    assert_eq!(own.codes(), [second.codes(), first.codes()].concat(), "newest first");
    assert_eq!(different(own.codes()).len(), 2);
    let at_hand = bed.at_hand(&gift).await;
    assert_eq!((at_hand.gift.redemption_status, at_hand.gift.open()), (RedemptionStatus::PartiallyRedeemed, 497));
    // What is left fits only what costs cents.
    let brands: Vec<_> = own.links().into_iter().filter(|link| link.contains("/pick/")).collect();
    assert_eq!(brands, [format!("{}/pick/40001", gift.path())]);
    pick(&mut browser, &gift, "40001", "4.97").await.assert(200, "Fine cents · $4.97");
    let used = browser.get(&gift.path()).await;
    used.assert(200, "All of this gift is used");
    assert_eq!(bed.at_hand(&gift).await.gift.redemption_status, RedemptionStatus::Redeemed);
    browser.get(&format!("{}/pick/10042", gift.path())).await.assert_leads_to(&gift.path());
}

#[tokio::test]
async fn brands_are_of_the_readers_country_until_another_is_chosen() {
    let bed = Bed::new().await;
    let gift = bed.give(CHOICE).await;
    let mut browser = bed.opened(&gift).await;
    let picks = |page: &Page| -> Vec<String> {
        let links = page.links().into_iter();
        links.filter_map(|link| link.rsplit_once("/pick/").map(|(_, product)| product.to_owned())).collect()
    };
    for (language, query, expected) in [
        ("en-US", "", &["10042", "40001"][..]),
        ("ja-JP", "", &["20001"]),
        ("ja", "", &["10042", "40001", "20001"]),
        ("de-DE", "", &["10042", "40001", "20001"]),
        ("en-US", "?country=JPN", &["20001"]),
        ("en-US", "?country=all", &["10042", "40001", "20001"]),
        ("ja-JP", "?country=nowhere", &["10042", "40001", "20001"]),
        ("en-US", "?page=7", &["10042", "40001"]),
        ("en-US", "?page=x&codes=-1", &["10042", "40001"]),
    ] {
        browser.language = language;
        let page = browser.get(&format!("{}{query}", gift.path())).await;
        assert_eq!(picks(&page), expected, "{language} {query}");
    }
    browser.language = "de";
    let page = browser.get(&gift.path()).await;
    page.assert(200, "Vereinigte Staaten");
    assert!(!page.html.contains("Kornblum"), "there is no rate for euros");
    let chosen = browser.submit(&page, "country-form", &[("country", "JPN")]).await;
    assert_eq!(picks(&chosen), ["20001"]);
    assert!(chosen.html.contains("<option value=\"JPN\" selected>Japan</option>"), "{}", chosen.html);
}

#[tokio::test]
async fn only_amounts_that_fit_can_be_chosen() {
    let bed = Bed::new().await;
    let gift = bed.give(CHOICE).await;
    let mut browser = bed.opened(&gift).await;
    let amounts = |page: &Page| -> Vec<String> {
        let values = page.html.split("name=\"amount\" value=\"").skip(1);
        values.map(|rest| rest.split('"').next().expect("an end").to_owned()).collect()
    };
    let yen = browser.get(&format!("{}/pick/20001", gift.path())).await;
    assert_eq!(amounts(&yen), ["1000", "3000", "5000"], "10,000 yen cost more");
    let dollars = browser.get(&format!("{}/pick/10042", gift.path())).await;
    assert_eq!(amounts(&dollars).last().map(String::as_str), Some("50.00"));
    let cents = browser.get(&format!("{}/pick/40001", gift.path())).await;
    assert!(cents.html.contains("min=\"0.01\" max=\"50.00\" step=\"0.01\""), "{}", cents.html);
    for (product, amount) in
        [("10042", "50.01"), ("10042", "55.00"), ("10042", "7.50"), ("10042", ""), ("10042", "x"), ("20001", "10000")]
    {
        let page = browser.get(&format!("{}/pick/{product}/confirm?amount={amount}", gift.path())).await;
        page.assert(400, "This amount isn't possible");
        assert!(page.has_form("amount-form"));
    }
    let comma = browser.get(&format!("{}/pick/10042/confirm?amount=25%2C00", gift.path())).await;
    comma.assert(200, "$25.00");
    for gone in ["30101", "nothing", "55"] {
        let page = browser.get(&format!("{}/pick/{gone}", gift.path())).await;
        page.assert(409, "This isn't offered any more");
    }
}

#[tokio::test]
async fn a_form_can_not_take_more_than_is_left_nor_what_is_no_price_point() {
    let bed = Bed::new().await;
    let gift = bed.give(CHOICE).await;
    let mut browser = bed.opened(&gift).await;
    let page = confirm(&mut browser, &gift, "10042", "25.00").await;
    let form = page.form("redeem-form");
    for (product, amount, cost, status) in [
        ("10042", "55.00", "5500", 409),
        ("10042", "7.00", "700", 409),
        ("10042", "-5.00", "-500", 409),
        ("30101", "5.00", "500", 409),
        ("55", "5.00", "500", 409),
        ("", "", "", 409),
    ] {
        let mut fields: Vec<(&str, &str)> =
            form.hidden.iter().take(2).map(|(name, value)| (name.as_str(), value.as_str())).collect();
        fields.extend([("product", product), ("amount", amount), ("cost", cost)]);
        let answer = browser.post(&form.action, &fields).await;
        assert_eq!(answer.status, status, "{product} {amount}");
    }
    // Cheaper than it is: the price is asked about again, with the right one.
    let mut fields: Vec<(&str, &str)> =
        form.hidden.iter().take(2).map(|(name, value)| (name.as_str(), value.as_str())).collect();
    fields.extend([("product", "10042"), ("amount", "25.00"), ("cost", "1")]);
    let asked = browser.post(&form.action, &fields).await;
    asked.assert(409, "Taken from your gift$25.00");
    assert!(bed.at_hand(&gift).await.redemptions.is_empty());
}

#[tokio::test]
async fn a_price_that_changed_meanwhile_is_confirmed_again() {
    let bed = Bed::new().await;
    let gift = bed.give(CHOICE).await;
    let mut browser = bed.opened(&gift).await;
    let page = confirm(&mut browser, &gift, "20001", "3000").await;
    bed.giftd.store.set_rates(&[rate("JPY", "0.007", bed.clock.now())]).await.expect("a rate");
    bed.giftd.refresh_reference().await.expect("refreshed");
    let asked = browser.submit(&page, "redeem-form", &[]).await;
    asked.assert(409, "The exchange rate has changed");
    assert!(asked.text().contains("Taken from your gift$21.00"), "{}", asked.text());
    assert_eq!(bed.at_hand(&gift).await.gift.open(), 5_000);
    let answer = browser.submit(&asked, "redeem-form", &[]).await;
    browser.follow(&answer).await.assert(200, "Sakura Books JP");
    assert_eq!(bed.at_hand(&gift).await.gift.open(), 2_900);
}

#[tokio::test]
async fn brands_with_an_old_rate_or_without_a_code_are_not_shown() {
    let bed = Bed::new().await;
    let gift = bed.give(Given { environment: Environment::Production, ..CHOICE }).await;
    let all = format!("{}?country=all", gift.path());
    bed.opened(&gift).await.get(&all).await.assert(200, "no brand fits what is left");
    bed.import_codes("10042", 2_500, &["CEDAR-1"]).await;
    bed.import_codes("10042", 6_000, &["CEDAR-2"]).await;
    bed.import_codes("20001", 3_000, &["SAKURA-1"]).await;
    bed.import_codes("20001", 10_000, &["SAKURA-2"]).await;
    // A node remembers the stock for a moment; another one looks.
    let mut browser = Browser { router: bed.other_node().await, ..bed.opened(&gift).await };
    let page = browser.get(&all).await;
    page.assert(200, "Cedar US $25.00 · United States");
    page.assert(200, "Sakura Books JP ¥3,000 · Japan");
    assert!(!page.html.contains("Fine cents"), "no code");
    bed.advance(30 * DAY + 1);
    let mut browser = Browser { router: browser.router, ..bed.opened(&gift).await };
    let page = browser.get(&all).await;
    assert!(page.html.contains("Cedar US") && !page.html.contains("Sakura"), "the rate is too old: {}", page.text());
    pick(&mut browser, &gift, "10042", "25.00").await.assert(200, "Here is your code");
    browser.router = bed.other_node().await;
    browser.get(&all).await.assert(200, "no brand fits what is left");
}

#[tokio::test]
async fn a_code_that_went_to_someone_else_is_out_of_stock_and_takes_nothing() {
    let bed = Bed::new().await;
    let given = Given { environment: Environment::Production, ..CHOICE };
    let (one, other) = (bed.give(given).await, bed.give(given).await);
    bed.import_codes("10042", 2_500, &["CEDAR-1"]).await;
    let (mut first, mut second) = (bed.opened(&one).await, bed.opened(&other).await);
    let (page, late) =
        (confirm(&mut first, &one, "10042", "25.00").await, confirm(&mut second, &other, "10042", "25.00").await);
    assert_eq!(first.submit(&page, "redeem-form", &[]).await.status, 303);
    second.submit(&late, "redeem-form", &[]).await.assert(409, "pick another amount or brand");
    assert_eq!(bed.at_hand(&other).await.gift.open(), 5_000);
}

#[tokio::test]
async fn many_brands_come_in_pages() {
    for number in [60, limits::BRANDS_LOOKED_AT] {
        brands_come_in_pages(number).await;
    }
}

/// With so many brands beside the three that fit.
async fn brands_come_in_pages(number: usize) {
    let bed = Bed::new().await;
    let mut many = catalog();
    for number in 0..number {
        let mut card = many.branded["10042"].clone();
        card.product_id = format!("{}", 50_000 + number);
        card.product_name = format!("Brand {number:03}");
        many.branded.insert(card.product_id.clone(), card);
    }
    bed.giftd.store.import_catalog(&many, bed.clock.now(), false).await.expect("imported");
    let gift = bed.give(CHOICE).await;
    let mut browser = bed.opened(&gift).await;
    let (mut brands, mut path) = (Vec::new(), format!("{}?country=all", gift.path()));
    loop {
        let page = browser.get(&path).await;
        brands.extend(page.links().into_iter().filter(|link| link.contains("/pick/")));
        if !page.text().contains("More brands") {
            break;
        }
        path = page.links().into_iter().rfind(|link| link.contains("page=")).expect("the way to them");
    }
    assert_eq!((brands.len(), different(brands).len()), (number + 3, number + 3));
}

#[tokio::test]
async fn many_codes_come_in_pages() {
    let bed = Bed::new().await;
    let gift = bed.give(CHOICE).await;
    let mut browser = bed.opened(&gift).await;
    for _ in 0..7 {
        pick(&mut browser, &gift, "10042", "5.00").await.assert(200, "Here is your code");
    }
    let first = browser.get(&gift.path()).await;
    let second = browser.get(&format!("{}?codes=2", gift.path())).await;
    assert_eq!((first.codes().len(), second.codes().len()), (5, 2));
    assert_eq!(different([first.codes(), second.codes()].concat()).len(), 7);
}

#[tokio::test]
async fn a_partly_redeemed_gift_that_expired_shows_its_codes_and_no_brand() {
    let bed = Bed::new().await;
    let gift = bed.give(CHOICE).await;
    let mut browser = bed.opened(&gift).await;
    let code = pick(&mut browser, &gift, "10042", "25.00").await;
    let waiting = confirm(&mut browser, &gift, "10042", "5.00").await;
    bed.advance(180 * DAY);
    bed.turn().await;
    let mut browser = bed.opened(&gift).await;
    let page = browser.get(&gift.path()).await;
    page.assert(200, "This gift's time is over");
    assert_eq!(page.codes(), code.codes());
    assert!(!page.html.contains("/pick/"));
    browser.get(&format!("{}/pick/10042", gift.path())).await.assert_leads_to(&gift.path());
    // The old form's session is over: it is refused before it is looked at.
    browser.submit(&waiting, "redeem-form", &[]).await.assert(403, "That didn't work");
    assert_eq!(bed.at_hand(&gift).await.redemptions.len(), 1);
}
