//! Acquires the lock of an object: tries with the interpreter's lock, waits without it, and logs.
//!
//! Code of the program runs in the middle: exit events, loggers, signal handlers. Each of them may
//! use the same object, raise, fork or never return. So what was found before is looked at again.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use shmlock::Error;

use crate::contender::{Attempt, Contender};
use crate::failure::{exception, runtime_error};
use crate::foreign;
use crate::lock::NativeLock;
use crate::place::Place;
use crate::segment;
use crate::timeout::Limit;

/// How long a wait lasts until the interpreter looks for signals and for an exit event, at least.
const FIRST_LOOK: Duration = Duration::from_millis(2);

/// The same, at most. A signal ends a wait at once, except in the moment before a sleep: then the
/// wait ends at the next look. So looks are as far apart as the wait is old, and at most so far.
/// Arbitrary: such a signal is rare, and one wake in a second costs nothing.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// The same for a lock with an exit event that does not wake the waiter: a `multiprocessing.Event`,
/// or any other before the waiter takes a place.
const LOOK_AT_EVENT: Duration = Duration::from_millis(20);

/// How long a wait without signals lasts until it takes a place (`place.rs`), which needs a thread
/// and a descriptor. Before, each look ends its place in the queue. Arbitrary.
const PLACE_AFTER: Duration = Duration::from_millis(20);

/// The same for a waiter whose thread holds the lock by another object. Arbitrary: the old
/// package's default.
const LOOK_AT_OTHER: Duration = Duration::from_millis(50);

/// A value that a closure without the interpreter's lock uses on this thread.
struct Here<T>(T);

#[allow(unsafe_code, reason = "`detach` wants closures that may be sent to another thread")]
// SAFETY: `Python::detach` runs its closure on the calling thread.
unsafe impl<T> Send for Here<T> {}

impl<T> Here<T> {
    /// Takes the value out. A method, so that a closure captures the whole.
    fn take(self) -> T {
        self.0
    }
}

