//! One move: whatever is due next happens, until nothing is due before the end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use giftd_domain::Timestamp;
use giftd_domain::account::{AccountClock, ClockMove};
use giftd_domain::gifts::{ClaimedDelivery, DeliveryOutcome, MailKind};
use giftd_domain::ids::AccountId;
use giftd_domain::limits;
use giftd_store::{Due, Mails, SettleDelivery, StoreError, Work};
use jiff::SignedDuration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::mail::sandbox::Rehearsal;
use crate::mail::{MailFrom, Post, Sender};
use crate::serve;
use crate::settings::Settings;
use crate::state::Giftd;
use crate::workers::deliver;

/// Gifts that turn within this time turn together, each dated by its own instant: of an order with many gifts
/// each was sent at another microsecond.
const TOGETHER: SignedDuration = SignedDuration::from_secs(1);
/// How long one claim of the move is relied on before it is renewed.
const RELIED_ON: Duration = Duration::from_secs(limits::CLOCK_LEASE_SECONDS.unsigned_abs() / 3);
/// How long mails that workers had in hand when the move began have to be settled, so that they are dated by when
/// they were sent.
const IN_HAND: Duration = Duration::from_secs(1);
/// How long to wait where the database or another node's transaction has to be waited for.
const WAIT: Duration = Duration::from_millis(50);

/// A move in the hands of this node. Its instants are the node's clock's, most of them still to come.
pub struct Mover {
    giftd: Arc<Giftd>,
    account: AccountId,
    /// As it was when the move began.
    clock: AccountClock,
    claim: i64,
    /// Where the clock stands: all that was due before has happened.
    reached: Timestamp,
    /// Where the move ends.
    end: Timestamp,
    /// When this node began, by both its clocks.
    begun: (Timestamp, Duration),
    /// When the claim was last renewed ([`crate::clock::Clock::elapsed`]).
    renewed: Duration,
    /// When the move last came nearer to its end.
    went: Duration,
}

/// What a step led to.
enum Step {
    /// Something happened.
    Went,
    /// What is due is still in someone else's hands.
    Waits,
    /// The clock has arrived.
    Arrived,
    /// Someone else goes on, or the move is over.
    Lost,
}

impl Mover {
    /// None where the clock isn't moving.
    pub fn new(giftd: Arc<Giftd>, account: AccountId, clock: AccountClock) -> Option<Self> {
        let ClockMove { at, target, claim, .. } = clock.moving?;
        let (begun, now) = (giftd.clock.now(), giftd.clock.elapsed());
        let (reached, end) = (clock.node_time(at), clock.node_time(target));
        Some(Self { giftd, account, clock, claim, reached, end, begun: (begun, now), renewed: now, went: now })
    }

    /// Moves the clock until it has arrived, someone else goes on, `stop`, or nothing helps; then another node
    /// takes over when the lease ends.
    pub async fn run(mut self, stop: CancellationToken) {
        let account = self.account.0;
        // A sandbox's mail is captured, so that no relay is set up.
        let settings = Settings { smtp_url: None, ..self.giftd.settings.clone() };
        let way = match serve::mail(&settings) {
            Ok(way) => Arc::new(way),
            Err(error) => return tracing::error!(account, %error, "a sandbox's clock can't be moved"),
        };
        let mut was_well = true;
        while !stop.is_cancelled() {
            match self.step(&way).await {
                Ok(Step::Went) => {
                    self.went = self.giftd.clock.elapsed();
                    was_well = true;
                    continue;
                }
                Ok(Step::Waits) => {}
                Ok(Step::Arrived) => {
                    tracing::info!(account, "a sandbox's clock has arrived");
                    // What was ordered meanwhile is due.
                    self.giftd.wake.all();
                    return;
                }
                Ok(Step::Lost) => {
                    tracing::warn!(account, "a sandbox's clock is moved by someone else");
                    return;
                }
                Err(error @ (StoreError::Unavailable(_) | StoreError::Full)) => {
                    if was_well {
                        tracing::warn!(account, %error, "a sandbox's clock can't be moved; trying again");
                    }
                    was_well = false;
                }
                Err(error) => {
                    tracing::error!(account, %error, "a sandbox's clock can't be moved");
                    return;
                }
            }
            if self.giftd.clock.elapsed().saturating_sub(self.went) > lease() {
                tracing::error!(account, "a sandbox's clock stands still on its way; another node may try");
                return;
            }
            self.giftd.clock.sleep(WAIT).await;
        }
    }

