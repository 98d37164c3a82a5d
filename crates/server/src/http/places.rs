//! The places of a node's connections. There are so many; whoever makes the server wait longest loses its place
//! when another client needs it, when answers that nobody takes fill the memory, or when its time is up.
//!
//! That needs no address to be right: also behind a proxy, whose address all clients share, it is the idle and the
//! slow that go. Where addresses differ, those of the address that has most go first, so that a crowd of one
//! abuser pushes out its own.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use giftd_domain::limits;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::api::client_address::network;
use crate::clock::Clock;
use crate::measures;

/// Wait before connections are let go again, where none could be: all had a request at work.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// All places of a node.
#[derive(Clone)]
pub struct Places(Arc<Shared>);

struct Shared {
    clock: Clock,
    free: Arc<Semaphore>,
    held: Mutex<HashMap<u64, Arc<Held>>>,
    next: AtomicU64,
    /// Bytes of answers that clients haven't taken.
    answers: AtomicUsize,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Turn {
    /// Its client: for a request's head, or until it has taken the answer.
    Client,
    /// Its client, for more of a request's body.
    Body,
    /// Us.
    Ours,
}

struct Held {
    network: IpAddr,
    turn: AtomicU8,
    /// Milliseconds of the clock when the connection last came a whole step further: it was opened, a head was
    /// whole, an answer was ready or taken. Single bytes don't count.
    since: AtomicU64,
    /// Bytes of the answer that the client hasn't taken.
    answer: AtomicUsize,
    let_go: Notify,
}

/// Why connections are let go.
#[derive(Clone, Copy, Debug, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
enum Why {
    Places,
    Memory,
    Time,
}

impl Places {
    /// So many, all free.
    pub fn new(most: usize, clock: Clock) -> Self {
        // There from the start, so that their growth can be watched.
        for why in [Why::Places, Why::Memory, Why::Time] {
            measures::connections_let_go(why.into(), 0);
        }
        Self(Arc::new(Shared {
            clock,
            free: Arc::new(Semaphore::new(most)),
            held: Mutex::default(),
            next: AtomicU64::new(0),
            answers: AtomicUsize::new(0),
        }))
    }

    /// A place for a client at `address`: at once where one is free; else somebody who waits has to go.
    pub async fn take(&self, address: IpAddr) -> Place {
        let permit = loop {
            if let Ok(permit) = self.0.free.clone().try_acquire_owned() {
                break permit;
            }
            self.make_room();
            tokio::select! {
                permit = self.0.free.clone().acquire_owned() => match permit {
                    Ok(permit) => break permit,
                    Err(_) => unreachable!("nobody closes the semaphore"),
                },
                () = self.0.clock.sleep(LOOK_AGAIN) => {}
            }
        };
        let held = Arc::new(Held {
            network: network(address),
            turn: AtomicU8::new(Turn::Client as u8),
            since: AtomicU64::new(self.0.now()),
            answer: AtomicUsize::new(0),
            let_go: Notify::new(),
        });
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.0.held().insert(number, held.clone());
        Place { number, held, places: self.0.clone(), _permit: permit }
    }

    /// Lets go, of those that wait for their clients, some that have waited longest, of the address with most.
    fn make_room(&self) {
        let held = self.0.held();
        let mut of_network = HashMap::<IpAddr, usize>::new();
        let mut waiting: Vec<&Held> = held.values().map(Arc::as_ref).filter(|held| held.waits_for_client()).collect();
        waiting.iter().for_each(|held| *of_network.entry(held.network).or_default() += 1);
        let crowd = of_network.into_iter().max_by_key(|(_, count)| *count).map(|(network, _)| network);
        waiting.retain(|held| Some(held.network) == crowd);
        waiting.sort_unstable_by_key(|held| held.since());
        waiting.truncate(limits::CONNECTIONS_LET_GO);
        let_go(waiting, Why::Places);
    }

