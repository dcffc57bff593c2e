//! Has a region and a handle in RAM, and does nothing with them.

#![no_std]
#![no_main]

use core::hint::black_box;

use shmlock_core::{RegionLock, RegionMemory};
use shmlock_size::Place;

static MEMORY: RegionMemory = RegionMemory::new();
static HANDLE: Place<RegionLock<'static>> = Place::new();

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    black_box((&MEMORY, &HANDLE));
    shmlock_size::end()
}
