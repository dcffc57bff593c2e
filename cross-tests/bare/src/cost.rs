//! Defines the functions whose instructions `cross-tests/probes/count.sh` and `ci/core_size.sh`
//! count. They find them by their names in the symbol table.
//!
//! They count from the first instruction of a function until its caller continues.

#![allow(clippy::no_mangle_with_rust_abi, reason = "found by name, called from Rust")]

use core::hint::black_box;
use core::num::NonZeroU16;

use shmlock_core::wait::Spin;
use shmlock_core::{
    Error, Region, RegionGuard, RegionLock, RegionMemory, TicketGuard, TicketLock, TicketMemory,
    TicketRegion,
};

static MEMORY: RegionMemory = RegionMemory::new();
static TICKETS: TicketMemory<3> = TicketMemory::new();

type Tickets = TicketLock<'static, 3>;

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

#[unsafe(no_mangle)]
#[inline(never)]
fn cost_acquire_unguarded(lock: &RegionLock<'static>, wait: &mut Spin) -> Result<(), Error> {
    lock.acquire(wait)
}

#[unsafe(no_mangle)]
#[inline(never)]
fn cost_release_unguarded(lock: &RegionLock<'static>) -> Result<(), Error> {
    lock.release()
}

#[unsafe(no_mangle)]
#[inline(never)]
fn cost_acquire_ticket(lock: &Tickets) -> Option<TicketGuard<'_, 'static, 3>> {
    lock.try_lock().ok().flatten()
}

#[unsafe(no_mangle)]
#[inline(never)]
fn cost_release_ticket(guard: TicketGuard<'_, '_, 3>) {
    drop(guard);
}

pub(crate) fn run() {
    let region = Region::from_static(&MEMORY).expect("all zero");
    let lock = RegionLock::new(region, NonZeroU16::MIN);
    cost_caller(&lock);
    cost_caller_unguarded(&lock);
    let tickets = TicketRegion::from_static(&TICKETS).expect("all zero");
    cost_caller_ticket(&TicketLock::new(tickets, NonZeroU16::MIN).expect("the first party"));
}

#[unsafe(no_mangle)]
#[inline(never)]
fn cost_caller(lock: &RegionLock<'static>) {
    for _ in 0..100 {
        let guard = cost_acquire(black_box(lock)).expect("free");
        cost_release(black_box(guard));
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
fn cost_caller_unguarded(lock: &RegionLock<'static>) {
    for _ in 0..100 {
        cost_acquire_unguarded(black_box(lock), &mut Spin::attempts(1)).expect("free");
        cost_release_unguarded(black_box(lock)).expect("held");
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
fn cost_caller_ticket(lock: &Tickets) {
    for _ in 0..100 {
        let guard = cost_acquire_ticket(black_box(lock)).expect("free");
        cost_release_ticket(black_box(guard));
    }
}
