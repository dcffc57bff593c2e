//! Implements a complete lock for embedders: one region, one static token, a way of waiting for
//! each call.
//!
//! This file has the handle; `boot.rs` makes that of a core that counts its boots; `guard.rs` has
//! the calls that return a guard; `change.rs` moves the owner word, and `disturbed.rs` has what its
//! calls pass to each other; `hold_count.rs` counts nested holds.

mod boot;
mod change;
mod disturbed;
pub(crate) mod guard;
pub(crate) mod hold_count;

use core::cell::Cell;
use core::num::NonZeroU16;

use crate::contend::{AssumeAlive, Liveness};
use crate::error::Error;
use crate::fence::{Fence, InnerShareable};
use crate::protocol;
use crate::record::encoded::{EncodedRecord, halves};
use crate::record::{Holder, Record};
use crate::region::Region;
use crate::token::Token;
use crate::wait::Wait;
use crate::word::Word;

use disturbed::{Disturbed, Lent};
use hold_count::{HoldCount, HoldKind};

/// A reentrant lock over a region, held under a static token.
///
/// The handle is one contender: one core, one task. It is `Send` and not `Sync`. **Give each
/// contender of a region its own token.** Two handles with one token do not exclude each other:
/// each takes the other's hold for its own from before a restart. For the same reason a core that
/// restarts recovers its lock: it finds its own token in the word, takes the lock over at its first
/// acquisition, and [`owner_died`](crate::RegionGuard::owner_died) tells it so.
///
/// **If other cores prove deaths as well** ([`lock_or_recover`](Self::lock_or_recover)), and a core
/// can be restarted at any moment, its token has to be another one after each restart: see
/// [`for_boot`](RegionLock::for_boot) and [`roll`](crate::roll). Otherwise a core whose proof is a
/// moment old robs the core that has come back.
///
/// Dropping the handle releases what [`acquire`](Self::acquire) acquired. A leaked guard keeps its
/// hold. This is no `lock_api` mutex: see the [crate](crate#what-it-does-not-do).
///
/// Nothing here allocates, blocks longer than the given [`Wait`], or panics, whatever the region
/// contains.
///
/// # Calls from within a call
///
/// The given [`Wait`], [`Liveness`] and [`Fence`] run while the handle moves the owner word. If
/// they use the same handle, for example because a `Wait` lets other tasks run, each call returns
/// [`Error::InUse`] and changes nothing, and the handle reports that it holds nothing.
///
/// If they panic, the call leaves the same state as a call that did not acquire the lock: the
/// handle does not hold the lock and can be used again, and a recovery stays visible by
/// [`owner_died`](crate::RegionGuard::owner_died). If they never return, the handle is in use for
/// ever. A proof that never returns after it has run its `act` keeps the lock.
///
/// # Interrupt handlers and signal handlers
///
/// The handle is not `Sync`, so only `unsafe` code can share it with a handler. That code keeps one
/// rule: **a handler leaves the handle as it found it**. Before it returns, it releases what it has
/// acquired, and nothing else. In a handler that interrupts a call, each call returns
/// [`Error::InUse`], or finds the handle at rest and may proceed by this rule. Mask a handler that
/// cannot keep the rule during every call of the handle: one that releases what another context
/// acquired, for example.
///
/// [`owes_wake`](Self::owes_wake) answers for the last call, a handler's included. Mask a handler
/// that uses the handle from a release until `owes_wake` has been asked. Otherwise the wake may be
/// lost, and the waiter tries again after its own interval.
///
/// # Fork
///
/// This crate knows no processes. The child of a `fork(2)` has a copy of the handle with the same
/// token, and nothing tells the two apart. In the child, `release` and the drop of the handle or of
/// a guard free the lock under its parent. The child neither uses nor drops such a handle
/// ([`core::mem::forget`] it), and makes one with a token of its own. The crate `shmlock` notices a
/// fork by itself; the interface for C does if the caller gives it a fork generation.
#[derive(Debug)]
#[repr(C)] // first what each call uses: short offsets make short instructions
pub struct RegionLock<'a, F: Fence = InnerShareable> {
    region: Region<'a>,
    me: Token,
    fence: F,
    /// The count of acquisitions that this handle stored last, or [`NEVER_COUNTED`]. While the
    /// region has the same count, no other handle has held the lock since, and the record is right.
    /// (If others have held it exactly 2^32 times since, readers find no record.)
    counted: Cell<u32>,
    holds: HoldCount,
    outcome: Cell<Outcome>,
    /// `true` if this handle has written its record itself: an earlier handle with this token may
    /// have left another one.
    recorded: Cell<bool>,
    record: Option<OwnRecord>,
}

