//! Defines the map of the shared memory.

#![allow(unsafe_code, reason = "turns an address into a reference to atomics")]

use core::ptr::NonNull;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use shmlock_core::fence::FullSystem;
use shmlock_core::roll::{Roll, RollMemory};
use shmlock_core::{EpochRegion, Error, RegionMemory, TicketMemory, TicketRegion};

use crate::ledger::Ledger;
use crate::party::Party;

/// The lock under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// None: the control, which must lose counts.
    None = 0,
    /// The owner word.
    Word = 1,
    /// Loads, stores and fences.
    Ticket = 2,
}

impl LockKind {
    /// All kinds, in the order of their numbers in memory.
    pub const ALL: [Self; 3] = [Self::None, Self::Word, Self::Ticket];
}

/// The orders of the judge to the parties, and their reports to it.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Orders {
    lock: AtomicU32,
    cores: AtomicU32,
    pauses: AtomicU32,
    stop: AtomicU32,
    /// Not zero: this party has ended. Each has one writer, as `reports` has.
    ended: [AtomicU32; Party::ALL.len()],
    /// The critical sections that a party remembers at its end, in memory of its own.
    reports: [AtomicU32; Party::ALL.len()],
}

impl Orders {
    /// Writes the orders before the microcontroller starts. Relaxed: its start orders.
    pub fn give(&self, lock: LockKind, cores: u32, pauses: u32) {
        self.lock.store(lock as u32, Relaxed);
        self.pauses.store(pauses, Relaxed);
        self.cores.store(cores, Relaxed);
    }

    /// Returns the lock under test. An unknown number means none.
    #[must_use]
    pub fn lock(&self) -> LockKind {
        let number = self.lock.load(Relaxed); // partner: `give`, before this program started
        LockKind::ALL.into_iter().find(|kind| *kind as u32 == number).unwrap_or(LockKind::None)
    }

    /// Returns the length of the critical section, in spin hints.
    #[must_use]
    pub fn pauses(&self) -> u32 {
        self.pauses.load(Relaxed) // partner: `give`, before this program started
    }

    /// Returns the number of the microcontroller's cores that count.
    #[must_use]
    pub fn cores(&self) -> u32 {
        self.cores.load(Relaxed) // partner: `give`, before this program started
    }

    /// Tells all parties to end after their present critical section.
    pub fn stop(&self) {
        self.stop.store(1, Relaxed); // partner: `is_stopped`. Relaxed: it orders nothing
    }

    /// Returns `true` once the parties are to end.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Relaxed) != 0 // partner: `stop`. Relaxed: it orders nothing
    }

    /// Reports the end of a party, or of one Linux process under the named lock, which remembers
    /// `sections` critical sections.
    pub fn end(&self, party: Party, sections: u32) {
        let report = &self.reports[party.index()];
        // Relaxed: one writer at a time; the store below publishes it.
        report.store(report.load(Relaxed).wrapping_add(sections), Relaxed);
        let ended = &self.ended[party.index()];
        // Partner: the load in `ended`, which then sees the report and all critical sections.
        ended.store(ended.load(Relaxed).wrapping_add(1), Release);
    }

    /// Returns how often [`end`](Self::end) was called for a party.
    #[must_use]
    pub fn ended(&self, party: Party) -> u32 {
        self.ended[party.index()].load(Acquire) // partner: the store in `end`
    }

    /// Returns the critical sections that a party remembers. Valid once it has ended.
    #[must_use]
    pub fn report(&self, party: Party) -> u32 {
        self.reports[party.index()].load(Relaxed) // ordered by `ended`
    }
}

/// The shared memory. All zero is its initial state.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct SharedMemory {
    /// The boots of each party, for every lock in this memory.
    roll: RollMemory<{ Party::ALL.len() }>,
    /// The lock by owner word.
    region: RegionMemory,
    /// The lock of loads, stores and fences.
    ticket: TicketMemory<{ Party::ALL.len() }>,
    /// The data that the lock protects.
    pub ledger: Ledger,
    /// Not protected by the lock.
    pub orders: Orders,
}

impl SharedMemory {
    /// Returns the memory at an address: of a mapped file, or of a RAM bank.
    ///
    /// # Safety
    /// * The address is a multiple of 64, and `size_of::<SharedMemory>()` bytes from there on are
    ///   readable and writable until the program ends.
    /// * All accesses to them, by any party, are atomic operations of 32 bits.
    #[must_use]
    pub unsafe fn at(address: NonNull<u8>) -> &'static Self {
        // SAFETY: promised by the caller; every bit pattern is valid, for all fields are atomics.
        unsafe { address.cast::<Self>().as_ref() }
    }

    /// Returns the roll of boots.
    ///
    /// # Errors
    /// [`Error::NotARoll`], [`Error::OtherRollVersion`].
    pub fn roll(&self) -> Result<Roll<'_, FullSystem>, Error> {
        Ok(Roll::new(&self.roll)?.with_fence(FullSystem))
    }

    /// Returns the region of the lock by owner word.
    ///
    /// # Errors
    /// Those of [`EpochRegion::new`].
    pub fn region(&self) -> Result<EpochRegion<'_>, Error> {
        EpochRegion::new(&self.region)
    }

    /// Returns the region of the lock of loads, stores and fences.
    ///
    /// # Errors
    /// Those of [`TicketRegion::new`].
    pub fn ticket_region(&self) -> Result<TicketRegion<'_, { Party::ALL.len() }>, Error> {
        TicketRegion::new(&self.ticket)
    }
}
