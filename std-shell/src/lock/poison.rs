//! Refuses the lock after an owner's death, and treats a panic in the critical section as a death,
//! for handles with [`Builder::poisoning`](crate::Builder::poisoning).

use std::cell::Cell;
use std::result::Result as StdResult;
use std::thread;

use shmlock_core::Word;
use shmlock_core::protocol::{self, Acquisition, Wake};

use crate::error::Error;
use crate::holder::Holder;
use crate::lock::handle::ShmLock;
use crate::sys::futex;

/// Whether a panic has ended a part of the hold.
#[derive(Debug)]
pub(crate) struct PanicWatch {
    is_on: bool,
    /// The thread was already panicking when the hold began: a destructor locks.
    began_panicking: Cell<bool>,
    /// A panic has ended the hold, or one that was nested in it.
    has_panicked: Cell<bool>,
}

impl PanicWatch {
    pub(crate) fn new(is_on: bool) -> Self {
        Self { is_on, began_panicking: Cell::new(false), has_panicked: Cell::new(false) }
    }

    /// Notes the beginning of the outermost hold.
    #[inline]
    pub(crate) fn note_begin(&self) {
        if self.is_on {
            self.began_panicking.set(thread::panicking());
            self.has_panicked.set(false);
        }
    }

    /// Notes the end of a hold, nested or outermost.
    #[inline]
    pub(crate) fn note_end(&self) {
        if self.is_on && thread::panicking() && !self.began_panicking.get() {
            self.has_panicked.set(true);
        }
    }

    /// Returns `true` if a panic has ended the hold, or one that was nested in it.
    #[inline]
    pub(crate) fn has_panicked(&self) -> bool {
        self.has_panicked.get()
    }
}

impl ShmLock {
    /// Returns `true` if this acquisition is to be an error.
    #[inline]
    pub(crate) fn is_poisoned(&self, acquisition: Acquisition) -> bool {
        acquisition.owner_died && self.settings.poisoning
    }

    /// Releases a lock that was just acquired, with the DIED flag.
    #[cold]
    pub(crate) fn refuse_poisoned(&self, acquisition: Acquisition) -> Error {
        let (region, fence) = (self.shared.region(), self.settings.fence);
        let dead = acquisition.recovered_from.map(|token| Holder::former(region, token, fence));
        if dead.is_some() {
            region.count_recovery();
        }
        // Another word is another owner's: there is nothing to give back.
        let _ = self.abandon_word();
        Error::Poisoned { name: self.name.to_string(), dead: dead.map(Box::new) }
    }

    /// Releases the lock with the DIED flag, and wakes one waiter if there is one.
    ///
    /// # Errors
    /// The word found, if it does not name this handle.
    #[cold]
    pub(crate) fn abandon_word(&self) -> StdResult<(), Word> {
        let word = self.shared.region().owner_word();
        if protocol::abandon(word, self.token, self.settings.fence)? == Wake::One {
            futex::wake_one(word);
        }
        Ok(())
    }
}
