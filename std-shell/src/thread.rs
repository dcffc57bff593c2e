//! Which thread is this?

use std::cell::Cell;

use crate::fork;

thread_local! {
    /// The generation of the process and the thread's number in it; 0 before it was asked for.
    static THREAD: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

/// The kernel's number of this thread, `gettid(2)`; asked for once in each thread and process.
///
/// Async-signal-safe: the thread-local has neither a lazy initialiser nor a destructor.
#[inline]
pub(crate) fn this_thread() -> u32 {
    this_thread_of(fork::present_generation())
}

/// As [`this_thread`], for callers that know the present generation already.
#[inline]
pub(crate) fn this_thread_of(present: u32) -> u32 {
    THREAD.with(|cell| {
        let (generation, thread) = cell.get();
        if generation == present && thread != 0 {
            return thread;
        }
        let thread = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        cell.set((present, thread));
        thread
    })
}
