//! A complete lock for embedders: one region, one fixed token, one way of waiting at each call.

mod change;
mod guard;
mod hold_count;

use core::cell::Cell;
use core::num::NonZeroU16;

use crate::contend::{AssumeAlive, Liveness};
use crate::error::Error;
use crate::fence::{Fence, InnerShareable};
use crate::protocol;
use crate::record::{Holder, Record};
use crate::region::Region;
use crate::token::Token;
use crate::wait::Wait;
use crate::word::Word;

pub use guard::RegionGuard;
use hold_count::{Hold, HoldCount};

/// A reentrant lock over a region, held under a fixed token.
///
/// The handle is one contender: one core, one task. It is `Send` and not `Sync`. **Give each
/// contender of a region its own token**: two handles with one token exclude nobody, for each would
/// take the other's hold for its own left-over from before a reset. (That is also what makes it
/// heal: a core that restarts finds its own token in the word, takes the lock over at its first
/// acquisition, and is told so by [`owner_died`](RegionGuard::owner_died).)
///
/// Dropping the handle gives back what [`acquire`](Self::acquire) took. What a leaked guard holds
/// stays held.
///
/// Why it is no `lock_api` mutex stands in the [crate's documentation](crate#what-it-does-not-do).
///
/// Nothing here allocates, blocks longer than the given [`Wait`], or panics, whatever stands in the
/// region.
///
/// # Calls from within a call
///
/// The given [`Wait`], [`Liveness`] and [`Fence`] run while the handle moves the owner word. If
/// they use the same handle, for example because a `Wait` lets other tasks run, each call answers
/// [`Error::InUse`] and changes nothing. The handle then says of itself that it holds nothing.
///
/// If they panic, the call leaves what a call leaves that has not taken the lock: the lock is not
/// held by this handle, a take-over stays known by [`owner_died`](RegionGuard::owner_died), and the
/// handle can be used again. If they never return, the handle is in use for ever. A proof that
/// never returns after it has run its `act` keeps the lock.
///
/// # Interrupt handlers and signal handlers
///
/// The handle is not `Sync`, so only `unsafe` code can share it with a handler. That code sees to
/// one rule: **a handler leaves the handle as it found it**. It releases before it returns what it
/// has acquired, and nothing else. A handler that interrupts a call is answered [`Error::InUse`],
/// or finds the handle at rest and may use it by this rule. A handler that cannot keep the rule, as
/// one that releases what another context acquired, is masked during every call of the handle.
///
/// # Fork
///
/// This crate knows no process. The child of a `fork` has a copy of the handle under the same
/// token, and nothing tells the two apart: the child's `release`, or its drop of the handle or of a
/// guard, frees the lock under its parent. A child neither uses nor drops such a handle
/// ([`core::mem::forget`] it), and makes one with a token of its own. The crate `shmlock` notices a
/// fork by itself, and the interface for C does if the caller gives it a fork generation.
#[derive(Debug)]
pub struct RegionLock<'a, F: Fence = InnerShareable> {
    region: Region<'a>,
    me: Token,
    fence: F,
    record: Option<Record>,
    /// Whether this handle has written its record itself: a former life of the token may have left
    /// another one.
    recorded: Cell<bool>,
    holds: HoldCount,
    owner_died: Cell<bool>,
    owes_wake: Cell<bool>,
}

impl<'a> RegionLock<'a> {
    /// A handle for the contender `token`. Holds nothing yet.
    #[must_use]
    pub const fn new(region: Region<'a>, token: NonZeroU16) -> Self {
        Self::with_fence(region, token, InnerShareable)
    }
}

impl<'a, F: Fence> RegionLock<'a, F> {
    /// As [`new`](RegionLock::new), with another scope of the fences. All contenders of a region
    /// need the same scope.
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
    /// let lock = RegionLock::with_fence(Region::from_static(&SHARED)?, NonZeroU16::MIN, FullSystem);
    /// lock.try_lock()?.release()?;
    /// # Ok::<(), shmlock_core::Error>(())
    /// ```
    #[must_use]
    pub const fn with_fence(region: Region<'a>, token: NonZeroU16, fence: F) -> Self {
        Self {
            region,
            me: Token::from_static(token),
            fence,
            record: None,
            recorded: Cell::new(false),
            holds: HoldCount::new(),
            owner_died: Cell::new(false),
            owes_wake: Cell::new(false),
        }
    }

    /// Makes every hold of this handle readable to others as this record.
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
    #[must_use]
    pub fn with_record(mut self, record: Record) -> Self {
        self.record = Some(record);
        self.recorded.set(false);
        self
    }

    /// As [`with_record`](Self::with_record), for a handle in use; at once readable by others if it
    /// holds the lock. `None`: its holds say nothing of it any more but the token. Never blocks.
    pub fn set_record(&mut self, record: Option<Record>) {
        self.record = record;
        self.recorded.set(false);
        if self.is_held() {
            self.describe();
        }
    }

    /// Takes the lock if it is free or already ours. Never blocks.
    ///
    /// # Errors
    /// [`Error::Busy`] if somebody else holds it; [`Error::NestingTooDeep`]; [`Error::InUse`];
    /// [`Error::Overwritten`] if the handle holds the lock and the word denies it.
    pub fn try_lock(&self) -> Result<RegionGuard<'_, 'a, F>, Error> {
        self.try_enter(Hold::Guard)?;
        Ok(RegionGuard::of_a_hold(self))
    }

