//! What there has to be before the first order: an organization with money, an app and a product; and the
//! order that is placed again and again.

use anyhow::{Context as _, Result, bail};
use giftd::clock::Clock;
use giftd_domain::Timestamp;
use giftd_domain::access::{App, Environment, Scope, Scopes};
use giftd_domain::catalog::{BrandedCard, Catalog, Prices};
use giftd_domain::ids::{AccountId, OrganizationId};
use giftd_domain::ledger::EntryType;
use giftd_domain::money::Currency;
use giftd_store::{OperatorEntry, OperatorOutcome, Store};
use jiff::ToSpan as _;
use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};

/// Cents that the account starts with: ten billion dollars, more than can be spent in a run.
pub const CREDIT: i64 = 1_000_000_000_000;
/// Cents that one gift costs.
pub const GIFT: i64 = 25_00;
/// Days ahead that orders are scheduled, so that no mail goes out while placing is measured.
pub const SCHEDULED_DAYS: i64 = 30;

/// The client id of the app of [`open`].
pub const CLIENT_ID: &str = "app_benchmark";

/// What is ordered.
pub const PRODUCT: &str = "10042";
const SECRET: &str = "a secret that only a benchmark may know";

/// Where orders of branded cards are placed.
pub const PATH: &str = "/api/v1/orders/branded-cards";

/// A production account that can place orders.
#[derive(Clone, Debug)]
pub struct Shop {
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// The account.
    pub account_id: AccountId,
    /// Its app's client id.
    pub client_id: String,
    /// And secret.
    pub secret: &'static str,
}

/// Opens one in an empty database, at `now`: no order can be placed before.
pub async fn open(store: &dyn Store, now: Timestamp, clock: &Clock) -> Result<Shop> {
    store.import_catalog(&catalog(), now, false).await?;
    add(store, CLIENT_ID.to_owned(), now, clock).await
}

/// Opens so many, of an organization each.
pub async fn open_many(store: &dyn Store, shops: u32, now: Timestamp, clock: &Clock) -> Result<Vec<Shop>> {
    store.import_catalog(&catalog(), now, false).await?;
    let mut opened = Vec::new();
    for number in 1..=shops {
        opened.push(add(store, format!("app_benchmark_{number}"), now, clock).await?);
    }
    Ok(opened)
}

async fn add(store: &dyn Store, client_id: String, now: Timestamp, clock: &Clock) -> Result<Shop> {
    let organization_id = store.create_organization("Benchmark", now, clock.entropy()).await?;
    let account = store.account_of(organization_id, Environment::Production).await?;
    let account_id = account.context("an organization has a production account")?.account_id;
    let credit = OperatorEntry {
        account_id,
        entry_type: EntryType::Charge,
        cents: CREDIT,
        reference: "for the benchmark".to_owned(),
        now,
        entropy: clock.entropy(),
    };
    match store.operator_entry(credit).await? {
        OperatorOutcome::Posted(_) => {}
        other => bail!("the account can't be credited: {other:?}"),
    }
    add_app(store, organization_id, account_id, Environment::Production, &client_id, now).await
}

/// The sandbox of the shop's organization, with an app of its own.
pub async fn open_sandbox(store: &dyn Store, shop: &Shop, now: Timestamp) -> Result<Shop> {
    let account = store.account_of(shop.organization_id, Environment::Sandbox).await?;
    let account_id = account.context("an organization has a sandbox")?.account_id;
    add_app(store, shop.organization_id, account_id, Environment::Sandbox, "app_rehearsal", now).await
}

async fn add_app(
    store: &dyn Store,
    organization_id: OrganizationId,
    account_id: AccountId,
    environment: Environment,
    client_id: &str,
    now: Timestamp,
) -> Result<Shop> {
    store
        .create_app(&App {
            client_id: client_id.to_owned(),
            organization_id,
            account_id,
            environment,
            name: "Payroll".to_owned(),
            scopes: Scopes::from_iter([
                Scope::OrdersRead,
                Scope::OrdersWrite,
                Scope::OrdersCancel,
                Scope::CatalogRead,
                Scope::BalanceRead,
                Scope::TemplatesRead,
                Scope::TemplatesWrite,
            ]),
            secret_hash: Sha256::digest(SECRET).into(),
            secret_version: 1,
            created_at: now,
            revoked_at: None,
        })
        .await?;
    Ok(Shop { organization_id, account_id, client_id: client_id.to_owned(), secret: SECRET })
}

fn catalog() -> Catalog {
    let card = BrandedCard {
        product_id: PRODUCT.to_owned(),
        brand_name: "Sakura Books".to_owned(),
        product_name: "Sakura Books US".to_owned(),
        country_code: "USA".to_owned(),
        currency: Currency::USD,
        prices: Prices::Fixed(vec![10_00, GIFT, 50_00]),
        description: None,
        terms: None,
        image_url: None,
    };
    Catalog { branded: [(PRODUCT.to_owned(), card)].into(), ..Catalog::default() }
}

/// The address of a recipient.
pub fn recipient(number: u64) -> String {
    format!("recipient{number}@example.com")
}

/// The body of an order, but for its key.
#[derive(Clone, Debug)]
pub struct OrderBody {
    before_key: String,
    after_key: String,
    /// Its recipients.
    pub recipients: u64,
}

impl OrderBody {
    /// An order like the API reference's, to `recipients`, scheduled some time ahead.
    pub fn new(recipients: u64, clock: &Clock) -> Self {
        let day = clock.now().to_zoned(TimeZone::UTC).date().saturating_add(SCHEDULED_DAYS.days());
        let timing = format!(r#"{{"type":"SCHEDULED","scheduledAt":"{day}T09:00:00","timezone":"America/New_York"}}"#);
        Self::timed(recipients, &timing)
    }

    /// The same, whose mails go out at once.
    pub fn immediate(recipients: u64) -> Self {
        Self::timed(recipients, r#"{"type":"IMMEDIATE"}"#)
    }

    fn timed(recipients: u64, timing: &str) -> Self {
        let to = |number: u64| {
            format!(
                r#"{{"email":"{}","firstName":"Alice","lastName":"Smith","company":"Acme","department":"Engineering","amount":25.00}}"#,
                recipient(number)
            )
        };
        let recipient_list = (1..=recipients).map(to).collect::<Vec<_>>().join(",");
        let after_key = format!(
            r#"","productId":"{PRODUCT}","sendTiming":{timing},"emailSetting":{{"senderName":"Acme Corp","subject":"A gift for you!","message":"Thank you for your hard work.","templateId":"12"}},"recipients":[{recipient_list}],"refundOption":false}}"#
        );
        Self { before_key: r#"{"idempotencyKey":""#.to_owned(), after_key, recipients }
    }

    /// The whole body.
    pub fn with_key(&self, key: &str) -> String {
        [&self.before_key, key, &self.after_key].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_json_with_its_key_and_recipients() {
        let clock = Clock::fixed("2026-11-22T12:00:00Z".parse().expect("an instant"));
        let body = OrderBody::new(2, &clock).with_key("k-1");
        let json: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(json["idempotencyKey"], "k-1");
        assert_eq!(json["sendTiming"]["scheduledAt"], "2026-12-22T09:00:00");
        assert_eq!(json["recipients"].as_array().map(Vec::len), Some(2));
    }
}
