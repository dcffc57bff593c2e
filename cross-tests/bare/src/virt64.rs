//! Starts QEMU's `virt` with four Cortex-A57 (exclusive pairs) or A76 (single atomic instructions).

use core::ptr::addr_of_mut;

use aarch64_rt::{
    ExceptionHandlers, InitialPagetable, Stack, entry, exception_handlers, initial_pagetable,
    start_core,
};
use smccc::Hvc;

use crate::program;

const CORES: u32 = 4;

// The first two GiB map to themselves: devices, then RAM as normal, write-back, inner-shareable
// memory. Atomic instructions need such memory on real cores; without the MMU, all is device
// memory.
const ACCESS_FLAG: usize = 1 << 10;
const INNER_SHAREABLE: usize = 3 << 8;
const NORMAL: usize = 1 << 2; // index 1 of aarch64-rt's memory attributes
const BLOCK: usize = 1;
const NEVER_EXECUTE: usize = 3 << 53;

initial_pagetable!({
    let mut table = [0; 512];
    table[0] = NEVER_EXECUTE | ACCESS_FLAG | BLOCK;
    table[1] = 0x4000_0000 | ACCESS_FLAG | INNER_SHAREABLE | NORMAL | BLOCK;
    InitialPagetable(table)
});

/// Default handlers: an exception panics.
struct Unexpected;
impl ExceptionHandlers for Unexpected {}
exception_handlers!(Unexpected);

static mut STACKS: [Stack<8>; CORES as usize] = [const { Stack::new() }; CORES as usize];

entry!(main);
fn main(_: u64, _: u64, _: u64, _: u64) -> ! {
    program::begin();
    for core in 1..CORES {
        let stack = addr_of_mut!(STACKS).cast::<Stack<8>>().wrapping_add(core as usize);
        // SAFETY:
        // - `stack` is element `core` of a static, mapped in the page table of every core.
        // - Each core has its own element, and `STACKS` has no other use.
        let started = unsafe {
            start_core::<Hvc, _, 8>(core.into(), stack, move || {
                program::run(core, CORES);
            })
        };
        started.expect("the machine has this core");
    }
    program::end(program::run(0, CORES))
}
