//! Waiting by a timer of `embedded-hal-async`, so that one task waits and the others of its
//! executor go on.
//!
//! The future of an acquisition **leaves no trace when it is dropped**: between two attempts it
//! holds nothing, has marked nothing in the region, and owes nobody a wake. What it costs is that
//! nobody wakes it either: it looks again when its interval is over, and not before.

use embedded_hal_async::delay::DelayNs;

use crate::contend::{AssumeAlive, Liveness};
use crate::error::Error;
use crate::fence::Fence;
use crate::lock::{RegionGuard, RegionLock};
use crate::wait::{Wait, WaitAction, WaitContext};

/// Sleeps by any `embedded_hal_async` delay between attempts. The counterpart of `wait::Delay`.
#[derive(Clone, Copy, Debug)]
pub struct Delay<D> {
    timer: D,
    interval_us: u32,
    left: u32,
}

impl<D: DelayNs> Delay<D> {
    /// Sleeps `interval_us` microseconds after each failed attempt, and gives up after `attempts`
    /// sleeps.
    pub const fn new(timer: D, interval_us: u32, attempts: u32) -> Self {
        Self { timer, interval_us, left: attempts }
    }
}

impl<'a, F: Fence> RegionLock<'a, F> {
    /// As [`lock`](Self::lock), waiting by a timer without holding up the executor. Nobody is ever
    /// taken for dead.
    ///
    /// Never blocks a poll. Dropping the future leaves no trace in the region. The future is not
    /// `Send`: the handle is one contender, and its task stays on one thread.
    ///
    /// It does not nest. A hold that the handle has already, or comes to have while this waits, may
    /// be another task's. Two tasks need two handles, each with its own token. A task that nests on
    /// purpose uses [`try_lock`](Self::try_lock), which cannot tell one task from another.
    ///
    /// # Errors
    /// [`Error::Busy`] when the attempts of `delay` are used up; [`Error::AlreadyHeld`];
    /// [`Error::InUse`].
    ///
    /// # Limits
    /// A guard that lives across an `await` keeps everybody else out for as long as the task is not
    /// polled.
    ///
    /// # Examples
    /// ```
    /// use core::num::NonZeroU16;
    /// use embedded_hal_async::delay::DelayNs;
    /// use shmlock_core::{Error, Region, RegionLock, RegionMemory, wait_async::Delay};
    ///
    /// static SHARED: RegionMemory = RegionMemory::new();
    ///
    /// async fn measure(timer: impl DelayNs) -> Result<(), Error> {
    ///     let lock = RegionLock::new(Region::from_static(&SHARED)?, NonZeroU16::MIN);
    ///     let mut every_millisecond = Delay::new(timer, 1_000, 100);
    ///     let guard = lock.lock_async(&mut every_millisecond).await?;
    ///     // the section
    ///     guard.release()
    /// }
    /// ```
    pub async fn lock_async<D: DelayNs>(
        &self,
        delay: &mut Delay<D>,
    ) -> Result<RegionGuard<'_, 'a, F>, Error> {
        self.lock_or_recover_async(delay, &mut AssumeAlive).await
    }

    /// As [`lock_async`](Self::lock_async), or taking the lock over from an owner that `liveness`
    /// proves dead. It is asked once at each attempt.
    ///
    /// # Errors
    /// As [`lock_async`](Self::lock_async).
    pub async fn lock_or_recover_async<D: DelayNs>(
        &self,
        delay: &mut Delay<D>,
        liveness: &mut impl Liveness,
    ) -> Result<RegionGuard<'_, 'a, F>, Error> {
        loop {
            if self.has_holds() {
                return Err(Error::AlreadyHeld);
            }
            match self.lock_or_recover(&mut AskOnce(true), liveness) {
                Err(Error::Busy { .. }) if delay.left > 0 => {}
                outcome => return outcome,
            }
            delay.left -= 1;
            delay.timer.delay_us(delay.interval_us).await;
        }
    }
}

/// Lets no time pass and marks nothing; asks once whether the owner is dead.
struct AskOnce(bool);

impl Wait for AskOnce {
    fn wait(&mut self, _: &mut WaitContext<'_>) -> WaitAction {
        if core::mem::replace(&mut self.0, false) { WaitAction::Probe } else { WaitAction::GiveUp }
    }
}
