//! Calls code of Python: exit events, loggers, and numbers with methods of their own.
//!
//! Such code may be cut off for ever. Before Python 3.14, a thread that asks for the interpreter's
//! lock while the interpreter ends is ended by `pthread_exit(3)`, which unwinds the stack. Rust's
//! frames cannot be unwound so: the process would abort. Here the thread is stopped where the
//! unwinding reaches Rust, and sleeps until the process is gone. Python 3.14 stops it likewise.
//!
//! Everything else that this module asks of Python runs no code of the program.

#![allow(unsafe_code, reason = "PyO3's declarations say that these calls never unwind")]

use pyo3::ffi::PyObject;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

unsafe extern "C-unwind" {
    fn PyObject_GetAttr(object: *mut PyObject, name: *mut PyObject) -> *mut PyObject;
    fn PyObject_CallObject(callable: *mut PyObject, arguments: *mut PyObject) -> *mut PyObject;
    fn PyObject_IsTrue(object: *mut PyObject) -> std::ffi::c_int;
    fn PyFloat_AsDouble(object: *mut PyObject) -> f64;
}

/// Stops this thread for ever if it is unwound.
struct Stop;

impl Drop for Stop {
    fn drop(&mut self) {
        loop {
            std::thread::park();
        }
    }
}

/// Calls a function, which may end this thread.
fn guarded<T>(function: impl FnOnce() -> T) -> T {
    let stop = Stop;
    let result = function();
    std::mem::forget(stop);
    result
}

/// Returns an attribute of an object.
///
/// # Errors
/// Those of the object.
pub(crate) fn attribute<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: two living objects; this thread is attached.
    let result = guarded(|| unsafe { PyObject_GetAttr(object.as_ptr(), name.as_ptr()) });
    // SAFETY: a new reference, or null and an exception.
    unsafe { Bound::from_owned_ptr_or_err(object.py(), result) }
}

/// Calls a method of an object.
///
/// # Errors
/// The method's.
pub(crate) fn call<'py>(
    object: &Bound<'py, PyAny>,
    method: &Bound<'py, PyAny>,
    arguments: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    invoke(&attribute(object, method)?, arguments)
}

/// Calls a function.
///
/// # Errors
/// The function's.
pub(crate) fn invoke<'py>(
    function: &Bound<'py, PyAny>,
    arguments: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: a living object and a tuple; this thread is attached.
    let result = guarded(|| unsafe { PyObject_CallObject(function.as_ptr(), arguments.as_ptr()) });
    // SAFETY: a new reference, or null and an exception.
    unsafe { Bound::from_owned_ptr_or_err(function.py(), result) }
}

/// Returns `true` if an object counts as true.
///
/// # Errors
/// Those of the object.
pub(crate) fn is_true(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    // SAFETY: a living object; this thread is attached.
    match guarded(|| unsafe { PyObject_IsTrue(object.as_ptr()) }) {
        -1 => Err(PyErr::fetch(object.py())),
        answer => Ok(answer != 0),
    }
}

/// Returns the number that an object stands for.
///
/// # Errors
/// `TypeError` for no number, `OverflowError` beyond any float, and those of the object.
pub(crate) fn number(object: &Bound<'_, PyAny>) -> PyResult<f64> {
    // SAFETY: a living object; this thread is attached.
    let number = guarded(|| unsafe { PyFloat_AsDouble(object.as_ptr()) });
    match PyErr::take(object.py()) {
        Some(error) => Err(error),
        None => Ok(number),
    }
}
