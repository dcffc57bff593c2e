//! Checks that a handle can be used, and makes the errors of a handle that cannot.
//!
//! These errors are made apart from acquire and release, which also run in signal handlers and
//! drops, where nothing is allocated. `error/display.rs` has the texts.

use std::result::Result as StdResult;

use shmlock_core::{Region, Word};

use crate::error::release::ReleaseError;
use crate::error::{Error, Result};
use crate::holder::Holder;
use crate::lock::handle::ShmLock;
use crate::tell::tell;

impl ShmLock {
    #[cold]
    pub(crate) fn error_of(&self, loss: ReleaseError) -> Error {
        let name = self.name.to_string();
        match loss {
            ReleaseError::Forked => Error::ForkedHandle { name },
            ReleaseError::NotHeld => Error::NotHeld { name },
            ReleaseError::Overwritten => Error::Overwritten { name, path: self.path().to_owned() },
        }
    }

    #[inline]
    pub(crate) fn check_process(&self) -> Result<()> {
        if self.shared.is_ours() { Ok(()) } else { Err(self.error_of(self.forked())) }
    }

    /// Returns the region, in the process that it belongs to.
    #[inline]
    pub(crate) fn region(&self) -> Result<Region<'_>> {
        self.check_process()?;
        Ok(self.shared.region())
    }

    /// Returns the owner word if the handle counts a hold and the word does not name it. Then an
    /// exit handler has released the lock, or the word was overwritten from outside.
    #[inline]
    pub(crate) fn other_owner(&self) -> Option<Word> {
        if !(self.holds.is_held() && self.shared.is_ours()) {
            return None;
        }
        // Partner: the swaps of the owner word, ours or an exit handler's on this thread. Relaxed:
        // only whether it names us.
        let word = self.shared.region().word();
        (!word.is_owned_by(self.token)).then_some(word)
    }

    /// Checks that this handle holds the lock, by its count and by the owner word. If these differ
    /// the word decides: the holds are void.
    pub(crate) fn check_hold(&self) -> StdResult<(), ReleaseError> {
        if !self.shared.is_ours() {
            return Err(self.forked());
        }
        if !self.holds.is_held() {
            return Err(ReleaseError::NotHeld);
        }
        self.other_owner().map_or(Ok(()), |found| Err(self.void(found)))
    }

    /// Ends the holds of which the owner word knows nothing. The word is left alone.
    #[cold]
    pub(crate) fn void(&self, found: Word) -> ReleaseError {
        // First: a signal handler that finds no hold may open no plain one, for a guard may have
        // outlived its hold.
        self.close_fast_path();
        self.holds.void();
        self.held_since.set(None);
        // In a signal handler that interrupts a change of it, it stays; the next acquisition
        // replaces it.
        let blocked = self.blocked.try_borrow_mut().ok().and_then(|mut blocked| blocked.take());
        drop(blocked); // pending signals run their handlers here
        self.overwritten(found)
    }

    pub(crate) fn holder_now(&self) -> Option<Box<Holder>> {
        let region = self.shared.is_ours().then(|| self.shared.region())?;
        Holder::read(region, self.settings.fence).map(Box::new)
    }

    #[cold]
    pub(crate) fn forked(&self) -> ReleaseError {
        tell!(Warn, "{self} belongs to the parent process and was used in a forked child");
        ReleaseError::Forked
    }

    #[cold]
    pub(crate) fn orphaned(&self) -> Error {
        Error::Orphaned { name: self.name.to_string(), path: self.path().to_owned() }
    }

    #[cold]
    pub(crate) fn overwritten(&self, found: Word) -> ReleaseError {
        tell!(
            Warn,
            "{self}: the owner word was overwritten while we held the lock; it is now {found:?}"
        );
        ReleaseError::Overwritten
    }
}
