//! Erases to whom gifts went, once they have been over for as long as the setting says. Any node does it; an order
//! is erased once, by the database.

use std::sync::Arc;
use std::time::Duration;

use giftd_domain::orders::erase::Retention;
use giftd_store::{Erased, StoreError};
use tokio_util::sync::CancellationToken;

use super::scan::scan;
use crate::state::Giftd;

/// How often the database is asked which orders are due: what is kept for months may be kept for minutes more.
const SCAN: Duration = Duration::from_mins(15);

/// Erases until `stop`, where anything is to be erased at all.
pub(super) async fn run(giftd: Arc<Giftd>, stop: CancellationToken) {
    let Some(retention) = giftd.settings.pii_days else { return };
    let trouble = "no recipients can be erased";
    scan(&giftd, &stop, SCAN, trouble, |giftd| async move { erase(&giftd, retention).await }).await;
}

/// Erases a group. Whether there may be more to erase at once.
async fn erase(giftd: &Giftd, retention: Retention) -> Result<bool, StoreError> {
    let Erased { orders, recipients, more } = giftd.store.erase_recipients(retention, giftd.clock.now()).await?;
    if orders > 0 {
        metrics::counter!("giftd_recipients_erased_total").increment(recipients);
        tracing::info!(orders, recipients, "recipients of gifts whose time is over were erased");
    }
    Ok(more)
}

/// Says what is counted here.
pub(super) fn describe_metrics() {
    metrics::describe_counter!("giftd_recipients_erased_total", "Recipients who were erased, by GIFTD_PII_DAYS.");
    metrics::counter!("giftd_recipients_erased_total").increment(0);
}
