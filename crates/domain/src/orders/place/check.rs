//! The rules of placing, but for the key and the balance: all that are broken are told at once.

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

use super::{NewGift, PlaceOrder, Request, RequestedGift, RequestedGifts, RequestedMails, RequestedTiming};
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
    /// The organization's name, which links come from; mails have a sender's name of their own.
    pub organization: &'a str,
    /// The account's own settings.
    pub settings: &'a AccountSettings,
    /// Catalog and rates.
    pub reference: &'a Reference,
    /// How old a rate may be.
    pub fx_max_age: SignedDuration,
    /// The account's time.
    pub now: Timestamp,
    /// The node's time, which the age of rates goes by.
    pub node_now: Timestamp,
}

/// What an account has set for its orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSettings {
    /// The organization's range for choice cards, in minor units; else the product's.
    pub choice_range: Option<ChoiceRange>,
    /// The account's templates, but for deleted ones.
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
        let email_setting = self.check_email_setting(rules, &mut problems);
        let product = self.check_product(rules, &mut problems);
        let rate = match &product {
            Some(product) => rules.reference.rate(product.currency, rules.node_now, rules.fx_max_age),
            None => Ok(None),
        };
        let known_rate = rate.ok();
        let gifts = self.check_gifts(product.as_ref(), known_rate, &mut problems);
        let (Some(timing), Some(email_setting), Some(product), true) =
            (timing, email_setting, product, problems.is_empty())
        else {
            return Err(Refusal::Invalid(problems));
        };
        let fx_rate = rate.map_err(Refusal::NoRate)?;
        let totals = sum(gifts.iter().map(|gift| gift.amount)).zip(sum(gifts.iter().map(|gift| gift.cost)));
        let Some((total_amount, total_cost)) = totals else {
            let field = match self.gifts {
                RequestedGifts::Mails(_) => "recipients",
                RequestedGifts::Links { .. } => "amountPerLink",
            };
            problems.add(field, "TOO_LARGE", "the amounts of all gifts add up to too much");
            return Err(Refusal::Invalid(problems));
        };
        Ok(PlaceOrder {
            account_id: rules.account_id,
            idempotency_key: self.idempotency_key.clone(),
            fingerprint,
            order_type: match self.gifts {
                RequestedGifts::Mails(_) => OrderType::OneTime,
                RequestedGifts::Links { .. } => OrderType::Link,
            },
            card_type: self.card_type,
            product_id: self.product_id.clone(),
            card_name: product.card_name.to_owned(),
            creator: rules.creator.to_owned(),
            timing,
            email_setting,
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

    fn check_email_setting(&self, rules: &Rules<'_>, problems: &mut Problems) -> Option<EmailSetting> {
        match &self.gifts {
            RequestedGifts::Mails(mails) => mails.check_setting(rules.settings, problems),
            RequestedGifts::Links { .. } => Some(EmailSetting {
                sender_name: rules.organization.to_owned(),
                subject: String::new(),
                message: None,
                template_id: rules.settings.default_template,
            }),
        }
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

    fn check_gifts(
        &self,
        product: Option<&Product<'_>>,
        rate: Option<Option<Rate>>,
        problems: &mut Problems,
    ) -> Vec<NewGift> {
        match &self.gifts {
            RequestedGifts::Mails(mails) => mails.check_recipients(product, rate, problems),
            RequestedGifts::Links { quantity, amount } => check_links(*quantity, *amount, product, rate, problems),
        }
    }
}

impl RequestedMails {
    fn check_setting(&self, settings: &AccountSettings, problems: &mut Problems) -> Option<EmailSetting> {
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
        let template_id = match &self.template_id {
            None => Some(settings.default_template),
            Some(named) => named.parse().ok().filter(|template| settings.templates.contains(template)),
        };
        if template_id.is_none() {
            problems.add("emailSetting.templateId", "TEMPLATE_NOT_FOUND", "names no template of this account");
        }
        Some(EmailSetting {
            sender_name: self.sender_name.clone(),
            subject: self.subject.clone(),
            message: self.message.clone(),
            template_id: template_id?,
        })
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
            let recipient = requested.check_recipient(index, problems);
            let amount = check_amount(requested.amount, product, rate)
                .map_err(|(code, message)| problems.add(format!("recipients[{index}].amount"), code, message))
                .ok();
            if let (Some(recipient), Some((amount, cost))) = (recipient, amount) {
                gifts.push(NewGift { recipient, amount, cost });
            }
            if problems.is_full() {
                break;
            }
        }
        gifts
    }
}

impl RequestedGift {
    fn check_recipient(&self, index: usize, problems: &mut Problems) -> Option<Recipient> {
        let email = text::email(&self.email);
        if email.is_none() {
            let message = format!("must be an email address of at most {} characters", limits::EMAIL_CHARACTERS);
            problems.add(format!("recipients[{index}].email"), "INVALID_EMAIL", message);
        }
        for (name, value) in [
            ("firstName", &self.first_name),
            ("lastName", &self.last_name),
            ("company", &self.company),
            ("department", &self.department),
        ] {
            let checked = value.as_deref().map_or(Ok(()), |text| text::line(text, limits::PERSON_TEXT_CHARACTERS));
            if let Err(problem) = checked {
                problems.add(format!("recipients[{index}].{name}"), problem.code(), problem.to_string());
            }
        }
        Some(Recipient {
            email: Some(email?),
            first_name: self.first_name.clone(),
            last_name: self.last_name.clone(),
            company: self.company.clone(),
            department: self.department.clone(),
        })
    }
}

fn check_links(
    quantity: i64,
    amount: Decimal,
    product: Option<&Product<'_>>,
    rate: Option<Option<Rate>>,
    problems: &mut Problems,
) -> Vec<NewGift> {
    let count = usize::try_from(quantity).ok().filter(|count| (1..=limits::RECIPIENTS).contains(count));
    if count.is_none() {
        problems.add("quantity", "OUT_OF_RANGE", format!("must be 1 to {}", limits::RECIPIENTS));
    }
    let amount = check_amount(amount, product, rate)
        .map_err(|(code, message)| problems.add("amountPerLink", code, message))
        .ok();
    let Some((count, (amount, cost))) = count.zip(amount) else { return Vec::new() };
    let recipient = Recipient { email: None, first_name: None, last_name: None, company: None, department: None };
    vec![NewGift { recipient, amount, cost }; count]
}

/// Minor units and cost in cents; of an unknown product only what holds for all is checked.
fn check_amount(
    amount: Decimal,
    product: Option<&Product<'_>>,
    rate: Option<Option<Rate>>,
) -> Result<(i64, i64), (&'static str, String)> {
    match product {
        Some(product) => product.check_amount(amount, rate),
        None if amount <= Decimal::ZERO => Err(("OUT_OF_RANGE", "must be positive".to_owned())),
        None => Ok((0, 0)),
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

#[cfg(test)]
mod tests {
    use super::super::example::{World, decimal, gift, link_request, request};
    use super::*;

    fn wrong(request: &Request, world: &World) -> Vec<String> {
        match request.check(&world.rules(), 0) {
            Err(Refusal::Invalid(problems)) => {
                problems.into_iter().map(|problem| format!("{} {}", problem.field, problem.code)).collect()
            }
            other => panic!("not invalid: {other:?}"),
        }
    }

    fn of_product(card_type: CardType, product_id: &str, amounts: &[&str]) -> Request {
        let recipients = amounts.iter().map(|amount| gift("alice@example.com", amount)).collect();
        Request { card_type, product_id: product_id.to_owned(), ..request() }.to(recipients)
    }

    fn yen(amounts: &[&str]) -> Request {
        of_product(CardType::BrandedCard, "yen", amounts)
    }

    #[test]
    fn a_good_request_is_a_command_with_its_totals() {
        let world = World::new();
        let command = request().check(&world.rules(), 5).expect("all rules hold");
        assert_eq!((command.total_amount, command.total_cost, command.fx_rate), (Money::usd(6_000), 6_000, None));
        assert_eq!(
            command.gifts.iter().map(|gift| (gift.amount, gift.cost)).collect::<Vec<_>>(),
            [(5_000, 5_000), (1_000, 1_000)]
        );
        assert_eq!((command.email_setting.template_id, command.timing), (TemplateId(12), SendTiming::Immediate));
        assert_eq!((command.account_id, command.entropy), (AccountId(7), 5));
        assert_eq!((command.creator.as_str(), command.card_name.as_str()), ("An app", "A card in USD"));
        assert_eq!(command.fingerprint, request().fingerprint());
    }

    #[test]
    fn all_broken_rules_are_told_at_once() {
        let mut all_wrong = Request {
            product_id: "nothing".to_owned(),
            send_timing: RequestedTiming {
                scheduled: true,
                scheduled_at: None,
                timezone: Some("Mars/Base".to_owned()),
            },
            gifts: RequestedGifts::Mails(RequestedMails {
                sender_name: " ".to_owned(),
                subject: "x".repeat(limits::SUBJECT_CHARACTERS.saturating_add(1)),
                message: Some("\0".to_owned()),
                template_id: Some("14".to_owned()),
                recipients: vec![gift("alice", "-1"), gift("bob@example.com", "10"), gift("eve@example.com", "0")],
            }),
            ..request()
        };
        all_wrong.mails_mut().recipients.first_mut().expect("alice").department = Some("a\nb".to_owned());
        let around = [
            "sendTiming.scheduledAt REQUIRED",
            "sendTiming.timezone INVALID",
            "emailSetting.senderName BLANK",
            "emailSetting.subject TOO_LONG",
            "emailSetting.message CONTROL_CHARACTER",
            "emailSetting.templateId TEMPLATE_NOT_FOUND",
        ];
        let of_alice = ["recipients[0].email INVALID_EMAIL", "recipients[0].department CONTROL_CHARACTER"];
        let without_product = [
            &around[..],
            &["productId PRODUCT_NOT_FOUND"],
            &of_alice,
            &["recipients[0].amount OUT_OF_RANGE", "recipients[2].amount OUT_OF_RANGE"],
        ];
        assert_eq!(wrong(&all_wrong, &World::new()), without_product.concat());
        // With a product, amounts are held against its prices.
        all_wrong.product_id = "usd".to_owned();
        let with_product = [
            &around[..],
            &of_alice,
            &["recipients[0].amount NOT_A_PRICE_POINT", "recipients[2].amount NOT_A_PRICE_POINT"],
        ];
        assert_eq!(wrong(&all_wrong, &World::new()), with_product.concat());
    }

    #[test]
    fn an_order_that_goes_out_at_once_has_no_schedule() {
        let mut at_once = request();
        at_once.send_timing.scheduled_at = Some("2026-12-24T09:00".to_owned());
        at_once.send_timing.timezone = Some("UTC".to_owned());
        assert_eq!(
            wrong(&at_once, &World::new()),
            ["sendTiming.scheduledAt NOT_ALLOWED", "sendTiming.timezone NOT_ALLOWED"]
        );
        at_once.send_timing.scheduled = true;
        let command = at_once.check(&World::new().rules(), 0).expect("a schedule");
        assert_eq!(command.run_at(), "2026-12-24T09:00:00Z".parse().expect("an instant"));
    }

    #[test]
    fn recipients_are_1_to_10_000() {
        for (count, is_right) in [(0, false), (1, true), (10_000, true), (10_001, false)] {
            let many = request().to(vec![gift("alice@example.com", "10"); count]);
            if is_right {
                assert_eq!(many.check(&World::new().rules(), 0).expect("a command").gifts.len(), count);
            } else {
                assert_eq!(wrong(&many, &World::new()), ["recipients OUT_OF_RANGE"], "{count}");
            }
        }
    }

    #[test]
    fn a_missing_rate_is_told_only_once_all_rules_hold() {
        let jpy = Currency::from_code("JPY").expect("yen");
        let (without, hour) = (World::new(), SignedDuration::from_hours(1));
        let mut broken = yen(&["1000"]);
        broken.mails_mut().subject.clear();
        assert_eq!(wrong(&broken, &without), ["emailSetting.subject BLANK"]);
        assert_eq!(wrong(&yen(&["499"]), &without), ["recipients[0].amount NOT_A_PRICE_POINT"]);
        assert_eq!(wrong(&yen(&["1000.5"]), &without), ["recipients[0].amount INVALID_AMOUNT"]);
        let refused = |world: &World| yen(&["1000"]).check(&world.rules(), 0).map(|command| command.total_cost);
        assert_eq!(refused(&without), Err(Refusal::NoRate(NoRate { currency: jpy, stale: false })));
        let stale = World::new().with_yen_at("0.006675", SignedDuration::from_hours(25));
        assert_eq!(refused(&stale), Err(Refusal::NoRate(NoRate { currency: jpy, stale: true })));
        assert_eq!(refused(&World::new().with_yen_at("0.006675", hour)), Ok(668));
    }

    #[test]
    fn each_gift_costs_whole_cents_and_the_order_their_sum() {
        let world = World::new().with_yen_at("0.006675", SignedDuration::ZERO);
        let command = yen(&["1000", "1000", "5000"]).check(&world.rules(), 0).expect("a command");
        // 667.5 cents twice and 3337.5, each rounded up; their exact sum would be 4672.5.
        assert_eq!(command.gifts.iter().map(|gift| gift.cost).collect::<Vec<_>>(), [668, 668, 3_338]);
        assert_eq!((command.total_cost, command.total_amount.to_string().as_str()), (4_674, "7000"));
        assert_eq!(command.fx_rate.map(|rate| rate.to_string()).as_deref(), Some("0.006675"));
    }

    #[test]
    fn the_organizations_choice_range_replaces_the_products() {
        let mut world = World::new();
        let choice = |amount: &str| of_product(CardType::ChoiceCard, "choice", &[amount]);
        let is_right = |world: &World, amount: &str| match choice(amount).check(&world.rules(), 0) {
            Ok(_) => true,
            Err(refusal) => {
                assert!(matches!(refusal, Refusal::Invalid(_)), "{refusal:?}");
                assert_eq!(wrong(&choice(amount), world), ["recipients[0].amount OUT_OF_RANGE"]);
                false
            }
        };
        let tried = ["4.99", "5", "100.00", "100.01", "500"];
        assert_eq!(tried.map(|amount| is_right(&world, amount)), [false, true, true, false, false]);
        world.settings.choice_range = Some(ChoiceRange { min: 10_001, max: 50_000 });
        assert_eq!(tried.map(|amount| is_right(&world, amount)), [false, false, false, true, true]);
    }

    #[test]
    fn a_product_is_looked_for_among_those_of_the_endpoint() {
        let world = World::new();
        assert_eq!(wrong(&of_product(CardType::ChoiceCard, "usd", &["10"]), &world), ["productId PRODUCT_NOT_FOUND"]);
        let choice = of_product(CardType::BrandedCard, "choice", &["10"]);
        assert_eq!(wrong(&choice, &world), ["productId PRODUCT_NOT_FOUND"]);
    }

    #[test]
    fn amounts_and_costs_that_leave_64_bits_are_refused() {
        let most = "92233720368547758.07";
        let usd = |amounts: &[&str]| of_product(CardType::BrandedCard, "usd", amounts);
        assert!(usd(&[most]).check(&World::new().rules(), 0).is_ok());
        assert_eq!(wrong(&usd(&[most, "10"]), &World::new()), ["recipients TOO_LARGE"]);
        assert_eq!(wrong(&usd(&["92233720368547758.08"]), &World::new()), ["recipients[0].amount INVALID_AMOUNT"]);
        // A dollar a yen: the sum of the costs leaves them, that of the amounts doesn't; then one cost does.
        let world = World::new().with_yen_at("1", SignedDuration::ZERO);
        let half = "50000000000000000";
        assert!(yen(&[half]).check(&world.rules(), 0).is_ok());
        assert_eq!(wrong(&yen(&[half, half]), &world), ["recipients TOO_LARGE"]);
        assert_eq!(wrong(&yen(&["100000000000000000"]), &world), ["recipients[0].amount TOO_LARGE"]);
    }

    #[test]
    fn problems_end_with_the_hundredth() {
        let many = request().to(vec![gift("nobody", "1"); 1_000]);
        assert_eq!(wrong(&many, &World::new()).len(), limits::PROBLEMS);
    }
    fn links(quantity: i64, amount: &str) -> Request {
        Request { gifts: RequestedGifts::Links { quantity, amount: decimal(amount) }, ..link_request() }
    }

    #[test]
    fn links_come_from_the_organization_and_have_no_address() {
        let command = link_request().check(&World::new().rules(), 5).expect("all rules hold");
        assert_eq!((command.order_type, command.total_amount), (OrderType::Link, Money::usd(15_000)));
        assert_eq!((command.gifts.len(), command.total_cost), (3, 15_000));
        assert!(command.gifts.iter().all(|gift| gift.recipient.email.is_none() && gift.cost == 5_000));
        let EmailSetting { sender_name, subject, message, template_id } = command.email_setting;
        assert_eq!((sender_name.as_str(), subject.as_str(), message), ("Sakura Inc.", "", None));
        assert_eq!(template_id, TemplateId(12));
    }

    #[test]
    fn links_obey_the_same_rules_each_under_its_own_field() {
        let world = World::new();
        let broken = Request {
            product_id: "nothing".to_owned(),
            send_timing: RequestedTiming { scheduled: true, scheduled_at: None, timezone: Some("UTC".to_owned()) },
            ..links(0, "-1")
        };
        assert_eq!(
            wrong(&broken, &world),
            [
                "sendTiming.scheduledAt REQUIRED",
                "productId PRODUCT_NOT_FOUND",
                "quantity OUT_OF_RANGE",
                "amountPerLink OUT_OF_RANGE"
            ]
        );
        for (quantity, is_right) in [(i64::MIN, false), (-1, false), (1, true), (10_000, true), (10_001, false)] {
            match links(quantity, "10").check(&world.rules(), 0) {
                Ok(command) => assert!(is_right && i64::try_from(command.gifts.len()) == Ok(quantity), "{quantity}"),
                Err(_) => assert!(!is_right && wrong(&links(quantity, "10"), &world) == ["quantity OUT_OF_RANGE"]),
            }
        }
        assert_eq!(wrong(&links(1, "9.99"), &world), ["amountPerLink NOT_A_PRICE_POINT"]);
        assert_eq!(wrong(&links(1, "10.001"), &world), ["amountPerLink INVALID_AMOUNT"]);
        assert_eq!(wrong(&links(2, "92233720368547758.07"), &world), ["amountPerLink TOO_LARGE"]);
        let choice = |amount: &str| Request {
            card_type: CardType::ChoiceCard,
            product_id: "choice".to_owned(),
            ..links(1, amount)
        };
        assert!(choice("100").check(&world.rules(), 0).is_ok());
        assert_eq!(wrong(&choice("100.01"), &world), ["amountPerLink OUT_OF_RANGE"]);
    }
}
