//! Makes `fork` wait while a descriptor of ours holds a byte lock, because the child would inherit
//! it.
//!
//! A forked child has a copy of every descriptor, and a byte lock lasts as long as any reference to
//! its open file description. At rest no descriptor holds one: token and presence hang on a mapping
//! that children do not get, and `B` holds no lock (`shm/attach/mod.rs`). But a descriptor holds
//! one briefly while a handle is opened or closed, or recovers a lock. A child of a fork in that
//! time would do harm until it calls exec or ends. It would prove this process alive after its
//! death. Or, if this process died in that time, no other process could open the name.
//!
//! Forks do not wait for a lifeline, which holds a byte lock for longer: children are meant to
//! inherit it. No child inherits the descriptor by which a process watches (`watch/`).
//!
//! So the code that opens, closes or recovers holds a [`NoForkGuard`]. fork(3) waits until the
//! other threads have dropped theirs, and a new guard waits until the fork is done. The handlers of
//! `pthread_atfork(3)` do this. They do not run at `posix_spawn(3)`, whose child calls exec at
//! once, nor at a bare `clone` system call. The child of such a `clone`, or of a fork that missed
//! them ([`register`]), may inherit counts that never fall, and then waits for [`MAX_WAIT`] each
//! time. No side waits longer than that: a fork that hangs would be worse than a lock that is
//! inherited in a rare case.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::thread;
use std::time::{Duration, Instant};

use crate::sys::fork;

/// The number of guards of all threads, and, from the bit [`FORK`] up, the number of forks under
/// way.
static GATE: AtomicU32 = AtomicU32::new(0);
const FORK: u32 = 1 << 16;
const GUARDS: u32 = FORK - 1;

/// The longest wait for the other side. Arbitrary: far longer than a guard or a fork lasts.
const MAX_WAIT: Duration = Duration::from_secs(1);

thread_local! {
    /// This thread's part of both numbers. A thread must not wait for itself: a signal handler may
    /// have interrupted either.
    static OWN: Cell<Counts> = const { Cell::new(Counts { guards: 0, forks: 0 }) };
}

#[derive(Clone, Copy)]
struct Counts {
    guards: u32,
    forks: u32,
}

/// Keeps other threads from forking this process until it is dropped, for [`MAX_WAIT`] at most.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub(crate) struct NoForkGuard(PhantomData<*const ()>);

impl NoForkGuard {
    /// Waits until forks of other threads are done, for [`MAX_WAIT`] at most. Async-signal-safe.
    pub(crate) fn begin() -> Self {
        let own = OWN.get();
        OWN.set(Counts { guards: own.guards + 1, ..own }); // before the gate: see `before_fork`
        let mut deadline = None;
        let mut admits = |gate: u32| {
            gate < FORK || own.guards > 0 || own.forks > 0 || check_deadline(&mut deadline)
        };
        // Partner: the forker's addition, and its load after it. One word orders both: the later of
        // the two threads waits.
        while GATE.fetch_update(AcqRel, Acquire, |gate| admits(gate).then(|| gate + 1)).is_err() {
            thread::yield_now();
        }
        Self(PhantomData)
    }
}

impl Drop for NoForkGuard {
    fn drop(&mut self) {
        // Partner: the forker's load, which then sees our byte as unlocked.
        GATE.fetch_sub(1, AcqRel);
        let own = OWN.get();
        OWN.set(Counts { guards: own.guards - 1, ..own });
    }
}

/// Sets the deadline on the first call. Returns `true` once it has passed.
fn check_deadline(deadline: &mut Option<Instant>) -> bool {
    let now = Instant::now();
    now >= *deadline.get_or_insert(now + MAX_WAIT)
}

/// Registers the fork handlers: from here on forks wait for guards, and guards for forks. Must be
/// called before the first guard that is not in a signal handler.
///
/// A fork under way in another thread may miss it: libc unlocks its list of handlers while it runs
/// another library's handler, and our entry comes too late for that fork. Without other handlers
/// the registration waits until the fork is done.
///
/// Not a `Once`: one that another thread is running during a fork would stay so in the child.
/// Threads that call this for the first time at the same moment register the handlers several
/// times. Then each fork counts several times, up and down.
pub(crate) fn register() {
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    // Partner: the store below, by any thread. Acquire: a thread that sees it has the handlers
    // registered.
    if !REGISTERED.load(Acquire) {
        fork::register_handlers(before_fork, after_fork, in_child);
        REGISTERED.store(true, Release); // partner: the load above
    }
}