/// No count of this handle stands. [`Region::count_next_acquisition`] refuses it.
const NEVER_COUNTED: u32 = u32::MAX;

/// What a handle answers about its last acquisition and its last release.
#[derive(Clone, Copy, Debug)]
#[repr(align(4))] // a word, so that one instruction clears it together with `holds`
struct Outcome {
    /// DIED was set when this handle acquired the lock; `false` without a hold.
    owner_died: bool,
    owes_wake: bool,
}

impl Outcome {
    const NONE: Self = Self { owner_died: false, owes_wake: false };
}

/// The record of a handle, encoded once.
#[derive(Debug)]
struct OwnRecord {
    encoded: EncodedRecord,
    /// The low half and the high half: an `u64` would be aligned to 8.
    since: [u32; 2],
}

impl OwnRecord {
    fn since(&self) -> u64 {
        let [low, high] = self.since.map(u64::from);
        high << 32 | low
    }
}

impl<'a> RegionLock<'a> {
    /// Returns a handle for the contender `token`. It holds nothing yet.
    #[must_use]
    pub const fn new(region: Region<'a>, token: NonZeroU16) -> Self {
        Self::with_fence(region, token, InnerShareable)
    }
}

impl<'a, F: Fence> RegionLock<'a, F> {
    /// Returns a handle as [`new`](RegionLock::new) does, with another scope of the fences. All
    /// contenders of a region need the same scope.
    ///
    /// # Examples
    /// ```
    /// use core::num::NonZeroU16;
    /// use shmlock_core::fence::FullSystem;
    /// use shmlock_core::{Region, RegionLock, RegionMemory};
    ///
    /// static SHARED: RegionMemory = RegionMemory::new();
    ///
    /// // Memory between a Cortex-A and a Cortex-M: `dmb sy` instead of `dmb ish`.
    /// let region = Region::from_static(&SHARED)?;
    /// let lock = RegionLock::with_fence(region, NonZeroU16::MIN, FullSystem);
    /// assert!(lock.try_lock()?.is_some());
    /// # Ok::<(), shmlock_core::Error>(())
    /// ```
    #[must_use]
    pub const fn with_fence(region: Region<'a>, token: NonZeroU16, fence: F) -> Self {
        Self::of_contender(region, Token::from_static(token), fence)
    }

    const fn of_contender(region: Region<'a>, me: Token, fence: F) -> Self {
        Self {
            region,
            me,
            fence,
            holds: HoldCount::new(),
            counted: Cell::new(NEVER_COUNTED),
            outcome: Cell::new(Outcome::NONE),
            recorded: Cell::new(false),
            record: None,
        }
    }

