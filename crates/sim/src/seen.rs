//! What a store holds, as its own methods and its rows tell it; the model tells the same ([`Model::expected`]).
//!
//! [`Model::expected`]: crate::model::Model::expected

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use anyhow::{Context as _, Result};
use giftd_domain::Timestamp;
use giftd_domain::access::App;
use giftd_domain::account::AccountClock;
use giftd_domain::catalog::Reference;
use giftd_domain::gifts::events::GiftEvent;
use giftd_domain::gifts::redemption::{Redemption, RedemptionId, Stock};
use giftd_domain::history::{Days, OrderFilter, PageRequest};
use giftd_domain::ids::{AccountId, GiftKey, OrderId, OrganizationId};
use giftd_domain::ledger::{Entry, Postings};
use giftd_domain::orders::place::{AccountSettings, KnownKey};
use giftd_domain::orders::{CardType, Order, OrderStatus, OrderSummary, OrderType};
use giftd_domain::templates::{SenderLook, Template};
use giftd_store::{Backlog, CapturedMail, Due, Store, Unanswered, WaitingSchedule};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan as _};

use crate::rows::{Eyes, Rows};

/// The newest of a list that are looked at.
pub const NEWEST: u32 = 100;

/// The pages of an account's orders that are asked for at a time of the node: all, by each state, by kind, by days, and some of these together.
pub fn pages(now: Timestamp) -> Vec<(OrderFilter, PageRequest)> {
    let whole = OrderFilter::default();
    let of = |status| OrderFilter { status: Some(status), ..whole.clone() };
    let states = [OrderStatus::Pending, OrderStatus::InProgress, OrderStatus::Complete, OrderStatus::Canceled];
    let today = now.to_zoned(TimeZone::UTC).date();
    let days = Days { from: Some(today.saturating_sub(50.days())), to: Some(today.saturating_sub(3.days())) };
    let keyword = Some("PAY".to_owned());
    let further = |page| PageRequest { page, page_size: 7 };
    let mut pages = vec![
        (whole.clone(), page(1)),
        (whole.clone(), further(3)),
        (OrderFilter { order_type: Some(OrderType::Link), ..whole.clone() }, page(1)),
        (OrderFilter { card_type: Some(CardType::BrandedCard), ..whole.clone() }, further(2)),
        (OrderFilter { days, ..whole.clone() }, further(1)),
        (OrderFilter { keyword: keyword.clone(), days, ..whole.clone() }, further(1)),
        (OrderFilter { keyword, ..of(OrderStatus::Complete) }, further(1)),
    ];
    pages.extend(states.map(|status| (of(status), page(1))));
    pages
}

/// How far ahead is asked what is due.
pub const AHEAD: SignedDuration = SignedDuration::from_hours(36);

/// What is looked at: the money and the clock of all accounts, all work that waits, these orders, and perhaps the rest.
pub struct Scope {
    /// With their keys.
    pub orders: BTreeMap<(AccountId, OrderId), String>,
    /// All.
    pub accounts: BTreeSet<AccountId>,
    /// All.
    pub organizations: BTreeSet<OrganizationId>,
    /// Whether [`Rest`] is looked at, which takes longest.
    pub all: bool,
    /// The node's time.
    pub now: Timestamp,
}

/// What there is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the answer of the method of `Store` with its name")]
pub struct Seen {
    pub accounts: BTreeMap<AccountId, SeenAccount>,
    pub orders: BTreeMap<(AccountId, OrderId), Option<SeenOrder>>,
    pub rows: Rows,
    pub rest: Option<Rest>,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the answer of the method of `Store` with its name")]
pub struct SeenAccount {
    pub balances: Postings,
    pub clock: AccountClock,
    /// How many, and the newest.
    pub ledger: (u64, Vec<Entry>),
    pub due: Due,
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "what the store tells of an order")]
pub struct SeenOrder {
    pub order: Order,
    pub known: Option<KnownKey>,
    /// Newest first.
    pub events: Vec<GiftEvent>,
    /// Of each gift.
    pub redemptions: Vec<BTreeMap<RedemptionId, Redemption>>,
}

/// All else.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the answer of the method of `Store` with its name")]
pub struct Rest {
    pub apps: BTreeMap<OrganizationId, Vec<App>>,
    pub lists: BTreeMap<AccountId, Lists>,
    pub waiting_schedules: Vec<WaitingSchedule>,
    pub reference: Reference,
    pub stock: Vec<Stock>,
    pub backlog: Backlog,
    pub unanswered: Unanswered,
    /// What `verify_ledger` finds.
    pub differences: Vec<String>,
}

/// What an account has many of, or set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the answer of the method of `Store` with its name")]
pub struct Lists {
    /// How many, and those on the page, of each of [`pages`].
    pub orders: Vec<(u64, Vec<OrderSummary>)>,
    pub settings: Option<AccountSettings>,
    pub sender_look: Option<SenderLook>,
    pub templates: Vec<Template>,
    pub kept_mails: (u64, Vec<CapturedMail>),
}

