//! When may this process fork? Not while a descriptor of ours has a lock that a child's copy of it
//! would keep.
//!
//! A forked child has a copy of every descriptor, and a lock of an open file description lasts as
//! long as any copy does. At rest there is none to be kept: token and presence hang on a mapping
//! that children do not have, and the descriptor beside it has no lock (`shm.rs`). But while a
//! handle is opened, closed, or takes over from the dead, one has, for some 10 µs. If
//! another thread forked in that time the child would vouch for this process after its death; or,
//! if this process died in that very time, keep everybody from opening the name. Until it calls
//! exec or ends.
//!
//! So fork(3) waits until no other thread is in such a *stretch*, and none begins one before it is
//! done: by handlers of `pthread_atfork(3)`. They do not see a bare `clone` system call, whose
//! child may find others' stretches here for ever, and so waits for the length of [`PATIENCE`] each
//! time; nor `posix_spawn(3)`, whose child calls exec at once. Neither side waits longer than
//! [`PATIENCE`]: the rest is rare, and a fork that hangs would be worse.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::thread;
use std::time::{Duration, Instant};

use crate::sys::fork;

/// How many stretches all threads are in, and, from the bit [`FORK`] up, how many forks are under
/// way.
static GATE: AtomicU32 = AtomicU32::new(0);
const FORK: u32 = 1 << 16;
const STRETCHES: u32 = FORK - 1;

/// Far longer than a stretch or a fork takes.
const PATIENCE: Duration = Duration::from_secs(1);

thread_local! {
    /// How many of both are this thread's own. It must not wait for itself: a signal handler may have interrupted either.
    static OWN: Cell<Own> = const { Cell::new(Own { stretches: 0, forks: 0 }) };
}

#[derive(Clone, Copy)]
struct Own {
    stretches: u32,
    forks: u32,
}

/// A stretch: until it is dropped nobody forks this process.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub(crate) struct NoForkGuard(PhantomData<*const ()>);

impl NoForkGuard {
    /// Waits until forks that are under way are done. Async-signal-safe.
    pub(crate) fn begin() -> Self {
        let own = OWN.get();
        OWN.set(Own { stretches: own.stretches + 1, ..own }); // before the gate: see `before_fork`
        let mut end = None;
        let mut may_begin =
            |gate: u32| gate < FORK || own.stretches > 0 || own.forks > 0 || is_over(&mut end);
        // Partner: the forker's addition, and its load after it: whichever of us is first at this
        // one word, the other waits.
        while GATE.fetch_update(AcqRel, Acquire, |gate| may_begin(gate).then(|| gate + 1)).is_err()
        {
            thread::yield_now();
        }
        Self(PhantomData)
    }
}

impl Drop for NoForkGuard {
    fn drop(&mut self) {
        // Partner: the forker's load, which sees our unlocking.
        GATE.fetch_sub(1, AcqRel);
        let own = OWN.get();
        OWN.set(Own { stretches: own.stretches - 1, ..own });
    }
}

/// Whether the patience that began with the first call is over.
fn is_over(end: &mut Option<Instant>) -> bool {
    let now = Instant::now();
    now >= *end.get_or_insert(now + PATIENCE)
}

/// Has forks wait from now on. To be called before the first stretch that is not in a signal
/// handler.
///
/// No `Once`: a fork by another thread would leave it running in the child for ever. Threads that
/// come here for the first time at the same moment register the handlers several times. Then each
/// fork counts several times, and as often downward.
pub(crate) fn keep() {
    static KEPT: AtomicBool = AtomicBool::new(false);
    // Partner: the store below, by any thread. Acquire: a thread that sees it has the handlers
    // registered.
    if !KEPT.load(Acquire) {
        fork::at_each(before_fork, after_fork, in_child);
        KEPT.store(true, Release); // partner: the load above
    }
}

/// In the thread that forks, before.
extern "C" fn before_fork() {
    let own = OWN.get();
    OWN.set(Own { forks: own.forks + 1, ..own });
    let mut end = None;
    // Partner: the additions and subtractions of `NoForkGuard`.
    let mut gate = GATE.fetch_add(FORK, AcqRel);
    // Of our own there may be one less in the gate than we know of: a signal handler that forks
    // between the two.
    while gate & STRETCHES > own.stretches && !is_over(&mut end) {
        thread::yield_now();
        gate = GATE.load(Acquire);
    }
}

/// In the thread that has forked, in the parent.
extern "C" fn after_fork() {
    // Partner: `NoForkGuard::begin`, which goes on.
    GATE.fetch_sub(FORK, AcqRel);
    let own = OWN.get();
    OWN.set(Own { forks: own.forks.saturating_sub(1), ..own });
}

/// In the child: the other threads are not there, nor are their stretches and forks.
extern "C" fn in_child() {
    let own = OWN.get();
    let own = Own { forks: own.forks.saturating_sub(1), ..own };
    OWN.set(own);
    // Partner: none, the child has one thread.
    GATE.store(own.forks * FORK + own.stretches, Relaxed);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering::{Acquire, Release};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::{FORK, GATE, NoForkGuard, PATIENCE, after_fork, before_fork};

    /// Gives whoever does not wait, but should, the time to show it. Far less than the patience.
    fn linger() {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(20) {
            thread::yield_now();
        }
    }

    /// Returns `true` once the gate counts nothing. Tests on other threads of this process may open
    /// handles meanwhile, each of which is a stretch that ends soon.
    fn comes_to_rest() -> bool {
        let begin = Instant::now();
        while GATE.load(Acquire) != 0 {
            if begin.elapsed() > 30 * PATIENCE {
                return false;
            }
            thread::yield_now();
        }
        true
    }

    fn until(so: impl Fn() -> bool) {
        while !so() {
            thread::yield_now();
        }
    }

    /// In one test: the gate is one for all threads.
    #[test]
    fn a_fork_waits_for_the_stretches_of_others_and_they_for_it_and_nobody_for_itself() {
        let begin = Instant::now();
        let own = NoForkGuard::begin();
        before_fork();
        let nested = NoForkGuard::begin();
        after_fork();
        drop((nested, own));
        before_fork();
        drop(NoForkGuard::begin());
        after_fork();
        assert!(begin.elapsed() < PATIENCE, "it waited for itself");
        assert!(comes_to_rest(), "a stretch or a fork was not counted down");

        let (ended, forked, done) =
            (AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            let stretch = NoForkGuard::begin();
            let fork = scope.spawn(|| {
                before_fork();
                let has_waited = ended.load(Acquire);
                forked.store(true, Release);
                until(|| done.load(Acquire));
                after_fork();
                has_waited
            });
            until(|| GATE.load(Acquire) >= FORK);
            let begin = Instant::now();
            drop(NoForkGuard::begin());
            let nested = begin.elapsed();
            linger();
            ended.store(true, Release);
            drop(stretch);

            until(|| forked.load(Acquire));
            let other = scope.spawn(|| {
                let _stretch = NoForkGuard::begin();
                done.load(Acquire)
            });
            linger();
            done.store(true, Release);
            assert!(nested < PATIENCE, "it waited for a fork that waits for it");
            assert!(fork.join().expect("no panic"), "the fork did not wait");
            assert!(other.join().expect("no panic"), "the stretch did not wait");
        });
        assert!(comes_to_rest(), "a stretch or a fork was not counted down");
    }
}
