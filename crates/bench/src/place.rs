//! `place`: orders a second over HTTP. Each measurement has a fresh database and a fresh server; the
//! variants take turns, so that a busy minute of the machine hits all of them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use giftd::clock::Clock;
use giftd_domain::history::{OrderFilter, PageRequest};
use giftd_domain::limits;
use giftd_store::Store;
use hyper::StatusCode;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::ceiling;
use crate::databases::{Database, Databases, StoreKind, connect};
use crate::load::{self, Caller, Keys, Outcome, Pace, Target};
use crate::machine::{self, Meter, Usage};
use crate::plain_postgres;
use crate::report::{self, Spread, number, rounded};
use crate::server_process::{ServerProcess, Variant};
use crate::shop::{self, OrderBody, PATH, SCHEDULED_DAYS, Shop};

/// Recipients of the one large order.
const LARGE: u64 = 10_000;

/// What to measure.
#[derive(clap::Args)]
pub struct Arguments {
    /// Where the orders are kept
    #[arg(long, value_enum)]
    store: StoreKind,
    /// Connections that place orders at once
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    connections: u32,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Seconds before each measurement that don't count
    #[arg(long, default_value_t = 2)]
    warm_up: u64,
    /// Rounds, in each of which every variant has its turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Recipients of each order
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    recipients: u64,
    /// Folder on the disk to measure; otherwise the system's for temporary files
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    Orders,
    RandomKeys,
    Ceiling,
    Plain,
}

impl Row {
    const ALL: [Self; 4] = [Self::Orders, Self::RandomKeys, Self::Ceiling, Self::Plain];

    fn name(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::RandomKeys => "random_keys",
            Self::Ceiling => "http_ceiling",
            Self::Plain => "plain",
        }
    }

    fn title(self, store: StoreKind) -> String {
        match (self, store) {
            (Self::Orders, _) => "orders, UUIDv7 keys".to_owned(),
            (Self::RandomKeys, _) => "orders, random keys".to_owned(),
            (Self::Ceiling, _) => "HTTP ceiling".to_owned(),
            (Self::Plain, StoreKind::Sqlite) => "plain: groups of one".to_owned(),
            (Self::Plain, StoreKind::Postgres) => {
                format!("plain: textbook, {} connections, no HTTP", plain_postgres::CONNECTIONS)
            }
        }
    }
}

/// One variant in one round.
struct Measured {
    row: Row,
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    idle_mib: f64,
    large_ms: Option<f64>,
    usage: Usage,
    /// What doesn't agree, a sentence each.
    failures: Vec<String>,
}

