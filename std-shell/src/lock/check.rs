//! Why could a lock not be used as it should, and how is that said?
//!
//! Apart from taking and giving back, for these are on their way in signal handlers and in drops,
//! which allocate nothing.

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

    /// Returns the owner word, if it does not name this handle although the count says that the
    /// handle holds the lock. Then an exit handler has released the lock, or a stranger has
    /// overwritten the word.
    #[inline]
    pub(crate) fn usurped(&self) -> Option<Word> {
        if !(self.holds.is_held() && self.shared.is_ours()) {
            return None;
        }
        // Partner: the swaps of the owner word, ours or an exit handler's on this thread. Relaxed:
        // only whether it names us.
        let word = self.shared.region().word();
        (!word.is_owned_by(self.token)).then_some(word)
    }

    /// Checks that this handle holds the lock, by its count and by the owner word. If these differ,
    /// the word decides: the count is put right, and the guards of that hold have nothing to
    /// release.
    pub(crate) fn check_hold(&self) -> std::result::Result<(), ReleaseError> {
        if !self.shared.is_ours() {
            return Err(self.forked());
        }
        if !self.holds.is_held() {
            return Err(ReleaseError::NotHeld);
        }
        self.usurped().map_or(Ok(()), |found| Err(self.void(found)))
    }

    /// Ends the holds of which the owner word knows nothing. The word is left alone.
    #[cold]
    pub(crate) fn void(&self, found: Word) -> ReleaseError {
        self.holds.void();
        self.held_since.set(None);
        // A signal handler may find one of these in use. Then they are put right with the next
        // acquisition.
        if let Ok(mut recovered) = self.recovered.try_borrow_mut() {
            *recovered = None;
        }
        let blocked = self.blocked.try_borrow_mut().ok().and_then(|mut blocked| blocked.take());
        drop(blocked); // signals that waited for it run their handlers here
        self.overwritten(found)
    }

    /// The region, in the process that it belongs to.
    #[inline]
    pub(crate) fn region(&self) -> Result<Region<'_>> {
        self.check_process()?;
        Ok(self.shared.region())
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
