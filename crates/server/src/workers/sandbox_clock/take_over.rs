//! Takes over the moves of nodes that died, and stops this node's own with it.

use std::sync::Arc;
use std::time::Duration;

use giftd_store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::state::Giftd;

/// How often the database is asked for them.
const SCAN: Duration = Duration::from_secs(3);

/// Looks until `stop`.
pub async fn run(giftd: Arc<Giftd>, stop: CancellationToken) {
    let mut was_well = true;
    loop {
        match take_over(&giftd).await {
            Ok(()) => was_well = true,
            Err(error) => {
                // Once for each time that it goes wrong.
                if was_well {
                    tracing::warn!(%error, "moves of sandboxes' clocks can't be taken over; trying again");
                }
                was_well = false;
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = giftd.clock.sleep(SCAN) => {}
        }
    }
    giftd.moves.stop().await;
}

async fn take_over(giftd: &Arc<Giftd>) -> Result<(), StoreError> {
    if !giftd.clock_agrees().await? {
        return Ok(());
    }
    for (account, clock) in giftd.store.take_over_moves(giftd.clock.now()).await? {
        tracing::warn!(account = account.0, "a sandbox's clock stood still on its way: this node moves it on");
        // Nobody waits for it.
        drop(giftd.moves.go_on(giftd, account, clock));
    }
    Ok(())
}
