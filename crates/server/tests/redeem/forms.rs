//! Forms: only ours count, and only small ones.

use giftd::links::{self, GiftLink};
use giftd_domain::limits;

use crate::bed::{BRANDED, Bed, Browser, Given, Page};

/// The hidden fields of a form, with one changed.
async fn with(browser: &mut Browser, page: &Page, id: &str, name: &str, value: &str) -> Page {
    let form = page.form(id);
    let fields: Vec<(&str, &str)> =
        form.hidden.iter().map(|(known, own)| (known.as_str(), if known == name { value } else { own })).collect();
    browser.post(&form.action, &fields).await
}

#[tokio::test]
async fn each_form_without_its_token_is_refused_and_does_nothing() {
    let bed = Bed::new().await;
    let (gift, other) = (bed.give(BRANDED).await, bed.give(BRANDED).await);
    let mut stranger = bed.browser();
    let covered = stranger.get(&gift.path()).await;
    let verify = stranger.get(&format!("{}/verify/{}", gift.path(), bed.verification(&gift).await)).await;
    let mut owner = bed.opened(&gift).await;
    let own = owner.get(&gift.path()).await;
    let foreign = stranger.get(&other.path()).await.form("verification-form").hidden[0].1.clone();
    let before = bed.at_hand(&gift).await;
    for (browser, page, id) in [
        (&mut stranger, &covered, "verification-form"),
        (&mut bed.browser(), &verify, "verify-form"),
        (&mut owner, &own, "redeem-form"),
    ] {
        for csrf in ["", "x", foreign.as_str()] {
            let refused = with(browser, page, id, "csrf", csrf).await;
            refused.assert(403, "This form was too old or wasn't ours");
            assert_eq!(refused.links(), [gift.path()], "and a way back");
        }
        let action = page.form(id).action;
        browser.post(&action, &[]).await.assert(403, "That didn't work");
    }
    assert_eq!(bed.at_hand(&gift).await, before);
    assert!(stranger.cookies.is_empty());
}

#[tokio::test]
async fn a_redemption_id_that_is_not_ours_is_refused() {
    let bed = Bed::new().await;
    let gift = bed.give(BRANDED).await;
    let mut owner = bed.opened(&gift).await;
    let own = owner.get(&gift.path()).await;
    for id in ["", "7", &format!("{:032x}", 7), &"g".repeat(32)] {
        with(&mut owner, &own, "redeem-form", "redemption", id).await.assert(403, "That didn't work");
    }
    assert!(bed.at_hand(&gift).await.redemptions.is_empty());
}

#[tokio::test]
async fn without_its_session_a_form_is_refused() {
    let bed = Bed::new().await;
    let gift = bed.give(BRANDED).await;
    let mut owner = bed.opened(&gift).await;
    let own = owner.get(&gift.path()).await;
    bed.browser().submit(&own, "redeem-form", &[]).await.assert(403, "That didn't work");
    bed.opened(&gift).await.submit(&own, "redeem-form", &[]).await.assert(403, "That didn't work");
    assert!(bed.at_hand(&gift).await.redemptions.is_empty());
    assert_eq!(owner.submit(&own, "redeem-form", &[]).await.status, 303);
}

#[tokio::test]
async fn large_and_strange_forms_are_refused_with_a_page() {
    let bed = Bed::new().await;
    let gift = bed.give(Given { email: None, ..BRANDED }).await;
    let mut browser = bed.browser();
    let path = format!("{}/redeem", gift.path());
    let large = "x".repeat(5_000);
    browser.post(&path, &[("csrf", &large)]).await.assert(413, "We couldn't read this form");
    browser.get(&path).await.assert(405, "We couldn't read this form");
}

#[tokio::test]
async fn a_gift_takes_so_many_forms_in_a_minute_right_and_wrong_from_everywhere() {
    let bed = Bed::new().await;
    let (gift, other) = (bed.give(BRANDED).await, bed.give(BRANDED).await);
    let mut owner = bed.opened(&gift).await;
    let own = owner.get(&gift.path()).await;
    let mut stranger = Browser { address: [198, 51, 100, 7], ..bed.browser() };
    let covered = stranger.get(&gift.path()).await;
    let paths = ["redeem", "verification", &format!("verify/{}", bed.verification(&gift).await)]
        .map(|page| format!("{}/{page}", gift.path()));
    // One verified.
    for number in 1..limits::FORMS_A_MINUTE as usize {
        let browser = if number % 2 == 0 { &mut owner } else { &mut stranger };
        let answer = browser.post(&paths[number % paths.len()], &[]).await;
        assert_ne!(answer.status, 429, "{number}");
    }
    let before = bed.at_hand(&gift).await;
    for refused in [
        owner.submit(&own, "redeem-form", &[]).await,
        stranger.submit(&covered, "verification-form", &[]).await,
        stranger.post(&paths[2], &[]).await,
    ] {
        refused.assert(429, "That was a lot at once. Your gift is safe. Please try again in a minute.");
        assert_eq!(refused.header("retry-after"), "60");
        assert_eq!(refused.links(), [gift.path()], "and a way back");
    }
    assert_eq!(bed.at_hand(&gift).await, before);
    owner.get(&gift.path()).await.assert(200, "Your gift from Acme Corp");
    let covered = owner.get(&other.path()).await;
    assert_eq!(owner.submit(&covered, "verification-form", &[]).await.status, 303, "another gift");
    bed.advance(60);
    assert_eq!(owner.submit(&own, "redeem-form", &[]).await.status, 303);
    assert_eq!(bed.at_hand(&gift).await.redemptions.len(), 1);
}

#[tokio::test]
async fn a_gift_is_not_looked_up_for_forms_beyond_that() {
    let bed = Bed::new().await;
    let gift = bed.give(Given { email: None, ..BRANDED }).await;
    let mut browser = bed.browser();
    let path = format!("{}/redeem", gift.path());
    let nowhere = GiftLink { position: 9_999, ..gift.link() };
    let nowhere = format!("/r/{}/redeem", links::token(bed.giftd.keys.links(), nowhere));
    for _ in 0..limits::FORMS_A_MINUTE {
        browser.post(&path, &[]).await.assert(403, "That didn't work");
        browser.post(&nowhere, &[]).await.assert(404, "We can't find this page");
    }
    for path in [path, nowhere] {
        browser.post(&path, &[]).await.assert(429, "That was a lot at once");
    }
}
