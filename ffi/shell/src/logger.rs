//! Hands the log to a function of C.

#![allow(unsafe_code, reason = "exports a symbol by its name and refers to a value on the heap")]

use std::cell::Cell;
use std::ffi::{CString, c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

use log::{LevelFilter, Metadata, Record};

use crate::callback::{Log, LogFn};
use crate::error::{Failure, answer};
use crate::status::Status;

/// The logger of the facade. It stays; the function behind it may change.
struct Logger {
    /// NULL, or a leaked box: another thread may be using it at any time.
    log: AtomicPtr<Log>,
}

thread_local! {
    /// The function of C runs on this thread. What it does itself is not told to it: one that opens
    /// another lock, or waits for it, would be called by that without end.
    static RUNS: Cell<bool> = const { Cell::new(false) };
}

static LOGGER: Logger = Logger { log: AtomicPtr::new(null_mut()) };

impl Logger {
    /// Returns the function behind it, if one was set.
    fn present(&self) -> Option<&'static Log> {
        // Partner: the exchange in `set`.
        let log = self.log.load(Acquire);
        // SAFETY: NULL, or a box that was leaked.
        unsafe { log.as_ref() }
    }

    /// Hands the lines to this function from now on; NULL for none.
    ///
    /// # Safety
    /// That of [`Log::new`].
    unsafe fn set(&self, to: LogFn, context: *mut c_void) {
        loop {
            let former = self.present();
            // SAFETY: guaranteed by the caller.
            let log = Box::into_raw(Box::new(unsafe { Log::new(to, context, former) }));
            let former = former.map_or(null_mut(), |former| std::ptr::from_ref(former).cast_mut());
            // Partner: the load in `present`.
            if self.log.compare_exchange(former, log, AcqRel, Acquire).is_ok() {
                return;
            }
            // SAFETY: made from a box, and published nowhere.
            drop(unsafe { Box::from_raw(log) });
        }
    }
}

impl log::Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let Some(log) = self.present() else { return };
        if RUNS.get() {
            return;
        }
        // A line of the library has no NUL; one of another crate in a static program may.
        let text = record.args().to_string().replace('\0', " ");
        if let Ok(text) = CString::new(text) {
            RUNS.set(true);
            log.line(record.level() as c_int, &text);
            RUNS.set(false);
        }
    }

    fn flush(&self) {}
}

/// Hands the events of all locks of this process to a function, up to this level: 0 (nothing),
/// 1 (error), 2 (warn), 3 (info), 4 (debug) or 5 (trace). NULL for `to` ends that. By default
/// nothing is logged.
///
/// An undisturbed acquisition or release logs nothing, and neither does a call that `to` itself
/// makes. Does not block; not async-signal-safe. A thread that logs at this moment may still call
/// the former function. Each call keeps some bytes for the rest of the process.
///
/// Returns `SHMLOCK_STATUS_OK`; `_BAD_OPTIONS` for another level; `_LOGGER_SET` in a program in
/// Rust that has set a logger of its own.
///
/// # Safety
/// `to` may be called with `context` by any thread, at any time. For `error`: see `shmlock_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_set_logger(
    level: c_int,
    to: LogFn,
    context: *mut c_void,
    error: *mut Failure,
) -> Status {
    let set = || {
        let level = match level {
            0 => LevelFilter::Off,
            1 => LevelFilter::Error,
            2 => LevelFilter::Warn,
            3 => LevelFilter::Info,
            4 => LevelFilter::Debug,
            5 => LevelFilter::Trace,
            _ => return Err(Status::BadOptions.into()),
        };
        let is_ours = log::set_logger(&LOGGER).is_ok()
            || std::ptr::addr_eq(std::ptr::from_ref(log::logger()), &raw const LOGGER);
        if !is_ours {
            return Err(Status::LoggerSet.into());
        }
        // SAFETY: guaranteed by the caller.
        unsafe { LOGGER.set(to, context) };
        log::set_max_level(if to.is_some() { level } else { LevelFilter::Off });
        Ok(Status::Ok)
    };
    // SAFETY: guaranteed by the caller.
    unsafe { answer(error, set) }
}
