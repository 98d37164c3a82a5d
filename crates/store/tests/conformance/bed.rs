//! Where a promise is tried: a database of its own, made for the test and removed after it.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use giftd_domain::limits;
use giftd_store::Store;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_postgres::NoTls;

/// After this long a promise hangs, which is a failure.
const DEADLINE: Duration = Duration::from_secs(300);

/// The databases that keep the promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

/// An empty database.
pub struct Bed {
    pub database: Database,
    url: String,
    /// SQLite's file.
    path: PathBuf,
}

/// Runs `test` on an empty database, which is removed however the test ends.
pub fn on<Test: AsyncFnOnce(Bed)>(database: Database, test: Test) {
    let runtime = runtime();
    with_database(&runtime, database, |bed| {
        let in_time = runtime.block_on(async { tokio::time::timeout(DEADLINE, test(bed)).await });
        in_time.expect("the promise is kept before the deadline");
    });
}

/// Runs `test` on two empty databases, which are removed however it ends.
pub fn on_two<Test: AsyncFnOnce(Bed, Bed)>(one: Database, other: Database, test: Test) {
    let runtime = runtime();
    with_database(&runtime, one, |one| {
        with_database(&runtime, other, |other| {
            let in_time = runtime.block_on(async { tokio::time::timeout(DEADLINE, test(one, other)).await });
            in_time.expect("the promise is kept before the deadline");
        });
    });
}

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Gives `test` an empty database and removes it afterwards.
pub fn with_database<Answer>(runtime: &Runtime, database: Database, test: impl FnOnce(Bed) -> Answer) -> Answer {
    match database {
        Database::Sqlite => {
            let folder = TempDir::new().expect("a temporary folder");
            let path = folder.path().join("giftd.db");
            test(Bed { database, url: format!("sqlite:{}", path.display()), path })
        }
        Database::Postgres => {
            let server = server();
            let name = format!("giftd_test_{}_{:016x}", std::process::id(), RandomState::new().hash_one(0));
            runtime.block_on(postgres(&server, &format!("CREATE DATABASE {name}")));
            let bed = Bed { database, url: url_of(&server, &name), path: PathBuf::new() };
            let outcome = catch_unwind(AssertUnwindSafe(|| test(bed)));
            runtime.block_on(postgres(&server, &format!("DROP DATABASE {name} WITH (FORCE)")));
            outcome.unwrap_or_else(|panic| resume_unwind(panic))
        }
    }
}

/// The server that `scripts/test` starts.
pub fn server() -> String {
    std::env::var("TEST_POSTGRES_URL").expect("run scripts/test: it starts a PostgreSQL for the tests")
}

/// `server` with another database's name.
fn url_of(server: &str, name: &str) -> String {
    let (address, options) =
        server.split_once('?').map_or((server, None), |(address, options)| (address, Some(options)));
    let host = address.rsplit_once('/').map(|(host, _)| host).expect("TEST_POSTGRES_URL names a database");
    options.map_or(format!("{host}/{name}"), |options| format!("{host}/{name}?{options}"))
}

async fn postgres(url: &str, sql: &str) {
    connect(url).await.batch_execute(sql).await.expect(sql);
}

/// A connection beside the store's.
async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("PostgreSQL answers");
    tokio::spawn(connection);
    client
}

impl Bed {
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The store of the database, as a server or command opens it. A second one is a second node.
    pub async fn open(&self) -> Arc<dyn Store> {
        giftd_store::open(&self.url, limits::GROUP_ORDERS).await.expect("the store opens")
    }

    /// Another file in the folder of SQLite's, which isn't there yet.
    pub fn beside(&self, name: &str) -> Self {
        let path = self.path.with_file_name(name);
        Self { database: Database::Sqlite, url: format!("sqlite:{}", path.display()), path }
    }

