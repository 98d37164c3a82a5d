//! `POST /orders/test-email`

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use giftd_domain::Timestamp;
use giftd_domain::catalog::{Catalog, Reference};
use giftd_domain::gifts::{DeliveryStatus, MailKind, Recipient, expires_at};
use giftd_domain::limits;
use giftd_domain::money::Money;
use giftd_domain::orders::CardType;
use giftd_domain::orders::place::{
    AccountSettings, Refusal, Request, RequestedGift, RequestedGifts, RequestedMails, RequestedTiming, Rules,
};
use giftd_domain::problems::Problems;
use giftd_domain::templates::{SenderLook, TemplateContent};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::api::body::JsonBody;
use crate::api::caller::{Caller, OrdersWrite};
use crate::api::error::ApiError;
use crate::api::fields::Fields;
use crate::api::wire::{self, Data, DeliveryStatusName};
use crate::mail::attempt::{About, attempt};
use crate::mail::{GiftMail, MailFrom, Outcome, Post, Sender};
use crate::redeem::PREVIEW_PATH;
use crate::serve;
use crate::state::Giftd;

/// Send test email
///
/// Mails a preview of a gift's mail, with placeholders for the recipient's names and a link that opens no gift. Nothing
/// is charged and no order is made. 10 a day (UTC) for an account; requests that are refused don't count.
#[utoipa::path(
    post,
    path = "/orders/test-email",
    operation_id = "sendTestEmail",
    tag = "Orders",
    security(("oauth2" = ["orders.write"])),
    request_body(content = TestEmailRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "The preview was tried: `status` says what became of it.", body = Data<TestEmailBody>),
        (status = 429, description = "`RATE_LIMITED`: all of the day's previews were sent, or too many requests; see `Retry-After`"),
    ),
)]
pub async fn send_test_email(
    State(giftd): State<Arc<Giftd>>,
    caller: Caller<OrdersWrite>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let asked = body.read(read).await?;
    let account = caller.account_id();
    let (reference, settings, look) =
        tokio::try_join!(giftd.reference(), giftd.account_settings(account), giftd.sender_look(account))?;
    let settings = settings.ok_or_else(|| ApiError::internal("an app's account doesn't exist"))?;
    let preview = asked.check(&giftd, &caller, &reference, &settings)?;
    let template = template(&giftd, &caller, &asked, &settings).await?;
    let (post, mail_from) = post(giftd.clone()).await?;
    let mail = preview.mail(&giftd, &caller, mail_from, template, look.unwrap_or_default()).await?;

    let now = giftd.clock.now();
    let Some(remaining_today) = giftd.store.count_test_mail(account, now).await? else {
        let message = format!("An account may send {} previews a day (UTC).", limits::TEST_MAILS_A_DAY);
        return Err(ApiError::rate_limited(message, until_midnight(now)));
    };
    let about = About { account, order: None, attempts: 0 };
    let status = send(&giftd, post, &mail, about).await;
    let data = TestEmailBody { sent_to: mail.to, status: DeliveryStatusName(status), remaining_today };
    Ok(wire::json(StatusCode::OK, &Data { data }))
}

/// What a client asks for.
struct TestEmail {
    email: String,
    product_id: String,
    amount: Decimal,
    subject: String,
    sender_name: String,
    message: Option<String>,
    template_id: Option<String>,
}

fn read(fields: &mut Fields<'_, '_>) -> Option<TestEmail> {
    let (email, product_id) = (fields.required_text("email"), fields.required_text("productId"));
    let (amount, subject) = (fields.required_decimal("amount"), fields.required_text("emailSubject"));
    let (sender_name, message) = (fields.required_text("senderName"), fields.text("emailMessage"));
    let template_id = fields.text("templateId");
    Some(TestEmail {
        email: email?,
        product_id: product_id?,
        amount: amount?,
        subject: subject?,
        sender_name: sender_name?,
        message,
        template_id,
    })
}

/// What a preview shows, all rules kept.
struct Preview {
    to: String,
    sender_name: String,
    subject: String,
    message: Option<String>,
    card_name: String,
    amount: Money,
}