/// Measures and prints. Returns whether all checks passed.
pub async fn run(arguments: Arguments) -> Result<bool> {
    let databases = Databases::start(arguments.store, arguments.dir.as_deref())?;
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
    let progress = ProgressBar::new(u64::from(bench.arguments.rounds) * 4);
    progress.set_style(ProgressStyle::with_template("{bar:24} {pos}/{len} {msg}")?);
    let mut measured = Vec::new();
    for round in 1..=bench.arguments.rounds {
        for row in Row::ALL {
            progress.set_message(format!("round {round}: {}", row.title(bench.arguments.store)));
            progress.tick();
            measured.push(bench.measure(row).await.with_context(|| format!("round {round}, {}", row.name()))?);
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    let report = Report { bench: &bench, machine, measured };
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
    async fn measure(&self, row: Row) -> Result<Measured> {
        let database = self.databases.create().await?;
        let store = giftd_store::open(&database.url, limits::GROUP_ORDERS).await?;
        let shop = shop::open(store.as_ref(), self.clock.now(), &self.clock).await?;
        drop(store);
        let measured = match (row, self.arguments.store) {
            (Row::Plain, StoreKind::Postgres) => self.plain_postgres(&database, &shop).await?,
            _ => self.over_http(row, &database, &shop).await?,
        };
        self.databases.remove(database).await?;
        Ok(measured)
    }

    async fn over_http(&self, row: Row, database: &Database, shop: &Shop) -> Result<Measured> {
        let (variant, keys) = match row {
            Row::Orders => (Variant::Normal, Keys::TimeOrdered),
            Row::RandomKeys => (Variant::Normal, Keys::Random),
            Row::Ceiling => (Variant::Ceiling, Keys::TimeOrdered),
            Row::Plain => (Variant::GroupsOfOne, Keys::TimeOrdered),
        };
        let body = OrderBody::new(self.arguments.recipients, &self.clock);
        let server = ServerProcess::start(database, variant).await?;
        let token = load::token(server.address, shop).await?;
        let idle_mib = machine::resident_mib(server.pid)?;
        let meter = Meter::start(Some(server.pid), self.databases.cluster_pid())?;
        let path = if variant == Variant::Ceiling { ceiling::PATH } else { PATH };
        let target = Target { address: server.address, path, token: &token };
        let mut outcome = load::run(&[target], &body, keys, self.pace, &self.clock).await?;
        let mut usage = meter.stop().await?;
        let mut gifts = outcome.acknowledged * body.recipients;
        let mut large_ms = None;
        if row == Row::Orders {
            large_ms = Some(self.place_large(target).await?);
            usage.server_peak_mib = usage.server_peak_mib.max(machine::resident_mib(server.pid)?);
            (outcome.acknowledged, gifts) = (outcome.acknowledged + 1, gifts + LARGE);
        }
        server.stop().await?;
        let mut measured = self.measured(row, &outcome, usage);
        (measured.idle_mib, measured.large_ms) = (idle_mib, large_ms);
        if variant == Variant::Ceiling {
            return Ok(measured);
        }
        let store = giftd_store::open(&database.url, limits::GROUP_ORDERS).await?;
        measured.failures.extend(check_books(store.as_ref(), shop, outcome.acknowledged, gifts).await?);
        Ok(measured)
    }

    /// Milliseconds until an order of 10,000 recipients is answered.
    async fn place_large(&self, target: Target<'_>) -> Result<f64> {
        let body = OrderBody::new(LARGE, &self.clock).with_key(&Keys::TimeOrdered.next(&self.clock));
        let mut caller = Caller::connect(target).await?;
        let sent = Instant::now();
        let (status, answer) = caller.place(body).await?;
        let milliseconds = sent.elapsed().as_secs_f64() * 1_000.0;
        if status != StatusCode::CREATED {
            let start: String = String::from_utf8_lossy(&answer).chars().take(300).collect();
            bail!("the order of {LARGE} recipients was answered {status}: {start}");
        }
        Ok(milliseconds)
    }

    async fn plain_postgres(&self, database: &Database, shop: &Shop) -> Result<Measured> {
        let meter = Meter::start(None, self.databases.cluster_pid())?;
        let recipients = self.arguments.recipients;
        let (outcome, connections) =
            plain_postgres::run(&database.url, std::slice::from_ref(shop), recipients, self.pace, &self.clock).await?;
        let mut measured = self.measured(Row::Plain, &outcome, meter.stop().await?);
        drop(connections);
        let row = connect(&database.url)
            .await?
            .query_one(
                "SELECT (SELECT count(*) FROM orders), available, pending,
                    (SELECT sum(available)::BIGINT FROM ledger WHERE account_id = accounts.account_id)
                 FROM accounts WHERE account_id = $1",
                &[&shop.account_id.0],
            )
            .await?;
        let spent = i64::try_from(outcome.acknowledged * recipients)? * shop::GIFT;
        let expected = [i64::try_from(outcome.acknowledged)?, shop::CREDIT - spent, spent, shop::CREDIT - spent];
        let found: [i64; 4] = [row.get(0), row.get(1), row.get(2), row.get(3)];
        if found != expected {
            measured.failures.push(format!(
                "plain: orders, available, pending and ledger are {found:?}, by what was committed {expected:?}"
            ));
        }
        Ok(measured)
    }

    fn measured(&self, row: Row, outcome: &Outcome, usage: Usage) -> Measured {
        let others = outcome.others.iter();
        Measured {
            row,
            per_second: outcome.in_time as f64 / self.pace.measured.as_secs_f64(),
            p50_ms: outcome.milliseconds(0.50),
            p99_ms: outcome.milliseconds(0.99),
            idle_mib: 0.0,
            large_ms: None,
            usage,
            failures: others
                .map(|(text, count)| format!("{}: {count} orders were answered {text}", row.name()))
                .collect(),
        }
    }
}

/// What the database says, beside what was acknowledged: orders, ledger, balance.
async fn check_books(store: &dyn Store, shop: &Shop, acknowledged: u64, gifts: u64) -> Result<Vec<String>> {
    let mut failures = Vec::new();
    let books = store.verify_ledger().await?;
    failures.extend(books.differences);
    let first_page = PageRequest { page: 1, page_size: 1 };
    let listed = store.orders_page(shop.account_id, &OrderFilter::default(), first_page).await?.total;
    if books.orders != acknowledged || listed != acknowledged {
        failures.push(format!(
            "{acknowledged} orders were acknowledged, {} are in the database and {listed} in the history",
            books.orders
        ));
    }
    let account = store.account(shop.account_id).await?.context("the account is gone")?;
    let spent = i64::try_from(gifts)? * shop::GIFT;
    let (available, pending) = (account.balances.available, account.balances.pending);
    if (available, pending) != (shop::CREDIT - spent, spent) {
        failures.push(format!("{spent} cents were spent, but {available} are available and {pending} pending"));
    }
    Ok(failures)
}

struct Report<'a> {
    bench: &'a Bench,
    machine: String,
    measured: Vec<Measured>,
}

impl Report<'_> {
    fn of(&self, row: Row) -> impl Iterator<Item = &Measured> {
        self.measured.iter().filter(move |measured| measured.row == row)
    }

    fn spread(&self, row: Row, figure: impl Fn(&Measured) -> f64) -> Spread {
        Spread::of(self.of(row).map(figure)).unwrap_or(Spread { median: 0.0, min: 0.0, max: 0.0 })
    }

    fn rate(&self, row: Row) -> f64 {
        self.spread(row, |measured| measured.per_second).median
    }

    fn large_ms(&self) -> Spread {
        self.spread(Row::Orders, |measured| measured.large_ms.unwrap_or_default())
    }

    /// The most that was resident while orders came in.
    fn loaded_mib(&self) -> f64 {
        let peaks = self.measured.iter().filter(|measured| matches!(measured.row, Row::Orders | Row::RandomKeys));
        peaks.map(|measured| measured.usage.server_peak_mib).fold(0.0, f64::max)
    }

    fn failures(&self) -> Vec<&str> {
        self.measured.iter().flat_map(|measured| measured.failures.iter().map(String::as_str)).collect()
    }

    fn text(&self) -> String {
        let Arguments { connections, seconds, rounds, recipients, store, .. } = &self.bench.arguments;
        let rows = Row::ALL.map(|row| {
            let rate = self.rate(row);
            let has_server = self.of(row).any(|measured| measured.usage.server_peak_mib > 0.0);
            vec![
                row.title(*store),
                self.spread(row, |measured| measured.per_second).text(0),
                self.spread(row, |measured| measured.p50_ms).text(1),
                self.spread(row, |measured| measured.p99_ms).text(1),
                format!("{:.0} %", 100.0 * rate / self.rate(Row::Ceiling)),
                format!("{:.1} ×", rate / self.rate(Row::Plain)),
                if has_server {
                    number(self.spread(row, |m| m.usage.server_cores).median, 2)
                } else {
                    "–".to_owned()
                },
                report::foreign(&self.of(row).map(|measured| measured.usage).collect::<Vec<_>>()),
            ]
        });
        let header = ["", "orders/s", "p50 ms", "p99 ms", "of the ceiling", "of plain", "server cores", "foreign CPU"];
        let mut lines = vec![
            format!("giftd-bench place: {}, {}", self.bench.databases.engine(), self.machine),
            format!(
                "{connections} connections, {seconds} s a measurement, medians of {rounds} rounds (least–most); orders of \
                 {recipients} recipient{} on one account, SCHEDULED {SCHEDULED_DAYS} days ahead, so that no mail is sent \
                 meanwhile; the load generator shares the cores",
                if *recipients == 1 { "" } else { "s" },
            ),
            String::new(),
            report::table(&header, rows).to_string(),
            String::new(),
            format!("one order of {} recipients: answered in {} ms", number(LARGE as f64, 0), self.large_ms().text(0)),
            format!(
                "server's memory: {} MiB idle, {} MiB at most under load",
                number(self.spread(Row::Orders, |measured| measured.idle_mib).median, 0),
                number(self.loaded_mib(), 0),
            ),
        ];
        let noisy = self.measured.iter().filter(|measured| measured.usage.is_noisy()).count();
        if noisy > 0 {
            lines.push(format!(
                "NOISY: in {noisy} of {} measurements (!) others took more than {:.0} % of the CPU",
                self.measured.len(),
                100.0 * machine::NOISY
            ));
        }
        let failures = self.failures();
        if failures.is_empty() {
            lines.push("checks passed: orders, ledger and balance agree with what was acknowledged".to_owned());
        }
        lines.extend(failures.into_iter().map(|failure| format!("CHECK FAILED: {failure}")));
        lines.join("\n")
    }

    fn json(&self) -> Value {
        let Arguments { connections, seconds, rounds, recipients, store, .. } = &self.bench.arguments;
        let orders = self.rate(Row::Orders);
        json!({
            "store": store.to_string(),
            "engine": self.bench.databases.engine(),
            "machine": self.machine,
            "connections": connections,
            "seconds": seconds,
            "rounds": rounds,
            "recipients": recipients,
            "scheduled_days_ahead": SCHEDULED_DAYS,
            "orders": self.row_json(Row::Orders),
            "random_keys": self.row_json(Row::RandomKeys),
            "http_ceiling": self.row_json(Row::Ceiling),
            "plain": self.row_json(Row::Plain),
            "of_http_ceiling": rounded(orders / self.rate(Row::Ceiling)),
            "times_plain": rounded(orders / self.rate(Row::Plain)),
            "large_order": {
                "recipients": LARGE,
                "ms": rounded(self.large_ms().median),
                "ms_min": rounded(self.large_ms().min),
                "ms_max": rounded(self.large_ms().max),
            },
            "server_rss_idle_mib": rounded(self.spread(Row::Orders, |measured| measured.idle_mib).median),
            "server_rss_mib": rounded(self.loaded_mib()),
            "noisy_measurements": self.measured.iter().filter(|measured| measured.usage.is_noisy()).count(),
            "failures": self.failures(),
            "checks_passed": self.failures().is_empty(),
        })
    }

    fn row_json(&self, row: Row) -> Value {
        let rate = self.spread(row, |measured| measured.per_second);
        let round = |measured: &Measured| {
            json!({
                "orders_per_second": rounded(measured.per_second),
                "p50_ms": rounded(measured.p50_ms),
                "p99_ms": rounded(measured.p99_ms),
                "server_cpu_cores": rounded(measured.usage.server_cores),
                "generator_cpu_cores": rounded(measured.usage.generator_cores),
                "server_rss_mib": rounded(measured.usage.server_peak_mib),
                "foreign_cpu_share": measured.usage.foreign_share.map(rounded),
                "noisy": measured.usage.is_noisy(),
            })
        };
        json!({
            "orders_per_second": rounded(rate.median),
            "orders_per_second_min": rounded(rate.min),
            "orders_per_second_max": rounded(rate.max),
            "p50_ms": rounded(self.spread(row, |measured| measured.p50_ms).median),
            "p99_ms": rounded(self.spread(row, |measured| measured.p99_ms).median),
            "rounds": self.of(row).map(round).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_order_that_was_acknowledged_and_is_not_there_fails_the_checks() {
        let (databases, clock) = (Databases::start(StoreKind::Sqlite, None).expect("a folder"), Clock::system());
        let database = databases.create().await.expect("a database");
        let store = giftd_store::open(&database.url, limits::GROUP_ORDERS).await.expect("a store");
        let shop = shop::open(store.as_ref(), clock.now(), &clock).await.expect("a shop");
        let check = |orders, gifts| check_books(store.as_ref(), &shop, orders, gifts);
        assert_eq!(check(0, 0).await.expect("checked"), Vec::<String>::new());
        let failures = check(1, 1).await.expect("checked");
        assert_eq!(failures.len(), 2, "the orders and the balance: {failures:?}");
    }
}
