//! Reads the state of processes from /proc, proc(5).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write;
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::limits::until;

/// Returns how often its first thread went to sleep voluntarily, since it began.
///
/// # Panics
/// If it is gone.
#[must_use]
pub fn voluntary_sleeps(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a living process");
    let sleeps = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    sleeps.and_then(|sleeps| sleeps.trim().parse().ok()).expect("Linux counts them")
}

/// Returns how often all its threads together went to sleep voluntarily, since each began. It falls
/// when a thread ends.
///
/// # Panics
/// If it is gone.
#[must_use]
pub fn sleeps_of_all_threads(pid: u32) -> u64 {
    sleeps_of_threads(pid).values().sum()
}

/// Returns how often each of its threads went to sleep voluntarily, since it began, by its number.
///
/// # Panics
/// If the process is gone.
fn sleeps_of_threads(pid: u32) -> BTreeMap<OsString, u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a living process").flatten();
    let count = |status: String| -> Option<u64> {
        let mut lines = status.lines();
        lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?.trim().parse().ok()
    };
    // A thread may end meanwhile.
    let status = |task: &fs::DirEntry| fs::read_to_string(task.path().join("status")).ok();
    tasks.filter_map(|task| Some((task.file_name(), count(status(&task)?)?))).collect()
}

/// Waits until all its threads sleep, and have slept for a while: what began has ended.
///
/// That none goes to sleep does not suffice: on a busy machine a thread waits for a processor for
/// as long.
pub fn comes_to_rest(pid: u32) {
    /// Longer than the pauses between the steps of anything that begins.
    const REST: Duration = Duration::from_millis(60);
    until(|| {
        let before = sleeps_of_threads(pid);
        thread::sleep(REST); // the window in which nothing happens
        // In this order: a thread that went to sleep before its state was read is counted.
        !works(pid) && sleeps_of_threads(pid) == before
    });
}

/// Waits until these processes sleep, and their watches have looked for the last time: then only an
/// event makes them look again. Each tick is a sleep of their threads, and two ticks look.
pub fn wait_for_events_alone(pids: &[u32]) {
    for pid in pids {
        comes_to_rest(*pid);
    }
    let at_rest: Vec<_> = pids.iter().map(|pid| sleeps_of_all_threads(*pid)).collect();
    for (pid, at_rest) in pids.iter().zip(at_rest) {
        until(|| sleeps_of_all_threads(*pid) >= at_rest + 4);
    }
}

/// Checks that its threads together wake once a second at most while nothing happens to it, in a
/// window of this length. One more wake-up may be at an end of the window, and as many again for
/// what else the system may do to a thread. The window is longer on a busy machine.
///
/// # Panics
/// If it wakes more often.
pub fn wakes_once_a_second(pid: u32, window: Duration) {
    let (begin, before) = (Instant::now(), sleeps_of_threads(pid));
    thread::sleep(window); // the window
    let (after, took) = (sleeps_of_threads(pid), begin.elapsed());
    // Thread by thread: one that has ended meanwhile takes none of the others' away.
    let earlier = |thread| before.get(thread).copied().unwrap_or(0);
    let sleeps: u64 =
        after.iter().map(|(thread, sleeps)| sleeps.saturating_sub(earlier(thread))).sum();
    assert!(sleeps <= 2 * (took.as_secs() + 1), "{sleeps} in {took:?}");
}

/// Returns `true` if one of its threads runs, or waits for a processor, or for memory or a disk.
fn works(pid: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a living process").flatten();
    // A thread may end meanwhile.
    let mut stats = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    stats.any(|stat| shows_state(&stat, 'R') || shows_state(&stat, 'D'))
}

/// Returns `true` if it is stopped by a signal. Until then it may read typed input.
#[must_use]
pub fn is_stopped(pid: u32) -> bool {
    is_in_state(pid, 'T')
}

