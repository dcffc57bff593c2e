//! Reads the thread pointer, in one instruction. No two living threads have the same.
//!
//! The thread pointer is the address of the thread's control block, the same for as long as the
//! thread lives. A later thread may get the same address. So a mark is removed when its thread ends
//! (`process/thread_end.rs`). In a shared library a thread-local variable costs a call instead.

#![allow(unsafe_code, reason = "inline assembly of single instructions that read a register")]

#[cfg(all(not(miri), any(target_arch = "aarch64", target_arch = "arm")))]
use std::arch::asm;
#[cfg(all(not(miri), target_arch = "x86_64", target_pointer_width = "64"))]
use std::arch::asm;

/// The mark of no thread.
pub(crate) const NO_MARK: usize = usize::MAX;

/// Returns a value that no other living thread of this process has, and never [`NO_MARK`].
/// Async-signal-safe. AArch64: `tpidr_el0`.
#[cfg(all(not(miri), target_arch = "aarch64"))]
#[inline]
pub(crate) fn thread_mark() -> usize {
    let mark: usize;
    // SAFETY: reads a register that every thread may read; changes neither memory nor flags.
    unsafe {
        asm!("mrs {}, tpidr_el0", out(reg) mark, options(nomem, nostack, preserves_flags));
    }
    mark
}

/// Returns a value that no other living thread of this process has, and never [`NO_MARK`].
/// Async-signal-safe. ARMv7-A: `TPIDRURO`.
#[cfg(all(not(miri), target_arch = "arm"))]
#[inline]
pub(crate) fn thread_mark() -> usize {
    let mark: usize;
    // SAFETY: reads a register that every thread may read; changes neither memory nor flags.
    unsafe {
        asm!("mrc p15, 0, {}, c13, c0, 3", out(reg) mark, options(nomem, nostack, preserves_flags));
    }
    mark
}

/// Returns a value that no other living thread of this process has, and never [`NO_MARK`].
/// Async-signal-safe. x86-64: the first word of the control block is its own address (ELF Handling
/// For Thread-Local Storage, variant II).
#[cfg(all(not(miri), target_arch = "x86_64", target_pointer_width = "64"))]
#[inline]
pub(crate) fn thread_mark() -> usize {
    let mark: usize;
    // SAFETY: reads the first word of this thread's control block, which every libc fills; changes
    // neither memory nor flags.
    unsafe {
        asm!("mov {}, fs:[0]", out(reg) mark, options(readonly, nostack, preserves_flags));
    }
    mark
}

/// Returns a value that no other thread of this process has, and never [`NO_MARK`]; 0 for a thread
/// without a number. Async-signal-safe. A thread-local variable, where no register is known.
#[cfg(any(
    miri,
    not(any(
        target_arch = "aarch64",
        target_arch = "arm",
        all(target_arch = "x86_64", target_pointer_width = "64")
    ))
))]
#[inline]
pub(crate) fn thread_mark() -> usize {
    crate::sys::thread::number_as_known() as usize
}
