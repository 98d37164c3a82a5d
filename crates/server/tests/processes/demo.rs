//! `giftd demo`: one command, main job.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::bed::{Bed, Credentials, Database, on, string};
use crate::client::{Client, order};

fn app(document: &Value, environment: &str) -> Credentials {
    Credentials {
        client_id: string(&document[environment]["clientId"]),
        client_secret: string(&document[environment]["clientSecret"]),
    }
}

fn available(balance: &Value) -> f64 {
    balance["availableBalance"]["amount"].as_f64().expect("a number")
}

#[test]
fn the_demo_does_the_main_job_and_goes_on_with_what_is_there() {
    on(Database::Sqlite, async |mut bed: Bed| {
        // Real mail is never sent by the demo.
        bed.set("GIFTD_SMTP_URL", "smtp://127.0.0.1:1");
        let first = bed.start(&["demo", "--json"]);
        let told = first.document.clone();
        let orders = told["orders"].as_array().expect("orders");
        assert_eq!(orders.len(), 2);
        assert!(orders.iter().all(|order| order["status"] == "COMPLETE"), "{told:#}");
        assert!(
            (available(&told["balanceBefore"]) - available(&told["balanceAfter"]) - 200.0).abs() < 0.001,
            "{told:#}"
        );
        let mails = told["mails"].as_array().expect("mails");
        assert_eq!(mails.len(), 3);
        for mail in mails {
            assert!(bed.folder.path().join(string(&mail["file"])).exists(), "{mail}");
            assert!(string(&mail["to"]).ends_with("@example.com") && !string(&mail["subject"]).is_empty(), "{mail}");
        }
        let mode = fs::metadata(bed.data("demo.json")).expect("kept").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        // It goes on serving; its credentials work, in both environments.
        for environment in ["production", "sandbox"] {
            let mut client = Client::new(&first, &app(&told, environment)).await;
            let (status, body) = client.place(&order("next", 1)).await.expect("an answer");
            assert_eq!(status.as_u16(), 201, "{body:#}");
        }
        for line in ["token", "place", "list"] {
            assert!(string(&told["curl"][line]).contains(&first.address.to_string()), "{told:#}");
        }
        first.stop().await;

        let again = bed.start(&["demo", "--json"]);
        for kept in ["organizationId", "production", "sandbox"] {
            assert_eq!(again.document[kept], told[kept], "it goes on with what is there");
        }
        let spent = available(&told["balanceAfter"]) - available(&again.document["balanceBefore"]);
        assert!((spent - 5.0).abs() < 0.001, "the organization is funded once: {spent}");
        again.stop().await;
        assert_eq!(bed.json(&["org", "list"])["organizations"].as_array().expect("rows").len(), 1);
        assert_eq!(bed.json(&["ledger", "verify"])["balanced"], true);
    });
}

#[test]
fn a_demo_whose_port_is_taken_says_so() {
    on(Database::Sqlite, async |mut bed: Bed| {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        bed.set("GIFTD_LISTEN", &taken.local_addr().expect("an address").to_string());
        let refusal = bed.refused(&["demo"], "IN_USE");
        assert!(refusal.contains("Another program listens there"), "{refusal}");
    });
}
