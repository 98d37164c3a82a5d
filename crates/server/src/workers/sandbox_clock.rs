//! Moves of sandboxes' clocks: from due instant to due instant, so that everything happens in its order and
//! is dated by its own instant.
//!
//! A move belongs to whoever has its latest claim, and each step renews the claim. A node that dies in the
//! middle loses nothing: its lease ends, and another goes on from where the clock stands.

mod mover;
mod take_over;

use std::sync::Arc;

use giftd_domain::account::AccountClock;
use giftd_domain::ids::AccountId;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::mover::Mover;
pub(super) use self::take_over::run as take_over;
use crate::state::Giftd;

/// The moves that this node makes.
#[derive(Debug, Default)]
pub struct Moves {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Moves {
    /// Makes the move of an account's clock, which this node has claimed as `clock`, in a task of its own: a
    /// client that goes away doesn't stop it. The task ends when the clock has arrived, or when this node can't
    /// or mustn't go on; then another does.
    pub fn go_on(&self, giftd: &Arc<Giftd>, account: AccountId, clock: AccountClock) -> JoinHandle<()> {
        let (giftd, stop) = (giftd.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            match Mover::new(giftd, account, clock) {
                Some(mover) => mover.run(stop).await,
                None => tracing::error!(account = account.0, "a clock that isn't moving can't go on"),
            }
        })
    }

    /// Stops all after the step that they are at; other nodes take them over.
    async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