    /// Takes the lock, waiting in the given way. Nobody is ever taken for dead.
    ///
    /// # Errors
    /// [`Error::Busy`] when `wait` gave up; otherwise as [`try_lock`](Self::try_lock).
    pub fn lock(&self, wait: &mut impl Wait) -> Result<RegionGuard<'_, 'a, F>, Error> {
        self.lock_or_recover(wait, &mut AssumeAlive)
    }

    /// Takes the lock, waiting in the given way, or taking it over from an owner that `liveness`
    /// proves dead.
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    ///
    /// # Examples
    /// A core that can hold another one in reset, and so can prove that it is dead.
    /// ```
    /// use core::num::NonZeroU16;
    /// use shmlock_core::contend::Liveness;
    /// use shmlock_core::{Region, RegionLock, RegionMemory, Token, wait::Spin};
    ///
    /// static SHARED: RegionMemory = RegionMemory::new();
    /// const SUPERVISOR: NonZeroU16 = NonZeroU16::new(1).unwrap();
    /// const WORKER: NonZeroU16 = NonZeroU16::new(2).unwrap();
    ///
    /// struct WorkerInReset;
    ///
    /// impl Liveness for WorkerInReset {
    ///     fn while_dead<R>(&mut self, owner: Token, act: impl FnOnce() -> R) -> Option<R> {
    ///         // Here the reset line would be read. Nobody lets the worker go before `act` has returned.
    ///         (owner == Token::from_static(WORKER)).then(act)
    ///     }
    /// }
    ///
    /// let region = Region::from_static(&SHARED)?;
    /// let worker = RegionLock::new(region, WORKER);
    /// core::mem::forget(worker.try_lock()?); // it is reset in its section
    ///
    /// let supervisor = RegionLock::new(region, SUPERVISOR);
    /// let guard = supervisor.lock_or_recover(&mut Spin::attempts(100), &mut WorkerInReset)?;
    /// assert!(guard.owner_died());
    /// // look at the data, mend it, and then:
    /// guard.declare_consistent()?;
    /// # Ok::<(), shmlock_core::Error>(())
    /// ```
    pub fn lock_or_recover(
        &self,
        wait: &mut impl Wait,
        liveness: &mut impl Liveness,
    ) -> Result<RegionGuard<'_, 'a, F>, Error> {
        self.enter(Hold::Guard, wait, liveness)?;
        Ok(RegionGuard::of_a_hold(self))
    }

    /// As [`lock`](Self::lock), for callers that cannot keep a guard: pair it with
    /// [`release`](Self::release).
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
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
    ///     // notify the task or the core that sleeps
    /// }
    /// # Ok::<(), shmlock_core::Error>(())
    /// ```
    pub fn acquire(&self, wait: &mut impl Wait) -> Result<(), Error> {
        self.acquire_or_recover(wait, &mut AssumeAlive)
    }

    /// As [`lock_or_recover`](Self::lock_or_recover), for callers that cannot keep a guard: pair it
    /// with [`release`](Self::release).
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    pub fn acquire_or_recover(
        &self,
        wait: &mut impl Wait,
        liveness: &mut impl Liveness,
    ) -> Result<(), Error> {
        self.enter(Hold::Bare, wait, liveness)
    }

    /// Gives back one hold taken by [`acquire`](Self::acquire); the lock is free when all are given
    /// back.
    ///
    /// # Errors
    /// [`Error::NotHeld`]; [`Error::GuardsAlive`] if only guards hold it; [`Error::Overwritten`];
    /// [`Error::InUse`].
    pub fn release(&self) -> Result<(), Error> {
        self.leave(Hold::Bare)
    }

    /// Whether the last release of this handle, or the last attempt that gave up if that came
    /// later, left somebody to be woken.
    ///
    /// Whoever waits by [`Wfe`](crate::wait::Wfe) has been sent an event already. This is for wakes
    /// that only the embedder can give: a task notification, an interrupt to the other core, a
    /// futex. Without any, sleepers look again after their own interval.
    #[must_use]
    pub fn owes_wake(&self) -> bool {
        self.owes_wake.get()
    }

    /// Returns `true` if this handle has taken the lock, and the word names it still. Never blocks.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.holds.is_some() && self.word().is_owned_by(self.me)
    }

    /// Returns `true` if there are holds to end, whatever the word says.
    #[cfg(feature = "embedded-hal-async")]
    pub(crate) fn has_holds(&self) -> bool {
        self.holds.is_some()
    }

    /// See [`RegionGuard::owner_died`]; `false` if this handle does not hold the lock.
    #[must_use]
    pub fn owner_died(&self) -> bool {
        self.is_held() && self.owner_died.get()
    }

    /// See [`RegionGuard::fencing_token`]; `None` if this handle does not hold the lock.
    #[must_use]
    pub fn fencing_token(&self) -> Option<u64> {
        self.is_held().then(|| self.region.fencing_token())
    }

    /// Says that the protected data is consistent again after a death: the next owner is not told
    /// of it any more.
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
        self.owner_died.set(false);
        Ok(())
    }

    /// Who holds the lock, whoever it is. Changes nothing, and never blocks.
    #[must_use]
    pub fn holder(&self) -> Option<Holder> {
        self.region.holder(self.fence)
    }

    /// What the owner word says now.
    #[must_use]
    pub fn word(&self) -> Word {
        self.region.word()
    }

    /// The token of this handle.
    #[must_use]
    pub const fn token(&self) -> Token {
        self.me
    }
}

impl<F: Fence> Drop for RegionLock<'_, F> {
    fn drop(&mut self) {
        if self.holds.merge() {
            let _ = self.leave(Hold::Bare); // an overwritten word is another owner's by now
        }
    }
}
