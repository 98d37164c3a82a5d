//! How much a node may have claimed and not yet sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// Mails that one sender may have waiting, however fast mails are taken.
const A_SENDER: u32 = 25;

/// Counts what is in hand, and how fast it leaves it.
pub(super) struct InHand {
    senders: u32,
    /// Mails a second at most.
    rate: Option<u32>,
    /// How long after its claim a mail may begin.
    begin_within: Duration,
    count: AtomicU32,
    /// Microseconds that a mail took lately; 0: none was sent yet.
    average: AtomicU64,
    freed: Notify,
}

/// One mail's place; dropping it makes room for the next.
pub(super) struct Place(Arc<InHand>);

impl InHand {
    pub(super) fn new(senders: u32, rate: Option<u32>, begin_within: Duration) -> Arc<Self> {
        Arc::new(Self {
            senders,
            rate,
            begin_within,
            count: AtomicU32::new(0),
            average: AtomicU64::new(0),
            freed: Notify::new(),
        })
    }

    /// Takes a place.
    pub(super) fn take(in_hand: &Arc<Self>) -> Place {
        in_hand.count.fetch_add(1, Ordering::Relaxed);
        Place(in_hand.clone())
    }

    /// Waits until a claim is worth it, and returns how much it may take: what can begin in time at
    /// the speed of late.
    pub(super) async fn room(&self) -> u32 {
        loop {
            let capacity = self.capacity();
            let room = capacity.saturating_sub(self.count.load(Ordering::Relaxed));
            // Not one by one: a claim is a transaction.
            if room >= (capacity / 4).max(1) {
                return room;
            }
            self.freed.notified().await;
        }
    }

    /// Notes how long a mail took.
    pub(super) fn took(&self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
        let before = self.average.load(Ordering::Relaxed);
        let after = if before == 0 { time } else { before - before / 8 + time / 8 };
        self.average.store(after.max(1), Ordering::Relaxed);
    }

    fn capacity(&self) -> u32 {
        let slack = u64::try_from(self.begin_within.as_micros()).unwrap_or(u64::MAX);
        let each = match self.average.load(Ordering::Relaxed) {
            0 => 1,
            average => u32::try_from(slack / average).unwrap_or(A_SENDER).saturating_add(1).min(A_SENDER),
        };
        let paced = self.rate.map_or(u64::MAX, |rate| u64::from(rate) * slack / 1_000_000);
        u32::try_from(paced).unwrap_or(u32::MAX).min(self.senders * each).max(1)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_in_hand_than_can_begin_in_time() {
        let in_hand = InHand::new(8, None, Duration::from_secs(6));
        assert_eq!(in_hand.capacity(), 8, "one for each sender until it is known how long mails take");
        in_hand.took(Duration::from_millis(2));
        assert_eq!(in_hand.capacity(), 8 * A_SENDER);
        for _ in 0..100 {
            in_hand.took(Duration::from_secs(4));
        }
        assert_eq!(in_hand.capacity(), 16, "one under way and one that begins 4 s later");
        let paced = InHand::new(8, Some(1), Duration::from_secs(6));
        assert_eq!(paced.capacity(), 6, "at one a second");
        assert_eq!(InHand::new(8, Some(1), Duration::from_millis(50)).capacity(), 1);
    }

    #[tokio::test]
    async fn a_claim_waits_until_a_quarter_is_free() {
        let in_hand = InHand::new(8, None, Duration::from_secs(6));
        let mut places: Vec<_> = (0..8).map(|_| InHand::take(&in_hand)).collect();
        let waiting = tokio::spawn({
            let in_hand = in_hand.clone();
            async move { in_hand.room().await }
        });
        tokio::task::yield_now().await;
        places.pop();
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        places.pop();
        assert_eq!(waiting.await.expect("woken"), 2);
    }
}
