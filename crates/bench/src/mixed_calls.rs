//! The calls of the mix: how often each is made, and what is asked.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use giftd::clock::Clock;
use hyper::{Method, StatusCode};

use crate::ceiling;
use crate::history_seed::{self, KEYWORD_LITTLE, KEYWORD_MUCH, KEYWORD_TENTH};
use crate::load::Keys;
use crate::mixed_account::Account;
use crate::shop::{OrderBody, PATH};

/// Orders on a page of the history.
pub const PAGE_SIZE: u64 = 20;

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    Order,
    History,
    Filtered,
    Balance,
    Ledger,
    Catalog,
    Place,
    Cancel,
    Resend,
    Events,
    Template,
    Gift,
}

impl Call {
    pub const ALL: [Self; 12] = [
        Self::Order,
        Self::History,
        Self::Filtered,
        Self::Balance,
        Self::Ledger,
        Self::Catalog,
        Self::Place,
        Self::Cancel,
        Self::Resend,
        Self::Events,
        Self::Template,
        Self::Gift,
    ];

    /// Of a thousand calls so many: 700 that read, 250 that place, 50 others.
    pub fn of_thousand(self) -> u64 {
        match self {
            Self::Order => 250,
            Self::History => 120,
            Self::Filtered => 130,
            Self::Balance => 80,
            Self::Ledger | Self::Catalog => 60,
            Self::Place => 250,
            Self::Cancel | Self::Resend | Self::Events | Self::Template | Self::Gift => 10,
        }
    }

    /// The call that `chance` falls on.
    pub fn chosen(chance: u64) -> Self {
        let mut rest = chance % 1_000;
        for call in Self::ALL {
            match rest.checked_sub(call.of_thousand()) {
                Some(left) => rest = left,
                None => return call,
            }
        }
        Self::Order
    }

    /// For machines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::History => "history",
            Self::Filtered => "history_filtered",
            Self::Balance => "balance",
            Self::Ledger => "ledger",
            Self::Catalog => "catalog",
            Self::Place => "place",
            Self::Cancel => "cancel",
            Self::Resend => "resend",
            Self::Events => "events",
            Self::Template => "template",
            Self::Gift => "gift_page",
        }
    }

    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Order => "GET an order",
            Self::History => "GET orders, any page",
            Self::Filtered => "GET orders, filtered",
            Self::Balance => "GET balance",
            Self::Ledger => "GET ledger",
            Self::Catalog => "GET catalog",
            Self::Place => "POST an order",
            Self::Cancel => "DELETE an order (cancel)",
            Self::Resend => "POST a resend",
            Self::Events => "GET an order's events",
            Self::Template => "GET templates, PUT one",
            Self::Gift => "GET a recipient's page",
        }
    }
}

/// One request.
pub struct Request {
    pub call: Call,
    pub method: Method,
    pub path: String,
    pub body: Option<String>,
}

impl Request {
    fn get(call: Call, path: String) -> Self {
        Self { call, method: Method::GET, path, body: None }
    }

    /// What a success is answered with.
    pub fn expected(&self) -> StatusCode {
        if self.call == Call::Place { StatusCode::CREATED } else { StatusCode::OK }
    }

    /// The same as a call of the ceiling's.
    pub fn at_the_ceiling(self) -> Self {
        let path = ceiling::PATH.to_owned();
        match self.call {
            Call::Place => Self { path, ..self },
            call => Self::get(call, path),
        }
    }
}

