//! Shows in the metrics how many codes there are, and how many redemptions wait for one.

use std::sync::Arc;
use std::time::Duration;

use giftd_domain::money::{Currency, Money};
use giftd_store::{StoreError, Unanswered};
use tokio_util::sync::CancellationToken;

use crate::state::Giftd;

/// How often they are counted.
const EVERY: Duration = Duration::from_secs(15);

/// Counts until `stop`.
pub(super) async fn run(giftd: Arc<Giftd>, stop: CancellationToken) {
    loop {
        if let Err(error) = count(&giftd).await {
            tracing::warn!(%error, "the codes can't be counted");
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = giftd.clock.sleep(EVERY) => {}
        }
    }
}

async fn count(giftd: &Giftd) -> Result<(), StoreError> {
    let now = giftd.clock.now();
    let Unanswered { redemptions, since } = giftd.store.unanswered().await?;
    let age = since.map_or(0.0, |since| now.duration_since(since).as_secs_f64().max(0.0));
    metrics::gauge!("giftd_redemptions_unanswered").set(redemptions as f64);
    metrics::gauge!("giftd_redemptions_oldest_unanswered_seconds").set(age);
    for stock in giftd.store.stock().await? {
        let currency = currency_of(giftd, &stock.product_id).await?;
        // As people write it: 25.00, 5000.
        let face_value = currency.map_or_else(
            || stock.face_value.to_string(),
            |currency| Money::new(stock.face_value, currency).to_string(),
        );
        let labels = [("product", stock.product_id), ("face_value", face_value)];
        metrics::gauge!("giftd_codes_available", &labels).set(stock.available as f64);
    }
    Ok(())
}

async fn currency_of(giftd: &Giftd, product_id: &str) -> Result<Option<Currency>, StoreError> {
    if let Some(card) = giftd.reference().await?.catalog.branded.get(product_id) {
        return Ok(Some(card.currency));
    }
    Ok(giftd.store.branded_card(product_id).await?.map(|known| known.card.currency))
}

/// Says what is measured here.
pub(super) fn describe_metrics() {
    use metrics::{Unit, describe_gauge};
    describe_gauge!(
        "giftd_codes_available",
        Unit::Count,
        "Imported codes that can be handed out, by branded card and face value."
    );
    describe_gauge!(
        "giftd_redemptions_unanswered",
        Unit::Count,
        "Redemptions in production whose supplier's answer isn't known."
    );
    describe_gauge!(
        "giftd_redemptions_oldest_unanswered_seconds",
        Unit::Seconds,
        "For how long the oldest of them waits."
    );
}
