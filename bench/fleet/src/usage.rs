//! Counts the wake-ups and the processor time of another process, over all of its threads.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use shmlock_bench_support::Result;

/// What a process has used.
#[derive(Clone, Copy, Default)]
pub(crate) struct Used {
    /// Voluntary context switches: each is followed by a wake-up.
    pub(crate) wake_ups: u64,
    pub(crate) time: Duration,
}

/// The account of a process. A thread counts until the last [`look`](Self::look) that saw it.
pub(crate) struct Account {
    pid: u32,
    begin: Used,
    threads: BTreeMap<String, Used>,
}

impl Account {
    pub(crate) fn open(pid: u32) -> Result<Self> {
        let mut account = Self { pid, begin: Used::default(), threads: BTreeMap::new() };
        account.look()?;
        account.begin = account.sum();
        Ok(account)
    }

    /// Reads the threads of the process.
    pub(crate) fn look(&mut self) -> Result<()> {
        for thread in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let thread = thread?;
            // A thread that has ended since the listing keeps its last values.
            if let Some(used) = read(&thread.path()) {
                self.threads.insert(thread.file_name().to_string_lossy().into_owned(), used);
            }
        }
        Ok(())
    }

    /// Returns what the process has used between the opening and the last look.
    pub(crate) fn used(&self) -> Used {
        let Used { wake_ups, time } = self.sum();
        let time = time.saturating_sub(self.begin.time);
        Used { wake_ups: wake_ups - self.begin.wake_ups, time }
    }

    fn sum(&self) -> Used {
        self.threads.values().fold(Used::default(), |sum, one| Used {
            wake_ups: sum.wake_ups + one.wake_ups,
            time: sum.time + one.time,
        })
    }
}

/// Reads a thread's counters (`proc_pid_status(5)`, `Documentation/scheduler/sched-stats.rst`).
fn read(thread: &Path) -> Option<Used> {
    let status = fs::read_to_string(thread.join("status")).ok()?;
    let wake_ups = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    let schedstat = fs::read_to_string(thread.join("schedstat")).ok()?;
    let nanoseconds = schedstat.split(' ').next()?.parse().ok()?;
    Some(Used { wake_ups: wake_ups.trim().parse().ok()?, time: Duration::from_nanos(nanoseconds) })
}
