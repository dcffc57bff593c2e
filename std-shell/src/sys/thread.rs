//! Numbers threads, by the kernel's id, which signals need, and by a number that is given out once.
//!
//! The kernel gives the id of a thread that has ended to a new thread. So an id does not tell
//! whether *this* thread acquired the lock.

use std::cell::Cell;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use crate::sys::fork;

/// The two numbers of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Thread {
    /// The kernel's id, gettid(2).
    pub(crate) id: u32,
    /// A number that no other thread of this process has, until 2^32 threads have used a lock.
    pub(crate) number: u32,
}

thread_local! {
    /// The generation of the process, and the thread in it; all 0 before the first call.
    static THREAD: Cell<(u32, Thread)> = const { Cell::new((0, Thread { id: 0, number: 0 })) };
}

/// The last number given out.
static LAST: AtomicU32 = AtomicU32::new(0);

/// The number of no thread. [`number_as_known`] never returns it: it returns 0 for a thread without
/// a number.
pub(crate) const NO_THREAD: u32 = u32::MAX;

/// Returns both numbers of this thread. Asks the kernel once in each thread and process.
///
/// Async-signal-safe: the thread-local has neither a lazy initialiser nor a destructor.
pub(crate) fn this_thread() -> Thread {
    let present = fork::present_generation();
    THREAD.with(|cell| {
        let (generation, thread) = cell.get();
        // Before the first handle is opened, a forked child cannot be told from its parent.
        if generation == present && present != 0 {
            return thread;
        }
        let id = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        let thread = Thread { id, number: next_number() };
        cell.set((present, thread));
        thread
    })
}

fn next_number() -> u32 {
    loop {
        // Partner: the same addition by other threads. Relaxed: the numbers only have to differ.
        match LAST.fetch_add(1, Relaxed).wrapping_add(1) {
            0 | NO_THREAD => {}
            number => return number,
        }
    }
}

/// Returns the number of this thread if it has one, else 0. In a forked child it may be the
/// parent's. One load.
#[inline]
pub(crate) fn number_as_known() -> u32 {
    THREAD.with(|cell| cell.get().1.number)
}
