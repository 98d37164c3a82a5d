//! Measures giftd: how many orders it takes, beside the limit that HTTP sets and the plain way to do it,
//! how fast a long history is paged, how fast mails go out and gifts expire, what a mix of all calls comes to,
//! what several servers add, what is left after faults, and what abusers leave of the good clients' rate. Starts
//! what it needs, removes it at the end, and checks that the books agree with what was acknowledged.

mod abuse;
mod bare_smtp;
mod ceiling;
mod databases;
mod deliver;
mod expire;
mod expire_plain;
mod expire_seed;
mod faults;
mod history;
mod history_placing;
mod history_plain;
mod history_seed;
mod load;
mod machine;
mod mixed;
mod mixed_account;
mod mixed_calls;
mod nodes;
mod place;
mod plain_postgres;
mod postgres_cluster;
mod report;
mod server_process;
mod shop;
mod smtp_sink;
mod turns;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

/// Measures giftd on this machine, in a folder and (for PostgreSQL) a cluster that it makes and removes.
#[derive(Parser)]
#[command(name = "giftd-bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Orders a second over HTTP, beside the HTTP ceiling and the plain way
    Place(place::Arguments),
    /// How fast the pages of a long history are, beside COUNT(*) and OFFSET, and placing into it
    History(history::Arguments),
    /// What is left when servers, databases, disks and mail servers fail under load: nothing may be lost or doubled
    Faults(faults::Arguments),
    /// Mails a second, from placing until COMPLETE, beside clients that only send
    Deliver(deliver::Arguments),
    /// Gifts a second that expire, beside a transaction for each
    Expire(expire::Arguments),
    /// Reading, placing and the rest at once over many accounts, with the times of each, beside the HTTP ceiling
    Mixed(mixed::Arguments),
    /// Orders a second of 1, 2 and 3 servers on one PostgreSQL, for many accounts and a hot one
    Nodes(nodes::Arguments),
    /// Good clients beside slow, idle, guessing and greedy ones: what is left of their rate, and the server's memory
    Abuse(abuse::Arguments),
    /// The abuser of `abuse`, as a process of its own
    #[command(hide = true)]
    Abuser(abuse::attack::Arguments),
    /// The server that is measured, as a process of its own
    #[command(hide = true)]
    Server(server_process::Arguments),
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("giftd-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all checks passed.
fn run(command: Command) -> Result<bool> {
    match command {
        Command::Place(arguments) => one_thread()?.block_on(until_interrupted(place::run(arguments))),
        Command::History(arguments) => many_threads()?.block_on(until_interrupted(history::run(arguments))),
        Command::Faults(arguments) => many_threads()?.block_on(until_interrupted(faults::run(arguments))),
        Command::Deliver(arguments) => many_threads()?.block_on(until_interrupted(deliver::run(arguments))),
        Command::Expire(arguments) => many_threads()?.block_on(until_interrupted(expire::run(arguments))),
        Command::Mixed(arguments) => one_thread()?.block_on(until_interrupted(mixed::run(arguments))),
        Command::Nodes(arguments) => one_thread()?.block_on(until_interrupted(nodes::run(arguments))),
        Command::Abuse(arguments) => one_thread()?.block_on(until_interrupted(abuse::run(arguments))),
        Command::Abuser(arguments) => one_thread()?.block_on(abuse::attack::run(arguments)).map(|()| true),
        Command::Server(arguments) => many_threads()?.block_on(server_process::serve(arguments)).map(|()| true),
    }
}

/// The load generator's: it shares the cores with the server, and one thread costs it least.
fn one_thread() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("the runtime doesn't start")
}

/// As the service has it.
fn many_threads() -> Result<Runtime> {
    Builder::new_multi_thread().enable_all().build().context("the runtime doesn't start")
}

/// Gives up on a signal, in an orderly way: what was started is stopped and removed.
async fn until_interrupted(measurement: impl Future<Output = Result<bool>>) -> Result<bool> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        result = measurement => result,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}