    /// Lets happen what is due next, at its instant.
    async fn step(&mut self, way: &Arc<(Post, MailFrom)>) -> Result<Step, StoreError> {
        let giftd = self.giftd.clone();
        let due = giftd.store.due_until(self.account, self.end).await?;
        let Some(first) = [due.first_mail, due.first_turn].into_iter().flatten().min() else {
            let ended = giftd.store.end_move(self.account, self.claim, giftd.clock.now()).await?;
            return Ok(if ended { Step::Arrived } else { Step::Lost });
        };
        if due.first_mail == Some(first) && self.may_be_in_hand(first) {
            return Ok(Step::Waits);
        }
        // What was ordered since the clock came here is due at once.
        let at = first.max(self.reached);
        let turns = due.first_turn.is_some_and(|turn| turn <= at);
        let until = if turns { self.turn_until(at, due) } else { at };
        if !self.stand(until).await? {
            return Ok(Step::Lost);
        }
        let mut happened = 0;
        if turns {
            let Some(turned) = self.turn(until).await? else { return Ok(Step::Lost) };
            happened += turned;
        }
        // Before `until` there are only mails of reminders that were just made due: each is dated by its own instant.
        let Some(mailed) = self.mail(way, until).await? else { return Ok(Step::Lost) };
        happened += mailed;
        Ok(if happened > 0 { Step::Went } else { Step::Waits })
    }

    /// Whether a mail that waits until `until` may be one that a worker claimed just before the move began.
    fn may_be_in_hand(&self, until: Timestamp) -> bool {
        let (now, elapsed) = self.begun;
        let lease = SignedDuration::try_from(self.giftd.settings.delivery_lease).unwrap_or(SignedDuration::MAX);
        let wait = until.duration_since(now);
        wait.is_positive() && wait <= lease && self.giftd.clock.elapsed().saturating_sub(elapsed) < IN_HAND
    }

    /// Up to when gifts turn together from `at` on: not past a mail, which may change what they turn to.
    fn turn_until(&self, at: Timestamp, due: Due) -> Timestamp {
        let together = at.saturating_add(TOGETHER).unwrap_or(Timestamp::MAX).min(self.end);
        due.first_mail.map_or(together, |mail| together.min(mail)).max(at)
    }

    /// Sets the clock to `at` and renews the claim. Whether the claim is still the latest.
    async fn stand(&mut self, at: Timestamp) -> Result<bool, StoreError> {
        let (clock, shown) = (&self.giftd.clock, self.clock.shown_at(at));
        let asked = clock.elapsed();
        let is_ours = self.giftd.store.step_clock(self.account, self.claim, shown, clock.now()).await?;
        (self.reached, self.renewed) = (at, asked);
        Ok(is_ours)
    }

    /// Whether the move is still this node's to make: asks only now and then.
    async fn is_ours(&mut self) -> Result<bool, StoreError> {
        let is_fresh = self.giftd.clock.elapsed().saturating_sub(self.renewed) < RELIED_ON;
        if is_fresh { Ok(true) } else { self.stand(self.reached).await }
    }

    /// Turns the gifts whose instant is `until` or before. How many; none where the move is no longer ours.
    async fn turn(&mut self, until: Timestamp) -> Result<Option<u64>, StoreError> {
        let (work, mut gifts) = (Work::Moving(self.account), 0_u64);
        while self.is_ours().await? {
            let Giftd { store, settings, clock, .. } = &*self.giftd;
            let turned = store.turn_gifts(work, until, &settings.reminders, clock.entropy()).await?;
            gifts = gifts.saturating_add(turned.gifts);
            if turned.gifts < u64::from(limits::TURN_GIFTS) {
                return Ok(Some(gifts));
            }
        }
        Ok(None)
    }

