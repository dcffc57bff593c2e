//! Counts in memory that it shares with a microcontroller, until it is told to stop.
//!
//! `one-memory-party MEMORY DIRECTORY` maps the file MEMORY. Any number of these processes are one
//! party to the microcontroller: each acquires the named lock in DIRECTORY before the lock in
//! memory.

use std::error::Error;
use std::path::PathBuf;
use std::{env, thread};

use shmlock::{Guard, ShmLock};
use shmlock_core::wait::{Wait, WaitAction, WaitContext};
use shmlock_one_memory::locks::{NoLock, TicketLock, WordLock};
use shmlock_one_memory::{Exclude, LockKind, Party, SharedMemory};
use shmlock_one_memory_linux::{map, named_lock, present_boot, present_life};

/// Yields the CPU between attempts, and probes the owner each time.
struct Yield;

impl Wait for Yield {
    fn wait(&mut self, _context: &mut WaitContext<'_>) -> WaitAction {
        thread::yield_now();
        WaitAction::Probe // two loads
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [memory, directory] = &arguments[..] else {
        return Err("usage: one-memory-party MEMORY DIRECTORY".into());
    };
    let memory = map(memory)?;
    let named = named_lock(directory)?;
    let sections = match memory.orders.lock() {
        LockKind::None => count(memory, &named, |_| Ok(NoLock(Party::Linux))),
        LockKind::Word => count(memory, &named, |guard| {
            let boot = present_boot(memory, guard)?;
            Ok(WordLock::new(memory, Party::Linux, &boot)?)
        }),
        LockKind::Ticket => count(memory, &named, |guard| {
            present_life(memory, guard)?;
            Ok(TicketLock::new(memory, Party::Linux)?)
        }),
    }?;
    let guard = named.lock()?;
    memory.orders.end(Party::Linux, sections);
    guard.release()?;
    Ok(())
}

/// Counts until the judge says stop. `handle` makes a handle of the lock in memory, under the named
/// lock. Returns the number of critical sections.
fn count<L: Exclude>(
    memory: &SharedMemory,
    named: &ShmLock,
    handle: impl Fn(&Guard<'_>) -> Result<L, Box<dyn Error>>,
) -> Result<u32, Box<dyn Error>> {
    let mut sections = 0_u32;
    while !memory.orders.is_stopped() {
        let guard = named.lock()?; // this process is the party Linux now
        match handle(&guard)?.count(memory, &mut Yield) {
            Ok(()) => sections = sections.wrapping_add(1),
            Err(_) => memory.ledger.note_error(),
        }
        guard.release()?;
    }
    Ok(sections)
}
