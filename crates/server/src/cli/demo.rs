//! `giftd demo`: everything at work on invented data. The orders go over the API, by HTTP.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use giftd_domain::ids::{GiftId, OrderId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::Context;
use super::demo_data::{self, BRANDED, CHOICE, Credentials, DemoData};
use super::http_client::Client;
use super::output::{Failure, Output, print_line};
use super::serve::{Signals, stop};
use crate::clock::Clock;
use crate::links::{self, GiftLink};
use crate::log;
use crate::mail::Maildir;
use crate::serve::{self, Running};
use crate::settings::Settings;

/// How long the mails may take.
const MAILS_WITHIN: Duration = Duration::from_secs(30);
/// How often is looked whether they are there.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Args)]
#[command(
    after_help = "Everything is kept in giftd-data in the working directory (GIFTD_DATA_DIR); run again, the demo goes on with it.\nMail is captured there, never sent. Listens on 127.0.0.1:8080 (GIFTD_LISTEN) until Ctrl-C."
)]
pub struct Demo {}

/// All that the demo has to tell.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    url: String,
    #[serde(flatten)]
    data: DemoData,
    balance_before: Balance,
    balance_after: Balance,
    orders: Vec<Order>,
    mails: Vec<Mail>,
    curl: Curl,
}

/// Lines for a shell, one after the other.
#[derive(Serialize)]
struct Curl {
    token: String,
    place: String,
    list: String,
}

/// A captured mail.
#[derive(Serialize)]
struct Mail {
    file: String,
    to: String,
    subject: String,
    /// The recipient's page.
    link: String,
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Balance {
    available_balance: Money,
    pending_balance: Money,
}

/// As the API writes it, digit by digit.
#[derive(Serialize, Deserialize)]
struct Money {
    amount: Box<RawValue>,
    currency: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    order_id: String,
    status: String,
    card_name: String,
    recipient_count: usize,
    total_cost: Money,
}

impl Demo {
    pub async fn run(self, context: &Context) -> Result<Output, Failure> {
        // Nobody invented shall get a real mail.
        let settings = Settings { smtp_url: None, ..context.settings()? };
        // What happens is told in words; the log would come in between.
        log::init("warn,giftd::serve=error", settings.log_format);
        let mut signals = Signals::new()?;
        let running = serve::start(settings, context.clock.clone()).await?;
        let told = tokio::select! {
            told = tell(&running) => told,
            () = signals.next() => Ok(None),
        };
        match told {
            Ok(Some(told)) => {
                let text = if context.json {
                    serde_json::to_string_pretty(&told).unwrap_or_default()
                } else {
                    in_words(&told)
                };
                print_line(&text);
                signals.next().await;
            }
            Ok(None) => {}
            Err(failure) => {
                running.stop().await;
                return Err(failure);
            }
        }
        stop(running, signals).await
    }
}

async fn tell(running: &Running) -> Result<Option<Told>, Failure> {
    let giftd = &running.giftd;
    let data = demo_data::prepare(giftd).await?;
    let mut client = Client { address: running.address, token: None };
    client.token = Some(token(&client, &data.production).await?);
    let Data { data: balance_before } = client.get("/api/v1/balance").await?;
    let branded = place(&client, "branded-cards", branded_order(&giftd.clock)).await?;
    let choice = place(&client, "choice-cards", choice_order(&giftd.clock)).await?;
    let orders = vec![
        complete(&client, &giftd.clock, &branded.order_id).await?,
        complete(&client, &giftd.clock, &choice.order_id).await?,
    ];
    let Data { data: balance_after } = client.get("/api/v1/balance").await?;
    let url = giftd.settings.public_url_at(running.address);
    let mails = mails(running, &orders).await?;
    let curl = curl(&url, &data.production);
    Ok(Some(Told { url, data, balance_before, balance_after, orders, mails, curl }))
}

async fn token(client: &Client, app: &Credentials) -> Result<String, Failure> {
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair("client_id", &app.client_id)
        .append_pair("client_secret", &app.client_secret)
        .finish();
    let Token { access_token } = client.post("/oauth2/token", "application/x-www-form-urlencoded", form).await?;
    Ok(access_token)
}

async fn place(client: &Client, kind: &str, order: serde_json::Value) -> Result<Order, Failure> {
    let placed: Data<Order> =
        client.post(&format!("/api/v1/orders/{kind}"), "application/json", order.to_string()).await?;
    Ok(placed.data)
}

fn branded_order(clock: &Clock) -> serde_json::Value {
    json!({
        "idempotencyKey": clock.request_id(),
        "productId": BRANDED,
        "sendTiming": {"type": "IMMEDIATE"},
        "emailSetting": {
            "senderName": "Acme Corp",
            "subject": "A gift for you!",
            "message": "Thank you for your hard work.",
            "templateId": "12"
        },
        "recipients": [
            {"email": "alice@example.com", "firstName": "Alice", "lastName": "Smith", "company": "Acme", "amount": 50},
            {"email": "bob@example.com", "firstName": "Bob", "lastName": "Jones", "amount": 50}
        ]
    })
}

fn choice_order(clock: &Clock) -> serde_json::Value {
    json!({
        "idempotencyKey": clock.request_id(),
        "productId": CHOICE,
        "sendTiming": {"type": "IMMEDIATE"},
        "emailSetting": {
            "senderName": "Acme Corp",
            "subject": "Choose your gift!",
            "message": "We appreciate everything you do."
        },
        "recipients": [
            {"email": "carol@example.com", "firstName": "Carol", "lastName": "Lee", "amount": 100}
        ]
    })
}

/// The order, once all its mails are out.
async fn complete(client: &Client, clock: &Clock, order_id: &str) -> Result<Order, Failure> {
    let begun = clock.elapsed();
    loop {
        let Data { data: order } = client.get::<Data<Order>>(&format!("/api/v1/orders/{order_id}")).await?;
        if order.status == "COMPLETE" {
            return Ok(order);
        }
        if clock.elapsed() - begun > MAILS_WITHIN {
            let message = format!(
                "the mails of order {order_id} didn't go out within {MAILS_WITHIN:?}: see the log, and giftd doctor"
            );
            return Err(Failure::new("FAILED", message));
        }
        clock.sleep(LOOK_EVERY).await;
    }
}

/// The captured mails of these orders, and the pages that they lead to.
async fn mails(running: &Running, orders: &[Order]) -> Result<Vec<Mail>, Failure> {
    let giftd = &running.giftd;
    let folder = Maildir::in_data_dir(&giftd.settings.data_dir).new_mails();
    let failed = |error| Failure::new("FILE", format!("{} can't be read: {error}", folder.display()));
    let files = fs::read_dir(&folder).map_err(failed)?.map(|entry| Ok(entry.map_err(failed)?.path()));
    let files = files.collect::<Result<Vec<PathBuf>, Failure>>()?;
    let mut mails = Vec::new();
    for id in orders.iter().filter_map(|order| order.order_id.parse::<OrderId>().ok()) {
        let Some(account) = giftd.store.account_of_order(id).await? else { continue };
        let Some(order) = giftd.store.order(account, id).await? else { continue };
        for gift in order.gifts {
            let begins = format!("{}.", GiftId { order: id, position: gift.position });
            let is_its =
                |file: &&PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&begins));
            let Some(file) = files.iter().find(is_its) else { continue };
            let link = GiftLink { account, order: id.time, position: gift.position, link_version: gift.link_version };
            mails.push(Mail {
                file: file.display().to_string(),
                to: gift.recipient.email.unwrap_or_default(),
                subject: order.summary.email_setting.subject.clone(),
                link: links::page(&giftd.settings.public_url_at(running.address), giftd.keys.links(), link),
            });
        }
    }
    Ok(mails)
}

