//! `abuse`: good clients place orders, alone and beside an abuser, in turns. They must keep most of their rate, and the
//! server's memory must stay bounded.

pub mod attack;
mod bad_tokens;
mod good;
mod idle;
mod large_bodies;
mod link_guesses;
mod report;
mod slow_bodies;
mod slow_heads;
mod slow_readers;
mod stalled_bodies;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use giftd::clock::Clock;
use giftd_domain::limits;
use hyper::StatusCode;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use self::attack::{Abuser, Reached};
use self::report::Report;
use crate::databases::{Databases, StoreKind};
use crate::load::{self, Caller, Keys, Pace, Target};
use crate::machine::{self, Meter, Usage};
use crate::server_process::{ServerProcess, Variant};
use crate::shop::{self, OrderBody};

/// Where orders are placed.
const PATH: &str = "/api/v1/orders/branded-cards";
/// A large file that anyone may have.
const SCRIPT_PATH: &str = "/docs/swagger-ui-bundle.js";
/// Recipients of a customer's large order.
const LARGE: u64 = 10_000;
/// Part of their rate that good clients must keep.
const KEPT: f64 = 0.80;
/// MiB that the server's memory may rise by beside an abuser: 64 for the connections that it has places for, 96 for
/// bodies in flight, 128 for answers in flight, and 96 for what the allocator doesn't give back.
const RISE_MIB: f64 = 384.0;

/// What to measure.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  giftd-bench abuse\n  giftd-bench abuse --store postgres --only idle slow-heads --rounds 5\n\n\
    Exit code 1: good clients kept less than 80 % of their rate, or the server's memory rose beyond its bound."
)]
pub struct Arguments {
    /// Where the orders are kept
    #[arg(long, value_enum, default_value_t = StoreKind::Sqlite)]
    store: StoreKind,
    /// Only these abuses
    #[arg(long, value_enum, num_args = 1.., value_name = "NAME")]
    only: Vec<Abuse>,
    /// Orders a second that the good clients place together
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    rate: u32,
    /// Good clients
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    connections: u32,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Seconds before each measurement that don't count
    #[arg(long, default_value_t = 2)]
    warm_up: u64,
    /// Rounds, in each of which every abuse has its turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Folder for the database; otherwise the system's for temporary files
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// What is done to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Abuse {
    /// Heads at a byte a second.
    SlowHeads,
    /// Bodies at a byte a second.
    SlowBodies,
    /// Connections without a request.
    Idle,
    /// Tokens and secrets that are wrong.
    BadTokens,
    /// Bodies of 30 MiB.
    LargeBodies,
    /// Bodies that fill the memory for bodies and never end.
    StalledBodies,
    /// Answers that nobody reads.
    SlowReaders,
    /// Guesses of a gift's link.
    LinkGuesses,
}

impl Abuse {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::SlowHeads => "slow-heads",
            Self::SlowBodies => "slow-bodies",
            Self::Idle => "idle",
            Self::BadTokens => "bad-tokens",
            Self::LargeBodies => "large-bodies",
            Self::StalledBodies => "stalled-bodies",
            Self::SlowReaders => "slow-readers",
            Self::LinkGuesses => "link-guesses",
        }
    }

    /// What must have happened, or it wasn't this abuse; a sentence for each that hasn't.
    fn shortcomings(self, reached: &Reached, seconds: f64) -> Vec<String> {
        let count = |what: &str| reached.counts.get(what).copied().unwrap_or_default();
        let all = reached.counts.values().sum::<u64>();
        let mut wrong = Vec::new();
        let mut must = |held: bool, what: String| {
            if !held {
                wrong.push(format!("{}: {what}", self.name()));
            }
        };
        match self {
            Self::SlowHeads | Self::SlowBodies | Self::SlowReaders | Self::StalledBodies => {
                must(reached.most_open > 0, "no connection was opened".to_owned());
            }
            Self::Idle => must(count("let go") > 0, "the server had places for all".to_owned()),
            Self::BadTokens => {
                let a_minute = all as f64 / seconds * 60.0;
                must(a_minute >= 100_000.0, format!("only {a_minute:.0} bad tokens a minute were tried"));
                let refused = count("401") + count("429");
                must(
                    refused == all,
                    format!("{} were answered neither 401 nor 429: {:?}", all - refused, reached.counts),
                );
            }
            Self::LargeBodies => {
                must(
                    count("413") > 0 && count("413") == all,
                    format!("bodies weren't answered 413 early: {:?}", reached.counts),
                );
            }
            Self::LinkGuesses => {
                let refused = count("404") + count("429");
                must(refused > 0 && refused == all, format!("guesses were answered {:?}", reached.counts));
            }
        }
        wrong
    }
}

/// One abuse in one round.
struct Measured {
    abuse: Abuse,
    alone: Rate,
    beside: Rate,
    before_mib: f64,
    reached: Reached,
    /// What went wrong, a sentence each.
    failures: Vec<String>,
}

impl Measured {
    fn kept(&self) -> f64 {
        self.beside.per_second / self.alone.per_second.max(f64::MIN_POSITIVE)
    }

