//! A node from its settings to its end: store, keys, HTTP, workers, and their way down.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use giftd_domain::limits;
use giftd_store::{Store, StoreError};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api;
use crate::clock::Clock;
use crate::http::HttpServer;
use crate::keys::{Keys, KeysError};
use crate::mail::dkim::BadDkimKey;
use crate::mail::smtp::BadSmtpUrl;
use crate::mail::{Dkim, MailFrom, Maildir, Post, SmtpServer};
use crate::settings::{Database, Settings};
use crate::state::Giftd;
use crate::workers::{Delivery, Workers};

/// Why a node doesn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Settings that don't go together.
    #[error("{}", .0.join("\n"))]
    Refused(Vec<String>),
    /// The mail settings.
    #[error("GIFTD_SMTP_URL: {0}")]
    Smtp(#[from] BadSmtpUrl),
    /// The address of mails.
    #[error("GIFTD_MAIL_FROM: {0}")]
    MailFrom(String),
    /// The key that signs mails.
    #[error("GIFTD_DKIM_KEY {0}")]
    Dkim(#[from] BadDkimKey),
    /// Another `serve` works on this SQLite database.
    #[error(
        "another `giftd serve` already works on {}: stop it first. Several nodes need PostgreSQL (GIFTD_DATABASE_URL); \
         the other commands work beside a running server", .0.display()
    )]
    Locked(PathBuf),
    /// The address is taken, or not ours.
    #[error("can't listen on {address}: {source}{}", hint(.source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            ". Another program listens there: stop it, or choose another address with --listen or GIFTD_LISTEN"
        }
        io::ErrorKind::AddrNotAvailable => ". This machine has no such address: see --listen and GIFTD_LISTEN",
        io::ErrorKind::PermissionDenied => ". Ports below 1024 need privileges: see --listen and GIFTD_LISTEN",
        _ => "",
    }
}

/// A node at work.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// What its handlers and workers share.
    pub giftd: Arc<Giftd>,
    http: HttpServer,
    workers: Workers,
    refreshing: JoinHandle<()>,
    stop: CancellationToken,
    /// Held until the store is closed.
    lock: Option<File>,
}

/// Starts a node: returns when it listens and works.
pub async fn start(settings: Settings, clock: Clock) -> Result<Running, StartError> {
    start_with(settings, clock, Router::new()).await
}

/// The same, with more routes behind the same middleware: the benchmark's.
pub async fn start_with(settings: Settings, clock: Clock, more: Router<Arc<Giftd>>) -> Result<Running, StartError> {
    let refusals = settings.refusals();
    if !refusals.is_empty() {
        return Err(StartError::Refused(refusals));
    }
    let (post, mail_from) = mail(&settings)?;
    make_private(&settings.data_dir)?;
    let lock = lock(&settings.database)?;
    let listen = settings.listen;
    let cannot_listen = |source| StartError::Listen { address: listen, source };
    let listener = TcpListener::bind(listen).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    let store = open_store(&settings).await?;
    let keys = open_keys(&settings, store.as_ref(), &clock).await?;
    warn(&settings, store.as_ref()).await?;

    let giftd = Giftd::new(store, Settings { listen: address, ..settings }, keys, clock.clone());
    let stop = CancellationToken::new();
    let refreshing = tokio::spawn({
        let (giftd, stop) = (giftd.clone(), stop.clone());
        async move { giftd.keep_fresh(stop).await }
    });
    let workers = Workers::start(Delivery { giftd: giftd.clone(), post, mail_from });
    let http = HttpServer::start(listener, api::router_with(giftd.clone(), more), connections(), clock);
    tracing::info!(%address, database = %giftd.settings.database, "giftd serves");
    Ok(Running { address, giftd, http, workers, refreshing, stop, lock })
}

impl Running {
    /// Stops in order: no new requests, those under way finished; nothing claimed, what is in hand sent
    /// and settled; then the store.
    pub async fn stop(self) {
        let Self { giftd, http, workers, refreshing, stop, lock, .. } = self;
        tracing::info!("stopping: finishing what is under way");
        tokio::join!(http.stop(), workers.stop());
        stop.cancel();
        if let Err(error) = refreshing.await {
            tracing::error!(%error, "refreshing the catalog had failed");
        }
        drop(giftd);
        drop(lock);
        tracing::info!("stopped");
    }
}

