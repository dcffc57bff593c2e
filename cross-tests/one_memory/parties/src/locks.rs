//! Provides the locks under test behind one trait.

use shmlock_core::fence::FullSystem;
use shmlock_core::roll::{Boot, BootLiveness};
use shmlock_core::wait::Wait;
use shmlock_core::{Error, RegionLock};

use crate::memory::{Party, SharedMemory};

/// A way to exclude the other parties, or none.
pub trait Exclude {
    /// Counts one critical section, after the repair of what a dead owner left.
    ///
    /// # Errors
    /// [`Error::Busy`] when `wait` gave up; other errors of the lock.
    fn count(&self, memory: &SharedMemory, wait: &mut impl Wait) -> Result<(), Error>;
}

/// The lock by owner word.
#[derive(Debug)]
pub struct WordLock<'a> {
    party: Party,
    lock: RegionLock<'a, FullSystem>,
}

impl<'a> WordLock<'a> {
    /// Returns the handle of a party for its present boot.
    ///
    /// # Errors
    /// Those of [`SharedMemory::region`].
    pub fn new(memory: &'a SharedMemory, party: Party, boot: &Boot) -> Result<Self, Error> {
        let lock = RegionLock::for_boot_with_fence(memory.region()?, boot, FullSystem);
        Ok(Self { party, lock })
    }
}

impl Exclude for WordLock<'_> {
    fn count(&self, memory: &SharedMemory, wait: &mut impl Wait) -> Result<(), Error> {
        let guard = self.lock.lock_or_recover(wait, &mut BootLiveness::new(memory.roll()?))?;
        if guard.owner_died() {
            memory.ledger.repair(self.party);
            guard.declare_consistent()?;
        }
        memory.ledger.count(self.party, memory.orders.pauses());
        guard.release()
    }
}

/// No lock: the control.
#[derive(Debug)]
pub struct NoLock(pub Party);

impl Exclude for NoLock {
    fn count(&self, memory: &SharedMemory, _wait: &mut impl Wait) -> Result<(), Error> {
        memory.ledger.count(self.0, memory.orders.pauses());
        Ok(())
    }
}
