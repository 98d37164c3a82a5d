//! Captured mails of a sandbox, and the previews of a day.

use std::collections::BTreeSet;

use giftd_domain::Timestamp;
use giftd_domain::history::{Page, PageRequest};
use giftd_domain::ids::{AccountId, OrderId, TimeId};
use giftd_domain::limits;
use giftd_domain::orders::OrderType;
use giftd_store::CapturedMail;
use jiff::SignedDuration;

use crate::bed::Bed;
use crate::world::{World, after, at_once, entropy, instant, now};

const WEEK: i64 = 7 * 86_400;

pub fn mail(number: usize, to: &str, order_id: Option<OrderId>) -> CapturedMail {
    CapturedMail {
        message_id: format!("<{number}@giftd>"),
        to: to.to_owned(),
        order_id,
        subject: format!("Gift {number} for you 🎁"),
        text: format!("Dear {to},\n\nBücher & 本"),
        html: format!("<p>Dear {to}</p>"),
        created_at: after(i64::try_from(number).expect("a number")),
    }
}

fn some_order(number: u128) -> OrderId {
    OrderId { order_type: OrderType::Link, time: TimeId::from_bits(number << 80) }
}

async fn keep(world: &World, mails: Vec<CapturedMail>, at: Timestamp) {
    world.store.keep_mails(world.sandbox, mails, at, entropy()).await.expect("an answer");
}

async fn kept(world: &World, to: Option<&str>, order: Option<OrderId>, at: Timestamp) -> Page<CapturedMail> {
    page_of(world, to, order, at, 1, 100).await
}

async fn page_of(
    world: &World,
    to: Option<&str>,
    order: Option<OrderId>,
    at: Timestamp,
    page: u32,
    page_size: u32,
) -> Page<CapturedMail> {
    let page = PageRequest { page, page_size };
    world.store.kept_mails(world.sandbox, to, order, at, page).await.expect("an answer")
}

fn ids(page: &Page<CapturedMail>) -> Vec<&str> {
    page.items.iter().map(|mail| mail.message_id.as_str()).collect()
}

pub async fn kept_mails_are_listed_newest_first(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    assert_eq!(kept(&world, None, None, now()).await, Page { items: vec![], total: 0 });
    keep(&world, vec![], now()).await;
    let all: Vec<_> = (0..5).map(|number| mail(number, "a@example.com", Some(some_order(1)))).collect();
    keep(&world, all[..1].to_vec(), now()).await;
    keep(&world, all[1..4].to_vec(), after(1)).await;
    keep(&world, all[4..].to_vec(), after(1)).await;
    let newest_first: Vec<_> = all.into_iter().rev().collect();
    assert_eq!(kept(&world, None, None, after(2)).await, Page { items: newest_first.clone(), total: 5 });
    for (page, expected) in [(1, &newest_first[..2]), (2, &newest_first[2..4]), (3, &newest_first[4..]), (4, &[])] {
        let found = page_of(&world, None, None, after(2), page, 2).await;
        assert_eq!(found, Page { items: expected.to_vec(), total: 5 }, "page {page}");
    }
}

pub async fn a_mail_of_any_letters_is_kept(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let odd = CapturedMail {
        order_id: None,
        subject: "'; DROP TABLE gifts; -- %_\\".to_owned(),
        text: String::new(),
        html: "<b>満</b>&amp;\r\n".repeat(20_000),
        created_at: now() + SignedDuration::from_micros(123_457),
        ..mail(1, "O'Neil+x@example.com", None)
    };
    keep(&world, vec![odd.clone()], now()).await;
    assert_eq!(kept(&world, None, None, now()).await.items, [odd]);
}

pub async fn mails_are_found_by_recipient_and_order(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let orders = [some_order(1), some_order(2)];
    keep(
        &world,
        vec![
            mail(0, "Alice@Example.com", Some(orders[0])),
            mail(1, "bob@example.com", Some(orders[0])),
            mail(2, "alice@example.com", Some(orders[1])),
            mail(3, "alice@example.com", None),
            mail(4, "malice@example.com", Some(orders[1])),
        ],
        now(),
    )
    .await;
    let smart = OrderId { order_type: OrderType::Smart, ..orders[0] };
    for (to, order, expected) in [
        (Some("ALICE@example.com"), None, vec![3, 2, 0]),
        (Some("bob@example.com"), None, vec![1]),
        (Some("alice"), None, vec![]),
        (Some("%@example.com"), None, vec![]),
        (Some("_lice@example.com"), None, vec![]),
        (Some("nobody@example.com"), None, vec![]),
        (None, Some(orders[0]), vec![1, 0]),
        (None, Some(some_order(3)), vec![]),
        (None, Some(smart), vec![]),
        (Some("Alice@example.com"), Some(orders[1]), vec![2]),
        (Some("bob@example.com"), Some(orders[1]), vec![]),
    ] {
        let found = kept(&world, to, order, now()).await;
        let expected: Vec<_> = expected.into_iter().map(|number| format!("<{number}@giftd>")).collect();
        assert_eq!(ids(&found), expected, "{to:?} {order:?}");
        assert_eq!(found.total, u64::try_from(expected.len()).expect("a total"), "{to:?} {order:?}");
    }
    let second = page_of(&world, Some("alice@example.com"), None, now(), 2, 2).await;
    assert_eq!((ids(&second), second.total), (vec!["<0@giftd>"], 3));
}

