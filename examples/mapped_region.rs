//! The core on a mapped file, shared with programs in other languages: `examples/c/counter.c` is
//! the same program in C.
//!
//! `mapped_region FILE TOKEN INCREMENTS` increments a counter under a lock, both in the file, and
//! prints it. Each program that uses the file at the same time needs a token of its own.

#![allow(unsafe_code, reason = "maps a file and accesses it as a lock and a counter")]

use std::fs::OpenOptions;
use std::num::NonZeroU16;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::{env, error::Error};

use rustix::mm::{MapFlags, ProtFlags, mmap};
use rustix::thread::Timespec;
use rustix::thread::futex::{Flags, wait, wake};
use shmlock_core::layout::REGION_LEN;
use shmlock_core::wait::{Wait, WaitAction, WaitContext};
use shmlock_core::{Region, RegionLock};

/// The lock, and the counter behind it.
const FILE_LEN: usize = 192;

/// Spins, then sleeps until the owner wakes us, or 20 ms: a killed owner wakes no waiter.
struct Futex;

impl Wait for Futex {
    fn wait(&mut self, contention: &mut WaitContext<'_>) -> WaitAction {
        if contention.attempt() % 64 == 63 {
            if let Ok(seen) = contention.set_waiters() {
                let interval = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
                // A wake, a signal, a timeout and a changed word all mean: try again.
                let _ = wait(contention.word(), Flags::empty(), seen.bits(), Some(&interval));
            }
        }
        WaitAction::Retry
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [path, token, increments] = &arguments[..] else {
        return Err("usage: mapped_region FILE TOKEN INCREMENTS".into());
    };
    let token: NonZeroU16 = token.parse().map_err(|_| "a token is a number from 1 to 65535")?;

    // All zeros are a free lock and a count of zero. A mapped file must not shrink: SIGBUS.
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    file.set_len(file.metadata()?.len().max(FILE_LEN as u64))?;
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
    let address = unsafe { mmap(null_mut(), FILE_LEN, access, MapFlags::SHARED, &file, 0) }?;
    let address = NonNull::new(address.cast::<u8>()).ok_or("mapped at address zero")?;
    // SAFETY:
    // - the first 128 bytes of a mapping that stays until the program ends; readable, writable.
    // - all users access them by atomic operations of 32 bits only, and none truncates the file.
    let region = unsafe { Region::from_raw(address, REGION_LEN) }?;
    // SAFETY: still inside the mapping.
    let counter = unsafe { address.add(REGION_LEN) };
    // SAFETY: aligned to 128 bytes; all bits are a valid `AtomicU32`; all users access it so.
    let counter = unsafe { counter.cast::<AtomicU32>().as_ref() };

    let lock = RegionLock::new(region, token);
    for _ in 0..increments.parse::<u32>()? {
        let guard = lock.lock(&mut Futex)?;
        if guard.owner_died() {
            eprintln!("an owner died; its last increment may be missing");
        }
        counter.store(counter.load(Relaxed) + 1, Relaxed); // one increment only under the lock
        guard.release()?;
        if lock.owes_wake() {
            wake(region.owner_word(), Flags::empty(), 1)?;
        }
    }
    println!("the counter is {}", counter.load(Relaxed));
    Ok(())
}
