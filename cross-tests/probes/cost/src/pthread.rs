//! Wraps the C library's process-shared mutex, with a guard.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

use libc::{pthread_mutex_t, pthread_mutexattr_t};

/// A process-shared mutex.
pub struct Mutex {
    mutex: Box<UnsafeCell<pthread_mutex_t>>,
}

/// Holds the mutex until dropped.
pub struct Held<'a> {
    mutex: &'a Mutex,
}

impl Mutex {
    /// Returns a mutex that stays locked if its owner dies.
    /// # Panics
    /// If the system has no such mutex.
    #[must_use]
    pub fn normal() -> Self {
        Self::with(|_| 0)
    }

    /// Returns a mutex that reports the death of its owner to the next one.
    /// # Panics
    /// If the system has no such mutex: it needs the kernel's robust lists.
    #[must_use]
    pub fn robust() -> Self {
        // SAFETY: `with` passes attributes that are initialised.
        Self::with(|attributes| unsafe {
            libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST)
        })
    }

    fn with(set: impl Fn(*mut pthread_mutexattr_t) -> i32) -> Self {
        let mut attributes = MaybeUninit::uninit();
        let attributes = attributes.as_mut_ptr();
        let mutex = Box::new(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER));
        // SAFETY: memory for attributes.
        let initialised = unsafe { libc::pthread_mutexattr_init(attributes) };
        // SAFETY: initialised above; the call cannot fail in glibc and musl.
        let shared =
            unsafe { libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED) };
        let special = set(attributes);
        // SAFETY: memory for an unused mutex that does not move; the attributes are initialised.
        let made = unsafe { libc::pthread_mutex_init(mutex.get(), attributes) };
        assert_eq!([initialised, shared, special, made], [0; 4], "error numbers of the four steps");
        Self { mutex }
    }

    /// Locks the mutex. Returns `None` on any result but success.
    #[must_use]
    #[inline]
    pub fn lock(&self) -> Option<Held<'_>> {
        // SAFETY: initialised by `with`, and never moved.
        let error = unsafe { libc::pthread_mutex_lock(self.mutex.get()) };
        (error == 0).then_some(Held { mutex: self })
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: initialised by `with`, and locked by this thread.
        unsafe { libc::pthread_mutex_unlock(self.mutex.mutex.get()) };
    }
}
