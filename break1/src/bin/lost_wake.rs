//! An interrupt handler between `release` and `owes_wake`, which leaves the handle as it found it.
use core::num::NonZeroU16;
use shmlock_core::protocol::set_waiters;
use shmlock_core::{Region, RegionLock, RegionMemory};

static SHARED: RegionMemory = RegionMemory::new();

fn main() {
    let region = Region::from_static(&SHARED).unwrap();
    let lock = RegionLock::new(region, NonZeroU16::MIN);
    lock.try_acquire().unwrap();
    set_waiters(region.owner_word(), region.word()).unwrap(); // another contender sleeps
    lock.release().unwrap();
    // The handler:
    lock.try_acquire().unwrap();
    lock.release().unwrap();
    // The interrupted code:
    println!("owes_wake: {} (true expected: a waiter sleeps)", lock.owes_wake());
}
