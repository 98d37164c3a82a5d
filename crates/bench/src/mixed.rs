//! `mixed`: what a busy day is made of, over many accounts: reading, placing, and some of everything else; beside
//! the same calls answered by the HTTP ceiling.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use giftd::clock::Clock;
use giftd_domain::history::{OrderFilter, PageRequest};
use giftd_domain::limits;
use giftd_store::Store;
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::databases::{Database, Databases, StoreKind};
use crate::history_seed::Seed;
use crate::load::{Caller, Pace, Target};
use crate::machine::{self, Meter};
use crate::mixed_account::{Account, LINKS};
use crate::mixed_calls::{Call, PAGE_SIZE};
use crate::report::{self, number, rounded};
use crate::server_process::{ServerProcess, Variant};
use crate::shop::{self, CREDIT, GIFT, OrderBody, PATH, Shop};
use crate::smtp_sink::SmtpSink;
use crate::turns::{Measured, Named, Options, Turns, figures};

/// What to measure.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  giftd-bench mixed --store sqlite
  giftd-bench mixed --store postgres --accounts 30 --orders 10000 --connections 120")]
pub struct Arguments {
    /// Where everything is kept
    #[arg(long, value_enum)]
    store: StoreKind,
    /// Accounts, each of another organization
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    accounts: u32,
    /// Orders that each account has from the year before
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1_000..=1_000_000))]
    orders: u64,
    /// Connections that call at once, each for one account
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    connections: u32,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Seconds before each measurement that don't count
    #[arg(long, default_value_t = 2)]
    warm_up: u64,
    #[command(flatten)]
    options: Options,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    Mixed,
    Ceiling,
}

impl Row {
    const ALL: [Self; 2] = [Self::Mixed, Self::Ceiling];

    fn title(self) -> String {
        match self {
            Self::Mixed => "giftd, mixed calls".to_owned(),
            Self::Ceiling => "HTTP ceiling of the same calls".to_owned(),
        }
    }
}

impl Named for Row {
    fn name(self) -> &'static str {
        match self {
            Self::Mixed => "mixed",
            Self::Ceiling => "http_ceiling",
        }
    }
}

const RATE: &str = "calls_per_second";
const P50: &str = "p50_ms";
const P99: &str = "p99_ms";

/// Seeds, measures and prints. Returns whether all checks passed.
pub async fn run(arguments: Arguments) -> Result<bool> {
    let databases = Databases::start(arguments.store, arguments.options.dir.as_deref())?;
    let machine = machine::describe(databases.folder())?;
    let clock = Clock::system();
    let seeded = databases.create().await?;
    let shops = seed(&seeded, arguments.accounts, arguments.orders, &clock).await?;
    let pace = Pace {
        connections: arguments.connections,
        warm_up: Duration::from_secs(arguments.warm_up),
        measured: Duration::from_secs(arguments.seconds),
    };
    let bench = Bench { databases, clock, seeded, shops, pace, arguments };
    let turns =
        Turns::take(bench.arguments.options.rounds, &Row::ALL, Row::title, async |row| bench.measure(row).await)
            .await?;
    if bench.arguments.options.json {
        println!("{:#}", turns.json(bench.json(&machine, &turns)));
    } else {
        println!("{}", bench.text(&machine, &turns));
    }
    Ok(turns.failures().is_empty())
}

async fn seed(database: &Database, accounts: u32, orders: u64, clock: &Clock) -> Result<Vec<Shop>> {
    let (store, now) = (giftd_store::open(&database.url, limits::GROUP_ORDERS).await?, clock.now());
    let shops = shop::open_many(store.as_ref(), accounts, Seed::begin(now), clock).await?;
    let progress = ProgressBar::new(u64::from(accounts) * orders * 2);
    progress.set_style(ProgressStyle::with_template("{bar:24} {percent} % {msg}")?);
    progress.set_message("placing and delivering what is read later");
    for shop in &shops {
        Seed { account: shop.account_id, orders, now }.write(&store, clock, &progress).await?;
    }
    progress.finish_and_clear();
    Ok(shops)
}

struct Bench {
    arguments: Arguments,
    databases: Databases,
    clock: Clock,
    pace: Pace,
    /// Copied for each measurement.
    seeded: Database,
    shops: Vec<Shop>,
}

