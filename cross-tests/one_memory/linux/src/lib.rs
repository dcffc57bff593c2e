//! Maps the file that is the microcontroller's RAM.

#![allow(unsafe_code, reason = "maps a file that other parties write")]

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::ptr::{NonNull, null_mut};

use rustix::mm::{MapFlags, ProtFlags, mmap};
use shmlock_one_memory::SharedMemory;

/// The name of the lock that makes the processes of Linux one party.
pub const NAMED_LOCK: &str = "linux";

/// The bytes of the board's RAM, which QEMU requires the file to have.
pub const FILE_LEN: u64 = 16 << 20;

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