impl TestEmail {
    /// The rules of placing an order with this one gift, but for what it would cost.
    fn check(
        &self,
        giftd: &Giftd,
        caller: &Caller<OrdersWrite>,
        reference: &Reference,
        settings: &AccountSettings,
    ) -> Result<Preview, ApiError> {
        let now = giftd.clock.now();
        let rules = Rules {
            account_id: caller.account_id(),
            creator: &caller.app.name,
            organization: "",
            settings,
            reference,
            fx_max_age: SignedDuration::MAX,
            now,
            node_now: now,
        };
        let request = self.as_order(&reference.catalog);
        let to = match request.check(&rules, 0) {
            Err(Refusal::Invalid(problems)) => return Err(ApiError::validation(renamed(problems))),
            Ok(_) | Err(Refusal::NoRate(_)) => giftd_domain::text::email(&self.email),
        };
        let product = product(&reference.catalog, &self.product_id);
        let minor = product.and_then(|(_, currency)| currency.minor_units(self.amount).ok());
        let (Some(to), Some((card_name, currency)), Some(minor)) = (to, product, minor) else {
            return Err(ApiError::internal("a preview keeps all rules and has no product, address or amount"));
        };
        Ok(Preview {
            to,
            sender_name: self.sender_name.clone(),
            subject: self.subject.clone(),
            message: self.message.clone(),
            card_name: card_name.to_owned(),
            amount: Money::new(minor, currency),
        })
    }

    fn as_order(&self, catalog: &Catalog) -> Request {
        let is_choice = catalog.choice.contains_key(&self.product_id);
        Request {
            card_type: if is_choice { CardType::ChoiceCard } else { CardType::BrandedCard },
            idempotency_key: String::new(),
            product_id: self.product_id.clone(),
            send_timing: RequestedTiming { scheduled: false, scheduled_at: None, timezone: None },
            gifts: RequestedGifts::Mails(RequestedMails {
                sender_name: self.sender_name.clone(),
                subject: self.subject.clone(),
                message: self.message.clone(),
                template_id: self.template_id.clone(),
                recipients: vec![RequestedGift {
                    email: self.email.clone(),
                    first_name: None,
                    last_name: None,
                    company: None,
                    department: None,
                    amount: self.amount,
                }],
            }),
            refund_option: false,
        }
    }
}

/// An order's problems by the names that the fields have here.
fn renamed(problems: Problems) -> Problems {
    let mut renamed = Problems::new();
    for problem in problems.into_vec() {
        let (field, message) = match problem.field.as_str() {
            "emailSetting.senderName" => ("senderName", problem.message),
            "emailSetting.subject" => ("emailSubject", problem.message),
            "emailSetting.message" => ("emailMessage", problem.message),
            "emailSetting.templateId" => ("templateId", problem.message),
            "productId" => ("productId", "names no product of the catalog".to_owned()),
            "recipients[0].email" => ("email", problem.message),
            _ => ("amount", problem.message),
        };
        renamed.add(field, problem.code, message);
    }
    renamed
}

/// A product's name and currency.
fn product<'a>(catalog: &'a Catalog, id: &str) -> Option<(&'a str, giftd_domain::money::Currency)> {
    let branded = catalog.branded.get(id).map(|card| (card.product_name.as_str(), card.currency));
    branded.or_else(|| catalog.choice.get(id).map(|card| (card.product_name.as_str(), card.currency)))
}

async fn template(
    giftd: &Giftd,
    caller: &Caller<OrdersWrite>,
    asked: &TestEmail,
    settings: &AccountSettings,
) -> Result<TemplateContent, ApiError> {
    let named = asked.template_id.as_deref().and_then(|id| id.parse().ok()).unwrap_or(settings.default_template);
    let templates = giftd.store.templates(caller.account_id()).await?;
    let found = templates.into_iter().find(|template| template.template_id == named);
    // Deleted since the settings were read.
    let missing = || ApiError::invalid("templateId", "TEMPLATE_NOT_FOUND", "names no template of this account");
    Ok(found.ok_or_else(missing)?.content)
}