pub async fn an_account_sees_its_own_mails_only(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let other = World::beside(world.store.clone(), "Other").await;
    keep(&world, vec![mail(1, "a@example.com", None)], now()).await;
    assert_eq!(kept(&other, None, None, now()).await.total, 0);
    let theirs = CapturedMail { text: "theirs".to_owned(), ..mail(1, "b@example.com", None) };
    keep(&other, vec![theirs.clone()], now()).await;
    assert_eq!(kept(&world, None, None, now()).await.items, [mail(1, "a@example.com", None)]);
    assert_eq!(kept(&other, None, None, now()).await.items, [theirs], "a message id is one account's");
}

pub async fn a_known_message_replaces_the_first_and_keeps_its_place(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    keep(&world, (0..3).map(|number| mail(number, "a@example.com", None)).collect(), now()).await;
    let copy = CapturedMail {
        text: "the copy".to_owned(),
        html: "<p>the copy</p>".to_owned(),
        subject: "The copy".to_owned(),
        ..mail(1, "a@example.com", None)
    };
    keep(&world, vec![mail(3, "a@example.com", None), copy.clone()], after(60)).await;
    let found = kept(&world, None, None, after(60)).await;
    assert_eq!((ids(&found), found.total), (vec!["<3@giftd>", "<2@giftd>", "<1@giftd>", "<0@giftd>"], 4));
    assert_eq!(found.items[2], copy);
    let twice = vec![mail(4, "a@example.com", None), mail(4, "a@example.com", None)];
    keep(&world, twice, after(61)).await;
    assert_eq!(kept(&world, None, None, after(61)).await.total, 5, "also twice at once");
}

pub async fn only_the_last_1000_mails_stay(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let other = World::beside(world.store.clone(), "Other").await;
    keep(&other, vec![mail(0, "other@example.com", None)], now()).await;
    assert_eq!(limits::SANDBOX_MAILS, 1_000);
    for group in 0..10 {
        let mails = (group * 100..group * 100 + 100).map(|number| mail(number, "a@example.com", None)).collect();
        keep(&world, mails, after(1)).await;
    }
    assert_eq!(kept(&world, None, None, after(1)).await.total, 1_000);
    keep(&world, vec![mail(5, "a@example.com", None)], after(2)).await;
    assert_eq!(kept(&world, None, None, after(2)).await.total, 1_000, "a copy needs no room");
    let oldest = async || ids(&page_of(&world, None, None, after(3), 10, 100).await).last().map(|id| (*id).to_owned());
    assert_eq!(oldest().await.as_deref(), Some("<0@giftd>"));
    keep(&world, (1_000..1_003).map(|number| mail(number, "a@example.com", None)).collect(), after(3)).await;
    let found = kept(&world, None, None, after(3)).await;
    assert_eq!((found.total, ids(&found)[0]), (1_000, "<1002@giftd>"));
    assert_eq!(oldest().await.as_deref(), Some("<3@giftd>"));
    assert_eq!(bed.number("SELECT count(*) FROM sandbox_mails").await, 1_001);
    assert_eq!(kept(&other, None, None, after(3)).await.total, 1, "each account for itself");
    let many = (2_000..3_500).map(|number| mail(number, "a@example.com", None)).collect();
    keep(&world, many, after(4)).await;
    let found = kept(&world, None, None, after(4)).await;
    assert_eq!((found.total, ids(&found)[0]), (1_000, "<3499@giftd>"));
}

