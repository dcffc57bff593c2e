//! Reads what the threads of another process have used: wake-ups and processor time (`proc(5)`).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use shmlock_bench_support::Result;

use crate::clock::now;
use crate::statistics::float;

/// Tells whether the kernel keeps the processor time of each thread in nanoseconds.
pub(crate) const SCHEDSTAT: &str = "/proc/self/schedstat";

/// What one thread has used since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Task {
    /// Voluntary context switches: each is followed by a wake-up. A thread that was preempted is
    /// resumed, not woken.
    pub switches: u64,
    /// Processor time, in nanoseconds.
    pub cpu: u64,
}

/// What all threads of a process had used at one time.
#[derive(Debug)]
pub(crate) struct Sample {
    /// The time of the reading, in nanoseconds.
    at: u64,
    tasks: BTreeMap<u32, Task>,
}

/// The use of one or several processes, for each second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rates {
    /// The number of wake-ups.
    pub wake_ups: f64,
    /// Processor time, in nanoseconds.
    pub cpu: f64,
}

impl Sample {
    /// Reads the threads of this process.
    pub(crate) fn read(process: u32) -> Result<Self> {
        let at = now();
        let mut tasks = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{process}/task"))? {
            let entry = entry?;
            let name = entry.file_name().into_string().unwrap_or_default();
            let Some(task) = read(&entry.path())? else { continue };
            tasks.insert(name.parse()?, task);
        }
        Ok(Self { at, tasks })
    }

    /// Returns the use since `earlier`. A thread that has ended since then does not count; a thread
    /// that has started counts in full.
    pub(crate) fn since(&self, earlier: &Self) -> Rates {
        let used = |of: fn(&Task) -> u64| {
            let of_task = |(id, task): (&u32, &Task)| {
                of(task).saturating_sub(earlier.tasks.get(id).map_or(0, of))
            };
            float(self.tasks.iter().map(of_task).sum())
        };
        let seconds = float(self.at.saturating_sub(earlier.at).max(1)) / 1e9;
        Rates {
            wake_ups: used(|task| task.switches) / seconds,
            cpu: used(|task| task.cpu) / seconds,
        }
    }
}

impl std::iter::Sum for Rates {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            wake_ups: sum.wake_ups + one.wake_ups,
            cpu: sum.cpu + one.cpu,
        })
    }
}

/// Reads one thread; returns `None` if it ends meanwhile.
fn read(directory: &Path) -> Result<Option<Task>> {
    let text = |name| match fs::read_to_string(directory.join(name)) {
        Ok(text) => Ok(Some(text)),
        // ENOENT before the opening, ESRCH after it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        Err(error) => Err(error),
    };
    let (Some(status), Some(schedstat)) = (text("status")?, text("schedstat")?) else {
        return Ok(None);
    };
    let switches = switches(&status).ok_or("/proc/PID/task/TID/status has no context switches")?;
    let cpu = cpu(&schedstat).ok_or("/proc/PID/task/TID/schedstat has no processor time")?;
    Ok(Some(Task { switches, cpu }))
}

/// Returns the number of voluntary context switches in a `status` file.
fn switches(status: &str) -> Option<u64> {
    let text = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    text.trim().parse().ok()
}

/// Returns the first number of a `schedstat` file: nanoseconds on a processor.
fn cpu(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: u64, tasks: &[(u32, u64, u64)]) -> Sample {
        let tasks =
            tasks.iter().map(|(id, switches, cpu)| (*id, Task { switches: *switches, cpu: *cpu }));
        Sample { at, tasks: tasks.collect() }
    }

    #[test]
    fn a_voluntary_context_switch_counts_and_a_preemption_does_not() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n";
        assert_eq!(switches(status), Some(12));
        assert_eq!(switches("Name:\tx\n"), None);
        assert_eq!(cpu("5000 20 7\n"), Some(5000));
    }

    #[test]
    fn rates_are_for_each_second_and_know_threads_that_start_or_end() {
        let before = sample(1_000_000_000, &[(1, 10, 100), (2, 50, 700)]);
        let after = sample(3_000_000_000, &[(1, 14, 300), (3, 6, 40)]);
        assert_eq!(after.since(&before), Rates { wake_ups: 5.0, cpu: 120.0 });
        let twice: Rates = [after.since(&before); 2].into_iter().sum();
        assert_eq!(twice, Rates { wake_ups: 10.0, cpu: 240.0 });
    }

    #[test]
    fn the_sleep_of_this_process_is_a_wake_up() {
        let before = Sample::read(std::process::id()).expect("/proc is mounted");
        for _ in 0..20 {
            std::thread::sleep(std::time::Duration::from_millis(1)); // the event that is counted
        }
        let after = Sample::read(std::process::id()).expect("/proc is mounted");
        let seconds = float(after.at - before.at) / 1e9;
        assert!(after.since(&before).wake_ups * seconds >= 19.5);
    }
}
