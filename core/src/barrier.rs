//! Wraps the three ARM instructions that have no name in `core`: `dmb sy`, `wfe`, `sev`. Elsewhere,
//! each function does the nearest equivalent.

#![allow(unsafe_code, reason = "inline assembly of single instructions without operands")]

#[cfg(any(target_arch = "arm", target_arch = "aarch64"))]
use core::arch::asm;

#[cfg(not(any(target_arch = "arm", target_arch = "aarch64")))]
use crate::sync::{Ordering, fence, spin_loop};

/// Orders all earlier memory accesses before all later ones, for every observer in the system:
/// other clusters, DSPs, DMA masters. ARM: `dmb sy` (Arm ARM, "Data Memory Barrier", full system).
/// Elsewhere: a sequentially consistent fence.
#[inline]
pub(crate) fn full_system() {
    #[cfg(any(target_arch = "arm", target_arch = "aarch64"))]
    // SAFETY:
    // - `dmb sy` has no operands, changes no register and no flag, and cannot fault.
    // - Without `nomem` the compiler keeps every memory access on its side of it.
    unsafe {
        asm!("dmb sy", options(nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "arm", target_arch = "aarch64")))]
    #[allow(clippy::disallowed_methods, reason = "replaces the instruction off ARM")]
    fence(Ordering::SeqCst);
}

/// Waits for an event: [`send_event`] on any core, an interrupt, or a tick of the event stream.
/// Elsewhere: a spin hint.
#[inline]
pub(crate) fn wait_for_event() {
    #[cfg(any(target_arch = "arm", target_arch = "aarch64"))]
    // SAFETY:
    // - `wfe` has no operands, changes no register and no flag; an implementation may treat it as a
    //   no-op.
    // - Without `nomem` the compiler rereads memory afterwards.
    unsafe {
        asm!("wfe", options(nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "arm", target_arch = "aarch64")))]
    spin_loop();
}

/// Makes the stores before it visible, then signals every core that waits for an event. Elsewhere:
/// nothing.
#[inline]
pub(crate) fn send_event() {
    #[cfg(any(target_arch = "arm", target_arch = "aarch64"))]
    // SAFETY:
    // - `dsb sy` and `sev` have no operands, change no register and no flag, and cannot fault.
    // - The barrier stands in the same block so that the event cannot overtake the store it
    //   announces.
    unsafe {
        asm!("dsb sy", "sev", options(nostack, preserves_flags));
    }
}
