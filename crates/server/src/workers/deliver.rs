//! Delivery: claims the gifts that are due, mails them and settles what became of each.
//!
//! One task claims, for a lease, no more than can be sent in half of it; senders, each with its own
//! connection, send; one task settles the outcomes in groups. A wake-up (an order was placed here) and
//! a scan each second drive the same claims. A node that dies loses nothing: its claims run out, and
//! others take over. Only the claim's number settles, so nothing is ever settled twice.
//!
//! All of this is there twice: for the mails that go to the mail server, and for those that it has no say in, a
//! sandbox's and the links. Neither waits for the other.

mod in_hand;
mod pace;
mod pause;
mod retry;
mod send;
mod settle;
mod wake;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use giftd_domain::gifts::ClaimedDelivery;
use giftd_domain::limits;
use giftd_store::{Mails, Store, StoreError};
use jiff::SignedDuration;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::in_hand::{InHand, Place};
use self::pace::Pace;
use self::pause::Pause;
pub use self::send::attempt;
pub use self::wake::Wake;
use crate::clock::Clock;
use crate::mail::{MailFrom, Post};
use crate::state::Giftd;

/// How often the database is asked what is due when nothing wakes the node.
const SCAN: Duration = Duration::from_secs(1);

/// What delivering takes.
#[derive(Clone)]
pub struct Delivery {
    /// The node.
    pub giftd: Arc<Giftd>,
    /// Where mails go.
    pub post: Post,
    /// Whom they come from.
    pub mail_from: MailFrom,
}

impl Delivery {
    fn store(&self) -> &Arc<dyn Store> {
        &self.giftd.store
    }

    fn clock(&self) -> &Clock {
        &self.giftd.clock
    }

    /// How long a claim is good.
    fn lease(&self) -> Duration {
        self.giftd.settings.delivery_lease
    }

    /// How long one mail may take: below half the lease, with room for more than one to begin in it.
    fn send_deadline(&self) -> Duration {
        self.lease() * 2 / 5
    }

    /// How long after its claim a mail may begin, so that it ends within half the lease.
    fn begin_within(&self) -> Duration {
        self.lease() / 2 - self.send_deadline()
    }
}

/// A claimed gift on its way through a sender.
struct Job {
    delivery: ClaimedDelivery,
    /// The clock's [`Clock::elapsed`] just before it was claimed.
    claimed: Duration,
    /// Given back when it was sent.
    place: Place,
}

/// What all tasks share that deliver the same mails.
struct Shared {
    delivery: Delivery,
    mails: Mails,
    in_hand: Arc<InHand>,
    pace: Pace,
    pause: Pause,
    /// Outcomes can't be settled: claiming more would only send twice.
    unsettled: AtomicBool,
}

/// Starts delivering on `tasks`, until `stop`; what was claimed by then is still sent and settled.
pub fn start(delivery: &Delivery, tasks: &TaskTracker, stop: &CancellationToken) {
    for mails in [Mails::Outgoing, Mails::Staying] {
        start_one(delivery.clone(), mails, tasks, stop);
    }
}

fn start_one(delivery: Delivery, mails: Mails, tasks: &TaskTracker, stop: &CancellationToken) {
    let (senders, rate) = (delivery.giftd.settings.mail_concurrency, delivery.giftd.settings.mail_rate);
    let shared = Arc::new(Shared {
        in_hand: InHand::new(senders, rate, delivery.begin_within()),
        pace: Pace::new(rate),
        pause: Pause::new(),
        unsettled: AtomicBool::new(false),
        delivery,
        mails,
    });
    let (jobs, waiting) = mpsc::unbounded_channel();
    let (outcomes, settling) = mpsc::channel(limits::SETTLE_DELIVERIES);
    let waiting = Arc::new(Mutex::new(waiting));
    for _ in 0..senders {
        tasks.spawn(send::run(shared.clone(), waiting.clone(), outcomes.clone()));
    }
    tasks.spawn(settle::run(shared.clone(), settling));
    let claims = Claims { shared, jobs };
    tasks.spawn(claims.run(stop.clone()));
}

