//! `giftd copy`: a server's database moves to another kind and back.

use hyper::StatusCode;

use crate::bed::{Bed, Credentials, Database, on, string};
use crate::client::{Client, order};

#[test]
fn a_servers_database_moves_to_postgres_and_back() {
    on(Database::Postgres, async |mut bed: Bed| {
        let postgres = bed.database_url();
        let sqlite = format!("sqlite:{}", bed.data("giftd.db").display());
        let back = format!("sqlite:{}", bed.data("back.db").display());
        bed.set("GIFTD_DATABASE_URL", &sqlite);
        let app = bed.prepare();
        let mut orders = 0;
        for (here, there) in [(&sqlite, &postgres), (&postgres, &back)] {
            bed.set("GIFTD_DATABASE_URL", here);
            orders = served(&bed, &app, orders, Some((here, there))).await;
            let copied = bed.json(&["copy", "--from", here, "--to", there]);
            assert_eq!(copied["orders"], orders, "{copied:#}");
            let of = |table: &str| {
                let tables = copied["tables"].as_array().expect("tables").iter();
                tables.filter(|row| row["table"] == table).map(|row| row["rows"].clone()).collect::<Vec<_>>()
            };
            assert_eq!((of("orders"), of("gifts")), (vec![orders.into()], vec![(2 * orders).into()]), "{copied:#}");
            let again = bed.run(&["copy", "--from", here, "--to", there]);
            assert!(again.code == 1 && again.stderr.contains("isn't empty"), "{again:#?}");
            assert!(!format!("{again:?}{copied}").contains(&postgres), "its password isn't said");
        }
        bed.set("GIFTD_DATABASE_URL", &back);
        served(&bed, &app, orders, None).await;
        assert_eq!(bed.json(&["ledger", "verify"])["balanced"], true);
    });
}

/// Serves, finds so many orders, and has one more delivered. No copy can be made meanwhile.
async fn served(bed: &Bed, app: &Credentials, orders: u64, copy: Option<(&String, &String)>) -> u64 {
    let process = bed.serve();
    let mut client = Client::new(&process, app).await;
    assert_eq!(client.orders().await.len() as u64, orders);
    let (status, body) = client.place(&order(&format!("order-{orders}"), 2)).await.expect("an answer");
    assert_eq!(status, StatusCode::CREATED, "{body:#}");
    client.complete(orders + 1).await;
    if let Some((here, there)) = copy {
        let refused = bed.refused(&["copy", "--from", here, "--to", there], "IN_USE");
        assert!(refused.contains("stop"), "{refused}");
    }
    process.stop().await;
    orders + 1
}

#[test]
fn a_copy_that_is_called_wrongly_says_what_would_be_right() {
    on(Database::Sqlite, async |bed: Bed| {
        bed.prepare();
        let here = format!("sqlite:{}", bed.data("giftd.db").display());
        let there = format!("sqlite:{}", bed.folder.path().join("elsewhere/copy.db").display());
        let same = bed.refused(&["copy", "--from", &here, "--to", "sqlite:giftd-data/../giftd-data/giftd.db"], "USAGE");
        assert!(same.contains("the same database"), "{same}");
        bed.refused(&["copy", "--from", "sqlite:nothing.db", "--to", &there], "NOT_FOUND");
        let wrong = bed.run(&["copy", "--from", "mysql://h/d", "--to", &there]);
        assert!(wrong.code == 2 && wrong.stderr.contains("sqlite:PATH or postgres://"), "{wrong:#?}");
        let text = bed.run(&["copy", "--from", &here, "--to", &there]);
        assert!(text.code == 0 && text.stdout.contains("GIFTD_DATABASE_URL"), "{text:#?}");
        assert!(text.stdout.lines().any(|line| line.starts_with("accounts") && line.ends_with(" 2")), "{text:#?}");
        let organizations = bed.json(&["org", "list"]);
        assert_eq!(string(&organizations["organizations"][0]["name"]), "Acme", "the source is as it was");
        assert!(bed.run(&["copy", "--help"]).stdout.contains("Examples:"));
    });
}