/// Looks at a store.
pub async fn look(store: &dyn Store, eyes: &Eyes, scope: &Scope) -> Result<Seen> {
    let (mut accounts, mut orders) = (BTreeMap::new(), BTreeMap::new());
    for id in &scope.accounts {
        let account = store.account(*id).await?.context("an account is gone")?;
        let ledger = store.ledger_page(*id, None, Days::default(), page(1)).await?;
        let seen = SeenAccount {
            balances: account.balances,
            clock: account.clock,
            ledger: (ledger.total, ledger.items),
            due: store.due_until(*id, scope.now + AHEAD).await?,
        };
        accounts.insert(*id, seen);
    }
    for ((account, order), key) in &scope.orders {
        orders.insert((*account, *order), look_at_order(store, *account, *order, key).await?);
    }
    let rest = if scope.all { Some(look_at_rest(store, scope).await?) } else { None };
    Ok(Seen { accounts, orders, rows: eyes.rows().await?, rest })
}

fn page(number: u32) -> PageRequest {
    PageRequest { page: number, page_size: NEWEST }
}

async fn look_at_rest(store: &dyn Store, scope: &Scope) -> Result<Rest> {
    let (mut apps, mut lists) = (BTreeMap::new(), BTreeMap::new());
    for organization in &scope.organizations {
        apps.insert(*organization, store.apps(*organization).await?);
    }
    for account in &scope.accounts {
        lists.insert(*account, look_at_lists(store, *account, scope.now).await?);
    }
    Ok(Rest {
        apps,
        lists,
        waiting_schedules: store.waiting_schedules().await?,
        reference: store.reference().await?,
        stock: store.stock().await?,
        backlog: store.backlog(scope.now).await?,
        unanswered: store.unanswered().await?,
        differences: store.verify_ledger().await?.differences,
    })
}

async fn look_at_lists(store: &dyn Store, id: AccountId, now: Timestamp) -> Result<Lists> {
    let mut orders = Vec::new();
    for (filter, page) in pages(now) {
        let found = store.orders_page(id, &filter, page).await?;
        orders.push((found.total, found.items));
    }
    let kept = store.kept_mails(id, None, None, now, page(1)).await?;
    Ok(Lists {
        orders,
        settings: store.account_settings(id).await?,
        sender_look: store.sender_look(id).await?,
        templates: store.templates(id).await?,
        kept_mails: (kept.total, kept.items),
    })
}

async fn look_at_order(store: &dyn Store, account: AccountId, id: OrderId, key: &str) -> Result<Option<SeenOrder>> {
    let Some(order) = store.order(account, id).await? else { return Ok(None) };
    let known = store.order_by_key(account, key).await?;
    let mut events = Vec::new();
    for number in 1.. {
        let found = store.order_events(account, id, page(number)).await?.context("an order without events")?;
        events.extend(found.items);
        if events.len() >= usize::try_from(found.total)? {
            break;
        }
    }
    let mut redemptions = Vec::new();
    for gift in &order.gifts {
        let key = GiftKey { account_id: account, order: id.time, position: gift.position };
        let at_hand = store.gift_at_hand(key).await?.context("a gift that isn't at hand")?;
        redemptions.push(at_hand.redemptions.into_iter().map(|of| (of.id, of)).collect());
    }
    Ok(Some(SeenOrder { order, known, events, redemptions }))
}

/// Where two looks differ first, in words.
pub fn difference(expected: &Seen, found: &Seen) -> Option<String> {
    if let Some(Rest { differences, .. }) = found.rest.as_ref().filter(|rest| !rest.differences.is_empty()) {
        return Some(format!("the books don't balance: {differences:#?}"));
    }
    let (expected_rows, found_rows) = (&expected.rows, &found.rows);
    maps("order", &expected.orders, &found.orders)
        .or_else(|| maps("mail", &expected_rows.mails, &found_rows.mails))
        .or_else(|| maps("gift that wakes", &expected_rows.wakes, &found_rows.wakes))
        .or_else(|| maps("redemption to ask for again", &expected_rows.asks, &found_rows.asks))
        .or_else(|| maps("code", &expected_rows.codes, &found_rows.codes))
        .or_else(|| maps("resend", &expected_rows.resends, &found_rows.resends))
        .or_else(|| maps("verification", &expected_rows.verifications, &found_rows.verifications))
        .or_else(|| maps("previews", &expected_rows.previews, &found_rows.previews))
        .or_else(|| maps("account", &expected.accounts, &found.accounts))
        .or_else(|| values("all else", &expected.rest, &found.rest))
}

fn maps<K: Ord + Debug, V: PartialEq + Debug>(
    what: &str,
    expected: &BTreeMap<K, V>,
    found: &BTreeMap<K, V>,
) -> Option<String> {
    let keys: BTreeSet<&K> = expected.keys().chain(found.keys()).collect();
    keys.into_iter().find_map(|key| values(&format!("{what} {key:?}"), &expected.get(key), &found.get(key)))
}

/// The lines that differ: most of a value does not.
fn values<V: PartialEq + Debug>(what: &str, expected: &V, found: &V) -> Option<String> {
    if expected == found {
        return None;
    }
    let (expected, found) = (format!("{expected:#?}"), format!("{found:#?}"));
    let (of_expected, of_found): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    let same = |(a, b): &(&&str, &&str)| a == b;
    let first = of_expected.iter().zip(&of_found).take_while(same).count();
    let last = of_expected[first..].iter().rev().zip(of_found[first..].iter().rev()).take_while(same).count();
    let part = |lines: &[&str]| {
        let from = first.saturating_sub(3);
        lines[from..(lines.len() - last).min(from + 40)].join("\n")
    };
    Some(format!("{what}\nexpected:\n{}\nfound:\n{}", part(&of_expected), part(&of_found)))
}
