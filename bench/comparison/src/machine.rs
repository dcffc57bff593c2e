//! What machine is this, and does it have time for us?

use std::fs;
use std::thread;

use rustix::system::uname;

use crate::clock::{now, used, used_by_children};
use crate::figures::float;

/// What the figures depend on.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Its kernel.
    pub kernel: String,
    /// Its processor's name.
    pub processor: String,
    /// How many cores we may use.
    pub cores: usize,
    /// The load averages of 1, 5 and 15 minutes.
    pub load: String,
    /// How many cores others kept busy, on average.
    pub others: f64,
}

/// A moment from which on the others are watched.
#[derive(Debug)]
pub(crate) struct Watch {
    begin: u64,
    busy: u64,
    ours: u64,
}

/// Above this the figures are not worth much. Arbitrary: on two cores it is a twentieth of the
/// machine.
const QUIET: f64 = 0.1;

impl Watch {
    /// From now on.
    pub(crate) fn start() -> Self {
        Self { begin: now(), busy: busy(), ours: ours() }
    }

    /// The machine as it was since.
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
    /// Whether others left the machine to us.
    pub(crate) fn is_quiet(&self) -> bool {
        self.others <= QUIET
    }
}

fn ours() -> u64 {
    used().cpu + used_by_children().cpu
}

/// What all processes and interrupts have used since the machine was started, what its host took
/// included, in nanoseconds.
fn busy() -> u64 {
    const TICK: u64 = 10_000_000; // /proc/stat counts hundredths of a second, whatever the kernel's own tick is
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
