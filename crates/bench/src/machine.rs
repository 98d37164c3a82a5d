//! What the machine is, and what it was busy with: the server's CPU time and memory, and how much of the
//! CPU others took while something was measured.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System};
use tokio::task::JoinHandle;
use tokio::time::interval;

/// Share of the machine's CPU, taken by others, from which on a round says little.
pub const NOISY: f64 = 0.10;
/// How often the server's memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Milliseconds of one unit in /proc/stat, fixed by Linux's interface.
const TICK_MILLISECONDS: u64 = 10;
/// The parent of the kernel's own threads, which write what we commit: their time isn't foreign.
const KERNEL_THREADS: u32 = 2;

const MIB: f64 = 1024.0 * 1024.0;

/// The machine in a line: processors, memory, system and the file system that `folder` is in.
pub fn describe(folder: &Path) -> Result<String> {
    let kinds =
        RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()).with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(kinds)?;
    let cpus = system.cpus();
    let processor = cpus.first().map(|cpu| cpu.brand().trim()).unwrap_or_default();
    let memory = (system.total_memory() as f64 / MIB / 1024.0).round();
    let kernel = System::kernel_version().unwrap_or_default();
    let name = System::name().unwrap_or_default();
    let file_system = file_system(folder).unwrap_or_else(|| "unknown file system".to_owned());
    Ok(format!("{} × {processor}, {memory} GiB, {file_system}, {name} with kernel {kernel}", cpus.len()))
}

/// The type of the file system of `folder`, where the system tells: nothing is durable in `tmpfs`.
pub fn file_system(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((Path::new(fields.next()?), fields.next()?))
        })
        .filter(|(mounted, _)| folder.starts_with(mounted))
        // Of the same depth, the last one covers the others.
        .max_by_key(|(mounted, _)| mounted.components().count())
        .map(|(_, kind)| kind.to_owned())
}

/// Resident memory of a process, in MiB.
pub fn resident_mib(pid: u32) -> Result<f64> {
    let pid = Pid::from_u32(pid);
    let mut system = System::new_with_specifics(RefreshKind::nothing())?;
    system.refresh_processes_specifics(
        ProcessesToUpdate::Some(&[pid]),
        true,
        ProcessRefreshKind::nothing().with_memory().without_tasks(),
    );
    Ok(system.process(pid).context("the server is gone")?.memory() as f64 / MIB)
}

/// What was used between two moments.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// The servers' CPU time: 1 is one core all the time.
    pub server_cores: f64,
    /// The load generator's, in the same unit.
    pub generator_cores: f64,
    /// The most that was resident of the servers together, in MiB; 0 where there is none.
    pub server_peak_mib: f64,
    /// Part of the machine's CPU time that went to neither the benchmark nor what it started nor the
    /// kernel; none where the system doesn't tell.
    pub foreign_share: Option<f64>,
}

impl Usage {
    /// Whether others took so much that the figures say little.
    pub fn is_noisy(&self) -> bool {
        self.foreign_share.is_some_and(|share| share > NOISY)
    }
}

/// Measures from its start to its end.
pub struct Meter {
    began: Instant,
    at_start: Moment,
    servers: Vec<u32>,
    cluster: Option<u32>,
    peak: Option<JoinHandle<f64>>,
    stop: tokio::sync::watch::Sender<bool>,
}

impl Meter {
    /// Begins. `servers` are giftd's processes; `cluster` is PostgreSQL's first.
    pub fn start(servers: impl IntoIterator<Item = u32>, cluster: Option<u32>) -> Result<Self> {
        let servers: Vec<u32> = servers.into_iter().collect();
        let stop = tokio::sync::watch::Sender::new(false);
        let mut stopped = stop.subscribe();
        let peak = (!servers.is_empty()).then(|| {
            let servers = servers.clone();
            tokio::spawn(async move {
                let (mut peak, mut ticks) = (0.0_f64, interval(LOOK_EVERY));
                while !*stopped.borrow_and_update() {
                    peak = peak.max(servers.iter().map(|pid| resident_mib(*pid).unwrap_or_default()).sum());
                    tokio::select! {
                        _ = ticks.tick() => {}
                        _ = stopped.changed() => {}
                    }
                }
                peak
            })
        });
        Ok(Self { began: Instant::now(), at_start: Moment::now()?, servers, cluster, peak, stop })
    }

