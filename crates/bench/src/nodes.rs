//! `nodes`: orders a second of one, two and three servers on one PostgreSQL, for many accounts and for a hot one.

use std::time::Duration;

use anyhow::{Context as _, Result};
use giftd::clock::Clock;
use giftd_domain::history::{OrderFilter, PageRequest};
use giftd_domain::limits;
use serde_json::{Value, json};

use crate::databases::{Database, Databases, StoreKind, connect};
use crate::load::{self, Keys, Outcome, Pace, Target};
use crate::machine::{self, Meter, Usage};
use crate::plain_postgres;
use crate::report::{self, number};
use crate::server_process::{ServerProcess, Variant};
use crate::shop::{self, CREDIT, GIFT, OrderBody, PATH, SCHEDULED_DAYS, Shop};
use crate::turns::{Measured, Named, Options, Turns, figures};

/// What to measure.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  giftd-bench nodes
  giftd-bench nodes --seconds 15 --connections 128 --json")]
pub struct Arguments {
    /// Accounts, where there are many
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    accounts: u32,
    /// Connections that place orders at once, spread over the servers
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(3..=1_000))]
    connections: u32,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Seconds before each measurement that don't count
    #[arg(long, default_value_t = 1)]
    warm_up: u64,
    #[command(flatten)]
    options: Options,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    Many(Way),
    Hot(Way),
}

/// How orders are placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    One,
    Two,
    Three,
    Plain,
}

impl Row {
    const ALL: [Self; 8] = [
        Self::Many(Way::One),
        Self::Hot(Way::One),
        Self::Many(Way::Two),
        Self::Hot(Way::Two),
        Self::Many(Way::Three),
        Self::Hot(Way::Three),
        Self::Many(Way::Plain),
        Self::Hot(Way::Plain),
    ];
    const WAYS: [Way; 4] = [Way::One, Way::Two, Way::Three, Way::Plain];

    fn way(self) -> Way {
        match self {
            Self::Many(way) | Self::Hot(way) => way,
        }
    }

    fn title(self) -> String {
        let accounts = if matches!(self, Self::Many(_)) { "many accounts" } else { "one hot account" };
        format!("{}, {accounts}", self.way().title())
    }
}

impl Way {
    /// Servers; 0 of the plain way.
    fn servers(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Three => 3,
            Self::Plain => 0,
        }
    }

    fn title(self) -> String {
        match self {
            Self::One => "1 server".to_owned(),
            Self::Two => "2 servers".to_owned(),
            Self::Three => "3 servers".to_owned(),
            Self::Plain => format!("plain: textbook, {} connections, no HTTP", plain_postgres::CONNECTIONS),
        }
    }
}

impl Named for Row {
    fn name(self) -> &'static str {
        match self {
            Self::Many(Way::One) => "many_accounts_1_server",
            Self::Many(Way::Two) => "many_accounts_2_servers",
            Self::Many(Way::Three) => "many_accounts_3_servers",
            Self::Many(Way::Plain) => "many_accounts_plain",
            Self::Hot(Way::One) => "hot_account_1_server",
            Self::Hot(Way::Two) => "hot_account_2_servers",
            Self::Hot(Way::Three) => "hot_account_3_servers",
            Self::Hot(Way::Plain) => "hot_account_plain",
        }
    }
}

const RATE: &str = "orders_per_second";
const P50: &str = "p50_ms";
const P99: &str = "p99_ms";

/// Measures and prints. Returns whether all checks passed.
pub async fn run(arguments: Arguments) -> Result<bool> {
    let databases = Databases::start(StoreKind::Postgres, arguments.options.dir.as_deref())?;
    let machine = machine::describe(databases.folder())?;
    let pace = Pace {
        connections: arguments.connections,
        warm_up: Duration::from_secs(arguments.warm_up),
        measured: Duration::from_secs(arguments.seconds),
    };
    let bench = Bench { databases, clock: Clock::system(), pace, arguments };
    let turns =
        Turns::take(bench.arguments.options.rounds, &Row::ALL, Row::title, async |row| bench.measure(row).await)
            .await?;
    if bench.arguments.options.json {
        println!("{:#}", turns.json(bench.json(&machine)));
    } else {
        println!("{}", bench.text(&machine, &turns));
    }
    Ok(turns.failures().is_empty())
}

struct Bench {
    arguments: Arguments,
    databases: Databases,
    clock: Clock,
    pace: Pace,
}

impl Bench {
    async fn measure(&self, row: Row) -> Result<Measured<Row>> {
        let database = self.databases.create().await?;
        let accounts = if matches!(row, Row::Many(_)) { self.arguments.accounts } else { 1 };
        let store = giftd_store::open(&database.url, limits::GROUP_ORDERS).await?;
        let shops = shop::open_many(store.as_ref(), accounts, self.clock.now(), &self.clock).await?;
        drop(store);
        let (outcome, usage) = match row.way() {
            Way::Plain => self.plain(&database, &shops).await?,
            way => self.servers(way, &database, &shops).await?,
        };
        let others = outcome.others.iter();
        let mut failures: Vec<String> =
            others.map(|(text, count)| format!("{}: {count} orders were answered {text}", row.name())).collect();
        failures.extend(self.check(row, &database, &shops, outcome.acknowledged).await?);
        self.databases.remove(database).await?;
        let figures = figures([
            (RATE, outcome.in_time as f64 / self.pace.measured.as_secs_f64()),
            (P50, outcome.milliseconds(0.50)),
            (P99, outcome.milliseconds(0.99)),
        ]);
        Ok(Measured { row, figures, usage, failures })
    }

