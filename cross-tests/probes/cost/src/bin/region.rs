//! `shmlock_core::RegionLock`, as in firmware.

use std::num::NonZeroU16;

use shmlock_core::{Region, RegionGuard, RegionLock, RegionMemory};

/// With its lifetime out of sight, so that the guard's is the only one left to elide.
type Lock = RegionLock<'static>;

shmlock_cost::counted!(Lock, RegionGuard<'_, 'static>, |lock| Lock::try_lock(lock).ok().flatten());

static MEMORY: RegionMemory = RegionMemory::new();

fn main() {
    let region = Region::from_static(&MEMORY).expect("all zero");
    cost_caller(&RegionLock::new(region, NonZeroU16::MIN));
}
