//! Settles outcomes in groups: whatever came in while the last group was written, and shortly after.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use giftd_domain::limits;
use giftd_store::{SettleDelivery, Settled, StoreError};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Shared;

/// How long a group waits for more outcomes, at most: it is a transaction, and an entry in the ledger for each order,
/// which is too much for every mail or two.
const GATHER: Duration = Duration::from_millis(10);
/// Wait before a group is tried again, at first.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);
/// And at most.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Settles until no sender is left.
pub(super) async fn run(shared: Arc<Shared>, mut outcomes: mpsc::Receiver<SettleDelivery>) {
    let mut group = Vec::with_capacity(limits::SETTLE_DELIVERIES);
    while outcomes.recv_many(&mut group, limits::SETTLE_DELIVERIES).await > 0 {
        gather(&mut outcomes, &mut group).await;
        settle(&shared, std::mem::take(&mut group)).await;
    }
}

/// Adds to a group what comes within [`GATHER`], up to its size.
async fn gather(outcomes: &mut mpsc::Receiver<SettleDelivery>, group: &mut Vec<SettleDelivery>) {
    let full = limits::SETTLE_DELIVERIES;
    let more = async { while group.len() < full && outcomes.recv_many(group, full - group.len()).await > 0 {} };
    // What was received is in the group, also where the time is over.
    drop(timeout(GATHER, more).await);
}

/// Tries until it is done or there is no use: a claim that was taken over settles nothing, so that
/// being late does no harm.
async fn settle(shared: &Shared, group: Vec<SettleDelivery>) {
    let mut groups = vec![group];
    let mut wait = SHORTEST_WAIT;
    let begun = shared.delivery.clock().elapsed();
    while let Some(mut group) = groups.pop() {
        let clock = shared.delivery.clock();
        match shared
            .delivery
            .store()
            .settle_deliveries(group.clone(), &shared.delivery.giftd.settings.reminders, clock.now(), clock.entropy())
            .await
        {
            Ok(settled) => {
                shared.unsettled.store(false, Ordering::Relaxed);
                wait = SHORTEST_WAIT;
                count(settled);
            }
            Err(error @ (StoreError::Unavailable(_) | StoreError::Full)) => {
                if clock.elapsed().saturating_sub(begun) > shared.delivery.lease() {
                    tracing::error!(%error, mails = group.len(), "outcomes of mails are lost: they are sent again");
                    shared.unsettled.store(false, Ordering::Relaxed);
                    continue;
                }
                tracing::warn!(%error, "outcomes of mails can't be settled; trying again");
                shared.unsettled.store(true, Ordering::Relaxed);
                groups.push(group);
                clock.sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
            // One of them is at fault: the others shall not wait for it.
            Err(_) if group.len() > 1 => {
                let rest = group.split_off(group.len() / 2);
                groups.extend([rest, group]);
            }
            Err(error) => {
                metrics::counter!("giftd_settlements_broken_total").increment(1);
                tracing::error!(%error, gifts = ?group.iter().map(|one| one.settlement.gift.to_string()).collect::<Vec<_>>(),
                    "the outcome of a mail can't be settled: it is sent again when its lease ends");
            }
        }
    }
}

fn count(settled: Settled) {
    metrics::counter!("giftd_orders_completed_total").increment(settled.completed_orders);
    if settled.dropped > 0 {
        metrics::counter!("giftd_settlements_dropped_total").increment(settled.dropped);
        tracing::warn!(dropped = settled.dropped, "outcomes came after their lease: those mails may be sent twice");
    }
}
