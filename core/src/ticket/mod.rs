//! Implements a lock of loads, stores and fences alone, for memory on which compare-and-swap does
//! not work between the parties.
//!
//! Compare-and-swap needs a monitor that covers the memory and all parties. Many uncacheable
//! mappings, and RAM between cores of different kinds, have none: the instruction fails for ever,
//! faults, or excludes only the own core. Where it works, [`RegionLock`](crate::RegionLock) is
//! faster, and has no limit of parties.
//!
//! This file has the handle; `guard.rs` the calls that return a guard; `contend.rs` the loop around
//! the steps of `steps.rs`; `change.rs` keeps the count of holds beside them. `layout.rs` has the
//! memory; `words.rs` the meaning of its words; `region.rs` attaching, looks without holding, and
//! burials. `probes.rs` is for the programs that read the machine code.

mod change;
mod contend;
mod guard;
pub mod layout;
#[doc(hidden)]
pub mod probes;
mod region;
mod steps;
mod words;

use core::cell::Cell;
use core::num::NonZeroU16;

use crate::contend::{AssumeAlive, Liveness};
use crate::error::Error;
use crate::fence::{Fence, InnerShareable};
use crate::lock::hold_count::{HoldCount, HoldKind};
use crate::record::encoded::EncodedRecord;
use crate::record::{Holder, Record};
use crate::sync::Relaxed;
use crate::token::Token;
use crate::wait::Wait;

pub use crate::region::{TicketMemory, TicketPlace};
pub use guard::TicketGuard;
pub use region::TicketRegion;
pub use words::{LAST_NUMBER, Section, Ticket, burial_of, next_life, next_number};

use steps::Party;

/// A reentrant lock over a [`TicketRegion`], held by one of its `N` parties: first come, first
/// served.
///
/// Lamport's bakery algorithm, with recovery from dead parties: PROTOCOL.md, part IV. Each word of
/// a line has one writer. An acquisition and its release do about 3 `N` loads and 7 stores.
///
/// The handle is one party: one core, one operating system. It is `Send` and not `Sync`. **Give
/// each party its own number, and let one handle of it be in use at a time.** Two handles of one
/// party do not exclude each other: each takes the other for an earlier life of its party, and
/// clears its words. Processes of one operating system share a party if each first acquires a
/// lock of these processes, and holds it while it uses the handle.
///
/// A party that restarts calls [`recover`](Self::recover) early. Without it, the first acquisition
/// does the same; until then, others may wait for what the earlier life left.
///
/// Dropping the handle releases what [`acquire`](Self::acquire) acquired. A leaked guard keeps its
/// hold. Nothing here allocates, blocks longer than the given [`Wait`], or panics, whatever the
/// memory contains. The calls from within a call, and from interrupt handlers, are as with
/// [`RegionLock`](crate::RegionLock).
///
/// # Evidence
///
/// The steps are searched exhaustively (`tests/model`). For the fences, loom is no proof: it runs
/// this code (`core/tests/loom`), and misses the removal of a fence without which two owners are
/// possible. Litmus tests under Arm's memory models are the proof (`docs/litmus.md`).
///
/// # Examples
/// ```
/// use core::num::NonZeroU16;
/// use shmlock_core::fence::FullSystem;
/// use shmlock_core::{TicketLock, TicketMemory, TicketRegion, wait::Spin};
///
/// static SHARED: TicketMemory<3> = TicketMemory::new();
/// const THIS_CORE: NonZeroU16 = NonZeroU16::new(2).unwrap();
///
/// let region = TicketRegion::from_static(&SHARED)?;
/// let lock = TicketLock::with_fence(region, THIS_CORE, FullSystem)?;
/// lock.recover()?; // at boot
///
/// let guard = lock.lock(&mut Spin::attempts(1_000))?;
/// if guard.owner_died() {
///     // Check the data, repair it, and then:
///     guard.declare_consistent()?;
/// }
/// drop(guard);
/// # Ok::<(), shmlock_core::Error>(())
/// ```
#[derive(Debug)]
pub struct TicketLock<'a, const N: usize, F: Fence = InnerShareable> {
    us: Party<'a, N, F>,
    /// The count of acquisitions that this handle stored last, or [`NEVER_COUNTED`]. While the
    /// region has the same count, no other handle has held the lock since, and the record is right.
    counted: Cell<u32>,
    holds: HoldCount,
    /// `true` if this handle has begun a life of its party.
    alive: Cell<bool>,
    /// `true` if this handle has written its record itself: an earlier handle of this party may
    /// have left another one.
    recorded: Cell<bool>,
    record: Option<(EncodedRecord, u64)>,
}