    /// Sets the record that describes every hold of this handle to other parties.
    ///
    /// # Examples
    /// ```
    /// use core::num::NonZeroU16;
    /// use shmlock_core::record::{Record, description};
    /// use shmlock_core::{Region, RegionLock, RegionMemory, uuid::Uuid};
    ///
    /// static SHARED: RegionMemory = RegionMemory::new();
    ///
    /// let region = Region::from_static(&SHARED)?;
    /// let name = description("motor control")?;
    /// let motor = Record { uuid: Uuid::from_u128(0x107), description: name, ..Record::default() };
    /// let lock = RegionLock::new(region, NonZeroU16::MIN).with_record(motor.clone());
    /// let _guard = lock.try_lock()?;
    ///
    /// let holder = lock.holder().ok_or(shmlock_core::Error::NotHeld)?;
    /// assert_eq!((holder.token, holder.record), (lock.token(), Some(motor)));
    /// # Ok::<(), shmlock_core::Error>(())
    /// ```
    #[expect(clippy::needless_pass_by_value, reason = "handed over, however it is kept")]
    #[must_use]
    pub fn with_record(mut self, record: Record) -> Self {
        self.replace_record(Some(&record));
        self
    }

    /// Sets the record of a handle in use. If it holds the lock, others can read the new record at
    /// once. With `None`, only the token describes its holds. Never blocks.
    #[expect(clippy::needless_pass_by_value, reason = "handed over, however it is kept")]
    pub fn set_record(&mut self, record: Option<Record>) {
        self.replace_record(record.as_ref());
        if self.is_held() {
            self.update_record();
        }
    }

    fn replace_record(&mut self, record: Option<&Record>) {
        self.record = record.map(|record| OwnRecord {
            encoded: EncodedRecord::new(record),
            since: halves(record.since),
        });
        self.recorded.set(false);
        self.counted.set(NEVER_COUNTED);
    }

    /// Acquires the lock if it is free or already held by this handle; returns `true` if so. Never
    /// blocks. For callers that cannot keep a guard: pair it with [`release`](Self::release).
    ///
    /// # Errors
    /// Those of [`try_lock`](Self::try_lock).
    #[inline]
    pub fn try_acquire(&self) -> Result<bool, Error> {
        match self.enter_undisturbed(HoldKind::Unguarded) {
            Ok(()) => Ok(true),
            Err(disturbed) => self.try_acquire_disturbed(disturbed),
        }
    }

    #[cold]
    #[inline(never)]
    fn try_acquire_disturbed(&self, disturbed: Disturbed<'a>) -> Result<bool, Error> {
        Ok(self.try_enter_disturbed(disturbed, HoldKind::Unguarded)?)
    }

    /// Acquires the lock as [`lock`](Self::lock) does, for callers that cannot keep a guard: pair
    /// it with [`release`](Self::release).
    ///
    /// # Errors
    /// Those of [`lock`](Self::lock).
    ///
    /// # Examples
    /// ```
    /// use core::num::NonZeroU16;
    /// use shmlock_core::{Region, RegionLock, RegionMemory, wait::Spin};
    ///
    /// static SHARED: RegionMemory = RegionMemory::new();
    ///
    /// let lock = RegionLock::new(Region::from_static(&SHARED)?, NonZeroU16::MIN);
    /// lock.acquire(&mut Spin::attempts(1_000))?; // in one callback of a driver
    /// lock.release()?; // in another
    /// if lock.owes_wake() {
    ///     // Notify the task or the core that sleeps.
    /// }
    /// # Ok::<(), shmlock_core::Error>(())
    /// ```
    #[inline]
    pub fn acquire(&self, wait: &mut (impl Wait + ?Sized)) -> Result<(), Error> {
        self.acquire_by(wait, AssumeAlive)
    }

    /// Acquires the lock as [`lock_or_recover`](Self::lock_or_recover) does, for callers that
    /// cannot keep a guard: pair it with [`release`](Self::release).
    ///
    /// # Errors
    /// Those of [`lock_or_recover`](Self::lock_or_recover).
    #[inline]
    pub fn acquire_or_recover(
        &self,
        wait: &mut (impl Wait + ?Sized),
        liveness: &mut impl Liveness,
    ) -> Result<(), Error> {
        self.check_proof(liveness)?;
        self.acquire_by(wait, Lent(liveness))
    }