/// Waits until all other threads of this process sleep: then none has a lock of libc's, which a
/// child of the bare clone(2) would find taken for ever. (fork(3) waits for those locks itself.)
///
/// # Panics
/// If /proc is not there.
pub(crate) fn other_threads_sleep() {
    until(|| {
        let tasks = fs::read_dir("/proc/self/task").expect("/proc").flatten();
        // A thread may end meanwhile.
        let stats = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
        stats.filter(|stat| !shows_state(stat, 'S')).count() == 1 // this thread
    });
}

/// Returns `true` if its first thread sleeps in any call.
#[must_use]
pub fn sleeps(pid: u32) -> bool {
    is_in_state(pid, 'S')
}

fn is_in_state(pid: u32, state: char) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| shows_state(&stat, state))
}

/// Returns `true` if this file `stat` shows this state of a process or thread.
fn shows_state(stat: &str, state: char) -> bool {
    // The name before the state may contain anything.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(state))
}

/// The number of futex(2) on x86-64, which /proc shows if an emulator on such a machine sleeps.
const SYS_FUTEX_OF_HOST: libc::c_long = 202;

/// Returns `true` if its first thread sleeps in futex(2).
#[must_use]
pub fn sleeps_on_a_word(pid: u32) -> bool {
    let call = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    let call = call.split_whitespace().next().and_then(|call| call.parse().ok());
    call.is_some_and(|call: libc::c_long| [libc::SYS_futex, SYS_FUTEX_OF_HOST].contains(&call))
}

/// Returns how many threads of this process have this name.
///
/// # Panics
/// If /proc is not there.
#[must_use]
pub fn threads_named(name: &str) -> usize {
    let names = fs::read_dir("/proc/self/task").expect("/proc").flatten();
    let names = names.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|found| found.trim_end() == name).count()
}

/// Returns `true` if a thread of this process with this name sleeps in `futex_waitv(2)`.
///
/// # Panics
/// If /proc is not there.
#[must_use]
pub fn sleeps_on_words(thread: &str) -> bool {
    let read = |path: std::path::PathBuf| fs::read_to_string(path).unwrap_or_default();
    fs::read_dir("/proc/self/task").expect("/proc").flatten().map(|task| task.path()).any(|task| {
        let call =
            read(task.join("syscall")).split_whitespace().next().and_then(|call| call.parse().ok());
        read(task.join("comm")).trim_end() == thread && call == Some(libc::SYS_futex_waitv)
    })
}

/// Returns `true` if the kernel shows what [`sleeps_on_a_word`] reads.
#[must_use]
pub(crate) fn shows_calls() -> bool {
    fs::exists("/proc/self/syscall").unwrap_or(false)
}

/// Waits until its first thread sleeps in futex(2).
pub fn falls_asleep_on_a_word(pid: u32) {
    until(|| sleeps_on_a_word(pid));
}

/// Returns how many descriptors it has open.
///
/// # Panics
/// If it is gone.
#[must_use]
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("a living process").count()
}

/// Returns how many inotify instances all its threads together have open, in whatever table.
#[must_use]
pub fn inotify_instances(pid: u32) -> usize {
    descriptors_of_threads(pid).iter().filter(|target| target.contains("inotify")).count()
}

/// Returns what the descriptors of all its threads refer to. The threads that share a table have
/// their descriptors counted once.
#[must_use]
pub fn descriptors_of_threads(pid: u32) -> Vec<String> {
    let of_task = |task: &std::path::Path| -> Vec<String> {
        let numbers = fs::read_dir(task.join("fd")).into_iter().flatten().flatten();
        let targets = numbers.filter_map(|number| fs::read_link(number.path()).ok());
        targets.map(|target| target.to_string_lossy().into_owned()).collect()
    };
    let mut found = of_task(std::path::Path::new(&format!("/proc/{pid}")));
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    for task in tasks.map(|task| task.path()) {
        let name = fs::read_to_string(task.join("comm")).unwrap_or_default();
        if name.trim_end() == WATCH_THREAD {
            found.extend(of_task(&task)); // the one with a table of its own
        }
    }
    found
}