/// Says what is counted here and in `backlog`; counters begin at 0, so that their growth can be watched.
pub(super) fn describe_metrics() {
    use metrics::{Unit, counter, describe_counter, describe_gauge};
    describe_counter!("giftd_mails_total", "Attempts to send a gift's mail, by what became of them.");
    for result in ["sent", "retried", "failed"] {
        for environment in ["PRODUCTION", "SANDBOX"] {
            counter!("giftd_mails_total", "result" => result, "environment" => environment).increment(0);
        }
    }
    for (name, text) in [
        ("giftd_mail_faults_total", "Mails that weren't sent for a fault of ours or of our relay."),
        ("giftd_mail_pauses_total", "Pauses of sending, after such faults in a row."),
        ("giftd_mails_let_go_total", "Claimed mails that couldn't begin in time and were left to a later claim."),
        ("giftd_orders_completed_total", "Orders that became COMPLETE."),
        ("giftd_settlements_dropped_total", "Outcomes that came after their lease: those mails may be sent twice."),
        ("giftd_settlements_broken_total", "Outcomes that the database couldn't take."),
    ] {
        describe_counter!(name, text);
        counter!(name).increment(0);
    }
    describe_gauge!("giftd_deliveries_due", Unit::Count, "Deliveries that are due and not claimed, on all nodes.");
    describe_gauge!("giftd_deliveries_oldest_due_seconds", Unit::Seconds, "For how long the oldest of them is due.");
}

/// The one task of a node that claims such mails.
struct Claims {
    shared: Arc<Shared>,
    /// Bounded by the places in hand.
    jobs: mpsc::UnboundedSender<Job>,
}

/// What is left after a claim.
#[derive(Debug, PartialEq, Eq)]
enum Left {
    /// Perhaps more: claim again at once.
    More,
    /// Nothing due, or nothing that may be claimed: wait for the next scan.
    Nothing,
}

impl Claims {
    async fn run(mut self, stop: CancellationToken) {
        let shared = self.shared.clone();
        while !stop.is_cancelled() {
            let room = tokio::select! {
                () = stop.cancelled() => break,
                room = shared.in_hand.room() => room,
            };
            if self.claim(room).await == Left::Nothing {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = shared.delivery.giftd.wake.due(shared.mails) => {}
                    () = shared.delivery.clock().sleep(SCAN) => {}
                }
            }
        }
        // Dropping the end of the queue lets the senders finish what is in it, and go.
    }

    async fn claim(&mut self, room: u32) -> Left {
        match self.try_claim(room).await {
            Ok(left) => left,
            Err(error) => {
                tracing::warn!(%error, "no deliveries can be claimed; trying again");
                Left::Nothing
            }
        }
    }

    async fn try_claim(&mut self, room: u32) -> Result<Left, StoreError> {
        let shared = self.shared.clone();
        let (store, clock) = (shared.delivery.store(), shared.delivery.clock());
        if shared.unsettled.load(Ordering::Relaxed) || !shared.delivery.giftd.clock_agrees().await? {
            return Ok(Left::Nothing);
        }
        let allowed = shared.pause.limit(clock.elapsed());
        let limit = allowed.min(room).min(limits::CLAIM_DELIVERIES);
        if limit == 0 {
            return Ok(Left::Nothing);
        }
        let claimed = clock.elapsed();
        let lease = SignedDuration::try_from(shared.delivery.lease()).unwrap_or(SignedDuration::MAX);
        let deliveries = store.claim_deliveries(shared.mails, clock.now(), lease, limit).await?;
        // After a pause one mail tries the relay; the next has to wait and see.
        let is_trying = allowed == 1;
        let left = if is_trying || deliveries.len() < limit as usize { Left::Nothing } else { Left::More };
        for delivery in deliveries {
            let place = InHand::take(&shared.in_hand);
            // Fails only when no sender is left, and then the lease runs out.
            drop(self.jobs.send(Job { delivery, claimed, place }));
        }
        Ok(left)
    }
}
