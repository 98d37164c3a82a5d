//! `giftd-sim`: runs seeds, tells how they went, and how to repeat one that failed.

use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::{Parser, ValueEnum};
use giftd_sim::run::{Database, Failure, Options, Report, run};
use indicatif::{ProgressBar, ProgressStyle};

/// Simulates giftd's store: random commands and faults from a seed, held against a small model after each step.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:
  giftd-sim --seed 7                               one run on SQLite
  giftd-sim --seeds 1..201 --steps 500             200 runs, with a progress bar
  giftd-sim --seed 7 --store postgres --nodes 3 --postgres-url postgres://postgres@127.0.0.1/postgres

Exit codes: 0 all went well, 1 something went wrong, which is told with the command that repeats it, 2 wrong usage."
)]
struct Arguments {
    /// The seed of one run
    #[arg(long, default_value_t = 1, conflicts_with = "seeds")]
    seed: u64,
    /// Many seeds, FROM..END without the end
    #[arg(long, value_parser = seeds)]
    seeds: Option<Range<u64>>,
    /// Steps of a run, before everything is let come to rest
    #[arg(long, default_value_t = 200)]
    steps: u32,
    /// The database
    #[arg(long, value_enum, default_value_t = Kind::Sqlite)]
    store: Kind,
    /// Nodes that share a PostgreSQL
    #[arg(long, default_value_t = 2)]
    nodes: usize,
    /// Any database of a PostgreSQL server, where each run makes a database of its own and removes it
    #[arg(long, env = "TEST_POSTGRES_URL")]
    postgres_url: Option<String>,
    /// Runs at once; as many as there are processors where it isn't said
    #[arg(long)]
    jobs: Option<usize>,
    /// Tells each step
    #[arg(long)]
    trace: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Sqlite,
    Postgres,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let (from, end) = text.split_once("..").ok_or("must be FROM..END, such as 1..201")?;
    let number = |text: &str| text.parse().map_err(|error| format!("`{text}` is no seed: {error}"));
    let seeds: Range<u64> = number(from)?..number(end)?;
    if seeds.is_empty() { Err("has no seed: END must be above FROM".to_owned()) } else { Ok(seeds) }
}

impl Arguments {
    fn options(&self, seed: u64) -> Result<Options, String> {
        let database = match self.store {
            Kind::Sqlite => Database::Sqlite,
            Kind::Postgres => Database::Postgres {
                server: self
                    .postgres_url
                    .clone()
                    .ok_or("--store postgres needs --postgres-url or TEST_POSTGRES_URL; `scripts/test with COMMAND…` starts a server for it")?,
                nodes: self.nodes,
            },
        };
        Ok(Options { seed, steps: self.steps, database, trace: self.trace })
    }

    /// The command that repeats a run.
    fn repeated(&self, seed: u64) -> String {
        let (steps, nodes) = (self.steps, self.nodes);
        let (with, store) = match self.store {
            Kind::Sqlite => ("", "sqlite".to_owned()),
            Kind::Postgres => ("scripts/test with ", format!("postgres --nodes {nodes}")),
        };
        format!("{with}cargo run --release -p giftd-sim -- --seed {seed} --steps {steps} --store {store}")
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seeds = arguments.seeds.clone().unwrap_or(arguments.seed..arguments.seed.saturating_add(1));
    match all(&arguments, seeds) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("giftd-sim: {problem}");
            ExitCode::from(2)
        }
    }
}

/// Whether all runs went well. The first that doesn't ends the others behind it.
fn all(arguments: &Arguments, seeds: Range<u64>) -> Result<bool, String> {
    arguments.options(seeds.start)?;
    let bar = ProgressBar::new(seeds.end - seeds.start);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {elapsed} of about {duration} {msg}");
    bar.set_style(style.map_err(|error| error.to_string())?);
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let (next, is_over) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let (reports, failed) = (Mutex::new(Vec::new()), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.unwrap_or_else(cores) {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let Some(options) = arguments.options(seed).ok().filter(|_| seed < seeds.end) else { return };
                    match run(&options) {
                        Ok(report) => locked(&reports).push((seed, report)),
                        Err(failure) => {
                            is_over.store(true, Ordering::Relaxed);
                            // Of several the first seed is told.
                            let mut failed = locked(&failed);
                            if failed.as_ref().is_none_or(|(other, _)| seed < *other) {
                                *failed = Some((seed, failure));
                            }
                        }
                    }
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    tell(&mut locked(&reports));
    match &*locked(&failed) {
        None => Ok(true),
        Some((seed, failure)) => {
            complain(arguments, *seed, failure);
            Ok(false)
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(reports: &mut [(u64, Report)]) {
    reports.sort_unstable_by_key(|(seed, _)| *seed);
    for (seed, Report { commands, mishaps, orders, digest }) in reports.iter() {
        println!("seed {seed}: {commands} commands, {mishaps} mishaps, {orders} orders; digest {digest}");
    }
}

fn complain(arguments: &Arguments, seed: u64, failure: &Failure) {
    eprintln!("giftd-sim: seed {seed} fails at {failure}\n\nrepeat it with\n  {}", arguments.repeated(seed));
}