fn curl(url: &str, app: &Credentials) -> Curl {
    let Credentials { client_id, client_secret } = app;
    let order = r#"{
  "idempotencyKey": "'$(date +%s%N)'",
  "productId": "10042",
  "sendTiming": {"type": "IMMEDIATE"},
  "emailSetting": {"senderName": "Acme Corp", "subject": "A gift for you!", "templateId": "12"},
  "recipients": [{"email": "dave@example.com", "firstName": "Dave", "amount": 25.00}]
}"#;
    Curl {
        token: format!(
            "TOKEN=$(curl -s {url}/oauth2/token -d grant_type=client_credentials -d client_id={client_id} \
             -d client_secret={client_secret} | sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/')"
        ),
        place: format!(
            "curl -s {url}/api/v1/orders/branded-cards -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' -d '{order}'"
        ),
        list: format!("curl -s '{url}/api/v1/orders?pageSize=5' -H \"Authorization: Bearer $TOKEN\""),
    }
}

fn in_words(told: &Told) -> String {
    let Told { url, data, balance_before, balance_after, orders, mails, curl } = told;
    let mut text = String::new();
    let mut line = |line: String| text += &(line + "\n");
    let balance = |balance: &Balance| {
        let (available, pending) = (&balance.available_balance, &balance.pending_balance);
        format!("{} {} available, {} pending", available.amount, available.currency, pending.amount)
    };
    line(format!("Balance before  {}", balance(balance_before)));
    for order in orders {
        line(format!(
            "Order           {}  {} × {}, {} {}: {}",
            order.order_id,
            order.recipient_count,
            order.card_name,
            order.total_cost.amount,
            order.total_cost.currency,
            order.status
        ));
    }
    line(format!("Balance after   {}", balance(balance_after)));
    for mail in mails {
        line(format!("Mail            to {}, \"{}\"\n                {}", mail.to, mail.subject, mail.file));
        line(format!("  its page      {}", mail.link));
    }
    line(format!("\nOrganization    {}", data.organization_id));
    line(format!(
        "Production      client id {}\n                secret    {}",
        data.production.client_id, data.production.client_secret
    ));
    line(format!(
        "Sandbox         client id {}\n                secret    {}",
        data.sandbox.client_id, data.sandbox.client_secret
    ));
    line(format!("\nThe next order, for a shell:\n\n{}\n\n{}\n\n{}", curl.token, curl.place, curl.list));
    line(format!("\nServing on {url} until Ctrl-C; the API's documentation is at {url}/docs"));
    text
}
