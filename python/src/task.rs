//! Waits for a lock in a task of asyncio: `package/shmlock/shmlock_async.py` drives it.
//!
//! The library's future is polled on the event loop's thread. Its waker writes to an eventfd, which
//! the loop watches. No code of Python runs inside a poll.

#![allow(unsafe_code, reason = "a future refers to the handle beside it")]

use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pyo3::prelude::*;
use shmlock::uuid::Uuid;
use shmlock::{Error, LockFuture, ShmLock, process_generation};

use crate::bell::Bell;
use crate::contender::Settings;
use crate::failure::{exception, of_another_process};
use crate::look::{Holder, Recovered};
use crate::timeout::{Limit, interval};

/// A handle, and the wait that it is in.
///
/// # Invariants
/// 1. `lock` was made by `Box::into_raw` and is freed by the drop only.
/// 2. `wait`, if there is one, refers to `lock`. It is dropped before.
struct State {
    wait: Option<Pin<Box<LockFuture<'static>>>>,
    lock: NonNull<ShmLock>,
}

// SAFETY: a `ShmLock` is `Send`. The future beside it refers to it alone, and goes where it goes;
// both are behind one mutex. The future is not `Send` because a guard's thread counts as the owner;
// here, no guard outlives a poll.
unsafe impl Send for State {}

impl State {
    fn lock(&self) -> &ShmLock {
        // SAFETY: invariant 1.
        unsafe { self.lock.as_ref() }
    }

    /// Returns the handle for as long as a wait refers to it.
    fn lock_of_wait(&self) -> &'static ShmLock {
        // SAFETY: invariants 1 and 2: the wait that is made of it is kept in `wait` only.
        unsafe { self.lock.as_ref() }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.wait = None;
        // SAFETY: invariant 1, and no wait is left.
        drop(unsafe { Box::from_raw(self.lock.as_ptr()) });
    }
}

/// The native part of `AsyncShmLock`.
#[pyclass(frozen, subclass, module = "shmlock._native")]
pub(crate) struct NativeTask {
    settings: Settings,
    bell: Arc<Bell>,
    state: Mutex<State>,
}

impl NativeTask {
    /// Returns the state. A forked child is refused before: the mutex may be locked for ever there.
    fn state(&self) -> PyResult<MutexGuard<'_, State>> {
        if !self.settings.is_ours() {
            return Err(of_another_process(&self.settings.name));
        }
        Ok(self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[pymethods]
impl NativeTask {
    /// Opens a handle. Waits while another handle is just being closed.
    #[new]
    #[pyo3(signature = (name, poll_interval, uuid, *, description, directory, mode))]
    fn new(
        py: Python<'_>,
        name: &str,
        poll_interval: f64,
        uuid: [u8; 16],
        description: &str,
        directory: Option<PathBuf>,
        mode: Option<u32>,
    ) -> PyResult<Self> {
        let settings = Settings {
            name: name.trim_start_matches('/').to_owned(),
            poll_interval: interval(poll_interval),
            block_signals: false,
            uuid: Uuid::from_bytes(uuid),
            directory,
            mode,
            segment: None,
            block: None,
            process: process_generation(),
        };
        let bell = Bell::new().map_err(|errno| {
            let operation = "make an eventfd for";
            exception(&Error::System { operation, path: PathBuf::from(&settings.name), errno })
        })?;
        let opened = py.detach(|| settings.builder(description).open());
        let lock = Box::new(opened.map_err(|error| exception(&error))?);
        let lock = NonNull::from(Box::leak(lock));
        let state = Mutex::new(State { wait: None, lock });
        Ok(Self { settings, bell, state })
    }

    /// Returns how many seconds a timeout lasts: `None` for no limit, 0 for one try.
    #[staticmethod]
    fn seconds(timeout: &Bound<'_, PyAny>) -> PyResult<Option<f64>> {
        Ok(match Limit::read(timeout)? {
            Limit::OneTry => Some(0.0),
            Limit::Forever => None,
            // Longer than any loop can count.
            Limit::For(time) => Some(time.as_secs_f64()).filter(|seconds| *seconds < 1e9),
        })
    }

    /// Begins a wait. One call of `poll` follows at once.
    fn begin(&self, timeout: &Bound<'_, PyAny>) -> PyResult<()> {
        let limit = Limit::read(timeout)?;
        let mut state = self.state()?;
        let lock = state.lock_of_wait();
        state.wait = None; // first: it leaves nothing behind
        state.wait = Some(Box::pin(match limit {
            Limit::OneTry => lock.lock_async_for(Duration::ZERO),
            Limit::Forever => lock.lock_async(),
            Limit::For(time) => lock.lock_async_for(time),
        }));
        Ok(())
    }

    /// Polls the wait: `True` if the lock is acquired, `False` if the time is over, `None` if the
    /// wait goes on until the eventfd is readable.
    fn poll(&self) -> PyResult<Option<bool>> {
        let _ = self.bell.has_rung(); // the loop may poll for other reasons
        let mut state = self.state()?;
        let Some(wait) = &mut state.wait else { return Ok(Some(false)) };
        let waker = Waker::from(Arc::clone(&self.bell));
        let result = match wait.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => return Ok(None),
            // The guard's hold becomes one without a guard: it is nested first.
            Poll::Ready(Ok(guard)) => guard.lock().acquire().map(|()| true),
            Poll::Ready(Err(Error::TimedOut { .. })) => Ok(false),
            Poll::Ready(Err(error)) => Err(error),
        };
        state.wait = None;
        result.map(Some).map_err(|error| exception(&error))
    }

    /// Ends the wait, and leaves nothing behind: an acquisition of which the caller does not know
    /// is released.
    fn cancel(&self) -> PyResult<()> {
        let mut state = self.state()?;
        state.wait = None;
        state.lock().force_release().map(drop).map_err(|error| exception(&error))
    }

    /// Returns the descriptor that is readable when the wait is to be polled.
    fn fileno(&self) -> i32 {
        self.bell.descriptor.as_raw_fd()
    }

    /// Releases the lock. Never blocks.
    fn release(&self) -> PyResult<()> {
        self.state()?.lock().release().map_err(|error| exception(&error))
    }

    /// `True` if this object holds the lock.
    fn locked(&self) -> bool {
        self.state().is_ok_and(|state| state.lock().is_held())
    }

    /// Returns the holder of the lock; `None` if it is free. Changes nothing.
    fn holder(&self) -> PyResult<Option<Holder>> {
        let holder = self.state()?.lock().holder();
        Ok(holder.map_err(|error| exception(&error))?.map(Holder::from))
    }

    /// What is known of an owner's death, while this object holds the lock.
    #[getter]
    fn recovered(&self) -> PyResult<Option<Recovered>> {
        Ok(self.state()?.lock().recovered().map(Recovered::from))
    }

    /// Declares the protected data consistent: later owners are not told of the death.
    fn declare_consistent(&self) -> PyResult<()> {
        self.state()?.lock().declare_consistent().map_err(|error| exception(&error))
    }

    /// A number that grows with every acquisition of the lock, while this object holds it.
    #[getter]
    fn fencing_token(&self) -> PyResult<Option<u64>> {
        Ok(self.state()?.lock().fencing_token())
    }
}
