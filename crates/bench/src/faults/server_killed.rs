//! The server is killed under load, with mail in hand, and started again at once.

use std::time::Instant;

use anyhow::Result;

use super::CLIENTS;
use super::bed::{Bed, Outcome};

const TIMES: u32 = 20;
/// Orders, and mails, between two kills.
const ORDERS: u64 = 300;
const MAILS: u64 = 50;

pub async fn run(bed: &mut Bed<'_>) -> Result<Outcome> {
    let mut node = bed.serve().await?;
    let clients = bed.clients(CLIENTS, &[node.address]).await?;
    let (mut recovered, mut killed) = (Vec::new(), Instant::now());
    for time in 1..=TIMES {
        bed.tell(format!("killed {time} of {TIMES} times"));
        let mails = bed.sink.count() + MAILS;
        clients.place(ORDERS).await?;
        bed.sink.has_taken(mails).await;
        let address = node.address;
        node.kill().await?;
        killed = Instant::now();
        node = bed.serve_at(address).await?;
        recovered.push(clients.recovered(killed).await?);
    }
    bed.finish(clients, vec![node], recovered, killed, |bed| Ok(bed.sink.taken())).await
}
