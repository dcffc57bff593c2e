//! The seam of waiting: a loser hands over what it saw, and is told to go on or to give up.
//!
//! **A wake is a hint, never needed for correctness.** Every way of waiting bounds each sleep by an
//! interval of its own, because the peer may be unable to wake us: it may have been killed between
//! the word and the wake, or have no way to reach us at all.

use crate::barrier;
use crate::protocol::{self, Attempt};
use crate::sync::{AtomicU32, Relaxed, spin_loop};
use crate::word::Word;

/// What a way of waiting answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum WaitAction {
    /// Look at the word again.
    Retry,
    /// An interval is over, or a sleep is about to begin: ask whether the owner still lives, then
    /// look again.
    Probe,
    /// Stop contending.
    GiveUp,
}

/// A way of waiting.
///
/// # Examples
/// ```
/// use shmlock_core::wait::{WaitContext, WaitAction, Wait};
///
/// /// Lets the tasks of the same core run; every tenth time, asks whether the owner lives.
/// struct Yield {
///     left: u32,
/// }
///
/// impl Wait for Yield {
///     fn wait(&mut self, contention: &mut WaitContext<'_>) -> WaitAction {
///         if self.left == 0 {
///             return WaitAction::GiveUp;
///         }
///         self.left -= 1;
///         std::thread::yield_now(); // a firmware calls its scheduler
///         if contention.attempt() % 10 == 9 { WaitAction::Probe } else { WaitAction::Retry }
///     }
/// }
/// ```
pub trait Wait {
    /// Lets some time pass, or not, and says how to go on. Called once for each failed attempt.
    ///
    /// The waiter does not hold the lock. The handle that waits is in use: each of its calls from
    /// here, by whatever task runs meanwhile, answers [`Error::InUse`](crate::Error::InUse). A
    /// panic ends the call, and the handle can be used again. An implementation that never returns
    /// keeps nobody from the lock but its own handle.
    fn wait(&mut self, contention: &mut WaitContext<'_>) -> WaitAction;
}

/// What a way of waiting is told: the word, what was seen in it, and how often it has been asked.
#[derive(Debug)]
pub struct WaitContext<'a> {
    word: &'a AtomicU32,
    seen: Word,
    attempt: u32,
    arrival: &'a mut Attempt,
}

impl<'a> WaitContext<'a> {
    pub(crate) fn new(
        word: &'a AtomicU32,
        seen: Word,
        attempt: u32,
        arrival: &'a mut Attempt,
    ) -> Self {
        Self { word, seen, attempt, arrival }
    }

    /// The word itself: what a kernel is asked to sleep on.
    #[must_use]
    #[inline]
    pub fn word(&self) -> &'a AtomicU32 {
        self.word
    }

    /// What stood in the word when the last attempt failed.
    #[must_use]
    #[inline]
    pub fn seen(&self) -> Word {
        self.seen
    }

    /// How many attempts have failed before this one; stops counting at `u32::MAX`.
    #[must_use]
    #[inline]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether the lock looks free now. A hint: nothing is ordered by it.
    #[must_use]
    #[inline]
    pub fn looks_free(&self) -> bool {
        // Partner: the giving swap in `release`. Relaxed: the next `try_acquire` judges and orders.
        Word::from_bits(self.word.load(Relaxed)).is_free()
    }

    /// Whether the word now asks its owner for a wake. A hint, as [`looks_free`](Self::looks_free).
    #[must_use]
    #[inline]
    pub fn has_waiters_hint(&self) -> bool {
        // Partner: `mark_waiting` of others, and the sticky flag of one who acquires. Relaxed: it
        // decides nothing.
        Word::from_bits(self.word.load(Relaxed)).has_waiters()
    }

    /// Asks the owner for a wake at release; gives back the word to sleep on.
    ///
    /// # Errors
    /// The word as it is now, if it changed: answer [`WaitAction::Retry`] instead of sleeping.
    #[inline]
    pub fn mark_waiting(&mut self) -> Result<Word, Word> {
        let marked = protocol::mark_waiting(self.word, self.seen)?;
        *self.arrival = Attempt::AfterWaiting;
        Ok(marked)
    }

    /// Says that this contender owes the others nothing: [`WaitAction::GiveUp`] then leaves the word
    /// alone.
    ///
    /// For a contender whose word is gone while it waited, as it is in a forked child. The mark, if
    /// there is one, stays.
    #[inline]
    pub fn owe_nothing(&mut self) {
        *self.arrival = Attempt::First;
    }
}

