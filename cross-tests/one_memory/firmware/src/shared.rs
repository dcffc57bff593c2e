//! Provides the memory that this machine shares with Linux.

use core::ptr::NonNull;

use shmlock_one_memory::SharedMemory;

/// The board's RAM outside the processor, which is a file of the host. No program is linked to it,
/// so no start-up code clears it.
const ADDRESS: usize = if cfg!(feature = "an521") { 0x8000_0000 } else { 0x2100_0000 };

/// The bytes of that RAM.
#[cfg(feature = "an521")]
const LEN: usize = 16 << 20;

/// Returns the shared memory. Each core calls it at its start.
pub(crate) fn attach() -> &'static SharedMemory {
    #[cfg(feature = "an521")]
    mpu::make_shareable(ADDRESS, ADDRESS + LEN);
    let address = NonNull::new(ADDRESS as *mut u8).expect("not zero");
    // SAFETY:
    // - RAM of this board, as the linker script has it, aligned and large enough.
    // - all parties use this type, whose fields are atomics.
    unsafe { SharedMemory::at(address) }
}

/// The memory protection unit of ARMv8-M.
///
/// By default this address is cacheable and not shareable. Exclusives then need not look beyond
/// their own core, and caches may keep stores. The emulator has neither caches nor such monitors,
/// so it does not notice if this is missing; a real core does. The region is the whole RAM: QEMU
/// executes exclusives on a part of a page one core at a time, and not atomically for Linux.
#[cfg(feature = "an521")]
mod mpu {
    use core::ptr;

    const CONTROL: *mut u32 = 0xe000_ed94 as *mut u32;
    const REGION_NUMBER: *mut u32 = 0xe000_ed98 as *mut u32;
    const REGION_BASE: *mut u32 = 0xe000_ed9c as *mut u32;
    const REGION_LIMIT: *mut u32 = 0xe000_eda0 as *mut u32;
    const ATTRIBUTES: *mut u32 = 0xe000_edc0 as *mut u32;

    /// Attribute 0: normal memory, not cacheable.
    const NORMAL_NON_CACHEABLE: u32 = 0x44;
    const OUTER_SHAREABLE: u32 = 2 << 3;
    const READ_WRITE: u32 = 1 << 1;
    const NEVER_EXECUTE: u32 = 1;
    const ENABLED: u32 = 1;
    /// Addresses outside all regions keep their default attributes.
    const KEEP_DEFAULTS: u32 = 1 << 2;

    /// Makes the memory from `start` to before `end` normal, non-cacheable and shareable, in units
    /// of 32 bytes.
    #[expect(clippy::cast_possible_truncation, reason = "addresses have 32 bits here")]
    pub(super) fn make_shareable(start: usize, end: usize) {
        let last = (end - 1) as u32 & !31;
        let writes = [
            (ATTRIBUTES, NORMAL_NON_CACHEABLE),
            (REGION_NUMBER, 0),
            (REGION_BASE, start as u32 | OUTER_SHAREABLE | READ_WRITE | NEVER_EXECUTE),
            (REGION_LIMIT, last | ENABLED),
            (CONTROL, KEEP_DEFAULTS | ENABLED),
        ];
        for (register, value) in writes {
            // SAFETY: a register of this core's MPU. The region has no code and no stack.
            unsafe { ptr::write_volatile(register, value) };
        }
        cortex_m::asm::dsb();
        cortex_m::asm::isb();
    }
}
