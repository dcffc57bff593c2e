//! Tells the owner of a death before it, and takes its word that the data is consistent again.

use shmlock_core::protocol;

use crate::error::Result;
use crate::error::release::ReleaseError;
use crate::holder::Recovered;
use crate::lock::handle::ShmLock;

impl ShmLock {
    /// See [`Guard::recovered`]; `None` if this handle does not hold the lock.
    #[must_use]
    pub fn recovered(&self) -> Option<Recovered> {
        // A signal handler may find it in use; then there is nothing to tell yet, or any more.
        let recovered = self.recovered.try_borrow().ok()?;
        if recovered.is_none() || !self.is_held() { None } else { recovered.clone() }
    }

    /// See [`Guard::declare_consistent`].
    ///
    /// # Errors
    /// [`Error::NotHeld`], [`Error::Overwritten`], [`Error::ForkedHandle`].
    pub fn declare_consistent(&self) -> Result<()> {
        let region = self.region()?;
        if !self.holds.is_held() {
            return Err(self.error_of(ReleaseError::NotHeld));
        }
        protocol::declare_consistent(region.owner_word(), self.token)
            .map_err(|found| self.error_of(self.overwritten(found)))?;
        self.recovered.replace(None);
        Ok(())
    }
}