impl Preview {
    async fn mail(
        self,
        giftd: &Giftd,
        caller: &Caller<OrdersWrite>,
        mail_from: MailFrom,
        template: TemplateContent,
        look: Arc<SenderLook>,
    ) -> Result<GiftMail, ApiError> {
        let date = giftd.account_time(caller.account_id(), caller.environment()).await?;
        let placeholder = |name: &str| Some(format!("[{name}]"));
        Ok(GiftMail {
            kind: MailKind::Gift,
            message_id: format!("<preview.{:032x}@{}>", giftd.clock.entropy(), mail_from.host()),
            date,
            mail_from,
            to: self.to,
            recipient: Recipient {
                email: None,
                first_name: placeholder("First name"),
                last_name: placeholder("Last name"),
                company: placeholder("Company"),
                department: None,
            },
            sender_name: self.sender_name,
            subject: self.subject,
            message: self.message,
            card_name: self.card_name,
            amount: self.amount,
            expires_at: expires_at(date, false),
            link: format!("{}{PREVIEW_PATH}", giftd.settings.public_url_at(giftd.settings.listen)),
            template,
            look,
            environment: caller.environment(),
            is_preview: true,
        })
    }
}

/// Where mails go and whom they come from. Setting up TLS reads files.
async fn post(giftd: Arc<Giftd>) -> Result<(Post, MailFrom), ApiError> {
    let set_up = tokio::task::spawn_blocking(move || serve::mail(&giftd.settings)).await;
    set_up.map_err(ApiError::internal)?.map_err(ApiError::internal)
}

/// Sends it while the client waits.
async fn send(giftd: &Giftd, post: Post, mail: &GiftMail, about: About) -> DeliveryStatus {
    let sending = async {
        let mut sender = Sender::new(post);
        let outcome = attempt(giftd, &mut sender, mail, about).await;
        sender.close().await;
        outcome
    };
    let outcome = timeout(Duration::from_secs(limits::TEST_MAIL_SECONDS), sending).await;
    let text = match outcome {
        Ok(Outcome::Sent) => return DeliveryStatus::Sent,
        Ok(Outcome::Refused { text } | Outcome::Transient { text }) => text,
        Ok(Outcome::OurFault { text }) => {
            tracing::error!(error = text, "a preview can't be mailed for a fault of ours; `giftd doctor` tells more");
            return DeliveryStatus::Failed;
        }
        Err(_) => "the mail server took too long".to_owned(),
    };
    tracing::info!(error = text, "a preview is not sent");
    DeliveryStatus::Failed
}

/// Until the next day begins in UTC.
fn until_midnight(now: Timestamp) -> Duration {
    let zoned = now.to_zoned(TimeZone::UTC);
    let midnight = zoned.tomorrow().and_then(|tomorrow| tomorrow.start_of_day());
    let wait = midnight.map_or(SignedDuration::from_hours(24), |midnight| midnight.timestamp().duration_since(now));
    Duration::try_from(wait).unwrap_or_default()
}

/// What became of a preview.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TestEmail)]
pub struct TestEmailBody {
    /// To whom.
    #[schema(example = "alice@example.com")]
    sent_to: String,
    /// SENT, or FAILED where the mail server didn't take it; it isn't tried again.
    #[schema(value_type = String, example = "SENT")]
    status: DeliveryStatusName,
    /// How many more the account may send today, in UTC.
    #[schema(minimum = 0, maximum = 9, example = 9)]
    remaining_today: u32,
}

/// A preview to be mailed.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(rename_all = "camelCase", example = json!({
    "email": "me@example.com",
    "productId": "10042",
    "amount": 50.00,
    "emailSubject": "A gift for you, {{firstName}}!",
    "senderName": "Acme Corp",
    "emailMessage": "Thank you for your hard work.",
    "templateId": "12",
}))]
#[expect(dead_code, reason = "describes what `read` reads")]
pub struct TestEmailRequest {
    /// To whom.
    #[schema(format = IdnEmail, max_length = 254, example = "me@example.com")]
    email: String,
    /// Any product of the catalog.
    #[schema(example = "10042")]
    product_id: String,
    /// One of its price points, or in its range.
    #[schema(value_type = f64, exclusive_minimum = 0, example = 50.00)]
    amount: Decimal,
    /// The subject, not only white space.
    #[schema(pattern = r"\S", min_length = 1, max_length = 200)]
    email_subject: String,
    /// The display name of the sender, not only white space.
    #[schema(pattern = r"\S", min_length = 1, max_length = 100)]
    sender_name: String,
    /// A personal message; it may hold line feeds and tabs.
    #[schema(max_length = 2_000)]
    email_message: Option<String>,
    /// A template of the account; else its default.
    template_id: Option<String>,
}
