//! Tests memory that misbehaves: pairs that stand for it, and mappings that fault.
//!
//! QEMU has no memory on which exclusives fail: it performs an exclusive store by a
//! compare-and-swap of its own, on every kind of memory. But it clears the monitor at a system
//! call, as processors do. So on AArch64 one pair is real, never succeeds, and is tried in an
//! emulated machine.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use shmlock_tests::{Capability, can};

use super::super::probe::probe;
use crate::remote::request::Request;
use crate::remote::source::Identified;
use crate::remote::{
    ExclusivesOutcome, ExclusivesProbe, Memory, MemorySource, ProbedAccess, ProbedWord,
};
use crate::sys::exclusive::{Pair, pair};
use crate::sys::probing_child::{ChildEnd, run};
use crate::sys::range_mapping::{Children, RangeMapping};

/// Longer than any probe here takes.
const LONG: Duration = Duration::from_secs(600);
/// The value of the word before each probe.
const BEFORE: u32 = 0x1234_5678;

/// A word in a file, mapped as children need it.
struct Word {
    file: OwnedFd,
    mapping: RangeMapping,
}

impl Word {
    fn new(children: Children) -> Self {
        use std::os::fd::AsFd;
        let file = memfd_create("probed", MemfdFlags::CLOEXEC).expect("memory");
        ftruncate(&file, 4096).expect("memory");
        rustix::io::pwrite(&file, &BEFORE.to_ne_bytes(), 64).expect("in the file");
        let path = Path::new("memfd");
        let (extent, offset) = Identified::of(file.as_fd(), path, Path::new("/sys"))
            .and_then(|found| found.extent(path, 64))
            .expect("a file");
        let (source, memory) = (MemorySource::File, Memory::Cached);
        let request = Request { fd: file.as_fd(), path, source, memory };
        let mapping = request.map(&extent, offset, 4, children).expect("it can be mapped");
        Self { file, mapping }
    }

    fn value(&self) -> u32 {
        let mut bytes = [0; 4];
        assert_eq!(rustix::io::pread(&self.file, &mut bytes, 64), Ok(4));
        u32::from_ne_bytes(bytes)
    }

    fn probe(
        &self,
        bound: Duration,
        try_pair: unsafe fn(*mut u32, u32, u32) -> Pair,
    ) -> ExclusivesProbe {
        // SAFETY: a file of our own; the pairs below make system calls and access the word only.
        unsafe { probe(&self.mapping, try_pair, bound) }.expect("a child")
    }
}

/// Probes a word with a pair; checks that the word has its value again.
fn probed(try_pair: unsafe fn(*mut u32, u32, u32) -> Pair) -> Option<ExclusivesOutcome> {
    can(Capability::ForkDuringCalls).then(|| {
        let word = Word::new(Children::Inherit);
        let found = word.probe(LONG, try_pair);
        assert_eq!((found.word, word.value()), (ProbedWord::Restored, BEFORE), "{found:?}");
        found.outcome
    })
}

#[test]
fn exclusives_work_on_a_memfd_and_the_word_is_restored() {
    if let Some(found) = probed(pair) {
        assert!(matches!(found, ExclusivesOutcome::Work { .. }), "{found:?}");
    }
}

#[test]
fn a_pair_that_is_refused_a_thousand_times_never_succeeds() {
    unsafe fn refused(_: *mut u32, _: u32, _: u32) -> Pair {
        Pair::Refused
    }
    if let Some(found) = probed(refused) {
        assert_eq!(found, ExclusivesOutcome::NeverSucceed);
    }
}

/// A return from an exception clears the local monitor (Arm ARM, exclusives and exceptions):
/// a store after a system call is refused, on any memory.
#[cfg(target_arch = "aarch64")]
#[test]
fn real_exclusives_that_never_succeed_are_reported_so() {
    unsafe fn disturbed(word: *mut u32, _: u32, new: u32) -> Pair {
        let failed: u32;
        // SAFETY:
        // - aligned, readable and writable, as the caller has it.
        // - getpid(2) takes nothing, returns in x0, and changes no other register.
        unsafe {
            std::arch::asm!(
                "ldxr {seen:w}, [{word}]",
                "svc #0",
                "stxr {failed:w}, {new:w}, [{word}]",
                word = in(reg) word, new = in(reg) new,
                seen = out(reg) _, failed = out(reg) failed,
                in("x8") libc::SYS_getpid, out("x0") _,
                options(nostack)
            );
        }
        if failed == 0 { Pair::Stored } else { Pair::Refused }
    }
    if let Some(found) = probed(disturbed) {
        assert_eq!(found, ExclusivesOutcome::NeverSucceed);
    }
}