    /// Lets go whose clients don't take their answers in time. To be called now and then.
    pub fn let_slow_readers_go(&self) {
        let (now, allowed) = (self.0.now(), limits::ANSWER_SECONDS.saturating_mul(1_000));
        let held = self.0.held();
        let slow = |held: &&Held| held.untaken() > 0 && now.saturating_sub(held.since()) >= allowed;
        let_go(held.values().map(Arc::as_ref).filter(slow), Why::Time);
    }
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, HashMap<u64, Arc<Held>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Lets go who has waited longest to take its answer, until what is left fits. Not `newest`, whose answer was
    /// just made.
    fn make_memory(&self, newest: &Held) {
        let held = self.held();
        let mut untaken: Vec<&Held> = held.values().map(Arc::as_ref).filter(|held| held.untaken() > 0).collect();
        untaken.retain(|held| !std::ptr::eq(*held, newest));
        // The newest are kept, as many as fit beside this one.
        untaken.sort_unstable_by_key(|held| Reverse(held.since()));
        let mut kept = newest.untaken();
        let too_much = untaken.into_iter().filter(|held| {
            kept = kept.saturating_add(held.untaken());
            kept > limits::ANSWER_BYTES_IN_FLIGHT
        });
        let_go(too_much, Why::Memory);
    }
}

fn let_go<'a>(connections: impl IntoIterator<Item = &'a Held>, why: Why) {
    let mut count = 0;
    for held in connections {
        held.let_go.notify_one();
        count += 1;
    }
    if count > 0 {
        measures::connections_let_go(why.into(), count);
        tracing::debug!(why = <&str>::from(why), connections = count, "clients who made us wait longest are let go");
    }
}

impl Held {
    fn waits_for_client(&self) -> bool {
        self.turn.load(Ordering::Relaxed) != Turn::Ours as u8
    }

    fn since(&self) -> u64 {
        self.since.load(Ordering::Relaxed)
    }

    fn untaken(&self) -> usize {
        self.answer.load(Ordering::Relaxed)
    }