/// What all callers have measured.
struct Tally {
    latencies: Mutex<BTreeMap<Call, Histogram<u64>>>,
    in_time: AtomicU64,
    /// Answers that weren't expected, by their text.
    others: Mutex<BTreeMap<String, u64>>,
}

impl Bench {
    async fn measure(&self, row: Row) -> Result<Measured<Row>> {
        let (database, sink) =
            (self.databases.copy(&self.seeded).await?, SmtpSink::start(Duration::ZERO, self.clock.clone()).await?);
        let server = match row {
            Row::Mixed => ServerProcess::start_set(&database, &[("GIFTD_SMTP_URL", sink.url())]).await?,
            Row::Ceiling => ServerProcess::start(&database, Variant::Ceiling).await?,
        };
        let mut accounts = Vec::new();
        for shop in &self.shops {
            accounts.push(Arc::new(Account::open(&server, shop, self.arguments.orders, &self.clock).await?));
        }
        let mut callers = Vec::new();
        for account in accounts.iter().cycle().take(usize::try_from(self.pace.connections)?) {
            let target = Target { address: server.address, path: PATH, token: &account.token };
            callers.push((Caller::connect(target).await?, account.clone()));
        }
        let meter = Meter::start([server.pid], self.databases.cluster_pid())?;
        let tally = self.call(row, callers).await?;
        let usage = meter.stop().await?;
        server.stop().await?;
        let others = tally.others.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut failures: Vec<String> =
            others.into_iter().map(|(text, count)| format!("{}: {count} calls: {text}", row.name())).collect();
        if row == Row::Mixed {
            let store = giftd_store::open(&database.url, limits::GROUP_ORDERS).await?;
            failures.extend(store.verify_ledger().await?.differences);
            for (shop, account) in self.shops.iter().zip(&accounts) {
                failures.extend(self.check(store.as_ref(), shop, account).await?);
            }
        }
        self.databases.remove(database).await?;

        let latencies = tally.latencies.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut all = histogram()?;
        for latencies in latencies.values() {
            all.add(latencies)?;
        }
        let rate = |calls: u64| calls as f64 / self.pace.measured.as_secs_f64();
        let mut measured = figures([
            (RATE, rate(tally.in_time.into_inner())),
            (P50, milliseconds(&all, 0.50)),
            (P99, milliseconds(&all, 0.99)),
        ]);
        if row == Row::Mixed {
            for (call, latencies) in latencies {
                measured.push((figure(call, RATE), rate(latencies.len())));
                measured.push((figure(call, P50), milliseconds(&latencies, 0.50)));
                measured.push((figure(call, P99), milliseconds(&latencies, 0.99)));
            }
        }
        Ok(Measured { row, figures: measured, usage, failures })
    }

    async fn call(&self, row: Row, callers: Vec<(Caller, Arc<Account>)>) -> Result<Tally> {
        let mut latencies = BTreeMap::new();
        for call in Call::ALL {
            latencies.insert(call, histogram()?);
        }
        let tally =
            Arc::new(Tally { latencies: Mutex::new(latencies), in_time: AtomicU64::new(0), others: Mutex::default() });
        let body = Arc::new(OrderBody::new(1, &self.clock));
        let (counts_from, until) = self.pace.from(Instant::now());
        let mut calling = JoinSet::new();
        for (mut caller, account) in callers {
            let (tally, body, clock) = (tally.clone(), body.clone(), self.clock.clone());
            calling.spawn(async move {
                while Instant::now() < until {
                    let mut request = account.request(&body, &clock);
                    if row == Row::Ceiling {
                        request = request.at_the_ceiling();
                    }
                    let (call, expected) = (request.call, request.expected());
                    let sent = Instant::now();
                    let answer = caller.ask(request.method, &request.path, request.body).await;
                    let answered = Instant::now();
                    match answer {
                        Ok((status, answer)) if status == expected => {
                            account.answered(call, &answer);
                            tally.took(call, answered - sent, answered >= counts_from && answered <= until);
                        }
                        Ok((status, answer)) => {
                            let start: String = String::from_utf8_lossy(&answer).chars().take(200).collect();
                            tally.other(format!("{} was answered {status}: {start}", call.name()));
                        }
                        Err(error) => {
                            tally.other(format!("{}: {error:#}", call.name()));
                            return;
                        }
                    }
                }
            });
        }
        while let Some(ended) = calling.join_next().await {
            ended?;
        }
        Arc::into_inner(tally).context("all callers have ended")
    }

