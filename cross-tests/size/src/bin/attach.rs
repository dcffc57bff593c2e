//! Makes a handle of a lock.

#![no_std]
#![no_main]

use core::hint::black_box;
use core::mem::ManuallyDrop;
use core::num::NonZeroU16;

use shmlock_core::{Region, RegionLock, RegionMemory};

static MEMORY: RegionMemory = RegionMemory::new();

#[inline(never)]
fn run(_lock: &RegionLock<'static>) {}

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    if let Ok(region) = Region::from_static(&MEMORY) {
        let lock = ManuallyDrop::new(RegionLock::new(region, NonZeroU16::MIN));
        run(black_box(&lock));
    }
    shmlock_size::end()
}
