//! A POSIX named semaphore that starts at one. It has a name, as shmlock, but no owner.

#![allow(unsafe_code, reason = "semaphores are the C library's")]

use std::ffi::CString;
use std::fs;
use std::io;
use std::ptr::NonNull;

use shmlock_bench_support::Result;

use super::Contender;
use crate::place::Place;

/// An open semaphore.
///
/// # Invariant
/// The pointer is a result of `sem_open(3)`, and only the drop closes it.
#[derive(Debug)]
pub(crate) struct Semaphore(NonNull<libc::sem_t>);

impl Semaphore {
    fn named(place: &Place, flags: libc::c_int) -> Result<Self> {
        let name = CString::new(format!("/{}", place.name()))?;
        let (mode, one): (libc::c_uint, libc::c_uint) = (0o600, 1);
        // SAFETY: the name is a C string; mode and value are passed in case the flags ask for them.
        let semaphore = unsafe { libc::sem_open(name.as_ptr(), flags, mode, one) };
        if semaphore == libc::SEM_FAILED {
            return Err(io::Error::last_os_error().into());
        }
        Ok(Self(NonNull::new(semaphore).ok_or("sem_open returned null")?))
    }
}

impl Drop for Semaphore {
    fn drop(&mut self) {
        // SAFETY: open until now by the invariant.
        unsafe { libc::sem_close(self.0.as_ptr()) };
    }
}

impl Contender for Semaphore {
    fn prepare(place: &Place) -> Result<()> {
        Self::named(place, libc::O_CREAT | libc::O_EXCL).map(drop)
    }

    fn open(place: &Place) -> Result<Self> {
        Self::named(place, 0)
    }

    fn locked<R>(&mut self, critical_section: impl FnOnce() -> R) -> Result<R> {
        // SAFETY: open by the invariant.
        while unsafe { libc::sem_wait(self.0.as_ptr()) } != 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error.into());
            }
        }
        let result = critical_section();
        // SAFETY: open by the invariant.
        if unsafe { libc::sem_post(self.0.as_ptr()) } != 0 {
            return Err(io::Error::last_os_error().into());
        }
        Ok(result)
    }

    fn remove(place: &Place) {
        let _ = fs::remove_file(place.semaphore()); // absent if `prepare` failed
    }
}
