//! What `docs/operations.md` says about metrics.

use std::collections::BTreeSet;

use giftd::clock::Clock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::bed::{Bed, Database, import, on, until};

const MANUAL: &str = include_str!("../../../../docs/operations.md");

#[test]
fn the_metrics_of_the_manual_are_those_of_a_node() {
    on(Database::Sqlite, async |bed: Bed| {
        import(bed.node(Clock::system()).await.as_ref(), &["CODE"]).await;
        let node = bed.working_node().await;
        let mut client = TcpStream::connect(node.address).await.expect("it listens");
        client.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.expect("asked");
        client.read_to_end(&mut Vec::new()).await.expect("answered");

        let named: BTreeSet<&str> = MANUAL.split('`').filter(|word| is_metric(word)).collect();
        assert!(named.len() > 15, "{named:?}");
        let exported = || {
            let metrics = node.giftd.metrics.render();
            let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
            types.map(str::to_owned).collect::<BTreeSet<_>>()
        };
        let measured = async || named.iter().all(|name| exported().contains(*name)).then_some(());
        until("all that the manual names is measured", measured).await;
        let exported = exported();
        let unnamed: Vec<_> = exported.iter().filter(|name| !named.contains(name.as_str())).collect();
        assert!(unnamed.is_empty(), "docs/operations.md doesn't say what to do about {unnamed:?}");
        node.stop().await;
    });
}

fn is_metric(word: &str) -> bool {
    word.starts_with("giftd_") && word.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase())
}
