//! Lets an exit event of Python wake a waiter.
//!
//! A `threading.Event` has a list of locks, on which its waiters sleep; `set()` releases each of
//! them. A [`Ringer`] stands in this list as one lock more, for all waiters of this module: its
//! `release` rings their bells. So a waiter looks at the event no more often than for signals.
//!
//! The list is not documented. So the import tries an event, and each event is looked at: an event
//! that is built otherwise is polled. The waiter looks once a second in any case.
//!
//! A `multiprocessing.Event` is polled as well. A process that sleeps on it and is killed keeps all
//! later calls of its `set()` from returning, for ever.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use pyo3::exceptions::PyAttributeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyCFunction, PyDict, PyTuple, PyType};
use shmlock::process_generation;

use crate::bell::Bell;
use crate::foreign;

/// Rings the bells of waiters whose event is set.
#[pyclass(frozen, subclass, module = "shmlock._native")]
pub(crate) struct Ringer {
    /// The process that has made it. A forked child shares the descriptors of the bells.
    process: u32,
    bells: Mutex<Vec<Weak<Bell>>>,
}

#[pymethods]
impl Ringer {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn with(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::new()
    }

    /// Rings. Never blocks. By this name `set()` of a `threading.Event` calls it.
    fn release(&self) {
        // First: the mutex may be locked for ever in a forked child.
        if self.is_ours() {
            let bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
            bells.iter().filter_map(Weak::upgrade).for_each(|bell| bell.call());
        }
    }
}

impl Ringer {
    fn new() -> Self {
        Self { process: process_generation(), bells: Mutex::new(Vec::new()) }
    }

    fn is_ours(&self) -> bool {
        self.process == process_generation()
    }

    /// Adds a bell. Returns `false` in a forked child, whose bells it cannot ring.
    fn add(&self, bell: &Arc<Bell>) -> bool {
        let is_ours = self.is_ours();
        if is_ours {
            let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
            // Another event may have rung it meanwhile: then it is here already.
            bells.retain(|other| other.strong_count() > 0 && other.as_ptr() != Arc::as_ptr(bell));
            bells.push(Arc::downgrade(bell));
        }
        is_ours
    }
}

/// Whether an event rings a bell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rings {
    /// From now on. The caller looks at the event once more.
    Yes,
    /// Another thread is setting the event or beginning to wait for it, or it has rung: try again.
    NotNow,
    /// It has to be polled.
    Never,
}

/// The classes of which a `threading.Event` is built.
struct Classes {
    event: Py<PyAny>,
    condition: Py<PyAny>,
    deque: Py<PyAny>,
    lock: Py<PyType>,
}

/// Empty if the events of this Python are built otherwise.
static CLASSES: PyOnceLock<Classes> = PyOnceLock::new();

/// Finds out how the events of this Python are built. At the import: later, a signal handler may
/// run in the middle of it, and call it again.
///
/// # Errors
/// Those of importing the standard library.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    let threading = py.import("threading")?;
    let classes = Classes {
        event: threading.getattr("Event")?.unbind(),
        condition: threading.getattr("Condition")?.unbind(),
        deque: py.import("collections")?.getattr("deque")?.unbind(),
        lock: threading.getattr("Lock")?.call0()?.get_type().unbind(),
    };
    // An error is an event that is built otherwise.
    if tried(py, &classes).unwrap_or(false) {
        let _ = CLASSES.set(py, classes); // it fails if a signal handler has imported the module
    }
    Ok(())
}

/// Sets an event, and returns `true` if it has rung.
fn tried(py: Python<'_>, classes: &Classes) -> PyResult<bool> {
    // A library such as gevent replaces the locks of `threading` by its own.
    if classes.lock.bind(py).module()? != "_thread" {
        return Ok(false);
    }
    let event = classes.event.bind(py).call0()?;
    let bell = Bell::new().map_err(io::Error::from)?;
    let rings = enter(&event, classes, &bell)?;
    event.call_method0("set")?;
    Ok(rings == Rings::Yes && bell.take_call())
}

