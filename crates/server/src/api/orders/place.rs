//! `POST /orders/branded-cards` and `POST /orders/choice-cards`, and the way that all orders are placed.
//!
//! In this order: who, may they, how often (the `Caller`), the body's shape with all its problems, the
//! key's earlier order, all rules, the money. The key and the money are looked at in one transaction; a
//! request that breaks a rule asks for its key's order first all the same, so that a retry gets its
//! original answer whatever has changed since.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use giftd_domain::ids::{AccountId, OrderId};
use giftd_domain::limits;
use giftd_domain::money::Money;
use giftd_domain::orders::CardType;
use giftd_domain::orders::place::{
    AccountSettings, PlaceOrder, Refusal, Request, RequestedGift, RequestedGifts, RequestedMails, RequestedTiming,
    Rules,
};
use giftd_domain::schedule::SendTiming;
use giftd_domain::text;
use giftd_store::{Placed, StoreError};
use jiff::SignedDuration;
use utoipa::ToSchema;

use crate::api::body::JsonBody;
use crate::api::caller::{Caller, OrdersWrite};
use crate::api::error::{ApiError, ErrorBody};
use crate::api::fields::Fields;
use crate::api::orders::TimingType;
use crate::api::orders::get::{kept_order_answer, order_answer};
use crate::api::orders::shape::OrderBody;
use crate::api::wire::{Data, MoneyBody, TimingTypeName};
use crate::state::Giftd;

/// The header that clients in the field send the key in.
const KEY_HEADER: &str = "x-idempotency-key";
/// The body's field of the same.
const KEY: &str = "idempotencyKey";

/// Create branded card order
///
/// Places a gift card order. Each recipient can receive a different amount, one of the product's price
/// points, in the product's currency. The order, its gifts, the balance movement and the work to
/// deliver it are durable together when this answers 201. The same key with the same content answers
/// 200 and the order as it is now.
#[utoipa::path(
    post,
    path = "/orders/branded-cards",
    operation_id = "createBrandedCardOrder",
    tag = "Orders",
    security(("oauth2" = ["orders.write"])),
    params(("X-Idempotency-Key" = Option<String>, Header, description = "The same as `idempotencyKey` in the body; one of them suffices", max_length = 64)),
    request_body(content = PlaceOrderRequest, content_type = "application/json"),
    responses(
        (status = 201, description = "Placed.", body = Data<OrderBody>),
        (status = 200, description = "The key's order, as it is now: this request was answered before.", body = Data<OrderBody>),
        (status = 402, description = "`INSUFFICIENT_BALANCE`", body = InsufficientBalance),
        (status = 409, description = "`DUPLICATE_IDEMPOTENCY_KEY`: the key has an order of other content or of the other endpoint", body = DuplicateKey),
    ),
)]
pub async fn place_branded(
    State(giftd): State<Arc<Giftd>>,
    caller: Caller<OrdersWrite>,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let request = parse(&headers, body, CardType::BrandedCard).await?;
    place(giftd, caller, request).await
}

/// Create choice card order
///
/// Places an order of choice cards, where each recipient picks the brand. Each recipient can receive a
/// different amount within the range of `GET /catalog/choice-cards`. Everything else is as for branded
/// cards.
#[utoipa::path(
    post,
    path = "/orders/choice-cards",
    operation_id = "createChoiceCardOrder",
    tag = "Orders",
    security(("oauth2" = ["orders.write"])),
    params(("X-Idempotency-Key" = Option<String>, Header, description = "The same as `idempotencyKey` in the body; one of them suffices", max_length = 64)),
    request_body(content = PlaceOrderRequest, content_type = "application/json", example = json!({
        "idempotencyKey": "018f3f5e-7a10-7cc3-98c4-dc0c0c073990",
        "productId": "55",
        "sendTiming": {"type": "IMMEDIATE"},
        "emailSetting": {"senderName": "Acme Corp", "subject": "Choose your gift!"},
        "recipients": [
            {"email": "alice@example.com", "firstName": "Alice", "lastName": "Smith", "amount": 100.00},
            {"email": "bob@example.com", "firstName": "Bob", "lastName": "Jones", "amount": 50.00},
        ],
    })),
    responses(
        (status = 201, description = "Placed.", body = Data<OrderBody>),
        (status = 200, description = "The key's order, as it is now: this request was answered before.", body = Data<OrderBody>),
        (status = 402, description = "`INSUFFICIENT_BALANCE`", body = InsufficientBalance),
        (status = 409, description = "`DUPLICATE_IDEMPOTENCY_KEY`: the key has an order of other content or of the other endpoint", body = DuplicateKey),
    ),
)]
pub async fn place_choice(
    State(giftd): State<Arc<Giftd>>,
    caller: Caller<OrdersWrite>,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let request = parse(&headers, body, CardType::ChoiceCard).await?;
    place(giftd, caller, request).await
}

