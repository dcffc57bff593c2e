//! Counts beside the frozen peer (`tests/peer`), by the rule at the head of its `main.c`.
//!
//! Usage: `mate (count|churn) DIRECTORY NAME FILE TIMES`; `TIMES` 0 goes on until it is killed.
//! `churn` opens the lock anew for each critical section. Exit status 3: two owners were in a
//! critical section at one time.

#![allow(unsafe_code, reason = "implements a trait for types of atomics")]

use std::process::ExitCode;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use shmlock::ShmLock;
use shmlock_tests::{Shared, Words};

/// The counters that both sides use.
#[repr(C)]
struct Counters {
    counter: AtomicU64,
    shadow: AtomicU64,
    /// The number of critical sections that began with a reported death.
    repaired: AtomicU64,
}

// SAFETY: atomics only.
unsafe impl Words for Counters {}

const VIOLATION: u8 = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [verb, directory, name, file, times] = arguments.as_slice() else {
        eprintln!("usage: mate (count|churn) DIRECTORY NAME FILE TIMES");
        return ExitCode::from(64);
    };
    match count(
        verb == "churn",
        &|| ShmLock::builder(name).directory(directory).open(),
        file,
        times.parse().unwrap_or(0),
    ) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(VIOLATION),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns `false` if another owner was in a critical section of ours, or of a living one.
fn count(
    anew: bool,
    open: &dyn Fn() -> shmlock::Result<ShmLock>,
    file: &str,
    times: u64,
) -> shmlock::Result<bool> {
    let counters: Shared<Counters> = Shared::open(file);
    let mut lock = open()?;
    let mut done = 0;
    while times == 0 || done < times {
        if anew {
            drop(lock);
            lock = open()?;
        }
        let guard = lock.lock()?;
        let (mut counter, shadow) = (counters.counter.load(Relaxed), counters.shadow.load(Relaxed));
        if guard.recovered().is_some() {
            counter = counter.max(shadow);
            counters.shadow.store(counter, Relaxed);
            counters.counter.store(counter, Relaxed);
            counters.repaired.store(counters.repaired.load(Relaxed) + 1, Relaxed);
            guard.declare_consistent()?;
        } else if counter != shadow {
            eprintln!("two owners at one time: counter {counter}, shadow {shadow}");
            return Ok(false);
        }
        counters.shadow.store(counter + 1, Relaxed);
        counters.counter.store(counter + 1, Relaxed);
        guard.release()?;
        done += 1;
    }
    println!("{done}");
    Ok(true)
}
