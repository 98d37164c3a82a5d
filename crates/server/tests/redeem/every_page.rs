//! What is true of every page: its headers, its size, its language, and that it loads nothing from elsewhere.

use giftd_domain::gifts::redemption::{RedemptionId, Reserve};
use giftd_domain::limits;
use giftd_domain::money::Money;

use crate::bed::{BRANDED, Bed, Browser, CHOICE, Given, Page};

/// A page of each kind.
async fn pages(bed: &Bed, language: &'static str) -> Vec<(&'static str, Page)> {
    let mut stranger = Browser { language, ..bed.browser() };
    let branded = bed.give(BRANDED).await;
    let covered = stranger.get(&branded.path()).await;
    let on_its_way = stranger.get(&format!("{}/verification", branded.path())).await;
    let verify = stranger.get(&format!("{}/verify/{}", branded.path(), bed.verification(&branded).await)).await;
    let mut owner = Browser { language, ..bed.opened(&branded).await };
    let gift = owner.get(&branded.path()).await;
    let sent = owner.submit(&gift, "redeem-form", &[]).await;
    let code = owner.follow(&sent).await;
    let used = owner.get(&branded.path()).await;
    let terms = owner.get(&format!("{}/terms/10042", branded.path())).await;
    let forged = owner.post(&format!("{}/redeem", branded.path()), &[]).await;

    let choice = bed.give(CHOICE).await;
    let mut picker = Browser { language, ..bed.opened(&choice).await };
    let brands = picker.get(&format!("{}?country=all", choice.path())).await;
    let radios = picker.get(&format!("{}/pick/10042", choice.path())).await;
    let number = picker.get(&format!("{}/pick/40001", choice.path())).await;
    let refused = picker.get(&format!("{}/pick/40001/confirm?amount=x", choice.path())).await;
    let confirm = picker.get(&format!("{}/pick/10042/confirm?amount=5.00", choice.path())).await;
    let reserve = Reserve {
        gift: choice.key,
        link_version: 1,
        id: RedemptionId(7),
        product_id: "10042".to_owned(),
        product_name: "Cedar US".to_owned(),
        face: Money::usd(500),
        cost: 500,
        now: bed.clock.now(),
    };
    bed.giftd.store.reserve(reserve).await.expect("reserved");
    let preparing = picker.get(&format!("{}/codes/{:032x}", choice.path(), 7)).await;
    let preview = stranger.get("/r/preview").await;
    let unknown = stranger.get("/r/x").await;
    vec![
        ("covered", covered),
        ("on its way", on_its_way),
        ("verify", verify),
        ("gift", gift),
        ("redeemed", sent),
        ("code", code),
        ("used", used),
        ("terms", terms),
        ("forged", forged),
        ("brands", brands),
        ("radios", radios),
        ("number", number),
        ("refused", refused),
        ("confirm", confirm),
        ("preparing", preparing),
        ("preview", preview),
        ("unknown", unknown),
    ]
}

#[tokio::test]
async fn each_answer_is_private_and_allows_nothing_but_our_own_style_and_script() {
    let bed = Bed::new().await;
    for (name, page) in pages(&bed, "en").await {
        for (header, expected) in [
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("x-robots-tag", "noindex"),
            ("x-content-type-options", "nosniff"),
            (
                "content-security-policy",
                "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; form-action 'self'; \
                 frame-ancestors 'none'; base-uri 'none'",
            ),
        ] {
            assert_eq!(page.header(header), expected, "{name} {header}");
        }
        if page.status != 303 {
            assert_eq!(page.header("content-type"), "text/html; charset=utf-8", "{name}");
        }
    }
}

#[tokio::test]
async fn each_page_is_small_loads_only_our_own_and_has_one_heading_a_language_and_labels() {
    let bed = Bed::new().await;
    let style = bed.browser().get("/assets/redeem.css").await;
    let script = bed.browser().get("/assets/redeem.js").await;
    assert_eq!((style.header("content-type"), style.status.as_u16()), ("text/css; charset=utf-8", 200));
    assert_eq!((script.header("content-type"), script.status.as_u16()), ("text/javascript; charset=utf-8", 200));
    assert!(!style.html.contains("url(") && !style.html.contains("@import"), "the style loads nothing");
    let assets = style.html.len() + script.html.len();
    for language in ["en", "de", "fr", "es", "ja", "ko"] {
        for (name, page) in pages(&bed, language).await {
            if page.status == 303 {
                continue;
            }
            let html = &page.html;
            assert!(html.len() + assets < 50_000, "{name}: {} and {assets} bytes", html.len());
            assert!(!html.contains("://") && !html.contains("\"//"), "{name}: {html}");
            assert!(!html.contains("style=") && !html.contains("onclick") && !html.contains("<style"), "{name}");
            assert!(!html.contains("{{") && !html.contains(">none<") && !html.contains("undefined"), "{name}: {html}");
            assert!(html.contains(&format!("<html lang=\"{language}\">")), "{name}");
            for (tag, count) in [("<h1", 1), ("<main>", 1), ("<header>", 1), ("<footer>", 1), ("<title>", 1)] {
                assert_eq!(html.matches(tag).count(), count, "{name} {tag}");
            }
            for part in ["/assets/redeem.css?v=", "/assets/redeem.js?v=", "name=\"viewport\""] {
                assert!(html.contains(part), "{name} {part}");
            }
        }
    }
}

