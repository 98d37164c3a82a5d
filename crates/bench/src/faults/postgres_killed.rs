//! PostgreSQL is killed under load, as by a power cut, and started again a moment later.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::CLIENTS;
use super::bed::{Bed, Outcome};

const TIMES: u32 = 5;
/// Orders between two kills.
const ORDERS: u64 = 1_000;
/// How long it is gone.
const GONE: Duration = Duration::from_secs(2);

pub async fn run(bed: &mut Bed<'_>) -> Result<Outcome> {
    let node = bed.serve().await?;
    let clients = bed.clients(CLIENTS, &[node.address]).await?;
    let (mut recovered, mut restarted) = (Vec::new(), Instant::now());
    for time in 1..=TIMES {
        bed.tell(format!("killed {time} of {TIMES} times"));
        clients.place(ORDERS).await?;
        let cluster = bed.databases.cluster.as_mut().context("no cluster")?;
        tokio::task::block_in_place(|| cluster.crash())?;
        bed.clock.sleep(GONE).await;
        tokio::task::block_in_place(|| cluster.begin())?;
        restarted = Instant::now();
        recovered.push(clients.recovered(restarted).await?);
    }
    bed.finish(clients, vec![node], recovered, restarted, |bed| Ok(bed.sink.taken())).await
}
