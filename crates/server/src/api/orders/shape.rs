//! An order as clients see it. The order of the fields is the contract's.

use giftd_domain::access::Environment;
use giftd_domain::gifts::Gift;
use giftd_domain::ids::{AccountId, GiftId, OrderId};
use giftd_domain::money::{Currency, Money};
use giftd_domain::orders::{EmailSetting, Order, OrderStatus, OrderSummary, OrderType};
use giftd_domain::schedule::SendTiming;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::orders::TimingType;
use crate::api::wire::{
    Amount, CardTypeName, DeliveryStatusName, EnvironmentName, Instant, MoneyBody, OrderStatusName, OrderTypeName,
    RedemptionStatusName, TimingTypeName,
};
use crate::keys::SecretKey;
use crate::links::{self, GiftLink};

/// An order with all its recipients.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Order)]
#[serde(rename_all = "camelCase")]
pub struct OrderBody {
    /// All but the recipients.
    #[serde(flatten)]
    pub summary: SummaryBody,
    /// In the order of the request.
    pub recipients: Vec<RecipientBody>,
}

/// An order without its recipients.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = OrderSummary)]
#[serde(rename_all = "camelCase")]
pub struct SummaryBody {
    /// Two letters for its type (OT, SO, LO), then 26 characters that sort by time.
    #[schema(value_type = String, pattern = "^(OT|SO|LO)[0-9A-HJKMNP-TV-Z]{26}$", example = "OT01KAPBQBY0000000000000000A")]
    #[serde(serialize_with = "as_text")]
    pub order_id: OrderId,
    /// How it came about.
    pub order_type: OrderTypeName,
    /// What kind of card.
    pub card_type: CardTypeName,
    /// Where it stands.
    pub status: OrderStatusName,
    /// Of the app's credentials.
    pub environment: EnvironmentName,
    /// The product.
    #[schema(example = "10042")]
    pub product_id: String,
    /// The product's name when it was placed.
    pub card_name: String,
    /// The name of the app that placed it.
    pub creator: String,
    /// When it was placed.
    pub created_at: Instant,
    /// When it goes out.
    pub send_timing: SendTimingBody,
    /// What the mails say.
    pub email_setting: EmailSettingBody,
    /// Whether it expires after 30 days with a refund of 70 %.
    pub refund_option: bool,
    /// Its gifts.
    #[schema(minimum = 1, maximum = 10_000)]
    pub recipient_count: u32,
    /// In the product's currency.
    pub total_amount: MoneyBody,
    /// Taken from the balance, in USD.
    pub total_cost: MoneyBody,
    /// US dollars for one unit of the currency, as paid; null in USD.
    #[schema(required, example = "0.006675")]
    pub fx_rate: Option<String>,
    /// When each gift was SENT or FAILED.
    #[schema(required)]
    pub completed_at: Option<Instant>,
    /// When it was canceled.
    #[schema(required)]
    pub canceled_at: Option<Instant>,
}

/// When an order goes out.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = OrderSendTiming)]
#[serde(rename_all = "camelCase")]
pub struct SendTimingBody {
    /// At once or at a time.
    #[serde(rename = "type")]
    pub kind: TimingTypeName,
    /// The local time; null when IMMEDIATE.
    #[schema(required, example = "2026-12-24T09:00:00")]
    pub scheduled_at: Option<String>,
    /// The IANA zone; null when IMMEDIATE.
    #[schema(required, example = "Asia/Tokyo")]
    pub timezone: Option<String>,
    /// The resolved instant; for IMMEDIATE when it was placed.
    pub send_at: Instant,
}

/// What the mails say.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = OrderEmailSetting)]
#[serde(rename_all = "camelCase")]
pub struct EmailSettingBody {
    /// The display name of the sender.
    pub sender_name: String,
    /// The subject; empty when it was erased with a single recipient.
    pub subject: String,
    /// The personal message; null also when it was erased with a single recipient.
    #[schema(required)]
    pub message: Option<String>,
    /// The template in force.
    #[schema(example = "12")]
    pub template_id: String,
}

