//! Killed under load: nothing acknowledged is lost, nothing doubled, every mail goes out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::StatusCode;

use crate::bed::{Bed, Database, on, string};
use crate::client::{Client, order};

/// Connections that place orders.
const CLIENTS: usize = 8;
/// Orders that are acknowledged before a kill.
const ORDERS: usize = 120;

#[test]
fn slow_killed_three_times_under_load_on_sqlite() {
    on(Database::Sqlite, killed_three_times_under_load);
}

#[test]
fn slow_killed_three_times_under_load_on_postgres() {
    on(Database::Postgres, killed_three_times_under_load);
}

/// What became of a key: the order's id where it was acknowledged.
type Keys = BTreeMap<String, Option<String>>;

async fn killed_three_times_under_load(bed: Bed) {
    let app = bed.prepare();
    let mut keys = Keys::new();
    for round in 0..3 {
        let process = bed.serve();
        let client = Client::new(&process, &app).await;
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let (enough, killed) = tokio::sync::oneshot::channel();
        let enough = Arc::new(std::sync::Mutex::new(Some(enough)));
        let placing: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (client, acknowledged, enough) = (client.another(), acknowledged.clone(), enough.clone());
                tokio::spawn(async move {
                    place_until_it_breaks(client, &format!("r{round}c{number}"), |placed| {
                        if acknowledged.fetch_add(placed, Ordering::SeqCst) + placed == ORDERS
                            && let Some(enough) = enough.lock().expect("not poisoned").take()
                        {
                            enough.send(()).expect("someone waits");
                        }
                    })
                    .await
                })
            })
            .collect();
        killed.await.expect("enough orders");
        process.kill();
        for placed in placing {
            keys.extend(placed.await.expect("no client fails"));
        }
    }
    survived(&bed, &app, keys).await;
}

/// Places orders one after the other until the connection breaks.
async fn place_until_it_breaks(mut client: Client, name: &str, acknowledged: impl Fn(usize)) -> Keys {
    let mut keys = Keys::new();
    for number in 0.. {
        let key = format!("{name}-{number}");
        match client.place(&order(&key, 1 + number % 3)).await {
            Some((StatusCode::CREATED, body)) => {
                keys.insert(key, Some(string(&body["data"]["orderId"])));
                acknowledged(1);
            }
            Some((status, body)) => panic!("{status} {body:#}"),
            None => {
                keys.insert(key, None);
                break;
            }
        }
    }
    keys
}

async fn survived(bed: &Bed, app: &crate::bed::Credentials, keys: Keys) {
    let process = bed.serve();
    let mut client = Client::new(&process, app).await;
    let orders = client.orders().await;
    let ids: BTreeSet<String> = orders.iter().map(|order| string(&order["orderId"])).collect();
    assert_eq!(ids.len(), orders.len());

    let mut known = BTreeSet::new();
    for (key, acknowledged) in &keys {
        let found = client.get(&format!("/api/v1/orders?clientOrderId={key}")).await;
        let found: Vec<String> =
            found["data"].as_array().expect("rows").iter().map(|row| string(&row["orderId"])).collect();
        match acknowledged {
            Some(id) => assert_eq!(found, std::slice::from_ref(id), "{key} was acknowledged"),
            None => assert!(found.len() <= 1, "{key} was doubled: {found:?}"),
        }
        known.extend(found);
    }
    assert_eq!(known, ids, "every order belongs to a request");
    // A client that asks again gets the first order, or its first.
    for (key, acknowledged) in keys.iter().filter(|(_, acknowledged)| acknowledged.is_none()) {
        let number: usize = key.rsplit_once('-').expect("a number").1.parse().expect("a number");
        let (status, body) = client.place(&order(key, 1 + number % 3)).await.expect("an answer");
        assert!(status.is_success(), "{acknowledged:?} {body:#}");
        known.insert(string(&body["data"]["orderId"]));
    }

    client.complete(known.len() as u64).await;
    let orders = client.orders().await;
    let gifts: u64 = orders.iter().map(|order| order["recipientCount"].as_u64().expect("a number")).sum();
    assert_eq!(bed.captured().len() as u64, gifts, "each gift's mail is there");
    let balance = client.get("/api/v1/balance").await;
    assert_eq!(balance["data"]["pendingBalance"]["amount"].as_f64(), Some(0.0));
    let available = balance["data"]["availableBalance"]["amount"].as_f64().expect("a number");
    assert!((available - (100_000.0 - 5.0 * gifts as f64)).abs() < 0.001, "{available} after {gifts} gifts");
    process.stop().await;
    assert_eq!(bed.json(&["ledger", "verify"])["balanced"], true);
}
