//! Implements [`probe_exclusives`]: tries exclusive instructions on a word, in a child.

#![allow(unsafe_code, reason = "the child accesses raw memory that may fault")]

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;

use super::error::PhysicalError;
use super::memory::Memory;
use super::request::{Request, SYSFS, open_device};
use super::source::Identified;
use crate::sys::exclusive::{Pair, pair};
use crate::sys::probing_child::{ChildEnd, Step, run};
use crate::sys::range_mapping::{Children, RangeMapping};

/// The bytes of the word.
const WORD: usize = size_of::<u32>();

/// The number of refused pairs in a row after which none is said to succeed. An interrupt between
/// the two instructions refuses a pair; a thousand in a row are no accident. Arbitrary.
const ATTEMPTS: u32 = 1000;

/// The steps that a child reports.
const READ: u32 = 1;
const STORED: u32 = 2;
const REFUSED: u32 = 3;
const SEEN: u32 = 4;
const RESTORED: u32 = 5;

/// One try of a pair: [`pair`], or what a test puts in its place.
type TryPair = unsafe fn(*mut u32, u32, u32) -> Pair;

/// What exclusive instructions do on a word, for one party alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExclusivesOutcome {
    /// An exclusive store was performed, and the word had its value afterwards.
    Work {
        /// The pairs that were refused before. More than a few: something else accesses the memory.
        refused: u32,
    },
    /// A thousand exclusive stores were refused, one after the other. A lock would loop for ever.
    NeverSucceed,
    /// The word had another value afterwards than the exclusive store had said: the store said that
    /// it was performed, and was not, or the reverse. A lock would have two holders. (Or another
    /// party has written to the word.)
    NotStored {
        /// The value found.
        found: u32,
    },
    /// The process was killed by this signal, such as `SIGBUS`, at an access of the kind given.
    Fault {
        /// The signal.
        signal: i32,
        /// The access.
        during: ProbedAccess,
    },
    /// The access did not end in time.
    Hang {
        /// The access.
        during: ProbedAccess,
        /// `false` if the process could not even be killed: the access still hangs.
        killed: bool,
    },
}

/// The access at which a probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProbedAccess {
    /// The plain load before all others: the memory is not there at all.
    Load,
    /// The exclusive load and store.
    Exclusives,
    /// The plain store that restores the word, or the load after it.
    Restore,
}

/// What became of the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProbedWord {
    /// Nothing was written.
    Untouched,
    /// It has the value again that it had before.
    Restored,
    /// It may hold `written` in place of `before`: write that back.
    Unknown {
        /// Its value before.
        before: u32,
        /// The value that the exclusive store writes.
        written: u32,
    },
}

/// The result of [`probe_exclusives`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExclusivesProbe {
    /// What the instructions did.
    pub outcome: ExclusivesOutcome,
    /// What became of the word.
    pub word: ProbedWord,
}

/// Tries exclusive instructions on the word at `offset` of a device or a file: `ldxr` and `stxr` on
/// AArch64, `ldrex` and `strex` on ARMv7, `lock cmpxchg` on x86-64, in assembly.
///
/// A forked child makes the accesses, one after the other: a plain load; a pair that writes the
/// complement of the word, until one succeeds, a thousand times at most; a plain load; a plain
/// store of the old value. So a fault kills the child, and a child that hangs is killed when
/// `bound` is over. (A bound that is too short for a process to start looks like a hang; seconds
/// are right.) If the child dies by a fault at the pair or later, a second child restores the word.
///
/// **It says nothing about exclusion between parties**: exclusives may work for each of two
/// processors and exclude neither. Only a count in which all parties increment the same word under
/// the lock shows that.
///
/// Blocks for `bound` and a second at most, twice if a second child is needed. Forks: handlers of
/// `pthread_atfork(3)` run. Allocates; not async-signal-safe.
///
/// # Errors
/// Those of [`PhysicalRegion::open`](super::PhysicalRegion::open); [`PhysicalError::System`] with
/// the operations "fork" and "watch". The latter with `ECHILD` if the child died, and the program
/// ignores `SIGCHLD` or reaps it elsewhere: how it died is lost then.
///
/// # Safety
///
/// * The word is memory that no party uses, Linux included. `/dev/mem` and PCI resources also have
///   registers of devices, where a write has effects.
/// * **On some interconnects an exclusive access is answered by an abort that the kernel cannot
///   survive, or by no answer: the machine panics or stops.** No bound helps then.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// use shmlock::remote::{ExclusivesOutcome, Memory, ProbedWord, probe_exclusives};
///
/// # let path = std::env::temp_dir().join(format!("doc-probe-{}", std::process::id()));
/// # std::fs::write(&path, [0; 64])?;
/// # let bound = Duration::from_secs(600);
/// // SAFETY: the word is in a plain file of our own.
/// let probe = unsafe { probe_exclusives(&path, 0, Memory::Cached, bound) }?;
/// assert!(matches!(probe.outcome, ExclusivesOutcome::Work { .. }));
/// assert_eq!(probe.word, ProbedWord::Restored);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub unsafe fn probe_exclusives(
    path: impl AsRef<Path>,
    offset: u64,
    memory: Memory,
    bound: Duration,
) -> Result<ExclusivesProbe, PhysicalError> {
    let path = path.as_ref();
    let fd = open_device(path, memory)?;
    let found = Identified::of(fd.as_fd(), path, Path::new(SYSFS))?;
    let request = Request { fd: fd.as_fd(), path, source: found.source, memory };
    let (extent, offset) = found.extent(path, offset)?;
    let mapping = request.map(&extent, offset, WORD, Children::Inherit)?;
    // SAFETY: promised by the caller; the pair takes the word that it is given.
    unsafe { probe(&mapping, pair, bound) }
        .map_err(|(operation, errno)| request.refused(operation, errno))
}

