//! Compares what a large crowd of waiters needs with the limits of this system.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::tasks::SCHEDSTAT;

/// The most descriptors that this program asks for. Arbitrary: three times its largest need.
const DESCRIPTORS: u64 = 30_000;

/// What a measurement needs at the same time. Zero: as little as any program.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Needs {
    /// Descriptors of one process.
    pub descriptors: u64,
    /// Processes and threads, together.
    pub tasks: u64,
    /// Mappings of one process.
    pub mappings: u64,
    /// Memory of all processes, in bytes.
    pub memory: u64,
    /// The processor time of each thread in nanoseconds.
    pub schedstat: bool,
}

/// The limits; `None` if there is none, or if the system does not tell.
#[derive(Clone, Copy, Debug, Default)]
struct Limits {
    descriptors: Option<u64>,
    tasks: Option<u64>,
    mappings: Option<u64>,
    memory: Option<u64>,
    has_schedstat: bool,
}

/// Raises the limit of descriptors of this process, which its children inherit. A failure leaves
/// the limit as it is.
pub(crate) fn raise_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(DESCRIPTORS, |most| most.min(DESCRIPTORS));
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted);
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

impl Needs {
    /// Returns why this system does not satisfy the needs; `None` if it does.
    pub(crate) fn refusal(self) -> Option<String> {
        self.refusal_by(Limits::read())
    }

    fn refusal_by(self, limits: Limits) -> Option<String> {
        let lacking = |need: u64, limit: Option<u64>| limit.filter(|limit| need > *limit);
        if let Some(limit) = lacking(self.descriptors, limits.descriptors) {
            return Some(format!(
                "needs {} descriptors, the limit is {limit} (ulimit -Hn)",
                self.descriptors
            ));
        }
        if let Some(limit) = lacking(self.tasks, limits.tasks) {
            return Some(format!(
                "needs {} processes and threads, the limit is {limit} (ulimit -u, pids.max, \
                 kernel.threads-max or kernel.pid_max)",
                self.tasks
            ));
        }
        if let Some(limit) = lacking(self.mappings, limits.mappings) {
            return Some(format!(
                "needs {} mappings, the limit is {limit} (vm.max_map_count)",
                self.mappings
            ));
        }
        if let Some(limit) = lacking(self.memory, limits.memory) {
            let mebibytes = |bytes| bytes >> 20;
            return Some(format!(
                "needs {} MiB of memory, {} MiB are available",
                mebibytes(self.memory),
                mebibytes(limit)
            ));
        }
        (self.schedstat && !limits.has_schedstat).then(|| format!("the kernel has no {SCHEDSTAT}"))
    }
}

impl Limits {
    fn read() -> Self {
        let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
        let cgroup = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let cgroup = cgroup.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
        let tasks = [
            getrlimit(Resource::Nproc).current,
            number("/proc/sys/kernel/threads-max"),
            number("/proc/sys/kernel/pid_max"),
            number(&format!("/sys/fs/cgroup/{cgroup}/pids.max")),
        ];
        Self {
            descriptors: getrlimit(Resource::Nofile).current,
            tasks: tasks.into_iter().flatten().min(),
            mappings: number("/proc/sys/vm/max_map_count"),
            memory: available(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
            has_schedstat: Path::new(SCHEDSTAT).exists(),
        }
    }
}

/// Returns the available memory by the text of `/proc/meminfo`, in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_need_the_limit_and_where_to_raise_it() {
        let needs = Needs { descriptors: 7100, tasks: 3501, ..Needs::default() };
        let limits = Limits { descriptors: Some(4096), tasks: Some(99), ..Limits::default() };
        let wanted = "needs 7100 descriptors, the limit is 4096 (ulimit -Hn)";
        assert_eq!(needs.refusal_by(limits).as_deref(), Some(wanted));
        let limits = Limits { descriptors: Some(7100), tasks: Some(99), ..Limits::default() };
        let refusal = needs.refusal_by(limits).expect("99 are too few");
        assert!(refusal.starts_with("needs 3501 processes and threads, the limit is 99"));
    }

    #[test]
    fn an_unknown_limit_refuses_nothing() {
        let needs = Needs { descriptors: 1, tasks: 1, mappings: 1, memory: 1, schedstat: false };
        assert_eq!(needs.refusal_by(Limits::default()), None);
        let needs = Needs { schedstat: true, ..needs };
        assert!(needs.refusal_by(Limits::default()).is_some());
    }

    #[test]
    fn available_memory_is_read_in_bytes() {
        let meminfo = "MemTotal:       100 kB\nMemAvailable:    64 kB\n";
        assert_eq!(available(meminfo), Some(65_536));
        assert_eq!(available("MemTotal: 100 kB\n"), None);
    }
}
