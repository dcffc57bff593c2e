//! The kernel's locks on files: two system calls for each critical section, with or without
//! contention.

#![allow(unsafe_code, reason = "fcntl(2) for OFD locks, which rustix does not have")]

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;

use libc::{F_OFD_SETLK, F_OFD_SETLKW, F_UNLCK, F_WRLCK, SEEK_SET};
use rustix::fs::{FlockOperation, flock};
use shmlock_bench_support::Result;

use super::Contender;
use crate::place::Place;

/// A lock on the whole file: flock(2).
#[derive(Debug)]
pub(crate) struct Flock(File);

impl Contender for Flock {
    fn prepare(place: &Place) -> Result<()> {
        Ok(File::create_new(place.file("flock")).map(drop)?)
    }

    fn open(place: &Place) -> Result<Self> {
        Ok(Self(place.open("flock")?))
    }

    fn locked<R>(&mut self, critical_section: impl FnOnce() -> R) -> Result<R> {
        flock(&self.0, FlockOperation::LockExclusive)?;
        let result = critical_section();
        flock(&self.0, FlockOperation::Unlock)?;
        Ok(result)
    }
}

/// A lock on the first byte, of the open file description: fcntl(2).
#[derive(Debug)]
pub(crate) struct Ofd(File);

impl Ofd {
    /// Opens this file of the place.
    pub(super) fn open_file(place: &Place, name: &str) -> Result<Self> {
        Ok(Self(place.open(name)?))
    }

    /// Acquires the lock if it is free; returns `true` if it was.
    pub(super) fn try_lock(&self) -> io::Result<bool> {
        match self.set(F_OFD_SETLK, F_WRLCK as _) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            locked => locked.map(|()| true),
        }
    }

    /// Releases the lock.
    pub(super) fn unlock(&self) -> io::Result<()> {
        self.set(F_OFD_SETLKW, F_UNLCK as _)
    }

    /// Writes a byte, which is an event of the file.
    pub(super) fn touch(&self) -> io::Result<()> {
        (&self.0).write_all(&[0])
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::unnecessary_cast,
        reason = "the constants are small, and their types differ between platforms"
    )]
    fn set(&self, command: libc::c_int, kind: libc::c_int) -> io::Result<()> {
        // SAFETY: `flock` is plain data, all zeros included.
        let mut range: libc::flock = unsafe { std::mem::zeroed() };
        range.l_type = kind as _;
        range.l_whence = SEEK_SET as _;
        range.l_len = 1;
        // SAFETY: the descriptor is open; the kernel reads one `flock`, which outlives the call.
        let rc = unsafe { libc::fcntl(self.0.as_raw_fd(), command, &raw const range) };
        if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl Contender for Ofd {
    fn prepare(place: &Place) -> Result<()> {
        Ok(File::create_new(place.file("ofd")).map(drop)?)
    }

    fn open(place: &Place) -> Result<Self> {
        Self::open_file(place, "ofd")
    }

    fn locked<R>(&mut self, critical_section: impl FnOnce() -> R) -> Result<R> {
        self.set(F_OFD_SETLKW, F_WRLCK as _)?;
        let result = critical_section();
        self.unlock()?;
        Ok(result)
    }
}
