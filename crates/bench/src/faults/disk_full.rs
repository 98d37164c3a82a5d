//! The disk with SQLite's database, its write-ahead log and the captured mail is full for a while, under load.
//! Orders must be refused with 503 and read all the same, and all goes on by itself when there is room.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use giftd::clock::Clock;
use hyper::{Method, StatusCode};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::FEW_CLIENTS;
use super::bed::{Bed, Outcome};
use super::client::Client;
use crate::load;
use crate::smtp_sink::Taken;

const TIMES: u32 = 3;
/// Orders between two times.
const ORDERS: u64 = 500;
/// How long there is no room.
const FULL: Duration = Duration::from_secs(6);
/// What the disk holds.
const MEBIBYTES: u32 = 256;

/// A small file system of its own; gone when dropped.
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Mounts one: only root may.
    pub fn mount() -> Result<Self> {
        let folder = TempDir::new()?;
        let size = format!("size={MEBIBYTES}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        let mounted = mounted.context("mount doesn't start")?;
        if !mounted.status.success() {
            bail!("needs root, to mount a small disk: {}", String::from_utf8_lossy(&mounted.stderr).trim());
        }
        Ok(Self { folder })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.folder.path()).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("giftd-bench: {} is still mounted", self.folder.path().display());
        }
    }
}

pub async fn run(bed: &mut Bed<'_>) -> Result<Outcome> {
    // No relay: mail is captured, on the same disk.
    bed.set("GIFTD_SMTP_URL", "");
    bed.set("SQLITE_TMPDIR", bed.database.folder.display().to_string());
    let node = bed.serve().await?;
    let clients = bed.clients(FEW_CLIENTS, &[node.address]).await?;
    let reads =
        Reads::start(Client::new(&[node.address], 0, &load::token(node.address, &bed.shop).await?)?, &bed.clock);
    let (mut recovered, mut freed) = (Vec::new(), Instant::now());
    for time in 1..=TIMES {
        bed.tell(format!("full {time} of {TIMES} times"));
        clients.place(ORDERS).await?;
        let ballast = bed.database.folder.join("ballast");
        let filled = ballast.clone();
        tokio::task::spawn_blocking(move || fill(&filled)).await??;
        reads.is_full.store(true, Ordering::Relaxed);
        bed.clock.sleep(FULL).await;
        reads.is_full.store(false, Ordering::Relaxed);
        fs::remove_file(&ballast)?;
        freed = Instant::now();
        recovered.push(clients.recovered(freed).await?);
    }
    let (read, failed) = reads.stop();
    let mut outcome = bed.finish(clients, vec![node], recovered, freed, captured).await?;
    outcome.notes.push(format!("while the disk was full the history was read {read} times, {failed} of them in vain"));
    if failed > 0 || read == 0 {
        outcome.audit.failures.push(format!("{failed} of {read} reads failed while the disk was full"));
    }
    if outcome.told.unavailable == 0 {
        outcome.audit.failures.push("no order was refused: the disk wasn't full".to_owned());
    }
    let database = rusqlite::Connection::open(bed.database.folder.join("giftd.db"))?;
    let integrity: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    outcome.notes.push(format!("SQLite's integrity_check: {integrity}"));
    if integrity != "ok" {
        outcome.audit.failures.push(format!("the database is damaged: {integrity}"));
    }
    Ok(outcome)
}

/// Writes until nothing fits any more.
fn fill(ballast: &Path) -> Result<()> {
    let mut file = File::create(ballast)?;
    for size in [1024 * 1024, 4096] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    Ok(())
}

/// The mails in the maildir, by recipient and `Message-ID`.
fn captured(bed: &Bed<'_>) -> Result<Taken> {
    let mut taken = Taken::default();
    let mails: PathBuf = bed.database.folder.join("mail/new");
    for mail in fs::read_dir(mails)? {
        let mail = fs::read_to_string(mail?.path())?;
        let of = |name: &str| {
            let value = mail.lines().take_while(|line| !line.is_empty()).find_map(|line| line.strip_prefix(name));
            value.with_context(|| format!("a mail without {name}"))
        };
        let to = of("To: ")?;
        let address = to.rsplit_once('<').map_or(to, |(_, address)| address.trim_end_matches('>'));
        taken.add(address, of("Message-ID: ")?);
    }
    Ok(taken)
}

/// Somebody who reads the history all the time.
struct Reads {
    is_full: Arc<AtomicBool>,
    counts: Arc<[AtomicU64; 2]>,
    reading: JoinHandle<()>,
}

impl Reads {
    fn start(mut client: Client, clock: &Clock) -> Self {
        let (is_full, counts) = (Arc::new(AtomicBool::new(false)), Arc::new([AtomicU64::new(0), AtomicU64::new(0)]));
        let reading = tokio::spawn({
            let (is_full, counts, clock) = (is_full.clone(), counts.clone(), clock.clone());
            async move {
                loop {
                    let answer = client.ask(Method::GET, "/api/v1/orders?pageSize=20", String::new()).await;
                    if is_full.load(Ordering::Relaxed) {
                        let failed = !answer.is_ok_and(|(status, _)| status == StatusCode::OK);
                        counts[0].fetch_add(1, Ordering::Relaxed);
                        counts[1].fetch_add(u64::from(failed), Ordering::Relaxed);
                    }
                    clock.sleep(Duration::from_millis(20)).await;
                }
            }
        });
        Self { is_full, counts, reading }
    }

    /// How many there were while the disk was full, and how many of them failed.
    fn stop(self) -> (u64, u64) {
        self.reading.abort();
        (self.counts[0].load(Ordering::Relaxed), self.counts[1].load(Ordering::Relaxed))
    }
}
