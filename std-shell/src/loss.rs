//! Why could a lock not be used as it should, and how is that said?
//!
//! Apart from taking and giving back, for these are on their way in signal handlers and in drops, which allocate nothing.

use shmlock_core::{Region, Word};

use crate::error::{Error, Result};
use crate::inspect::Holder;
use crate::lock::ShmLock;

/// Why a hold could not be given back as it should. An [`Error`] without its text, for drops allocate nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loss {
    Forked,
    NotHeld,
    Overwritten,
}

impl ShmLock {
    #[cold]
    pub(crate) fn told(&self, loss: Loss) -> Error {
        let name = self.name.to_string();
        match loss {
            Loss::Forked => Error::ForkedHandle { name },
            Loss::NotHeld => Error::NotHeld { name },
            Loss::Overwritten => Error::Overwritten { name, path: self.path().to_owned() },
        }
    }

    #[inline]
    pub(crate) fn check_process(&self) -> Result<()> {
        if self.shared.is_ours() { Ok(()) } else { Err(self.told(self.forked())) }
    }

    /// The region, in the process that it belongs to.
    #[inline]
    pub(crate) fn region(&self) -> Result<Region<'_>> {
        self.check_process()?;
        Ok(self.shared.region())
    }

    pub(crate) fn holder_now(&self) -> Option<Box<Holder>> {
        Holder::read(self.shared.region(), self.settings.fence).map(Box::new)
    }

    #[cold]
    pub(crate) fn forked(&self) -> Loss {
        log::warn!("{self} belongs to the parent process and was used in a forked child");
        Loss::Forked
    }

    #[cold]
    pub(crate) fn orphaned(&self) -> Error {
        Error::Orphaned { name: self.name.to_string(), path: self.path().to_owned() }
    }

    #[cold]
    pub(crate) fn overwritten(&self, found: Word) -> Loss {
        log::warn!("{self}: the owner word was overwritten while we held the lock; it is now {found:?}");
        Loss::Overwritten
    }
}
