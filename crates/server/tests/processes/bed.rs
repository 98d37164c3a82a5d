//! A working directory, a database, and processes of the binary in it.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use giftd::clock::Clock;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_postgres::NoTls;

/// After this long something that should happen doesn't.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Where the state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

/// A working directory with settings for its processes.
pub struct Bed {
    pub folder: TempDir,
    environment: Vec<(String, String)>,
    /// The PostgreSQL server and the name of the database there.
    server: Option<(String, String)>,
}

/// Runs `test` on an empty database and folder, which are removed however it ends.
pub fn on<Test: AsyncFnOnce(Bed)>(database: Database, test: Test) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let run = |runtime: &Runtime, server: Option<(String, String)>| {
        let bed = Bed::new(server);
        let in_time = runtime.block_on(async { tokio::time::timeout(DEADLINE * 4, test(bed)).await });
        in_time.expect("the test ends before the deadline");
    };
    match database {
        Database::Sqlite => run(&runtime, None),
        Database::Postgres => {
            let server =
                std::env::var("TEST_POSTGRES_URL").expect("run scripts/test: it starts a PostgreSQL for the tests");
            let name = format!("giftd_test_{}_{:016x}", std::process::id(), RandomState::new().hash_one(0));
            runtime.block_on(execute(&server, &format!("CREATE DATABASE {name}")));
            let outcome = catch_unwind(AssertUnwindSafe(|| run(&runtime, Some((server.clone(), name.clone())))));
            runtime.block_on(execute(&server, &format!("DROP DATABASE {name} WITH (FORCE)")));
            outcome.unwrap_or_else(|panic| resume_unwind(panic));
        }
    }
}

async fn execute(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("PostgreSQL answers");
    tokio::spawn(connection);
    client.batch_execute(sql).await.expect(sql);
}

/// What a command said.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// The one JSON document of standard output.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {self:#?}"))
    }
}