/// The name of the thread that watches locks.
pub const WATCH_THREAD: &str = "shmlock-watch";

/// Returns `true` if the process has a thread that watches locks.
#[must_use]
pub fn has_watch_thread(pid: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let names = tasks.map(|task| fs::read_to_string(task.path().join("comm")).unwrap_or_default());
    names.into_iter().any(|name| name.trim_end() == WATCH_THREAD)
}

/// Returns the addresses of the vDSO of this process and of its forked children, vdso(7).
///
/// # Panics
/// If /proc is not there.
#[must_use]
pub fn vdso() -> std::ops::Range<usize> {
    mappings()
        .into_iter()
        .find(|(_, name)| name == "[vdso]")
        .map_or(0..0, |(addresses, _)| addresses)
}

/// Returns an address of this process as its file and the offset from the file's first mapping: the
/// input of `addr2line`.
#[must_use]
pub fn place_of(address: usize) -> String {
    let mappings = mappings();
    let Some((_, name)) = mappings.iter().find(|(addresses, _)| addresses.contains(&address))
    else {
        return format!("{address:#x}");
    };
    let start = mappings
        .iter()
        .find(|(_, other)| other == name)
        .map_or(0, |(addresses, _)| addresses.start);
    format!("{}+{:#x}", name.rsplit('/').next().unwrap_or_default(), address - start)
}

/// Returns the mappings of this process: addresses, and the file's path or what replaces it.
fn mappings() -> Vec<(std::ops::Range<usize>, String)> {
    let maps = fs::read_to_string("/proc/self/maps").expect("/proc");
    let parse = |line: &str| {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        Some((address(start)?..address(end)?, words.nth(4).unwrap_or_default().to_owned()))
    };
    maps.lines().filter_map(parse).collect()
}

/// Describes every thread of this process and of its descendants, to find out why a test hangs:
/// state, system call, pending and blocked signals. Also returns the descendants.
///
#[must_use]
pub fn dump_threads() -> (String, Vec<u32>) {
    let mut process_tree = vec![std::process::id()];
    let mut lines = String::new();
    let mut next = 0;
    while let Some(&pid) = process_tree.get(next) {
        next += 1;
        for task in fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|task| task.path())
        {
            let read = |name| fs::read_to_string(task.join(name)).unwrap_or_default();
            let status = read("status");
            let shown = ["Name:", "State:", "SigPnd:", "ShdPnd:", "SigBlk:"];
            let shown =
                status.lines().filter(|line| shown.iter().any(|name| line.starts_with(name)));
            let shown = shown.collect::<Vec<_>>().join(" ").replace('\t', " ");
            let (call, place) = (read("syscall"), read("wchan"));
            let _ =
                writeln!(lines, "{}: {shown} call {} in {place}", task.display(), call.trim_end());
            process_tree.extend(
                read("children").split_whitespace().filter_map(|child| child.parse::<u32>().ok()),
            );
        }
    }
    (lines, process_tree.split_off(1))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::comes_to_rest;
    use crate::alone;
    use crate::hostile::{Solo, fork};

    /// A running process does not go to sleep, nor does a process that waits for a processor.
    #[test]
    fn a_process_that_runs_is_not_at_rest() {
        const LONG: Duration = Duration::from_millis(300);
        alone!(|| {
            let _fixture = Solo::new();
            let process = fork(|line| {
                line.wait();
                let begin = Instant::now();
                while begin.elapsed() < LONG {}
                line.wait();
            });
            let begin = Instant::now();
            process.line().ready();
            comes_to_rest(process.pid().unsigned_abs());
            assert!(begin.elapsed() >= LONG, "it runs still: {:?}", begin.elapsed());
            process.line().ready();
            process.ends_well();
        });
    }
}
