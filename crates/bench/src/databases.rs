//! Where a run's databases are made, and removed at the end.

use std::cell::Cell;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use tempfile::TempDir;
use tokio_postgres::NoTls;

use crate::postgres_cluster::PostgresCluster;

/// Which database keeps the orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StoreKind {
    /// A file.
    Sqlite,
    /// A throwaway cluster, durable as Debian sets it up.
    Postgres,
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        })
    }
}

/// Makes one database after the other, each empty; all are gone when it is dropped.
pub struct Databases {
    made: Cell<u32>,
    /// The PostgreSQL cluster, where that is the store.
    pub cluster: Option<PostgresCluster>,
    folder: TempDir,
}

/// An empty database and a folder for what is kept beside it.
pub struct Database {
    /// What `GIFTD_DATABASE_URL` takes.
    pub url: String,
    /// The data folder.
    pub folder: PathBuf,
    name: String,
}

impl Databases {
    /// Starts what `kind` needs, under `parent` or the system's folder for temporary files.
    pub fn start(kind: StoreKind, parent: Option<&Path>) -> Result<Self> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let cluster = match kind {
            StoreKind::Sqlite => None,
            StoreKind::Postgres => Some(PostgresCluster::start(&parent)?),
        };
        let folder = tempfile::Builder::new().prefix("giftd-bench-").tempdir_in(&parent);
        let folder = folder.with_context(|| format!("no folder can be made in {}", parent.display()))?;
        Ok(Self { made: Cell::new(0), cluster, folder })
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process that all of the cluster descend from, where there is one.
    pub fn cluster_pid(&self) -> Option<u32> {
        self.cluster.as_ref().map(|cluster| cluster.pid)
    }

    /// What keeps them, for the report.
    pub fn engine(&self) -> String {
        match &self.cluster {
            None => format!("SQLite {}", rusqlite::version()),
            Some(cluster) => cluster.version.replace("postgres (PostgreSQL)", "PostgreSQL"),
        }
    }

    /// An empty one.
    pub async fn create(&self) -> Result<Database> {
        let database = self.named()?;
        self.administer(&[&format!("CREATE DATABASE {}", database.name)]).await?;
        Ok(database)
    }

    /// A copy of one that nobody has open, on the disk when this returns.
    pub async fn copy(&self, of: &Database) -> Result<Database> {
        let database = self.named()?;
        match (of.url.strip_prefix("sqlite:"), database.url.strip_prefix("sqlite:")) {
            (Some(from), Some(to)) => {
                fs::copy(from, to)?;
                fs::File::open(to)?.sync_all()?;
            }
            _ => {
                let create = format!("CREATE DATABASE {} TEMPLATE {}", database.name, of.name);
                self.administer(&[&create, "CHECKPOINT"]).await?;
            }
        }
        Ok(database)
    }

    fn named(&self) -> Result<Database> {
        self.made.set(self.made.get() + 1);
        let name = format!("bench_{}", self.made.get());
        let folder = self.folder.path().join(&name);
        fs::create_dir(&folder)?;
        let url = match &self.cluster {
            None => format!("sqlite:{}", folder.join("giftd.db").display()),
            Some(cluster) => cluster.url(&name),
        };
        Ok(Database { url, folder, name })
    }

    /// Removes one, and lets what it left to be written reach the disk now rather than during the next
    /// measurement.
    pub async fn remove(&self, database: Database) -> Result<()> {
        if self.cluster.is_some() {
            self.administer(&[&format!("DROP DATABASE {} WITH (FORCE)", database.name), "CHECKPOINT"]).await?;
        }
        Ok(fs::remove_dir_all(&database.folder)?)
    }

    async fn administer(&self, statements: &[&str]) -> Result<()> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        let client = connect(&cluster.url("postgres")).await?;
        for statement in statements {
            client.batch_execute(statement).await?;
        }
        Ok(())
    }
}

/// A plain connection, which ends with its client.
pub async fn connect(url: &str) -> Result<tokio_postgres::Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            eprintln!("giftd-bench: a connection to PostgreSQL broke: {error}");
        }
    });
    Ok(client)
}
