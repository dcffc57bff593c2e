//! Defines how a contender lets time pass after a failed attempt, and three implementations.
//!
//! **A wake is a hint, never needed for correctness.** Every implementation bounds each sleep by an
//! interval of its own, because the peer may be unable to wake the waiter: it may be killed between
//! the release and the wake, or have no means to reach the waiter.

use crate::barrier;
use crate::protocol::{self, Attempt};
use crate::sync::{AtomicU32, Relaxed, spin_loop};
use crate::word::Word;

/// The next action of a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum WaitAction {
    /// Try again.
    Retry,
    /// Probe whether the owner lives, then try again: an interval is over, or a sleep is about to
    /// begin.
    Probe,
    /// Stop contending.
    GiveUp,
}

/// A way of waiting. `dyn Wait` is one too.
///
/// # Examples
/// ```
/// use shmlock_core::wait::{WaitContext, WaitAction, Wait};
///
/// /// Lets the tasks of the same core run; every tenth time, probes the owner.
/// struct Yield {
///     left: u32,
/// }
///
/// impl Wait for Yield {
///     fn wait(&mut self, context: &mut WaitContext<'_>) -> WaitAction {
///         if self.left == 0 {
///             return WaitAction::GiveUp;
///         }
///         self.left -= 1;
///         std::thread::yield_now(); // a firmware calls its scheduler
///         if context.attempt() % 10 == 9 { WaitAction::Probe } else { WaitAction::Retry }
///     }
/// }
/// ```
pub trait Wait {
    /// Lets time pass, or not, and returns the next action. Called once for each failed attempt.
    ///
    /// The waiter does not hold the lock. Its handle is in use: each call of it from here, or from
    /// a task that runs meanwhile, returns [`Error::InUse`](crate::Error::InUse). A panic ends the
    /// call, and the handle can be used again. An implementation that never returns blocks its own
    /// handle only.
    fn wait(&mut self, context: &mut WaitContext<'_>) -> WaitAction;
}

/// The circumstances of one failed attempt: the word, its value, and the number of the attempt.
#[derive(Debug)]
pub struct WaitContext<'a> {
    word: &'a AtomicU32,
    seen: Word,
    failed: u32,
    /// The next attempt at an owner word, which changes when the waiter sets WAITERS; `None` if the
    /// lock is a ticket lock.
    next: Option<&'a mut Attempt>,
    /// The value of the word of a ticket lock.
    value: u32,
}

impl<'a> WaitContext<'a> {
    pub(crate) fn new(word: &'a AtomicU32, seen: Word, failed: u32, next: &'a mut Attempt) -> Self {
        Self { word, seen, failed, next: Some(next), value: 0 }
    }

    /// Returns the circumstances of a contender for a ticket lock, that watches `word` until it is
    /// not `value` any more. `seen` names the party in the way.
    pub(crate) fn of_ticket(word: &'a AtomicU32, value: u32, seen: Word, failed: u32) -> Self {
        Self { word, seen, failed, next: None, value }
    }

    /// Returns the word itself, for a futex to sleep on. Of a
    /// [ticket lock](crate::ticket::TicketLock), a word that another party stores to: only loads of
    /// it are allowed.
    #[must_use]
    #[inline]
    pub fn word(&self) -> &'a AtomicU32 {
        self.word
    }

    /// Returns the value of the word when the last attempt failed. Of a ticket lock, the word of a
    /// lock that is held by the party in the way.
    #[must_use]
    #[inline]
    pub fn seen(&self) -> Word {
        self.seen
    }

    /// Returns how many attempts have failed before this one; stops counting at `u32::MAX`.
    #[must_use]
    #[inline]
    pub fn attempt(&self) -> u32 {
        self.failed
    }

    /// Returns `true` if the lock looks free now. A hint: it orders nothing.
    #[must_use]
    #[inline]
    pub fn looks_free(&self) -> bool {
        // Partner: the swap in `release`; of a ticket lock, the stores of the party in the way.
        // Relaxed: the next attempt judges and orders.
        let now = self.word.load(Relaxed);
        if self.next.is_some() { Word::from_bits(now).is_free() } else { now != self.value }
    }

    /// Returns `true` if WAITERS is set now. A hint, as [`looks_free`](Self::looks_free) is. A
    /// ticket lock has no WAITERS.
    #[must_use]
    #[inline]
    pub fn has_waiters_hint(&self) -> bool {
        // Partner: `set_waiters` of others, and an acquisition after a sleep. Relaxed: it decides
        // nothing.
        self.next.is_some() && Word::from_bits(self.word.load(Relaxed)).has_waiters()
    }

    /// Sets WAITERS, so that the release wakes a waiter; returns the word to sleep on.
    ///
    /// Changes nothing for a ticket lock, which has no WAITERS: the sleep lasts for an interval of
    /// the caller, or until the releasing party [rings](crate::ticket::TicketLock::has_waiters).
    ///
    /// # Errors
    /// The present word, if it has changed: return [`WaitAction::Retry`] instead of sleeping.
    #[inline]
    pub fn set_waiters(&mut self) -> Result<Word, Word> {
        let Some(next) = &mut self.next else { return Ok(self.seen) };
        let marked = protocol::set_waiters(self.word, self.seen)?;
        **next = Attempt::AfterWaiting;
        Ok(marked)
    }

    /// Drops the duty towards other waiters: [`WaitAction::GiveUp`] then leaves the word alone.
    ///
    /// For a waiter whose word has disappeared, as in a forked child. WAITERS stays as it is.
    #[inline]
    pub fn owe_nothing(&mut self) {
        if let Some(next) = &mut self.next {
            **next = Attempt::First;
        }
    }
}

