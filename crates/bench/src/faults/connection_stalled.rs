//! The connections between giftd and PostgreSQL stay open, but nothing passes: as behind a dead router. Every
//! request must have an answer in bounded time all the same.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::CLIENTS;
use super::bed::{Bed, Outcome};
use super::client::PATIENCE;
use super::connection_cut::to_the_database;
use super::proxy::Wire;

/// Seconds that nothing passes, one after the other.
const STALLS: [u64; 3] = [5, 10, 40];
/// Orders between two of them.
const ORDERS: u64 = 1_000;

pub async fn run(bed: &mut Bed<'_>) -> Result<Outcome> {
    let proxy = to_the_database(bed).await?;
    let node = bed.serve().await?;
    let clients = bed.clients(CLIENTS, &[node.address]).await?;
    let (mut recovered, mut mended) = (Vec::new(), Instant::now());
    for seconds in STALLS {
        bed.tell(format!("stalled for {seconds} s"));
        clients.place(ORDERS).await?;
        proxy.set(Wire::Stalled);
        bed.clock.sleep(Duration::from_secs(seconds)).await;
        proxy.set(Wire::Whole);
        mended = Instant::now();
        recovered.push(clients.recovered(mended).await?);
    }
    let mut outcome = bed.finish(clients, vec![node], recovered, mended, |bed| Ok(bed.sink.taken())).await?;
    if outcome.told.unanswered > 0 {
        let (count, patience) = (outcome.told.unanswered, PATIENCE.as_secs());
        outcome.audit.failures.push(format!("{count} requests had no answer within {patience} s"));
    }
    Ok(outcome)
}
