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

impl EventType {
    /// Those whose detail names the recipient: an address, or a mail server's words, which quote addresses.
    pub const NAMING: [Self; 3] = [Self::Sent, Self::Failed, Self::Resent];
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
            // All are of one instant: the last position comes first.
            let position = u32::try_from(gifts.checked_sub(index.checked_rem(gifts)?)?).ok()?;
            Some(GiftEvent { position, number, event_type, at, detail: None })
        })
        .collect();
    EventsPage { total: rows.saturating_add(implied_total), skip, rows: end.min(rows).saturating_sub(skip), implied }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{OrderId, TemplateId, TimeId};
    use crate::orders::{CardType, EmailSetting, OrderStatus, OrderType};
    use crate::schedule::SendTiming;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("an instant")
    }

    fn order(recipient_count: u32, canceled_at: Option<Timestamp>) -> OrderSummary {
        OrderSummary {
            order_id: OrderId { order_type: OrderType::OneTime, time: TimeId::first_at(at(100)) },
            card_type: CardType::BrandedCard,
            status: if canceled_at.is_some() { OrderStatus::Canceled } else { OrderStatus::Complete },
            product_id: "10001".to_owned(),
            card_name: "Coffee Roasters US".to_owned(),
            creator: "Payroll".to_owned(),
            timing: SendTiming::Immediate,
            email_setting: EmailSetting {
                sender_name: "Acme Corp".to_owned(),
                subject: "A gift for you!".to_owned(),
                message: None,
                template_id: TemplateId(12),
            },
            refund_option: false,
            recipient_count,
            total_amount: Money::usd(1_000),
            total_cost: 1_000,
            fx_rate: None,
            completed_at: None,
            canceled_at,
        }
    }

    /// What a page is made of: rows to skip, rows to read, then (type, position) of what is implied.
    fn parts(of: &OrderSummary, rows: u64, page: u32, page_size: u32) -> (u64, u64, Vec<(EventType, u32)>) {
        let found = super::page(of, rows, PageRequest { page, page_size });
        let each = if of.canceled_at.is_some() { 2 } else { 1 };
        let implied = u64::from(of.recipient_count).saturating_mul(each);
        assert_eq!(found.total, rows.saturating_add(implied));
        (found.skip, found.rows, found.implied.iter().map(|event| (event.event_type, event.position)).collect())
    }

    #[test]
    fn what_the_order_records_follows_the_rows_across_pages() {
        use EventType::Placed;
        let order = order(3, None);
        for (rows, page, page_size, expected) in [
            (0, 1, 10, (0, 0, vec![(Placed, 3), (Placed, 2), (Placed, 1)])),
            (0, 2, 2, (0, 0, vec![(Placed, 1)])),
            (2, 1, 10, (0, 2, vec![(Placed, 3), (Placed, 2), (Placed, 1)])),
            (2, 1, 2, (0, 2, vec![])),
            (2, 1, 3, (0, 2, vec![(Placed, 3)])),
            (2, 2, 3, (2, 0, vec![(Placed, 2), (Placed, 1)])),
            (5, 2, 4, (4, 1, vec![(Placed, 3), (Placed, 2), (Placed, 1)])),
            (5, 3, 4, (5, 0, vec![])),
            (5, 1_000_000_000, 100, (5, 0, vec![])),
        ] {
            assert_eq!(parts(&order, rows, page, page_size), expected, "{rows} rows, page {page} of {page_size}");
        }
    }

    #[test]
    fn a_canceled_orders_gifts_were_canceled_after_they_were_placed() {
        use EventType::{Canceled, Placed};
        let order = order(2, Some(at(200)));
        let all = vec![(Canceled, 2), (Canceled, 1), (Placed, 2), (Placed, 1)];
        assert_eq!(parts(&order, 0, 1, 10), (0, 0, all.clone()));
        for (page, one) in (1..).zip(&all) {
            assert_eq!(parts(&order, 0, page, 1), (0, 0, vec![*one]));
        }
        assert_eq!(parts(&order, 0, 2, 3), (0, 0, vec![(Placed, 1)]));
        let events = super::page(&order, 0, PageRequest { page: 1, page_size: 100 }).implied;
        let told: Vec<_> = events.iter().map(|event| (event.number, event.at)).collect();
        assert_eq!(told, [(1, at(200)), (1, at(200)), (0, at(100)), (0, at(100))]);
    }

    #[test]
    fn details_are_in_words_for_a_person() {
        let yen = Money::new(5_000, "JPY".parse().expect("yen"));
        for (event, detail) in [
            (NewEvent::sent(Some("a@example.com")), Some("to a@example.com")),
            (NewEvent::sent(None), None),
            (NewEvent::failed("550 no such user"), Some("550 no such user")),
            (NewEvent::resent("a@example.com", None), Some("a@example.com")),
            (NewEvent::resent("a@example.com", Some("b@example.com")), Some("a@example.com → b@example.com")),
            (NewEvent::redeemed("Sakura Books JP", yen), Some("Sakura Books JP, 5000 JPY")),
            (NewEvent::expired(750), Some("7.50 USD unredeemed")),
            (NewEvent::refunded(525), Some("5.25 USD")),
        ] {
            assert_eq!(event.detail.as_deref(), detail, "{event:?}");
        }
    }
}