/// Wakes whoever waits by [`Wfe`]. Harmless where nobody does.
#[inline]
pub fn send_event() {
    barrier::send_event();
}

/// Spins, for a bounded number of attempts; asks for a probe at the last one.
///
/// Right for sections of a few instructions on other cores. Never right when the owner may be a
/// lower-priority task of the same core: it cannot run while we spin.
#[derive(Clone, Copy, Debug)]
pub struct Spin {
    left: u32,
}

impl Spin {
    /// Gives up after this many attempts. An attempt is a look at the word and a spin hint: some
    /// nanoseconds.
    #[must_use]
    pub const fn attempts(attempts: u32) -> Self {
        Self { left: attempts }
    }
}

impl Wait for Spin {
    fn wait(&mut self, contention: &mut WaitContext<'_>) -> WaitAction {
        while self.left > 0 {
            self.left -= 1;
            if self.left == 0 {
                return WaitAction::Probe;
            }
            spin_loop();
            if contention.looks_free() {
                return WaitAction::Retry;
            }
        }
        WaitAction::GiveUp
    }
}

/// Sleeps in the core's wait-for-event state between attempts (ARM `wfe`; elsewhere a spin hint).
///
/// [`RegionLock`](crate::RegionLock) sends an event when it releases a lock that somebody waits
/// for. Use it only where something else bounds the sleep as well: the generic timer's event
/// stream, or any periodic interrupt. Each attempt also asks for a probe of the owner.
#[derive(Clone, Copy, Debug)]
pub struct Wfe {
    left: u32,
}

impl Wfe {
    /// Gives up after this many events.
    #[must_use]
    pub const fn attempts(attempts: u32) -> Self {
        Self { left: attempts }
    }
}

impl Wait for Wfe {
    fn wait(&mut self, contention: &mut WaitContext<'_>) -> WaitAction {
        if self.left == 0 {
            return WaitAction::GiveUp;
        }
        self.left -= 1;
        if contention.mark_waiting().is_err() {
            return WaitAction::Retry;
        }
        // An event sent between the mark and here is latched in the core's event register: `wfe`
        // returns at once.
        barrier::wait_for_event();
        WaitAction::Probe
    }
}

/// Sleeps by any `embedded_hal` delay between attempts. Asks for a probe of the owner after each.
///
/// # Examples
/// ```
/// use core::num::NonZeroU16;
/// use embedded_hal::delay::DelayNs;
/// use shmlock_core::wait::Delay;
/// use shmlock_core::{Error, Region, RegionLock, RegionMemory};
///
/// static SHARED: RegionMemory = RegionMemory::new();
///
/// fn measure(timer: &mut impl DelayNs) -> Result<(), Error> {
///     let lock = RegionLock::new(Region::from_static(&SHARED)?, NonZeroU16::MIN);
///     let guard = lock.lock(&mut Delay::new(timer, 1_000, 100))?; // looks every millisecond, for a tenth of a second
///     // the section
///     guard.release()
/// }
/// ```
#[cfg(feature = "embedded-hal")]
#[derive(Clone, Copy, Debug)]
pub struct Delay<D> {
    timer: D,
    interval_us: u32,
    left: u32,
}

#[cfg(feature = "embedded-hal")]
impl<D: embedded_hal::delay::DelayNs> Delay<D> {
    /// Sleeps `interval_us` microseconds after each failed attempt, and gives up after `attempts`
    /// sleeps.
    pub const fn new(timer: D, interval_us: u32, attempts: u32) -> Self {
        Self { timer, interval_us, left: attempts }
    }
}

#[cfg(feature = "embedded-hal")]
impl<D: embedded_hal::delay::DelayNs> Wait for Delay<D> {
    fn wait(&mut self, _contention: &mut WaitContext<'_>) -> WaitAction {
        if self.left == 0 {
            return WaitAction::GiveUp;
        }
        self.left -= 1;
        self.timer.delay_us(self.interval_us);
        WaitAction::Probe
    }
}
