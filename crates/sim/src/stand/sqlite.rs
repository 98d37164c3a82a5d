//! SQLite: one process, whose writer is in our hands. It dies by leaving the files as they are at that moment.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

use anyhow::{Context as _, Result, bail};
use giftd_domain::Timestamp;
use giftd_domain::gifts::Reminders;
use giftd_store::{Pump, SqliteStore, StoreError};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::{Created, Misbehaved, Mishap, Outcome, REFUSED, create_organizations, outcome};
use crate::command::{Answer, Command};
use crate::rows::Eyes;
use crate::seen::{Scope, Seen, look};

/// One process on one file.
pub struct SqliteStand {
    runtime: Runtime,
    /// Dropped in this order: the pump's connection is the last of the process.
    process: Option<Process>,
    folder: TempDir,
}

struct Process {
    eyes: Eyes,
    store: Arc<SqliteStore>,
    pump: Pump,
}

/// What is asked for and not answered.
type Asked = Pin<Box<dyn Future<Output = Result<Answer, StoreError>>>>;

/// The files of a database in WAL mode, without what all processes share of it, which dies with them.
const FILES: [&str; 2] = ["giftd.db", "giftd.db-wal"];

impl SqliteStand {
    /// An empty database in a folder of its own, in memory where the system has such a place: what a dead process left
    /// in its files is all that counts here, not what a dead machine did.
    pub fn new(now: Timestamp) -> Result<(Self, Vec<Created>)> {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let mut stand = Self { runtime, process: None, folder: folder.context("no temporary folder")? };
        let organizations = stand.runtime.block_on(async {
            let store = SqliteStore::open(&stand.path(), 1).await?;
            create_organizations(&store, now).await
        })?;
        stand.start()?;
        Ok((stand, organizations))
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(FILES[0])
    }

