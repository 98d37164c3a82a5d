//! `expire`: gifts a second that expire, of a backlog that is due, by the server's own worker and in the plain way.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use giftd::clock::Clock;
use giftd_domain::limits;
use http_body_util::Full;
use hyper::Request;
use hyper::header::HOST;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_postgres::types::ToSql;

use crate::databases::{Database, Databases, StoreKind, connect};
use crate::expire_plain;
use crate::expire_seed::Backlog;
use crate::load;
use crate::machine::{self, Meter};
use crate::report::{self, number, rounded};
use crate::server_process::{ServerProcess, Variant};
use crate::shop::{CREDIT, GIFT, Shop};
use crate::turns::{Measured, Named, Options, Turns, figures};

/// How often the server is asked how many have expired.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long it may take from one look that sees more of them to the next.
const STALLED: Duration = Duration::from_secs(30);
/// Where it says so.
const METRIC: &str = "giftd_gifts_expired_total ";

/// What to measure.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  giftd-bench expire --store sqlite
  giftd-bench expire --store postgres --gifts 20000 --recipients 1     an entry in the ledger for each")]
pub struct Arguments {
    /// Where the gifts are kept
    #[arg(long, value_enum)]
    store: StoreKind,
    /// Gifts that are due, without and with the refund option each
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(2_000..=5_000_000))]
    gifts: u64,
    /// Gifts of each order: what returns of an order at once is one entry in the ledger
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=2_000))]
    recipients: u64,
    /// Seconds after which the plain way is stopped
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    plain_seconds: u64,
    #[command(flatten)]
    options: Options,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    Void,
    VoidPlain,
    Refund,
    RefundPlain,
}

impl Row {
    const ALL: [Self; 4] = [Self::Void, Self::VoidPlain, Self::Refund, Self::RefundPlain];

    fn has_refunds(self) -> bool {
        matches!(self, Self::Refund | Self::RefundPlain)
    }

    /// What it is compared with.
    fn plain(self) -> Self {
        if self.has_refunds() { Self::RefundPlain } else { Self::VoidPlain }
    }

    fn title(self, store: StoreKind) -> String {
        let refunds = if self.has_refunds() { "with refundOption" } else { "without refundOption" };
        match (self == self.plain(), store) {
            (false, _) => format!("giftd, {refunds}"),
            (true, StoreKind::Sqlite) => format!("plain: a transaction a gift, {refunds}"),
            (true, StoreKind::Postgres) => {
                format!("plain: a transaction a gift, {} connections, {refunds}", expire_plain::CONNECTIONS)
            }
        }
    }
}

impl Named for Row {
    fn name(self) -> &'static str {
        match self {
            Self::Void => "giftd",
            Self::VoidPlain => "plain",
            Self::Refund => "giftd_with_refund",
            Self::RefundPlain => "plain_with_refund",
        }
    }
}

const RATE: &str = "gifts_per_second";
const EXPIRED: &str = "gifts_expired";

/// Seeds, measures and prints. Returns whether all checks passed.
pub async fn run(arguments: Arguments) -> Result<bool> {
    let databases = Databases::start(arguments.store, arguments.options.dir.as_deref())?;
    let machine = machine::describe(databases.folder())?;
    let clock = Clock::system();
    let (mut seeded, gifts) = (Vec::new(), arguments.gifts - arguments.gifts % arguments.recipients);
    let progress = ProgressBar::new(2 * gifts);
    progress.set_style(ProgressStyle::with_template("{bar:24} {percent} % {msg}")?);
    for refund_option in [false, true] {
        progress.set_message("sending gifts that are due to expire");
        let database = databases.create().await?;
        let backlog = Backlog { gifts, recipients: arguments.recipients, refund_option };
        let shop = backlog.write(&database, &clock, &progress).await?;
        seeded.push(Seeded { backlog, database, shop });
    }
    progress.finish_and_clear();
    let [without, with] = seeded.try_into().map_err(|_| anyhow::anyhow!("two backlogs"))?;
    let bench = Bench { databases, clock, without, with, arguments };
    let store = bench.arguments.store;
    let turns = Turns::take(
        bench.arguments.options.rounds,
        &Row::ALL,
        |row| row.title(store),
        async |row| bench.measure(row).await,
    )
    .await?;
    if bench.arguments.options.json {
        println!("{:#}", turns.json(bench.json(&machine, &turns)));
    } else {
        println!("{}", bench.text(&machine, &turns));
    }
    Ok(turns.failures().is_empty())
}