/// One gift.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = OrderRecipient)]
#[serde(rename_all = "camelCase")]
pub struct RecipientBody {
    /// The order's id and the position.
    #[schema(value_type = String, example = "OT01KAPBQBY0000000000000000A-00001")]
    #[serde(serialize_with = "as_text")]
    pub recipient_id: GiftId,
    /// The address; null for links, and, as the names, when it was erased some time after the gift's expiry.
    #[schema(required, example = "alice@example.com")]
    pub email: Option<String>,
    /// First name.
    #[schema(required)]
    pub first_name: Option<String>,
    /// Last name.
    #[schema(required)]
    pub last_name: Option<String>,
    /// Company.
    #[schema(required)]
    pub company: Option<String>,
    /// Department.
    #[schema(required)]
    pub department: Option<String>,
    /// How much, in `currency`.
    pub amount: Amount,
    /// The product's currency, ISO 4217.
    #[schema(example = "JPY")]
    pub currency: &'static str,
    /// Taken from the balance, in USD.
    pub cost: Amount,
    /// Where its mail stands.
    pub delivery_status: DeliveryStatusName,
    /// Attempts to deliver it so far.
    #[schema(minimum = 0)]
    pub delivery_attempts: u32,
    /// The last failure's text; null once SENT.
    #[schema(required)]
    pub delivery_error: Option<String>,
    /// The first success.
    #[schema(required)]
    pub sent_at: Option<Instant>,
    /// How much of it was used.
    pub redemption_status: RedemptionStatusName,
    /// When nothing was left.
    #[schema(required)]
    pub redeemed_at: Option<Instant>,
    /// When it expires.
    #[schema(required)]
    pub expires_at: Option<Instant>,
    /// What returned to the balance at expiry, in USD.
    #[schema(required)]
    pub refunded_amount: Option<Amount>,
    /// For orders of type LINK, once COMPLETE: with it anyone can redeem.
    #[schema(required)]
    pub reward_link: Option<String>,
}

/// What reward links are made with.
#[derive(Clone, Copy, Debug)]
pub struct Links<'a> {
    /// Whose orders.
    pub account_id: AccountId,
    /// Where the pages of gifts are.
    pub public_url: &'a str,
    /// The key of links.
    pub key: &'a SecretKey,
}

impl Links<'_> {
    fn url(&self, order: OrderId, gift: &Gift) -> String {
        let link = GiftLink {
            account: self.account_id,
            order: order.time,
            position: gift.position,
            link_version: gift.link_version,
        };
        links::page(self.public_url, self.key, link)
    }
}

impl OrderBody {
    /// `order` of an account in `environment`. Reward links are there once it is complete, and only for whom
    /// there is something to make `links` with.
    pub fn new(order: Order, environment: Environment, links: Option<&Links<'_>>) -> Self {
        let Order { summary, gifts } = order;
        let (order_id, currency) = (summary.order_id, summary.total_amount.currency);
        let are_links_out = order_id.order_type == OrderType::Link && summary.status == OrderStatus::Complete;
        let links = links.filter(|_| are_links_out);
        let recipient = |gift: Gift| {
            let reward_link = links.map(|links| links.url(order_id, &gift));
            RecipientBody { reward_link, ..RecipientBody::new(gift, order_id, currency) }
        };
        Self { recipients: gifts.into_iter().map(recipient).collect(), summary: SummaryBody::new(summary, environment) }
    }
}

impl SummaryBody {
    /// `order` of an account in `environment`.
    pub fn new(order: OrderSummary, environment: Environment) -> Self {
        let (created_at, send_at) = (order.created_at(), order.send_at());
        Self {
            order_id: order.order_id,
            order_type: OrderTypeName(order.order_id.order_type),
            card_type: CardTypeName(order.card_type),
            status: OrderStatusName(order.status),
            environment: EnvironmentName(environment),
            product_id: order.product_id,
            card_name: order.card_name,
            creator: order.creator,
            created_at: Instant(created_at),
            send_timing: match order.timing {
                SendTiming::Immediate => SendTimingBody {
                    kind: TimingTypeName(TimingType::Immediate),
                    scheduled_at: None,
                    timezone: None,
                    send_at: Instant(send_at),
                },
                SendTiming::Scheduled(schedule) => SendTimingBody {
                    kind: TimingTypeName(TimingType::Scheduled),
                    scheduled_at: Some(format!("{:.0}", schedule.local)),
                    timezone: Some(schedule.timezone),
                    send_at: Instant(send_at),
                },
            },
            email_setting: EmailSettingBody::new(order.email_setting),
            refund_option: order.refund_option,
            recipient_count: order.recipient_count,
            total_amount: order.total_amount.into(),
            total_cost: Money::usd(order.total_cost).into(),
            fx_rate: order.fx_rate.map(|rate| rate.to_string()),
            completed_at: order.completed_at.map(Instant),
            canceled_at: order.canceled_at.map(Instant),
        }
    }
}

impl EmailSettingBody {
    fn new(setting: EmailSetting) -> Self {
        Self {
            sender_name: setting.sender_name,
            subject: setting.subject,
            message: setting.message,
            template_id: setting.template_id.to_string(),
        }
    }
}

