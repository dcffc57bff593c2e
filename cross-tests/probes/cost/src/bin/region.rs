//! Counts `shmlock_core::RegionLock`, as in firmware.

use std::num::NonZeroU16;

use shmlock_core::{Region, RegionGuard, RegionLock, RegionMemory};

/// Hides the lifetime of the region, so that the guard's can be elided.
type Lock = RegionLock<'static>;

shmlock_cost::counted!(Lock, RegionGuard<'_, 'static>, |lock| Lock::try_lock(lock).ok().flatten());

static MEMORY: RegionMemory = RegionMemory::new();

fn main() {
    let region = Region::from_static(&MEMORY).expect("all zero");
    cost_caller(&RegionLock::new(region, NonZeroU16::MIN));
}