pub async fn a_mail_stays_7_days_of_real_time(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    keep(&world, vec![mail(0, "a@example.com", None)], now()).await;
    keep(&world, vec![mail(1, "a@example.com", None)], after(100)).await;
    world.jump(SignedDuration::from_hours(24 * 30), after(200)).await;
    assert_eq!(kept(&world, None, None, after(200)).await.total, 2, "whatever the account's clock shows");
    assert_eq!(kept(&world, None, None, after(WEEK - 1)).await.total, 2);
    let found = kept(&world, None, None, after(WEEK + 1)).await;
    assert_eq!((found.total, ids(&found)), (1, vec!["<1@giftd>"]));
    assert_eq!(kept(&world, None, None, after(WEEK + 101)).await, Page { items: vec![], total: 0 });
    keep(&world, vec![mail(2, "a@example.com", None)], after(WEEK + 50)).await;
    assert_eq!(bed.number("SELECT count(*) FROM sandbox_mails").await, 2, "what is too old is gone");
}

pub async fn mails_kept_at_once_on_two_nodes_are_all_there(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    at_once((0..20_usize).map(|index| {
        let node = nodes[index % 2].clone();
        // Every second one is kept by both nodes, in opposite orders.
        let mut mails: Vec<_> = (0..5).map(|part| mail(index / 2 * 10 + part, "a@example.com", None)).collect();
        if index % 2 == 1 {
            mails.reverse();
        }
        async move { keep(&node, mails, now()).await }
    }))
    .await;
    let found = kept(&world, None, None, now()).await;
    assert_eq!((found.total, ids(&found).into_iter().collect::<BTreeSet<_>>().len()), (50, 50));
}

pub async fn what_is_kept_after_anothers_answer_comes_before_it_also_within_a_millisecond(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    // Bits that fall, and a clock that steps back.
    for (index, (bits, at)) in
        [(u128::MAX >> 60, after(1)), (7, after(1)), (0, after(1)), (0, now())].into_iter().enumerate()
    {
        let mails = vec![mail(index, "a@example.com", None)];
        let node = &nodes[index % 2];
        node.store.keep_mails(world.sandbox, mails, at, bits).await.expect("an answer");
    }
    let found = kept(&world, None, None, after(1)).await;
    assert_eq!(ids(&found), ["<3@giftd>", "<2@giftd>", "<1@giftd>", "<0@giftd>"]);
}

// --- previews ---

async fn count(world: &World, account: AccountId, at: Timestamp) -> Option<u32> {
    world.store.count_test_mail(account, at).await.expect("an answer")
}

pub async fn an_account_mails_10_previews_on_a_utc_day(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    assert_eq!(limits::TEST_MAILS_A_DAY, 10);
    let midnight = instant("2026-11-23T00:00:00Z");
    for left in (0..10).rev() {
        assert_eq!(count(&world, world.production, now()).await, Some(left));
    }
    let last_moment = midnight - SignedDuration::from_micros(1);
    for at in [now(), last_moment, instant("2026-11-22T00:00:00Z")] {
        assert_eq!(count(&world, world.production, at).await, None, "{at}");
    }
    assert_eq!(count(&world, world.sandbox, now()).await, Some(9), "each account for itself");
    assert_eq!(count(&world, world.production, midnight).await, Some(9), "and each day");
    assert_eq!(count(&world, world.production, last_moment).await, None);
    assert_eq!(count(&world, world.production, midnight).await, Some(8));
}

pub async fn the_day_of_previews_is_real(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    for _ in 0..10 {
        count(&world, world.sandbox, now()).await;
    }
    world.jump(SignedDuration::from_hours(24 * 5), now()).await;
    assert_eq!(count(&world, world.sandbox, after(1)).await, None);
}

pub async fn previews_at_once_on_two_nodes_are_counted_each(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    let counted = at_once((0..30_usize).map(|index| {
        let node = nodes[index % 2].clone();
        async move { count(&node, node.production, now()).await }
    }))
    .await;
    let mut left: Vec<_> = counted.into_iter().flatten().collect();
    left.sort_unstable();
    assert!(left.iter().copied().eq(0..10), "{left:?}");
}

pub async fn old_mails_go_also_where_no_new_one_comes(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let other = World::beside(world.store.clone(), "Other").await;
    let old = |number| mail(number, "a@example.com", None);
    keep(&world, vec![old(1), old(2)], now()).await;
    keep(&other, vec![old(3)], after(1)).await;
    keep(&world, vec![old(4)], after(2)).await;
    let drop = async |seconds| world.store.drop_old_mails(after(seconds)).await.expect("an answer");
    let there = async || bed.number("SELECT count(*) FROM sandbox_mails").await;
    assert_eq!((drop(WEEK).await, there().await), (0, 4));
    assert_eq!((drop(WEEK + 1).await, there().await), (2, 2));
    assert_eq!(ids(&kept(&world, None, None, after(WEEK + 1)).await), ["<4@giftd>"]);
    assert_eq!((drop(WEEK + 10).await, there().await), (2, 0));
    assert_eq!((drop(WEEK + 10).await, there().await), (0, 0));
}
