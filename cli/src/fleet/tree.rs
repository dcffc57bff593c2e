//! Finds and ends the processes that descend from this one: the command and those it has started.
//!
//! A process that has left, because its parent ended before the lock was lost, as daemons do, is
//! not found. From [`Tree::gather`] on none can leave any more: orphans become children of this
//! process, prctl(2).

use std::collections::HashMap;
use std::fs;

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, kill_process, pidfd_open, pidfd_send_signal,
    set_child_subreaper,
};

/// The processes that descend from this one.
pub(super) struct Tree {
    /// The command. It is reached without `/proc`, too.
    command: Pid,
    /// Not of the command: the witness.
    except: Option<Pid>,
}

/// What `proc_pid_stat(5)` says of a process.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: i32,
    /// The start, in ticks since boot: with the number it names one process for ever.
    start: u64,
    is_zombie: bool,
}

impl Tree {
    /// Makes this process the parent of all orphans among its descendants, from now on.
    pub(super) fn gather(command: Pid, except: Option<Pid>) -> Self {
        // Refused by a kernel before 3.4 only: orphans then leave.
        let _ = set_child_subreaper(Some(getpid()));
        Self { command, except }
    }

    /// Sends a signal to every process, and returns how many could be sent it. To the command only
    /// if it has not been reaped, and where `/proc` shows none of these processes.
    pub(super) fn signal(&self, signal: Signal, is_reaped: bool) -> usize {
        if !is_reaped && !has_own_proc() {
            return usize::from(kill_process(self.command, signal).is_ok());
        }
        self.living().into_iter().filter(|&(pid, stat)| send(pid, stat, signal)).count()
    }

    /// Returns the number of processes.
    pub(super) fn count(&self) -> usize {
        self.living().len()
    }

    /// Returns the processes that have not ended.
    fn living(&self) -> Vec<(i32, Stat)> {
        let (all, own) = (all(), getpid().as_raw_pid());
        let except = self.except.map(Pid::as_raw_pid);
        let is_ours = |pid| Some(pid) != except && descends(&all, pid, own);
        let found = all.iter().filter(|&(&pid, stat)| !stat.is_zombie && is_ours(pid));
        found.map(|(&pid, &stat)| (pid, stat)).collect()
    }
}

/// Returns `true` if `ancestor` is a parent of `pid`, or a parent of its parent, and so on.
fn descends(all: &HashMap<i32, Stat>, pid: i32, ancestor: i32) -> bool {
    let mut at = pid;
    // The table is not of one moment, and may have a circle.
    for _ in 0..all.len() {
        match all.get(&at) {
            Some(stat) if stat.parent == ancestor => return true,
            Some(stat) => at = stat.parent,
            None => return false,
        }
    }
    false
}

/// Sends a signal to this process and to no later one of its number. `false` if it has ended, or is
/// another user's.
fn send(pid: i32, stat: Stat, signal: Signal) -> bool {
    let Some(number) = Pid::from_raw(pid) else { return false };
    match pidfd_open(number, PidfdFlags::empty()) {
        Ok(process) => {
            let is_same = stat_of(pid).is_some_and(|now| now.start == stat.start);
            is_same && pidfd_send_signal(process, signal).is_ok()
        }
        // A kernel before 5.3, or a sandbox.
        Err(Errno::NOSYS | Errno::PERM) => kill_process(number, signal).is_ok(),
        Err(_) => false,
    }
}

/// Returns `true` if `/proc` is there and belongs to this pid namespace. In that of another
/// namespace the same numbers are other processes.
fn has_own_proc() -> bool {
    let own = getpid().as_raw_pid().to_string();
    fs::read_link("/proc/self").is_ok_and(|link| link.as_os_str() == own.as_str())
}

fn all() -> HashMap<i32, Stat> {
    if !has_own_proc() {
        return HashMap::new();
    }
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter_map(|pid| Some((pid, stat_of(pid)?))).collect()
}

fn stat_of(pid: i32) -> Option<Stat> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may have spaces. The state, which is field 3, follows it.
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Stat {
        parent: fields.get(4 - 3)?.parse().ok()?,
        start: fields.get(22 - 3)?.parse().ok()?,
        is_zombie: matches!(*fields.first()?, "Z" | "X"),
    })
}
