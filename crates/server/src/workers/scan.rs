//! How a worker looks for what is due: now and then, and again at once while there is more.

use std::sync::Arc;
use std::time::Duration;

use giftd_store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::state::Giftd;

/// Does `work` every so often until `stop`, and again at once where it says that there may be more; none of it while
/// this node's clock is off the database's. `trouble` is what the log says where it can't be done.
pub(super) async fn scan<Work, Done>(
    giftd: &Arc<Giftd>,
    stop: &CancellationToken,
    every: Duration,
    trouble: &'static str,
    work: Work,
) where
    Work: Fn(Arc<Giftd>) -> Done,
    Done: Future<Output = Result<bool, StoreError>>,
{
    let mut was_well = true;
    while !stop.is_cancelled() {
        let looked = match giftd.clock_agrees().await {
            Ok(true) => work(giftd.clone()).await,
            Ok(false) => Ok(false),
            Err(error) => Err(error),
        };
        match looked {
            Ok(more) => {
                was_well = true;
                if more {
                    continue;
                }
            }
            Err(error) => {
                // Once for each time that it goes wrong: the loop turns every few seconds.
                if was_well {
                    tracing::error!(%error, "{trouble}; trying again");
                }
                was_well = false;
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = giftd.clock.sleep(every) => {}
        }
    }
}
