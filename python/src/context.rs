//! The context manager of `lock.lock(timeout)`.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::failure::runtime_error;
use crate::lock::NativeLock;
use crate::timeout::Limit;

/// The native part of the context manager of `lock.lock(timeout)`.
#[pyclass(frozen, subclass, module = "shmlock._native")]
pub(crate) struct NativeContext {
    lock: Py<NativeLock>,
    timeout: Py<PyAny>,
    /// The number of the handle that holds the lock for this block; 0 if there is none. Not its
    /// address: a later handle may have that, too.
    holder: AtomicU64,
    epoch: AtomicU32,
}

#[pymethods]
impl NativeContext {
    #[new]
    #[pyo3(signature = (lock, timeout = None))]
    fn new(
        lock: Py<NativeLock>,
        timeout: Option<Bound<'_, PyAny>>,
        py: Python<'_>,
    ) -> PyResult<Self> {
        let timeout = timeout.unwrap_or_else(|| py.None().into_bound(py));
        Limit::read(&timeout)?; // an error here, not in the middle of the block
        Ok(Self {
            lock,
            timeout: timeout.unbind(),
            holder: AtomicU64::new(0),
            epoch: AtomicU32::new(0),
        })
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
        if self.holder.load(Ordering::Relaxed) != 0 {
            return Err(runtime_error("the block was entered before"));
        }
        let lock = self.lock.bind(py);
        let Some(contender) = NativeLock::obtain(lock, || Limit::read(self.timeout.bind(py)))?
        else {
            return Ok(false);
        };
        let epoch = contender.holds.begin_block();
        NativeLock::log_acquired(lock, contender, || contender.holds.end_block(epoch))?;
        // Relaxed: only the thread that has entered the block leaves it.
        self.epoch.store(epoch, Ordering::Relaxed);
        self.holder.store(contender.number, Ordering::Relaxed);
        Ok(true)
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let lock = self.lock.bind(py);
        let holder = self.holder.load(Ordering::Relaxed);
        if holder == 0 {
            return Ok(());
        }
        match lock.get().find().filter(|contender| contender.number == holder) {
            Some(contender) => {
                self.holder.store(0, Ordering::Relaxed);
                let is_last = contender.holds.end_block(self.epoch.load(Ordering::Relaxed));
                if is_last { NativeLock::let_go(lock, contender) } else { Ok(()) }
            }
            // The thread that has entered the block has ended: its holds are released.
            None if !lock.get().has_handle(holder) => {
                self.holder.store(0, Ordering::Relaxed);
                Ok(())
            }
            None => {
                Err(runtime_error("the block was entered by another thread, which holds the lock"))
            }
        }
    }

    /// What a decorator makes a fresh context manager of.
    #[getter]
    fn _arguments<'py>(&self, py: Python<'py>) -> (Bound<'py, NativeLock>, Bound<'py, PyAny>) {
        (self.lock.bind(py).clone(), self.timeout.bind(py).clone())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.lock)?;
        visit.call(&self.timeout)
    }
}
