//! Describes the machine, and how busy other processes keep it.

use std::fs;
use std::thread;

use rustix::system::uname;

use crate::clock::{now, used, used_by_children};
use crate::statistics::float;

/// The conditions of the figures.
#[derive(Debug)]
pub(crate) struct Machine {
    /// The kernel's release.
    pub kernel: String,
    /// The processor's name.
    pub processor: String,
    /// The number of CPUs this process may use.
    pub cores: usize,
    /// The load averages of 1, 5 and 15 minutes.
    pub load: String,
    /// The mean number of CPUs that other processes kept busy.
    pub others: f64,
}

/// The start of an observation of the machine.
#[derive(Debug)]
pub(crate) struct Watch {
    begin: u64,
    busy: u64,
    ours: u64,
}

/// The greatest load by other processes for reliable figures, in CPUs. Arbitrary: a twentieth of a
/// machine with two.
const QUIET: f64 = 0.1;

impl Watch {
    /// Starts an observation.
    pub(crate) fn start() -> Self {
        Self { begin: now(), busy: busy(), ours: ours() }
    }

    /// Returns the machine as it was since the start.
    pub(crate) fn read(&self) -> Machine {
        let passed = float((now() - self.begin).max(1));
        let others = busy().saturating_sub(self.busy).saturating_sub(ours() - self.ours);
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let processor =
            cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Machine {
            kernel: uname().release().to_string_lossy().into_owned(),
            processor: processor
                .map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.to_owned()),
            cores: thread::available_parallelism().map_or(1, usize::from),
            load: read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" "),
            others: float(others) / passed,
        }
    }
}

impl Machine {
    /// Returns `true` if other processes were nearly idle.
    pub(crate) fn is_quiet(&self) -> bool {
        self.others <= QUIET
    }
}

/// Returns the processor time of this program, in nanoseconds.
fn ours() -> u64 {
    used().cpu + used_by_children().cpu
}

/// Returns the time that processes, interrupts and the host have used since the boot, in
/// nanoseconds (`proc_stat(5)`).
fn busy() -> u64 {
    // /proc/stat counts hundredths of a second, whatever the kernel's tick.
    const TICK: u64 = 10_000_000;
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let columns = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    // user nice system (idle iowait) irq softirq steal
    columns
        .take(8)
        .enumerate()
        .filter(|(column, _)| !matches!(column, 3 | 4))
        .map(|(_, ticks)| ticks.parse().unwrap_or(0))
        .sum::<u64>()
        * TICK
}