/// A database that is copied for each measurement.
struct Seeded {
    backlog: Backlog,
    database: Database,
    shop: Shop,
}

struct Bench {
    arguments: Arguments,
    databases: Databases,
    clock: Clock,
    without: Seeded,
    with: Seeded,
}

impl Bench {
    async fn measure(&self, row: Row) -> Result<Measured<Row>> {
        let seeded = if row.has_refunds() { &self.with } else { &self.without };
        let database = self.databases.copy(&seeded.database).await?;
        let measured = if row == row.plain() {
            self.plain(row, seeded, &database).await?
        } else {
            self.giftd(row, seeded, &database).await?
        };
        self.databases.remove(database).await?;
        Ok(measured)
    }

    async fn giftd(&self, row: Row, seeded: &Seeded, database: &Database) -> Result<Measured<Row>> {
        let server = ServerProcess::start(database, Variant::Normal).await?;
        let meter = Meter::start([server.pid], self.databases.cluster_pid())?;
        let all = seeded.backlog.gifts;
        let (mut connection, begun) = (load::connect(server.address).await?, Instant::now());
        // It began when it started: what it did until the first look doesn't count.
        let before = expired(&mut connection, server.address).await?;
        let (mut seen, mut seen_at) = (before, begun.elapsed());
        while seen < all {
            let now = timeout(STALLED, more(&mut connection, server.address, seen, &self.clock)).await;
            seen = now.with_context(|| format!("{seen} of {all} gifts expired, then none"))??;
            seen_at = begun.elapsed();
        }
        if before > all / 2 {
            bail!("{before} of {all} gifts had expired when they were first counted: take more --gifts");
        }
        let usage = meter.stop().await?;
        server.stop().await?;

        let store = giftd_store::open(&database.url, limits::GROUP_ORDERS).await?;
        let books = store.verify_ledger().await?;
        let mut failures = books.differences;
        if books.orders != seeded.backlog.orders() {
            failures.push(format!("{} orders were seeded, {} are there", seeded.backlog.orders(), books.orders));
        }
        drop(store);
        let refunds = if row.has_refunds() { i64::try_from(all)? * GIFT * 7 / 10 } else { 0 };
        failures.extend(check(database, seeded, all, refunds).await?);
        let figures = figures([(RATE, (seen - before) as f64 / seen_at.as_secs_f64()), (EXPIRED, all as f64)]);
        Ok(Measured { row, figures, usage, failures })
    }

    async fn plain(&self, row: Row, seeded: &Seeded, database: &Database) -> Result<Measured<Row>> {
        let meter = Meter::start([], self.databases.cluster_pid())?;
        let time = Duration::from_secs(self.arguments.plain_seconds);
        let done = expire_plain::run(database, seeded.shop.account_id, time, &self.clock).await?;
        let usage = meter.stop().await?;
        let failures = check(database, seeded, done.gifts, done.refunded).await?;
        let rate = done.gifts as f64 / done.took.as_secs_f64();
        Ok(Measured { row, figures: figures([(RATE, rate), (EXPIRED, done.gifts as f64)]), usage, failures })
    }

    fn text(&self, machine: &str, turns: &Turns<Row>) -> String {
        let Arguments { store, recipients, plain_seconds, options, .. } = &self.arguments;
        let rows = Row::ALL.map(|row| {
            let mut cells = vec![
                row.title(*store),
                turns.cell(row, RATE, 0),
                turns.times(row, row.plain(), RATE),
                turns.cell(row, EXPIRED, 0),
            ];
            cells.extend(turns.usage_cells(row));
            cells
        });
        let header = ["", "gifts/s", "of plain", "gifts expired", "server cores", "foreign CPU"];
        let mut lines = vec![
            format!("giftd-bench expire: {}, {machine}", self.databases.engine()),
            format!(
                "{} gifts of one account, due, in orders of {recipients}; the server's worker until all have expired, the \
                 plain way for {plain_seconds} s at most; medians of {} rounds (least–most)",
                number(self.with.backlog.gifts as f64, 0),
                options.rounds,
            ),
            String::new(),
            report::table(&header, rows).to_string(),
            String::new(),
        ];
        lines.extend(turns.ending("every gift expired once, what returned is in the ledger, and the ledger balances"));
        lines.join("\n")
    }

