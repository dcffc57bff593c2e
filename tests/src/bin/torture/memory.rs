//! What the master and the workers share: who lives, what each is doing, and what each lock
//! protects.
//!
//! It lies outside every lock's region, and nothing in it orders what the locks have to order: all
//! accesses are relaxed, and what is written inside a section is written by plain stores. It
//! outlives whoever is killed, at whatever instruction: each word has one writer at a time, and
//! says what it says from its store on.

#![allow(unsafe_code, reason = "promises that its words are atomics")]

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};

use crate::fault::{Fault, Report};
use crate::journal::Ring;
use crate::system::{self, Process};
use crate::tally::Tally;

/// How many lock names there are. What each is for stands in `plan.rs`.
pub(crate) const LOCKS: usize = 6;
/// How many workers there are at one time.
pub(crate) const SLOTS: usize = 16;
/// How many lives one run has room for; about an hour of them. Pages of it are had when they are
/// used.
pub(crate) const LIVES: usize = 1 << 22;
/// How many faults are kept. The first one ends the run.
pub(crate) const FAULTS: usize = 16;

/// All of it.
#[repr(C)]
pub(crate) struct Memory {
    pub(crate) seed: AtomicU64,
    /// Not zero: the workers come to their end.
    pub(crate) stop: AtomicU64,
    /// How many lives have been given out.
    pub(crate) born: AtomicU64,
    /// How many faults have been found.
    pub(crate) faults: AtomicU64,
    pub(crate) reports: [Report; FAULTS],
    pub(crate) ledgers: [Ledger; LOCKS],
    pub(crate) seats: [Seat; SLOTS],
    lives: [Life; LIVES],
}

// SAFETY: atomics only, in arrays and structures of such.
unsafe impl shmlock_tests::Words for Memory {}

/// What one lock protects, and what is known about it from outside. Written by its holders only.
#[repr(C, align(64))]
pub(crate) struct Ledger {
    /// Who is in the section, as a mark (see `oracle.rs`); 0 if nobody.
    pub(crate) inside: AtomicU64,
    /// The journal. If not 0: the section of this mark is to end with the count and the author's
    /// credit as follows.
    pub(crate) pending: AtomicU64,
    pub(crate) count_to: AtomicU64,
    pub(crate) credit_to: AtomicU32,
    /// Not 0: an owner died, and nobody has declared the data consistent since.
    pub(crate) suspect: AtomicU32,
    /// How many sections have been completed; twice, so that half-done work shows.
    pub(crate) count: AtomicU64,
    pub(crate) mirror: AtomicU64,
    /// The inode and the last fencing token of the file's present life.
    pub(crate) inode: AtomicU64,
    pub(crate) fence: AtomicU64,
    /// How many files there have been of this name.
    pub(crate) files: AtomicU64,
    /// How many owners were told of a death: of one that was inside, …
    pub(crate) told_inside: AtomicU64,
    /// … of one that was between the word and its note in `inside`, …
    pub(crate) told_window: AtomicU64,
    /// … of one that somebody had been told of before.
    pub(crate) told_again: AtomicU64,
}

/// The place of one worker, whoever sits on it.
#[repr(C, align(64))]
pub(crate) struct Seat {
    /// Which of the seat's plans is next.
    pub(crate) nth: AtomicU64,
    /// The life of the process that sits there, or of its first thread.
    pub(crate) life: AtomicU64,
    /// How often the master has stopped it.
    pub(crate) stops: AtomicU64,
    /// A process that the master has sent a deadly signal with a handler: it may give its locks
    /// back before it is dead.
    pub(crate) condemned: AtomicU32,
    /// Not 0: it has done what others wait for.
    pub(crate) ready: AtomicU32,
    /// At how many meetings it has arrived, see [`Operation::Meet`](crate::visit::Operation::Meet).
    pub(crate) meetings: AtomicU64,
    pub(crate) tally: Tally,
    pub(crate) ring: Ring,
}

