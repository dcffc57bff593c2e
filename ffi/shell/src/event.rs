//! Exports exit events: switches that end waits.

#![allow(unsafe_code, reason = "a struct of the caller's refers to a Rust value on the heap")]

use std::ffi::{c_char, c_void};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, Ordering::Acquire, Ordering::Release};

use shmlock::ExitEvent;

use crate::error::{Failure, answer};
use crate::pointer::checked;
use crate::status::Status;
use crate::text;

/// An exit event: a switch that tells waiters to stop waiting. Initialise it with `SHMLOCK_INIT`,
/// and open it. The fields are private to the library.
///
/// Setting it ends the waits of all locks that were opened with it, by `SHMLOCK_STATUS_CANCELLED`:
/// at once where the kernel has `futex_waitv(2)` (Linux 5.16), else within one poll interval. It
/// stays set until it is cleared.
///
/// Unlike a lock, any number of threads may use an open event at the same time. It is neither
/// copied nor moved, and no other call is in progress while it is opened or closed. NULL,
/// misaligned pointers and events that are not open are errors.
#[repr(C)]
pub struct Event {
    state: u32,
    reserved: u32,
    content: *mut c_void,
}

/// Combined with the event's own address, the `state` of an open event; see `handle.rs`.
const OPEN: u32 = 0x53_48_4C_7A;
const CLOSED: u32 = 0;

impl Event {
    /// Returns an event that is not open.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: CLOSED, reserved: 0, content: null_mut() }
    }
}

impl Default for Event {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Event").finish_non_exhaustive()
    }
}

/// Opens the event that every process of this user reaches by this name; with NULL for `name`, an
/// event of this process alone.
///
/// `directory` is NULL for `/dev/shm`; `mode` is 0 for 0600. The first opener finds the event
/// clear, even if former users set it and were killed. The last user that closes it removes its
/// file. Blocks only while another process is just closing it, for at most 5 s; not
/// async-signal-safe; a cancellation point.
///
/// Returns `SHMLOCK_STATUS_OK`; `_NULL`, `_MISALIGNED`, `_ALREADY_OPEN`, `_BAD_TEXT`; what
/// `shmlock_open` returns for the file.
///
/// # Safety
/// For `event`: see `shmlock_event_t`. `name` and `directory` are NULL or strings. For `error`: see
/// `shmlock_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_event_open(
    event: *mut Event,
    name: *const c_char,
    directory: *const c_char,
    mode: u32,
    error: *mut Failure,
) -> Status {
    let open = || {
        let handle = checked(event)?;
        // SAFETY: checked, and otherwise guaranteed by the caller.
        let state = unsafe { state_of(handle) };
        // Partner: the stores below.
        if state.load(Acquire) == opened_at(handle) {
            return Err(Status::AlreadyOpen.into());
        }
        // SAFETY: guaranteed by the caller.
        let opened = match unsafe { text::text(name) }? {
            Some(name) => {
                // SAFETY: guaranteed by the caller.
                let directory = unsafe { text::directory(directory) };
                ExitEvent::named_in(name, directory, if mode == 0 { 0o600 } else { mode })?
            }
            None => ExitEvent::new(),
        };
        // SAFETY: inside the `Event` that the caller guarantees.
        let place = unsafe { &raw mut (*handle.as_ptr()).content };
        // SAFETY: as above; no other call is in progress, and the event is not open.
        unsafe { place.write(Box::into_raw(Box::new(opened)).cast()) };
        state.store(opened_at(handle), Release); // partner: the loads of `state`
        Ok(Status::Ok)
    };
    // SAFETY: guaranteed by the caller.
    unsafe { answer(error, open) }
}

/// Closes an event. Locks that were opened with it keep it. In a forked child it leaves the
/// parent's alone. Not async-signal-safe; a cancellation point.
///
/// Returns `SHMLOCK_STATUS_OK`; `_NULL`, `_MISALIGNED`, `_NOT_OPEN`.
///
/// # Safety
/// For `event`: see `shmlock_event_t`. For `error`: see `shmlock_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_event_close(event: *mut Event, error: *mut Failure) -> Status {
    let close = || {
        // SAFETY: guaranteed by the caller.
        let opened = std::ptr::from_ref(unsafe { of(event) }?).cast_mut();
        // SAFETY: checked by `of`, and otherwise guaranteed by the caller.
        let state = unsafe { state_of(checked(event)?) };
        state.store(CLOSED, Release); // partner: the loads of `state`
        // SAFETY: made from a box by `shmlock_event_open`; no other call is in progress.
        drop(unsafe { Box::from_raw(opened) });
        Ok(Status::Ok)
    };
    // SAFETY: guaranteed by the caller.
    unsafe { answer(error, close) }
}