/// Wakes all waiters that sleep by [`Wfe`]. Harmless if there are none.
#[inline]
pub fn send_event() {
    barrier::send_event();
}

/// Spinning, for a bounded number of attempts. It asks for a probe at the last one.
///
/// Right for critical sections of a few instructions on other cores. Never right if the owner may
/// be a lower-priority task of the same core, which cannot run meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Spin {
    left: u32,
}

impl Spin {
    /// Returns a wait that gives up after this many attempts. An attempt is a load of the word and
    /// a spin hint: some nanoseconds.
    #[must_use]
    pub const fn attempts(attempts: u32) -> Self {
        Self { left: attempts }
    }
}

impl Wait for Spin {
    fn wait(&mut self, context: &mut WaitContext<'_>) -> WaitAction {
        while self.left > 0 {
            self.left -= 1;
            if self.left == 0 {
                return WaitAction::Probe;
            }
            spin_loop();
            if context.looks_free() {
                return WaitAction::Retry;
            }
        }
        WaitAction::GiveUp
    }
}

/// Sleeping in the core's wait-for-event state between attempts (ARM `wfe`; elsewhere a spin hint).
///
/// [`RegionLock`](crate::RegionLock) sends an event when it releases a lock with WAITERS set. Use
/// it only where the sleep is bounded otherwise as well: by the generic timer's event stream, or by
/// any periodic interrupt. It asks for a probe after each sleep.
#[derive(Clone, Copy, Debug)]
pub struct Wfe {
    left: u32,
}

impl Wfe {
    /// Returns a wait that gives up after this many events.
    #[must_use]
    pub const fn attempts(attempts: u32) -> Self {
        Self { left: attempts }
    }
}

impl Wait for Wfe {
    fn wait(&mut self, context: &mut WaitContext<'_>) -> WaitAction {
        if self.left == 0 {
            return WaitAction::GiveUp;
        }
        self.left -= 1;
        if context.set_waiters().is_err() {
            return WaitAction::Retry;
        }
        // An event sent since WAITERS was set is latched in the core's event register: `wfe`
        // returns at once.
        barrier::wait_for_event();
        WaitAction::Probe
    }
}

/// Sleeping by any `embedded_hal` delay between attempts. It asks for a probe after each sleep.
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
///     // Tries every millisecond, for a tenth of a second.
///     let guard = lock.lock(&mut Delay::new(timer, 1_000, 100))?;
///     // The critical section.
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
    /// Returns a wait that sleeps `interval_us` microseconds after each failed attempt, and gives
    /// up after `attempts` sleeps.
    pub const fn new(timer: D, interval_us: u32, attempts: u32) -> Self {
        Self { timer, interval_us, left: attempts }
    }
}

#[cfg(feature = "embedded-hal")]
impl<D: embedded_hal::delay::DelayNs> Wait for Delay<D> {
    fn wait(&mut self, _context: &mut WaitContext<'_>) -> WaitAction {
        if self.left == 0 {
            return WaitAction::GiveUp;
        }
        self.left -= 1;
        self.timer.delay_us(self.interval_us);
        WaitAction::Probe
    }
}
