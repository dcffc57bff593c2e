//! A complete lock for embedders: one region, one fixed token, one way of waiting at each call.

mod guard;
mod hold_count;

use core::cell::Cell;
use core::num::NonZeroU16;

use crate::contend::{self, Liveness, NeverDead};
use crate::error::Error;
use crate::fence::{Fence, FullSystem, InnerShareable};
use crate::protocol::{self, Acquisition, Arrival, Wake};
use crate::record::{Holder, Record};
use crate::region::Region;
use crate::token::Token;
use crate::wait::{self, Wait};
use crate::word::Word;

pub use guard::RegionGuard;
use hold_count::{Hold, HoldCount};

/// A reentrant lock over a region, held under a fixed token.
///
/// The handle is one contender: one core, one task. It is `Send` and not `Sync`. **Give each contender of a region its
/// own token**: two handles with one token exclude nobody, for each would take the other's hold for its own left-over
/// from before a reset. (That is also what makes it heal: a core that restarts finds its own token in the word, takes
/// the lock over at its first acquisition, and is told so by [`owner_died`](RegionGuard::owner_died).)
///
/// Dropping the handle gives back what [`acquire`](Self::acquire) took. What a leaked guard holds stays held.
///
/// Why it is no `lock_api` mutex stands in the [crate's documentation](crate#what-it-does-not-do).
///
/// Nothing here allocates, blocks longer than the given [`Wait`], or panics, whatever stands in the region.
#[derive(Debug)]
pub struct RegionLock<'a, F: Fence = InnerShareable> {
    region: Region<'a>,
    me: Token,
    fence: F,
    record: Option<Record>,
    /// Whether this handle has written its record itself: a former life of the token may have left another one.
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
    /// As [`new`](RegionLock::new), with another scope of the fences. All contenders of a region need the same scope.
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
            me: Token::fixed(token),
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

    /// As [`with_record`](Self::with_record), for a handle in use; at once readable by others if it holds the lock.
    /// `None`: its holds say nothing of it any more but the token. Never blocks.
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
    /// [`Error::Busy`] if somebody else holds it; [`Error::TooDeep`].
    pub fn try_lock(&self) -> Result<RegionGuard<'_, 'a, F>, Error> {
        self.enter(Hold::Guard, &mut wait::Spin::attempts(0), &mut NeverDead)?;
        Ok(RegionGuard::of_a_hold(self))
    }

    /// Takes the lock, waiting in the given way. Nobody is ever taken for dead.
    ///
    /// # Errors
    /// [`Error::Busy`] when `wait` gave up; [`Error::TooDeep`].
    pub fn lock(&self, wait: &mut impl Wait) -> Result<RegionGuard<'_, 'a, F>, Error> {
        self.lock_or_recover(wait, &mut NeverDead)
    }

    /// Takes the lock, waiting in the given way, or taking it over from an owner that `liveness` proves dead.
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
    ///         (owner == Token::fixed(WORKER)).then(act)
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

    /// As [`lock`](Self::lock), for callers that cannot keep a guard: pair it with [`release`](Self::release).
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
        self.acquire_or_recover(wait, &mut NeverDead)
    }

    /// As [`lock_or_recover`](Self::lock_or_recover), for callers that cannot keep a guard: pair it with
    /// [`release`](Self::release).
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    pub fn acquire_or_recover(&self, wait: &mut impl Wait, liveness: &mut impl Liveness) -> Result<(), Error> {
        self.enter(Hold::Bare, wait, liveness)
    }

    /// Takes the lock, or counts one hold more of it.
    #[inline]
    fn enter(&self, hold: Hold, wait: &mut impl Wait, liveness: &mut impl Liveness) -> Result<(), Error> {
        if !self.holds.is_none() {
            return self.nest(hold);
        }
        let change = Change::begin(self);
        let word = self.region.owner_word();
        let acquisition = match protocol::try_acquire(word, self.me, Arrival::Fresh, self.fence) {
            Ok(acquisition) => acquisition,
            Err(_) => match self.contend(wait, liveness) {
                Ok(acquisition) => acquisition,
                Err(busy) => {
                    change.end(None);
                    return Err(busy);
                }
            },
        };
        self.begin(acquisition);
        change.end(Some(hold));
        Ok(())
    }

    /// Counts one hold more, if the word names this handle. The count alone is no proof: somebody may have written to the
    /// region, or a forked child may have released the lock under the same token.
    #[cold]
    fn nest(&self, hold: Hold) -> Result<(), Error> {
        let found = self.word();
        if !found.is_owned_by(self.me) && !self.holds.is_in_change() {
            return Err(Error::Overwritten { found });
        }
        self.holds.nest(hold)
    }

    #[cold]
    fn contend(&self, wait: &mut impl Wait, liveness: &mut impl Liveness) -> Result<Acquisition, Error> {
        let word = self.region.owner_word();
        let won = contend::acquire_contended(word, self.me, self.fence, liveness, wait).map_err(|seen| {
            // The wake that we used up may have been meant for others.
            self.wake(if seen.is_free() { Wake::One } else { Wake::Nobody });
            Error::Busy { seen }
        });
        if won.is_ok() {
            self.region.count_contended();
        }
        won
    }

    fn begin(&self, acquisition: Acquisition) {
        self.owner_died.set(acquisition.owner_died);
        self.region.count_acquisition(self.fence);
        if acquisition.recovered_from.is_some() {
            self.region.count_recovery();
        }
        self.describe();
    }

    /// Only while the lock is held.
    fn describe(&self) {
        let described = self.region.record_describes(self.me);
        match &self.record {
            Some(_) if described && self.recorded.get() => {}
            Some(record) => self.region.write_record(self.me, record, self.fence),
            // Left by a former life of this token, or by this handle while it had a record.
            None if described && !self.recorded.get() => {
                self.region.write_record(self.me, &Record::default(), self.fence);
            }
            None => {}
        }
        self.recorded.set(true);
    }

    /// Gives back one hold taken by [`acquire`](Self::acquire); the lock is free when all are given back.
    ///
    /// # Errors
    /// [`Error::NotHeld`]; [`Error::GuardsAlive`] if only guards hold it; [`Error::Overwritten`].
    pub fn release(&self) -> Result<(), Error> {
        self.leave(Hold::Bare)
    }

    /// Ends one hold.
    #[inline]
    fn leave(&self, hold: Hold) -> Result<(), Error> {
        if !self.holds.is_just(hold) {
            return self.un_nest(hold);
        }
        let change = Change::begin(self);
        let released = protocol::release(self.region.owner_word(), self.me, self.fence);
        change.end(None);
        match released {
            Ok(wake) => {
                self.wake(wake);
                Ok(())
            }
            Err(found) => {
                self.owes_wake.set(false);
                Err(Error::Overwritten { found })
            }
        }
    }

    #[cold]
    fn un_nest(&self, hold: Hold) -> Result<(), Error> {
        self.holds.un_nest(hold)
    }

    fn wake(&self, wake: Wake) {
        self.owes_wake.set(wake == Wake::One);
        if wake == Wake::One {
            wait::send_event();
        }
    }

    /// Whether the last release of this handle, or the last attempt that gave up if that came later, left somebody to be
    /// woken.
    ///
    /// Whoever waits by [`Wfe`](wait::Wfe) has been sent an event already. This is for wakes that only the embedder can
    /// give: a task notification, an interrupt to the other core, a futex. Without any, sleepers look again after their
    /// own interval.
    #[must_use]
    pub fn owes_wake(&self) -> bool {
        self.owes_wake.get()
    }

    /// Whether this handle holds the lock.
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

    /// Says that the protected data is consistent again after a death: the next owner is not told of it any more.
    ///
    /// # Errors
    /// [`Error::NotHeld`]; [`Error::Overwritten`].
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