/// Makes an exit event ring this bell when it is set.
///
/// # Errors
/// Those of the event.
pub(crate) fn ring(event: &Bound<'_, PyAny>, bell: &Arc<Bell>) -> PyResult<Rings> {
    // The package's own event.
    if let Ok(ringer) = event.cast::<Ringer>() {
        return Ok(if ringer.get().add(bell) { Rings::Yes } else { Rings::Never });
    }
    match CLASSES.get(event.py()) {
        Some(classes) => enter(event, classes, bell).or_else(|error| {
            let is_other = error.is_instance_of::<PyAttributeError>(event.py());
            if is_other { Ok(Rings::Never) } else { Err(error) }
        }),
        None => Ok(Rings::Never),
    }
}

/// Enters the bell at a `threading.Event`.
///
/// # Errors
/// Those of the event. `AttributeError` if it is of another kind.
fn enter(event: &Bound<'_, PyAny>, classes: &Classes, bell: &Arc<Bell>) -> PyResult<Rings> {
    let py = event.py();
    // A class of the program may set or clear it in another way.
    for method in [intern!(py, "set"), intern!(py, "is_set")] {
        let own = foreign::attribute(event, method)?;
        let original = foreign::attribute(classes.event.bind(py), method)?;
        if !foreign::attribute(&own, intern!(py, "__func__"))?.is(&original) {
            return Ok(Rings::Never);
        }
    }
    let condition = foreign::attribute(event, intern!(py, "_cond"))?;
    if !condition.get_type().is(&classes.condition) {
        return Ok(Rings::Never);
    }
    let waiters = foreign::attribute(&condition, intern!(py, "_waiters"))?;
    if !waiters.get_type().is(&classes.deque) {
        return Ok(Rings::Never);
    }
    let acquire = foreign::attribute(&condition, intern!(py, "acquire"))?;
    let release = foreign::attribute(&condition, intern!(py, "release"))?;
    if !(is_native(&acquire, classes)? && is_native(&release, classes)?) {
        return Ok(Rings::Never);
    }
    let append = foreign::attribute(&waiters, intern!(py, "append"))?;
    let (at_once, none) = (PyTuple::new(py, [PyBool::new(py, false)])?, PyTuple::empty(py));
    let ringer = Ringer::new();
    ringer.add(bell);
    let ringer = PyTuple::new(py, [Bound::new(py, ringer)?])?;
    // This thread may hold the event's lock itself: then a signal handler waits here, in the middle
    // of `set()`. So it does not wait for it.
    if !foreign::is_true(&foreign::invoke(&acquire, &at_once)?)? {
        return Ok(Rings::NotNow);
    }
    // No code of Python runs until the release: a signal handler or a finalizer that sets the event
    // would wait for ever. So nothing that the collector counts is allocated here.
    let added = match is_added(&waiters, bell) {
        Ok(false) => foreign::invoke(&append, &ringer).map(drop),
        result => result.map(drop),
    };
    foreign::invoke(&release, &none)?;
    added.map(|()| Rings::Yes)
}

/// Returns `true` if a method is that of a lock of the interpreter itself, which runs no code of
/// Python.
fn is_native(method: &Bound<'_, PyAny>, classes: &Classes) -> PyResult<bool> {
    if !method.is_instance_of::<PyCFunction>() {
        return Ok(false);
    }
    let lock = foreign::attribute(method, intern!(method.py(), "__self__"))?;
    Ok(lock.get_type().is(&classes.lock))
}

/// Adds the bell to the ringer of this process in a list of waiters. Returns `false` if the list
/// has none.
fn is_added(waiters: &Bound<'_, PyAny>, bell: &Arc<Bell>) -> PyResult<bool> {
    for index in 0..waiters.len()? {
        if waiters.get_item(index)?.cast::<Ringer>().is_ok_and(|ringer| ringer.get().add(bell)) {
            return Ok(true);
        }
    }
    Ok(false)
}
