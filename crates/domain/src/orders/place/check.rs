//! The rules of placing, but for the key and the balance: all that are broken are told at once.

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

use super::{NewGift, PlaceOrder, Request, RequestedTiming};
use crate::catalog::{ChoiceRange, NoRate, Prices, Reference};
use crate::fx::{Rate, cost_in_cents};
use crate::gifts::Recipient;
use crate::ids::{AccountId, TemplateId};
use crate::limits;
use crate::money::{Currency, Money, sum};
use crate::orders::{CardType, EmailSetting, OrderType};
use crate::problems::Problems;
use crate::schedule::{self, SendTiming};
use crate::text::{self, NotAText};

/// What the rules of placing depend on.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Who places.
    pub account_id: AccountId,
    /// The app's name.
    pub creator: &'a str,
    /// The account's own settings.
    pub settings: &'a AccountSettings,
    /// Catalog and rates.
    pub reference: &'a Reference,
    /// How old a rate may be.
    pub fx_max_age: SignedDuration,
    /// The account's time.
    pub now: Timestamp,
}

/// What an account has set for its orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSettings {
    /// The organization's range for choice cards, in minor units; else the product's.
    pub choice_range: Option<ChoiceRange>,
    /// The account's templates.
    pub templates: Vec<TemplateId>,
    /// The one for orders that name none.
    pub default_template: TemplateId,
}

/// Why a request makes no command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Rules are broken: 400.
    Invalid(Problems),
    /// The operator has no usable rate: 503.
    NoRate(NoRate),
}

impl Request {
    /// The command, or everything that is wrong with the request.
    pub fn check(&self, rules: &Rules<'_>, entropy: u128) -> Result<PlaceOrder, Refusal> {
        let mut problems = Problems::new();
        let fingerprint = self.fingerprint();
        let timing = self.check_timing(rules.now, &mut problems);
        let template_id = self.check_email_setting(rules, &mut problems);
        let product = self.check_product(rules, &mut problems);
        let rate = match &product {
            Some(product) => rules.reference.rate(product.currency, rules.now, rules.fx_max_age),
            None => Ok(None),
        };
        let known_rate = rate.ok();
        let gifts = self.check_recipients(product.as_ref(), known_rate, &mut problems);
        let (Some(timing), Some(template_id), Some(product), true) =
            (timing, template_id, product, problems.is_empty())
        else {
            return Err(Refusal::Invalid(problems));
        };
        let fx_rate = rate.map_err(Refusal::NoRate)?;
        let totals = sum(gifts.iter().map(|gift| gift.amount)).zip(sum(gifts.iter().map(|gift| gift.cost)));
        let Some((total_amount, total_cost)) = totals else {
            problems.add("recipients", "TOO_LARGE", "the amounts of all recipients add up to too much");
            return Err(Refusal::Invalid(problems));
        };
        Ok(PlaceOrder {
            account_id: rules.account_id,
            idempotency_key: self.idempotency_key.clone(),
            fingerprint,
            order_type: OrderType::OneTime,
            card_type: self.card_type,
            product_id: self.product_id.clone(),
            card_name: product.card_name.to_owned(),
            creator: rules.creator.to_owned(),
            timing,
            email_setting: EmailSetting {
                sender_name: self.sender_name.clone(),
                subject: self.subject.clone(),
                message: self.message.clone(),
                template_id,
            },
            refund_option: self.refund_option,
            total_amount: Money::new(total_amount, product.currency),
            total_cost,
            fx_rate,
            gifts,
            now: rules.now,
            entropy,
        })
    }

    fn check_timing(&self, now: Timestamp, problems: &mut Problems) -> Option<SendTiming> {
        let RequestedTiming { scheduled, scheduled_at, timezone } = &self.send_timing;
        let fields = [("sendTiming.scheduledAt", scheduled_at), ("sendTiming.timezone", timezone)];
        if !scheduled {
            let given = fields.iter().filter(|(_, value)| value.is_some());
            for (field, _) in given.clone() {
                problems.add(*field, "NOT_ALLOWED", "must be left out when sendTiming.type is IMMEDIATE");
            }
            return (given.count() == 0).then_some(SendTiming::Immediate);
        }
        for (field, _) in fields.iter().filter(|(_, value)| value.is_none()) {
            problems.add(*field, "REQUIRED", "is required when sendTiming.type is SCHEDULED");
        }
        let local = scheduled_at.as_deref().map(schedule::local_time);
        if let Some(Err(problem)) = &local {
            problems.add("sendTiming.scheduledAt", "INVALID", problem.to_string());
        }
        let timezone = timezone.as_deref()?;
        if let Err(problem) = schedule::zone(timezone) {
            problems.add("sendTiming.timezone", "INVALID", problem.to_string());
            return None;
        }
        match schedule::schedule(local?.ok()?, timezone, now) {
            Ok(schedule) => Some(SendTiming::Scheduled(schedule)),
            Err(problem) => {
                problems.add("sendTiming.scheduledAt", "OUT_OF_RANGE", problem.to_string());
                None
            }
        }
    }

