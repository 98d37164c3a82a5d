//! `history`: how fast the pages of one account's long history are, beside the plain way on the same data, and
//! placing into it, beside a short one.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use giftd::clock::Clock;
use giftd_domain::history::{Days, OrderFilter, PageRequest};
use giftd_domain::ids::AccountId;
use giftd_domain::limits;
use giftd_domain::orders::{CardType, OrderStatus, OrderType};
use giftd_store::Store;
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::databases::{Databases, StoreKind};
use crate::history_placing::{self, AT_ONCE, Placing, SHORT, TURNS};
use crate::history_plain::Plain;
use crate::history_seed::{self, KEYWORD_LITTLE, KEYWORD_MUCH, KEYWORD_NOTHING, KEYWORD_TENTH, Seed};
use crate::machine::{self, Meter, Usage};
use crate::report::{self, number, rounded};
use crate::shop;

/// Times that giftd is asked for each page.
const ASKED: u32 = 300;
/// Times that the plain way is at most, and how long it may take.
const PLAIN_ASKED: u32 = 60;
const PLAIN_TIME: Duration = Duration::from_secs(3);
/// And at least.
const PLAIN_ASKED_AT_LEAST: u32 = 3;

/// What to measure.
#[derive(clap::Args)]
pub struct Arguments {
    /// Where the orders are kept
    #[arg(long, value_enum)]
    store: StoreKind,
    /// Orders of the account
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    orders: u64,
    /// Orders on a page
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    page_size: u32,
    /// Folder on the disk to measure; otherwise the system's for temporary files
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// A page, asked for in both ways.
struct Measured {
    title: String,
    page: u32,
    total: u64,
    giftd: Times,
    plain: Times,
    /// What the two don't agree on.
    failure: Option<String>,
}

/// Milliseconds.
#[derive(Clone, Copy)]
struct Times {
    p50: f64,
    p99: f64,
}

/// Seeds, measures and prints. Returns whether all checks passed.
pub async fn run(arguments: Arguments) -> Result<bool> {
    let (clock, databases) = (Clock::system(), Databases::start(arguments.store, arguments.dir.as_deref())?);
    let machine = machine::describe(databases.folder())?;
    let database = databases.create().await?;
    let store = giftd_store::open(&database.url, limits::GROUP_ORDERS).await?;
    let now = clock.now();
    let account = shop::open(store.as_ref(), Seed::begin(now), &clock).await?.account_id;
    let progress = ProgressBar::new(arguments.orders * 2);
    progress.set_style(ProgressStyle::with_template("{bar:24} {percent} % {msg}")?);
    progress.set_message("placing and delivering");
    let began = Instant::now();
    Seed { account, orders: arguments.orders, now }.write(&store, &clock, &progress).await?;
    let seeded = began.elapsed();
    let plain = Plain::open(&database).await?;

    let meter = Meter::start(None, databases.cluster_pid())?;
    let mut measured = Vec::new();
    let today = TimeZone::UTC.to_datetime(now).date();
    for (title, filter) in filters(arguments.orders, today) {
        progress.set_message(title.clone());
        measured.extend(ask(store.as_ref(), &plain, account, &title, &filter, arguments.page_size).await?);
    }
    let placing = history_placing::measure(&databases, (&store, account), &clock, &progress).await?;
    let usage = meter.stop().await?;
    progress.set_message("verifying");
    let mut failures: Vec<String> = measured.iter().filter_map(|measured| measured.failure.clone()).collect();
    let books = store.verify_ledger().await?;
    failures.extend(books.differences);
    let placed = arguments.orders + placing.placed;
    if books.orders != placed {
        failures.push(format!("{placed} orders were placed, {} are in the database", books.orders));
    }
    progress.finish_and_clear();

    let report = Report { engine: databases.engine(), arguments, machine, seeded, measured, placing, usage, failures };
    if report.arguments.json {
        println!("{:#}", report.json());
    } else {
        println!("{}", report.text());
    }
    Ok(report.failures.is_empty())
}

/// Every filter, and some together.
fn filters(orders: u64, today: Date) -> Vec<(String, OrderFilter)> {
    let none = OrderFilter::default;
    let keyword = |word: &str| OrderFilter { keyword: Some(word.to_owned()), ..none() };
    let quarter = Days { from: Some(today.saturating_sub(180.days())), to: Some(today.saturating_sub(90.days())) };
    let day = Days { from: Some(today.saturating_sub(100.days())), to: Some(today.saturating_sub(100.days())) };
    let key = history_seed::key(orders / 2);
    let filters = [
        ("no filter", none()),
        ("orderType ONE_TIME (all)", OrderFilter { order_type: Some(OrderType::OneTime), ..none() }),
        ("cardType CHOICE_CARD", OrderFilter { card_type: Some(CardType::ChoiceCard), ..none() }),
        ("status COMPLETE", OrderFilter { status: Some(OrderStatus::Complete), ..none() }),
        ("status PENDING", OrderFilter { status: Some(OrderStatus::Pending), ..none() }),
        ("a quarter", OrderFilter { days: quarter, ..none() }),
        ("a day", OrderFilter { days: day, ..none() }),
        ("clientOrderId", OrderFilter { client_order_id: Some(key), ..none() }),
        ("keyword, nearly all", keyword(KEYWORD_MUCH)),
        ("keyword, a tenth", keyword(KEYWORD_TENTH)),
        ("keyword, 25 orders", keyword(KEYWORD_LITTLE)),
        ("keyword, none", keyword(KEYWORD_NOTHING)),
        ("cardType and a quarter", OrderFilter { card_type: Some(CardType::ChoiceCard), days: quarter, ..none() }),
        ("keyword, a tenth, and a quarter", OrderFilter { days: quarter, ..keyword(KEYWORD_TENTH) }),
        ("status COMPLETE and keyword", OrderFilter { status: Some(OrderStatus::Complete), ..keyword(KEYWORD_TENTH) }),
    ];
    filters.into_iter().map(|(title, filter)| (title.to_owned(), filter)).collect()
}

/// The first page, page 1,000, the one in the middle, farthest from both ends, and the deepest.
async fn ask(
    store: &dyn Store,
    plain: &Plain,
    account: AccountId,
    title: &str,
    filter: &OrderFilter,
    page_size: u32,
) -> Result<Vec<Measured>> {
    let first = PageRequest { page: 1, page_size };
    let total = store.orders_page(account, filter, first).await?.total;
    let deepest = u32::try_from(first.pages(total))?.max(1);
    let mut pages = vec![1, 1_000.min(deepest), deepest.div_ceil(2), deepest];
    pages.sort_unstable();
    pages.dedup();
    let mut measured = Vec::new();
    for page in pages {
        let request = PageRequest { page, page_size };
        let mut times = histogram()?;
        for _ in 0..ASKED {
            let began = Instant::now();
            store.orders_page(account, filter, request).await?;
            record(&mut times, began);
        }
        let ours = store.orders_page(account, filter, request).await?;
        let prepared = plain.page(account, filter, request).await?;
        let theirs = prepared.read().await?;
        let (mut plain_times, began_all) = (histogram()?, Instant::now());
        for asked in 0..PLAIN_ASKED {
            if asked >= PLAIN_ASKED_AT_LEAST && began_all.elapsed() > PLAIN_TIME {
                break;
            }
            let began = Instant::now();
            prepared.read().await?;
            record(&mut plain_times, began);
        }
        let ids: Vec<_> = ours.items.iter().map(|order| order.order_id.time).collect();
        let failure = ((ours.total, &ids) != (theirs.0, &theirs.1)).then(|| {
            format!(
                "{title}, page {page}: {} orders on it of {}, but by COUNT and OFFSET {} of {}, or others",
                ids.len(),
                ours.total,
                theirs.1.len(),
                theirs.0
            )
        });
        let (giftd, plain) = (times_of(&times), times_of(&plain_times));
        measured.push(Measured { title: title.to_owned(), page, total: ours.total, giftd, plain, failure });
    }
    Ok(measured)
}

/// Of nanoseconds, up to ten minutes.
fn histogram() -> Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, 600_000_000_000, 3).context("a histogram")
}

