//! Does one thing a number of times, undisturbed; `ci/instructions.sh` counts its instructions.
//!
//! Usage: `instructions CASE TIMES`. The script takes the difference of two runs, so that start and
//! end do not count. Each case is code of a user, in a loop, so that the compiler inlines the same
//! functions as for users. The loop itself takes one or two instructions.

#![allow(unsafe_code, reason = "pthread_mutex, for comparison")]

use std::cell::UnsafeCell;
use std::hint::black_box;
use std::num::NonZeroU16;
use std::process::ExitCode;

use shmlock::{Error, ShmLock};
use shmlock_core::wait::Spin;
use shmlock_core::{Region, RegionLock, RegionMemory};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Does one thing so many times.
type Case = fn(u32) -> Result;

/// The cases by their names in `ci/instructions.txt`.
const CASES: [(&str, Case); 8] = [
    ("shmlock-guard", shmlock_guard),
    ("shmlock-guard-recovered", shmlock_guard_recovered),
    ("shmlock-acquire-release", shmlock_acquire_release),
    ("shmlock-try-lock-refused", shmlock_try_lock_refused),
    ("region-guard", region_guard),
    ("region-acquire-release", region_acquire_release),
    ("region-try-lock-refused", region_try_lock_refused),
    ("glibc-mutex", glibc_mutex),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let names = || CASES.map(|(name, _)| name).join("\n");
    let ran = match arguments.as_slice() {
        [list] if list == "--list" => {
            println!("{}", names());
            Ok(())
        }
        [case, times] => match (CASES.iter().find(|(name, _)| name == case), times.parse()) {
            (Some((_, run)), Ok(times)) => run(times),
            _ => Err(format!("no number, or none of these cases:\n{}", names()).into()),
        },
        _ => Err("usage: instructions CASE TIMES, or --list".into()),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Opens a lock that no other process has; its file is removed at the end.
fn open() -> std::result::Result<ShmLock, Error> {
    ShmLock::open(&format!("instructions-{}", std::process::id()))
}

fn shmlock_guard(times: u32) -> Result {
    let lock = open()?;
    for _ in 0..times {
        let _guard = black_box(&lock).lock()?;
    }
    Ok(())
}

/// The loop of the README, for data that a death may have left inconsistent.
fn shmlock_guard_recovered(times: u32) -> Result {
    let lock = open()?;
    for _ in 0..times {
        let guard = black_box(&lock).lock()?;
        if guard.recovered().is_some() {
            guard.declare_consistent()?;
        }
    }
    Ok(())
}

fn shmlock_acquire_release(times: u32) -> Result {
    let lock = open()?;
    for _ in 0..times {
        let lock = black_box(&lock);
        lock.acquire()?;
        lock.release()?;
    }
    Ok(())
}

fn shmlock_try_lock_refused(times: u32) -> Result {
    let holder = open()?;
    let _held = holder.lock()?;
    let other = holder.try_clone()?;
    for _ in 0..times {
        if black_box(&other).try_lock()?.is_some() {
            return Err("two hold it".into());
        }
    }
    Ok(())
}

fn region_guard(times: u32) -> Result {
    let memory = RegionMemory::new();
    let lock = RegionLock::new(Region::new(&memory)?, NonZeroU16::MIN);
    for _ in 0..times {
        let _guard = black_box(&lock).try_lock()?;
    }
    Ok(())
}

fn region_acquire_release(times: u32) -> Result {
    let memory = RegionMemory::new();
    let lock = RegionLock::new(Region::new(&memory)?, NonZeroU16::MIN);
    for _ in 0..times {
        let lock = black_box(&lock);
        lock.acquire(&mut Spin::attempts(1))?;
        lock.release()?;
    }
    Ok(())
}

fn region_try_lock_refused(times: u32) -> Result {
    let memory = RegionMemory::new();
    let holder = RegionLock::new(Region::new(&memory)?, NonZeroU16::MIN);
    let _held = holder.try_lock()?;
    let other = RegionLock::new(Region::new(&memory)?, NonZeroU16::MAX);
    for _ in 0..times {
        if black_box(&other).try_lock()?.is_some() {
            return Err("two hold it".into());
        }
    }
    Ok(())
}

/// The C library's plain mutex, which is private to the process and knows no deaths.
fn glibc_mutex(times: u32) -> Result {
    let mutex = UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER);
    for _ in 0..times {
        let mutex = black_box(&mutex);
        // SAFETY: initialised, and not moved in the loop.
        let locked = unsafe { libc::pthread_mutex_lock(mutex.get()) };
        // SAFETY: as above; this thread has locked it.
        let unlocked = unsafe { libc::pthread_mutex_unlock(mutex.get()) };
        if (locked, unlocked) != (0, 0) {
            return Err("it was not free".into());
        }
    }
    Ok(())
}
