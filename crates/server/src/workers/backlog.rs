//! Shows in the metrics what waits to be delivered.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::state::Giftd;

/// How often it is counted.
const EVERY: Duration = Duration::from_secs(15);

/// Counts until `stop`.
pub(super) async fn run(giftd: Arc<Giftd>, stop: CancellationToken) {
    loop {
        let now = giftd.clock.now();
        match giftd.store.backlog(now).await {
            Ok(backlog) => {
                let age = backlog.oldest_due.map_or(0.0, |due| now.duration_since(due).as_secs_f64().max(0.0));
                metrics::gauge!("giftd_deliveries_due").set(gauge(backlog.due));
                metrics::gauge!("giftd_deliveries_oldest_due_seconds").set(age);
            }
            Err(error) => tracing::warn!(%error, "the backlog can't be counted"),
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = giftd.clock.sleep(EVERY) => {}
        }
    }
}

fn gauge(count: u64) -> f64 {
    count as f64
}
