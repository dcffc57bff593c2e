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
pub(crate) fn this_thread() -> u32 {
    let present = fork::present_generation();
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

/// No thread's number, and not what [`this_thread_as_known`] says of one that was never asked: numbers stay below 2^22, proc(5).
pub(crate) const NO_THREAD: u32 = u32::MAX;

/// The same, if it was asked for before, else 0; in a forked child possibly the parent's. One load.
#[inline]
pub(crate) fn this_thread_as_known() -> u32 {
    THREAD.with(|cell| cell.get().1)
}
