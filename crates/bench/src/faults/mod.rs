//! `faults`: the real server under load while it, its database, its disk, its mail server or the wire between
//! them fail. Each fault has a fresh database; after it everything that was acknowledged is looked for.

mod audit;
mod bed;
mod client;
mod clients;
mod connection_cut;
mod connection_stalled;
mod disk_full;
mod node_killed;
mod postgres_killed;
mod proxy;
mod relay_gone;
mod relay_stalled;
mod report;
mod server_killed;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use self::bed::{Bed, Outcome};
use self::disk_full::SmallDisk;
use self::report::Row;
use crate::databases::StoreKind;

/// Connections that place orders at once.
const CLIENTS: usize = 32;
/// And where all their mail has to wait, or to be kept on a small disk.
const FEW_CLIENTS: usize = 8;

/// What to break.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  giftd-bench faults                                       all faults, on both databases: some twelve minutes
  giftd-bench faults --store sqlite --only server-killed disk-full
  giftd-bench faults --store postgres --json

Exit code 1 where anything was lost, doubled or not balanced. disk-full needs root, to mount a small disk.")]
pub struct Arguments {
    /// Where the orders are kept; otherwise on each in turn
    #[arg(long, value_enum)]
    store: Option<StoreKind>,
    /// Only these
    #[arg(long, value_enum, num_args = 1.., value_name = "NAME")]
    only: Vec<Fault>,
    /// Folder of the databases; otherwise the system's for temporary files
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// The server is killed (SIGKILL) 20 times, and started again at once
    ServerKilled,
    /// PostgreSQL is killed (pg_ctl stop -m immediate) 5 times, and started again 2 s later
    PostgresKilled,
    /// The connections to PostgreSQL are reset 5 times, and refused for 2 s
    ConnectionCut,
    /// Nothing passes on the connections to PostgreSQL for 5, 10 and 40 s
    ConnectionStalled,
    /// SQLite's disk is full for 6 s, 3 times
    DiskFull,
    /// The mail server refuses connections for a minute
    RelayGone,
    /// The mail server answers nothing for half a minute
    RelayStalled,
    /// One of three nodes on PostgreSQL is killed and stays away
    NodeKilled,
}

impl Fault {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Whether it can happen there.
    fn is_on(self, store: StoreKind) -> bool {
        match self {
            Self::ServerKilled | Self::RelayGone | Self::RelayStalled => true,
            Self::DiskFull => store == StoreKind::Sqlite,
            Self::PostgresKilled | Self::ConnectionCut | Self::ConnectionStalled | Self::NodeKilled => {
                store == StoreKind::Postgres
            }
        }
    }

    async fn happen(self, bed: &mut Bed<'_>) -> Result<Outcome> {
        match self {
            Self::ServerKilled => server_killed::run(bed).await,
            Self::PostgresKilled => postgres_killed::run(bed).await,
            Self::ConnectionCut => connection_cut::run(bed).await,
            Self::ConnectionStalled => connection_stalled::run(bed).await,
            Self::DiskFull => disk_full::run(bed).await,
            Self::RelayGone => relay_gone::run(bed).await,
            Self::RelayStalled => relay_stalled::run(bed).await,
            Self::NodeKilled => node_killed::run(bed).await,
        }
    }
}

/// Lets all of them happen and prints what was left. Returns whether nothing was lost, doubled or out of balance.
pub async fn run(arguments: Arguments) -> Result<bool> {
    let stores = arguments.store.map_or(vec![StoreKind::Sqlite, StoreKind::Postgres], |store| vec![store]);
    let wanted = |fault: &Fault| arguments.only.is_empty() || arguments.only.contains(fault);
    let faults = || Fault::value_variants().iter().copied().filter(wanted);
    let todo = stores
        .iter()
        .flat_map(|store| faults().filter(|fault| fault.is_on(*store)).map(|fault| (fault, *store)))
        .collect::<Vec<_>>();
    if todo.is_empty() {
        anyhow::bail!("none of these happens on that database: disk-full needs sqlite, the others postgres");
    }
    let progress = ProgressBar::new(todo.len() as u64);
    progress.set_style(ProgressStyle::with_template("{bar:24} {pos}/{len} {prefix}: {msg} ({elapsed})")?);
    progress.enable_steady_tick(Duration::from_millis(250));
    let mut rows = Vec::new();
    for (fault, store) in todo {
        progress.set_prefix(format!("{} on {store}", fault.name()));
        progress.set_message("starting");
        let context = || format!("{} on {store}", fault.name());
        rows.push(row(fault, store, &arguments, &progress).await.with_context(context)?);
        progress.inc(1);
    }
    progress.finish_and_clear();
    if arguments.json {
        println!("{:#}", report::json(&rows));
    } else {
        println!("{}", report::text(&rows));
    }
    Ok(rows.iter().all(Row::is_right))
}

async fn row(fault: Fault, store: StoreKind, arguments: &Arguments, progress: &ProgressBar) -> Result<Row> {
    let disk = match fault {
        Fault::DiskFull => match SmallDisk::mount() {
            Ok(disk) => Some(disk),
            Err(error) => return Ok(Row::not_run(fault.name(), store, format!("{error:#}"))),
        },
        _ => None,
    };
    let parent = disk.as_ref().map(SmallDisk::path).or(arguments.dir.as_deref());
    let mut bed = Bed::make(store, parent, progress).await?;
    let result = fault.happen(&mut bed).await;
    let log = bed.log_end()?;
    match result {
        Ok(outcome) => Ok(Row::of(fault.name(), store, outcome, log)),
        Err(error) => Err(error.context(format!("the nodes logged last:\n{log}"))),
    }
}
