//! Arm's MPS2 board with image AN521: two Cortex-M33 on one RAM.

use core::ptr;

use cortex_m_rt::{entry, exception};

use crate::program;

/// The SSE-200's system control block (secure alias): where core 1 finds its vectors, and whether it waits.
const INITSVTOR1: *mut u32 = 0x5002_1114 as *mut u32;
const CPUWAIT: *mut u32 = 0x5002_1118 as *mut u32;

#[repr(C)]
union Vector {
    stack_end: *const u64,
    reset: extern "C" fn() -> !,
    fault: extern "C" fn() -> !,
}

/// What core 1 starts from: the end of its stack, where to begin, and thirteen ways to go wrong.
#[repr(C, align(512))]
struct Vectors([Vector; 15]);

// SAFETY: read by the hardware only.
unsafe impl Sync for Vectors {}

const STACK_WORDS: usize = 2048;
static mut STACK_1: [u64; STACK_WORDS] = [0; STACK_WORDS];

static VECTORS_1: Vectors = {
    let mut vectors = [const { Vector { fault: fault_1 } }; 15];
    vectors[0] = Vector { stack_end: (&raw const STACK_1).cast::<u64>().wrapping_add(STACK_WORDS) };
    vectors[1] = Vector { reset: reset_1 };
    Vectors(vectors)
};

#[entry]
fn main() -> ! {
    program::begin();
    // SAFETY: a register of this machine, which nobody else writes.
    unsafe { ptr::write_volatile(INITSVTOR1, &raw const VECTORS_1 as u32) };
    // SAFETY: likewise. Core 1 starts; `.data` and `.bss`, which it shares with us, have been filled.
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
