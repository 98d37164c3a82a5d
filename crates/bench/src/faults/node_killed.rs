//! Of three nodes on one PostgreSQL one is killed under load, with mails in hand, and stays away.

use std::time::Instant;

use anyhow::{Context as _, Result};

use super::CLIENTS;
use super::bed::{Bed, LEASE, Outcome};

const NODES: usize = 3;
/// Orders, and mails, before that.
const ORDERS: u64 = 2_000;
const MAILS: u64 = 500;
/// Orders while the mail server says nothing.
const HELD: u64 = 300;

pub async fn run(bed: &mut Bed<'_>) -> Result<Outcome> {
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        nodes.push(bed.serve().await?);
    }
    let addresses = nodes.iter().map(|node| node.address).collect::<Vec<_>>();
    let clients = bed.clients(CLIENTS, &addresses).await?;
    bed.tell("one is killed".to_owned());
    clients.place(ORDERS).await?;
    bed.sink.has_taken(MAILS).await;
    // So that each has mails in hand, and holds on to them.
    bed.sink.stall(true);
    clients.place(HELD).await?;
    nodes.pop().context("no node")?.kill().await?;
    let killed = Instant::now();
    bed.sink.stall(false);
    // Those of the others may be first: what counts is that each client finds one of them.
    let recovered = vec![clients.recovered(killed).await?];
    let mut outcome = bed.finish(clients, nodes, recovered, killed, |bed| Ok(bed.sink.taken())).await?;
    outcome.notes.push(format!("a lease is {} s: what the dead node held others deliver after it", LEASE.as_secs()));
    Ok(outcome)
}