/// The request, if it has the shape of one.
pub async fn parse(headers: &HeaderMap, body: JsonBody, card_type: CardType) -> Result<Request, ApiError> {
    let key_headers = key_headers(headers);
    body.read(move |fields| read(fields, &key_headers, card_type)).await
}

/// Places what was asked for, or answers what became of it before.
pub async fn place(giftd: Arc<Giftd>, caller: Caller<OrdersWrite>, request: Request) -> Result<Response, ApiError> {
    let (request, checked) = check(&giftd, &caller, request).await?;
    let command = match checked {
        Ok(command) => command,
        Err(refusal) => return refused(&giftd, &caller, &request, refusal).await,
    };
    let is_due = command.timing == SendTiming::Immediate;
    let stays = command.mails_stay(caller.environment());
    match giftd.store.place_order(*command).await? {
        Placed::New(order) => {
            if is_due {
                giftd.wake.one(stays);
            }
            order_answer(&giftd, &caller.app, StatusCode::CREATED, *order).await
        }
        Placed::Known { order_id, same_request: true } => replay(&giftd, &caller, order_id).await,
        Placed::Known { order_id, same_request: false } => Err(ApiError::duplicate_idempotency_key(order_id)),
        Placed::Insufficient { required, available } => {
            Err(ApiError::insufficient_balance(Money::usd(required), Money::usd(available)))
        }
    }
}

/// All rules but the key and the balance.
async fn check(
    giftd: &Arc<Giftd>,
    caller: &Caller<OrdersWrite>,
    request: Request,
) -> Result<(Request, Result<Box<PlaceOrder>, Refusal>), ApiError> {
    let (reference, settings) = tokio::try_join!(giftd.reference(), settings(giftd, caller.account_id(), &request))?;
    let settings = settings.ok_or_else(|| ApiError::internal("an app's account doesn't exist"))?;
    let look = match request.gifts {
        RequestedGifts::Links { .. } => giftd.sender_look(caller.account_id()).await?,
        // These have a sender's name of their own.
        RequestedGifts::Mails(_) => None,
    };
    let (account_id, app) = (caller.account_id(), caller.app.clone());
    let now = giftd.account_time(account_id, caller.environment()).await?;
    let (node_now, entropy) = (giftd.clock.now(), giftd.clock.entropy());
    let fx_max_age = SignedDuration::try_from(giftd.settings.fx_max_age).unwrap_or(SignedDuration::MAX);
    let is_large = request.gift_count() > limits::RECIPIENTS_CHECKED_INLINE;
    let check = move || {
        let rules = Rules {
            account_id,
            creator: &app.name,
            organization: look.as_ref().map_or("", |look| &look.organization),
            settings: &settings,
            reference: &reference,
            fx_max_age,
            now,
            node_now,
        };
        let checked = request.check(&rules, entropy).map(Box::new);
        (request, checked)
    };
    if is_large { tokio::task::spawn_blocking(check).await.map_err(ApiError::internal) } else { Ok(check()) }
}

/// What the account has set, as this node remembers it; but as it is now where the request names a template
/// that isn't known here: another node may just have made it.
async fn settings(
    giftd: &Giftd,
    account: AccountId,
    request: &Request,
) -> Result<Option<Arc<AccountSettings>>, StoreError> {
    let settings = giftd.account_settings(account).await?;
    let named = match &request.gifts {
        RequestedGifts::Mails(mails) => mails.template_id.as_deref().and_then(|named| named.parse().ok()),
        RequestedGifts::Links { .. } => None,
    };
    match (&settings, &named) {
        (Some(known), Some(named)) if !known.templates.contains(named) => {
            giftd.forget_account_settings(account).await;
            giftd.account_settings(account).await
        }
        _ => Ok(settings),
    }
}

