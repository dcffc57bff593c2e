//! Keeps one value for each process, made at its first use and never freed.
//!
//! A forked child inherits the bytes of its parent's value. A mutex in it may be locked for ever
//! there, and a thread that serves it does not exist. So the child makes a value of its own when it
//! first needs one, and leaves the other alone.

#![allow(unsafe_code, reason = "a value at an address that is set once in a process, never freed")]

use std::ptr;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use crate::sys::fork;

/// A static that each process fills for itself.
pub(crate) struct PerProcess<T: 'static>(AtomicPtr<Made<T>>);

struct Made<T> {
    /// The process that made it, see `sys/fork.rs`.
    generation: u32,
    value: T,
    /// The parent's. Nothing reads it; it shows to leak detection that the value is not lost.
    former: AtomicPtr<Made<T>>,
}

impl<T: Sync> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Returns the value of this process, if it has made one.
    pub(crate) fn get(&self) -> Option<&'static T> {
        // Pairs with the exchange in `get_or_make`: the value is whole.
        Self::at(self.0.load(Acquire))
    }

    /// Returns the value at this address, if this process made it.
    fn at(installed: *mut Made<T>) -> Option<&'static T> {
        // SAFETY: null, or leaked by `get_or_make` and never freed.
        let made = unsafe { installed.as_ref() }?;
        (made.generation == fork::present_generation()).then_some(&made.value)
    }

    /// Returns the value of this process; makes it if there is none.
    ///
    /// A process has one. So the exchange expects the address that was seen to hold no value of
    /// this process.
    pub(crate) fn get_or_make(&self, make: impl FnOnce() -> T) -> &'static T {
        // Pairs with the exchange below: the value is whole.
        let mut installed = self.0.load(Acquire);
        if let Some(value) = Self::at(installed) {
            return value;
        }
        let (generation, former) = (fork::present_generation(), AtomicPtr::new(ptr::null_mut()));
        let new = Box::into_raw(Box::new(Made { generation, value: make(), former }));
        loop {
            // SAFETY: made above; freed only below, after which it is not used.
            unsafe { &*new }.former.store(installed, Relaxed); // partner: none, nothing reads it
            // Pairs with the loads.
            match self.0.compare_exchange(installed, new, AcqRel, Acquire) {
                // SAFETY: as above; never freed from here on.
                Ok(_) => return unsafe { &(*new).value },
                Err(now) => installed = now,
            }
            if let Some(value) = Self::at(installed) {
                // Another thread was faster.
                // SAFETY: made above, and nothing else has its address.
                drop(unsafe { Box::from_raw(new) });
                return value;
            }
        }
    }
}