    async fn servers(&self, way: Way, database: &Database, shops: &[Shop]) -> Result<(Outcome, Usage)> {
        let mut servers = Vec::new();
        for _ in 0..way.servers() {
            servers.push(ServerProcess::start(database, Variant::Normal).await?);
        }
        let first = servers.first().context("at least one server")?;
        let mut tokens = Vec::new();
        for shop in shops {
            tokens.push(load::token(first.address, shop).await?);
        }
        // Each account comes to all servers, as it would behind a balancer.
        let connections = usize::try_from(self.pace.connections)?;
        let server_of = |connection: usize| (connection + connection / shops.len()) % servers.len();
        let targets: Vec<Target<'_>> = (0..connections)
            .map(|connection| Target {
                address: servers[server_of(connection)].address,
                path: PATH,
                token: &tokens[connection % shops.len()],
            })
            .collect();
        let body = OrderBody::new(1, &self.clock);
        let meter = Meter::start(servers.iter().map(|server| server.pid), self.databases.cluster_pid())?;
        let outcome = load::run(&targets, &body, Keys::TimeOrdered, self.pace, &self.clock).await?;
        let usage = meter.stop().await?;
        for server in servers {
            server.stop().await?;
        }
        Ok((outcome, usage))
    }

    async fn plain(&self, database: &Database, shops: &[Shop]) -> Result<(Outcome, Usage)> {
        let meter = Meter::start([], self.databases.cluster_pid())?;
        let (outcome, connections) = plain_postgres::run(&database.url, shops, 1, self.pace, &self.clock).await?;
        let usage = meter.stop().await?;
        drop(connections);
        Ok((outcome, usage))
    }

    /// Whether everything that was acknowledged is there, once, and paid.
    async fn check(&self, row: Row, database: &Database, shops: &[Shop], acknowledged: u64) -> Result<Vec<String>> {
        let mut failures = Vec::new();
        if row.way() != Way::Plain {
            let store = giftd_store::open(&database.url, limits::GROUP_ORDERS).await?;
            failures.extend(store.verify_ledger().await?.differences);
            let mut listed = 0;
            for shop in shops {
                let page = PageRequest { page: 1, page_size: 1 };
                listed += store.orders_page(shop.account_id, &OrderFilter::default(), page).await?.total;
            }
            if listed != acknowledged {
                failures.push(format!("{acknowledged} orders were acknowledged, {listed} are in the histories"));
            }
        }
        let found = connect(&database.url)
            .await?
            .query_one(
                "SELECT (SELECT COUNT(*) FROM orders), SUM(available)::BIGINT, SUM(pending)::BIGINT
                 FROM accounts WHERE environment = 'PRODUCTION'",
                &[],
            )
            .await?;
        let found: [i64; 3] = [found.get(0), found.get(1), found.get(2)];
        let (orders, credit) = (i64::try_from(acknowledged)?, CREDIT * i64::try_from(shops.len())?);
        let expected = [orders, credit - orders * GIFT, orders * GIFT];
        if found != expected {
            failures.push(format!(
                "{}: orders, available and pending are {found:?}, by what was acknowledged {expected:?}",
                row.name()
            ));
        }
        Ok(failures)
    }

    fn text(&self, machine: &str, turns: &Turns<Row>) -> String {
        let Arguments { accounts, connections, seconds, options, .. } = &self.arguments;
        let table = |row: fn(Way) -> Row| {
            let rows = Row::WAYS.map(|way| {
                let mut cells = vec![
                    way.title(),
                    turns.cell(row(way), RATE, 0),
                    turns.times(row(way), row(Way::One), RATE),
                    turns.times(row(way), row(Way::Plain), RATE),
                    turns.cell(row(way), P50, 1),
                    turns.cell(row(way), P99, 1),
                ];
                cells.extend(turns.usage_cells(row(way)));
                cells
            });
            let header =
                ["", "orders/s", "of 1 server", "of plain", "p50 ms", "p99 ms", "servers' cores", "foreign CPU"];
            report::table(&header, rows).to_string()
        };
        let mut lines = vec![
            format!("giftd-bench nodes: {}, {machine}", self.databases.engine()),
            format!(
                "{connections} connections spread over the servers, {seconds} s a measurement, medians of {} rounds \
                 (least–most); orders of 1 recipient, SCHEDULED {SCHEDULED_DAYS} days ahead; PostgreSQL, all servers and the \
                 load generator share the cores",
                options.rounds,
            ),
            String::new(),
            format!("{} accounts:", number(f64::from(*accounts), 0)),
            String::new(),
            table(Row::Many),
            String::new(),
            "One hot account:".to_owned(),
            String::new(),
            table(Row::Hot),
            String::new(),
        ];
        lines.extend(turns.ending("orders, ledgers and balances agree with what was acknowledged"));
        lines.join("\n")
    }

    fn json(&self, machine: &str) -> Value {
        let Arguments { accounts, connections, seconds, .. } = &self.arguments;
        json!({
            "store": "postgres",
            "engine": self.databases.engine(),
            "machine": machine,
            "accounts": accounts,
            "connections": connections,
            "seconds": seconds,
        })
    }
}
