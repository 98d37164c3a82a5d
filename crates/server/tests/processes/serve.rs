//! How `giftd serve` starts, stops, and refuses to.

use std::fs;
use std::time::Duration;

use giftd::clock::Clock;
use hyper::{Method, StatusCode};

use crate::bed::{Bed, Database, on, string};
use crate::client::{Client, order};
use crate::smtp_sink::SmtpSink;

#[test]
fn sigterm_finishes_what_is_under_way_and_ends_well() {
    on(Database::Sqlite, async |mut bed: Bed| {
        let sink = SmtpSink::start().await;
        sink.delay(Duration::from_millis(30));
        bed.set("GIFTD_SMTP_URL", &sink.url());
        bed.set("GIFTD_DELIVERY_LEASE", "20s");
        let app = bed.prepare();
        let process = bed.serve();
        let mut client = Client::new(&process, &app).await;
        let (status, body) = client.place(&order("many", 100)).await.expect("an answer");
        assert_eq!(status, StatusCode::CREATED, "{body:#}");
        let placing: Vec<_> = (0..4)
            .map(|number| {
                let mut client = client.another();
                tokio::spawn(async move {
                    let mut placed = Vec::new();
                    for again in 0.. {
                        match client.place(&order(&format!("{number}-{again}"), 1)).await {
                            Some((StatusCode::CREATED, body)) => placed.push(string(&body["data"]["orderId"])),
                            Some((status, body)) => panic!("{status} {body:#}"),
                            None => break,
                        }
                    }
                    placed
                })
            })
            .collect();
        let mut again = client.another();
        assert!(sink.has_taken(5, Duration::from_secs(30)).await);
        process.stop().await;
        assert!(again.try_send(Method::GET, "/healthz", String::new()).await.is_none(), "nobody listens any more");

        assert!(!bed.data("giftd.db-wal").exists(), "a stopped server's database is one file");
        let id = string(&body["data"]["orderId"]);
        let shown = bed.json(&["order", "show", &id]);
        let recipients = shown["recipients"].as_array().expect("recipients");
        let sent = recipients.iter().filter(|one| one["deliveryStatus"] == "SENT").count();
        let mails = sink.mails().iter().filter(|mail| mail.to[0].starts_with("many-")).count();
        assert_eq!(sent, mails, "each mail that went out is settled");
        for placed in placing {
            for id in placed.await.expect("no client fails") {
                assert_eq!(bed.json(&["order", "show", &id])["orderId"], id.as_str());
            }
        }
    });
}

#[test]
fn on_sqlite_a_second_serve_is_refused_and_says_why() {
    on(Database::Sqlite, async |bed: Bed| {
        let process = bed.serve();
        let refusal = bed.refused(&["serve"], "IN_USE");
        assert!(refusal.contains("another `giftd serve`") && refusal.contains("PostgreSQL"), "{refusal}");
        process.kill();
        // The lock goes with the process, however it ended.
        bed.serve().stop().await;
    });
}

#[test]
fn a_taken_port_is_named() {
    on(Database::Sqlite, async |mut bed: Bed| {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        bed.set("GIFTD_LISTEN", &taken.local_addr().expect("an address").to_string());
        let refusal = bed.refused(&["serve"], "IN_USE");
        assert!(refusal.contains("can't listen on 127.0.0.1:") && refusal.contains("--listen"), "{refusal}");
    });
}

#[test]
fn without_the_databases_keys_serve_refuses_and_says_which_file_to_bring_back_on_sqlite() {
    on(Database::Sqlite, keys_are_the_databases);
}

#[test]
fn without_the_databases_keys_serve_refuses_and_says_which_file_to_bring_back_on_postgres() {
    on(Database::Postgres, keys_are_the_databases);
}

async fn keys_are_the_databases(bed: Bed) {
    bed.serve().stop().await;
    for name in ["links.key", "codes.key", "token-signing.pem"] {
        let (path, kept) = (bed.data("keys").join(name), bed.folder.path().join("kept"));
        fs::rename(&path, &kept).expect("moved away");
        let refusal = bed.refused(&["serve"], "KEYS");
        assert!(refusal.contains(name) && refusal.contains("bring back"), "{refusal}");
        assert!(!path.exists(), "no other key is made");
        fs::rename(&kept, &path).expect("brought back");
    }
    let path = bed.data("keys").join("links.key");
    let kept = fs::read(&path).expect("a key");
    fs::write(&path, fs::read(bed.data("keys").join("codes.key")).expect("another key")).expect("written");
    let refusal = bed.refused(&["serve"], "KEYS");
    assert!(refusal.contains("links.key") && refusal.contains("fingerprint"), "{refusal}");
    fs::write(&path, kept).expect("written");

    let keys = bed.data("keys");
    fs::rename(&keys, bed.data("elsewhere")).expect("moved away");
    bed.refused(&["serve"], "KEYS");
    fs::rename(bed.data("elsewhere"), &keys).expect("brought back");
    bed.serve().stop().await;
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    on(Database::Sqlite, async |mut bed: Bed| {
        bed.set("GIFTD_SMTP_URL", "smtp://user:hunter2@mail.example.com");
        let refusal = bed.refused(&["serve"], "SETTINGS");
        assert!(refusal.contains("GIFTD_PUBLIC_URL") && !refusal.contains("hunter2"), "{refusal}");
        bed.set("GIFTD_SMPT_URL", "smtp://localhost");
        let refusal = bed.refused(&["serve"], "SETTINGS");
        assert!(refusal.contains("GIFTD_SMPT_URL is not a setting"), "{refusal}");
    });
}

#[test]
fn running_servers_notice_the_command_line_within_5_seconds() {
    on(Database::Sqlite, async |bed: Bed| {
        let app = bed.prepare();
        let process = bed.serve();
        let mut client = Client::new(&process, &app).await;
        let clock = Clock::system();
        let within_5_seconds = async |client: &mut Client, path: &str, wanted: StatusCode| {
            let begun = clock.elapsed();
            loop {
                let (status, body) = client.try_send(Method::GET, path, String::new()).await.expect("an answer");
                if status == wanted {
                    return;
                }
                assert!(clock.elapsed() - begun < Duration::from_secs(5), "still {status} {body:#}");
                clock.sleep(Duration::from_millis(100)).await;
            }
        };
        client.get("/api/v1/catalog/branded-cards/10042").await;
        let file = bed.folder.path().join("catalog.json");
        fs::write(&file, r#"{"choiceCards": [{"productId": "77", "productName": "New", "prices": [5, 10]}]}"#)
            .expect("written");
        let imported = bed.json(&["catalog", "import", &file.display().to_string()]);
        assert_eq!(imported["added"], serde_json::json!(["77"]));
        within_5_seconds(&mut client, "/api/v1/catalog/choice-cards/77", StatusCode::OK).await;
        within_5_seconds(&mut client, "/api/v1/catalog/branded-cards/10042", StatusCode::NOT_FOUND).await;
        bed.json(&["app", "revoke", &app.client_id]);
        within_5_seconds(&mut client, "/api/v1/balance", StatusCode::UNAUTHORIZED).await;
    });
}

#[test]
fn slow_clients_that_send_no_request_are_let_go() {
    on(Database::Sqlite, async |bed: Bed| {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let process = bed.serve();
        let mut slow = tokio::net::TcpStream::connect(process.address).await.expect("connected");
        slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.expect("written");
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(45), slow.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "the connection is still open");
    });
}