impl NativeLock {
    /// Returns the exit event, if there is one.
    #[inline]
    fn event<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if !slf.get().has_event.load(Ordering::Relaxed) {
            return Ok(None);
        }
        foreign::attribute(slf, intern!(slf.py(), "_exit_event")).map(Some)
    }

    /// Returns `true` if the exit event is set: then no lock is acquired, not even a free one.
    #[inline]
    fn is_stopped(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let Some(event) = Self::event(slf)? else { return Ok(false) };
        let py = slf.py();
        let is_set = foreign::call(&event, intern!(py, "is_set"), &PyTuple::empty(py))?;
        foreign::is_true(&is_set)
    }

    /// Makes a record of the package's logger, if there is one.
    #[inline]
    pub(crate) fn log(slf: &Bound<'_, Self>, method: &str, message: &str) -> PyResult<()> {
        if slf.get().has_logger.load(Ordering::Relaxed) {
            let py = slf.py();
            let arguments = (message, slf).into_pyobject(py)?;
            foreign::call(slf, &PyString::new(py, method), &arguments)?;
        }
        Ok(())
    }

    /// Acquires the lock. Returns this thread's handle; `None` if the time is over or the exit
    /// event is set. The caller notes the hold.
    #[inline]
    pub(crate) fn obtain<'a>(
        slf: &'a Bound<'_, Self>,
        limit: impl FnOnce() -> PyResult<Limit>,
    ) -> PyResult<Option<&'a Contender>> {
        let contender = slf.get().contender(slf.py())?;
        if Self::is_stopped(slf)? {
            return Ok(None);
        }
        if contender.holds.any() {
            return Self::confirm(contender).map(Some);
        }
        if contender.try_once().map_err(|error| exception(&error))? {
            return Ok(Some(contender));
        }
        Self::wait(slf, contender, limit()?)
    }

    /// Checks that the lock is still ours. It is not in a forked child, after an exit handler, and
    /// after another program has written to the file.
    #[inline]
    fn confirm(contender: &Contender) -> PyResult<&Contender> {
        if contender.lock().is_held() {
            return Ok(contender);
        }
        match contender.force_release() {
            Err(error) => Err(exception(&error)),
            Ok(_) => Err(runtime_error("the lock was lost while it was held")),
        }
    }

    /// Waits for the lock, without the interpreter's lock.
    #[cold]
    fn wait<'a>(
        slf: &Bound<'_, Self>,
        contender: &'a Contender,
        limit: Limit,
    ) -> PyResult<Option<&'a Contender>> {
        let (py, deadline) = (slf.py(), limit.begin());
        Self::log(slf, "debug", "lock %s is held by another handle")?;
        if limit == Limit::OneTry {
            return Ok(None);
        }
        let mut is_warned = false;
        // Since when no signal has come.
        let mut since = Instant::now();
        let (mut place, mut can_take_place) = (None::<Place<'_>>, true);
        loop {
            py.check_signals()?;
            // Before an event is told of the place: a set event would keep it in its list.
            if place.is_some() && Self::is_stopped(slf)? {
                return Ok(None);
            }
            let last_look = Self::last_look(slf, place.as_mut())?;
            // After an event was told of the place: it may have been set before.
            if Self::is_stopped(slf)? {
                return Ok(None);
            }
            if contender.holds.any() {
                return Self::confirm(contender).map(Some); // a signal handler has acquired it
            }
            let look = since.elapsed().clamp(FIRST_LOOK, last_look);
            let Some(time) = deadline.left(look) else { return Ok(None) };
            let here = Here((contender, &mut place));
            let attempt = py.detach(move || {
                let (contender, place) = here.take();
                place.as_mut().map_or_else(|| contender.wait(time), |place| place.wait(time))
            });
            let attempt = match attempt {
                // No thread for the place.
                Err(Error::System { .. }) if place.is_some() => {
                    (place, can_take_place) = (None, false);
                    continue;
                }
                attempt => attempt.map_err(|error| exception(&error))?,
            };
            match attempt {
                Attempt::Acquired => return Ok(Some(contender)),
                Attempt::TimedOut => {
                    if place.is_none() && can_take_place && since.elapsed() >= PLACE_AFTER {
                        place = Place::take(contender);
                    }
                }
                Attempt::Look => (since, place) = (Instant::now(), None),
                Attempt::HeldByThisThread => {
                    if !is_warned {
                        is_warned = true;
                        let text = "lock %s is held by another object of this thread";
                        Self::log(slf, "warning", text)?;
                    }
                    let pause = time.min(LOOK_AT_OTHER);
                    py.detach(|| segment::slept(pause));
                }
            }
        }
    }

    /// Returns how long a wait at this place lasts at most until the next look.
    fn last_look(slf: &Bound<'_, Self>, place: Option<&mut Place<'_>>) -> PyResult<Duration> {
        let Some(event) = Self::event(slf)? else { return Ok(LAST_LOOK) };
        let wakes = place.map_or(Ok(false), |place| place.hears(&event))?;
        Ok(if wakes { LAST_LOOK } else { LOOK_AT_EVENT })
    }

    /// Logs an acquisition, whose hold is noted. An exception of the logger ends the hold by
    /// `undo`, which returns `true` if it was the last.
    ///
    /// # Errors
    /// The logger's. Another one if the logger has released the lock, or has forked and this is the
    /// child.
    #[inline]
    pub(crate) fn log_acquired(
        slf: &Bound<'_, Self>,
        contender: &Contender,
        undo: impl FnOnce() -> bool,
    ) -> PyResult<()> {
        if slf.get().has_logger.load(Ordering::Relaxed) {
            Self::log_hold(slf, contender, undo)
        } else {
            Ok(())
        }
    }

    #[cold]
    fn log_hold(
        slf: &Bound<'_, Self>,
        contender: &Contender,
        undo: impl FnOnce() -> bool,
    ) -> PyResult<()> {
        let epoch = contender.holds.epoch();
        let logged = Self::log(slf, "debug", "lock %s acquired");
        let is_same = contender.holds.epoch() == epoch && contender.holds.any();
        let checked = logged.and_then(|()| {
            if is_same {
                Self::confirm(contender).map(drop)
            } else {
                Err(runtime_error("the logger has released the lock"))
            }
        });
        let Err(error) = checked else { return Ok(()) };
        if undo() {
            let _ = contender.release(); // the caller is told of the first error
        }
        Err(error)
    }

    /// Releases the lock, whose last hold has ended.
    #[inline]
    pub(crate) fn let_go(slf: &Bound<'_, Self>, contender: &Contender) -> PyResult<()> {
        contender.release().map_err(|error| exception(&error))?;
        Self::log(slf, "debug", "lock %s released")
    }
}
