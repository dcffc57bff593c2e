//! Defines the types of the callbacks, and values that hold one.

#![allow(unsafe_code, reason = "calls functions of C, and sends them to other threads")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ops::ControlFlow;

/// The point of a wait at which it asks its interrupt callback: the waiting thread's last step.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitPoint {
    /// It has not slept yet.
    Begin = 0,
    /// A signal handler has ended a sleep.
    Signal = 1,
    /// A sleep was over, by its time. A signal may have come meanwhile.
    Elapsed = 2,
    /// It was woken, and another handle has the lock.
    Wake = 3,
}

/// Returns 0 if the wait goes on; any other value ends it by `SHMLOCK_STATUS_INTERRUPTED`.
///
/// A waiting thread calls it **before each sleep**: the first time before any sleep, then after
/// each signal, after each wake that has not brought the lock, and from time to time: after one
/// poll interval, and each time that the wait, or the time since the last signal, is twice as long;
/// with an exit event, once a second at least. It need not be async-signal-safe, and may take its
/// time: other waiters are woken meanwhile. See "Callbacks" at the head of this file.
///
/// A signal that comes between its return and the sleep is noticed at the next of these times. So
/// is one whose handler has `SA_RESTART`, in a wait with an exit event. A handler that must end the
/// wait at once in these cases as well calls `shmlock_event_set` for the exit event of the lock.
pub type InterruptFn =
    Option<unsafe extern "C" fn(context: *mut c_void, point: WaitPoint) -> c_int>;

/// Takes one name. Returns 0 to go on, any other value to end the list. Another user may have
/// chosen the name: escape it before printing it to a terminal. See "Callbacks" at the head of this
/// file.
pub type NameFn = Option<unsafe extern "C" fn(context: *mut c_void, name: *const c_char) -> c_int>;

/// Takes one line of the log: a level from 1 (error) over 2 (warn), 3 (info) and 4 (debug) to 5
/// (trace), and the text. Any thread may call it, several at a time. See "Callbacks" at the head of
/// this file.
pub type LogFn =
    Option<unsafe extern "C" fn(context: *mut c_void, level: c_int, text: *const c_char)>;

/// The context of a callback. The contract of the callbacks says that any thread may pass it.
#[derive(Clone, Copy)]
struct Context(*mut c_void);

// SAFETY: the library only passes it on; the caller guarantees that any thread may.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

/// Makes the library's interrupt callback of one of C.
///
/// # Safety
/// `ask` may be called with `context` by any thread that uses a handle with it.
pub(crate) unsafe fn interrupt(
    ask: unsafe extern "C" fn(*mut c_void, WaitPoint) -> c_int,
    context: *mut c_void,
) -> impl Fn(shmlock::WaitPoint) -> ControlFlow<()> + Send + Sync + 'static {
    let context = Context(context);
    move |point| {
        let Context(context) = { context };
        let point = match point {
            shmlock::WaitPoint::Signal => WaitPoint::Signal,
            shmlock::WaitPoint::Elapsed => WaitPoint::Elapsed,
            shmlock::WaitPoint::Wake => WaitPoint::Wake,
            _ => WaitPoint::Begin,
        };
        // SAFETY: guaranteed by the caller.
        match unsafe { ask(context, point) } {
            0 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    }
}

/// A log callback with its context.
pub(crate) struct Log {
    to: LogFn,
    context: Context,
    /// Keeps the former one in reach of a static: a leak detector does not report it.
    _former: Option<&'static Self>,
}

impl Log {
    /// # Safety
    /// Unless it is NULL, `to` may be called with `context` by any thread, at any time.
    pub(crate) unsafe fn new(
        to: LogFn,
        context: *mut c_void,
        former: Option<&'static Self>,
    ) -> Self {
        Self { to, context: Context(context), _former: former }
    }

    pub(crate) fn line(&self, level: c_int, text: &CStr) {
        let Some(to) = self.to else { return };
        // SAFETY: guaranteed by the caller of `new`; the text is valid until the call returns.
        unsafe { to(self.context.0, level, text.as_ptr()) };
    }
}
