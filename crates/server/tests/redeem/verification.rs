//! Before a gift shows anything, whoever opens it proves to control its address.

use giftd_domain::gifts::RedemptionStatus;

use crate::bed::{BRANDED, Bed, CHOICE, MESSAGE};

#[tokio::test]
async fn an_emailed_gift_shows_neither_message_nor_amount_nor_address_to_whoever_has_its_link() {
    let bed = Bed::new().await;
    for given in [BRANDED, CHOICE] {
        let gift = bed.give(given).await;
        let page = bed.browser().get(&gift.path()).await;
        page.assert(200, "Acme Corp has a gift for you");
        for shown in ["a•••@e•••.com", "May 21, 2027, 18:00 UTC", "Send me the verification mail"] {
            assert!(page.text().contains(shown), "{shown}: {}", page.text());
        }
        for hidden in ["alice", "Alice", MESSAGE, "Thank you", "50.00", "redeem-form", "pick/"] {
            assert!(!page.html.contains(hidden), "{hidden}: {}", page.html);
        }
    }
}

#[tokio::test]
async fn from_the_link_to_the_mail_to_the_gift() {
    let bed = Bed::new().await;
    let gift = bed.give(BRANDED).await;
    let mut browser = bed.browser();
    let covered = browser.get(&gift.path()).await;
    let asked = browser.submit(&covered, "verification-form", &[]).await;
    asked.assert_leads_to(&format!("{}/verification", gift.path()));
    browser.follow(&asked).await.assert(200, "We sent it to a•••@e•••.com");
    assert!(browser.cookies.is_empty(), "no session before the mail");

    let token = giftd::links::verification_token(bed.giftd.keys.links(), gift.link(), 1);
    let path = format!("{}/verify/{token}", gift.path());
    let mut mail_reader = bed.browser();
    let button = mail_reader.get(&path).await;
    button.assert(200, "Open my gift");
    assert!(mail_reader.cookies.is_empty(), "the link alone opens nothing");
    let verified = mail_reader.submit(&button, "verify-form", &[]).await;
    verified.assert_leads_to(&gift.path());
    let cookie = verified.header("set-cookie");
    let (_, attributes) = cookie.split_once("; ").expect("attributes");
    assert_eq!(attributes, format!("Path={}; Max-Age=43200; HttpOnly; SameSite=Lax", gift.path()));
    mail_reader.follow(&verified).await.assert(200, "Thank you for your hard work, Alice. See you <soon>.");
    mail_reader.get(&path).await.assert_leads_to(&gift.path());

    browser.get(&gift.path()).await.assert(200, "has a gift for you");
}

#[tokio::test]
async fn over_https_the_session_is_secure() {
    let bed = Bed::with(|settings| settings.public_url = Some("https://gifts.example".to_owned())).await;
    let gift = bed.give(BRANDED).await;
    let mut browser = bed.browser();
    let page = browser.get(&format!("{}/verify/{}", gift.path(), bed.verification(&gift).await)).await;
    let verified = browser.submit(&page, "verify-form", &[]).await;
    assert!(verified.header("set-cookie").ends_with("; Secure"), "{verified:?}");
}

#[tokio::test]
async fn a_session_is_good_for_one_gift_and_twelve_hours() {
    let bed = Bed::new().await;
    let (gift, other) = (bed.give(BRANDED).await, bed.give(BRANDED).await);
    let mut browser = bed.opened(&gift).await;
    // A browser would not send it there: even so it opens nothing.
    for ((_, name), value) in browser.cookies.clone() {
        browser.cookies.insert((other.path(), name), value);
    }
    browser.get(&gift.path()).await.assert(200, "Your gift from Acme Corp");
    browser.get(&other.path()).await.assert(200, "has a gift for you");
    bed.advance(12 * 3_600 - 1);
    browser.get(&gift.path()).await.assert(200, "Your gift from Acme Corp");
    bed.advance(1);
    browser.get(&gift.path()).await.assert(200, "has a gift for you");
}

