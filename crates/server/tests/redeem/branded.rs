//! A branded gift: one code for all of it.

use giftd_domain::access::Environment;
use giftd_domain::gifts::RedemptionStatus;
use giftd_domain::gifts::redemption::{RedemptionId, RedemptionState, Reserve, Reserved};
use giftd_domain::limits;
use giftd_domain::money::Money;
use giftd_domain::orders::erase::Retention;

use crate::bed::{BRANDED, Bed, DAY, Given, Sent};

/// In production, where codes come from the stock.
const STOCKED: Given = Given { environment: Environment::Production, ..BRANDED };
/// A link without an address.
const LINK: Given = Given { email: None, ..BRANDED };

/// Reserves all of a gift without asking its supplier, as a crash leaves it.
async fn reserve(bed: &Bed, gift: &Sent, id: u128) {
    let command = Reserve {
        gift: gift.key,
        link_version: 1,
        id: RedemptionId(id),
        product_id: "10042".to_owned(),
        product_name: "Cedar US".to_owned(),
        face: Money::usd(5_000),
        cost: 5_000,
        now: bed.clock.now(),
    };
    assert!(matches!(bed.giftd.store.reserve(command).await.expect("an answer"), Reserved::New(_)));
}

#[tokio::test]
async fn the_code_is_revealed_with_its_pin_terms_and_how_to_use_it_and_can_be_seen_again() {
    let bed = Bed::new().await;
    let gift = bed.give(BRANDED).await;
    let mut browser = bed.opened(&gift).await;
    let page = browser.get(&gift.path()).await;
    page.assert(200, "$50.00");
    assert!(page.codes().is_empty());
    let answer = browser.submit(&page, "redeem-form", &[]).await;
    let code = browser.follow(&answer).await;
    code.assert(200, "Here is your code");
    assert_eq!(code.codes().len(), 1);
    assert!(code.codes()[0].starts_with("TEST-"), "{}", code.html);
    for words in ["PIN", "No cash & no change.", "Everything for a home.", "pay at Cedar US", "until June 20, 2027"] {
        assert!(code.text().contains(words), "{words}: {}", code.text());
    }
    let again = browser.get(&gift.path()).await;
    assert_eq!(again.codes(), code.codes());
    assert!(!again.has_form("redeem-form"), "nothing is left");
    let at_hand = bed.at_hand(&gift).await;
    assert_eq!((at_hand.gift.redemption_status, at_hand.gift.redeemed), (RedemptionStatus::Redeemed, 5_000));
    bed.browser().get(&gift.path()).await.assert(200, "has a gift for you");
}

#[tokio::test]
async fn a_form_that_is_sent_twice_gives_one_code_also_on_two_nodes() {
    let bed = Bed::new().await;
    bed.import_codes("10042", 5_000, &["CEDAR-1", "CEDAR-2"]).await;
    let gift = bed.give(STOCKED).await;
    let mut browser = bed.opened(&gift).await;
    let page = browser.get(&gift.path()).await;
    let mut elsewhere = browser.clone();
    elsewhere.router = bed.other_node().await;
    let (one, other) =
        tokio::join!(browser.submit(&page, "redeem-form", &[]), elsewhere.submit(&page, "redeem-form", &[]));
    assert_eq!(one.header("location"), other.header("location"));
    let codes = browser.follow(&one).await.codes();
    assert_eq!(codes, ["CEDAR-1"]);
    let later = browser.submit(&page, "redeem-form", &[]).await;
    assert_eq!(browser.follow(&later).await.codes(), codes);
    assert_eq!(bed.at_hand(&gift).await.redemptions.len(), 1);
    let stock = bed.giftd.store.stock().await.expect("the stock");
    assert_eq!((stock[0].available, stock[0].handed_out), (1, 1));
}

#[tokio::test]
async fn two_tabs_lead_to_the_same_code() {
    let bed = Bed::new().await;
    let gift = bed.give(BRANDED).await;
    let mut browser = bed.opened(&gift).await;
    let (one, other) = (browser.get(&gift.path()).await, browser.get(&gift.path()).await);
    assert_ne!(one.form("redeem-form").hidden, other.form("redeem-form").hidden);
    let answer = browser.submit(&one, "redeem-form", &[]).await;
    let codes = browser.follow(&answer).await.codes();
    let answer = browser.submit(&other, "redeem-form", &[]).await;
    answer.assert_leads_to(&gift.path());
    assert_eq!(browser.follow(&answer).await.codes(), codes);
}

