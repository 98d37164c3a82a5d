//! The good clients: they place orders at a fixed pace, far below what the server can do, so that what is measured is
//! what others do to them and not who gets how much of the CPU. They open their connections again and again, since it is newcomers who
//! are locked out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use giftd::clock::Clock;
use hyper::StatusCode;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at, timeout};

use crate::load::{self, Caller, Keys, Outcome, Pace, Target};
use crate::shop::OrderBody;

/// Orders that are placed over one connection.
const ORDERS_A_CONNECTION: u32 = 20;
/// How long a client waits for its order to be answered.
const PATIENCE: Duration = Duration::from_secs(10);

/// Places `per_second` orders a second. Ticks that are missed aren't made up for.
pub async fn run(
    address: SocketAddr,
    token: &str,
    body: &OrderBody,
    per_second: u32,
    pace: Pace,
    clock: &Clock,
) -> Result<Outcome> {
    let start = Instant::now();
    let (counts_from, until) = pace.from(start);
    let every = Duration::from_secs(1) * pace.connections / per_second;
    let (body, token) = (Arc::new(body.clone()), Arc::<str>::from(token));
    let mut working = JoinSet::new();
    for number in 0..pace.connections {
        let (body, token, clock) = (body.clone(), token.clone(), clock.clone());
        let mut ticks = interval_at((start + every * number / pace.connections).into(), every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        working.spawn(async move {
            let target = Target { address, path: super::PATH, token: &token };
            let (mut outcome, mut caller, mut orders) = (Outcome::empty()?, None, 0);
            loop {
                ticks.tick().await;
                let sent = Instant::now();
                if sent >= until {
                    return anyhow::Ok(outcome);
                }
                let order = body.with_key(&Keys::TimeOrdered.next(&clock));
                match timeout(PATIENCE, place(&mut caller, target, order)).await {
                    Ok(Ok(StatusCode::CREATED)) => outcome.acknowledge(sent, Instant::now(), counts_from, until),
                    Ok(Ok(status)) => outcome.count(status.to_string()),
                    Ok(Err(error)) => {
                        outcome.count(format!("{error:#}"));
                        caller = None;
                    }
                    Err(_) => {
                        outcome.count("no answer in time".to_owned());
                        caller = None;
                    }
                }
                orders += 1;
                if orders % ORDERS_A_CONNECTION == 0 {
                    caller = None;
                }
            }
        });
    }
    load::total(working).await
}

async fn place(caller: &mut Option<Caller>, target: Target<'_>, order: String) -> Result<StatusCode> {
    let caller = match caller {
        Some(caller) => caller,
        none => none.insert(Caller::connect(target).await?),
    };
    Ok(caller.place(order).await?.0)
}
