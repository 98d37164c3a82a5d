//! PostgreSQL: some nodes on one database, each with a runtime of its own, which dies with all that runs in it.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use giftd_domain::Timestamp;
use giftd_domain::gifts::Reminders;
use giftd_domain::limits;
use giftd_store::{PostgresStore, StoreError};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

use super::{Created, Misbehaved, Mishap, Outcome, create_organizations, outcome};
use crate::command::{Answer, Command};
use crate::rows::Eyes;
use crate::seen::{Scope, Seen, look};

/// Some nodes on a database of their own, which is dropped with this.
pub struct PostgresStand {
    runtime: Runtime,
    server: String,
    database: String,
    /// A session on the server beside all nodes.
    admin: Client,
    eyes: Eyes,
    nodes: Vec<Node>,
    /// Nodes that were started so far.
    started: u32,
    /// Whose turn it is to be asked first.
    turn: usize,
}

struct Node {
    /// As the server knows its sessions.
    name: String,
    /// None only while it is dropped.
    runtime: Option<Runtime>,
    store: Arc<PostgresStore>,
}

/// Seconds that a dead node's sessions may take to end.
const END_SECONDS: u64 = 20;

impl PostgresStand {
    /// A new database on the server at `server` (the URL of a database there), and its nodes.
    pub fn new(server: &str, nodes: usize, now: Timestamp) -> Result<(Self, Vec<Created>)> {
        ensure!(nodes > 0, "a cluster has at least one node");
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let database = format!("giftd_sim_{}_{:016x}", std::process::id(), RandomState::new().hash_one(0));
        let (admin, eyes) = runtime.block_on(async {
            let admin = connect(server).await?;
            admin.batch_execute(&format!("CREATE DATABASE {database}")).await?;
            anyhow::Ok((admin, connect(&url_of(server, &database, "giftd_sim_eyes")?).await))
        })?;
        let (server, nodes_wanted) = (server.to_owned(), nodes);
        let eyes = Eyes::Postgres(eyes?);
        let mut stand = Self { runtime, server, database, admin, eyes, nodes: vec![], started: 0, turn: 0 };
        for _ in 0..nodes_wanted {
            let node = stand.start()?;
            stand.nodes.push(node);
        }
        let first = &stand.nodes[0];
        let Some(runtime) = &first.runtime else { bail!("the node is gone") };
        let organizations = runtime.block_on(create_organizations(&*first.store, now))?;
        Ok((stand, organizations))
    }

    fn start(&mut self) -> Result<Node> {
        self.started += 1;
        let name = format!("{}_{}", self.database, self.started);
        let url = url_of(&self.server, &self.database, &name)?;
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let store = runtime.block_on(PostgresStore::open(&url, limits::GROUP_ORDERS))?;
        Ok(Node { name, runtime: Some(runtime), store: Arc::new(store) })
    }

    pub(super) fn reopen(&mut self) -> Result<()> {
        let place = self.turn % self.nodes.len();
        self.nodes[place] = self.start()?;
        Ok(())
    }

    pub(super) fn look(&self, scope: &Scope) -> Result<Seen> {
        let Some(node) = self.nodes.first() else { bail!("no node is left") };
        let Some(runtime) = &node.runtime else { bail!("the node is gone") };
        // The store's connections live in its node's runtime; the eyes' lives in ours.
        runtime.block_on(look(&*node.store, &self.eyes, scope))
    }

