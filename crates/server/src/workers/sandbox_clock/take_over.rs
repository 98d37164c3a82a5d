//! Takes over the moves of nodes that died, and stops this node's own with it.

use std::sync::Arc;
use std::time::Duration;

use giftd_store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::state::Giftd;
use crate::workers::scan::scan;

/// How often the database is asked for them.
const SCAN: Duration = Duration::from_secs(3);

/// Looks until `stop`.
pub async fn run(giftd: Arc<Giftd>, stop: CancellationToken) {
    let trouble = "moves of sandboxes' clocks can't be taken over";
    scan(&giftd, &stop, SCAN, trouble, |giftd| async move { take_over(&giftd).await }).await;
    giftd.moves.stop().await;
}

/// All that there are, so that no more are left.
async fn take_over(giftd: &Arc<Giftd>) -> Result<bool, StoreError> {
    for (account, clock) in giftd.store.take_over_moves(giftd.clock.now()).await? {
        tracing::warn!(account = account.0, "a sandbox's clock stood still on its way: this node moves it on");
        // Nobody waits for it.
        drop(giftd.moves.go_on(giftd, account, clock));
    }
    Ok(false)
}
