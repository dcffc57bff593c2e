//! Implements waiting by a timer of `embedded-hal-async`: one task waits while the other tasks of
//! its executor run.
//!
//! The future of an acquisition **leaves no trace when it is dropped**: between two attempts it
//! holds nothing, has not set WAITERS, and owes no wake. In return no release wakes it: it tries
//! again when its interval is over, and not before.

use embedded_hal_async::delay::DelayNs;

use crate::contend::{AssumeAlive, Liveness};
use crate::error::Error;
use crate::fence::Fence;
use crate::lock::RegionLock;
use crate::lock::guard::RegionGuard;
use crate::wait::{Wait, WaitAction, WaitContext};

/// Sleeping by any `embedded_hal_async` delay between attempts. The counterpart of `wait::Delay`.
#[derive(Clone, Copy, Debug)]
pub struct Delay<D> {
    timer: D,
    interval_us: u32,
    left: u32,
}

impl<D: DelayNs> Delay<D> {
    /// Returns a wait that sleeps `interval_us` microseconds after each failed attempt, and gives
    /// up after `attempts` sleeps.
    pub const fn new(timer: D, interval_us: u32, attempts: u32) -> Self {
        Self { timer, interval_us, left: attempts }
    }
}

impl<'a, F: Fence> RegionLock<'a, F> {
    /// Acquires the lock, waiting by a timer. Every owner is held to be alive.
    ///
    /// Never blocks a poll. Dropping the future leaves no trace in the region. The future is not
    /// `Send`: the handle is one contender, and its task stays on one thread.
    ///
    /// It does not nest. A hold of the handle, whether older or acquired during the wait, may
    /// belong to another task. Two tasks need two handles, each with its own token. A task that
    /// nests on purpose uses [`try_lock`](Self::try_lock), which cannot tell one task from another.
    ///
    /// # Errors
    /// [`Error::Busy`] when the attempts of `delay` are used up; [`Error::AlreadyHeld`];
    /// [`Error::InUse`].
    ///
    /// # Limits
    /// A guard that lives across an `await` keeps all others out until the task is polled again.
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
    ///     // The critical section.
    ///     guard.release()
    /// }
    /// ```
    pub async fn lock_async<D: DelayNs>(
        &self,
        delay: &mut Delay<D>,
    ) -> Result<RegionGuard<'_, 'a, F>, Error> {
        self.lock_or_recover_async(delay, &mut AssumeAlive).await
    }

    /// Acquires the lock as [`lock_async`](Self::lock_async) does, or recovers it from an owner
    /// that `liveness` proves dead. Each attempt probes once.
    ///
    /// # Errors
    /// [`Error::PlainTokens`] if `liveness` judges boots and the static tokens of the region are
    /// plain; otherwise those of [`lock_async`](Self::lock_async).
    pub async fn lock_or_recover_async<D: DelayNs>(
        &self,
        delay: &mut Delay<D>,
        liveness: &mut impl Liveness,
    ) -> Result<RegionGuard<'_, 'a, F>, Error> {
        loop {
            if self.has_holds() {
                return Err(Error::AlreadyHeld);
            }
            match self.lock_or_recover(&mut ProbeOnce(true), liveness) {
                Err(Error::Busy { .. }) if delay.left > 0 => {}
                outcome => return outcome,
            }
            delay.left -= 1;
            delay.timer.delay_us(delay.interval_us).await;
        }
    }
}

/// A wait that lets no time pass, does not set WAITERS, and asks for one probe.
struct ProbeOnce(bool);

impl Wait for ProbeOnce {
    fn wait(&mut self, _: &mut WaitContext<'_>) -> WaitAction {
        if core::mem::replace(&mut self.0, false) { WaitAction::Probe } else { WaitAction::GiveUp }
    }
}