    #[inline]
    fn acquire_by(
        &self,
        wait: &mut (impl Wait + ?Sized),
        liveness: impl Liveness,
    ) -> Result<(), Error> {
        match self.enter_undisturbed(HoldKind::Unguarded) {
            Ok(()) => Ok(()),
            Err(disturbed) => self.acquire_disturbed(wait, liveness, disturbed),
        }
    }

    #[cold]
    #[inline(never)]
    fn acquire_disturbed(
        &self,
        wait: &mut (impl Wait + ?Sized),
        liveness: impl Liveness,
        disturbed: Disturbed<'a>,
    ) -> Result<(), Error> {
        Ok(self.enter_or_wait(wait, liveness, disturbed, HoldKind::Unguarded)?)
    }

    /// Releases one hold of [`acquire`](Self::acquire). The lock is free when all holds are
    /// released.
    ///
    /// # Errors
    /// [`Error::NotHeld`]; [`Error::GuardsAlive`] if only guards hold it; [`Error::Overwritten`];
    /// [`Error::InUse`].
    #[inline]
    pub fn release(&self) -> Result<(), Error> {
        self.leave(HoldKind::Unguarded)
    }

    /// Returns `true` if the last call that released the lock or gave up left a waiter to be woken.
    ///
    /// Waiters that sleep by [`Wfe`](crate::wait::Wfe) have been sent an event already. This is for
    /// wakes that only the embedder can give: a task notification, an interrupt to the other core,
    /// a futex. Without one, a sleeping waiter tries again after its own interval.
    #[must_use]
    pub fn owes_wake(&self) -> bool {
        self.outcome.get().owes_wake
    }

    /// Returns `true` if this handle has acquired the lock, and the word still names it. Never
    /// blocks.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.holds.is_some() && self.word().is_owned_by(self.me)
    }

    /// Returns `true` if there are holds to release, whatever the word names.
    #[cfg(feature = "embedded-hal-async")]
    pub(crate) fn has_holds(&self) -> bool {
        self.holds.is_some()
    }

    /// Returns `true` if an owner died holding the lock, and the data has not been declared
    /// consistent since; `false` if this handle does not hold the lock.
    #[must_use]
    pub fn owner_died(&self) -> bool {
        self.is_held() && self.outcome.get().owner_died
    }

    /// Returns the [fencing token](crate::RegionGuard::fencing_token) of the present hold; `None`
    /// if this handle does not hold the lock.
    #[must_use]
    pub fn fencing_token(&self) -> Option<u64> {
        self.is_held().then(|| self.region.fencing_token())
    }

    /// Declares the protected data consistent again after a death: clears DIED, so that the next
    /// owner is not told.
    ///
    /// # Errors
    /// [`Error::NotHeld`]; [`Error::Overwritten`]; [`Error::InUse`].
    pub fn declare_consistent(&self) -> Result<(), Error> {
        if self.holds.is_in_change() {
            return Err(Error::InUse);
        }
        if self.holds.is_none() {
            return Err(Error::NotHeld);
        }
        protocol::declare_consistent(self.region.owner_word(), self.me)
            .map_err(|found| Error::Overwritten { found })?;
        self.outcome.set(Outcome { owner_died: false, ..self.outcome.get() });
        Ok(())
    }

    /// Returns the present owner, this handle or another, and its record; `None` if the lock is
    /// free. Changes nothing, and never blocks.
    #[must_use]
    pub fn holder(&self) -> Option<Holder> {
        self.region.holder(self.fence)
    }

    /// Returns the present value of the owner word.
    #[must_use]
    pub fn word(&self) -> Word {
        self.region.word()
    }

    /// Returns the token of this handle.
    #[must_use]
    pub const fn token(&self) -> Token {
        self.me
    }
}

impl<F: Fence> Drop for RegionLock<'_, F> {
    fn drop(&mut self) {
        if self.holds.merge_unguarded() {
            // An overwritten word may name another owner; a drop cannot report it.
            let _ = self.leave(HoldKind::Unguarded);
        }
    }
}