    fn check_email_setting(&self, rules: &Rules<'_>, problems: &mut Problems) -> Option<TemplateId> {
        let mut check = |field: &str, result: Result<(), NotAText>| {
            if let Err(problem) = result {
                problems.add(field, problem.code(), problem.to_string());
            }
        };
        check("emailSetting.senderName", text::filled_line(&self.sender_name, limits::SENDER_NAME_CHARACTERS));
        check("emailSetting.subject", text::filled_line(&self.subject, limits::SUBJECT_CHARACTERS));
        if let Some(message) = &self.message {
            check("emailSetting.message", text::lines(message, limits::MESSAGE_CHARACTERS));
        }
        let Some(named) = &self.template_id else { return Some(rules.settings.default_template) };
        let known = named.parse().ok().filter(|template| rules.settings.templates.contains(template));
        if known.is_none() {
            problems.add("emailSetting.templateId", "TEMPLATE_NOT_FOUND", "names no template of this account");
        }
        known
    }

    fn check_product<'a>(&self, rules: &Rules<'a>, problems: &mut Problems) -> Option<Product<'a>> {
        let catalog = &rules.reference.catalog;
        let product = match self.card_type {
            CardType::BrandedCard => catalog.branded.get(&self.product_id).map(|card| Product {
                card_name: &card.product_name,
                currency: card.currency,
                prices: card.prices.clone(),
                code: "NOT_A_PRICE_POINT",
            }),
            CardType::ChoiceCard => catalog.choice.get(&self.product_id).map(|card| {
                let ChoiceRange { min, max } = rules.settings.choice_range.unwrap_or(card.range);
                Product {
                    card_name: &card.product_name,
                    currency: card.currency,
                    prices: Prices::Range { min, max, step: 1 },
                    code: "OUT_OF_RANGE",
                }
            }),
        };
        if product.is_none() {
            let list = match self.card_type {
                CardType::BrandedCard => "/api/v1/catalog/branded-cards",
                CardType::ChoiceCard => "/api/v1/catalog/choice-cards",
            };
            problems.add("productId", "PRODUCT_NOT_FOUND", format!("names no product of GET {list}"));
        }
        product
    }

    fn check_recipients(
        &self,
        product: Option<&Product<'_>>,
        rate: Option<Option<Rate>>,
        problems: &mut Problems,
    ) -> Vec<NewGift> {
        if self.recipients.is_empty() || self.recipients.len() > limits::RECIPIENTS {
            problems.add("recipients", "OUT_OF_RANGE", format!("must be 1 to {} recipients", limits::RECIPIENTS));
            return Vec::new();
        }
        let mut gifts = Vec::with_capacity(self.recipients.len());
        for (index, requested) in self.recipients.iter().enumerate() {
            let email = text::email(&requested.email);
            if email.is_none() {
                let message = format!("must be an email address of at most {} characters", limits::EMAIL_CHARACTERS);
                problems.add(format!("recipients[{index}].email"), "INVALID_EMAIL", message);
            }
            for (name, value) in [
                ("firstName", &requested.first_name),
                ("lastName", &requested.last_name),
                ("company", &requested.company),
                ("department", &requested.department),
            ] {
                let checked = value.as_deref().map_or(Ok(()), |text| text::line(text, limits::PERSON_TEXT_CHARACTERS));
                if let Err(problem) = checked {
                    problems.add(format!("recipients[{index}].{name}"), problem.code(), problem.to_string());
                }
            }
            let amount = match product {
                Some(product) => product.check_amount(requested.amount, rate),
                None if requested.amount <= Decimal::ZERO => Err(("OUT_OF_RANGE", "must be positive".to_owned())),
                None => Ok((0, 0)),
            };
            let amount = amount
                .map_err(|(code, message)| problems.add(format!("recipients[{index}].amount"), code, message))
                .ok();
            if let (Some(_), Some((amount, cost))) = (&email, amount) {
                let recipient = Recipient {
                    email,
                    first_name: requested.first_name.clone(),
                    last_name: requested.last_name.clone(),
                    company: requested.company.clone(),
                    department: requested.department.clone(),
                };
                gifts.push(NewGift { recipient, amount, cost });
            }
            if problems.is_full() {
                break;
            }
        }
        gifts
    }
}

struct Product<'a> {
    card_name: &'a str,
    currency: Currency,
    prices: Prices,
    code: &'static str,
}

impl Product<'_> {
    /// Minor units and cost in cents. Without a rate the cost is not known, and not needed.
    fn check_amount(&self, amount: Decimal, rate: Option<Option<Rate>>) -> Result<(i64, i64), (&'static str, String)> {
        let minor = self.currency.minor_units(amount).map_err(|problem| ("INVALID_AMOUNT", problem.to_string()))?;
        if minor <= 0 || !self.prices.contains(minor) {
            return Err((self.code, format!("must be {} {}", self.prices.in_words(self.currency), self.currency)));
        }
        let cost = match rate {
            Some(rate) => cost_in_cents(minor, self.currency, rate),
            None => Some(0),
        };
        cost.map(|cost| (minor, cost)).ok_or(("TOO_LARGE", "the amount is too large".to_owned()))
    }
}
