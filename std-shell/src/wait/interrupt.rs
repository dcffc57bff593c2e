//! Asks the program whether a wait goes on: the interrupt callback.
//!
//! A waiting thread asks before each sleep, in `waiter.rs`. At that moment WAITERS is set, or the
//! waiter needs no wake: a release wakes another waiter, or the word has moved when the sleep
//! begins. So the callback may take its time, and the wait may end there, and no wake is lost.

use std::fmt;
use std::ops::ControlFlow;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

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
