//! What there has to be before the first order: an organization with money, an app and a product; and the
//! order that is placed again and again.

use anyhow::{Context as _, Result, bail};
use giftd::clock::Clock;
use giftd_domain::Timestamp;
use giftd_domain::access::{App, Environment, Scope, Scopes};
use giftd_domain::catalog::{BrandedCard, Catalog, Prices};
use giftd_domain::ids::AccountId;
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

/// The client id of its app.
pub const CLIENT_ID: &str = "app_benchmark";

const PRODUCT: &str = "10042";
const SECRET: &str = "a secret that only a benchmark may know";

/// A production account that can place orders.
#[derive(Clone, Debug)]
pub struct Shop {
    /// The account.
    pub account_id: AccountId,
    /// Its app's client id.
    pub client_id: &'static str,
    /// And secret.
    pub secret: &'static str,
}

/// Opens one in an empty database, at `now`: no order can be placed before.
pub async fn open(store: &dyn Store, now: Timestamp, clock: &Clock) -> Result<Shop> {
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
    store.import_catalog(&catalog(), now, false).await?;
    let shop = Shop { account_id, client_id: CLIENT_ID, secret: SECRET };
    store
        .create_app(&App {
            client_id: shop.client_id.to_owned(),
            organization_id,
            account_id,
            environment: Environment::Production,
            name: "Payroll".to_owned(),
            scopes: Scopes::from_iter([Scope::OrdersRead, Scope::OrdersWrite]),
            secret_hash: Sha256::digest(SECRET).into(),
            secret_version: 1,
            created_at: now,
            revoked_at: None,
        })
        .await?;
    Ok(shop)
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
        let recipient = |number: u64| {
            format!(
                r#"{{"email":"recipient{number}@example.com","firstName":"Alice","lastName":"Smith","company":"Acme","department":"Engineering","amount":25.00}}"#
            )
        };
        let recipient_list = (1..=recipients).map(recipient).collect::<Vec<_>>().join(",");
        let after_key = format!(
            r#"","productId":"{PRODUCT}","sendTiming":{{"type":"SCHEDULED","scheduledAt":"{day}T09:00:00","timezone":"America/New_York"}},"emailSetting":{{"senderName":"Acme Corp","subject":"A gift for you!","message":"Thank you for your hard work.","templateId":"12"}},"recipients":[{recipient_list}],"refundOption":false}}"#
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