    pub fn sqlite(&self) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(&self.path).expect("SQLite's file opens");
        connection.busy_timeout(Duration::from_secs(30)).expect("a busy timeout");
        connection
    }

    /// Executes statements that both databases understand, behind the store's back.
    pub async fn execute(&self, sql: &str) {
        match self.database {
            Database::Sqlite => self.sqlite().execute_batch(sql).expect(sql),
            Database::Postgres => postgres(&self.url, sql).await,
        }
    }

    /// Executes a statement where no lock is in its way, else says so.
    pub async fn try_at_once(&self, sql: &str) -> Result<(), String> {
        match self.database {
            Database::Sqlite => {
                let sqlite = self.sqlite();
                sqlite.busy_timeout(Duration::ZERO).expect("no wait");
                sqlite.execute_batch(sql).map_err(|error| error.to_string())
            }
            Database::Postgres => {
                let client = connect(&self.url).await;
                client.batch_execute("SET lock_timeout = '50ms'").await.expect("a setting");
                let done = client.batch_execute(sql).await;
                done.map_err(|error| {
                    error.as_db_error().map_or_else(|| error.to_string(), |db| db.message().to_owned())
                })
            }
        }
    }

    /// The one integer that a query finds.
    pub async fn number(&self, sql: &str) -> i64 {
        match self.database {
            Database::Sqlite => self.sqlite().query_row(sql, [], |row| row.get(0)).expect(sql),
            Database::Postgres => connect(&self.url).await.query_one(sql, &[]).await.expect(sql).get(0),
        }
    }

    /// The names of all tables, as the database itself lists them.
    pub async fn tables(&self) -> BTreeSet<String> {
        match self.database {
            Database::Sqlite => {
                let sqlite = self.sqlite();
                let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
                let mut statement = sqlite.prepare(sql).expect(sql);
                let names = statement.query_map([], |row| row.get(0)).expect(sql);
                names.collect::<Result<_, _>>().expect("names")
            }
            Database::Postgres => {
                let sql = "SELECT table_name::TEXT FROM information_schema.tables WHERE table_schema = 'public'";
                let rows = connect(&self.url).await.query(sql, &[]).await.expect(sql);
                rows.iter().map(|row| row.get(0)).collect()
            }
        }
    }

    /// The tables of which some row has `text` in some column, in any case.
    pub async fn mentioning(&self, text: &str) -> Vec<String> {
        let (text, all) = (text.to_lowercase(), self.tables().await);
        match self.database {
            Database::Sqlite => {
                let connection = self.sqlite();
                let list = |sql: &str| -> Vec<String> {
                    let mut statement = connection.prepare(sql).expect(sql);
                    statement.query_map([], |row| row.get(0)).expect(sql).collect::<Result<_, _>>().expect(sql)
                };
                let mut tables: Vec<String> = all.into_iter().collect();
                tables.retain(|table| {
                    let columns = list(&format!("SELECT name FROM pragma_table_info('{table}')"));
                    let has = |column: String| format!("instr(lower(CAST({column} AS TEXT)), '{text}') > 0");
                    let any = columns.into_iter().map(has).collect::<Vec<_>>().join(" OR ");
                    !list(&format!("SELECT 'one' FROM {table} WHERE {any} LIMIT 1")).is_empty()
                });
                tables
            }
            Database::Postgres => {
                let client = connect(&self.url).await;
                let mut tables = Vec::new();
                for table in all {
                    let find = format!("SELECT 1 FROM {table} t WHERE lower(t::TEXT) LIKE '%' || $1 || '%' LIMIT 1");
                    if !client.query(&find, &[&text]).await.expect(&find).is_empty() {
                        tables.push(table);
                    }
                }
                tables
            }
        }
    }

    /// Keeps every writer waiting until the hold is released.
    pub async fn hold_writes(&self) -> Hold {
        match self.database {
            Database::Sqlite => {
                let connection = self.sqlite();
                connection.execute_batch("BEGIN IMMEDIATE").expect("a write lock");
                Hold::Sqlite(connection)
            }
            Database::Postgres => {
                let client = connect(&self.url).await;
                client.batch_execute("BEGIN; LOCK TABLE accounts IN EXCLUSIVE MODE").await.expect("a table lock");
                Hold::Postgres(client)
            }
        }
    }
}

/// A lock that no write passes.
pub enum Hold {
    Sqlite(rusqlite::Connection),
    Postgres(tokio_postgres::Client),
}

impl Hold {
    pub async fn release(self) {
        match self {
            Self::Sqlite(connection) => connection.execute_batch("ROLLBACK").expect("the lock is given back"),
            Self::Postgres(client) => client.batch_execute("ROLLBACK").await.expect("the lock is given back"),
        }
    }
}
