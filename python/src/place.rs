//! Waits without leaving the queue: a waiter keeps its place among the others while the interpreter
//! looks for signals and for an exit event.
//!
//! The kernel wakes the waiters of a lock in the order of their sleep, and a waiter that looks has
//! to end its sleep. One that looks often would be the last again and again, behind waiters that
//! never look. So a long wait is left to the library's future: another thread of this process does
//! its sleep. This thread sleeps on an eventfd, and may look as often as it likes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use shmlock::{Error, LockFuture};

use crate::bell::{Bell, Ended};
use crate::contender::{Attempt, Contender};
use crate::event::{self, Rings};

/// A place among the waiters of a lock. Its drop gives the place up.
pub(crate) struct Place<'a> {
    contender: &'a Contender,
    future: Pin<Box<LockFuture<'a>>>,
    bell: Arc<Bell>,
    /// The future is to be polled: it has not been, or the bell has rung since.
    is_due: bool,
    /// The exit event that was told of the place last, and whether it ends a sleep.
    event: Option<(Py<PyAny>, Rings)>,
}

impl<'a> Place<'a> {
    /// Takes a place. `None` without a descriptor for it.
    pub(crate) fn take(contender: &'a Contender) -> Option<Self> {
        let bell = Bell::new().ok()?;
        let future = Box::pin(contender.lock().lock_async());
        Some(Self { contender, future, bell, is_due: true, event: None })
    }

    /// Returns `true` if this exit event ends a sleep. The caller looks at it afterwards.
    ///
    /// # Errors
    /// The event's.
    pub(crate) fn hears(&mut self, event: &Bound<'_, PyAny>) -> PyResult<bool> {
        let rings = match &self.event {
            // The object may have got another event meanwhile.
            Some((told, rings)) if told.is(event) && *rings != Rings::NotNow => *rings,
            _ => event::ring(event, &self.bell)?,
        };
        self.event = Some((event.clone().unbind(), rings));
        Ok(rings == Rings::Yes)
    }

    /// Waits for the lock, for `time` at most, and until a signal comes or the exit event is set.
    /// After [`Attempt::TimedOut`] the place is kept; after any other answer it is lost.
    ///
    /// # Errors
    /// Those of [`ShmLock::lock_async`](shmlock::ShmLock::lock_async) and of
    /// [`Contender::after_acquiring`].
    pub(crate) fn wait(&mut self, time: Duration) -> Result<Attempt, Error> {
        let begin = Instant::now();
        let waker = Waker::from(Arc::clone(&self.bell));
        loop {
            if self.bell.has_rung() {
                self.is_due = true;
            }
            if self.bell.take_call() {
                // A `set()` has taken the bell off the event's list. The event may be cleared by
                // now, and set again later.
                if let Some((_, rings)) = &mut self.event {
                    *rings = Rings::NotNow;
                }
                return Ok(Attempt::TimedOut);
            }
            // A poll begins a new sleep at the end of the queue. So it needs a reason.
            if std::mem::take(&mut self.is_due) {
                let polled = self.future.as_mut().poll(&mut Context::from_waker(&waker));
                if let Poll::Ready(guard) = polled {
                    // The guard's hold becomes one without a guard: it is nested first.
                    guard?.lock().acquire()?;
                    return self.contender.after_acquiring(time.saturating_sub(begin.elapsed()));
                }
            }
            match self.bell.sleep(time.saturating_sub(begin.elapsed())) {
                Ended::Rang => {}
                Ended::TimedOut => return Ok(Attempt::TimedOut),
                Ended::Otherwise => return Ok(Attempt::Look),
            }
        }
    }
}