/// Runs in the thread that forks, before the fork.
extern "C" fn before_fork() {
    let own = OWN.get();
    OWN.set(Counts { forks: own.forks + 1, ..own });
    let mut deadline = None;
    // Partner: the additions and subtractions of `NoForkGuard`.
    let mut gate = GATE.fetch_add(FORK, AcqRel);
    // The gate may count one guard less of this thread than `own`: a signal handler may fork
    // between the two additions.
    while gate & GUARDS > own.guards && !check_deadline(&mut deadline) {
        thread::yield_now();
        gate = GATE.load(Acquire);
    }
}

/// Runs in the thread that forks, after the fork, in the parent.
extern "C" fn after_fork() {
    // Partner: `NoForkGuard::begin`, which stops waiting.
    GATE.fetch_sub(FORK, AcqRel);
    let own = OWN.get();
    OWN.set(Counts { forks: own.forks.saturating_sub(1), ..own });
}

/// Runs in the child, which has neither the other threads nor their guards and forks.
extern "C" fn in_child() {
    let own = OWN.get();
    let own = Counts { forks: own.forks.saturating_sub(1), ..own };
    OWN.set(own);
    // Partner: none, the child has one thread.
    GATE.store(own.forks * FORK + own.guards, Relaxed);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering::{Acquire, Release};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::{FORK, GATE, MAX_WAIT, NoForkGuard, after_fork, before_fork};

    /// Leaves a thread that fails to wait the time to show it. Far shorter than `MAX_WAIT`.
    fn leave_time_to_fail() {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(20) {
            thread::yield_now();
        }
    }

    /// Waits until the gate counts nothing; `false` if that takes too long. Other tests in this
    /// process may hold guards meanwhile, which they drop soon.
    fn wait_until_empty() -> bool {
        let begin = Instant::now();
        while GATE.load(Acquire) != 0 {
            if begin.elapsed() > 30 * MAX_WAIT {
                return false;
            }
            thread::yield_now();
        }
        true
    }

    fn wait_until(is_so: impl Fn() -> bool) {
        while !is_so() {
            thread::yield_now();
        }
    }

    /// One test: all threads share the gate.
    #[test]
    fn forks_and_guards_of_different_threads_wait_for_each_other_and_of_one_thread_do_not() {
        let begin = Instant::now();
        let own = NoForkGuard::begin();
        before_fork();
        let nested = NoForkGuard::begin();
        after_fork();
        drop((nested, own));
        before_fork();
        drop(NoForkGuard::begin());
        after_fork();
        assert!(begin.elapsed() < MAX_WAIT, "it waited for itself");
        assert!(wait_until_empty(), "a guard or a fork was not counted down");

        let (ended, forked, done) =
            (AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            let guard = NoForkGuard::begin();
            let fork = scope.spawn(|| {
                before_fork();
                let has_waited = ended.load(Acquire);
                forked.store(true, Release);
                wait_until(|| done.load(Acquire));
                after_fork();
                has_waited
            });
            wait_until(|| GATE.load(Acquire) >= FORK);
            let begin = Instant::now();
            drop(NoForkGuard::begin());
            let nested = begin.elapsed();
            leave_time_to_fail();
            ended.store(true, Release);
            drop(guard);

            wait_until(|| forked.load(Acquire));
            let other = scope.spawn(|| {
                let _guard = NoForkGuard::begin();
                done.load(Acquire)
            });
            leave_time_to_fail();
            done.store(true, Release);
            assert!(nested < MAX_WAIT, "it waited for a fork that waits for it");
            assert!(fork.join().expect("no panic"), "the fork did not wait");
            assert!(other.join().expect("no panic"), "the guard did not wait");
        });
        assert!(wait_until_empty(), "a guard or a fork was not counted down");
    }
}