/// A request that breaks a rule: its key's order wins all the same.
async fn refused(
    giftd: &Arc<Giftd>,
    caller: &Caller<OrdersWrite>,
    request: &Request,
    refusal: Refusal,
) -> Result<Response, ApiError> {
    match giftd.store.order_by_key(caller.account_id(), &request.idempotency_key).await? {
        Some(known) if known.fingerprint == request.fingerprint() => replay(giftd, caller, known.order_id).await,
        Some(known) => Err(ApiError::duplicate_idempotency_key(known.order_id)),
        None => Err(match refusal {
            Refusal::Invalid(problems) => ApiError::validation(problems),
            Refusal::NoRate(no_rate) => ApiError::unavailable(
                format!("There is {no_rate}, so that the order's cost is not known; nothing was recorded."),
                no_rate,
            )
            .retry_after(Duration::from_secs(limits::NO_RATE_RETRY_SECONDS)),
        }),
    }
}

/// The original answer, with the order as it is now.
async fn replay(giftd: &Arc<Giftd>, caller: &Caller<OrdersWrite>, order_id: OrderId) -> Result<Response, ApiError> {
    let answer = kept_order_answer(giftd, &caller.app, order_id).await?;
    answer.ok_or_else(|| ApiError::internal(format!("the key's order {order_id} doesn't exist")))
}

/// The values of the key's header, as texts where they are.
pub fn key_headers(headers: &HeaderMap) -> Vec<Result<String, ()>> {
    let values = headers.get_all(KEY_HEADER).iter().filter(|value| !value.is_empty());
    values.map(|value| std::str::from_utf8(value.as_bytes()).map(str::to_owned).map_err(|_| ())).collect()
}

/// The request's shape: types, unknown fields, and the key, which may also come in headers. Every problem is noted.
pub fn read(fields: &mut Fields<'_, '_>, key_headers: &[Result<String, ()>], card_type: CardType) -> Option<Request> {
    let idempotency_key = read_key(fields, key_headers);
    let product_id = fields.required_text("productId");
    let send_timing = fields.required_object("sendTiming", read_timing);
    let email_setting = fields.required_object("emailSetting", |setting| {
        let (sender_name, subject) = (setting.required_text("senderName"), setting.required_text("subject"));
        let (message, template_id) = (setting.text("message"), setting.text("templateId"));
        Some((sender_name?, subject?, message, template_id))
    });
    let recipients = fields.required_objects("recipients", limits::RECIPIENTS, |recipient| {
        let (email, amount) = (recipient.required_text("email"), recipient.required_decimal("amount"));
        let (first_name, last_name) = (recipient.text("firstName"), recipient.text("lastName"));
        let (company, department) = (recipient.text("company"), recipient.text("department"));
        Some(RequestedGift { email: email?, first_name, last_name, company, department, amount: amount? })
    });
    let refund_option = fields.boolean("refundOption").unwrap_or(false);
    let (sender_name, subject, message, template_id) = email_setting?;
    Some(Request {
        card_type,
        idempotency_key: idempotency_key?,
        product_id: product_id?,
        send_timing: send_timing?,
        gifts: RequestedGifts::Mails(RequestedMails {
            sender_name,
            subject,
            message,
            template_id,
            recipients: recipients?,
        }),
        refund_option,
    })
}

/// `sendTiming`
pub fn read_timing(timing: &mut Fields<'_, '_>) -> Option<RequestedTiming> {
    let kind = timing.required_choice::<TimingType>("type");
    let (scheduled_at, timezone) = (timing.text("scheduledAt"), timing.text("timezone"));
    Some(RequestedTiming { scheduled: kind? == TimingType::Scheduled, scheduled_at, timezone })
}

/// The key from the body, the header or both, which then must agree.
pub fn read_key(fields: &mut Fields<'_, '_>, headers: &[Result<String, ()>]) -> Option<String> {
    let in_body = match headers {
        [] => fields.required_text(KEY),
        _ => fields.text(KEY),
    };
    let mut header_keys = Vec::with_capacity(headers.len());
    for header in headers {
        match header {
            Ok(key) => header_keys.push(key),
            Err(()) => {
                fields.problem(KEY, "INVALID", "the header X-Idempotency-Key is not valid UTF-8");
                return None;
            }
        }
    }
    let key = in_body.as_ref().or(header_keys.first().copied())?;
    if header_keys.iter().any(|header_key| *header_key != key) {
        fields.problem(
            KEY,
            "KEY_MISMATCH",
            "differs from the header X-Idempotency-Key: send one of them, or the same in both",
        );
        return None;
    }
    if key.is_empty() {
        fields.problem(KEY, "BLANK", "must not be empty");
        return None;
    }
    if let Err(problem) = text::line(key, limits::IDEMPOTENCY_KEY_CHARACTERS) {
        fields.problem(KEY, problem.code(), problem.to_string());
        return None;
    }
    Some(key.clone())
}

// --- What the API document says ------------------------------------------------------------------------

