//! Acquires the lock, spinning while another holds it, and releases it.

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
}

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    if let Ok(region) = Region::from_static(&MEMORY) {
        let lock = ManuallyDrop::new(RegionLock::new(region, NonZeroU16::MIN));
        run(black_box(&lock));
    }
    shmlock_size::end()
}
