//! The C library's lock between processes, with a guard like ours.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

use libc::{pthread_mutex_t, pthread_mutexattr_t};

/// A process-shared mutex.
pub struct Mutex {
    mutex: Box<UnsafeCell<pthread_mutex_t>>,
}

/// Holds it until dropped.
pub struct Held<'a> {
    mutex: &'a Mutex,
}

impl Mutex {
    /// A mutex that is lost with its owner.
    ///
    /// # Panics
    /// If the system has none.
    #[must_use]
    pub fn normal() -> Self {
        Self::with(|_| 0)
    }

    /// A mutex that tells the next comer of its owner's death.
    ///
    /// # Panics
    /// If the system has none: it needs the kernel's robust lists.
    #[must_use]
    pub fn robust() -> Self {
        // SAFETY: `with` passes attributes that are initialised.
        Self::with(|attributes| unsafe { libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST) })
    }

    fn with(set: impl Fn(*mut pthread_mutexattr_t) -> i32) -> Self {
        let mut attributes = MaybeUninit::uninit();
        let attributes = attributes.as_mut_ptr();
        let mutex = Box::new(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER));
        // SAFETY: room for attributes.
        let initialised = unsafe { libc::pthread_mutexattr_init(attributes) };
        // SAFETY: initialised above, if that went well, as it always does in the C library at hand.
        let shared = unsafe { libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED) };
        let special = set(attributes);
        // SAFETY: room for a mutex that nobody uses yet, at an address where it stays; the attributes are initialised.
        let made = unsafe { libc::pthread_mutex_init(mutex.get(), attributes) };
        assert_eq!([initialised, shared, special, made], [0; 4], "error numbers of the four steps");
        Self { mutex }
    }

    /// Takes it; `None` on any answer but success.
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