    /// From one turn to the other, if it is that one's.
    fn pass(&self, from: Turn, to: Turn) {
        // Otherwise the answer is made already, and what is left of the body decides nothing.
        let _passed = self.turn.compare_exchange(from as u8, to as u8, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// The place of one connection, free again when dropped.
pub struct Place {
    number: u64,
    held: Arc<Held>,
    places: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// Returns when the connection has to go.
    pub async fn let_go(&self) {
        self.held.let_go.notified().await;
    }

    /// A request's head is there.
    pub fn head_is_whole(&self) {
        self.held.since.store(self.places.now(), Ordering::Relaxed);
        self.held.turn.store(Turn::Ours as u8, Ordering::Relaxed);
    }

    /// More of the request's body is needed.
    pub fn body_is_awaited(&self) {
        self.held.pass(Turn::Ours, Turn::Body);
    }

    /// More of the request's body came, or its end.
    pub fn body_came(&self) {
        self.held.pass(Turn::Body, Turn::Ours);
    }

    /// The answer is made, of so many bytes.
    pub fn answer_is_made(&self, bytes: usize) {
        self.held.since.store(self.places.now(), Ordering::Relaxed);
        self.held.turn.store(Turn::Client as u8, Ordering::Relaxed);
        let before = self.held.answer.swap(bytes, Ordering::Relaxed);
        let others = self.places.answers.fetch_add(bytes, Ordering::Relaxed);
        self.places.answers.fetch_sub(before, Ordering::Relaxed);
        if others.saturating_add(bytes).saturating_sub(before) > limits::ANSWER_BYTES_IN_FLIGHT {
            self.places.make_memory(&self.held);
        }
    }

    /// All that was written is with the system.
    pub fn all_is_written(&self) {
        let bytes = self.held.answer.swap(0, Ordering::Relaxed);
        if bytes > 0 {
            self.places.answers.fetch_sub(bytes, Ordering::Relaxed);
            self.held.since.store(self.places.now(), Ordering::Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all_is_written();
        self.places.held().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> Clock {
        Clock::fixed("2026-11-22T12:00:00Z".parse().expect("an instant"))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// Whether the connection was told to go.
    async fn must_go(place: &Place) -> bool {
        tokio::select! {
            biased;
            () = place.let_go() => true,
            () = std::future::ready(()) => false,
        }
    }

    async fn who_must_go(places: &[Place]) -> Vec<usize> {
        let mut gone = Vec::new();
        for (number, place) in places.iter().enumerate() {
            if must_go(place).await {
                gone.push(number);
            }
        }
        gone
    }

    #[tokio::test]
    async fn a_newcomer_gets_the_place_of_who_waits_longest_and_never_that_of_a_request_at_work() {
        let clock = clock();
        let most = limits::CONNECTIONS_LET_GO + 3;
        let places = Places::new(most, clock.clone());
        let mut held = Vec::new();
        for _ in 0..most {
            held.push(places.take(address("192.0.2.1")).await);
            clock.advance(Duration::from_secs(1));
        }
        held[0].head_is_whole();
        held[1].answer_is_made(10);
        held[1].all_is_written();
        let newcomer = tokio::spawn({
            let places = places.clone();
            async move { places.take(address("192.0.2.1")).await }
        });
        tokio::task::yield_now().await;
        let gone = who_must_go(&held).await;
        assert_eq!(gone, (2..limits::CONNECTIONS_LET_GO + 2).collect::<Vec<_>>());
        held.truncate(2);
        assert!(!must_go(&newcomer.await.expect("a place")).await);
    }

    #[tokio::test]
    async fn of_several_addresses_the_one_with_most_connections_makes_room() {
        let clock = clock();
        let places = Places::new(6, clock.clone());
        let mut held = Vec::new();
        for from in ["192.0.2.1", "2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1", "192.0.2.2"] {
            held.push(places.take(address(from)).await);
            clock.advance(Duration::from_secs(1));
        }
        places.make_room();
        assert_eq!(who_must_go(&held).await, [1, 2, 3], "a network of IPv6 is one");
    }

    #[tokio::test]
    async fn a_body_that_is_awaited_can_be_let_go_and_one_that_came_cannot() {
        let places = Places::new(2, clock());
        let held = [places.take(address("192.0.2.1")).await, places.take(address("192.0.2.1")).await];
        for place in &held {
            place.head_is_whole();
            place.body_is_awaited();
        }
        held[1].body_came();
        places.make_room();
        assert_eq!(who_must_go(&held).await, [0]);
        // What is left of a body when the answer is made changes nothing.
        held[1].answer_is_made(1);
        held[1].body_came();
        places.make_room();
        assert_eq!(who_must_go(&held).await, [0, 1]);
    }

    #[tokio::test]
    async fn answers_that_nobody_takes_make_room_for_new_ones_the_oldest_first() {
        let clock = clock();
        let places = Places::new(10, clock.clone());
        let mut held = Vec::new();
        for _ in 0..4 {
            let place = places.take(address("192.0.2.1")).await;
            place.head_is_whole();
            place.answer_is_made(limits::ANSWER_BYTES_IN_FLIGHT / 3);
            held.push(place);
            clock.advance(Duration::from_secs(1));
        }
        assert_eq!(who_must_go(&held).await, [0]);
        held[1].all_is_written();
        drop(held.remove(0));
        held[0].answer_is_made(limits::ANSWER_BYTES_IN_FLIGHT / 3);
        assert_eq!(who_must_go(&held).await, [0_usize; 0], "what was taken is no memory any more");
    }

    #[tokio::test]
    async fn an_answer_has_to_be_taken_in_time() {
        let clock = clock();
        let places = Places::new(10, clock.clone());
        let held = [places.take(address("192.0.2.1")).await, places.take(address("192.0.2.1")).await];
        held.iter().for_each(|place| place.answer_is_made(10));
        clock.advance(Duration::from_secs(limits::ANSWER_SECONDS - 1));
        held[1].all_is_written();
        places.let_slow_readers_go();
        assert_eq!(who_must_go(&held).await, [0_usize; 0]);
        clock.advance(Duration::from_secs(1));
        places.let_slow_readers_go();
        assert_eq!(who_must_go(&held).await, [0]);
    }
}
