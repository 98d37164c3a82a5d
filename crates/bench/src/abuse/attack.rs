//! The abuser: this program again, as a process of its own. What all kinds of abuse have in common is here: where it goes,
//! and a tally of what came of it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use giftd::clock::Clock;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::Abuse;
use super::{bad_tokens, idle, large_bodies, link_guesses, slow_bodies, slow_heads, slow_readers, stalled_bodies};
use crate::load::{self, Sender};

/// How long an abuser may take to be in full swing; then it goes on with what it has.
const GETTING_READY: Duration = Duration::from_secs(20);
/// How long it may take to start and to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where it connects from, where it matters that it isn't the good clients' address.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// What the hidden subcommand takes.
#[derive(clap::Args)]
pub struct Arguments {
    #[arg(value_enum)]
    abuse: Abuse,
    #[arg(long)]
    address: SocketAddr,
    /// A good token
    #[arg(long)]
    token: String,
    /// A large order of the token's account
    #[arg(long)]
    order: String,
}

/// An abuse under way.
pub struct Attack {
    /// The server.
    pub address: SocketAddr,
    /// A good token: abusers may be customers.
    pub token: String,
    /// A large order of the token's account.
    pub order: String,
    /// For random tokens.
    pub clock: Clock,
    tally: Mutex<Tally>,
    ready: Notify,
}

#[derive(Default)]
struct Tally {
    counts: BTreeMap<String, u64>,
    open: u64,
    most_open: u64,
}

/// Abuses until standard input ends; says when it is in full swing, and at the end what came of it.
pub async fn run(arguments: Arguments) -> Result<()> {
    rlimit::increase_nofile_limit(rlimit::INFINITY).context("the number of file handles can't be raised")?;
    let attack = Arc::new(Attack {
        address: arguments.address,
        token: arguments.token,
        order: arguments.order,
        clock: Clock::system(),
        tally: Mutex::default(),
        ready: Notify::new(),
    });
    match arguments.abuse {
        Abuse::SlowHeads => slow_heads::start(&attack),
        Abuse::SlowBodies => slow_bodies::start(&attack),
        Abuse::Idle => idle::start(&attack),
        Abuse::BadTokens => bad_tokens::start(&attack),
        Abuse::LargeBodies => large_bodies::start(&attack),
        Abuse::StalledBodies => stalled_bodies::start(&attack),
        Abuse::SlowReaders => slow_readers::start(&attack),
        Abuse::LinkGuesses => link_guesses::start(&attack),
    }
    // Whoever never gets there goes on with what it has: the report says how far it came.
    drop(timeout(GETTING_READY, attack.ready.notified()).await);
    println!("ready");
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        // An error ends it too.
        drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        drop(ended);
    });
    drop(end.await);
    let tally = attack.tally();
    println!("{}", json!({"most_open": tally.most_open, "counts": tally.counts}));
    Ok(())
}

impl Attack {
    /// In full swing.
    pub fn is_ready(&self) {
        self.ready.notify_one();
    }

    /// One more of these.
    pub fn count(&self, what: impl Into<String>) {
        *self.tally().counts.entry(what.into()).or_default() += 1;
    }

    /// Connects, from the good clients' address; counts how many are open. `most` open are full swing.
    pub async fn connect(self: &Arc<Self>, most: u64) -> Result<Connection> {
        Ok(self.keep_count(TcpStream::connect(self.address).await?, most))
    }

    /// The same for a connection that is open already.
    pub fn keep_count(self: &Arc<Self>, tcp: TcpStream, most: u64) -> Connection {
        let mut tally = self.tally();
        tally.open += 1;
        tally.most_open = tally.most_open.max(tally.open);
        if tally.open >= most {
            self.is_ready();
        }
        drop(tally);
        Connection { tcp, attack: self.clone() }
    }

    /// Connects from another address, which may be locked out, and without keeping count.
    pub async fn connect_from_elsewhere(&self) -> Result<Sender> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((ELSEWHERE, 0)))?;
        load::over(socket.connect(self.address).await?).await
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open connection.
pub struct Connection {
    /// The stream.
    pub tcp: TcpStream,
    attack: Arc<Attack>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.attack.tally().open -= 1;
    }
}

/// What an abuser did.
pub struct Reached {
    /// Connections that it had open at once, at most.
    pub most_open: u64,
    /// How often what happened.
    pub counts: BTreeMap<String, u64>,
}

/// An abuser at work.
pub struct Abuser {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Abuser {
    /// Starts one, and waits until it is in full swing.
    pub async fn start(abuse: Abuse, address: SocketAddr, token: &str, order: &str) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["abuser", abuse.name(), "--address", &address.to_string(), "--token", token, "--order", order]);
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("the abuser doesn't start")?;
        let output = child.stdout.take().context("the abuser has no output")?;
        let mut abuser = Self { child, output: BufReader::new(output) };
        match abuser.line().await?.as_str() {
            "ready" => Ok(abuser),
            _ => bail!("the abuser ended, see above"),
        }
    }

    /// Stops it.
    pub async fn stop(mut self) -> Result<Reached> {
        drop(self.child.stdin.take());
        let said: Value = serde_json::from_str(&self.line().await?).context("the abuser doesn't say what it did")?;
        timeout(PATIENCE, self.child.wait()).await.context("the abuser doesn't stop")??;
        let counts = said["counts"].as_object().into_iter().flatten();
        Ok(Reached {
            most_open: said["most_open"].as_u64().unwrap_or_default(),
            counts: counts.map(|(what, count)| (what.clone(), count.as_u64().unwrap_or_default())).collect(),
        })
    }

    async fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        timeout(PATIENCE, self.output.read_line(&mut line)).await.context("the abuser says nothing")??;
        Ok(line.trim().to_owned())
    }
}