    fn most_mib(&self) -> f64 {
        self.beside.usage.server_peak_mib
    }
}

/// How good clients fared.
struct Rate {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// Answers other than 201, and broken connections.
    others: BTreeMap<String, u64>,
    usage: Usage,
}

/// Measures and prints. Returns whether all went well.
pub async fn run(arguments: Arguments) -> Result<bool> {
    let databases = Databases::start(arguments.store, arguments.dir.as_deref())?;
    let abuses = if arguments.only.is_empty() { Abuse::value_variants() } else { &arguments.only }.to_vec();
    let bench = Bench {
        pace: Pace {
            connections: arguments.connections,
            warm_up: Duration::from_secs(arguments.warm_up),
            measured: Duration::from_secs(arguments.seconds),
        },
        clock: Clock::system(),
        databases,
        arguments,
    };
    let machine = machine::describe(bench.databases.folder())?;
    let progress = ProgressBar::new(u64::from(bench.arguments.rounds) * abuses.len() as u64);
    progress.set_style(ProgressStyle::with_template("{bar:24} {pos}/{len} {msg}")?);
    let mut measured = Vec::new();
    for round in 1..=bench.arguments.rounds {
        for &abuse in &abuses {
            progress.set_message(format!("round {round}: {}", abuse.name()));
            progress.tick();
            measured.push(bench.measure(abuse).await.with_context(|| format!("round {round}, {}", abuse.name()))?);
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    let report = Report { arguments: &bench.arguments, engine: bench.databases.engine(), machine, abuses, measured };
    if bench.arguments.json {
        println!("{:#}", report.json());
    } else {
        println!("{}", report.text());
    }
    Ok(report.failures().is_empty())
}

struct Bench {
    arguments: Arguments,
    databases: Databases,
    pace: Pace,
    clock: Clock,
}

impl Bench {
    async fn measure(&self, abuse: Abuse) -> Result<Measured> {
        let database = self.databases.create().await?;
        let store = giftd_store::open(&database.url, limits::GROUP_ORDERS).await?;
        let shop = shop::open(store.as_ref(), self.clock.now(), &self.clock).await?;
        drop(store);
        let server = ServerProcess::start(&database, Variant::Normal).await?;
        let token = load::token(server.address, &shop).await?;
        let order = self.place_large(Target { address: server.address, path: PATH, token: &token }).await?;
        let alone = self.good(&server, &token).await?;
        let before_mib = machine::resident_mib(server.pid)?;
        let started = self.clock.elapsed();
        let abuser = Abuser::start(abuse, server.address, &token, &order).await?;
        let beside = self.good(&server, &token).await?;
        let newcomer = load::token(server.address, &shop).await;
        let reached = abuser.stop().await?;
        let mut failures = abuse.shortcomings(&reached, (self.clock.elapsed() - started).as_secs_f64());
        if let Err(error) = newcomer {
            failures.push(format!("{}: a newcomer gets no token: {error:#}", abuse.name()));
        }
        server.stop().await?;
        self.databases.remove(database).await?;
        Ok(Measured { abuse, alone, beside, before_mib, reached, failures })
    }

    async fn good(&self, server: &ServerProcess, token: &str) -> Result<Rate> {
        let meter = Meter::start(Some(server.pid), self.databases.cluster.as_ref().map(|cluster| cluster.pid))?;
        let body = OrderBody::new(1, &self.clock);
        let outcome = good::run(server.address, token, &body, self.arguments.rate, self.pace, &self.clock).await?;
        let milliseconds = |quantile| outcome.latencies.value_at_quantile(quantile) as f64 / 1_000.0;
        Ok(Rate {
            per_second: outcome.in_time as f64 / self.pace.measured.as_secs_f64(),
            p50_ms: milliseconds(0.50),
            p99_ms: milliseconds(0.99),
            usage: meter.stop().await?,
            others: outcome.others,
        })
    }

    /// The id of a large order, for a customer who won't read it.
    async fn place_large(&self, target: Target<'_>) -> Result<String> {
        let body = OrderBody::new(LARGE, &self.clock).with_key(&Keys::TimeOrdered.next(&self.clock));
        let (status, answer) = Caller::connect(target).await?.place(body).await?;
        if status != StatusCode::CREATED {
            bail!("the order of {LARGE} recipients was answered {status}");
        }
        let answer: serde_json::Value = serde_json::from_slice(&answer)?;
        Ok(answer["data"]["orderId"].as_str().context("an order without an id")?.to_owned())
    }
}

/// Ticks each second, the first at once.
fn each_second() -> Interval {
    every(Duration::from_secs(1))
}

/// Ticks that are missed aren't made up for.
fn every(period: Duration) -> Interval {
    every_from(Instant::now(), period)
}

/// Ticks each second, the first at `begins`.
fn each_second_from(begins: Instant) -> Interval {
    every_from(begins, Duration::from_secs(1))
}

fn every_from(begins: Instant, period: Duration) -> Interval {
    let mut ticks = interval_at(begins, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}
