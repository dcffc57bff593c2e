//! Does the same as `wait`, and reads which owner holds the lock.

#![no_std]
#![no_main]

use core::hint::black_box;
use core::mem::ManuallyDrop;
use core::num::NonZeroU16;

use shmlock_core::{Region, RegionLock, RegionMemory, wait::Spin};

static MEMORY: RegionMemory = RegionMemory::new();

#[inline(never)]
fn run(lock: &RegionLock<'static>) {
    drop(lock.lock(&mut Spin::attempts(1_000)));
    black_box(&lock.holder());
}

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    if let Ok(region) = Region::from_static(&MEMORY) {
        let lock = ManuallyDrop::new(RegionLock::new(region, NonZeroU16::MIN));
        run(black_box(&lock));
    }
    shmlock_size::end()
}