/// How many connections this process may have open. The system often allows a process 1,024 file handles at first,
/// and more when it asks.
fn connections() -> usize {
    let allowed = rlimit::increase_nofile_limit(rlimit::INFINITY).unwrap_or_else(|error| {
        tracing::warn!(%error, "the number of file handles can't be raised");
        rlimit::Resource::NOFILE.get_soft().unwrap_or_default()
    });
    let allowed = usize::try_from(allowed).unwrap_or(usize::MAX);
    let connections = allowed.saturating_sub(limits::FILES_KEPT).max(allowed / 2).min(limits::CONNECTIONS);
    if connections < limits::CONNECTIONS {
        tracing::warn!(
            "the system allows {allowed} file handles, so that only {connections} connections can be open at once              instead of {}: raise the hard limit (LimitNOFILE= of systemd, ulimit -Hn)",
            limits::CONNECTIONS
        );
    }
    connections
}

/// Where mails go and whom they come from.
pub fn mail(settings: &Settings) -> Result<(Post, MailFrom), StartError> {
    let smtp = settings.smtp_url.as_ref().map(|url| SmtpServer::parse(url.expose())).transpose()?;
    let mail_from: MailFrom = settings.mail_from.parse().map_err(|error| StartError::MailFrom(format!("{error}")))?;
    let maildir = Maildir::in_data_dir(&settings.data_dir);
    let dkim = dkim(settings, &mail_from)?.map(Arc::new);
    Ok((Post { smtp: smtp.map(Arc::new), maildir, dkim }, mail_from))
}

/// What signs mails, where there is a key.
pub fn dkim(settings: &Settings, mail_from: &MailFrom) -> Result<Option<Dkim>, BadDkimKey> {
    let domain = settings.dkim_domain.as_deref().unwrap_or(mail_from.host());
    let key = settings.dkim_key.as_ref();
    key.map(|key| Dkim::new(key.expose(), &settings.dkim_selector, domain)).transpose()
}

/// Opens the database with its migrations applied; a missing SQLite file is made.
pub async fn open_store(settings: &Settings) -> Result<Arc<dyn Store>, StartError> {
    if let Database::Sqlite(path) = &settings.database
        && let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty())
    {
        make_private(folder)?;
    }
    let group_orders = usize::try_from(settings.group_orders).unwrap_or(usize::MAX);
    Ok(giftd_store::open(&settings.database.url(), group_orders).await?)
}

/// Opens the keys and compares them with what the database knows; makes them where it knows none.
pub async fn open_keys(settings: &Settings, store: &dyn Store, clock: &Clock) -> Result<Keys, StartError> {
    let recorded = store.key_fingerprints().await?;
    let keys = Keys::open(&settings.keys_dir, &recorded, clock)?;
    // Where another node was first, its keys count.
    if recorded.is_empty() && !store.record_key_fingerprints(&keys.fingerprints()).await? {
        keys.check(&settings.keys_dir, &store.key_fingerprints().await?)?;
    }
    Ok(keys)
}

/// A sentence where production accounts have no mail server: real gifts would reach nobody.
pub async fn captured_production(settings: &Settings, store: &dyn Store) -> Result<Option<String>, StoreError> {
    if settings.smtp_url.is_some() || store.organizations().await?.is_empty() {
        return Ok(None);
    }
    Ok(Some(format!(
        "there are production accounts and no mail server: their mails are captured in {}, not sent; set GIFTD_SMTP_URL",
        settings.maildir().display()
    )))
}

/// What is legal, works, and is probably not meant.
async fn warn(settings: &Settings, store: &dyn Store) -> Result<(), StoreError> {
    let mut warnings = settings.warnings();
    warnings.extend(crate::keys::exposed(&settings.keys_dir));
    warnings.extend(captured_production(settings, store).await?);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(())
}

/// On SQLite one `serve` at a time, and none while all of it is copied; the lock goes with the process, however it ends.
pub fn lock(database: &Database) -> Result<Option<File>, StartError> {
    let Database::Sqlite(path) = database else { return Ok(None) };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        make_private(folder)?;
    }
    let mut beside = path.clone().into_os_string();
    beside.push(".serve.lock");
    let beside = PathBuf::from(beside);
    let failed = |source| StartError::File { path: beside.clone(), source };
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&beside).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(StartError::Locked(path.clone())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Makes a folder that only its owner may enter; one that is there stays as it is.
fn make_private(folder: &Path) -> Result<(), StartError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| StartError::File { path: folder.to_owned(), source })
}
