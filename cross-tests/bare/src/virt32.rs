//! Starts QEMU's `virt` with four Cortex-A15, or another ARMv7-A with the multiprocessing
//! extensions.

use core::arch::{asm, global_asm};

use smccc::{Hvc, psci};

use crate::program;

const CORES: u32 = 4;

// Each core starts here, by reset or the firmware's CPU_ON: sets its own stack, then calls Rust.
global_asm!(
    ".pushsection .text.reset, \"ax\"",
    ".arm",
    ".global reset",
    "reset:",
    "cpsid aif",
    "mrc p15, 0, r0, c0, c0, 5", // MPIDR
    "and r0, r0, #3",
    "ldr sp, =stacks_end",
    "sub sp, sp, r0, lsl #16",
    "b {start}",
    ".ltorg",
    ".popsection",
    start = sym start,
);

unsafe extern "C" {
    /// The code above. Not called from Rust; its address is passed to the firmware.
    fn reset();
}

extern "C" fn start(core: u32) -> ! {
    enable_mmu();
    if core == 0 {
        program::begin();
        for other in 1..CORES {
            psci::cpu_on_32::<Hvc>(other, reset as *const () as u32, 0)
                .expect("the machine has this core");
        }
    }
    program::end(program::run(core, CORES))
}

/// The page table: sections of 1 MiB that map to themselves.
#[repr(C, align(16384))]
struct Table([u32; 4096]);

static TABLE: Table = Table({
    const SECTION: u32 = 2;
    const READ_WRITE: u32 = 3 << 10;
    const NEVER_EXECUTE: u32 = 1 << 4;
    const DEVICE: u32 = 1 << 2; // bufferable: shareable device memory
    const NORMAL: u32 = 1 << 16 | 1 << 12 | 3 << 2; // shareable, write-back, write-allocate
    let mut table = [0; 4096];
    let mut megabyte = 0;
    while megabyte < 4096 {
        let kind = if megabyte < 1024 { DEVICE | NEVER_EXECUTE } else { NORMAL };
        #[expect(clippy::cast_possible_truncation, reason = "below 4096")]
        let address = (megabyte as u32) << 20;
        table[megabyte] = address | READ_WRITE | kind | SECTION;
        megabyte += 1;
    }
    table
});

/// Turns on the MMU, the caches and coherence. Without them, exclusives need not work on real
/// cores.
fn enable_mmu() {
    const WALKS: u32 = 0x4a; // the table walker: write-back, write-allocate, shareable
    // Instruction cache, branch prediction, data cache, MMU.
    const ON: u32 = 1 << 12 | 1 << 11 | 1 << 2 | 1;
    // SAFETY: the core has just left reset.
    // - The table is a static, and maps all memory to itself, so the code continues.
    // - The TLB is invalidated first; ACTLR.SMP adds the core to the coherent domain (A7, A9, A15).
    unsafe {
        asm!(
            "mrc p15, 0, {x}, c1, c0, 1", // ACTLR
            "orr {x}, {x}, #(1 << 6)",    // SMP
            "mcr p15, 0, {x}, c1, c0, 1",
            "mcr p15, 0, {table}, c2, c0, 0", // TTBR0
            "mcr p15, 0, {zero}, c2, c0, 2",  // TTBCR: TTBR0 alone
            "mcr p15, 0, {one}, c3, c0, 0",   // DACR: domain 0 obeys the table
            "mcr p15, 0, {zero}, c8, c7, 0",  // TLBIALL
            "dsb",
            "isb",
            "mrc p15, 0, {x}, c1, c0, 0", // SCTLR
            "orr {x}, {x}, {on}",
            "mcr p15, 0, {x}, c1, c0, 0",
            "isb",
            x = out(reg) _,
            table = in(reg) (&raw const TABLE) as u32 | WALKS,
            zero = in(reg) 0,
            one = in(reg) 1,
            on = in(reg) ON,
            options(nostack, preserves_flags),
        );
    }
}
