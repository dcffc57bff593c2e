//! What must not happen, and how it is reported to the master.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// A fault as it lies in the shared memory.
#[repr(C)]
pub(crate) struct Report {
    /// Which [`Fault`], counted from 1; 0 as long as the report is not whole.
    what: AtomicU64,
    lock: AtomicU64,
    pub(crate) life: AtomicU64,
    seen: AtomicU64,
}

/// What must not happen.
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
    const ALL: [(Self, &str); 23] = [
        (Self::TwoInside, "came into a section in which a living one, `seen`, still was"),
        (Self::Untold, "was not told that `seen` died in the section"),
        (Self::Robbed, "was told that the owner died, while `seen` is in the section and lives"),
        (Self::Intruded, "found `seen` in its own section when it came to leave"),
        (Self::ToldOfTheLiving, "was told of the death of `seen`, which lives"),
        (
            Self::ToldOfABystander,
            "was told of the death of `seen`, which had not reached for the lock",
        ),
        (
            Self::Forgotten,
            "was not told of an earlier death, and nobody had declared the data consistent",
        ),
        (Self::Torn, "found the data half-written, at the count `seen`, and nobody had died"),
        (
            Self::FenceWentBack,
            "got the fencing token `seen`, which is not greater than the last one",
        ),
        (Self::FileVanished, "holds a lock whose name has no file"),
        (Self::Orphaned, "has a lock open whose file has lost its name"),
        (Self::NotOurs, "holds a lock of which `status` says otherwise"),
        (
            Self::StrangeHolder,
            "was shown a holder, of pid `seen`, that is none of us, or two in one",
        ),
        (
            Self::StrangeFile,
            "found a file of `seen` bytes, or with other content, where a lock should be",
        ),
        (Self::Early, "was told after `seen` ns that its time was over, and it was not"),
        (Self::Late, "was told `seen` ns late that its time was over"),
        (Self::Stuck, "has been waiting for `seen` ns"),
        (Self::Refused, "got an error that nothing accounts for"),
        (
            Self::Undeadlocked,
            "holds a lock and was not told that waiting for it again would never end",
        ),
        (Self::WrongRelease, "gave back what it did not hold, or could not give back what it held"),
        (Self::Inherited, "used a handle of its parent, and was not told so"),
        (Self::Descriptors, "has `seen` descriptors left at its end"),
        (
            Self::BadEnd,
            "ended as nobody wanted: by signal `seen`, or from 1000 on by exit code `seen` - 1000",
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

    /// One line, if there is a fault here.
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