    fn json(&self, machine: &str, turns: &Turns<Row>) -> Value {
        json!({
            "store": self.arguments.store.to_string(),
            "engine": self.databases.engine(),
            "machine": machine,
            "gifts": self.with.backlog.gifts,
            "recipients": self.arguments.recipients,
            "times_plain": rounded(turns.median(Row::Void, RATE) / turns.median(Row::VoidPlain, RATE)),
            "times_plain_with_refund": rounded(turns.median(Row::Refund, RATE) / turns.median(Row::RefundPlain, RATE)),
        })
    }
}

type Connection = hyper::client::conn::http1::SendRequest<Full<hyper::body::Bytes>>;

/// Waits until more than `seen` gifts have expired, and returns how many.
async fn more(connection: &mut Connection, server: SocketAddr, seen: u64, clock: &Clock) -> Result<u64> {
    loop {
        clock.sleep(LOOK_EVERY).await;
        let now = expired(connection, server).await?;
        if now > seen {
            return Ok(now);
        }
    }
}

/// How many gifts have expired, as the server counts them.
async fn expired(connection: &mut Connection, server: SocketAddr) -> Result<u64> {
    let request = Request::get("/metrics").header(HOST, server.to_string()).body(Full::default())?;
    let (status, body) = load::ask(connection, request).await?;
    let text = String::from_utf8_lossy(&body);
    let count = text.lines().find_map(|line| line.strip_prefix(METRIC)?.trim().parse().ok());
    count.with_context(|| format!("/metrics answered {status} without {METRIC}"))
}

/// Whether so many gifts expired and so many cents returned: by the gifts, their events, the account and the ledger.
async fn check(database: &Database, seeded: &Seeded, gifts: u64, refunded: i64) -> Result<Vec<String>> {
    let account = seeded.shop.account_id.0;
    let available = CREDIT - i64::try_from(seeded.backlog.gifts)? * GIFT + refunded;
    let gifts = i64::try_from(gifts)?;
    let returned = if seeded.backlog.refund_option { gifts } else { 0 };
    let expected = [gifts, gifts, returned, refunded, available, available];
    const SQL: &str = "SELECT
        (SELECT COUNT(*) FROM gifts WHERE account_id = $1 AND redemption_status = 'EXPIRED' AND wake_at IS NULL
            AND voided = cost),
        (SELECT COUNT(*) FROM gift_events WHERE account_id = $1 AND type = 'EXPIRED'),
        (SELECT COUNT(*) FROM gift_events WHERE account_id = $1 AND type = 'REFUNDED'),
        (SELECT CAST(COALESCE(SUM(refunded), 0) AS BIGINT) FROM gifts WHERE account_id = $1),
        (SELECT available FROM accounts WHERE account_id = $1),
        (SELECT CAST(SUM(available) AS BIGINT) FROM ledger WHERE account_id = $1)";
    let found: [i64; 6] = match database.url.strip_prefix("sqlite:") {
        Some(path) => rusqlite::Connection::open(path)?.query_row(SQL, [account], |row| {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?])
        })?,
        None => {
            let parameters: [&(dyn ToSql + Sync); 1] = [&account];
            let row = connect(&database.url).await?.query_one(SQL, &parameters).await?;
            [row.get(0), row.get(1), row.get(2), row.get(3), row.get(4), row.get(5)]
        }
    };
    let differs = (found != expected).then(|| {
        format!(
            "gifts expired, their events EXPIRED and REFUNDED, cents returned, available, and by the ledger are {found:?}, \
             by what was done {expected:?}"
        )
    });
    Ok(differs.into_iter().collect())
}
