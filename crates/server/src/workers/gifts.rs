//! Turns gifts whose time has come: reminds their recipients, lets what is open expire, and returns what is
//! to be refunded. Any node does it; what is due is done once, by the database.

use std::sync::Arc;
use std::time::Duration;

use giftd_domain::limits;
use giftd_store::{StoreError, Turned, Work};
use tokio_util::sync::CancellationToken;

use super::scan::scan;
use crate::state::Giftd;

/// How often the database is asked which gifts are due.
const SCAN: Duration = Duration::from_secs(1);

/// Turns gifts until `stop`.
pub(super) async fn run(giftd: Arc<Giftd>, stop: CancellationToken) {
    let trouble = "no gifts can be reminded of or expire";
    scan(&giftd, &stop, SCAN, trouble, |giftd| async move { turn(&giftd).await }).await;
}

/// Turns a group. Whether there may be more to turn at once.
async fn turn(giftd: &Giftd) -> Result<bool, StoreError> {
    let (now, entropy) = (giftd.clock.now(), giftd.clock.entropy());
    let turned = giftd.store.turn_gifts(Work::Everyone, now, &giftd.settings.reminders, entropy).await?;
    tell(&turned);
    if turned.reminded > 0 {
        giftd.wake.all();
    }
    Ok(turned.gifts >= u64::from(limits::TURN_GIFTS))
}

/// Says what is counted here; counters begin at 0, so that their growth can be watched.
pub(super) fn describe_metrics() {
    use metrics::{counter, describe_counter};
    for (name, text) in [
        ("giftd_gifts_expired_total", "Gifts of which something was open when their time was over."),
        ("giftd_refunded_cents_total", "US cents that returned to balances when gifts expired."),
        ("giftd_reminders_total", "Reminders that became due to be mailed."),
    ] {
        describe_counter!(name, text);
        counter!(name).increment(0);
    }
}

fn tell(turned: &Turned) {
    let Turned { reminded, expired, refunded, .. } = *turned;
    metrics::counter!("giftd_gifts_expired_total").increment(expired);
    metrics::counter!("giftd_refunded_cents_total").increment(u64::try_from(refunded).unwrap_or(0));
    metrics::counter!("giftd_reminders_total").increment(reminded);
    if expired > 0 || reminded > 0 {
        tracing::info!(expired, refunded_cents = refunded, reminded, "gifts expired or are reminded of");
    }
}
