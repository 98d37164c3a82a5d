//! The server that is measured: this program again, as a process of its own, so that its memory and CPU
//! time are the server's alone.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::Router;
use giftd::clock::Clock;
use giftd::settings::Settings;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::ceiling;
use crate::databases::Database;

/// How long starting or stopping may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the hidden subcommand takes; the settings come from the environment.
#[derive(clap::Args)]
pub struct Arguments {
    /// Has another route that answers 201 without storing anything
    #[arg(long)]
    ceiling: bool,
}

/// Serves until standard input ends: a server never outlives its benchmark.
pub async fn serve(arguments: Arguments) -> Result<()> {
    let (settings, clock) = (Settings::load()?, Clock::system());
    giftd::log::init(&settings.log, settings.log_format);
    let more = if arguments.ceiling { ceiling::routes() } else { Router::new() };
    let running = giftd::serve::start_with(settings, clock, more).await?;
    println!("{}", running.address);
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        // An error ends it too.
        drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        drop(ended);
    });
    drop(end.await);
    running.stop().await;
    Ok(())
}

/// How the server differs from the one that people run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Not at all.
    Normal,
    /// It has the route of [`ceiling`] too.
    Ceiling,
    /// A commit for each order.
    GroupsOfOne,
}

/// A server at work.
pub struct ServerProcess {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its process.
    pub pid: u32,
    child: Child,
}

impl ServerProcess {
    /// Starts one on `database` and waits until it listens.
    pub async fn start(database: &Database, variant: Variant) -> Result<Self> {
        let mut command = Self::command(database)?;
        match variant {
            Variant::Normal => {}
            Variant::Ceiling => drop(command.arg("--ceiling")),
            Variant::GroupsOfOne => drop(command.env("GIFTD_GROUP_ORDERS", "1")),
        }
        Self::spawn(command, &database.folder).await
    }

    /// The same with some settings (`GIFTD_…`) of its own.
    pub async fn start_set(database: &Database, settings: &[(&str, String)]) -> Result<Self> {
        let mut command = Self::command(database)?;
        command.envs(settings.iter().map(|(name, value)| (name, value)));
        Self::spawn(command, &database.folder).await
    }

    /// The same with some settings (`GIFTD_…`) of its own, and what it logs in `log`.
    pub async fn start_with(database: &Database, settings: &[(&str, String)], log: &File) -> Result<Self> {
        let mut command = Self::command(database)?;
        command.env("GIFTD_LOG", "warn").stderr(log.try_clone()?);
        for (name, value) in settings {
            command.env(name, value);
        }
        Self::spawn(command, &database.folder).await
    }

    fn command(database: &Database) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("GIFTD_") {
                command.env_remove(name);
            }
        }
        command
            .arg("server")
            .env("GIFTD_DATABASE_URL", &database.url)
            .env("GIFTD_DATA_DIR", &database.folder)
            .env("GIFTD_LISTEN", "127.0.0.1:0")
            .env("GIFTD_RATE_LIMIT_PRODUCTION", "0")
            .env("GIFTD_RATE_LIMIT_SANDBOX", "0")
            .env("GIFTD_LOG", "error");
        Ok(command)
    }

    async fn spawn(mut command: Command, folder: &Path) -> Result<Self> {
        // In a folder without giftd.toml, and out of reach of the terminal's Ctrl-C: we stop it ourselves.
        command.current_dir(folder).process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("the server doesn't start")?;
        let pid = child.id().context("the server ended at once")?;
        let mut line = String::new();
        let output = child.stdout.take().context("the server has no output")?;
        timeout(PATIENCE, BufReader::new(output).read_line(&mut line)).await.context("the server doesn't listen")??;
        let Ok(address) = line.trim().parse() else { bail!("the server didn't start, see above") };
        Ok(Self { address, pid, child })
    }

    /// Lets it finish what is under way, and waits for its end.
    pub async fn stop(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let status = timeout(PATIENCE, self.child.wait()).await.context("the server doesn't stop")??;
        if !status.success() {
            bail!("the server ended with {status}");
        }
        Ok(())
    }

    /// Kills it as a machine does that loses its power, and waits until it is gone.
    pub async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}