    pub(super) fn ask(
        &mut self,
        commands: &[Command],
        reminders: &Reminders,
        mishap: Mishap,
    ) -> Result<Result<Vec<Outcome>, Misbehaved>> {
        self.turn += 1;
        let mut asked: Vec<JoinHandle<Result<Answer, StoreError>>> = Vec::new();
        for (place, command) in commands.iter().enumerate() {
            let node = &self.nodes[(self.turn + place) % self.nodes.len()];
            let Some(runtime) = &node.runtime else { bail!("a node is gone") };
            let (command, store, reminders) = (command.clone(), Arc::clone(&node.store), reminders.clone());
            asked.push(runtime.spawn(async move { command.ask(&*store, &reminders).await }));
        }
        // The node that was asked first is the one that it befalls.
        let unlucky = self.turn % self.nodes.len();
        match mishap {
            Mishap::Killed { after } => {
                self.wait_for(after)?;
                self.nodes[unlucky].die();
                self.end_sessions(&self.nodes[unlucky].name)?;
            }
            Mishap::Cut { after } => {
                self.wait_for(after)?;
                self.cut(&self.nodes[unlucky].name)?;
            }
            _ => {}
        }
        let failed = if mishap == Mishap::None { None } else { Some(Outcome::Unknown) };
        let mut outcomes = Vec::new();
        for (command, asked) in commands.iter().zip(asked) {
            let heard = match (self.runtime.block_on(asked), &failed) {
                (Ok(Err(StoreError::Unavailable(error))), None) => {
                    Err(Misbehaved(format!("{command:?}\nis unavailable, though nothing happened: {error}")))
                }
                (Ok(answer), _) => outcome(command, answer, Outcome::Unknown),
                (Err(error), _) if error.is_panic() => Err(Misbehaved(format!("{command:?}\npanicked"))),
                (Err(_), _) => Ok(Outcome::Unknown),
            };
            match heard {
                Ok(heard) => outcomes.push(heard),
                Err(misbehaved) => return Ok(Err(misbehaved)),
            }
        }
        if let Mishap::Killed { .. } = mishap {
            self.nodes[unlucky] = self.start()?;
        }
        Ok(Ok(outcomes))
    }

    /// A while that is measured in answers of the server, not in time.
    fn wait_for(&self, answers: u32) -> Result<()> {
        self.runtime.block_on(async {
            for _ in 0..answers {
                self.admin.batch_execute("SELECT 1").await?;
            }
            Ok(())
        })
    }

    /// Cuts all connections of a node, and waits until they are: one that is cut late would befall what is asked for next.
    fn cut(&self, name: &str) -> Result<()> {
        let cut = "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1";
        let wait = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid = ANY ($1)";
        self.runtime.block_on(async {
            let cut = self.admin.query(cut, &[&name]).await?;
            let pids: Vec<i32> = cut.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
            self.admin.query(wait, &[&pids]).await?;
            Ok(())
        })
    }

    /// What a dead node asked for last may still go on in the server: until that has ended, nobody can say whether it
    /// happened.
    fn end_sessions(&self, name: &str) -> Result<()> {
        let left = async {
            loop {
                let sql = "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE application_name = $1";
                if self.admin.query(sql, &[&name]).await?.is_empty() {
                    return anyhow::Ok(());
                }
            }
        };
        let ended = async { tokio::time::timeout(Duration::from_secs(END_SECONDS), left).await };
        self.runtime.block_on(ended).context("a dead node's sessions don't end")?
    }
}

impl Node {
    /// Ends at once, wherever it is.
    fn die(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(END_SECONDS));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.die();
    }
}

impl Drop for PostgresStand {
    fn drop(&mut self) {
        self.nodes.clear();
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.database);
        if let Err(error) = self.runtime.block_on(self.admin.batch_execute(&sql)) {
            eprintln!("giftd-sim: the database {} is left: {error}", self.database);
        }
    }
}

async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("PostgreSQL doesn't answer")?;
    tokio::spawn(connection);
    Ok(client)
}

/// `server` with another database's name, and the name of a session.
fn url_of(server: &str, database: &str, session: &str) -> Result<String> {
    let (address, options) = server.split_once('?').unwrap_or((server, ""));
    let (host, _) = address.rsplit_once('/').context("the URL of PostgreSQL names no database")?;
    Ok(format!("{host}/{database}?{options}{}application_name={session}", if options.is_empty() { "" } else { "&" }))
}