#[test]
fn a_pair_that_is_refused_now_and_then_works() {
    unsafe fn second(word: *mut u32, expected: u32, new: u32) -> Pair {
        use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
        static CALLS: AtomicU32 = AtomicU32::new(0);
        // Partner: none. Relaxed: one thread.
        if CALLS.fetch_add(1, Relaxed) < 3 {
            return Pair::Refused;
        }
        // SAFETY: as the caller has it. Not the real pair, which may be refused as well.
        if unsafe { word.read_volatile() } != expected {
            return Pair::Refused;
        }
        // SAFETY: as above.
        unsafe { word.write_volatile(new) };
        Pair::Stored
    }
    if let Some(found) = probed(second) {
        assert_eq!(found, ExclusivesOutcome::Work { refused: 3 });
    }
}

#[test]
fn a_store_that_says_that_it_was_performed_and_was_not_is_noticed() {
    unsafe fn boasting(_: *mut u32, _: u32, _: u32) -> Pair {
        Pair::Stored
    }
    if let Some(found) = probed(boasting) {
        assert_eq!(found, ExclusivesOutcome::NotStored { found: BEFORE });
    }
}

#[test]
fn a_store_that_says_that_it_was_refused_and_was_performed_is_noticed() {
    unsafe fn modest(word: *mut u32, _: u32, new: u32) -> Pair {
        // SAFETY: as the caller has it.
        unsafe { word.write_volatile(new) };
        Pair::Refused
    }
    if let Some(found) = probed(modest) {
        assert_eq!(found, ExclusivesOutcome::NotStored { found: !BEFORE });
    }
}

#[test]
fn a_fault_of_the_pair_is_reported_and_a_second_child_restores_the_word() {
    unsafe fn faulting(word: *mut u32, _: u32, new: u32) -> Pair {
        // SAFETY: as the caller has it.
        unsafe { word.write_volatile(new) };
        // SAFETY: raise(3) with a number; the child dies.
        unsafe { libc::raise(libc::SIGBUS) };
        Pair::Stored
    }
    if let Some(found) = probed(faulting) {
        let (signal, during) = (libc::SIGBUS, ProbedAccess::Exclusives);
        assert_eq!(found, ExclusivesOutcome::Fault { signal, during });
    }
}

#[test]
fn a_pair_that_hangs_is_killed_and_the_word_is_left_to_the_caller() {
    unsafe fn hanging(_: *mut u32, _: u32, _: u32) -> Pair {
        loop {
            // SAFETY: pause(2) takes nothing.
            unsafe { libc::pause() };
        }
    }
    if !can(Capability::ForkDuringCalls) {
        return;
    }
    let word = Word::new(Children::Inherit);
    let found = word.probe(Duration::from_millis(50), hanging);
    let (during, named) = match found.word {
        ProbedWord::Untouched => (ProbedAccess::Load, None), // killed early, on a slow machine
        ProbedWord::Unknown { before, written } => {
            (ProbedAccess::Exclusives, Some((before, written)))
        }
        ProbedWord::Restored => panic!("{found:?}"),
    };
    assert_eq!(found.outcome, ExclusivesOutcome::Hang { during, killed: true });
    assert!(named.is_none_or(|named| named == (BEFORE, !BEFORE)), "{named:?}");
    assert_eq!(word.value(), BEFORE);
}

#[test]
fn a_word_whose_file_was_truncated_is_a_fault_of_the_load_and_nothing_was_written() {
    if !can(Capability::ForkDuringCalls) {
        return;
    }
    let word = Word::new(Children::Inherit);
    ftruncate(&word.file, 0).expect("our own file");
    let found = word.probe(LONG, pair);
    let outcome = ExclusivesOutcome::Fault { signal: libc::SIGBUS, during: ProbedAccess::Load };
    assert_eq!(found, ExclusivesProbe { outcome, word: ProbedWord::Untouched });
}

#[test]
fn a_word_that_may_not_be_accessed_is_a_fault_of_the_load() {
    if !can(Capability::ForkDuringCalls) {
        return;
    }
    let word = Word::new(Children::Inherit);
    word.mapping.forbid();
    let found = word.probe(LONG, pair);
    let outcome = ExclusivesOutcome::Fault { signal: libc::SIGSEGV, during: ProbedAccess::Load };
    assert_eq!(found, ExclusivesProbe { outcome, word: ProbedWord::Untouched });
}

#[test]
fn a_child_lacks_the_mapping_of_a_region_and_has_that_of_a_probe() {
    if !can(Capability::ForkDuringCalls) || !can(Capability::KeepMemoryFromChildren) {
        return;
    }
    for (children, expected) in
        [(Children::Lack, ChildEnd::Signal(libc::SIGSEGV)), (Children::Inherit, ChildEnd::Done)]
    {
        let word = Word::new(children);
        let address = word.mapping.address().cast::<u32>().as_ptr();
        // SAFETY: aligned; mapped, or the child dies.
        let read = || unsafe { address.read_volatile() };
        // SAFETY: the child reads a word, or dies.
        let ran = unsafe { run(LONG, |report| report([1, read()])) };
        assert_eq!(ran.expect("a child").1, expected, "{children:?}");
    }
}
