//! Defines the faults, and how they are reported to the master.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// A fault in the shared memory.
#[repr(C)]
pub(crate) struct Report {
    /// Which [`Fault`], counted from 1; 0 as long as the report is not whole.
    what: AtomicU64,
    lock: AtomicU64,
    pub(crate) life: AtomicU64,
    seen: AtomicU64,
}

/// An event that must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Fault {
    TwoInside,
    Untold,
    Robbed,
    Intruded,
    ToldOfTheLiving,
    ToldOfABystander,
    Forgotten,
    Unrefused,
    Unproven,
    Torn,
    FenceWentBack,
    FileVanished,
    Orphaned,
    NotOurs,
    StrangeHolder,
    StrangeFile,
    Early,
    Late,
    Stuck,
    Refused,
    Undeadlocked,
    WrongRelease,
    Inherited,
    Descriptors,
    BadEnd,
}

impl Fault {
    const ALL: [(Self, &str); 25] = [
        (Self::TwoInside, "entered a critical section in which a living one, `seen`, still was"),
        (Self::Untold, "was not told that `seen` died in the critical section"),
        (Self::Robbed, "was told that the owner died, while `seen` lives in the critical section"),
        (Self::Intruded, "found `seen` in its own critical section when it left"),
        (Self::ToldOfTheLiving, "was told of the death of `seen`, which lives"),
        (Self::ToldOfABystander, "was told of the death of `seen`, which had not tried the lock"),
        (
            Self::Forgotten,
            "was not told of an earlier death, and no owner had declared the data consistent",
        ),
        (Self::Unrefused, "acquired a lock with poisoning, and an owner had died"),
        (Self::Unproven, "recovered from a dead owner, and could not lock its byte"),
        (Self::Torn, "found the data half-written, at the count `seen`, and no owner had died"),
        (
            Self::FenceWentBack,
            "got the fencing token `seen`, which is not greater than the last one",
        ),
        (Self::FileVanished, "holds a lock whose name has no file"),
        (Self::Orphaned, "has a lock open whose file has lost its name"),
        (Self::NotOurs, "holds a lock of which `status` says otherwise"),
        (Self::StrangeHolder, "read an owner record, of pid `seen`, of no life, or of two"),
        (
            Self::StrangeFile,
            "found a file of `seen` bytes, or with other content, where a lock should be",
        ),
        (Self::Early, "timed out after `seen` ns, too early"),
        (Self::Late, "timed out `seen` ns late"),
        (Self::Stuck, "has been waiting for `seen` ns"),
        (Self::Refused, "got an unexpected error"),
        (
            Self::Undeadlocked,
            "holds a lock, and a second acquisition was not refused as a deadlock",
        ),
        (Self::WrongRelease, "released what it did not hold, or could not release what it held"),
        (Self::Inherited, "used a handle of its parent, and was not refused"),
        (Self::Descriptors, "has `seen` descriptors left at its end"),
        (
            Self::BadEnd,
            "ended unexpectedly: by signal `seen`, or from 1000 on by exit code `seen` - 1000",
        ),
    ];
}

impl Report {
    /// Writes the report; `what` last, so that [`text`](Self::text) sees it whole.
    pub(crate) fn fill(&self, fault: Fault, lock: usize, life: u64, seen: u64) {
        self.lock.store(lock as u64, Relaxed);
        self.life.store(life, Relaxed);
        self.seen.store(seen, Relaxed);
        self.what.store(fault as u64 + 1, Relaxed);
    }

    /// Formats the fault on one line, if there is one here.
    pub(crate) fn text(&self, names: &[String]) -> Option<String> {
        let what = self.what.load(Relaxed).checked_sub(1)?;
        let (fault, text) = Fault::ALL.iter().find(|(fault, _)| *fault as u64 == what)?;
        let lock = usize::try_from(self.lock.load(Relaxed)).ok().and_then(|lock| names.get(lock));
        let (life, seen) = (self.life.load(Relaxed), self.seen.load(Relaxed));
        Some(format!(
            "{fault:?}: life {life} {text} (seen: {seen}; lock {})",
            lock.map_or("none", String::as_str)
        ))
    }
}
