//! Defines the memory that the master and the workers share: the lives, what each is doing, and
//! what each lock protects.
//!
//! It lies outside every lock's region, and nothing in it orders what the locks have to order: all
//! accesses are relaxed, and a critical section writes by plain stores. A process may be killed at
//! any instruction: each word has one writer at a time, and is valid from its store on.

#![allow(unsafe_code, reason = "implements a trait for types of atomics")]

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};

use crate::fault::{Fault, Report};
use crate::journal::Ring;
use crate::system::{self, Process};
use crate::tally::Tally;

/// The number of locks. `role.rs` says what each is for.
pub(crate) const LOCKS: usize = 6;
/// The number of workers at one time.
pub(crate) const SLOTS: usize = 16;
/// The lives for which one run has room: about an hour of them. Its pages are allocated on use.
pub(crate) const LIVES: usize = 1 << 22;
/// The number of faults that are kept. The first one ends the run.
pub(crate) const FAULTS: usize = 16;

/// The whole shared memory.
#[repr(C)]
pub(crate) struct Memory {
    pub(crate) seed: AtomicU64,
    /// Not zero: the workers come to their end.
    pub(crate) stop: AtomicU64,
    /// Not zero: all the others are gone, and each worker closes its handles when it ends.
    pub(crate) close: AtomicU32,
    /// The number of lives so far.
    pub(crate) born: AtomicU64,
    /// The number of faults so far.
    pub(crate) faults: AtomicU64,
    pub(crate) reports: [Report; FAULTS],
    pub(crate) ledgers: [Ledger; LOCKS],
    pub(crate) seats: [Seat; SLOTS],
    lives: [Life; LIVES],
}

// SAFETY: atomics only, in arrays and structures of such.
unsafe impl shmlock_tests::Words for Memory {}

/// The data that one lock protects, and the accounts by which it is judged from outside. Written
/// by its owners only.
#[repr(C, align(64))]
pub(crate) struct Ledger {
    /// The critical section in progress, as a mark (see `oracle.rs`); 0 if there is none.
    pub(crate) inside: AtomicU64,
    /// The journal. If not 0, the critical section of this mark ends with the count and the
    /// author's credit below.
    pub(crate) pending: AtomicU64,
    pub(crate) count_to: AtomicU64,
    pub(crate) credit_to: AtomicU32,
    /// Not 0: an owner died, and no owner has declared the data consistent since.
    pub(crate) suspect: AtomicU32,
    /// The number of completed critical sections; twice, so that half-done work shows.
    pub(crate) count: AtomicU64,
    pub(crate) mirror: AtomicU64,
    /// The inode and the last fencing token of the file's present life.
    pub(crate) inode: AtomicU64,
    pub(crate) fence: AtomicU64,
    /// The number of files of this name so far.
    pub(crate) files: AtomicU64,
    /// Owners that were told of a death: of an owner that was inside, …
    pub(crate) told_inside: AtomicU64,
    /// … of an owner between its swap of the word and its note in `inside`, …
    pub(crate) told_window: AtomicU64,
    /// … of an owner whose death had been reported before.
    pub(crate) told_again: AtomicU64,
}

/// The place of one worker at a time.
#[repr(C, align(64))]
pub(crate) struct Seat {
    /// The number of the seat's next plan.
    pub(crate) nth: AtomicU64,
    /// The life of the process on this seat, or of its first thread.
    pub(crate) life: AtomicU64,
    /// The number of times the master has stopped it.
    pub(crate) stops: AtomicU64,
    /// A process to which the master has sent a deadly signal with a handler: it may release its
    /// locks before it is dead.
    pub(crate) condemned: AtomicU32,
    /// Not 0: the worker has done what others wait for.
    pub(crate) ready: AtomicU32,
    /// Not 0: the worker is at its end, and waits until the dying are gone.
    pub(crate) at_end: AtomicU32,
    /// The number of meetings at which it has arrived, see
    /// [`Operation::Meet`](crate::visit::Operation::Meet).
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
    /// The begin of its wait without a timeout, in nanoseconds of the monotonic clock; 0 if it does
    /// not wait.
    pub(crate) waiting: AtomicU64,
    /// A [`Doing`].
    doing: AtomicU32,
    /// One bit for each lock that it may hold: set before it tries to acquire, cleared after it has
    /// released.
    window: AtomicU32,
    /// Not 0: it has lost its identity without dying, or is about to.
    pub(crate) doomed: AtomicU32,
    /// Not 0: the master knows that it is dead.
    pub(crate) buried: AtomicU32,
    /// The number of critical sections of each lock that it has completed.
    pub(crate) credit: [AtomicU32; LOCKS],
}

/// The activity of a life; after a kill, its last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Doing {
    Nothing,
    Opening,
    Acquiring,
    Inside,
    Releasing,
    Closing,
    /// It has ended by itself.
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
    /// Begins a life in this process, on this seat. Its number is not 0.
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

    /// Returns the life of this number, if there is one.
    pub(crate) fn known(&self, number: u64) -> Option<&Life> {
        self.numbers().contains(&number).then(|| self.life(number))
    }

    /// Returns the numbers of all lives so far.
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

    /// Returns `true` if this life can no longer be in a critical section.
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

    /// Notes that it may hold the lock from here on.
    pub(crate) fn set_may_hold(&self, lock: usize) {
        self.window.store(self.window.load(Relaxed) | bit(lock), Relaxed);
        system::in_this_order();
    }

    /// Notes that it does not hold the lock from here on.
    pub(crate) fn clear_may_hold(&self, lock: usize) {
        system::in_this_order();
        self.window.store(self.window.load(Relaxed) & !bit(lock), Relaxed);
    }
}

fn bit(lock: usize) -> u32 {
    1 << lock
}