#[tokio::test]
async fn the_longest_texts_still_make_a_small_page() {
    let bed = Bed::new().await;
    let mut catalog = crate::bed::catalog();
    let card = catalog.branded.get_mut("10042").expect("a card");
    card.terms = Some("利用規約".repeat(limits::PRODUCT_TEXT_CHARACTERS / 4));
    card.description = Some("説".repeat(limits::CARD_TEXT_CHARACTERS));
    bed.giftd.store.import_catalog(&catalog, bed.clock.now(), false).await.expect("imported");
    let gift = bed.give(Given { email: None, ..BRANDED }).await;
    let mut browser = bed.browser();
    let page = browser.get(&gift.path()).await;
    let terms = format!("{}/terms/10042", gift.path());
    assert!(page.links().contains(&terms) && !page.html.contains("利用規約"), "{}", page.html);
    assert!(page.html.len() < 38_000, "{}", page.html.len());
    let terms = browser.get(&terms).await;
    terms.assert(200, "利用規約");
    assert!(terms.html.contains("説"));
}

#[tokio::test]
async fn a_page_is_in_the_readers_language_else_in_english() {
    let bed = Bed::new().await;
    let gift = bed.give(BRANDED).await;
    for (language, title, lang) in [
        ("de-AT,de;q=0.9", "Acme Corp hat ein Geschenk für Sie", "de"),
        ("fr", "Acme Corp a un cadeau pour vous", "fr"),
        ("es-MX", "Acme Corp tiene un regalo para ti", "es"),
        ("ja", "Acme Corp からギフトが届いています", "ja"),
        ("ko-KR", "Acme Corp에서 선물을 보냈습니다", "ko"),
        ("nl,sv;q=0.5", "Acme Corp has a gift for you", "en"),
        ("", "Acme Corp has a gift for you", "en"),
    ] {
        let page = Browser { language, ..bed.browser() }.get(&gift.path()).await;
        page.assert(200, title);
        assert!(page.html.contains(&format!("<html lang=\"{lang}\">")), "{language}");
    }
    let mut owner = Browser { language: "de", ..bed.opened(&gift).await };
    owner.get(&gift.path()).await.assert(200, "50,00 $");
}

#[tokio::test]
async fn what_a_sender_writes_is_shown_and_not_obeyed() {
    let bed = Bed::new().await;
    let sender = "<script>alert('x')</script>\"{{ csrf }}";
    let gift = bed.give(Given { sender, ..BRANDED }).await;
    let mut owner = bed.opened(&gift).await;
    let open = owner.get(&gift.path()).await;
    for page in [bed.browser().get(&gift.path()).await, open] {
        assert!(!page.html.contains("<script>") && page.html.contains("&lt;script&gt;"), "{}", page.html);
        assert!(page.html.contains("{{ csrf }}"), "{}", page.html);
    }
}

#[tokio::test]
async fn a_sandbox_says_that_it_is_a_test_and_production_does_not() {
    let bed = Bed::new().await;
    let test = bed.give(BRANDED).await;
    bed.browser().get(&test.path()).await.assert(200, "This is a test from a sandbox");
    let real = bed.give(Given { environment: giftd_domain::access::Environment::Production, ..BRANDED }).await;
    let page = bed.browser().get(&real.path()).await;
    assert!(!page.html.contains("sandbox"), "{}", page.html);
}

#[tokio::test]
async fn no_measurement_names_a_link() {
    let bed = Bed::new().await;
    let gift = bed.give(BRANDED).await;
    bed.browser().get(&gift.path()).await.assert(200, "has a gift for you");
    bed.browser().get(&format!("{}/verify/x", gift.path())).await.assert(404, "can't find");
    let metrics = bed.giftd.metrics.render();
    assert!(metrics.contains("/r/{token}") && !metrics.contains(&gift.token), "{metrics}");
}
