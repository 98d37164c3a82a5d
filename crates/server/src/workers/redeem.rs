//! Asks suppliers again for redemptions whose answer isn't known: a supplier that timed out, or a node that
//! died between reserving and settling. Asked with the same id, they answer with the same code.

use std::sync::Arc;
use std::time::Duration;

use giftd_domain::gifts::redemption::{AskAgain, RedemptionState};
use giftd_domain::limits;
use giftd_store::StoreError;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::scan::scan;
use crate::state::Giftd;
use crate::supplier::supply;

/// How often the database is asked for whom.
const SCAN: Duration = Duration::from_secs(1);

/// Asks until `stop`; who is being asked then may still answer.
pub(super) async fn run(giftd: Arc<Giftd>, stop: CancellationToken) {
    scan(&giftd, &stop, SCAN, "no supplier can be asked again", |giftd| async move { ask_again(&giftd).await }).await;
}

/// Asks for all that are due, at once, so that a supplier that doesn't answer delays nobody else. Whether there
/// may be more.
async fn ask_again(giftd: &Arc<Giftd>) -> Result<bool, StoreError> {
    let due = giftd.store.claim_redemptions(giftd.clock.now(), limits::ASK_AGAIN_REDEMPTIONS).await?;
    let more = due.len() >= limits::ASK_AGAIN_REDEMPTIONS as usize;
    let mut asked = JoinSet::new();
    for AskAgain { gift, environment, redemption } in due {
        let giftd = giftd.clone();
        asked.spawn(async move { (gift, supply(&giftd, gift, environment, &redemption).await) });
    }
    while let Some(asked) = asked.join_next().await {
        match asked {
            Ok((gift, Ok(redemption))) if redemption.state != RedemptionState::Reserved => {
                let state: &str = redemption.state.into();
                tracing::info!(order = %gift.order, position = gift.position, state, "a redemption that waited is settled");
            }
            // It is told already.
            Ok((_, Ok(_))) => {}
            Ok((gift, Err(error))) => {
                tracing::warn!(order = %gift.order, position = gift.position, %error, "what a supplier said can't be settled; it is asked again");
            }
            Err(error) => tracing::error!(%error, "asking a supplier failed; it is asked again"),
        }
    }
    Ok(more)
}
