//! Counts in memory that it shares with a microcontroller, until it is told to stop.
//!
//! `one-memory-party MEMORY DIRECTORY` maps the file MEMORY. Any number of these processes are one
//! party to the microcontroller: each takes the named lock in DIRECTORY before the lock in memory.

use std::error::Error;
use std::path::PathBuf;
use std::{env, thread};

use shmlock::{Guard, ShmLock};
use shmlock_core::roll::Boot;
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
    let mut sections = 0_u32;
    while !memory.orders.is_stopped() {
        let guard = named.lock()?; // this process is the party Linux now
        let boot = present_boot(memory, &guard)?;
        let counted = match memory.orders.lock() {
            LockKind::None => NoLock(Party::Linux).count(memory, &mut Yield),
            LockKind::Word => WordLock::new(memory, Party::Linux, &boot)?.count(memory, &mut Yield),
        };
        match counted {
            Ok(()) => sections = sections.wrapping_add(1),
            Err(_) => memory.ledger.note_error(),
        }
        guard.release()?;
    }
    let guard = named.lock()?;
    memory.orders.end(Party::Linux, sections);
    guard.release()?;
    Ok(())
}

/// Returns the present boot of the party Linux. `guard` is of the named lock.
///
/// A dead owner of the named lock may have died with the lock in memory. So a new boot begins,
/// which proves the death to the microcontroller. *If we die here*, before the named lock is
/// declared consistent: the next process begins one boot more.
fn present_boot(memory: &SharedMemory, guard: &Guard<'_>) -> Result<Boot, Box<dyn Error>> {
    let (roll, linux) = (memory.roll()?, Party::Linux.slot());
    // The first acquisition of a new file: Linux may have been started again, all names with it.
    let is_new = guard.fencing_token() == Some(1);
    let owner_died = guard.recovered().is_some();
    match roll.resume_boot(linux)? {
        Some(boot) if !is_new && !owner_died => Ok(boot),
        _ => {
            let boot = roll.begin_boot(linux)?;
            if owner_died {
                guard.declare_consistent()?;
            }
            Ok(boot)
        }
    }
}
