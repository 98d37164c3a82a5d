//! A PostgreSQL cluster that lives as long as the benchmark: durable, with the defaults of `initdb`,
//! reachable from this machine only.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

/// Its programs that are needed.
const PROGRAMS: [&str; 3] = ["initdb", "postgres", "pg_ctl"];
/// Where Debian and Ubuntu put each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// A port may be taken between looking for it and using it.
const STARTS: u32 = 5;

/// A running cluster; stopped and removed when dropped.
pub struct PostgresCluster {
    programs: PathBuf,
    owner: Option<Owner>,
    port: u16,
    /// The server's version, for the report.
    pub version: String,
    /// The process that all its others descend from.
    pub pid: u32,
    // Last: removed after `drop` has stopped the server.
    folder: TempDir,
}

/// Whom the cluster belongs to, where this process is root: PostgreSQL refuses to run as root, rightly.
#[derive(Clone, Copy)]
struct Owner {
    user: u32,
    group: u32,
}

impl PostgresCluster {
    /// Makes and starts one in a folder of its own under `parent`.
    pub fn start(parent: &Path) -> Result<Self> {
        let programs = find_programs()?;
        let folder = tempfile::Builder::new().prefix("giftd-bench-pg-").tempdir_in(parent)?;
        let owner = choose_owner(folder.path())?;
        let mut cluster = Self { programs, owner, port: 0, version: String::new(), pid: 0, folder };
        cluster.version = cluster.run("postgres", &["--version"])?;
        cluster.run("initdb", &["-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"])?;
        let mut result = Ok(());
        for _ in 0..STARTS {
            cluster.port = free_port()?;
            result = cluster.begin();
            if result.is_ok() {
                break;
            }
        }
        result.map(|()| cluster)
    }

    /// Starts the server again, where it was: once this returns it takes connections.
    pub fn begin(&mut self) -> Result<()> {
        let options = format!("-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories=", self.port);
        self.run("pg_ctl", &["-D", "data", "-l", "log", "-o", &options, "-w", "-t", "60", "start"])
            .with_context(|| fs::read_to_string(self.folder.path().join("log")).unwrap_or_default())?;
        let pid_file = fs::read_to_string(self.folder.path().join("data/postmaster.pid"))?;
        self.pid = pid_file.lines().next().unwrap_or_default().trim().parse().context("postmaster.pid has no pid")?;
        Ok(())
    }

    /// Ends all its processes without a word to their clients or to the disk: the next start recovers.
    pub fn crash(&self) -> Result<()> {
        self.run("pg_ctl", &["-D", "data", "-m", "immediate", "-w", "-t", "60", "stop"]).map(drop)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The URL of one of its databases; `postgres` is always there.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs one of its programs as the cluster's owner, and waits. Returns what it printed.
    fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(self.programs.join(program));
        command.args(arguments).current_dir(self.folder.path()).env("LC_ALL", "C");
        for (name, _) in std::env::vars_os() {
            // Nobody's PGPORT or PGDATA has a say here.
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        if let Some(Owner { user, group }) = self.owner {
            command.uid(user).gid(group);
        }
        // A server that pg_ctl leaves behind must not keep our pipes open.
        let said = tempfile::tempfile()?;
        let status = command.stdout(said.try_clone()?).stderr(said.try_clone()?).status();
        let status = status.with_context(|| format!("{program} doesn't start"))?;
        let text = read_from_start(said)?;
        if !status.success() {
            bail!("{program} failed: {}", text.trim());
        }
        Ok(text.trim().to_owned())
    }
}

impl Drop for PostgresCluster {
    fn drop(&mut self) {
        if self.folder.path().join("data/postmaster.pid").exists()
            && let Err(error) = self.crash()
        {
            eprintln!("giftd-bench: the PostgreSQL cluster in {} still runs: {error}", self.folder.path().display());
        }
    }
}

fn read_from_start(mut file: fs::File) -> Result<String> {
    use std::io::{Read as _, Seek as _};
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// The newest of Debian's, unless PATH has one.
fn find_programs() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut versions: Vec<PathBuf> = fs::read_dir(DEBIAN)
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    versions.sort_by_key(|bin| {
        let version = bin.parent().and_then(|folder| folder.file_name()?.to_str()?.parse::<u32>().ok());
        std::cmp::Reverse(version)
    });
    std::env::split_paths(&path)
        .chain(versions)
        .find(|folder| PROGRAMS.iter().all(|program| folder.join(program).is_file()))
        .with_context(|| {
            format!(
                "found no PostgreSQL server ({}) in PATH or {DEBIAN}/*/bin. Install it, on Debian: apt-get install postgresql",
                PROGRAMS.join(", ")
            )
        })
}

/// Whom the cluster will belong to; gives them the folder.
fn choose_owner(folder: &Path) -> Result<Option<Owner>> {
    let ours = fs::metadata(folder)?;
    if ours.uid() != 0 {
        return Ok(None);
    }
    for user in ["postgres", "nobody"] {
        if let (Some(id), Some(group)) = (id_of("-u", user), id_of("-g", user)) {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
            chown(folder, Some(id), Some(group))?;
            return Ok(Some(Owner { user: id, group }));
        }
    }
    bail!("running as root, which PostgreSQL won't, and there is no user postgres or nobody: run this as another user")
}

fn id_of(kind: &str, user: &str) -> Option<u32> {
    let Output { status, stdout, .. } = Command::new("id").args([kind, user]).output().ok()?;
    status.success().then(|| String::from_utf8(stdout).ok()?.trim().parse().ok()).flatten()
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
