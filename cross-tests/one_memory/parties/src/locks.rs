//! Provides the locks under test behind one trait.

use shmlock_core::fence::FullSystem;
use shmlock_core::roll::{Boot, BootLiveness};
use shmlock_core::wait::Wait;
use shmlock_core::{Error, RegionLock, Token};

use crate::memory::{LockKind, SharedMemory};
use crate::party::Party;

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

/// The lock of loads, stores and fences.
#[derive(Debug)]
pub struct TicketLock<'a> {
    party: Party,
    lock: shmlock_core::TicketLock<'a, { Party::ALL.len() }, FullSystem>,
}

impl<'a> TicketLock<'a> {
    /// Returns the handle of a party, which has begun a new life: what an earlier life left in the
    /// lock is cleared, and the next owner is told of a death.
    ///
    /// # Errors
    /// Those of [`SharedMemory::ticket_region`].
    pub fn new(memory: &'a SharedMemory, party: Party) -> Result<Self, Error> {
        let region = memory.ticket_region()?;
        let lock = shmlock_core::TicketLock::with_fence(region, party.number(), FullSystem)?;
        lock.recover()?;
        Ok(Self { party, lock })
    }
}

impl Exclude for TicketLock<'_> {
    fn count(&self, memory: &SharedMemory, wait: &mut impl Wait) -> Result<(), Error> {
        // A party that died is in the way until it begins a new life.
        let guard = self.lock.lock(wait)?;
        if guard.owner_died() {
            memory.ledger.repair(self.party);
            guard.declare_consistent()?;
        }
        memory.ledger.count(self.party, memory.orders.pauses());
        guard.release()
    }
}

/// What a lock itself has counted.
#[derive(Clone, Copy, Debug)]
pub struct Counters {
    /// The acquisitions so far.
    pub acquisitions: u64,
    /// The dead owners so far.
    pub recoveries: u32,
    /// The present owner.
    pub owner: Option<Token>,
}

/// Returns the counters of the lock under test; `None` without a lock.
///
/// # Errors
/// Those of [`SharedMemory::region`] and [`SharedMemory::ticket_region`].
pub fn counters(memory: &SharedMemory) -> Result<Option<Counters>, Error> {
    Ok(match memory.orders.lock() {
        LockKind::None => None,
        LockKind::Word => {
            let region = memory.region()?;
            let (acquisitions, recoveries) = (region.acquisitions(), region.recoveries());
            Some(Counters { acquisitions, recoveries, owner: region.word().owner() })
        }
        LockKind::Ticket => {
            let region = memory.ticket_region()?;
            let (acquisitions, recoveries) = (region.acquisitions(), region.recoveries());
            let owner = region.holder().map(|holder| holder.token);
            Some(Counters { acquisitions, recoveries, owner })
        }
    })
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
