//! Three nodes on one PostgreSQL.

use std::collections::BTreeSet;

use hyper::StatusCode;

use crate::bed::{Bed, DEADLINE, Database, on, string};
use crate::client::{Client, order};
use crate::smtp_sink::SmtpSink;

#[test]
fn three_nodes_that_get_one_key_at_once_place_one_order_and_mail_each_gift_once() {
    on(Database::Postgres, three_nodes);
}

async fn three_nodes(mut bed: Bed) {
    let sink = SmtpSink::start().await;
    bed.set("GIFTD_SMTP_URL", &sink.url());
    let app = bed.prepare();
    // Nobody dies here, and a machine that is busy with other tests shall not look as if.
    bed.set("GIFTD_DELIVERY_LEASE", "60s");
    let nodes = std::thread::scope(|scope| {
        let starting = [(); 3].map(|()| scope.spawn(|| bed.serve()));
        starting.map(|node| node.join().expect("it starts"))
    });
    // A token of one is good on all: they share the keys.
    let first = Client::new(&nodes[0], &app).await;
    let clients: Vec<Client> = nodes.iter().map(|node| Client::with(node.address, first.token())).collect();

    let mut gifts = 0;
    let mut ids = BTreeSet::new();
    for number in 0..10 {
        let same = order(&format!("same-{number}"), 7);
        gifts += 7;
        let placing: Vec<_> = (0..12)
            .map(|client| {
                let (mut client, same) = (clients[client % 3].another(), same.clone());
                tokio::spawn(async move { client.place(&same).await.expect("an answer") })
            })
            .collect();
        let mut created = 0;
        let mut answered = BTreeSet::new();
        for placed in placing {
            let (status, body) = placed.await.expect("no client fails");
            assert!(matches!(status, StatusCode::CREATED | StatusCode::OK), "{status} {body:#}");
            created += u32::from(status == StatusCode::CREATED);
            answered.insert(string(&body["data"]["orderId"]));
        }
        assert_eq!((created, answered.len()), (1, 1), "one 201, the others 200, all of one order");
        ids.extend(answered);
    }
    let mut client = clients[1].another();
    client.complete(ids.len() as u64).await;
    assert!(sink.has_taken(gifts, DEADLINE).await);
    for node in nodes {
        node.stop().await;
    }
    let mails = sink.mails();
    let to: BTreeSet<String> = mails.iter().flat_map(|mail| mail.to.clone()).collect();
    assert_eq!((mails.len(), to.len()), (gifts, gifts), "each gift is mailed once when nobody dies");
    assert_eq!(bed.json(&["ledger", "verify"])["balanced"], true);
}

#[test]
fn slow_a_node_that_dies_with_work_in_hand_loses_none_of_it() {
    on(Database::Postgres, async |mut bed: Bed| {
        let sink = SmtpSink::start().await;
        sink.delay(std::time::Duration::from_millis(30));
        bed.set("GIFTD_SMTP_URL", &sink.url());
        let app = bed.prepare();
        let (dies, lives) = (bed.serve(), bed.serve());
        let mut client = Client::new(&dies, &app).await;
        let (status, body) = client.place(&order("many", 200)).await.expect("an answer");
        assert_eq!(status, StatusCode::CREATED, "{body:#}");
        assert!(sink.has_taken(20, DEADLINE).await);
        dies.kill();
        Client::with(lives.address, client.token()).complete(1).await;
        lives.stop().await;
        let to: BTreeSet<String> = sink.mails().iter().flat_map(|mail| mail.to.clone()).collect();
        assert_eq!(to.len(), 200, "every gift was mailed");
        assert_eq!(bed.json(&["ledger", "verify"])["balanced"], true);
    });
}

#[test]
fn while_the_database_is_away_outcomes_wait_and_each_gift_is_mailed_once() {
    on(Database::Postgres, async |mut bed: Bed| {
        let sink = SmtpSink::start().await;
        sink.delay(std::time::Duration::from_millis(100));
        bed.set("GIFTD_SMTP_URL", &sink.url());
        let app = bed.prepare();
        bed.set("GIFTD_DELIVERY_LEASE", "20s");
        let process = bed.serve();
        let mut client = Client::new(&process, &app).await;
        let (status, body) = client.place(&order("many", 60)).await.expect("an answer");
        assert_eq!(status, StatusCode::CREATED, "{body:#}");
        // More than a first claim takes: all the rest is in hand, too.
        assert!(sink.has_taken(12, DEADLINE).await);
        bed.database_is_there(false).await;
        // What is in hand goes out, and can't be settled.
        assert!(sink.has_taken(20, DEADLINE).await);
        bed.database_is_there(true).await;
        client.complete(1).await;
        let to: BTreeSet<String> = sink.mails().iter().flat_map(|mail| mail.to.clone()).collect();
        assert_eq!((sink.count(), to.len()), (60, 60), "{}", process.log());
        process.stop().await;
        assert_eq!(bed.json(&["ledger", "verify"])["balanced"], true);
    });
}
