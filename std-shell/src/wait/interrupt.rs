//! Asks the program whether a wait goes on: the interrupt callback.
//!
//! A waiting thread asks before each sleep, in `waiter.rs`. At that moment WAITERS is set, or the
//! waiter needs no wake: a release wakes another waiter, or the word has moved when the sleep
//! begins. So the callback may take its time, and the wait may end there, and no wake is lost.

use std::fmt;
use std::ops::ControlFlow;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use crate::tell::contain;

/// The point of a wait at which it asks its interrupt callback: the waiting thread's last step. See
/// [`Builder::interrupt`](crate::Builder::interrupt).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitPoint {
    /// It has not slept yet.
    Begin,
    /// A signal handler has ended a sleep, signal(7).
    Signal,
    /// A sleep was over, by its time. A signal may have come meanwhile.
    Elapsed,
    /// It was woken, and another handle has the lock.
    Wake,
}

/// How long a sleep lasts at most in a wait with an exit event, or one poll interval if that is
/// longer. Arbitrary: one wake in a second costs nothing.
const LONGEST_WITH_EVENT: Duration = Duration::from_secs(1);

type Ask = dyn Fn(WaitPoint) -> ControlFlow<()> + Send + Sync;

/// The interrupt callback of a handle.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<Ask>);

// A panic of the callback ends in `ask`: what it leaves behind is the callback's own.
impl UnwindSafe for Interrupt {}
impl RefUnwindSafe for Interrupt {}

impl Interrupt {
    pub(crate) fn new(ask: impl Fn(WaitPoint) -> ControlFlow<()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    /// Returns how long a sleep lasts at most until the callback is asked again, if no signal has
    /// ended a sleep for so long.
    ///
    /// A sleep is as long as the time without a signal so far, and at least one poll interval. So
    /// sleeps become rarer: each begins at the tail of the kernel's queue, behind all waiters that
    /// still sleep. With an exit event a sleep lasts a second at most, because the kernel restarts
    /// `futex_waitv(2)` after a handler with `SA_RESTART`: the next sleep notices that signal.
    pub(crate) fn longest_sleep(
        undisturbed: Duration,
        interval: Duration,
        has_event: bool,
    ) -> Duration {
        let most = if has_event { LONGEST_WITH_EVENT } else { Duration::MAX };
        undisturbed.min(most).max(interval)
    }

    /// Asks whether the wait goes on. A callback that panics ends the wait: the program has given
    /// no answer, and may be unable to give one.
    ///
    /// Afterwards this may be another process.
    #[cold]
    pub(crate) fn ask(&self, point: WaitPoint) -> ControlFlow<()> {
        let mut answer = ControlFlow::Break(());
        contain(|| answer = (self.0)(point));
        answer
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupt").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Interrupt;

    #[test]
    fn a_sleep_is_as_long_as_no_signal_has_come_and_with_an_event_a_second_at_most() {
        let [short, second, long] = [50, 1000, 60_000].map(Duration::from_millis);
        for has_event in [false, true] {
            let longest =
                |undisturbed, interval| Interrupt::longest_sleep(undisturbed, interval, has_event);
            assert_eq!(longest(Duration::ZERO, short), short);
            assert_eq!(longest(second, short), second);
            assert_eq!(longest(long, short), if has_event { second } else { long });
            assert_eq!(longest(Duration::ZERO, long), long, "the caller's poll interval");
        }
    }
}