/// Probes the first word of a mapping that children inherit.
///
/// # Safety
///
/// The word is memory that no party uses. `try_pair` accesses no other, and is async-signal-safe.
pub(super) unsafe fn probe(
    mapping: &RangeMapping,
    try_pair: TryPair,
    bound: Duration,
) -> Result<ExclusivesProbe, (&'static str, Errno)> {
    let word = mapping.address().cast::<u32>().as_ptr();
    // SAFETY: the accesses are those that the caller allows; the steps are system calls.
    let (steps, end) = unsafe { run(bound, |report| access(word, try_pair, report)) }?;
    let mut probe = judge(&steps, end).ok_or(("watch", Errno::CHILD))?;
    if let (ProbedWord::Unknown { before, written }, ExclusivesOutcome::Fault { .. }) =
        (probe.word, probe.outcome)
    {
        // SAFETY: as above. Not after a hang, for a second access may hang as well.
        let (steps, end) = unsafe { run(bound, |report| restore(word, before, written, report)) }?;
        if end == ChildEnd::Done && value_of(&steps, RESTORED) == Some(before) {
            probe.word = ProbedWord::Restored;
        }
    }
    Ok(probe)
}

/// Accesses the word, in the child.
fn access(word: *mut u32, try_pair: TryPair, report: &dyn Fn(Step)) {
    // SAFETY: aligned and mapped; the parent is prepared for a fault. Volatile: it is no memory of
    // this program's own.
    let before = unsafe { word.read_volatile() };
    report([READ, before]);
    let written = !before;
    let mut refused = 0;
    while refused < ATTEMPTS {
        // SAFETY: as above.
        if unsafe { try_pair(word, before, written) } == Pair::Stored {
            break;
        }
        refused += 1;
    }
    if refused == ATTEMPTS {
        report([REFUSED, refused]);
    } else {
        report([STORED, refused]);
    }
    // SAFETY: as above.
    let seen = unsafe { word.read_volatile() };
    report([SEEN, seen]);
    restore(word, before, written, report);
}

/// Restores the word if it holds what the pair has written, in the child.
fn restore(word: *mut u32, before: u32, written: u32, report: &dyn Fn(Step)) {
    // SAFETY: as in `access`.
    if unsafe { word.read_volatile() } == written {
        // SAFETY: as in `access`.
        unsafe { word.write_volatile(before) };
    }
    // SAFETY: as in `access`.
    report([RESTORED, unsafe { word.read_volatile() }]);
}

fn value_of(steps: &[Step], kind: u32) -> Option<u32> {
    steps.iter().find(|[found, _]| *found == kind).map(|[_, value]| *value)
}

/// Says what the steps of a child and its end mean. `None` if a child that has ended by itself has
/// not reported all its steps.
fn judge(steps: &[Step], end: ChildEnd) -> Option<ExclusivesProbe> {
    let step = |kind| value_of(steps, kind);
    let before = step(READ);
    let unknown = |before: u32| ProbedWord::Unknown { before, written: !before };
    let word = match (before, step(RESTORED)) {
        (None, _) => ProbedWord::Untouched,
        (Some(before), Some(found)) if found == before => ProbedWord::Restored,
        (Some(before), _) => unknown(before),
    };
    let during = if before.is_none() {
        ProbedAccess::Load
    } else if step(STORED).or(step(REFUSED)).is_none() {
        ProbedAccess::Exclusives
    } else {
        ProbedAccess::Restore
    };
    let outcome = match end {
        ChildEnd::Signal(signal) => ExclusivesOutcome::Fault { signal, during },
        ChildEnd::TooLate { gone } => ExclusivesOutcome::Hang { during, killed: gone },
        ChildEnd::Done => {
            step(RESTORED)?;
            let (before, found) = (before?, step(SEEN)?);
            match (step(STORED), step(REFUSED)) {
                (Some(refused), _) if found == !before => ExclusivesOutcome::Work { refused },
                (None, Some(_)) if found == before => ExclusivesOutcome::NeverSucceed,
                _ => ExclusivesOutcome::NotStored { found },
            }
        }
    };
    Some(ExclusivesProbe { outcome, word })
}