#[tokio::test]
async fn out_of_stock_takes_nothing_and_works_once_there_is_a_code() {
    let bed = Bed::new().await;
    let gift = bed.give(STOCKED).await;
    let mut browser = bed.opened(&gift).await;
    let page = browser.get(&gift.path()).await;
    let refused = browser.submit(&page, "redeem-form", &[]).await;
    refused.assert(409, "Nothing was taken from your gift");
    assert_eq!(bed.at_hand(&gift).await.gift.open(), 5_000);
    // The same form again says the same: its redemption is over.
    browser.submit(&page, "redeem-form", &[]).await.assert(409, "there is no code right now");
    bed.import_codes("10042", 5_000, &["CEDAR-1"]).await;
    let page = browser.get(&gift.path()).await;
    let answer = browser.submit(&page, "redeem-form", &[]).await;
    assert_eq!(browser.follow(&answer).await.codes(), ["CEDAR-1"]);
}

#[tokio::test]
async fn who_asks_again_and_again_without_stock_leaves_few_rows() {
    let bed = Bed::new().await;
    let gift = bed.give(STOCKED).await;
    let mut browser = bed.opened(&gift).await;
    for _ in 0..limits::REFUSALS_SHORTLY + 3 {
        let page = browser.get(&gift.path()).await;
        browser.submit(&page, "redeem-form", &[]).await.assert(409, "there is no code right now");
    }
    assert_eq!(bed.at_hand(&gift).await.redemptions.len(), limits::REFUSALS_SHORTLY);
    bed.import_codes("10042", 5_000, &["CEDAR-1"]).await;
    bed.advance(600);
    let page = browser.get(&gift.path()).await;
    let answer = browser.submit(&page, "redeem-form", &[]).await;
    assert_eq!(browser.follow(&answer).await.codes(), ["CEDAR-1"]);
}

#[tokio::test]
async fn a_form_that_was_held_back_acts_on_what_the_gift_is_now() {
    let bed = Bed::new().await;
    let gift = bed.give(STOCKED).await;
    let mut browser = bed.opened(&gift).await;
    let page = browser.get(&gift.path()).await;
    let held = browser.hold(&page, "redeem-form").await;
    for _ in 0..limits::REFUSALS_SHORTLY {
        let page = browser.get(&gift.path()).await;
        browser.submit(&page, "redeem-form", &[]).await.assert(409, "there is no code right now");
    }
    held.send().await.assert(409, "there is no code right now");
    assert_eq!(bed.at_hand(&gift).await.redemptions.len(), limits::REFUSALS_SHORTLY);
}

#[tokio::test]
async fn a_code_whose_supplier_has_not_answered_is_being_prepared() {
    let bed = Bed::new().await;
    let gift = bed.give(BRANDED).await;
    let mut browser = bed.opened(&gift).await;
    reserve(&bed, &gift, 7).await;
    let own = browser.get(&gift.path()).await;
    own.assert(200, "It is being prepared");
    assert!(!own.has_form("redeem-form"));
    let path = format!("{}/codes/{:032x}", gift.path(), 7);
    assert!(own.links().contains(&path), "{:?}", own.links());
    let page = browser.get(&path).await;
    page.assert(200, "Your code is being prepared");
    assert!(page.html.contains("<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>"), "{}", page.html);
    assert_eq!(bed.at_hand(&gift).await.redemptions[0].state, RedemptionState::Reserved, "looking asks nobody");
    bed.browser().get(&path).await.assert_leads_to(&gift.path());
}

#[tokio::test]
async fn without_a_message_of_its_own_a_gift_says_that_of_its_template() {
    let bed = Bed::new().await;
    let gift = bed.give(Given { message: None, ..LINK }).await;
    let bare = bed.browser().get(&gift.path()).await;
    bare.assert(200, "Your gift from Acme Corp");
    assert!(!bare.html.contains("class=\"message\""), "{}", bare.html);
    let (store, account) = (&bed.giftd.store, gift.key.account_id);
    let mut template = store.templates(account).await.expect("templates").remove(0);
    template.content.message = Some("For {{firstName}}, with <thanks>.".to_owned());
    store.replace_template(account, template.template_id, &template.content).await.expect("replaced");
    bed.browser().get(&gift.path()).await.assert(200, "For Alice, with <thanks>.");
    let own = bed.give(LINK).await;
    bed.browser().get(&own.path()).await.assert(200, "Thank you for your hard work, Alice.");
}

