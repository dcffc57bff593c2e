//! Starts Arm's MPS2 board with image AN521: two Cortex-M33 with shared RAM.

use core::mem::MaybeUninit;
use core::ptr;

use cortex_m_rt::{entry, exception};

use crate::program;

/// The address of core 1's vectors: a register of the SSE-200's system control block (secure
/// alias).
const INITSVTOR1: *mut u32 = 0x5002_1114 as *mut u32;
/// Core 1 waits while this register is set.
const CPUWAIT: *mut u32 = 0x5002_1118 as *mut u32;

#[repr(C)]
union Vector {
    stack_end: *const u64,
    reset: extern "C" fn() -> !,
    fault: extern "C" fn() -> !,
}

/// The vectors of core 1: the end of its stack, the entry, and thirteen fault handlers.
#[repr(C, align(512))]
struct Vectors([Vector; 15]);

// SAFETY: only the hardware reads it.
unsafe impl Sync for Vectors {}

const STACK_WORDS: usize = 2048;
// Not cleared by the start of core 0: QEMU's `system_reset` resets core 0 alone, and core 1 runs
// on.
#[unsafe(link_section = ".uninit.STACK_1")]
static mut STACK_1: MaybeUninit<[u64; STACK_WORDS]> = MaybeUninit::uninit();

static VECTORS_1: Vectors = {
    let mut vectors = [const { Vector { fault: fault_1 } }; 15];
    vectors[0] = Vector { stack_end: (&raw const STACK_1).cast::<u64>().wrapping_add(STACK_WORDS) };
    vectors[1] = Vector { reset: reset_1 };
    Vectors(vectors)
};

#[entry]
fn main() -> ! {
    program::begin();
    // SAFETY: a register of this machine, written here only.
    unsafe { ptr::write_volatile(INITSVTOR1, &raw const VECTORS_1 as u32) };
    // SAFETY: as above. Core 1 starts; the shared `.data` and `.bss` are initialised.
    unsafe { ptr::write_volatile(CPUWAIT, 0) };
    program::end(program::run(0, 2))
}

extern "C" fn reset_1() -> ! {
    program::end(program::run(1, 2))
}

extern "C" fn fault_1() -> ! {
    panic!("an exception on core 1");
}

#[exception]
unsafe fn DefaultHandler(number: i16) {
    panic!("exception {number}");
}

#[exception]
unsafe fn HardFault(frame: &cortex_m_rt::ExceptionFrame) -> ! {
    panic!("hard fault at {:#x}", frame.pc());
}
