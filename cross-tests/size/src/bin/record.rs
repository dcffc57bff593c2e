//! Does the same as `wait`, with a record of the owner.

#![no_std]
#![no_main]

use core::hint::black_box;
use core::mem::ManuallyDrop;
use core::num::NonZeroU16;

use shmlock_core::{Region, RegionLock, RegionMemory, record::Record, uuid::Uuid, wait::Spin};

static MEMORY: RegionMemory = RegionMemory::new();

#[inline(never)]
fn run(lock: &RegionLock<'static>) {
    drop(lock.lock(&mut Spin::attempts(1_000)));
}

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    if let Ok(region) = Region::from_static(&MEMORY) {
        let record = Record { uuid: Uuid::from_u128(0x107), ..Record::default() };
        let lock = RegionLock::new(region, NonZeroU16::MIN).with_record(record);
        let lock = ManuallyDrop::new(lock);
        run(black_box(&lock));
    }
    shmlock_size::end()
}