impl Bed {
    fn new(server: Option<(String, String)>) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let mut bed = Self { folder, environment: Vec::new(), server: server.clone() };
        bed.set("GIFTD_LISTEN", "127.0.0.1:0");
        bed.set("GIFTD_DELIVERY_LEASE", "2s");
        bed.set("GIFTD_MAIL_RETRY_BASE", "100ms");
        bed.set("GIFTD_RATE_LIMIT_PRODUCTION", "0");
        if let Some((server, name)) = server {
            let (host, _) = server.rsplit_once('/').expect("TEST_POSTGRES_URL names a database");
            bed.set("GIFTD_DATABASE_URL", &format!("{host}/{name}"));
        }
        bed
    }

    /// Sets something in the environment of all processes to come.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Lets nobody connect to the database any more and ends all connections, or lets them connect again.
    pub async fn database_is_there(&self, there: bool) {
        let (server, name) = self.server.as_ref().expect("only on PostgreSQL");
        execute(server, &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {there}")).await;
        if !there {
            let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
            execute(server, &end).await;
        }
    }

    /// Where the database is.
    pub fn database_url(&self) -> String {
        let set = self.environment.iter().find(|(name, _)| name == "GIFTD_DATABASE_URL");
        set.map_or_else(|| format!("sqlite:{}", self.data("giftd.db").display()), |(_, url)| url.clone())
    }

    /// A file or folder of the data directory.
    pub fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join("giftd-data").join(name)
    }

    /// The names of the captured mails.
    pub fn captured(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.data("mail/new")) else { return Vec::new() };
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_giftd"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIFTD_")) {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().cloned());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Answer {
        Answer::of(self.command(arguments).output().expect("the binary runs"))
    }

    /// Runs a command to its end that reads `input` from its standard input.
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Answer {
        let file = self.folder.path().join("input");
        std::fs::write(&file, input).expect("written");
        let input = File::open(&file).expect("a file");
        Answer::of(self.command(arguments).stdin(input).output().expect("the binary runs"))
    }

    /// Runs a command with `--json` that must succeed, and returns its document.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let answer = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(answer.code, 0, "{arguments:?}: {answer:#?}");
        answer.json()
    }

    /// Runs a command with `--json` that must fail with this code; returns the message.
    pub fn refused(&self, arguments: &[&str], error: &str) -> String {
        let answer = self.run(&[arguments, &["--json"]].concat());
        assert_ne!(answer.code, 0, "{arguments:?}: {answer:#?}");
        let document = answer.json();
        assert_eq!(document["error"], error, "{arguments:?}: {document:#}");
        document.to_string()
    }

    /// Starts `giftd serve`, and waits until it listens.
    pub fn serve(&self) -> Process {
        self.start(&["serve", "--json"])
    }

    /// Starts a process that prints a JSON document with its address and goes on.
    pub fn start(&self, arguments: &[&str]) -> Process {
        let log = self.folder.path().join("log");
        let stderr = OpenOptions::new().create(true).append(true).open(&log).expect("a log");
        let mut child = self.command(arguments).stdout(Stdio::piped()).stderr(stderr).spawn().expect("the binary runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut document = String::new();
        // The document ends with a line of just a brace; at the end of the process reading ends too.
        while !document.ends_with("\n}\n") {
            if stdout.read_line(&mut document).expect("readable") == 0 {
                child.wait().expect("it ends");
                panic!("{arguments:?} ended: {document}{}", text(&log));
            }
        }
        let document: Value = serde_json::from_str(&document).expect("a JSON document");
        let url = document["listening"].as_str().or(document["url"].as_str()).expect("a URL").to_owned();
        let address = url.trim_start_matches("http://").parse().expect("an address");
        Process { child, address, document, log }
    }

    /// An organization with 100,000.00 USD, a production app, and the demo's catalog and rates.
    pub fn prepare(&self) -> Credentials {
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo");
        self.json(&["catalog", "import", &demo.join("catalog.json").display().to_string()]);
        self.json(&["fx", "import", &demo.join("rates.csv").display().to_string()]);
        let organization = self.json(&["org", "create", "Acme"])["organizationId"].as_str().expect("an id").to_owned();
        self.json(&["balance", "credit", "--org", &organization, "--amount", "100000.00", "--reference", "funds"]);
        let scopes = "orders.read orders.write balance.read catalog.read";
        let app = self.json(&[
            "app",
            "create",
            "--org",
            &organization,
            "--environment",
            "production",
            "--name",
            "Payroll",
            "--scopes",
            scopes,
        ]);
        Credentials { client_id: string(&app["clientId"]), client_secret: string(&app["clientSecret"]) }
    }
}

/// An app of an organization.
pub struct Credentials {
    pub client_id: String,
    pub client_secret: String,
}

pub fn string(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text, not {value}")).to_owned()
}

fn text(path: &Path) -> String {
    let mut text = String::new();
    File::open(path).expect("a log").read_to_string(&mut text).expect("UTF-8");
    text
}

/// A running process; killed when dropped.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    /// What it printed when it was ready.
    pub document: Value,
    log: PathBuf,
}

impl Process {
    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// SIGTERM, without waiting for the end.
    pub fn terminate(&self) {
        let sent = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status().expect("kill runs");
        assert!(sent.success(), "{}", self.log());
    }

    /// Waits for the end, which must be a success.
    pub async fn ended(mut self) {
        let (clock, begun) = (Clock::system(), Instant::now());
        loop {
            if let Some(status) = self.child.try_wait().expect("a status") {
                assert!(status.success(), "{status}: {}", self.log());
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "it doesn't end: {}", self.log());
            clock.sleep(Duration::from_millis(20)).await;
        }
    }

    /// SIGTERM, and waits for the end.
    pub async fn stop(self) {
        self.terminate();
        self.ended().await;
    }

    /// What all processes of the folder have logged.
    pub fn log(&self) -> String {
        text(&self.log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