/// No count of this handle stands.
const NEVER_COUNTED: u32 = u32::MAX;

impl<'a, const N: usize> TicketLock<'a, N> {
    /// Returns a handle for a party, counted from 1. It holds nothing yet, and writes nothing.
    ///
    /// # Errors
    /// [`Error::NoSuchParty`].
    pub fn new(region: TicketRegion<'a, N>, party: NonZeroU16) -> Result<Self, Error> {
        Self::with_fence(region, party, InnerShareable)
    }
}

impl<'a, const N: usize, F: Fence> TicketLock<'a, N, F> {
    /// Returns a handle as [`new`](TicketLock::new) does, with another scope of the fences. All
    /// parties need the same scope. Between bus masters that is
    /// [`FullSystem`](crate::fence::FullSystem).
    ///
    /// # Errors
    /// [`Error::NoSuchParty`].
    pub fn with_fence(
        region: TicketRegion<'a, N>,
        party: NonZeroU16,
        fence: F,
    ) -> Result<Self, Error> {
        Ok(Self {
            us: Party::new(region, party, fence)?,
            counted: Cell::new(NEVER_COUNTED),
            holds: HoldCount::new(),
            alive: Cell::new(false),
            recorded: Cell::new(false),
            record: None,
        })
    }

    /// Sets the record that describes every hold of this handle to other parties.
    #[expect(clippy::needless_pass_by_value, reason = "handed over, however it is kept")]
    #[must_use]
    pub fn with_record(mut self, record: Record) -> Self {
        self.replace_record(Some(&record));
        self
    }

    /// Sets the record of a handle in use. If it holds the lock, others can read the new record at
    /// once. With `None`, only the number of the party describes its holds. Never blocks.
    #[expect(clippy::needless_pass_by_value, reason = "handed over, however it is kept")]
    pub fn set_record(&mut self, record: Option<Record>) {
        self.replace_record(record.as_ref());
        if self.is_held() {
            self.update_record();
        }
    }

    fn replace_record(&mut self, record: Option<&Record>) {
        self.record = record.map(|record| (EncodedRecord::new(record), record.since));
        self.recorded.set(false);
        self.counted.set(NEVER_COUNTED);
    }

    /// Begins a new life of this party: clears what an earlier one left in the lock. Returns `true`
    /// if that one died in its critical section; the next owner is told so as well. Never blocks.
    ///
    /// Call it at boot, before other parties have to wait for this one.
    ///
    /// # Errors
    /// [`Error::AlreadyHeld`]; [`Error::InUse`].
    pub fn recover(&self) -> Result<bool, Error> {
        self.recover_as_party()
    }

    /// Acquires the lock if it is free or already held by this handle; returns `true` if so. Never
    /// blocks. For callers that cannot keep a guard: pair it with [`release`](Self::release).
    ///
    /// # Errors
    /// Those of [`try_lock`](Self::try_lock).
    pub fn try_acquire(&self) -> Result<bool, Error> {
        self.try_acquire_as(HoldKind::Unguarded)
    }

