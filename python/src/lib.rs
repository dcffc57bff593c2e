//! The native part of the Python package: one class for a lock, with a handle of the Rust library
//! for each thread that uses it. The package's names, in Python, are in `package/shmlock`.
//!
//! | file | contents |
//! |---|---|
//! | `lock` | the class: handles, releasing, looking |
//! | `obtain` | acquiring and waiting |
//! | `place` | waiting without leaving the queue |
//! | `context` | the context manager of `lock.lock(timeout)` |
//! | `task` | waiting in an asyncio task |
//! | `look` | what a look at a lock shows: `Holder`, `Recovered` |
//! | `event` | exit events that wake a waiter |
//! | `bell` | the eventfd that ends the sleep of a thread or of an event loop |
//! | `threads` | a handle for each thread |
//! | `contender` | one thread's handle |
//! | `holds` | what a thread holds |
//! | `segment` | the old form of the lock, for the interoperation mode |
//! | `timeout`, `failure` | timeouts and exceptions of the package |
//! | `foreign` | calls of Python code |
//!
//! # The interpreter's lock
//!
//! A try keeps the interpreter's lock (GIL). Opening and waiting release it. Code of Python (signal
//! handlers, exit events, loggers) never runs while a handle is inside a call, nor while a handle
//! holds the lock and `holds` does not know it: each of them may use the same object.
//!
//! # Interpreters
//!
//! One interpreter of a process may import the module, the first that does. The classes that `PyO3`
//! makes are the process's; a second interpreter must not share them.
//!
//! # Panics
//!
//! None is expected. `PyO3` turns one into an exception; none leaves a function of this module.

mod bell;
mod contender;
mod context;
mod event;
mod failure;
mod foreign;
mod holds;
mod lock;
mod look;
mod obtain;
mod place;
mod segment;
mod task;
mod threads;
mod timeout;

use std::sync::atomic::{AtomicI64, Ordering};

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use shmlock::ExitHandlers;

/// The number of the interpreter that has imported the module; negative before.
static INTERPRETER: AtomicI64 = AtomicI64::new(-1);

/// Refuses every interpreter but the first. `PyO3` does so from Python 3.12 on.
#[allow(unsafe_code, reason = "PyO3 has no call for the number of an interpreter")]
fn check_interpreter(_py: Python<'_>) -> PyResult<()> {
    // SAFETY: the caller is attached to an interpreter.
    let interpreter = unsafe { pyo3::ffi::PyInterpreterState_Get() };
    // SAFETY: the state of the interpreter that runs this.
    let number = unsafe { pyo3::ffi::PyInterpreterState_GetID(interpreter) };
    // Relaxed: only which of them was first.
    match INTERPRETER.compare_exchange(-1, number, Ordering::Relaxed, Ordering::Relaxed) {
        Err(first) if first != number => Err(PyImportError::new_err(
            "another interpreter of this process has imported the module",
        )),
        _ => Ok(()),
    }
}

/// Releases the locks of this process when it exits, or dies by SIGINT, SIGTERM or SIGHUP.
#[pyfunction]
fn install_exit_handlers(at_exit: bool, signals: bool) -> PyResult<()> {
    let install =
        |handlers: ExitHandlers| handlers.install().map_err(|error| failure::exception(&error));
    if at_exit {
        install(ExitHandlers::at_exit())?;
    }
    if signals {
        install(ExitHandlers::signals())?;
    }
    Ok(())
}

// Free-threaded Pythons need no lock of their own: what threads share is behind a mutex or atomic.
#[pymodule(gil_used = false)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    check_interpreter(module.py())?;
    event::prepare(module.py())?;
    module.add_class::<lock::NativeLock>()?;
    module.add_class::<context::NativeContext>()?;
    module.add_class::<task::NativeTask>()?;
    module.add_class::<event::Ringer>()?;
    module.add_class::<look::Holder>()?;
    module.add_class::<look::Recovered>()?;
    module.add_function(wrap_pyfunction!(install_exit_handlers, module)?)
}