#[tokio::test]
async fn a_reward_link_needs_no_verification() {
    let bed = Bed::new().await;
    let gift = bed.give(LINK).await;
    let mut browser = bed.browser();
    let page = browser.get(&gift.path()).await;
    page.assert(200, "Thank you for your hard work, Alice.");
    assert!(!page.has_form("verification-form"));
    let answer = browser.submit(&page, "redeem-form", &[]).await;
    let code = browser.follow(&answer).await;
    code.assert(200, "with your gift's link");
    assert!(browser.cookies.is_empty());
    assert_eq!(bed.browser().get(&gift.path()).await.codes(), code.codes(), "the link is the credential");
}

#[tokio::test]
async fn an_expired_gift_is_gone_but_its_codes_stay_for_thirty_days() {
    let bed = Bed::new().await;
    let (used, unused) = (bed.give(BRANDED).await, bed.give(BRANDED).await);
    let mut browser = bed.opened(&used).await;
    let page = browser.get(&used.path()).await;
    let answer = browser.submit(&page, "redeem-form", &[]).await;
    let codes = browser.follow(&answer).await.codes();
    bed.advance(180 * DAY - 1);
    bed.browser().get(&unused.path()).await.assert(200, "has a gift for you");
    bed.advance(1);
    for turned in [false, true] {
        if turned {
            bed.turn().await;
        }
        let gone = bed.browser().get(&unused.path()).await;
        gone.assert(410, "This gift has expired");
        assert!(!gone.has_form("verification-form") && !gone.text().contains("Acme"), "{}", gone.html);
        let mut opened = bed.opened(&used).await;
        let page = opened.get(&used.path()).await;
        page.assert(200, "You can still see your codes until June 20, 2027");
        assert_eq!(page.codes(), codes);
        assert!(!page.has_form("redeem-form"));
    }
    // Who isn't verified can be, without learning whose it is.
    let mut stranger = bed.browser();
    let covered = stranger.get(&used.path()).await;
    covered.assert(410, "This gift has expired");
    assert!(!covered.html.contains("Acme") && !covered.html.contains("•"), "{}", covered.html);
    assert_eq!(stranger.submit(&covered, "verification-form", &[]).await.status, 303);

    bed.advance(u64::try_from(limits::CODE_SHOWN_DAYS).expect("days") * DAY - 1);
    let mut opened = bed.opened(&used).await;
    assert_eq!(opened.get(&used.path()).await.codes(), codes);
    bed.advance(1);
    opened.get(&used.path()).await.assert(410, "This gift has expired");
    let gone = bed.browser().get(&used.path()).await;
    gone.assert(410, "This gift has expired");
    assert!(!gone.has_form("verification-form"));
}

#[tokio::test]
async fn an_erased_gift_is_gone_and_no_address_is_no_proof() {
    let bed = Bed::new().await;
    let gift = bed.give(BRANDED).await;
    let mut browser = bed.opened(&gift).await;
    let page = browser.get(&gift.path()).await;
    let answer = browser.submit(&page, "redeem-form", &[]).await;
    let code = browser.follow(&answer).await.codes().concat();
    let kept = limits::RECIPIENTS_KEPT_DAYS_LEAST;
    bed.advance((180 + kept.unsigned_abs()) * DAY - 1);
    bed.turn().await;
    // By a node whose clock is a second ahead.
    let ahead = bed.clock.now() + jiff::SignedDuration::from_secs(1);
    let retention = Retention::days(kept).expect("legal");
    let erased = bed.giftd.store.erase_recipients(retention, ahead).await.expect("erased");
    assert_eq!((erased.recipients, bed.at_hand(&gift).await.gift.recipient.email), (1, None));
    let page = bed.browser().get(&gift.path()).await;
    page.assert(410, "This gift has expired");
    assert!(page.codes().is_empty() && !page.html.contains(&code), "{}", page.html);
    let refused = bed.browser().submit(&page, "verification-form", &[]).await;
    refused.assert(404, "This link no longer works");
    bed.advance(1);
    for mut visitor in [browser, bed.browser()] {
        let page = visitor.get(&gift.path()).await;
        page.assert(410, "This gift has expired");
        assert!(!page.has_form("verification-form") && !page.html.contains(&code), "{}", page.html);
    }
}

#[tokio::test]
async fn a_form_from_before_the_expiry_redeems_nothing_after_it() {
    let bed = Bed::new().await;
    let gift = bed.give(LINK).await;
    let mut browser = bed.browser();
    let page = browser.get(&gift.path()).await;
    bed.advance(180 * DAY);
    browser.submit(&page, "redeem-form", &[]).await.assert(410, "This gift has expired");
    assert!(bed.at_hand(&gift).await.redemptions.is_empty());
}
