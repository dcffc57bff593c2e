//! Refuses the lock after an owner's death, for handles with
//! [`Builder::poisoning`](crate::Builder::poisoning).

use std::result::Result as StdResult;

use shmlock_core::Word;
use shmlock_core::protocol::{self, Acquisition, Wake};

use crate::error::Error;
use crate::holder::Holder;
use crate::lock::handle::ShmLock;

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
        // If the word names another owner, nothing is released.
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
            self.wake_one(word);
        }
        Ok(())
    }
}
