//! Checks what must be true once all processes have ended.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering::Relaxed;

use crate::memory::{Doing, LOCKS};
use crate::session::{SHM, Session};
use crate::system::{self, Ended};

/// Returns the faults at the end of a run.
pub(crate) fn faults(session: &Session, descriptors_at_first: usize) -> Vec<String> {
    let mut faults: Vec<_> = (0..LOCKS).flat_map(|at| in_the_ledger(session, at)).collect();
    faults.extend(session.files().iter().map(|path| format!("left behind: {}", path.display())));
    faults.extend(
        byte_locks(session).into_iter().map(|line| format!("a byte lock left behind: {line}")),
    );
    let descriptors = system::descriptors();
    if descriptors != descriptors_at_first {
        faults.push(format!(
            "the master has {descriptors} descriptors, and had {descriptors_at_first}"
        ));
    }
    if system::next_ended() != Ended::NoChildren {
        faults.push("a process left behind".to_owned());
    }
    faults
}

fn in_the_ledger(session: &Session, at: usize) -> Vec<String> {
    let (memory, name) = (&session.memory, &session.names[at]);
    let ledger = &memory.ledgers[at];
    let mut faults = Vec::new();
    let mut must = |so: bool, what: String| {
        if !so {
            faults.push(format!("{name}: {what}"));
        }
    };
    let count = ledger.count.load(Relaxed);
    let credits = memory
        .numbers()
        .map(|life| u64::from(memory.life(life).credit[at].load(Relaxed)))
        .sum::<u64>();
    must(count == credits, format!("counted {count} critical sections, and credited {credits}"));
    must(count == ledger.mirror.load(Relaxed), "the last critical section is half done".to_owned());
    must(ledger.pending.load(Relaxed) == 0, "the last journal entry is open".to_owned());
    must(ledger.inside.load(Relaxed) == 0, "`inside` still names a life".to_owned());
    must(ledger.suspect.load(Relaxed) == 0, "no owner has declared the data consistent".to_owned());
    let told = ledger.told_inside.load(Relaxed) + ledger.told_window.load(Relaxed);
    let died = dead_on(session, at);
    must(
        told <= died,
        format!("{told} owners were said to have died, and only {died} can have held the lock"),
    );
    must(count > 0, "no critical section was executed".to_owned());
    faults
}

/// Returns how many lives ended, or lost their identity, while they might hold the lock.
fn dead_on(session: &Session, at: usize) -> u64 {
    let lives = session.memory.numbers().map(|number| session.memory.life(number));
    lives.filter(|life| life.may_hold(at) && !life.is_doing(Doing::Ended)).count() as u64
}

/// Returns the lines of `/proc/locks` about this run's files, all of which are gone by name. On a
/// file system of the run's own, returns all lines.
fn byte_locks(session: &Session) -> Vec<String> {
    let Ok(directory) = fs::metadata(SHM) else { return Vec::new() };
    let device = format!(
        "{:02x}:{:02x}:",
        rustix::fs::major(directory.dev()),
        rustix::fs::minor(directory.dev())
    );
    let is_ours_alone = fs::read_dir(SHM).is_ok_and(|mut files| files.next().is_none());
    let inodes: Vec<_> = session
        .memory
        .ledgers
        .iter()
        .map(|ledger| ledger.inode.load(Relaxed).to_string())
        .collect();
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let about_us = |line: &&str| {
        let inode = line.split_whitespace().find_map(|field| field.strip_prefix(&device));
        inode.is_some_and(|inode| is_ours_alone || inodes.iter().any(|ours| ours == inode))
    };
    locks.lines().filter(about_us).map(str::to_owned).collect()
}
