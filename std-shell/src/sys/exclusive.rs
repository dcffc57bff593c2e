//! Executes one pair of exclusive instructions, or one compare-and-swap, in assembly.
//!
//! A compare-and-swap of the standard library is a loop on ARM without LSE: in memory where no
//! exclusive store succeeds it never ends. Here the pair stands once, and its result is returned.
//!
//! *Sources:* Arm Architecture Reference Manual, `LDXR` and `STXR` (status 0: stored, 1: not
//! stored), `LDREX` and `STREX`, and the section on usage restrictions of these: on memory that is
//! not Normal, Shareable and Cacheable it is implementation defined whether they work, fail or
//! abort. Intel SDM, `CMPXCHG` with the prefix `LOCK`.

#![allow(unsafe_code, reason = "inline assembly on a raw address")]

#[cfg(any(target_arch = "aarch64", target_arch = "arm", target_arch = "x86_64"))]
use std::arch::asm;

/// The result of one pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pair {
    /// The store says that it was performed.
    Stored,
    /// The store says that it was not performed.
    Refused,
}

/// Loads the word exclusively and stores `new` exclusively, once. On x86-64: one `lock cmpxchg`
/// from `expected`. No barrier: one word, one party.
///
/// # Safety
///
/// `word` is a multiple of four and mapped, readable and writable, and no Rust reference to it
/// exists other than to atomics. The access may fault or hang: the caller is prepared for that.
#[inline(never)] // nothing of the caller stands between the two instructions
pub(crate) unsafe fn pair(word: *mut u32, expected: u32, new: u32) -> Pair {
    #[cfg(any(target_arch = "aarch64", target_arch = "arm"))]
    let is_refused = {
        let failed: u32;
        let _ = expected; // the pair compares nothing
        #[cfg(target_arch = "aarch64")]
        // SAFETY:
        // - aligned, readable, writable, not referred to: promised by the caller.
        // - no output shares a register with an input: none is a `lateout`.
        unsafe {
            asm!(
                "ldxr {seen:w}, [{word}]",
                "stxr {failed:w}, {new:w}, [{word}]",
                word = in(reg) word, new = in(reg) new, seen = out(reg) _, failed = out(reg) failed,
                options(nostack, preserves_flags)
            );
        }
        #[cfg(target_arch = "arm")]
        // SAFETY: as above.
        unsafe {
            asm!(
                "ldrex {seen}, [{word}]",
                "strex {failed}, {new}, [{word}]",
                word = in(reg) word, new = in(reg) new, seen = out(reg) _, failed = out(reg) failed,
                options(nostack, preserves_flags)
            );
        }
        failed != 0
    };
    #[cfg(target_arch = "x86_64")]
    let is_refused = {
        let seen: u32;
        // SAFETY: as above; `eax` is the one implicit operand.
        unsafe {
            asm!(
                "lock cmpxchg dword ptr [{word}], {new:e}",
                word = in(reg) word, new = in(reg) new, inout("eax") expected => seen,
                options(nostack)
            );
        }
        seen != expected
    };
    #[cfg(not(any(target_arch = "aarch64", target_arch = "arm", target_arch = "x86_64")))]
    let is_refused = {
        // SAFETY: promised by the caller.
        let refused = unsafe { is_swap_refused(word, expected, new) };
        refused
    };
    if is_refused { Pair::Refused } else { Pair::Stored }
}

/// Replaces the pair on processors for which no assembly stands here: it may be a loop there, which
/// the bound on the time ends.
///
/// # Safety
/// As for [`pair`].
#[cfg(any(test, not(any(target_arch = "aarch64", target_arch = "arm", target_arch = "x86_64"))))]
unsafe fn is_swap_refused(word: *mut u32, expected: u32, new: u32) -> bool {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    // SAFETY: aligned, mapped, and accessed as an atomic only: promised by the caller.
    let word = unsafe { AtomicU32::from_ptr(word) };
    // Partner: none. Relaxed: one word, one party.
    word.compare_exchange_weak(expected, new, Relaxed, Relaxed).is_err()
}

#[cfg(test)]
mod tests {
    use super::{Pair, is_swap_refused, pair};

    /// How often a pair may fail in a row: an interrupt between its instructions fails it.
    const ATTEMPTS: usize = 1000;

    #[test]
    fn a_pair_on_ordinary_memory_stores_its_value() {
        let mut word = 5_u32;
        let address = &raw mut word;
        let stored = (0..ATTEMPTS).any(|_| {
            // SAFETY: our own word, to which no reference exists.
            (unsafe { pair(address, 5, !5) }) == Pair::Stored
        });
        // SAFETY: as above.
        assert_eq!((stored, unsafe { address.read_volatile() }), (true, !5));
    }

    #[test]
    fn the_replacement_for_other_processors_compares_and_swaps() {
        let mut word = 5_u32;
        let address = &raw mut word;
        // SAFETY: our own word, to which no reference exists.
        assert!(unsafe { is_swap_refused(address, 6, 7) });
        // SAFETY: as above.
        assert!((0..ATTEMPTS).any(|_| !unsafe { is_swap_refused(address, 5, 7) }));
        // SAFETY: as above.
        assert_eq!(unsafe { address.read_volatile() }, 7);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_swap_from_another_value_is_refused_and_stores_nothing() {
        let mut word = 5_u32;
        let address = &raw mut word;
        // SAFETY: our own word, to which no reference exists.
        assert_eq!(unsafe { pair(address, 6, 7) }, Pair::Refused);
        // SAFETY: as above.
        assert_eq!(unsafe { address.read_volatile() }, 5);
    }
}