impl RecipientBody {
    fn new(gift: Gift, order: OrderId, currency: Currency) -> Self {
        Self {
            recipient_id: GiftId { order, position: gift.position },
            email: gift.recipient.email,
            first_name: gift.recipient.first_name,
            last_name: gift.recipient.last_name,
            company: gift.recipient.company,
            department: gift.recipient.department,
            amount: Amount(Money::new(gift.amount, currency)),
            currency: currency.code(),
            cost: Amount(Money::usd(gift.cost)),
            delivery_status: DeliveryStatusName(gift.delivery_status),
            delivery_attempts: gift.delivery_attempts,
            delivery_error: gift.delivery_error,
            sent_at: gift.sent_at.map(Instant),
            redemption_status: RedemptionStatusName(gift.redemption_status),
            redeemed_at: gift.redeemed_at.map(Instant),
            expires_at: gift.expires_at.map(Instant),
            refunded_amount: gift.refunded.map(|cents| Amount(Money::usd(cents))),
            reward_link: None,
        }
    }
}

fn as_text<S: serde::Serializer>(value: &impl std::fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[cfg(test)]
mod tests {
    use giftd_domain::gifts::{DeliveryStatus, Recipient, RedemptionStatus};
    use giftd_domain::ids::{TemplateId, TimeId};
    use giftd_domain::orders::CardType;
    use giftd_domain::schedule::Schedule;

    use super::*;

    #[test]
    fn an_order_looks_as_the_contract_prints_it() {
        let yen = Currency::from_code("JPY").expect("yen");
        let created = "2026-11-22T18:30:00Z".parse().expect("an instant");
        let order_id = OrderId { order_type: OrderType::OneTime, time: TimeId::next(None, created, 7).expect("an id") };
        let order = Order {
            summary: OrderSummary {
                order_id,
                card_type: CardType::BrandedCard,
                status: OrderStatus::Pending,
                product_id: "20001".to_owned(),
                card_name: "Sakura Books JP".to_owned(),
                creator: "Payroll".to_owned(),
                timing: SendTiming::Scheduled(Schedule {
                    local: "2026-12-24T09:00".parse().expect("a time"),
                    timezone: "Asia/Tokyo".to_owned(),
                    send_at: "2026-12-24T00:00:00Z".parse().expect("an instant"),
                }),
                email_setting: EmailSetting {
                    sender_name: "Acme Corp".to_owned(),
                    subject: "A gift for you!".to_owned(),
                    message: None,
                    template_id: TemplateId(12),
                },
                refund_option: false,
                recipient_count: 1,
                total_amount: Money::new(5000, yen),
                total_cost: 3338,
                fx_rate: Some(giftd_domain::fx::Rate::parse("0.006675").expect("a rate")),
                completed_at: None,
                canceled_at: None,
            },
            gifts: vec![Gift {
                position: 1,
                recipient: Recipient {
                    email: Some("alice@example.com".to_owned()),
                    first_name: Some("Alice".to_owned()),
                    last_name: None,
                    company: None,
                    department: None,
                },
                amount: 5000,
                cost: 3338,
                delivery_status: DeliveryStatus::Pending,
                delivery_attempts: 0,
                delivery_error: None,
                sent_at: None,
                redemption_status: RedemptionStatus::Unredeemed,
                redeemed_at: None,
                expires_at: None,
                redeemed: 0,
                reserved: 0,
                voided: 0,
                refunded: None,
                link_version: 1,
            }],
        };
        let expected = format!(
            r#"{{"orderId":"{order_id}","orderType":"ONE_TIME","cardType":"BRANDED_CARD","status":"PENDING","environment":"PRODUCTION","productId":"20001","cardName":"Sakura Books JP","creator":"Payroll","createdAt":"2026-11-22T18:30:00.000Z","sendTiming":{{"type":"SCHEDULED","scheduledAt":"2026-12-24T09:00:00","timezone":"Asia/Tokyo","sendAt":"2026-12-24T00:00:00.000Z"}},"emailSetting":{{"senderName":"Acme Corp","subject":"A gift for you!","message":null,"templateId":"12"}},"refundOption":false,"recipientCount":1,"totalAmount":{{"amount":5000,"currency":"JPY"}},"totalCost":{{"amount":33.38,"currency":"USD"}},"fxRate":"0.006675","completedAt":null,"canceledAt":null,"recipients":[{{"recipientId":"{order_id}-00001","email":"alice@example.com","firstName":"Alice","lastName":null,"company":null,"department":null,"amount":5000,"currency":"JPY","cost":33.38,"deliveryStatus":"PENDING","deliveryAttempts":0,"deliveryError":null,"sentAt":null,"redemptionStatus":"UNREDEEMED","redeemedAt":null,"expiresAt":null,"refundedAmount":null,"rewardLink":null}}]}}"#
        );
        let body = OrderBody::new(order, Environment::Production, None);
        assert_eq!(serde_json::to_string(&body).expect("JSON"), expected);
    }
}
