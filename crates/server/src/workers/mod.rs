//! What runs beside the API on each node. All of it may run on any number of nodes at once: work is
//! rows with leases, and nobody leads.

mod backlog;
mod captured;
pub mod clock_check;
mod codes;
pub mod deliver;
mod erase;
mod gifts;
mod redeem;
pub mod sandbox_clock;
mod scan;

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::deliver::Delivery;

/// The workers of this node.
pub struct Workers {
    tasks: TaskTracker,
    stop: CancellationToken,
    drain: Duration,
}

impl Workers {
    /// Starts them.
    pub fn start(delivery: Delivery) -> Self {
        captured::describe_metrics();
        clock_check::describe_metrics();
        codes::describe_metrics();
        deliver::describe_metrics();
        erase::describe_metrics();
        gifts::describe_metrics();
        crate::supplier::describe_metrics();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        // What is in hand is sent within half a lease; the other half is for settling it.
        let drain = delivery.giftd.settings.delivery_lease;
        tasks.spawn(backlog::run(delivery.giftd.clone(), stop.clone()));
        tasks.spawn(captured::run(delivery.giftd.clone(), delivery.post.clone(), stop.clone()));
        tasks.spawn(codes::run(delivery.giftd.clone(), stop.clone()));
        tasks.spawn(erase::run(delivery.giftd.clone(), stop.clone()));
        tasks.spawn(gifts::run(delivery.giftd.clone(), stop.clone()));
        tasks.spawn(redeem::run(delivery.giftd.clone(), stop.clone()));
        tasks.spawn(sandbox_clock::take_over(delivery.giftd.clone(), stop.clone()));
        deliver::start(&delivery, &tasks, &stop);
        tasks.close();
        Self { tasks, stop, drain }
    }

    /// Claims nothing more, and waits until what is in hand is sent and settled. Whatever isn't by the
    /// end of its lease, others take over.
    pub async fn stop(self) {
        self.stop.cancel();
        if timeout(self.drain, self.tasks.wait()).await.is_err() {
            tracing::error!("workers didn't finish in time: mails in hand may be sent twice");
        }
    }
}