    fn start(&mut self) -> Result<()> {
        let (store, pump) = SqliteStore::open_stepped(&self.path())?;
        let eyes = Connection::open_with_flags(self.path(), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        self.process = Some(Process { eyes: Eyes::Sqlite(eyes), store: Arc::new(store), pump });
        Ok(())
    }

    pub(super) fn reopen(&mut self) -> Result<()> {
        self.process = None;
        self.start()
    }

    pub(super) fn look(&self, scope: &Scope) -> Result<Seen> {
        let Some(Process { eyes, store, .. }) = &self.process else { bail!("the process is gone") };
        self.runtime.block_on(look(&**store, eyes, scope))
    }

    pub(super) fn ask(
        &mut self,
        commands: &[Command],
        reminders: &Reminders,
        together: usize,
        mishap: Mishap,
    ) -> Result<Result<Vec<Outcome>, Misbehaved>> {
        let Some(Process { store, pump, .. }) = &mut self.process else { bail!("the process is gone") };
        let mut asked: Vec<Asked> = Vec::new();
        for command in commands {
            let (command, store, reminders) = (command.clone(), Arc::clone(store), reminders.clone());
            let mut future: Asked = Box::pin(async move { command.ask(&*store, &reminders).await });
            if poll(&mut future).is_some() {
                bail!("{:?} doesn't wait for the writer", commands[asked.len()]);
            }
            asked.push(future);
        }
        let image = self.folder.path().join("image");
        let mut fault = Fault::new(pump, mishap)?;
        // How many ended in the files when the process died, if it did.
        let mut died = (mishap == Mishap::Killed { after: 0 }).then_some(0);
        let mut begun = 0;
        while died.is_none() && begun < commands.len() {
            fault.arm(begun);
            let Some(mut group) = pump.begin() else {
                // It was told that there is no transaction.
                begun += 1;
                continue;
            };
            let mut members = 1;
            loop {
                fault.disarm();
                if matches!(mishap, Mishap::KilledInGroup { after } if usize_of(after) == begun + members) {
                    copy(self.folder.path(), &image)?;
                    died = Some(begun);
                    break;
                }
                if members == together {
                    break;
                }
                fault.arm(begun + members);
                if !group.add_next() {
                    break;
                }
                members += 1;
            }
            fault.disarm();
            if died.is_some() {
                break;
            }
            let group = group.commit();
            if mishap == Mishap::KilledAfterCommit {
                copy(self.folder.path(), &image)?;
                died = Some(begun + members);
                break;
            }
            group.answer();
            begun += members;
        }
        fault.remove(pump)?;
        let mut outcomes = Vec::new();
        for (place, (command, mut future)) in commands.iter().zip(asked).enumerate() {
            // An answer that was lost reads like one that says that the writer is gone.
            let lost =
                died.map_or(Outcome::NotDone, |done| if place < done { Outcome::Untold } else { Outcome::NotDone });
            let heard = match poll(&mut future) {
                Some(answer) => outcome(command, answer, lost),
                None if died.is_some() => Ok(lost),
                None => bail!("{command:?} is never answered"),
            };
            match heard {
                Ok(heard) => outcomes.push(heard),
                Err(misbehaved) => return Ok(Err(misbehaved)),
            }
        }
        if died.is_some() {
            self.process = None;
            if image.is_dir() {
                self.restore(&image)?;
            }
            self.start()?;
        }
        Ok(Ok(outcomes))
    }

    /// The files as they were when the process died: what it did afterwards, closing them, never happened.
    fn restore(&self, image: &Path) -> Result<()> {
        for name in ["giftd.db", "giftd.db-wal", "giftd.db-shm"] {
            match std::fs::remove_file(self.folder.path().join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        copy(image, self.folder.path())?;
        std::fs::remove_dir_all(image)?;
        Ok(())
    }
}

/// Copies the database's files.
fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for name in FILES {
        if from.join(name).exists() {
            std::fs::copy(from.join(name), to.join(name))?;
        }
    }
    Ok(())
}

fn poll(future: &mut Asked) -> Option<Result<Answer, StoreError>> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

fn usize_of(number: u32) -> usize {
    usize::try_from(number).expect("32 bits")
}

/// What fails on the writer's connection.
struct Fault {
    mishap: Mishap,
    armed: Arc<AtomicBool>,
}

impl Fault {
    fn new(pump: &mut Pump, mishap: Mishap) -> Result<Self> {
        let armed = Arc::new(AtomicBool::new(false));
        match mishap {
            Mishap::Interrupted { after, .. } => {
                let (armed, left) = (Arc::clone(&armed), AtomicU32::new(after));
                let is_over = move || armed.load(Ordering::Relaxed) && left.fetch_sub(1, Ordering::Relaxed) == 1;
                pump.connection().progress_handler(1, Some(is_over))?;
            }
            Mishap::Full { pages } => {
                let connection = pump.connection();
                let used: u32 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
                connection.query_row(&format!("PRAGMA max_page_count = {}", used + pages), [], |_| Ok(()))?;
            }
            Mishap::Refused { after } => refuse(pump.connection(), after)?,
            _ => {}
        }
        Ok(Self { mishap, armed })
    }

    /// Before an operation.
    fn arm(&self, place: usize) {
        let is_meant = matches!(self.mishap, Mishap::Interrupted { operation, .. } if usize_of(operation) == place);
        self.armed.store(is_meant, Ordering::Relaxed);
    }

    fn disarm(&self) {
        self.armed.store(false, Ordering::Relaxed);
    }

    fn remove(&mut self, pump: &mut Pump) -> Result<()> {
        match self.mishap {
            Mishap::Interrupted { .. } => pump.connection().progress_handler(0, None::<fn() -> bool>)?,
            Mishap::Full { .. } => {
                pump.connection().query_row("PRAGMA max_page_count = 1073741823", [], |_| Ok(()))?;
            }
            Mishap::Refused { .. } => refuse_no_more(pump.connection())?,
            _ => {}
        }
        Ok(())
    }
}

/// Lets the connection refuse the row after so many. What is rolled back counts anew, so that the next operation may be
/// refused as well.
fn refuse(connection: &Connection, after: u32) -> Result<()> {
    let mut sql = format!("CREATE TEMP TABLE refused (after INTEGER); INSERT INTO refused VALUES ({after});");
    for table in
        names(connection, "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")?
    {
        for event in ["INSERT", "UPDATE", "DELETE"] {
            sql += &format!(
                "CREATE TEMP TRIGGER {table}_{event} BEFORE {event} ON main.{table} BEGIN
                    SELECT RAISE(ABORT, '{REFUSED}') FROM refused WHERE after = 0;
                    UPDATE refused SET after = after - 1;
                 END;"
            );
        }
    }
    Ok(connection.execute_batch(&sql)?)
}

fn refuse_no_more(connection: &Connection) -> Result<()> {
    for trigger in names(connection, "SELECT name FROM temp.sqlite_schema WHERE type = 'trigger'")? {
        connection.execute_batch(&format!("DROP TRIGGER temp.{trigger}"))?;
    }
    Ok(connection.execute_batch("DROP TABLE temp.refused")?)
}

fn names(connection: &Connection, sql: &str) -> Result<Vec<String>> {
    let mut statement = connection.prepare(sql)?;
    Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}
