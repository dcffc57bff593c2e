//! Counts in memory that it shares with a microcontroller, until it is told to stop.
//!
//! `one-memory-party MEMORY DIRECTORY` maps the file MEMORY. Any number of these processes are one
//! party to the microcontroller: each takes the named lock in DIRECTORY before the lock in memory.

use std::error::Error;
use std::path::PathBuf;
use std::{env, thread};

use shmlock::ShmLock;
use shmlock_core::wait::{Wait, WaitAction, WaitContext};
use shmlock_one_memory::locks::{NoLock, WordLock};
use shmlock_one_memory::{Exclude, LockKind, Party, SharedMemory};
use shmlock_one_memory_linux::{NAMED_LOCK, map};

/// Yields the CPU between attempts, and probes the owner every 16th time.
struct Yield;

impl Wait for Yield {
    fn wait(&mut self, context: &mut WaitContext<'_>) -> WaitAction {
        thread::yield_now();
        if context.attempt() % 16 == 15 { WaitAction::Probe } else { WaitAction::Retry }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [memory, directory] = &arguments[..] else {
        return Err("usage: one-memory-party MEMORY DIRECTORY".into());
    };
    let memory = map(memory)?;
    let named = ShmLock::builder(NAMED_LOCK).directory(directory).open()?;
    let sections = match memory.orders.lock() {
        LockKind::None => count(memory, &named, &NoLock(Party::Linux))?,
        LockKind::Word => count(memory, &named, &WordLock::new(memory, Party::Linux)?)?,
    };
    let guard = named.lock()?;
    memory.orders.end(Party::Linux, sections);
    guard.release()?;
    Ok(())
}

/// Counts until the judge says stop. Returns the number of critical sections.
fn count(
    memory: &SharedMemory,
    named: &ShmLock,
    lock: &impl Exclude,
) -> Result<u32, shmlock::Error> {
    let mut sections = 0_u32;
    while !memory.orders.is_stopped() {
        let guard = named.lock()?; // this process is the party Linux now
        match lock.count(memory, &mut Yield) {
            Ok(()) => sections = sections.wrapping_add(1),
            Err(_) => memory.ledger.note_error(),
        }
        guard.release()?;
    }
    Ok(sections)
}