    /// Acquires the lock as [`lock`](Self::lock) does, for callers that cannot keep a guard: pair
    /// it with [`release`](Self::release).
    ///
    /// # Errors
    /// Those of [`lock`](Self::lock).
    pub fn acquire(&self, wait: &mut (impl Wait + ?Sized)) -> Result<(), Error> {
        self.acquire_as(HoldKind::Unguarded, wait, &mut AssumeAlive)
    }

    /// Acquires the lock as [`lock_or_recover`](Self::lock_or_recover) does, for callers that
    /// cannot keep a guard: pair it with [`release`](Self::release).
    ///
    /// # Errors
    /// Those of [`lock`](Self::lock).
    pub fn acquire_or_recover(
        &self,
        wait: &mut (impl Wait + ?Sized),
        liveness: &mut impl Liveness,
    ) -> Result<(), Error> {
        self.acquire_as(HoldKind::Unguarded, wait, liveness)
    }

    /// Releases one hold of [`acquire`](Self::acquire). The lock is free when all holds are
    /// released.
    ///
    /// # Errors
    /// [`Error::NotHeld`]; [`Error::GuardsAlive`] if only guards hold it; [`Error::InUse`].
    pub fn release(&self) -> Result<(), Error> {
        self.leave(HoldKind::Unguarded)
    }

    /// Returns `true` if another party contends now. Asked after a release, it tells whether to
    /// ring: to notify the other core, by an interrupt or by
    /// [`send_event`](crate::wait::send_event). Without a ring, a sleeping waiter tries again after
    /// its own interval.
    ///
    /// A dead party contends, too, until it comes back.
    #[must_use]
    pub fn has_waiters(&self) -> bool {
        // Partners: `choose` and `take`. Relaxed: a hint.
        self.us
            .others()
            .any(|(_, line)| line.number.load(Relaxed) | line.choosing.load(Relaxed) != 0)
    }

    /// Returns `true` if this handle holds the lock. Never blocks.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.holds.is_some()
    }

    /// Returns `true` if an owner died holding the lock, and the data has not been declared
    /// consistent since; `false` if this handle does not hold the lock. It reads a word of each
    /// party.
    #[must_use]
    pub fn owner_died(&self) -> bool {
        self.is_held() && self.deaths() != self.us.region.declared()
    }

    /// Returns the [fencing token](TicketGuard::fencing_token) of the present hold; `None` if this
    /// handle does not hold the lock.
    #[must_use]
    pub fn fencing_token(&self) -> Option<u64> {
        self.is_held().then(|| self.us.region.shared().fencing_token())
    }

    /// Declares the protected data consistent again after a death, so that the next owner is not
    /// told.
    ///
    /// # Errors
    /// [`Error::NotHeld`]; [`Error::InUse`].
    pub fn declare_consistent(&self) -> Result<(), Error> {
        if self.holds.is_in_change() {
            return Err(Error::InUse);
        }
        if self.holds.is_none() {
            return Err(Error::NotHeld);
        }
        self.us.region.declare(self.deaths());
        Ok(())
    }

    /// Returns the sum of the deaths, as the owner counts it.
    fn deaths(&self) -> u32 {
        self.us.region.deaths_seen_by(self.us.number.get())
    }

    /// Returns the present owner, this handle or another, and its record; `None` if the lock is
    /// free. Changes nothing, and never blocks.
    #[must_use]
    pub fn holder(&self) -> Option<Holder> {
        self.us.region.holder()
    }

    /// Returns the region of this lock.
    #[must_use]
    pub const fn region(&self) -> TicketRegion<'a, N> {
        self.us.region
    }

    /// Returns the token of this handle: the number of its party.
    #[must_use]
    pub const fn token(&self) -> Token {
        region::token_of(self.us.number)
    }
}

impl<const N: usize, F: Fence> Drop for TicketLock<'_, N, F> {
    fn drop(&mut self) {
        if self.holds.merge_unguarded() {
            // A single unguarded hold: nothing can fail.
            let _ = self.leave(HoldKind::Unguarded);
        }
    }
}
