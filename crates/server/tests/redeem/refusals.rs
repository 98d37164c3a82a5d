//! What can't be: each its own page and status, none telling whose gift it is.

use giftd::links::{self, GiftLink};
use giftd_domain::ids::{AccountId, TimeId};
use giftd_domain::orders::resend::{Resend, ResendEntry};
use giftd_domain::schedule::{Schedule, SendTiming};
use giftd_domain::{Timestamp, limits};

use crate::bed::{BRANDED, Bed, Browser, Given, Page};

/// None of what a stranger may not know.
fn assert_silent(page: &Page) {
    for hidden in ["Acme", "alice", "a•••", "Cedar", "50.00", "Thank you", "May 21"] {
        assert!(!page.html.contains(hidden), "{hidden}: {}", page.html);
    }
}

#[tokio::test]
async fn what_is_no_link_is_not_found() {
    let bed = Bed::new().await;
    let gift = bed.give(BRANDED).await;
    let forged = format!("{}A", &gift.token[..63]);
    let forged = if forged == gift.token { format!("{}B", &gift.token[..63]) } else { forged };
    let nowhere =
        GiftLink { account: AccountId(9_999), order: TimeId::from_bits(7 << 80), position: 1, link_version: 1 };
    for path in [
        "/r".to_owned(),
        "/r/".to_owned(),
        "/r/x".to_owned(),
        "/r/%ff".to_owned(),
        "/r/x/verify/y".to_owned(),
        format!("/r/{forged}"),
        format!("/r/{}", links::token(bed.giftd.keys.links(), nowhere)),
        format!("{}/nothing", gift.path()),
        format!("{}/verify/nothing", gift.path()),
        format!("{}/verify/{}", gift.path(), "A".repeat(28)),
    ] {
        let page = bed.browser().get(&path).await;
        page.assert(404, "We can't find this page");
        assert_silent(&page);
    }
}

#[tokio::test]
async fn a_gift_that_has_not_gone_out_is_not_there_yet() {
    let bed = Bed::new().await;
    let gift = bed.give(Given { sent: false, ..BRANDED }).await;
    let page = bed.browser().get(&gift.path()).await;
    page.assert(404, "It's not time yet");
    assert_silent(&page);
}

#[tokio::test]
async fn a_moved_gifts_old_link_session_and_verification_are_dead() {
    let bed = Bed::new().await;
    let gift = bed.give(BRANDED).await;
    let mut owner = bed.opened(&gift).await;
    let own = owner.get(&gift.path()).await;
    let verify = format!("{}/verify/{}", gift.path(), bed.verification(&gift).await);
    let button = bed.browser().get(&verify).await;
    let covered = bed.browser().get(&gift.path()).await;
    move_to(&bed, gift.key.account_id, gift.order, "bob@example.org").await;
    for page in [
        owner.get(&gift.path()).await,
        owner.submit(&own, "redeem-form", &[]).await,
        bed.browser().get(&gift.path()).await,
        bed.browser().submit(&button, "verify-form", &[]).await,
        bed.browser().submit(&covered, "verification-form", &[]).await,
    ] {
        page.assert(404, "This link no longer works");
        assert_silent(&page);
        assert!(!page.html.contains("bob"), "{}", page.html);
    }
    let moved = GiftLink { link_version: 2, ..gift.link() };
    let path = format!("/r/{}", links::token(bed.giftd.keys.links(), moved));
    owner.get(&path).await.assert(200, "b•••@e•••.org");
}

async fn move_to(bed: &Bed, account: AccountId, order: giftd_domain::ids::OrderId, email: &str) {
    let command = Resend {
        account_id: account,
        order_id: order,
        entries: vec![ResendEntry {
            written: "alice@example.com".to_owned(),
            email: "alice@example.com".to_owned(),
            updated: Some(email.to_owned()),
        }],
        client_id: "app".to_owned(),
        request_id: "request".to_owned(),
        now: bed.clock.now(),
    };
    let resent = bed.giftd.store.resend(command).await.expect("an answer");
    assert!(matches!(resent, giftd_store::Resent::Done { requeued: 1, .. }), "{resent:?}");
}

