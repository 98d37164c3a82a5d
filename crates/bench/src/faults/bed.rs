//! What each fault needs: a database, a shop, a mail server, nodes, clients; and the end, where all is counted.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use giftd::clock::Clock;
use giftd_domain::limits;
use giftd_store::Store;
use indicatif::ProgressBar;
use jiff::SignedDuration;
use tempfile::NamedTempFile;

use super::audit::{Audit, audit};
use super::clients::{Clients, Told};
use crate::databases::{Database, Databases, StoreKind};
use crate::load;
use crate::server_process::ServerProcess;
use crate::shop::{self, Shop};
use crate::smtp_sink::{SmtpSink, Taken};

/// How long the mail server takes for each answer.
const SMTP_ANSWER: Duration = Duration::from_millis(2);
/// How long a node may keep a mail that it took on: others take over what a dead one held after this.
pub const LEASE: Duration = Duration::from_secs(5);
/// How long the delivery of all that waits may take.
const DELIVERED_WITHIN: Duration = Duration::from_secs(300);
/// Lines of the nodes' log that are shown when something isn't right.
const LOG_LINES: usize = 20;

/// Everything around a fault.
pub struct Bed<'a> {
    /// Where the database is made.
    pub databases: Databases,
    /// The database.
    pub database: Database,
    /// Who orders.
    pub shop: Shop,
    /// The mail server.
    pub sink: SmtpSink,
    /// The machine's time.
    pub clock: Clock,
    settings: Vec<(&'static str, String)>,
    log: NamedTempFile,
    progress: &'a ProgressBar,
}

/// What a fault came to.
pub struct Outcome {
    /// How often it happened.
    pub times: u32,
    /// What clients were told.
    pub told: Told,
    /// What was found.
    pub audit: Audit,
    /// From the end of each fault to the first order that was placed after it.
    pub recovered: Vec<Duration>,
    /// From the end of the last fault until every mail was delivered.
    pub delivered: Duration,
    /// What else there is to say, in sentences.
    pub notes: Vec<String>,
}

impl<'a> Bed<'a> {
    /// Makes one; `parent` is where the database's files lie.
    pub async fn make(kind: StoreKind, parent: Option<&Path>, progress: &'a ProgressBar) -> Result<Self> {
        let clock = Clock::system();
        let databases = tokio::task::block_in_place(|| Databases::start(kind, parent))?;
        let database = databases.create().await?;
        let store = giftd_store::open(&database.url, limits::GROUP_ORDERS).await?;
        let shop = shop::open(store.as_ref(), clock.now(), &clock).await?;
        let sink = SmtpSink::start(SMTP_ANSWER, clock.clone()).await?;
        let settings = vec![
            ("GIFTD_LISTEN", "127.0.0.1:0".to_owned()),
            ("GIFTD_SMTP_URL", sink.url()),
            ("GIFTD_DELIVERY_LEASE", format!("{}s", LEASE.as_secs())),
            ("GIFTD_MAIL_RETRY_BASE", "200ms".to_owned()),
        ];
        Ok(Self { databases, database, shop, sink, clock, settings, log: NamedTempFile::new()?, progress })
    }

    /// Gives the nodes that start from now on a setting.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.settings.retain(|(other, _)| *other != name);
        self.settings.push((name, value.into()));
    }

    /// Starts a node on a port of its own.
    pub async fn serve(&self) -> Result<ServerProcess> {
        ServerProcess::start_with(&self.database, &self.settings, &self.log()?).await
    }

    /// Starts a node where another one was.
    pub async fn serve_at(&self, address: SocketAddr) -> Result<ServerProcess> {
        let mut settings = self.settings.clone();
        settings.retain(|(name, _)| *name != "GIFTD_LISTEN");
        settings.push(("GIFTD_LISTEN", address.to_string()));
        ServerProcess::start_with(&self.database, &settings, &self.log()?).await
    }

    fn log(&self) -> Result<File> {
        Ok(fs::OpenOptions::new().append(true).open(self.log.path())?)
    }

    /// Starts `count` clients, spread over nodes that share their keys.
    pub async fn clients(&self, count: usize, addresses: &[SocketAddr]) -> Result<Clients> {
        let token = load::token(addresses[0], &self.shop).await?;
        Clients::start(count, addresses, &token, &self.clock)
    }

    /// The database, beside the nodes.
    pub async fn store(&self) -> Result<Arc<dyn Store>> {
        Ok(giftd_store::open(&self.database.url, limits::GROUP_ORDERS).await?)
    }

    /// Shows what happens now.
    pub fn tell(&self, what: String) {
        self.progress.set_message(what);
        self.progress.tick();
    }

    /// Lets the clients finish, waits until all mail is delivered, stops the nodes and counts. `taken` are the mails,
    /// where they aren't in the sink.
    pub async fn finish(
        &self,
        clients: Clients,
        nodes: Vec<ServerProcess>,
        recovered: Vec<Duration>,
        fault_end: Instant,
        taken: impl FnOnce(&Self) -> Result<Taken>,
    ) -> Result<Outcome> {
        self.tell("delivering what waits".to_owned());
        let told = clients.stop().await?;
        let store = self.store().await?;
        self.all_delivered(store.as_ref()).await?;
        let delivered = fault_end.elapsed();
        self.tell("counting".to_owned());
        for node in nodes {
            node.stop().await?;
        }
        let audit = audit(&store, &self.shop, &told, &taken(self)?).await?;
        Ok(Outcome { times: u32::try_from(recovered.len())?, told, audit, recovered, delivered, notes: Vec::new() })
    }

    /// Waits until no mail waits that isn't scheduled ahead.
    async fn all_delivered(&self, store: &dyn Store) -> Result<()> {
        let begun = Instant::now();
        loop {
            // Leases and retries lie ahead by less than a day, what is scheduled by more.
            let soon = self.clock.now().saturating_add(SignedDuration::from_hours(24))?;
            let waiting = store.backlog(soon).await?.due;
            if waiting == 0 {
                return Ok(());
            }
            if begun.elapsed() > DELIVERED_WITHIN {
                anyhow::bail!("{waiting} mails aren't delivered {} s after", DELIVERED_WITHIN.as_secs());
            }
            self.clock.sleep(Duration::from_millis(100)).await;
        }
    }

    /// The last lines of what the nodes logged.
    pub fn log_end(&self) -> Result<String> {
        let log = fs::read(self.log.path()).context("the nodes' log is gone")?;
        let text = String::from_utf8_lossy(&log);
        let lines = text.lines().collect::<Vec<_>>();
        Ok(lines[lines.len().saturating_sub(LOG_LINES)..].join("\n"))
    }
}
