//! Measures the core's operations without contention in one process, beside the least cost of any
//! lock.
//!
//! ```text
//! cargo bench -p shmlock-core-benches
//! ```
//!
//! `bench/comparison` measures other locks between processes, and contention.

use std::hint::black_box;
use std::num::NonZeroU16;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Mutex, PoisonError};

use divan::Bencher;
use shmlock_core::fence::InnerShareable;
use shmlock_core::protocol::{self, Attempt};
use shmlock_core::wait::Spin;
use shmlock_core::{Region, RegionLock, RegionMemory, Token};

fn main() {
    divan::main();
}

/// A value on cache lines of its own, for every contender alike.
#[repr(align(128))]
struct Apart<T>(T);

/// The least: a compare-exchange and a store. It knows neither owner nor waiters.
#[divan::bench]
fn bare_swap_and_store(bencher: Bencher<'_, '_>) {
    let word = Apart(AtomicU32::new(0));
    bencher.bench_local(|| {
        let word = black_box(&word.0);
        let taken = word.compare_exchange(0, 1, Acquire, Relaxed);
        word.store(0, Release);
        taken
    });
}

/// The least that can see a waiter at the release: a compare-exchange and a swap.
#[divan::bench]
fn bare_swap_pair(bencher: Bencher<'_, '_>) {
    let word = Apart(AtomicU32::new(0));
    bencher.bench_local(|| {
        let word = black_box(&word.0);
        let taken = word.compare_exchange(0, 1, Acquire, Relaxed);
        (taken, word.swap(0, Release))
    });
}

/// The standard library's mutex, for threads of one process.
#[divan::bench]
fn std_mutex(bencher: Bencher<'_, '_>) {
    let mutex = Apart(Mutex::new(()));
    bencher
        .bench_local(|| drop(black_box(&mutex.0).lock().unwrap_or_else(PoisonError::into_inner)));
}

/// The two steps of the protocol alone.
#[divan::bench]
fn protocol_steps(bencher: Bencher<'_, '_>) {
    let word = Apart(AtomicU32::new(0));
    let me = Token::from_static(NonZeroU16::MIN);
    bencher.bench_local(|| {
        let word = black_box(&word.0);
        let taken = protocol::try_acquire(word, me, Attempt::First, InnerShareable);
        (taken, protocol::release(word, me, InnerShareable))
    });
}

/// A lock for firmware, with a guard.
#[divan::bench]
fn region_lock_guard(bencher: Bencher<'_, '_>) {
    let memory = RegionMemory::new();
    let lock = lock_in(&memory);
    bencher.bench_local(|| black_box(&lock).try_lock().map(drop));
}

/// The same without a guard, with a wait strategy.
#[divan::bench]
fn region_lock_acquire_release(bencher: Bencher<'_, '_>) {
    let memory = RegionMemory::new();
    let lock = lock_in(&memory);
    bencher.bench_local(|| {
        let lock = black_box(&lock);
        (lock.acquire(&mut Spin::attempts(1)), lock.release())
    });
}

/// A refused try: another token holds the lock.
#[divan::bench]
fn region_lock_refused(bencher: Bencher<'_, '_>) {
    let memory = RegionMemory::new();
    let owner = lock_in(&memory);
    let _held = owner.try_lock();
    let other = RegionLock::new(region_of(&memory), NonZeroU16::MAX);
    bencher.bench_local(|| black_box(&other).try_lock().is_ok_and(|guard| guard.is_none()));
}

fn lock_in(memory: &RegionMemory) -> RegionLock<'_> {
    RegionLock::new(region_of(memory), NonZeroU16::MIN)
}

fn region_of(memory: &RegionMemory) -> Region<'_> {
    Region::new(memory).expect("all zero is a valid region")
}
