//! Maps the file that is the microcontroller's RAM, and makes the processes of Linux one party.
//!
//! All processes have one slot in the roll of boots. Each acquires the **named lock** before it
//! uses the lock in memory, so one at a time is the party. If that process dies, the next one
//! recovers the named lock, by proof of the kernel, and begins a new boot of the slot. That proves
//! the death to the microcontroller, which knows no processes. A supervisor can do the same: it
//! begins the boot, and never acquires the lock in memory.

#![allow(unsafe_code, reason = "maps a file that other parties write")]

use std::error::Error;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::ptr::{NonNull, null_mut};

use rustix::mm::{MapFlags, ProtFlags, mmap};
use shmlock::{Guard, ShmLock};
use shmlock_core::roll::Boot;
use shmlock_one_memory::locks::TicketLock;
use shmlock_one_memory::{Party, SharedMemory};

/// The bytes of the board's RAM, which QEMU requires the file to have.
pub const FILE_LEN: u64 = 16 << 20;

/// Returns the present boot of the party Linux. `guard` is of the named lock.
///
/// A dead owner of the named lock may have died with the lock in memory, so a new boot begins.
/// *If we die here*, before the named lock is declared consistent: the next process begins one boot
/// more. A living process of an earlier boot holds nothing: it does not have the named lock.
///
/// # Errors
/// Those of the named lock and of the roll.
pub fn present_boot(memory: &SharedMemory, guard: &Guard<'_>) -> Result<Boot, Box<dyn Error>> {
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

/// Begins a new life of the party Linux in the lock of loads, stores and fences, if the last owner
/// of the named lock died. `guard` is of the named lock.
///
/// *If we die here*, before the named lock is declared consistent: the next process begins one life
/// more.
///
/// # Errors
/// Those of both locks.
pub fn present_life(memory: &SharedMemory, guard: &Guard<'_>) -> Result<(), Box<dyn Error>> {
    if guard.recovered().is_some() {
        TicketLock::new(memory, Party::Linux)?;
        guard.declare_consistent()?;
    }
    Ok(())
}

/// Opens the named lock in a directory.
///
/// # Errors
/// Those of [`shmlock::Builder::open`].
pub fn named_lock(directory: &Path) -> Result<ShmLock, shmlock::Error> {
    ShmLock::builder("linux").directory(directory).open()
}

/// Maps the shared memory at the beginning of the file, until the process ends.
///
/// # Errors
/// Those of open(2) and mmap(2); [`io::ErrorKind::InvalidData`] if the file is too short.
pub fn map(path: &Path) -> io::Result<&'static SharedMemory> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    if file.metadata()?.len() < FILE_LEN {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is too short"));
    }
    let access = ProtFlags::READ | ProtFlags::WRITE;
    let len = size_of::<SharedMemory>();
    // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
    let address = unsafe { mmap(null_mut(), len, access, MapFlags::SHARED, &file, 0) }?;
    let address = NonNull::new(address.cast()).ok_or(io::ErrorKind::Other)?;
    // SAFETY:
    // - the start of a page, and a mapping that stays until the process ends; long enough.
    // - all parties access it by this type; the judge truncates the file to no other length.
    Ok(unsafe { SharedMemory::at(address) })
}