    /// Whether an account's history and balance are what was acknowledged.
    async fn check(&self, store: &dyn Store, shop: &Shop, account: &Account) -> Result<Vec<String>> {
        let (placed, canceled) = (account.placed.load(Ordering::Relaxed), account.canceled.load(Ordering::Relaxed));
        let page = PageRequest { page: 1, page_size: 1 };
        let listed = store.orders_page(shop.account_id, &OrderFilter::default(), page).await?.total;
        // The reward links are one order.
        let expected = self.arguments.orders + 1 + placed;
        let available = store.account(shop.account_id).await?.context("the account is gone")?.balances.available;
        let spent = i64::try_from(self.arguments.orders + LINKS + placed - canceled)? * GIFT;
        let mut failures = Vec::new();
        if listed != expected {
            failures.push(format!("{expected} orders were acknowledged, {listed} are in the history"));
        }
        if available != CREDIT - spent {
            failures.push(format!("{spent} cents were spent, but {available} are available"));
        }
        Ok(failures)
    }

    fn text(&self, machine: &str, turns: &Turns<Row>) -> String {
        let Arguments { accounts, orders, connections, seconds, options, .. } = &self.arguments;
        let rows = Row::ALL.map(|row| {
            let mut cells = vec![
                row.title(),
                turns.cell(row, RATE, 0),
                turns.percent(row, Row::Ceiling, RATE),
                turns.cell(row, P50, 1),
                turns.cell(row, P99, 1),
            ];
            cells.extend(turns.usage_cells(row));
            cells
        });
        let calls = Call::ALL.map(|call| {
            vec![
                call.title().to_owned(),
                format!("{:.0} %", call.of_thousand() as f64 / 10.0),
                turns.cell(Row::Mixed, &figure(call, RATE), 0),
                turns.cell(Row::Mixed, &figure(call, P50), 1),
                turns.cell(Row::Mixed, &figure(call, P99), 1),
            ]
        });
        let header = ["", "calls/s", "of the ceiling", "p50 ms", "p99 ms", "server cores", "foreign CPU"];
        let mut lines = vec![
            format!("giftd-bench mixed: {}, {machine}", self.databases.engine()),
            format!(
                "{accounts} accounts with {} orders each, {connections} connections, {seconds} s a measurement, medians of {} \
                 rounds (least–most); pages of {PAGE_SIZE}; orders of one recipient, SCHEDULED; the load generator shares \
                 the cores",
                number(*orders as f64, 0),
                options.rounds,
            ),
            String::new(),
            report::table(&header, rows).to_string(),
            String::new(),
            report::table(&["", "of all calls", "calls/s", "p50 ms", "p99 ms"], calls).to_string(),
            String::new(),
        ];
        lines.extend(turns.ending("every call had the answer it should; orders, ledger and balances agree with them"));
        lines.join("\n")
    }

    fn json(&self, machine: &str, turns: &Turns<Row>) -> Value {
        let Arguments { store, accounts, orders, connections, seconds, .. } = &self.arguments;
        json!({
            "store": store.to_string(),
            "engine": self.databases.engine(),
            "machine": machine,
            "accounts": accounts,
            "orders_each": orders,
            "connections": connections,
            "seconds": seconds,
            "of_http_ceiling": rounded(turns.median(Row::Mixed, RATE) / turns.median(Row::Ceiling, RATE)),
        })
    }
}

impl Tally {
    fn took(&self, call: Call, time: Duration, counts: bool) {
        if counts {
            self.in_time.fetch_add(1, Ordering::Relaxed);
            let mut latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(latencies) = latencies.get_mut(&call) {
                latencies.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
            }
        }
    }

    fn other(&self, text: String) {
        *self.others.lock().unwrap_or_else(PoisonError::into_inner).entry(text).or_default() += 1;
    }
}

/// Of microseconds, up to ten minutes.
fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 600_000_000, 3)?)
}

fn milliseconds(latencies: &Histogram<u64>, quantile: f64) -> f64 {
    latencies.value_at_quantile(quantile) as f64 / 1_000.0
}

fn figure(call: Call, of: &str) -> String {
    format!("{}_{of}", call.name())
}