    /// Sends the mails that are due at `until`, each once. How many; none where the move is no longer ours.
    async fn mail(&mut self, way: &Arc<(Post, MailFrom)>, until: Timestamp) -> Result<Option<u64>, StoreError> {
        let mut mails = 0_u64;
        while self.is_ours().await? {
            let Giftd { store, settings, clock, .. } = &*self.giftd.clone();
            let due = Mails::Moving(self.account);
            // Nobody else claims mails of this account, so that a claim needs no time of its own: a mail of a
            // move that is taken over is still due at its instant.
            let claimed = store.claim_deliveries(due, until, SignedDuration::ZERO, limits::CLAIM_DELIVERIES).await?;
            let count = claimed.len();
            if count == 0 {
                return Ok(Some(mails));
            }
            let settlements = self.send(way, claimed, until).await;
            let troubled = settlements.len() < count;
            let settled = store.settle_deliveries(settlements, &settings.reminders, until, clock.entropy()).await?;
            mails = mails.saturating_add(settled.settled);
            metrics::counter!("giftd_orders_completed_total").increment(settled.completed_orders);
            if troubled || count < limits::CLAIM_DELIVERIES as usize {
                return Ok(Some(mails));
            }
        }
        Ok(None)
    }

    /// Sends claimed mails, some at a time: they are all of one moment. What became of each, but of those that met
    /// real trouble.
    async fn send(
        &self,
        way: &Arc<(Post, MailFrom)>,
        claimed: Vec<ClaimedDelivery>,
        until: Timestamp,
    ) -> Vec<SettleDelivery> {
        let waiting = Arc::new(Mutex::new(claimed.into_iter()));
        // A mail that never works shall not hold up the clock for ever.
        let is_patient = self.giftd.clock.elapsed().saturating_sub(self.went) < lease() / 2;
        let mut senders = JoinSet::new();
        for _ in 0..self.giftd.settings.mail_concurrency {
            let (giftd, way, waiting) = (self.giftd.clone(), way.clone(), waiting.clone());
            senders.spawn(async move {
                let (post, mail_from) = &*way;
                let (mut sender, mut settlements) = (Sender::new(post.clone()), Vec::new());
                let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
                while let Some(delivery) = next() {
                    let at = instant(&delivery, until);
                    let attempt = deliver::attempt(&giftd, &mut sender, mail_from, &delivery, at).await;
                    if !is_patient || !is_real_trouble(&delivery, &attempt) {
                        settlements.push(attempt);
                    }
                }
                settlements
            });
        }
        senders.join_all().await.into_iter().flatten().collect()
    }
}

/// When a mail that was claimed at `until` is sent: a reminder when it became due. Others that can be claimed then
/// are due then.
fn instant(delivery: &ClaimedDelivery, until: Timestamp) -> Timestamp {
    match delivery.kind {
        MailKind::Reminder if delivery.attempts == 0 => delivery.due_at.min(until),
        MailKind::Gift | MailKind::Reminder | MailKind::Verification => until,
    }
}

/// Whether a mail wasn't captured for trouble of this node, and not as its address rehearses: that doesn't pass by
/// moving a clock, so that for a while the mail stays due where the clock stands.
fn is_real_trouble(delivery: &ClaimedDelivery, attempt: &SettleDelivery) -> bool {
    let to = delivery.recipient.email.as_deref().unwrap_or_default();
    !matches!(attempt.settlement.outcome, DeliveryOutcome::Sent { .. })
        && Rehearsal::of(delivery.environment, to).is_none()
}

fn lease() -> Duration {
    Duration::from_secs(limits::CLOCK_LEASE_SECONDS.unsigned_abs())
}
