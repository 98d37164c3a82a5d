//! `giftd backup`, and what a restored one is worth: with its keys, and without.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use giftd::clock::Clock;
use hyper::{Method, StatusCode};
use serde_json::json;

use crate::bed::{Bed, DEADLINE, Database, on, string};
use crate::client::{Client, order};
use crate::recipient::{open, redeem};

/// Connections that place orders.
const CLIENTS: usize = 4;
/// Backups that are made meanwhile.
const BACKUPS: usize = 4;
/// Orders that are acknowledged before each.
const ORDERS: usize = 30;

#[test]
fn slow_each_backup_under_load_has_every_order_acknowledged_before_it() {
    on(Database::Sqlite, async |mut bed: Bed| {
        let app = bed.prepare();
        let process = bed.serve();
        let client = Client::new(&process, &app).await;
        let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
        let known = || acknowledged.lock().expect("not poisoned").clone();
        let (clock, mut placed_meanwhile) = (Clock::system(), 0);
        for round in 0..BACKUPS {
            let (begun, first, enough) = (clock.elapsed(), known().len(), Arc::new(AtomicBool::new(false)));
            let placing: Vec<_> = (0..CLIENTS)
                .map(|number| {
                    let (client, name) = (client.another(), format!("r{round}c{number}"));
                    tokio::spawn(place_until(client, name, enough.clone(), acknowledged.clone()))
                })
                .collect();
            while known().len() < first + ORDERS {
                assert!(clock.elapsed() - begun < DEADLINE, "orders are placed");
                clock.sleep(Duration::from_millis(5)).await;
            }
            let before = known();
            let file = bed.folder.path().join(format!("backup-{round}.db"));
            let made = bed.json(&["backup", &file.display().to_string()]);
            placed_meanwhile += known().len() - before.len();
            assert_eq!((&made["books"]["balanced"], &made["keysProblem"]), (&json!(true), &json!(null)), "{made:#}");
            enough.store(true, Ordering::SeqCst);
            for placed in placing {
                placed.await.expect("no client fails");
            }

            let home = bed.folder.path().join(format!("restored-{round}"));
            fs::create_dir(&home).expect("a folder");
            fs::rename(&file, home.join("giftd.db")).expect("moved");
            copy_keys(&bed.data("keys"), &home.join("keys"));
            bed.set("GIFTD_DATA_DIR", &home.display().to_string());
            let restored = bed.serve();
            let orders = Client::new(&restored, &app).await.orders().await;
            let found: BTreeSet<String> = orders.iter().map(|order| string(&order["orderId"])).collect();
            let lost: Vec<_> = before.difference(&found).collect();
            assert!(lost.is_empty(), "{} of {} orders are not in the backup: {lost:?}", lost.len(), before.len());
            assert!(found.is_subset(&known()), "a backup has no order that nobody placed");
            restored.stop().await;
            assert_eq!(bed.json(&["ledger", "verify"])["balanced"], true);
            bed.set("GIFTD_DATA_DIR", "giftd-data");
        }
        assert!(placed_meanwhile > 0, "orders were placed while backups were made");
        process.stop().await;
        assert_eq!(bed.json(&["ledger", "verify"])["balanced"], true);
    });
}

/// Places orders one after the other until it is enough.
async fn place_until(
    mut client: Client,
    name: String,
    enough: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<BTreeSet<String>>>,
) {
    let mut count = 0;
    while !enough.load(Ordering::SeqCst) {
        count += 1;
        let placed = client.place(&order(&format!("{name}-{count}"), 1 + count % 3)).await;
        let (status, body) = placed.expect("an answer, also while a backup is made");
        assert_eq!(status, StatusCode::CREATED, "{body:#}");
        acknowledged.lock().expect("not poisoned").insert(string(&body["data"]["orderId"]));
    }
}

