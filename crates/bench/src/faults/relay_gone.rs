//! The mail server is gone for a minute: connections are refused. Gifts are ordered meanwhile.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::FEW_CLIENTS;
use super::bed::{Bed, Outcome};

/// How long it is gone.
const GONE: Duration = Duration::from_secs(60);
/// Mails before that.
const MAILS: u64 = 200;

pub async fn run(bed: &mut Bed<'_>) -> Result<Outcome> {
    let node = bed.serve().await?;
    let clients = bed.clients(FEW_CLIENTS, &[node.address]).await?;
    bed.sink.has_taken(MAILS).await;
    bed.tell(format!("gone for {} s", GONE.as_secs()));
    bed.sink.close().await;
    bed.clock.sleep(GONE).await;
    bed.sink.open()?;
    let opened = Instant::now();
    let recovered = vec![clients.recovered(opened).await?];
    bed.finish(clients, vec![node], recovered, opened, |bed| Ok(bed.sink.taken())).await
}
