//! Provides what the measured programs share: a place in RAM, a critical section, a panic handler.
//!
//! A program in `bin/` is one use of one lock. The difference between two programs is the flash and
//! the RAM of the calls that only one of them makes. `nothing` makes none.

#![no_std]

use core::arch::asm;
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::panic::PanicInfo;

use critical_section::RawRestoreState;

/// Static memory for a value that is never made: only its size counts.
pub struct Place<T>(UnsafeCell<MaybeUninit<T>>);

// SAFETY: nothing reads or writes it.
unsafe impl<T> Sync for Place<T> {}

impl<T> Place<T> {
    /// Returns an empty place.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "for statics only")]
    pub const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }
}

/// Ends a program.
pub fn end() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    end()
}

/// Masks interrupts, as the support crate of a chip with one core does.
struct Masked;
critical_section::set_impl!(Masked);

// SAFETY: one core, whose interrupts are masked in between.
unsafe impl critical_section::Impl for Masked {
    unsafe fn acquire() -> RawRestoreState {
        let before: u32;
        #[cfg(target_arch = "arm")]
        // SAFETY: reads the mask and sets it; without `nomem`, accesses stay on their side.
        unsafe {
            asm!("mrs {}, PRIMASK", "cpsid i", out(reg) before, options(nostack, preserves_flags));
        }
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        unsafe {
            asm!("mrs {0:x}, DAIF", "msr DAIFSet, #2", out(reg) before, options(nostack));
        }
        before
    }

    unsafe fn release(before: RawRestoreState) {
        #[cfg(target_arch = "arm")]
        // SAFETY: as above.
        unsafe {
            asm!("msr PRIMASK, {}", in(reg) before, options(nostack, preserves_flags));
        }
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        unsafe {
            asm!("msr DAIF, {0:x}", in(reg) before, options(nostack));
        }
    }
}
