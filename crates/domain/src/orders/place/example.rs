//! An order that the tests of placing change one thing of.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

use super::{AccountSettings, Request, RequestedGift, RequestedGifts, RequestedMails, RequestedTiming, Rules};
use crate::catalog::{BrandedCard, Catalog, ChoiceCard, ChoiceRange, Prices, Reference};
use crate::fx::{Rate, StoredRate};
use crate::ids::{AccountId, TemplateId};
use crate::money::{Currency, decimal_from_json};
use crate::orders::CardType;

/// The tests' time.
pub fn now() -> Timestamp {
    "2026-11-22T18:30:00Z".parse().expect("an instant")
}

/// A number by its digits.
pub fn decimal(digits: &str) -> Decimal {
    decimal_from_json(digits).expect(digits)
}

/// A recipient with just an address.
pub fn gift(email: &str, amount: &str) -> RequestedGift {
    RequestedGift {
        email: email.to_owned(),
        first_name: None,
        last_name: None,
        company: None,
        department: None,
        amount: decimal(amount),
    }
}

/// Two gifts in US dollars, at once.
pub fn request() -> Request {
    Request {
        card_type: CardType::BrandedCard,
        idempotency_key: "key-1".to_owned(),
        product_id: "usd".to_owned(),
        send_timing: RequestedTiming { scheduled: false, scheduled_at: None, timezone: None },
        gifts: RequestedGifts::Mails(RequestedMails {
            sender_name: "Sakura Inc.".to_owned(),
            subject: "A gift for you".to_owned(),
            message: Some("Thank you!\nRin".to_owned()),
            template_id: None,
            recipients: vec![gift("alice@example.com", "50"), gift("bob@example.com", "10")],
        }),
        refund_option: false,
    }
}

/// Three links of 50 US dollars each, at once.
pub fn link_request() -> Request {
    Request { gifts: RequestedGifts::Links { quantity: 3, amount: decimal("50") }, ..request() }
}

impl Request {
    /// What the tests change of an order that is mailed.
    pub fn mails_mut(&mut self) -> &mut RequestedMails {
        match &mut self.gifts {
            RequestedGifts::Mails(mails) => mails,
            RequestedGifts::Links { .. } => panic!("links aren't mailed"),
        }
    }

    /// The request, for these recipients.
    pub fn to(mut self, recipients: Vec<RequestedGift>) -> Self {
        self.mails_mut().recipients = recipients;
        self
    }
}

/// A branded card each in US dollars and yen, and a choice card of 5.00 to 100.00 US dollars.
pub struct World {
    /// Catalog and rates.
    pub reference: Reference,
    /// What the account has set.
    pub settings: AccountSettings,
}

impl World {
    /// Without a rate for yen.
    pub fn new() -> Self {
        let branded = [("usd", "USD", 1_000, i64::MAX), ("yen", "JPY", 500, i64::MAX)];
        let branded = branded.map(|(id, currency, min, max)| BrandedCard {
            product_id: id.to_owned(),
            brand_name: "A brand".to_owned(),
            product_name: format!("A card in {currency}"),
            country_code: "USA".to_owned(),
            currency: Currency::from_code(currency).expect(currency),
            prices: Prices::Range { min, max, step: 1 },
            description: None,
            terms: None,
            image_url: None,
        });
        let choice = ChoiceCard {
            product_id: "choice".to_owned(),
            product_name: "Choose".to_owned(),
            currency: Currency::USD,
            range: ChoiceRange { min: 500, max: 10_000 },
            image_url: None,
        };
        let catalog = Catalog {
            branded: branded.into_iter().map(|card| (card.product_id.clone(), card)).collect(),
            choice: BTreeMap::from([(choice.product_id.clone(), choice)]),
        };
        Self {
            reference: Reference { version: 1, catalog, rates: BTreeMap::new() },
            settings: AccountSettings {
                choice_range: None,
                templates: vec![TemplateId(12), TemplateId(13)],
                default_template: TemplateId(12),
            },
        }
    }

    /// A yen is worth `dollars` since `age` before now.
    pub fn with_yen_at(mut self, dollars: &str, age: SignedDuration) -> Self {
        let currency = Currency::from_code("JPY").expect("yen");
        let set_at = now().checked_sub(age).expect("an instant");
        let stored = StoredRate { currency, rate: Rate::parse(dollars).expect(dollars), set_at };
        self.reference.rates.insert("JPY".to_owned(), stored);
        self
    }

    /// The rules that hold in it. A rate may be a day old.
    pub fn rules(&self) -> Rules<'_> {
        Rules {
            account_id: AccountId(7),
            creator: "An app",
            organization: "Sakura Inc.",
            settings: &self.settings,
            reference: &self.reference,
            fx_max_age: SignedDuration::from_hours(24),
            now: now(),
            node_now: now(),
        }
    }
}
