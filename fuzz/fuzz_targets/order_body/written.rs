//! A request, written as JSON again: in ways that must not matter.

use giftd_domain::orders::place::{Request, RequestedGift, RequestedGifts, RequestedTiming};
use rust_decimal::Decimal;

/// In the reference page's order, what is absent left out.
pub fn plainly(request: &Request) -> String {
    let there = |fields: Fields| fields.into_iter().filter(|(_, value)| value != "null").collect();
    Writing { amount: &|amount| amount.to_string(), fields: &there, space: "" }.request(request)
}

/// In another order, with white space, `null` for what is absent and an exponent on each number.
pub fn otherwise(request: &Request) -> String {
    let amount = |amount: Decimal| match amount.mantissa() {
        0 => "0e9".to_owned(),
        digits => format!("{digits}0E-{}", i64::from(amount.scale()) + 1),
    };
    let reversed = |fields: Fields| fields.into_iter().rev().collect();
    Writing { amount: &amount, fields: &reversed, space: "\r\n\t " }.request(request)
}

type Fields = Vec<(&'static str, String)>;

struct Writing<'a> {
    amount: &'a dyn Fn(Decimal) -> String,
    fields: &'a dyn Fn(Fields) -> Fields,
    space: &'a str,
}

impl Writing<'_> {
    fn request(&self, request: &Request) -> String {
        let mut fields = vec![
            ("idempotencyKey", text(&request.idempotency_key)),
            ("productId", text(&request.product_id)),
            ("sendTiming", self.timing(&request.send_timing)),
            ("refundOption", request.refund_option.to_string()),
        ];
        match &request.gifts {
            RequestedGifts::Mails(mails) => fields.extend([
                (
                    "emailSetting",
                    self.object(vec![
                        ("senderName", text(&mails.sender_name)),
                        ("subject", text(&mails.subject)),
                        ("message", optional(mails.message.as_deref())),
                        ("templateId", optional(mails.template_id.as_deref())),
                    ]),
                ),
                ("recipients", self.array(mails.recipients.iter().map(|gift| self.gift(gift)))),
            ]),
            RequestedGifts::Links { quantity, amount } => fields.extend([
                ("cardType", text(request.card_type.into())),
                ("quantity", (self.amount)(Decimal::from(*quantity))),
                ("amountPerLink", (self.amount)(*amount)),
            ]),
        }
        self.object(fields)
    }

    fn timing(&self, timing: &RequestedTiming) -> String {
        self.object(vec![
            ("type", text(if timing.scheduled { "SCHEDULED" } else { "IMMEDIATE" })),
            ("scheduledAt", optional(timing.scheduled_at.as_deref())),
            ("timezone", optional(timing.timezone.as_deref())),
        ])
    }

    fn gift(&self, gift: &RequestedGift) -> String {
        self.object(vec![
            ("email", text(&gift.email)),
            ("firstName", optional(gift.first_name.as_deref())),
            ("lastName", optional(gift.last_name.as_deref())),
            ("company", optional(gift.company.as_deref())),
            ("department", optional(gift.department.as_deref())),
            ("amount", (self.amount)(gift.amount)),
        ])
    }

    fn object(&self, fields: Fields) -> String {
        let fields = (self.fields)(fields).into_iter().map(|(name, value)| format!("{}:{value}", text(name)));
        format!("{{{}}}", self.joined(fields))
    }

    fn array(&self, items: impl Iterator<Item = String>) -> String {
        format!("[{}]", self.joined(items))
    }

    fn joined(&self, parts: impl Iterator<Item = String>) -> String {
        let space = self.space;
        parts.map(|part| format!("{space}{part}{space}")).collect::<Vec<_>>().join(",")
    }
}

fn text(text: &str) -> String {
    serde_json::to_string(text).expect("a text has a JSON form")
}

fn optional(value: Option<&str>) -> String {
    value.map_or_else(|| "null".to_owned(), text)
}