impl Account {
    /// The next request of a caller.
    pub fn request(&self, body: &OrderBody, clock: &Clock) -> Request {
        let entropy = clock.entropy();
        let (chance, other) = ((entropy >> 64) as u64, entropy as u64);
        match Call::chosen(chance) {
            Call::Order => Request::get(Call::Order, format!("/api/v1/orders/{}", some(&self.orders, other))),
            Call::History => {
                let pages = self.orders.len() as u64 / PAGE_SIZE;
                let page = 1 + other % pages.max(1);
                Request::get(Call::History, format!("/api/v1/orders?page={page}&pageSize={PAGE_SIZE}"))
            }
            Call::Filtered => Request::get(Call::Filtered, self.filtered(other)),
            Call::Balance => Request::get(Call::Balance, "/api/v1/balance".to_owned()),
            Call::Ledger => {
                let filters = ["", "&type=USE", "&type=REFUND", "&page=10"];
                Request::get(Call::Ledger, format!("/api/v1/balance/ledger?pageSize=20{}", some(&filters, other)))
            }
            Call::Catalog => {
                let paths = ["/api/v1/catalog/branded-cards", "/api/v1/catalog/branded-cards/10042"];
                Request::get(Call::Catalog, (*some(&paths, other)).to_owned())
            }
            Call::Cancel => match self.cancelable.lock().unwrap_or_else(PoisonError::into_inner).pop() {
                Some(order) => Request {
                    call: Call::Cancel,
                    method: Method::DELETE,
                    path: format!("/api/v1/orders/{order}/cancel"),
                    body: None,
                },
                // There is none yet.
                None => place(body, clock),
            },
            Call::Place => place(body, clock),
            Call::Resend => {
                let (order, email) = some(&self.delivered, other);
                Request {
                    call: Call::Resend,
                    method: Method::POST,
                    path: format!("/api/v1/orders/{order}/resend"),
                    body: Some(format!(r#"{{"recipients":[{{"email":"{email}"}}]}}"#)),
                }
            }
            Call::Events => {
                let (order, _) = some(&self.delivered, other);
                Request::get(Call::Events, format!("/api/v1/orders/{order}/events"))
            }
            Call::Template if other.is_multiple_of(2) => Request::get(Call::Template, "/api/v1/templates".to_owned()),
            Call::Template => Request {
                call: Call::Template,
                method: Method::PUT,
                path: "/api/v1/templates/12".to_owned(),
                body: Some(r#"{"name":"Default","senderName":"Acme Corp","message":"Thank you."}"#.to_owned()),
            },
            Call::Gift => Request::get(Call::Gift, some(&self.links, other).clone()),
        }
    }

    fn filtered(&self, chance: u64) -> String {
        let (day, later) = (some(&self.days, chance >> 8), some(&self.days, chance >> 24));
        let (from, to) = if day <= later { (day, later) } else { (later, day) };
        let keyword = |word: &str| format!("searchKeyword={}", word.replace(' ', "+"));
        let filters = [
            "status=COMPLETE".to_owned(),
            "status=PENDING".to_owned(),
            "cardType=CHOICE_CARD".to_owned(),
            "orderType=ONE_TIME&page=5".to_owned(),
            keyword(KEYWORD_MUCH),
            keyword(KEYWORD_TENTH),
            keyword(KEYWORD_LITTLE),
            format!("{}&status=COMPLETE", keyword(KEYWORD_TENTH)),
            format!("startDate={from}&endDate={to}"),
            format!("clientOrderId={}", history_seed::key(chance % self.orders.len().max(1) as u64)),
        ];
        format!("/api/v1/orders?pageSize={PAGE_SIZE}&{}", some(&filters, chance))
    }

    /// Notes what came of a request.
    pub fn answered(&self, call: Call, answer: &[u8]) {
        match call {
            Call::Place => {
                self.placed.fetch_add(1, Ordering::Relaxed);
                let order = serde_json::from_slice::<serde_json::Value>(answer).ok();
                if let Some(id) = order.and_then(|order| Some(order["data"]["orderId"].as_str()?.to_owned())) {
                    self.cancelable.lock().unwrap_or_else(PoisonError::into_inner).push(id);
                }
            }
            Call::Cancel => drop(self.canceled.fetch_add(1, Ordering::Relaxed)),
            _ => {}
        }
    }
}

fn place(body: &OrderBody, clock: &Clock) -> Request {
    Request {
        call: Call::Place,
        method: Method::POST,
        path: PATH.to_owned(),
        body: Some(body.with_key(&Keys::TimeOrdered.next(clock))),
    }
}

fn some<T>(of: &[T], chance: u64) -> &T {
    &of[usize::try_from(chance % of.len() as u64).unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_thousand_calls_700_read_250_place_and_50_do_the_rest() {
        let mut counts = std::collections::BTreeMap::<Call, u64>::new();
        for chance in 0..1_000 {
            *counts.entry(Call::chosen(chance)).or_default() += 1;
        }
        assert!(Call::ALL.iter().all(|call| counts.get(call) == Some(&call.of_thousand())), "{counts:?}");
        let reads: u64 = Call::ALL[..6].iter().map(|call| call.of_thousand()).sum();
        assert_eq!(
            (reads, Call::Place.of_thousand(), Call::ALL.map(Call::of_thousand).iter().sum()),
            (700, 250, 1_000)
        );
    }
}