    /// Ends.
    pub async fn stop(self) -> Result<Usage> {
        let (passed, at_end) = (self.began.elapsed(), Moment::now()?);
        self.stop.send_replace(true);
        let server_peak_mib = match self.peak {
            Some(peak) => peak.await?,
            None => 0.0,
        };
        let cores = |used: Duration| used.as_secs_f64() / passed.as_secs_f64();
        let servers: Vec<Pid> = self.servers.into_iter().map(Pid::from_u32).collect();
        let generator = Pid::from_u32(std::process::id());
        let roots: Vec<Pid> = [generator, Pid::from_u32(KERNEL_THREADS)]
            .into_iter()
            .chain(servers.iter().copied())
            .chain(self.cluster.map(Pid::from_u32))
            .collect();
        let own = at_end.used_since(&self.at_start, |pid| at_end.descends(pid, &roots));
        let machine = at_end.machine.zip(self.at_start.machine);
        let foreign_share = machine.map(|((busy, total), (busy_before, total_before))| {
            let foreign = busy.saturating_sub(busy_before).saturating_sub(own);
            foreign.as_secs_f64() / total.saturating_sub(total_before).as_secs_f64().max(f64::MIN_POSITIVE)
        });
        Ok(Usage {
            server_cores: cores(at_end.used_since(&self.at_start, |pid| servers.contains(&pid))),
            generator_cores: cores(at_end.used_since(&self.at_start, |pid| pid == generator)),
            server_peak_mib,
            foreign_share,
        })
    }
}

/// CPU time used until a moment.
struct Moment {
    /// By each process, and its parent.
    processes: HashMap<Pid, (Duration, Option<Pid>)>,
    /// By everything that runs, and what there was to use.
    machine: Option<(Duration, Duration)>,
}

impl Moment {
    fn now() -> Result<Self> {
        let machine = fs::read_to_string("/proc/stat").ok().and_then(|text| machine_time(&text));
        let kinds = ProcessRefreshKind::nothing().with_cpu().without_tasks();
        let system = System::new_with_specifics(RefreshKind::nothing().with_processes(kinds))?;
        let used = |process: &sysinfo::Process| Duration::from_millis(process.accumulated_cpu_time());
        let processes = system.processes().iter().map(|(pid, process)| (*pid, (used(process), process.parent())));
        Ok(Self { processes: processes.collect(), machine })
    }

    fn used_since(&self, earlier: &Self, of: impl Fn(Pid) -> bool) -> Duration {
        let used = |(pid, (used, _)): (&Pid, &(Duration, _))| {
            let before = earlier.processes.get(pid).map_or(Duration::ZERO, |(used, _)| *used);
            used.saturating_sub(before)
        };
        self.processes.iter().filter(|(pid, _)| of(**pid)).map(used).sum()
    }

    fn descends(&self, pid: Pid, roots: &[Pid]) -> bool {
        let mut at = Some(pid);
        while let Some(pid) = at {
            if roots.contains(&pid) {
                return true;
            }
            at = self.processes.get(&pid).and_then(|(_, parent)| *parent);
        }
        false
    }
}

/// Time that all processors were busy with processes, and that there was in all, from /proc/stat.
/// Interrupts are left out of the first: they are no process's, and on loopback they are our own packets.
fn machine_time(stat: &str) -> Option<(Duration, Duration)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks = line.split_whitespace().map(|field| field.parse().ok()).collect::<Option<Vec<u64>>>()?;
    let &[user, nice, system, idle, io_wait, interrupts, soft_interrupts, stolen, ..] = ticks.as_slice() else {
        return None;
    };
    let time = |ticks: u64| Duration::from_millis(ticks * TICK_MILLISECONDS);
    let busy = user + nice + system + stolen;
    Some((time(busy), time(busy + idle + io_wait + interrupts + soft_interrupts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interrupts_are_time_of_the_machine_but_of_no_process() {
        let stat = "cpu  100 10 40 500 20 3 7 5 0 0\ncpu0 50 5 20 250 10 1 3 2 0 0\n";
        assert_eq!(machine_time(stat), Some((Duration::from_millis(1_550), Duration::from_millis(6_850))));
        assert_eq!(machine_time("intr 1"), None);
    }

    #[test]
    fn what_we_start_is_ours_and_the_rest_foreign() {
        let moment = |own, child, other| Moment {
            processes: [(10, own, 1), (11, child, 10), (12, other, 1)]
                .into_iter()
                .map(|(pid, seconds, parent)| {
                    (Pid::from_u32(pid), (Duration::from_secs(seconds), Some(Pid::from_u32(parent))))
                })
                .collect(),
            machine: None,
        };
        let (before, after) = (moment(1, 1, 1), moment(3, 5, 9));
        let roots = [Pid::from_u32(10)];
        assert_eq!(after.used_since(&before, |pid| after.descends(pid, &roots)), Duration::from_secs(6));
    }
}