#[tokio::test]
async fn a_canceled_gift_is_gone() {
    let bed = Bed::new().await;
    let at: Timestamp = "2026-12-24T09:00:00Z".parse().expect("an instant");
    let timing = SendTiming::Scheduled(Schedule {
        local: "2026-12-24T09:00:00".parse().expect("a local time"),
        timezone: "UTC".to_owned(),
        send_at: at,
    });
    let gift = bed.give_at(Given { sent: false, ..BRANDED }, timing).await;
    bed.browser().get(&gift.path()).await.assert(404, "It's not time yet");
    let (now, entropy) = (bed.clock.now(), bed.clock.entropy());
    bed.giftd.store.cancel_order(gift.key.account_id, gift.order, now, entropy).await.expect("canceled");
    let page = bed.browser().get(&gift.path()).await;
    page.assert(410, "This gift was canceled");
    assert_silent(&page);
}

#[tokio::test]
async fn who_guesses_has_to_wait_and_right_links_open_all_the_same() {
    let bed = Bed::new().await;
    let gift = bed.give(BRANDED).await;
    let mut owner = bed.opened(&gift).await;
    let mut guesser = bed.browser();
    for number in 0..limits::GUESSES_A_MINUTE {
        let path = match number % 2 {
            0 => format!("/r/{:064}", number),
            _ => format!("{}/verify/{:028}", gift.path(), number),
        };
        guesser.get(&path).await.assert(404, "We can't find this page");
    }
    let wrong = [format!("/r/{:064}", 99), format!("{}/verify/{:028}", gift.path(), 99)];
    for path in &wrong {
        let refused = guesser.get(path).await;
        refused.assert(429, "try again in a minute");
        assert_eq!(refused.header("retry-after"), "60");
        assert_silent(&refused);
    }
    // A neighbour who has the right link, without a session and with one, and who verifies.
    guesser.get(&gift.path()).await.assert(200, "has a gift for you");
    owner.get(&gift.path()).await.assert(200, "Your gift from Acme Corp");
    bed.opened(&gift).await.get(&gift.path()).await.assert(200, "Your gift from Acme Corp");
    let mut elsewhere = bed.browser();
    elsewhere.address = [198, 51, 100, 7];
    elsewhere.get(&wrong[0]).await.assert(404, "We can't find this page");
    bed.advance(60);
    for path in &wrong {
        guesser.get(path).await.assert(404, "We can't find this page");
    }
}

#[tokio::test]
async fn the_link_of_a_mails_preview_has_a_page_and_is_no_guess() {
    let bed = Bed::new().await;
    for _ in 0..=limits::GUESSES_A_MINUTE {
        for (language, words) in [
            ("en", "A real gift would open here"),
            ("de", "Hier würde sich ein echtes Geschenk öffnen"),
            ("fr", "Un vrai cadeau s’ouvrirait ici"),
            ("es", "Aquí se abriría un regalo de verdad"),
            ("ja", "実際のギフトはここで開きます"),
            ("ko", "실제 선물은 여기에서 열립니다"),
        ] {
            Browser { language, ..bed.browser() }.get("/r/preview").await.assert(200, words);
        }
    }
    bed.browser().get("/r/x").await.assert(404, "We can't find this page");
    bed.browser().post("/r/preview", &[]).await.assert(405, "We couldn't read this form");
}

#[tokio::test]
async fn a_code_page_of_no_redemption_is_not_found() {
    let bed = Bed::new().await;
    let gift = bed.give(BRANDED).await;
    let mut owner = bed.opened(&gift).await;
    for id in [format!("{:032x}", 7), "x".to_owned()] {
        owner.get(&format!("{}/codes/{id}", gift.path())).await.assert(404, "We can't find this page");
    }
    owner.get(&format!("{}/terms/nothing", gift.path())).await.assert(404, "We can't find this page");
}
