//! All connections between giftd and PostgreSQL are reset under load, and new ones refused for a while.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::CLIENTS;
use super::bed::{Bed, Outcome};
use super::proxy::{Proxy, Wire};

const TIMES: u32 = 5;
/// Orders between two cuts.
const ORDERS: u64 = 1_000;
/// How long none can be had.
const GONE: Duration = Duration::from_secs(2);

pub async fn run(bed: &mut Bed<'_>) -> Result<Outcome> {
    let proxy = to_the_database(bed).await?;
    let node = bed.serve().await?;
    let clients = bed.clients(CLIENTS, &[node.address]).await?;
    let (mut recovered, mut mended) = (Vec::new(), Instant::now());
    for time in 1..=TIMES {
        bed.tell(format!("cut {time} of {TIMES} times"));
        clients.place(ORDERS).await?;
        proxy.set(Wire::Cut);
        bed.clock.sleep(GONE).await;
        proxy.set(Wire::Whole);
        mended = Instant::now();
        recovered.push(clients.recovered(mended).await?);
    }
    bed.finish(clients, vec![node], recovered, mended, |bed| Ok(bed.sink.taken())).await
}

/// A proxy that the nodes which start from now on reach their database through.
pub async fn to_the_database(bed: &mut Bed<'_>) -> Result<Proxy> {
    let cluster = bed.databases.cluster.as_ref().context("no cluster")?.address();
    let proxy = Proxy::start(cluster).await?;
    let url = bed.database.url.replace(&cluster.to_string(), &proxy.address.to_string());
    bed.set("GIFTD_DATABASE_URL", url);
    Ok(proxy)
}
