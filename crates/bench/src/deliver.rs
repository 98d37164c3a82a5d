//! `deliver`: mails a second, from placing an order until it is COMPLETE, beside clients that only send.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use giftd::clock::Clock;
use giftd_domain::limits;
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::bare_smtp;
use crate::databases::{Databases, StoreKind};
use crate::load::{self, Caller, Keys, Target};
use crate::machine::{self, Meter};
use crate::report::{self, number};
use crate::server_process::ServerProcess;
use crate::shop::{self, GIFT, OrderBody, PATH};
use crate::smtp_sink::SmtpSink;
use crate::turns::{Measured, Named, Options, Turns, figures};

/// How long an order may take from the last mail until it is COMPLETE.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// How long a mail may take at most, on average, before it is called off.
const A_MAIL: Duration = Duration::from_millis(100);
/// And how much longer the first may take.
const THE_FIRST: Duration = Duration::from_secs(60);
/// How often it is looked whether the orders are COMPLETE, once their last mail was taken.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What to measure.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  giftd-bench deliver --store sqlite
  giftd-bench deliver --store postgres --connections 64 --recipients 2000 --orders 10
  giftd-bench deliver --store sqlite --answer-ms 0     what giftd itself needs for a mail")]
pub struct Arguments {
    /// Where the orders are kept
    #[arg(long, value_enum)]
    store: StoreKind,
    /// Recipients of each order
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    recipients: u64,
    /// Orders, placed one after the other
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    orders: u64,
    /// SMTP connections of either (giftd's setting mail_concurrency)
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    connections: u32,
    /// Milliseconds that the SMTP server waits before each answer
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(..=1_000))]
    answer_ms: u64,
    #[command(flatten)]
    options: Options,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    Giftd,
    Bare,
}

impl Row {
    const ALL: [Self; 2] = [Self::Giftd, Self::Bare];

    fn title(self) -> String {
        match self {
            Self::Giftd => "giftd".to_owned(),
            Self::Bare => "limit: bare SMTP clients".to_owned(),
        }
    }
}

impl Named for Row {
    fn name(self) -> &'static str {
        match self {
            Self::Giftd => "giftd",
            Self::Bare => "bare_smtp",
        }
    }
}

const RATE: &str = "mails_per_second";
const FIRST_MAIL: &str = "first_mail_ms";
const AFTER_LAST: &str = "complete_after_last_mail_ms";
const A_SETTLEMENT: &str = "mails_a_settlement";
const ANSWERED: &str = "order_answered_ms";

/// Measures and prints. Returns whether all checks passed.
pub async fn run(arguments: Arguments) -> Result<bool> {
    let databases = Databases::start(arguments.store, arguments.options.dir.as_deref())?;
    let machine = machine::describe(databases.folder())?;
    let clock = Clock::system();
    let mail = bare_smtp::mail(clock.now())?;
    let bench = Bench { databases, clock, mail, arguments };
    let turns = Turns::take(bench.arguments.options.rounds, &Row::ALL, Row::title, async |row| match row {
        Row::Giftd => bench.giftd().await,
        Row::Bare => bench.bare().await,
    })
    .await?;
    if bench.arguments.options.json {
        println!("{:#}", turns.json(bench.json(&machine, &turns)));
    } else {
        println!("{}", bench.text(&machine, &turns));
    }
    Ok(turns.failures().is_empty())
}

struct Bench {
    arguments: Arguments,
    databases: Databases,
    clock: Clock,
    /// What the bare clients send.
    mail: String,
}

impl Bench {
    fn mails(&self) -> u64 {
        self.arguments.orders * self.arguments.recipients
    }

    async fn sink(&self) -> Result<SmtpSink> {
        SmtpSink::start(Duration::from_millis(self.arguments.answer_ms), self.clock.clone()).await
    }