/// Ends every wait, until `shmlock_event_clear`.
///
/// Never blocks; async-signal-safe if `error` is NULL; any thread.
///
/// Returns `SHMLOCK_STATUS_OK`; `_FORKED` for a named event of the parent; `_NULL`, `_MISALIGNED`,
/// `_NOT_OPEN`.
///
/// # Safety
/// For `event`: see `shmlock_event_t`. For `error`: see `shmlock_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_event_set(event: *const Event, error: *mut Failure) -> Status {
    // SAFETY: guaranteed by the caller.
    let set = || Ok(unsafe { of_here(event, error) }?.set().map(|()| Status::Ok)?);
    // SAFETY: guaranteed by the caller.
    unsafe { answer(error, set) }
}

/// Allows waiting again.
///
/// Never blocks; async-signal-safe if `error` is NULL; any thread.
///
/// Returns what `shmlock_event_set` returns.
///
/// # Safety
/// For `event`: see `shmlock_event_t`. For `error`: see `shmlock_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_event_clear(event: *const Event, error: *mut Failure) -> Status {
    // SAFETY: guaranteed by the caller.
    let clear = || Ok(unsafe { of_here(event, error) }?.clear().map(|()| Status::Ok)?);
    // SAFETY: guaranteed by the caller.
    unsafe { answer(error, clear) }
}

/// Returns `true` if the event is set. Returns `false` for an event that is not open, or the
/// parent's.
///
/// Never blocks; async-signal-safe; any thread.
///
/// # Safety
/// For `event`: see `shmlock_event_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_event_is_set(event: *const Event) -> bool {
    // SAFETY: guaranteed by the caller.
    unsafe { of_here(event, null_mut()) }.is_ok_and(|event| event.is_set().unwrap_or(false))
}

/// Returns the event behind a handle, if a call on it allocates nothing: without details of an
/// error, an event of the parent is refused here.
///
/// # Errors
/// Those of [`of`]; [`Status::Forked`].
///
/// # Safety
/// That of [`of`].
unsafe fn of_here<'e>(event: *const Event, error: *mut Failure) -> Result<&'e ExitEvent, Status> {
    // SAFETY: guaranteed by the caller.
    let event = unsafe { of(event) }?;
    if error.is_null() && event.is_inherited() { Err(Status::Forked) } else { Ok(event) }
}

/// Returns the event behind a handle.
///
/// # Errors
/// [`Status::Null`], [`Status::Misaligned`], [`Status::NotOpen`].
///
/// # Safety
/// The contract of [`Event`]. The event is not closed while the result is used.
pub(crate) unsafe fn of<'e>(event: *const Event) -> Result<&'e ExitEvent, Status> {
    let handle = checked(event)?;
    // SAFETY: checked, and otherwise guaranteed by the caller.
    let state = unsafe { state_of(handle) };
    // Partner: the store in `shmlock_event_open`: the pointer is visible with it.
    if state.load(Acquire) != opened_at(handle) {
        return Err(Status::NotOpen);
    }
    // SAFETY: inside the `Event` that the caller guarantees.
    let opened = unsafe { &raw const (*handle.as_ptr()).content };
    // SAFETY: as above; written before the state.
    let opened = unsafe { opened.read() };
    // SAFETY: made from a box by `shmlock_event_open`, and not freed: the state said so.
    // `ExitEvent` is `Sync`.
    Ok(unsafe { &*opened.cast::<ExitEvent>() })
}

fn opened_at(handle: NonNull<Event>) -> u32 {
    #[allow(clippy::cast_possible_truncation, reason = "the low half is meant")]
    let address = handle.addr().get() as u32;
    OPEN ^ address
}

/// Returns `state` as an atomic.
///
/// # Safety
/// `handle` points to an `Event` for as long as the result is used.
unsafe fn state_of<'h>(handle: NonNull<Event>) -> &'h AtomicU32 {
    // SAFETY: inside the `Event` that the caller guarantees.
    let state = unsafe { &raw mut (*handle.as_ptr()).state };
    // SAFETY: an aligned `u32` that is accessed through this function only.
    unsafe { AtomicU32::from_ptr(state) }
}