#[tokio::test]
async fn a_verification_is_good_once_and_for_ten_minutes() {
    let bed = Bed::new().await;
    let gift = bed.give(BRANDED).await;
    let path = format!("{}/verify/{}", gift.path(), bed.verification(&gift).await);
    let mut first = bed.browser();
    let page = first.get(&path).await;
    first.submit(&page, "verify-form", &[]).await.assert_leads_to(&gift.path());
    let mut second = bed.browser();
    let page = second.get(&path).await;
    let used = second.submit(&page, "verify-form", &[]).await;
    used.assert(410, "This link was used already");
    assert!(second.cookies.is_empty());
    assert_eq!(used.links(), [gift.path()]);

    let path = format!("{}/verify/{}", gift.path(), bed.verification(&gift).await);
    let page = second.get(&path).await;
    bed.advance(601);
    second.submit(&page, "verify-form", &[]).await.assert(410, "It was good for 10 minutes");
    assert!(second.cookies.is_empty());
}

#[tokio::test]
async fn a_verification_of_another_gift_opens_nothing() {
    let bed = Bed::new().await;
    let (gift, other) = (bed.give(BRANDED).await, bed.give(BRANDED).await);
    let token = bed.verification(&other).await;
    bed.browser().get(&format!("{}/verify/{token}", gift.path())).await.assert(404, "can't find this page");
}

#[tokio::test]
async fn too_many_mails_are_refused_and_the_page_says_for_how_long() {
    let bed = Bed::new().await;
    let gift = bed.give(BRANDED).await;
    let mut browser = bed.browser();
    let covered = browser.get(&gift.path()).await;
    for _ in 0..3 {
        assert_eq!(browser.submit(&covered, "verification-form", &[]).await.status, 303);
        bed.advance(60);
    }
    let refused = browser.submit(&covered, "verification-form", &[]).await;
    refused.assert(429, "ask again in 7 minutes");
    assert_eq!(refused.header("retry-after"), "420");
    bed.advance(420);
    assert_eq!(browser.submit(&covered, "verification-form", &[]).await.status, 303);
}

#[tokio::test]
async fn following_links_changes_nothing() {
    let bed = Bed::new().await;
    let (branded, choice) = (bed.give(BRANDED).await, bed.give(CHOICE).await);
    let mut browser = bed.opened(&branded).await;
    browser.cookies.extend(bed.opened(&choice).await.cookies);
    let unused = bed.verification(&branded).await;
    let before = (bed.at_hand(&branded).await, bed.at_hand(&choice).await);
    let events = |gift: giftd_domain::ids::OrderId, account| {
        let page = giftd_domain::history::PageRequest { page: 1, page_size: 100 };
        let store = bed.giftd.store.clone();
        async move { store.order_events(account, gift, page).await.expect("an answer").expect("events").total }
    };
    let before_events = events(branded.order, branded.key.account_id).await;
    let mut stranger = bed.browser();
    let (b, c) = (branded.path(), choice.path());
    for path in [
        b.clone(),
        format!("{b}/verification"),
        format!("{b}/verify/{unused}"),
        format!("{b}/redeem"),
        format!("{b}/codes/{:032x}", 7),
        format!("{b}/terms/10042"),
        c.clone(),
        format!("{c}?country=JPN&page=2&codes=3"),
        format!("{c}/pick/10042"),
        format!("{c}/pick/10042/confirm?amount=25.00"),
        format!("{c}/redeem?product=10042&amount=25.00"),
    ] {
        for browser in [&mut browser, &mut stranger] {
            browser.get(&path).await;
        }
    }
    assert_eq!((bed.at_hand(&branded).await, bed.at_hand(&choice).await), before);
    assert_eq!(events(branded.order, branded.key.account_id).await, before_events);
    assert_eq!(before.0.gift.redemption_status, RedemptionStatus::Unredeemed);
    // And the verification that was looked at is still good.
    let page = stranger.get(&format!("{b}/verify/{unused}")).await;
    stranger.submit(&page, "verify-form", &[]).await.assert_leads_to(&b);
}
