//! Provides handles as C has them, and short forms of the calls.

#![allow(dead_code, reason = "each test file uses a part")]
#![allow(unsafe_code, reason = "calls functions for C")]

use std::ffi::{CStr, CString, c_char};
use std::mem::MaybeUninit;
use std::ptr::null_mut;

use shmlock_c::acquire::{shmlock_lock, shmlock_lock_for, shmlock_release, shmlock_try};
use shmlock_c::error::Failure;
use shmlock_c::handle::Lock;
use shmlock_c::open::{shmlock_close, shmlock_open};
use shmlock_c::options::Options;
use shmlock_c::status::Status;

/// A handle as a C program has it: it stays at its address. Dropping it closes it.
pub(crate) struct User(*mut Lock);

impl Drop for User {
    fn drop(&mut self) {
        // SAFETY: a handle; it may be closed already.
        let _ = unsafe { shmlock_close(self.0, null_mut()) };
        // SAFETY: made by `Box::into_raw`, and freed once.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

impl User {
    /// Makes a handle that is not open.
    pub(crate) fn zero() -> Self {
        Self(Box::into_raw(Box::new(Lock::new())))
    }

    /// Opens a handle.
    pub(crate) fn open(name: &str) -> Self {
        Self::open_with(name, &Options::default())
    }

    /// Opens a handle with these options.
    pub(crate) fn open_with(name: &str, options: &Options) -> Self {
        let (user, mut error) = (Self::zero(), details());
        let name = c(name);
        // SAFETY: valid pointers.
        let status = unsafe { shmlock_open(user.0, name.as_ptr(), options, &raw mut error) };
        assert_eq!(status, Status::Ok, "{}", text(&error));
        user
    }

    pub(crate) fn at(&self) -> *mut Lock {
        self.0
    }

    pub(crate) fn lock(&self) -> Status {
        // SAFETY: a handle.
        unsafe { shmlock_lock(self.0, null_mut()) }
    }

    pub(crate) fn lock_for(&self, nanoseconds: u64) -> (Status, Failure) {
        let mut error = details();
        // SAFETY: a handle, and a valid pointer.
        (unsafe { shmlock_lock_for(self.0, nanoseconds, &raw mut error) }, error)
    }

    pub(crate) fn try_once(&self) -> Status {
        // SAFETY: a handle.
        unsafe { shmlock_try(self.0, null_mut()) }
    }

    pub(crate) fn release(&self) -> Status {
        // SAFETY: a handle.
        unsafe { shmlock_release(self.0, null_mut()) }
    }

    pub(crate) fn close(&self) -> Status {
        // SAFETY: a handle.
        unsafe { shmlock_close(self.0, null_mut()) }
    }
}

/// Returns details that no call has written.
pub(crate) fn details() -> Failure {
    let zeroed = MaybeUninit::<Failure>::zeroed();
    // SAFETY: all zero is a value: the status 0, numbers, and empty text.
    unsafe { zeroed.assume_init() }
}

pub(crate) fn text(error: &Failure) -> String {
    of_chars(&error.text)
}

/// Returns the text in an array of C.
pub(crate) fn of_chars(chars: &[c_char]) -> String {
    let bytes: Vec<u8> = chars.iter().map(|char| char.to_ne_bytes()[0]).collect();
    let text = CStr::from_bytes_until_nul(&bytes).expect("the text ends");
    text.to_str().expect("the text is UTF-8").to_owned()
}

pub(crate) fn c(text: &str) -> CString {
    CString::new(text).expect("no NUL")
}