fn record(times: &mut Histogram<u64>, began: Instant) {
    times.saturating_record(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
}

fn times_of(times: &Histogram<u64>) -> Times {
    let milliseconds = |quantile| times.value_at_quantile(quantile) as f64 / 1_000_000.0;
    Times { p50: milliseconds(0.50), p99: milliseconds(0.99) }
}

struct Report {
    engine: String,
    arguments: Arguments,
    machine: String,
    seeded: Duration,
    measured: Vec<Measured>,
    placing: Placing,
    usage: Usage,
    failures: Vec<String>,
}

impl Report {
    fn text(&self) -> String {
        let rows = self.measured.iter().map(|measured| {
            vec![
                measured.title.clone(),
                number(f64::from(measured.page), 0),
                number(measured.total as f64, 0),
                format!("{:.2}", measured.giftd.p50),
                format!("{:.2}", measured.giftd.p99),
                format!("{:.2}", measured.plain.p50),
                format!("{:.2}", measured.plain.p99),
                format!("{:.1} ×", measured.plain.p50 / measured.giftd.p50),
            ]
        });
        let header = ["", "page", "matches", "p50 ms", "p99 ms", "plain p50", "plain p99", "faster"];
        let mut lines = vec![
            format!("giftd-bench history: {}, {}", self.engine, self.machine),
            format!(
                "{} orders of one account over a year, {} a page; one caller, page and total together; plain: COUNT(*), \
                 OFFSET and LIKE on the same data; placed and delivered in {:.0} s",
                number(self.arguments.orders as f64, 0),
                self.arguments.page_size,
                self.seeded.as_secs_f64(),
            ),
            String::new(),
            report::table(&header, rows).to_string(),
            String::new(),
            format!(
                "placing, {AT_ONCE} at once under UUIDv7 keys, without HTTP, {TURNS} turns of {} orders each (least–most):",
                number(history_placing::ORDERS as f64, 0),
            ),
            String::new(),
            report::table(&["orders before", "orders/s", "fewer", "each takes longer by"], self.placing_rows())
                .to_string(),
            String::new(),
        ];
        if self.usage.is_noisy() {
            lines.push(format!("NOISY: others took more than {:.0} % of the CPU", 100.0 * machine::NOISY));
        }
        if self.failures.is_empty() {
            lines.push(
                "checks passed: every page and total agrees with the plain way, and the ledger balances".to_owned(),
            );
        }
        lines.extend(self.failures.iter().map(|failure| format!("CHECK FAILED: {failure}")));
        lines.join("\n")
    }

    fn placing_rows(&self) -> [Vec<String>; 2] {
        let Placing { short, long, .. } = &self.placing;
        [
            vec![number(SHORT as f64, 0), short.text(0), String::new(), String::new()],
            vec![
                number(self.arguments.orders as f64, 0),
                long.text(0),
                format!("{:.0} %", 100.0 * self.placing.fewer()),
                format!("{:.0} %", 100.0 * self.placing.longer()),
            ],
        ]
    }

    fn json(&self) -> Value {
        let times = |times: Times| json!({"p50_ms": rounded(times.p50), "p99_ms": rounded(times.p99)});
        let page = |measured: &Measured| {
            json!({
                "filter": measured.title,
                "page": measured.page,
                "matches": measured.total,
                "giftd": times(measured.giftd),
                "plain": times(measured.plain),
            })
        };
        json!({
            "store": self.arguments.store.to_string(),
            "engine": self.engine,
            "machine": self.machine,
            "orders": self.arguments.orders,
            "page_size": self.arguments.page_size,
            "seeded_seconds": rounded(self.seeded.as_secs_f64()),
            "pages": self.measured.iter().map(page).collect::<Vec<_>>(),
            "placing": {
                "orders_per_second_at_1000": rounded(self.placing.short.median),
                "orders_per_second": rounded(self.placing.long.median),
                "fewer": rounded(self.placing.fewer()),
                "longer": rounded(self.placing.longer()),
            },
            "foreign_cpu_share": self.usage.foreign_share.map(rounded),
            "noisy": self.usage.is_noisy(),
            "failures": self.failures,
            "checks_passed": self.failures.is_empty(),
        })
    }
}