/// One contender: a process, a forked child, a thread, or one of these after it has lost its
/// identity on purpose.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Life {
    pub(crate) pid: AtomicU32,
    pub(crate) seat: AtomicU32,
    /// When its process began, see [`Process`].
    pub(crate) began: AtomicU64,
    /// Since when it has been waiting without a limit, in nanoseconds of the monotonic clock; 0 if
    /// it is not.
    pub(crate) waiting: AtomicU64,
    /// See [`Doing`].
    doing: AtomicU32,
    /// One bit for each lock that it may hold: set before it asks for it, cleared after it has
    /// given it back.
    window: AtomicU32,
    /// Not 0: it has let go of its identity without dying, or is just about to.
    pub(crate) doomed: AtomicU32,
    /// Not 0: the master knows that it is dead.
    pub(crate) buried: AtomicU32,
    /// How many sections of each lock it has completed.
    pub(crate) credit: [AtomicU32; LOCKS],
}

/// What a life is doing. If it is killed, this says in what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Doing {
    Nothing,
    Opening,
    Acquiring,
    Inside,
    Releasing,
    Closing,
    /// Has come to its end by itself.
    Ended,
}

impl Doing {
    pub(crate) const DEADLY: [(Self, &str); 6] = [
        (Self::Inside, "in the critical section"),
        (Self::Acquiring, "acquiring or waiting"),
        (Self::Releasing, "releasing"),
        (Self::Opening, "opening"),
        (Self::Closing, "closing"),
        (Self::Nothing, "between"),
    ];
}

impl Memory {
    /// A new life in this process, on this seat. Its number is not 0.
    pub(crate) fn new_life(&self, seat: usize) -> u64 {
        let number = self.born.fetch_add(1, Relaxed) + 1;
        let life = self.life(number);
        let process = Process::this();
        life.seat.store(u32::try_from(seat).unwrap_or(u32::MAX), Relaxed);
        life.began.store(process.began, Relaxed);
        life.pid.store(process.pid, Relaxed);
        number
    }

    /// # Panics
    /// If there is no such life: a run that lasts too long.
    pub(crate) fn life(&self, number: u64) -> &Life {
        usize::try_from(number)
            .ok()
            .and_then(|number| self.lives.get(number))
            .expect("a run has lives enough")
    }

    /// The life of this number, if somebody has been given it.
    pub(crate) fn known(&self, number: u64) -> Option<&Life> {
        self.numbers().contains(&number).then(|| self.life(number))
    }

    /// The numbers of all lives so far.
    pub(crate) fn numbers(&self) -> std::ops::RangeInclusive<u64> {
        1..=self.born.load(Relaxed)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stop.load(Relaxed) != 0
    }

    /// Reports a fault. The run ends with it.
    pub(crate) fn accuse(&self, fault: Fault, lock: usize, life: u64, seen: u64) {
        let place = usize::try_from(self.faults.fetch_add(1, Relaxed)).unwrap_or(usize::MAX);
        if let Some(report) = self.reports.get(place) {
            report.fill(fault, lock, life, seen);
        }
    }

    /// Whether this life cannot be in a section any more.
    pub(crate) fn has_died(&self, number: u64) -> bool {
        let life = self.life(number);
        let pid = life.pid.load(Relaxed);
        let seat =
            usize::try_from(life.seat.load(Relaxed)).ok().and_then(|seat| self.seats.get(seat));
        life.doomed.load(Relaxed) != 0
            || seat.is_some_and(|seat| seat.condemned.load(Relaxed) == pid)
            || life.process().has_died()
    }
}

impl Life {
    pub(crate) fn process(&self) -> Process {
        Process { pid: self.pid.load(Relaxed), began: self.began.load(Relaxed) }
    }

    pub(crate) fn does(&self, doing: Doing) {
        self.doing.store(doing as u32, Relaxed);
    }

    pub(crate) fn is_doing(&self, doing: Doing) -> bool {
        self.doing.load(Relaxed) == doing as u32
    }

    pub(crate) fn may_hold(&self, lock: usize) -> bool {
        self.window.load(Relaxed) & bit(lock) != 0
    }

    /// From here on it may hold the lock.
    pub(crate) fn set_may_hold(&self, lock: usize) {
        self.window.store(self.window.load(Relaxed) | bit(lock), Relaxed);
        system::in_this_order();
    }

    /// From here on it does not.
    pub(crate) fn clear_may_hold(&self, lock: usize) {
        system::in_this_order();
        self.window.store(self.window.load(Relaxed) & !bit(lock), Relaxed);
    }
}

fn bit(lock: usize) -> u32 {
    1 << lock
}
