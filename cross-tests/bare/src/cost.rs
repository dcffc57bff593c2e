//! Defines the functions whose instructions `cross-tests/probes/count.sh` counts. It finds them by
//! their names in the symbol table.
//!
//! It counts from the first instruction of `cost_acquire` or `cost_release` until `cost_caller`
//! continues.

#![allow(clippy::no_mangle_with_rust_abi, reason = "found by name, called from Rust")]

use core::hint::black_box;
use core::num::NonZeroU16;

use shmlock_core::{Region, RegionGuard, RegionLock, RegionMemory};

static MEMORY: RegionMemory = RegionMemory::new();

#[unsafe(no_mangle)]
#[inline(never)]
fn cost_acquire<'l>(lock: &'l RegionLock<'static>) -> Option<RegionGuard<'l, 'static>> {
    lock.try_lock().ok().flatten()
}

#[unsafe(no_mangle)]
#[inline(never)]
fn cost_release(guard: RegionGuard<'_, '_>) {
    drop(guard);
}

pub(crate) fn run() {
    let region = Region::from_static(&MEMORY).expect("all zero");
    cost_caller(&RegionLock::new(region, NonZeroU16::MIN));
}

#[unsafe(no_mangle)]
#[inline(never)]
fn cost_caller(lock: &RegionLock<'static>) {
    for _ in 0..100 {
        let guard = cost_acquire(black_box(lock)).expect("free");
        cost_release(black_box(guard));
    }
}