/// A handle in change, until [`end`](Self::end). Dropped without it, foreign code has unwound out of the call.
struct Change<'l, 'a, F: Fence>(&'l RegionLock<'a, F>);

impl<'l, 'a, F: Fence> Change<'l, 'a, F> {
    #[inline]
    fn begin(lock: &'l RegionLock<'a, F>) -> Self {
        lock.holds.begin_change();
        Self(lock)
    }

    #[inline]
    fn end(self, hold: Option<Hold>) {
        self.0.holds.end_change(hold);
        core::mem::forget(self);
    }
}

impl<F: Fence> Drop for Change<'_, '_, F> {
    /// Leaves behind what a call leaves that has not taken the lock: if the word is ours, its section has not begun or
    /// has ended.
    #[cold]
    fn drop(&mut self) {
        let lock = self.0;
        let word = lock.region.owner_word();
        // Not by the handle's own fence, which may be what panicked. The strongest one stands in for any.
        let wake = match protocol::release(word, lock.me, FullSystem) {
            Ok(wake) => wake,
            // It may have marked the word, and used up a wake that was meant for others.
            Err(seen) if contend::step_aside(word, seen, Arrival::Waited).is_free() => Wake::One,
            Err(_) => Wake::Nobody,
        };
        lock.wake(wake);
        lock.holds.end_change(None);
    }
}
