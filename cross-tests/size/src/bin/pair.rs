//! Acquires the lock if it is free, and releases it.

#![no_std]
#![no_main]

use core::hint::black_box;
use core::mem::ManuallyDrop;
use core::num::NonZeroU16;

use shmlock_core::{Region, RegionLock, RegionMemory};

static MEMORY: RegionMemory = RegionMemory::new();

#[inline(never)]
fn run(lock: &RegionLock<'static>) {
    drop(lock.try_lock());
}

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    if let Ok(region) = Region::from_static(&MEMORY) {
        let lock = ManuallyDrop::new(RegionLock::new(region, NonZeroU16::MIN));
        run(black_box(&lock));
    }
    shmlock_size::end()
}