    async fn giftd(&self) -> Result<Measured<Row>> {
        let Arguments { recipients, orders, connections, .. } = self.arguments;
        let (database, sink) = (self.databases.create().await?, self.sink().await?);
        let store = giftd_store::open(&database.url, limits::GROUP_ORDERS).await?;
        let shop = shop::open(store.as_ref(), self.clock.now(), &self.clock).await?;
        drop(store);
        let settings = [("GIFTD_SMTP_URL", sink.url()), ("GIFTD_MAIL_CONCURRENCY", connections.to_string())];
        let server = ServerProcess::start_set(&database, &settings).await?;
        let token = load::token(server.address, &shop).await?;
        let target = Target { address: server.address, path: PATH, token: &token };
        let mut caller = Caller::connect(target).await?;
        let body = OrderBody::immediate(recipients);
        let bodies: Vec<String> = (0..orders).map(|_| body.with_key(&Keys::TimeOrdered.next(&self.clock))).collect();

        let meter = Meter::start([server.pid], self.databases.cluster_pid())?;
        let begun = Instant::now();
        let placing = async {
            for body in bodies {
                let (status, answer) = caller.place(body).await?;
                if status != StatusCode::CREATED {
                    bail!("an order was answered {status}: {}", String::from_utf8_lossy(&answer));
                }
            }
            anyhow::Ok(begun.elapsed())
        };
        let patience = THE_FIRST + A_MAIL * u32::try_from(self.mails())?;
        let taking = async {
            sink.has_taken(1).await;
            let first = begun.elapsed();
            sink.has_taken(self.mails()).await;
            (first, begun.elapsed())
        };
        let (placed, taken) = tokio::join!(placing, timeout(patience, taking));
        let (placed, (first, last)) =
            (placed?, taken.with_context(|| format!("{} of {} mails came", sink.count(), self.mails()))?);
        timeout(SETTLED_WITHIN, complete(target, orders, &self.clock))
            .await
            .context("the orders aren't COMPLETE")??;
        let complete = begun.elapsed();
        let usage = meter.stop().await?;
        server.stop().await?;

        let mut failures = Vec::new();
        let taken = sink.taken();
        let different: u64 = taken.recipients().map(|(_, mails)| mails.len() as u64).sum();
        if (different, taken.twice()) != (self.mails(), 0) {
            failures.push(format!(
                "{} mails were to be sent, {different} different ones came, {} of them twice",
                self.mails(),
                taken.twice()
            ));
        }
        let store = giftd_store::open(&database.url, limits::GROUP_ORDERS).await?;
        let books = store.verify_ledger().await?;
        failures.extend(books.differences);
        // Two accounts begin with an entry; an order has one, and then one for each settlement of its mails.
        let settlements = books.entries.saturating_sub(2 + orders);
        let account = store.account(shop.account_id).await?.context("the account is gone")?;
        let issued = i64::try_from(self.mails())? * GIFT;
        if (account.balances.pending, account.balances.issued) != (0, issued) {
            failures.push(format!("{issued} cents of gifts were sent, by the account {:?}", account.balances));
        }
        drop(store);
        self.databases.remove(database).await?;
        let milliseconds = |time: Duration| time.as_secs_f64() * 1_000.0;
        Ok(Measured {
            row: Row::Giftd,
            figures: figures([
                (RATE, self.mails() as f64 / complete.as_secs_f64()),
                (ANSWERED, milliseconds(placed)),
                (FIRST_MAIL, milliseconds(first)),
                (AFTER_LAST, milliseconds(complete.saturating_sub(last))),
                (A_SETTLEMENT, self.mails() as f64 / settlements as f64),
            ]),
            usage,
            failures,
        })
    }

    async fn bare(&self) -> Result<Measured<Row>> {
        let sink = self.sink().await?;
        let url = sink.url();
        let server = url.strip_prefix("smtp://").context("an SMTP URL")?;
        let meter = Meter::start([], self.databases.cluster_pid())?;
        let took = bare_smtp::send(server, self.mails(), self.arguments.connections, self.mail.clone()).await?;
        let usage = meter.stop().await?;
        let failures = (sink.count() != self.mails())
            .then(|| format!("{} mails were sent by bare clients, {} came", self.mails(), sink.count()));
        let figures = figures([(RATE, self.mails() as f64 / took.as_secs_f64())]);
        Ok(Measured { row: Row::Bare, figures, usage, failures: failures.into_iter().collect() })
    }

    fn text(&self, machine: &str, turns: &Turns<Row>) -> String {
        let Arguments { recipients, orders, connections, answer_ms, .. } = &self.arguments;
        let rows = Row::ALL.map(|row| {
            let mut cells = vec![
                row.title(),
                turns.cell(row, RATE, 0),
                turns.percent(row, Row::Bare, RATE),
                turns.cell(row, ANSWERED, 0),
                turns.cell(row, FIRST_MAIL, 0),
                turns.cell(row, AFTER_LAST, 0),
                turns.cell(row, A_SETTLEMENT, 1),
            ];
            cells.extend(turns.usage_cells(row));
            cells
        });
        let header = [
            "",
            "mails/s",
            "of the limit",
            "order answered, ms",
            "first mail, ms",
            "last mail to COMPLETE, ms",
            "mails a settlement",
            "server cores",
            "foreign CPU",
        ];
        let mut lines = vec![
            format!("giftd-bench deliver: {}, {machine}", self.databases.engine()),
            format!(
                "{orders} order{} of {} recipients, IMMEDIATE, mails of {:.1} KiB over {connections} SMTP connections to a \
                 server that waits {answer_ms} ms before each answer; from placing until COMPLETE; medians of {} rounds \
                 (least–most); the SMTP server shares the cores",
                if *orders == 1 { "" } else { "s" },
                number(*recipients as f64, 0),
                self.mail.len() as f64 / 1_024.0,
                self.arguments.options.rounds,
            ),
            String::new(),
            report::table(&header, rows).to_string(),
            String::new(),
        ];
        lines.extend(turns.ending("each mail came once, every order is COMPLETE, and the ledger balances"));
        lines.join("\n")
    }

    fn json(&self, machine: &str, turns: &Turns<Row>) -> Value {
        let Arguments { store, recipients, orders, connections, answer_ms, .. } = &self.arguments;
        json!({
            "store": store.to_string(),
            "engine": self.databases.engine(),
            "machine": machine,
            "orders": orders,
            "recipients": recipients,
            "connections": connections,
            "answer_ms": answer_ms,
            "mail_bytes": self.mail.len(),
            "of_bare_smtp": report::rounded(turns.median(Row::Giftd, RATE) / turns.median(Row::Bare, RATE)),
        })
    }
}

/// Waits until so many orders are COMPLETE.
async fn complete(target: Target<'_>, orders: u64, clock: &Clock) -> Result<()> {
    // The connection that placed them has been idle for long, perhaps for too long.
    let mut caller = Caller::connect(target).await?;
    loop {
        let (status, page) = caller.get("/api/v1/orders?status=COMPLETE&pageSize=1").await?;
        let page: Value = serde_json::from_slice(&page).with_context(|| format!("a history answered {status}"))?;
        if page["pagination"]["totalItems"] == json!(orders) {
            return Ok(());
        }
        clock.sleep(LOOK_EVERY).await;
    }
}