#[test]
fn a_restored_backup_works_with_its_keys_and_says_what_is_lost_without_them() {
    on(Database::Sqlite, async |bed: Bed| {
        let app = bed.prepare();
        let codes = bed.folder.path().join("codes.csv");
        fs::write(&codes, "code,pin,faceValue\nCODE-ONE,,50\nCODE-TWO,0042,50\n").expect("written");
        bed.json(&["codes", "import", "--product", "10042", &codes.display().to_string()]);
        let process = bed.serve();
        let mut client = Client::new(&process, &app).await;
        let links = json!({
            "idempotencyKey": "links", "cardType": "BRANDED_CARD", "productId": "10042", "quantity": 2, "amountPerLink": 50
        });
        let placed = client.try_send(Method::POST, "/api/v1/orders/reward-links", links.to_string()).await;
        let (status, placed) = placed.expect("an answer");
        assert_eq!(status, StatusCode::CREATED, "{placed:#}");
        client.complete(1).await;
        let order = client.get(&format!("/api/v1/orders/{}", string(&placed["data"]["orderId"]))).await;
        let paths: Vec<String> = order["data"]["recipients"]
            .as_array()
            .expect("recipients")
            .iter()
            .map(|one| format!("/r/{}", string(&one["rewardLink"]).rsplit_once("/r/").expect("a link").1))
            .collect();
        let first = redeem(process.address, &paths[0]).await;
        assert!(first.contains("CODE-"), "{first}");
        let file = bed.folder.path().join("backup.db");
        bed.json(&["backup", &file.display().to_string()]);
        process.stop().await;

        // The machine is gone. Another has the file and the keys.
        let kept = bed.folder.path().join("kept");
        copy_keys(&bed.data("keys"), &kept);
        fs::remove_dir_all(bed.data("")).expect("removed");
        fs::create_dir(bed.data("")).expect("a folder");
        fs::copy(&file, bed.data("giftd.db")).expect("restored");

        let without = bed.refused(&["serve"], "KEYS");
        for words in ["token-signing.pem", "links.key", "codes.key", "every link", "no code can be read", "bring back"]
        {
            assert!(without.contains(words), "{words} in {without}");
        }
        assert!(!bed.data("keys").exists(), "none were made in their place");
        copy_keys(&kept, &bed.data("keys"));
        fs::remove_file(bed.data("keys/codes.key")).expect("removed");
        let without = bed.refused(&["serve"], "KEYS");
        assert!(without.contains("codes.key") && without.contains("no code can be read"), "{without}");
        assert!(!without.contains("links.key") && !without.contains("every link"), "{without}");
        let made = bed.json(&["backup", &bed.folder.path().join("again.db").display().to_string()]);
        assert!(string(&made["keysProblem"]).contains("codes.key"), "{made:#}");
        fs::write(bed.data("keys/codes.key"), fs::read(kept.join("links.key")).expect("read")).expect("written");
        let other = bed.refused(&["serve"], "KEYS");
        assert!(other.contains("isn't the key that the database was used with"), "{other}");

        copy_keys(&kept, &bed.data("keys"));
        let restored = bed.serve();
        assert_eq!(Client::new(&restored, &app).await.orders().await.len(), 1, "the client's secret works");
        let again = open(restored.address, &paths[0]).await;
        let (one, two) = if first.contains("CODE-ONE") { ("CODE-ONE", "CODE-TWO") } else { ("CODE-TWO", "CODE-ONE") };
        assert!(again.contains(one), "the link works, and its code can be read: {again}");
        let second = redeem(restored.address, &paths[1]).await;
        assert!(second.contains(two), "a code of the stock can be read: {second}");
        restored.stop().await;
        assert_eq!(bed.json(&["ledger", "verify"])["balanced"], true);
    });
}

#[test]
fn a_backup_needs_no_server_and_replaces_nothing() {
    on(Database::Sqlite, async |bed: Bed| {
        let file = bed.folder.path().join("backup.db");
        let shown = file.display().to_string();
        let none = bed.refused(&["backup", &shown], "NOT_FOUND");
        assert!(none.contains("GIFTD_DATABASE_URL"), "{none}");
        assert!(!bed.data("giftd.db").exists(), "none was made to be copied");
        bed.prepare();
        let made = bed.run(&["backup", &shown]);
        assert_eq!(made.code, 0, "{made:#?}");
        for words in ["whole and sound", "2 accounts", "links.key", "codes.key", "every link"] {
            assert!(made.stdout.contains(words), "{words} in {made:#?}");
        }
        let bytes = fs::read(&file).expect("read");
        let again = bed.refused(&["backup", &shown], "FILE");
        assert!(again.contains("there already") && fs::read(&file).expect("read") == bytes, "{again}");
        bed.refused(&["backup", &bed.folder.path().join("no/folder.db").display().to_string()], "FILE");
        let help = bed.run(&["backup", "--help"]).stdout;
        assert!(help.contains("Examples:") && help.contains("pg_dump"), "{help}");
    });
}

#[test]
fn on_postgres_a_backup_is_pg_dumps() {
    on(Database::Postgres, async |bed: Bed| {
        let file = bed.folder.path().join("backup.db");
        let refused = bed.refused(&["backup", &file.display().to_string()], "NOT_SQLITE");
        for words in ["pg_dump --format=custom", "pg_restore", "keys"] {
            assert!(refused.contains(words), "{words} in {refused}");
        }
        assert!(!file.exists());
    });
}

/// As `cp -a` does.
fn copy_keys(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("the keys") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("copied");
    }
}
