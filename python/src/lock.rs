//! The class of a lock: its handles, releasing and looking. `obtain.rs` acquires.
//! `package/shmlock/shmlock_main.py` inherits from it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use shmlock::uuid::Uuid;
use shmlock::{Error, process_generation};

use crate::contender::{Contender, Settings};
use crate::failure::{exception, not_initialised, of_another_process, runtime_error, value_error};
use crate::foreign;
use crate::look::{Holder, Recovered};
use crate::segment;
use crate::threads::Table;
use crate::timeout::{Limit, interval};

/// No number of a description.
const NOT_PLAIN: u64 = u64::MAX;

/// The longest description that other processes can read, in bytes.
const DESCRIPTION_MAX: usize = 63;

/// The native part of `ShmLock`.
#[pyclass(frozen, subclass, module = "shmlock._native")]
pub(crate) struct NativeLock {
    /// Empty before `__init__`.
    table: OnceLock<Arc<Table>>,
    pub(crate) has_event: AtomicBool,
    pub(crate) has_logger: AtomicBool,
    description: Mutex<String>,
    /// Grows with each change of the description.
    described: AtomicU64,
    /// The same number if no code of Python and no segment has a part in acquiring and releasing;
    /// else [`NOT_PLAIN`].
    plain: AtomicU64,
}

impl NativeLock {
    fn table(&self) -> PyResult<&Arc<Table>> {
        self.table.get().ok_or_else(not_initialised)
    }

    /// Returns this thread's handle, if it has one.
    #[inline]
    pub(crate) fn find(&self) -> Option<&Contender> {
        self.table.get()?.find()
    }

    /// Returns `true` if the handle of this number is open, in whichever thread.
    pub(crate) fn has_handle(&self, number: u64) -> bool {
        self.table.get().is_some_and(|table| table.has(number))
    }

    /// Returns this thread's handle; opens it if there is none. Opening may wait.
    #[inline]
    pub(crate) fn contender(&self, py: Python<'_>) -> PyResult<&Contender> {
        let contender = match self.find() {
            Some(contender) => contender,
            None => self.open(py)?,
        };
        // Relaxed: the text is behind a mutex.
        if contender.described.get() != self.described.load(Ordering::Relaxed) {
            self.describe(contender);
        }
        Ok(contender)
    }

    #[cold]
    fn open(&self, py: Python<'_>) -> PyResult<&Contender> {
        let table = self.table()?;
        if !table.settings.is_ours() {
            return Err(of_another_process(&table.settings.name));
        }
        let text = self.text().clone();
        py.detach(|| table.open(&text)).map_err(|error| exception(&error))?;
        table.find().ok_or_else(|| of_another_process(&table.settings.name))
    }

    /// Notes whether the object is plain, after a change of what decides it.
    fn note_plain(&self) {
        let _one_by_one = self.text(); // so that the last to note has seen all changes
        // Relaxed, here and in `find_plain`: a thread that sees an older number acts as if it had
        // come earlier.
        let is_plain = !self.has_event.load(Ordering::Relaxed)
            && !self.has_logger.load(Ordering::Relaxed)
            && self.table.get().is_some_and(|table| table.settings.segment.is_none());
        let number = if is_plain { self.described.load(Ordering::Relaxed) } else { NOT_PLAIN };
        self.plain.store(number, Ordering::Relaxed);
    }

    /// Returns this thread's handle if it has one, and only the library has a part in acquiring and
    /// releasing it.
    #[inline]
    fn find_plain(&self) -> Option<&Contender> {
        let plain = self.plain.load(Ordering::Relaxed);
        self.find().filter(|contender| contender.described.get() == plain)
    }

    fn text(&self) -> std::sync::MutexGuard<'_, String> {
        self.description.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a handle the object's description. A forked child's cannot have it.
    #[cold]
    fn describe(&self, contender: &Contender) {
        let version = self.described.load(Ordering::Relaxed);
        let text = self.text().clone();
        let _ = contender.lock().set_description(&text);
        contender.described.set(version);
    }

    /// Checks that this process has made the object.
    fn check_process(&self) -> PyResult<()> {
        match self.table.get() {
            Some(table) if !table.settings.is_ours() => {
                Err(of_another_process(&table.settings.name))
            }
            _ => Ok(()),
        }
    }

    fn limit_of_block(slf: &Bound<'_, Self>) -> PyResult<Limit> {
        Limit::read(&foreign::attribute(slf, intern!(slf.py(), "_timeout"))?)
    }
}

