//! The mail server accepts connections and says nothing. What needs no mail server must not wait for it: a
//! sandbox's mail and reward links.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::FEW_CLIENTS;
use super::bed::{Bed, Outcome};
use super::client::Client;
use crate::load::{self, Keys};
use crate::shop::{self, PRODUCT};

/// How long it says nothing.
const STALLED: Duration = Duration::from_secs(30);
/// Mails before that.
const MAILS: u64 = 200;
/// How long after the stall began the neighbours order: all senders are at it by then.
const LATER: Duration = Duration::from_secs(3);
/// How often a neighbour asks for its order.
const LOOK: Duration = Duration::from_millis(50);
/// How long a neighbour may wait: it has nothing to do with the mail server.
const NEIGHBOUR_WITHIN: Duration = Duration::from_secs(3);

pub async fn run(bed: &mut Bed<'_>) -> Result<Outcome> {
    let sandbox = shop::open_sandbox(bed.store().await?.as_ref(), &bed.shop, bed.clock.now()).await?;
    let node = bed.serve().await?;
    let mut sandbox = Client::new(&[node.address], 0, &load::token(node.address, &sandbox).await?)?;
    let clients = bed.clients(FEW_CLIENTS, &[node.address]).await?;
    bed.sink.has_taken(MAILS).await;
    let before = order_completes(bed, &mut sandbox).await?;
    bed.tell(format!("stalled for {} s", STALLED.as_secs()));
    bed.sink.stall(true);
    let stalled = Instant::now();
    bed.clock.sleep(LATER).await;
    let meanwhile = order_completes(bed, &mut sandbox).await?;
    bed.clock.sleep(STALLED.saturating_sub(stalled.elapsed())).await;
    bed.sink.stall(false);
    let mended = Instant::now();
    let recovered = vec![clients.recovered(mended).await?];
    let mut outcome = bed.finish(clients, vec![node], recovered, mended, |bed| Ok(bed.sink.taken())).await?;
    let [mail, links] = [(before[0], meanwhile[0]), (before[1], meanwhile[1])].map(|(before, meanwhile)| {
        format!("{:.2} s before and {:.2} s while it was stalled", before.as_secs_f64(), meanwhile.as_secs_f64())
    });
    outcome.notes.push(format!("a sandbox's order was COMPLETE after {mail}, its reward links after {links}"));
    if meanwhile.into_iter().any(|took| took > NEIGHBOUR_WITHIN) {
        outcome.audit.failures.push("what needs no mail server waited for it".to_owned());
    }
    Ok(outcome)
}

/// How long a sandbox's mailed order and its reward links take from their acknowledgement until they are COMPLETE.
async fn order_completes(bed: &Bed<'_>, sandbox: &mut Client) -> Result<[Duration; 2]> {
    let key = || Keys::TimeOrdered.next(&bed.clock);
    let mail = json!({
        "idempotencyKey": key(), "productId": PRODUCT, "sendTiming": {"type": "IMMEDIATE"}, "refundOption": false,
        "emailSetting": {"senderName": "Acme Corp", "subject": "A rehearsal"},
        "recipients": [{"email": "alice@example.com", "amount": 25}],
    });
    let links = json!({
        "idempotencyKey": key(), "cardType": "BRANDED_CARD", "productId": PRODUCT, "quantity": 1, "amountPerLink": 25,
        "refundOption": false,
    });
    let mail = completes(bed, sandbox, "/api/v1/orders/branded-cards", &mail).await?;
    Ok([mail, completes(bed, sandbox, "/api/v1/orders/reward-links", &links).await?])
}

async fn completes(bed: &Bed<'_>, sandbox: &mut Client, path: &str, order: &Value) -> Result<Duration> {
    let (status, placed) = sandbox.ask(Method::POST, path, order.to_string()).await?;
    let Some(order_id) = placed["data"]["orderId"].as_str().filter(|_| status == StatusCode::CREATED) else {
        bail!("a sandbox's order was answered {status}: {placed}");
    };
    let acknowledged = Instant::now();
    loop {
        let (_, order) = sandbox.ask(Method::GET, &format!("/api/v1/orders/{order_id}"), String::new()).await?;
        if order["data"]["status"] == "COMPLETE" || acknowledged.elapsed() > STALLED {
            return Ok(acknowledged.elapsed());
        }
        bed.clock.sleep(LOOK).await;
    }
}