/// An order to be placed.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(rename_all = "camelCase", example = json!({
    "idempotencyKey": "018f3f5e-7a10-7cc3-98c4-dc0c0c07398f",
    "productId": "10042",
    "sendTiming": {"type": "IMMEDIATE"},
    "emailSetting": {
        "senderName": "Acme Corp",
        "subject": "A gift for you!",
        "message": "Thank you for your hard work.",
        "templateId": "12",
    },
    "recipients": [
        {"email": "alice@example.com", "firstName": "Alice", "lastName": "Smith", "company": "Acme", "department": "Engineering", "amount": 50.00},
        {"email": "bob@example.com", "firstName": "Bob", "lastName": "Jones", "amount": 50.00},
    ],
    "refundOption": false,
}))]
#[expect(dead_code, reason = "describes what `read` reads")]
pub struct PlaceOrderRequest {
    /// Generated by the client, unique in its account, kept for ever. Use UUIDv7: time-ordered keys are
    /// faster than random ones. A request sent again with its key is not placed twice.
    #[schema(min_length = 1, max_length = 64)]
    idempotency_key: String,
    /// From the catalog.
    #[schema(example = "10042")]
    product_id: String,
    /// When the gifts are delivered.
    send_timing: SendTimingRequest,
    /// What the gifts' mails say.
    email_setting: EmailSettingRequest,
    /// Who gets how much. The same address twice is two gifts.
    #[schema(min_items = 1, max_items = 10_000)]
    recipients: Vec<RecipientRequest>,
    /// false: gifts expire after 180 days. true: after 30 days, and 70 % of what is unredeemed returns.
    #[schema(default = false)]
    refund_option: Option<bool>,
}

/// When the gifts are delivered.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SendTiming, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `read` reads")]
pub struct SendTimingRequest {
    /// At once, or at a local time.
    r#type: TimingTypeName,
    /// A local date-time `YYYY-MM-DDTHH:MM[:SS]` without offset; with SCHEDULED only, and then required. In the
    /// future and at most 366 days ahead.
    #[schema(
        pattern = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$",
        example = "2026-12-24T09:00:00"
    )]
    scheduled_at: Option<String>,
    /// An IANA time zone; with SCHEDULED only, and then required.
    #[schema(pattern = "^[A-Za-z0-9/_+-]{1,64}$", example = "America/New_York")]
    timezone: Option<String>,
}

/// What the gifts' mails say.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EmailSetting, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `read` reads")]
struct EmailSettingRequest {
    /// The display name of the sender, not only white space.
    #[schema(pattern = r"\S", min_length = 1, max_length = 100, example = "Acme Corp")]
    sender_name: String,
    /// The subject, not only white space.
    #[schema(pattern = r"\S", min_length = 1, max_length = 200, example = "A gift for you!")]
    subject: String,
    /// A personal message; it may hold line feeds and tabs.
    #[schema(max_length = 2_000)]
    message: Option<String>,
    /// A template of the account; else its default.
    #[schema(example = "12")]
    template_id: Option<String>,
}

/// One gift.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Recipient, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `read` reads")]
struct RecipientRequest {
    /// As HTML's `type=email` has it, with a dot in the domain, which may be international.
    #[schema(format = IdnEmail, max_length = 254, example = "alice@example.com")]
    email: String,
    /// In the product's currency, with no more decimals than it has.
    #[schema(value_type = f64, exclusive_minimum = 0, example = 50.00)]
    amount: rust_decimal::Decimal,
    /// First name.
    #[schema(max_length = 100)]
    first_name: Option<String>,
    /// Last name.
    #[schema(max_length = 100)]
    last_name: Option<String>,
    /// Company.
    #[schema(max_length = 100)]
    company: Option<String>,
    /// Department.
    #[schema(max_length = 100)]
    department: Option<String>,
}

/// The order costs more than what is available; nothing was recorded.
#[derive(ToSchema)]
#[schema(as = InsufficientBalanceError)]
#[expect(dead_code, reason = "describes what `ApiError::insufficient_balance` writes")]
pub struct InsufficientBalance {
    #[schema(inline)]
    #[serde(flatten)]
    error: ErrorBody,
    /// What the order costs.
    required: MoneyBody,
    /// What is available.
    available: MoneyBody,
}

/// The key has an order of other content.
#[derive(ToSchema)]
#[schema(as = DuplicateKeyError, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `ApiError::duplicate_idempotency_key` writes")]
pub struct DuplicateKey {
    #[schema(inline)]
    #[serde(flatten)]
    error: ErrorBody,
    /// The first order.
    order_id: String,
}
