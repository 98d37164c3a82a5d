//! Placing into a long history, beside placing into a short one: an order costs as much when a million came before.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail};
use giftd::clock::Clock;
use giftd_domain::ids::AccountId;
use giftd_domain::limits;
use giftd_store::{Placed, Store};
use indicatif::ProgressBar;
use tokio::task::JoinSet;

use crate::databases::Databases;
use crate::history_seed::Seed;
use crate::load::Keys;
use crate::report::Spread;
use crate::shop;

/// Orders of the short history.
pub const SHORT: u64 = 1_000;
/// Turns of each.
pub const TURNS: u32 = 5;
/// Orders of each turn that count.
pub const ORDERS: u64 = 20_000;
/// And those before, that don't: connections, statements, caches.
const WARM_UP: u64 = 2_000;
/// Orders that wait for their answers at once.
pub const AT_ONCE: usize = 64;

/// Orders a second.
pub struct Placing {
    /// Into the short history, a new one in each turn.
    pub short: Spread,
    /// Into the long one.
    pub long: Spread,
    /// Orders that the long one has got.
    pub placed: u64,
}

impl Placing {
    /// How many orders a second are fewer in the long one: 0.4 is 40 %.
    pub fn fewer(&self) -> f64 {
        1.0 - self.long.median / self.short.median
    }

    /// How much longer an order takes there: where 40 % fewer are placed, each takes 67 % longer.
    pub fn longer(&self) -> f64 {
        self.short.median / self.long.median - 1.0
    }
}

/// Places into both, turn about, without HTTP: nothing hides what the database does.
pub async fn measure(
    databases: &Databases,
    long: (&Arc<dyn Store>, AccountId),
    clock: &Clock,
    progress: &ProgressBar,
) -> Result<Placing> {
    let (mut short_rates, mut long_rates) = (Vec::new(), Vec::new());
    for turn in 1..=TURNS {
        progress.set_message(format!("placing, turn {turn} of {TURNS}"));
        let database = databases.create().await?;
        let store = giftd_store::open(&database.url, limits::GROUP_ORDERS).await?;
        let now = clock.now();
        let account = shop::open(store.as_ref(), Seed::begin(now), clock).await?.account_id;
        Seed { account, orders: SHORT, now }.write(&store, clock, &ProgressBar::hidden()).await?;
        short_rates.push(rate(&store, account, clock).await?);
        drop(store);
        databases.remove(database).await?;
        long_rates.push(rate(long.0, long.1, clock).await?);
    }
    let spread = |rates| Spread::of(rates).unwrap_or(Spread { median: 0.0, min: 0.0, max: 0.0 });
    let placed = u64::from(TURNS) * (WARM_UP + ORDERS);
    Ok(Placing { short: spread(short_rates), long: spread(long_rates), placed })
}

/// Orders a second of one turn.
async fn rate(store: &Arc<dyn Store>, account: AccountId, clock: &Clock) -> Result<f64> {
    place(store, account, WARM_UP, clock).await?;
    let began = Instant::now();
    place(store, account, ORDERS, clock).await?;
    Ok(ORDERS as f64 / began.elapsed().as_secs_f64())
}

/// Places orders of all cards and creators, scheduled ahead, under UUIDv7 keys.
async fn place(store: &Arc<dyn Store>, account: AccountId, orders: u64, clock: &Clock) -> Result<()> {
    let mut placing: JoinSet<Result<()>> = JoinSet::new();
    for caller in 0..AT_ONCE as u64 {
        let (store, clock) = (store.clone(), clock.clone());
        placing.spawn(async move {
            for index in (caller..orders).step_by(AT_ONCE) {
                let seed = Seed { account, orders, now: clock.now() };
                match store
                    .place_order(seed.ahead_of_now(index, Keys::TimeOrdered.next(&clock), clock.entropy()))
                    .await?
                {
                    Placed::New(_) => {}
                    other => bail!("an order isn't placed: {other:?}"),
                }
            }
            Ok(())
        });
    }
    while let Some(done) = placing.join_next().await {
        done??;
    }
    Ok(())
}