#[pymethods]
impl NativeLock {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self {
            table: OnceLock::new(),
            has_event: AtomicBool::new(false),
            has_logger: AtomicBool::new(false),
            description: Mutex::new(String::new()),
            described: AtomicU64::new(0),
            plain: AtomicU64::new(NOT_PLAIN),
        }
    }

    /// Sets what `__init__` has checked. Opens a block, and a lock if a dead process has left
    /// something in the old form.
    #[pyo3(signature = (name, poll_interval, uuid, *, has_event, has_logger, block_signals,
        interop, directory, mode, block))]
    #[allow(clippy::too_many_arguments, reason = "called once, with names")]
    #[allow(clippy::fn_params_excessive_bools, reason = "as above")]
    fn _setup(
        &self,
        py: Python<'_>,
        name: &str,
        poll_interval: f64,
        uuid: [u8; 16],
        has_event: bool,
        has_logger: bool,
        block_signals: bool,
        interop: bool,
        directory: Option<PathBuf>,
        mode: Option<u32>,
        block: Option<(Vec<u8>, String)>,
    ) -> PyResult<()> {
        let file = name.trim_start_matches('/').to_owned(); // as shm_open(3) does
        let settings = Settings {
            segment: interop.then(|| segment::path(&file)),
            name: file,
            poll_interval: interval(poll_interval),
            block_signals,
            uuid: Uuid::from_bytes(uuid),
            directory,
            mode,
            block,
            process: process_generation(),
        };
        if self.table.set(Table::new(settings)).is_err() {
            return Err(runtime_error("the lock is initialised already"));
        }
        self.has_event.store(has_event, Ordering::Relaxed);
        self.has_logger.store(has_logger, Ordering::Relaxed);
        self.note_plain();
        let table = self.table()?;
        if let Some((initial, schema)) = &table.settings.block {
            py.detach(|| table.keep(initial, schema)).map_err(|error| exception(&error))?;
        }
        let segment = self.table()?.settings.segment.as_deref();
        if segment.is_some_and(|path| matches!(segment::look(path), Ok(segment::Found::Ours(_)))) {
            self.open(py)?;
        }
        Ok(())
    }

    /// Says whether the exit event is to be asked from now on.
    fn _use_event(&self, has_event: bool) {
        self.has_event.store(has_event, Ordering::Relaxed);
        self.note_plain();
    }

    /// Sets what other processes read of this object: the first 63 bytes of the text.
    fn _describe(&self, text: &str) {
        let end = (0..=text.len().min(DESCRIPTION_MAX)).rev().find(|&at| text.is_char_boundary(at));
        text[..end.unwrap_or(0)].clone_into(&mut self.text());
        self.described.fetch_add(1, Ordering::Relaxed);
        self.note_plain();
        if let Some(contender) = self.find() {
            self.describe(contender);
        }
    }

    /// Acquires the lock. Returns True, and False if the time is over or the exit event is set.
    ///
    /// timeout: None, 0 and 0.0 wait without a limit; False is one try; True waits one second;
    ///     another number is seconds, and one below zero one try.
    ///
    /// A thread that holds the lock by this object gets True at once. One `release()` ends all of
    /// its `acquire()`s. An error of the system is an `OSError` with its errno.
    #[pyo3(signature = (timeout = None))]
    fn acquire(slf: &Bound<'_, Self>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let limit = timeout.map_or(Ok(Limit::Forever), Limit::read)?;
        if let Some(contender) = slf.get().find_plain() {
            if !contender.holds.any()
                && contender.lock().try_acquire().map_err(|error| exception(&error))?
            {
                contender.holds.begin_explicit();
                return Ok(true);
            }
        }
        let Some(contender) = Self::obtain(slf, || Ok(limit))? else { return Ok(false) };
        let is_new = contender.holds.begin_explicit();
        Self::log_acquired(slf, contender, || is_new && contender.holds.end_explicit())?;
        Ok(true)
    }

    /// Releases the lock. Returns True, and False if this thread does not hold it by this object.
    ///
    /// Inside a `with` block of this thread it raises `ShmLockRuntimeError`: the block releases the
    /// lock at its end. force: ends all holds of this thread, those of blocks as well.
    #[pyo3(signature = (force = false))]
    fn release(slf: &Bound<'_, Self>, force: bool) -> PyResult<bool> {
        let this = slf.get();
        if let Some(contender) = this.find_plain() {
            if !force && contender.holds.blocks() == 0 && contender.holds.end_explicit() {
                return contender
                    .lock()
                    .release()
                    .map(|()| true)
                    .map_err(|error| exception(&error));
            }
        }
        let Some(contender) = this.find() else { return this.check_process().map(|()| false) };
        if !contender.holds.any() {
            return this.check_process().map(|()| false);
        }
        if force {
            let released = contender.force_release().map_err(|error| exception(&error))?;
            Self::log(slf, "debug", "lock %s released by force")?;
            return Ok(released);
        }
        if contender.holds.blocks() > 0 {
            this.check_process()?;
            return Err(runtime_error(format!(
                "lock {:?} is held by a `with` block of this thread, which releases it at its end",
                this.table()?.settings.name
            )));
        }
        contender.holds.end_explicit();
        Self::let_go(slf, contender).map(|()| true)
    }

    fn __enter__(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let acquired = Self::obtain(slf, || Self::limit_of_block(slf))?;
        // An acquired handle is this thread's; without it, the block is noted all the same.
        let contender = match acquired {
            Some(contender) => contender,
            None => slf.get().contender(slf.py())?,
        };
        contender.holds.enter(acquired.is_some());
        if acquired.is_some() {
            Self::log_acquired(slf, contender, || contender.holds.exit() == Some(true))?;
        }
        Ok(acquired.is_some())
    }

    fn __exit__(
        slf: &Bound<'_, Self>,
        _kind: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let Some(contender) = slf.get().find() else { return slf.get().check_process() };
        // Without a block, as ExitStack.push(lock) calls it: the explicit hold ends.
        let is_last = contender.holds.exit().unwrap_or_else(|| contender.holds.end_explicit());
        if is_last { Self::let_go(slf, contender) } else { Ok(()) }
    }

    /// `True` if this thread holds the lock by this object.
    #[getter]
    fn locked(&self) -> bool {
        self.find().is_some_and(|contender| contender.holds.any() && contender.lock().is_held())
    }

    /// `True` if this thread holds the lock by this object.
    #[getter]
    fn acquired(&self) -> bool {
        self.locked()
    }

    /// Returns `True` if any process holds the lock, in the interoperation mode also by the old
    /// package. Never blocks.
    fn is_locked(&self, py: Python<'_>) -> PyResult<bool> {
        if self.contender(py)?.lock().is_locked().map_err(|error| exception(&error))? {
            return Ok(true);
        }
        let segment = self.table()?.settings.segment.as_deref();
        Ok(segment.is_some_and(|path| matches!(segment::look(path), Ok(segment::Found::Other))))
    }

    /// Returns the holder of the lock; `None` if it is free, or held by a program of the old
    /// package. Changes nothing.
    fn holder(&self, py: Python<'_>) -> PyResult<Option<Holder>> {
        let holder = self.contender(py)?.lock().holder();
        Ok(holder.map_err(|error| exception(&error))?.map(Holder::from))
    }

    /// What is known of an owner's death, while this thread holds the lock and no owner has
    /// declared the data consistent since.
    #[getter]
    fn recovered(&self) -> Option<Recovered> {
        self.find()?.lock().recovered().map(Recovered::from)
    }

    /// Declares the protected data consistent: later owners are not told of the death.
    fn declare_consistent(&self, py: Python<'_>) -> PyResult<()> {
        self.contender(py)?.lock().declare_consistent().map_err(|error| exception(&error))
    }

    /// A number that grows with every acquisition of the lock, while this thread holds it.
    #[getter]
    fn fencing_token(&self) -> Option<u64> {
        self.find()?.lock().fencing_token()
    }

    /// Returns one line about the lock's state, for people.
    fn status(&self, py: Python<'_>) -> PyResult<String> {
        let status = self.contender(py)?.lock().status();
        Ok(status.map_err(|error| exception(&error))?.to_string())
    }

    /// The path of the old-style segment, in the interoperation mode.
    #[getter]
    fn _segment(&self) -> PyResult<Option<PathBuf>> {
        Ok(self.table()?.settings.segment.clone())
    }

    /// Returns at most 16 bytes of the old-style segment; `None` if there is none.
    fn _read_segment<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let Some(path) = &self.table()?.settings.segment else { return Ok(None) };
        match segment::begin(path) {
            Ok(bytes) => Ok(bytes.map(|bytes| PyBytes::new(py, &bytes))),
            Err(errno) => Err(exception(&Error::System {
                operation: "read the old-style segment",
                path: path.clone(),
                errno,
            })),
        }
    }

    /// Returns a copy of the block's data, which this thread holds.
    fn _read_block<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let Some((initial, _)) = &self.table()?.settings.block else {
            return Err(value_error("the lock has no data"));
        };
        let lock = self.contender(py)?.lock();
        PyBytes::new_with(py, initial.len(), |bytes| {
            lock.read_block(bytes).map_err(|error| exception(&error))
        })
    }

    /// Copies these bytes into the block's data, which this thread holds.
    fn _write_block(&self, py: Python<'_>, bytes: &[u8]) -> PyResult<()> {
        self.contender(py)?.lock().write_block(bytes).map_err(|error| exception(&error))
    }
}
