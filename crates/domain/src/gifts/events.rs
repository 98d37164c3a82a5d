//! What happened to gifts, for the record: append-only, numbered for each gift.
//!
//! PLACED and CANCELED happen to all gifts of an order at once, so the order itself is their record and
//! they cost no rows; everything else is a row.

use jiff::Timestamp;

use crate::history::PageRequest;
use crate::money::Money;
use crate::orders::OrderSummary;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::EnumString, strum::VariantArray)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum EventType {
    /// Its order was placed.
    Placed,
    /// A server took its mail.
    Sent,
    /// Its mail failed for good.
    Failed,
    /// It was asked to be sent again, perhaps to another address.
    Resent,
    /// A verification mail was asked for.
    VerificationRequested,
    /// Someone opened a verification mail.
    Verified,
    /// A code was handed out for it or a part of it.
    Redeemed,
    /// What was open of it became void.
    Expired,
    /// Money returned to the balance.
    Refunded,
    /// Its order was canceled.
    Canceled,
}

/// One event of one gift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GiftEvent {
    /// The recipient's position in the order, from 1.
    pub position: u32,
    /// Counts the gift's events: 0 is PLACED.
    pub number: u32,
    /// What happened.
    pub event_type: EventType,
    /// When, by the account's clock.
    pub at: Timestamp,
    /// More about it, for a person.
    pub detail: Option<String>,
}

/// What there is to tell about an event: the same words from both databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// What happened.
    pub event_type: EventType,
    /// More about it, for a person.
    pub detail: Option<String>,
}

impl NewEvent {
    /// Its mail was taken; a gift that is a link has no address.
    pub fn sent(to: Option<&str>) -> Self {
        Self { event_type: EventType::Sent, detail: to.map(|to| format!("to {to}")) }
    }

    /// Its mail failed for good.
    pub fn failed(error: &str) -> Self {
        Self { event_type: EventType::Failed, detail: Some(error.to_owned()) }
    }

    /// It is sent again, `to` another address where it moved.
    pub fn resent(from: &str, to: Option<&str>) -> Self {
        let detail = to.map_or_else(|| from.to_owned(), |to| format!("{from} → {to}"));
        Self { event_type: EventType::Resent, detail: Some(detail) }
    }

    /// A verification mail was asked for.
    pub fn verification_requested() -> Self {
        Self { event_type: EventType::VerificationRequested, detail: None }
    }

    /// Someone proved to control the address.
    pub fn verified() -> Self {
        Self { event_type: EventType::Verified, detail: None }
    }

    /// A code of `face` value was handed out.
    pub fn redeemed(product_name: &str, face: Money) -> Self {
        Self { event_type: EventType::Redeemed, detail: Some(format!("{product_name}, {face} {}", face.currency)) }
    }

    /// So many cents became void.
    pub fn expired(voided: i64) -> Self {
        Self { event_type: EventType::Expired, detail: Some(format!("{} USD unredeemed", Money::usd(voided))) }
    }

    /// So many cents returned.
    pub fn refunded(cents: i64) -> Self {
        Self { event_type: EventType::Refunded, detail: Some(format!("{} USD", Money::usd(cents))) }
    }
}

/// What a page of an order's events holds, newest first: rows, then what the order itself records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsPage {
    /// Events in all.
    pub total: u64,
    /// Rows to skip, newest first.
    pub skip: u64,
    /// Rows to read then; 0: none.
    pub rows: u64,
    /// What follows them on this page.
    pub implied: Vec<GiftEvent>,
}

/// The page `page` of the events of `order`, which has so many rows of them.
pub fn page(order: &OrderSummary, rows: u64, page: PageRequest) -> EventsPage {
    let gifts = u64::from(order.recipient_count);
    let canceled = order.canceled_at.map(|at| (EventType::Canceled, 1, at));
    let placed = Some((EventType::Placed, 0, order.created_at()));
    let groups: Vec<_> = canceled.into_iter().chain(placed).collect();
    let implied_total = gifts.saturating_mul(u64::try_from(groups.len()).unwrap_or(0));
    let first = page.offset();
    let end = first.saturating_add(u64::from(page.page_size));
    let skip = first.min(rows);
    let from = first.saturating_sub(rows);
    let until = end.saturating_sub(rows).min(implied_total);
    let implied = (from..until)
        .filter_map(|index| {
            let group = usize::try_from(index.checked_div(gifts)?).ok()?;
            let (event_type, number, at) = *groups.get(group)?;
            let position = u32::try_from(index.checked_rem(gifts)?.checked_add(1)?).ok()?;
            Some(GiftEvent { position, number, event_type, at, detail: None })
        })
        .collect();
    EventsPage { total: rows.saturating_add(implied_total), skip, rows: end.min(rows).saturating_sub(skip), implied }
}
