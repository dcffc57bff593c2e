//! Compares and swaps a word by the instruction of this processor.
//!
//! Where a target's processors differ, compilers call a function that looks for the instruction
//! each time (AArch64, `-moutline-atomics`). A handle looks once, when it is opened.

#![allow(unsafe_code, reason = "inline assembly of a compare-and-swap")]

#[cfg(all(target_arch = "aarch64", not(target_feature = "lse"), not(miri)))]
use std::arch::asm;
use std::sync::atomic::AtomicU32;
#[cfg(not(all(target_arch = "aarch64", not(target_feature = "lse"), not(miri))))]
use std::sync::atomic::Ordering::Relaxed;

/// The way to swap on this processor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Swap {
    /// The processor has the single instructions of LSE.
    #[cfg(all(target_arch = "aarch64", not(target_feature = "lse"), not(miri)))]
    has_lse: bool,
}

#[cfg(not(all(target_arch = "aarch64", not(target_feature = "lse"), not(miri))))]
impl Swap {
    /// Looks at the processor.
    pub(crate) fn new() -> Self {
        Self {}
    }

    /// Swaps `old` for `new`, relaxed. Returns the value found.
    ///
    /// # Errors
    /// The value found, if it is another than `old`.
    #[inline]
    #[expect(clippy::unused_self, reason = "the same call for every target")]
    pub(crate) fn swap(self, word: &AtomicU32, old: u32, new: u32) -> Result<u32, u32> {
        // Relaxed: the caller's fences order.
        word.compare_exchange(old, new, Relaxed, Relaxed)
    }
}

#[cfg(all(target_arch = "aarch64", not(target_feature = "lse"), not(miri)))]
impl Swap {
    /// Looks at the processor.
    pub(crate) fn new() -> Self {
        Self { has_lse: std::arch::is_aarch64_feature_detected!("lse") }
    }

    /// Swaps `old` for `new`, relaxed. Returns the value found.
    ///
    /// # Errors
    /// The value found, if it is another than `old`.
    #[inline]
    pub(crate) fn swap(self, word: &AtomicU32, old: u32, new: u32) -> Result<u32, u32> {
        let found =
            if self.has_lse { by_instruction(word, old, new) } else { by_pair(word, old, new) };
        if found == old { Ok(found) } else { Err(found) }
    }
}

/// Swaps by `cas`, of LSE.
#[cfg(all(target_arch = "aarch64", not(target_feature = "lse"), not(miri)))]
#[inline]
fn by_instruction(word: &AtomicU32, old: u32, new: u32) -> u32 {
    let found: u32;
    // SAFETY:
    // - the address of an atomic word, which may be written to through a shared reference.
    // - the caller knows that the processor has the instruction.
    // - Without `nomem` the compiler keeps every memory access on its side of it.
    unsafe {
        asm!(
            ".arch_extension lse",
            "cas {found:w}, {new:w}, [{word}]",
            found = inout(reg) old => found,
            new = in(reg) new,
            word = in(reg) word.as_ptr(),
            options(nostack, preserves_flags),
        );
    }
    found
}

/// Swaps by a pair of exclusive instructions, again while only the reservation was lost.
#[cfg(all(target_arch = "aarch64", not(target_feature = "lse"), not(miri)))]
#[inline]
fn by_pair(word: &AtomicU32, old: u32, new: u32) -> u32 {
    let found: u32;
    // SAFETY: as above, with instructions that every processor has.
    unsafe {
        asm!(
            "2: ldxr {found:w}, [{word}]",
            "cmp {found:w}, {old:w}",
            "b.ne 3f",
            "stxr {lost:w}, {new:w}, [{word}]",
            "cbnz {lost:w}, 2b",
            "3:",
            found = out(reg) found,
            lost = out(reg) _,
            old = in(reg) old,
            new = in(reg) new,
            word = in(reg) word.as_ptr(),
            options(nostack),
        );
    }
    found
}
