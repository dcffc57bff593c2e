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
//! once, nor at a bare `clone` system call. No side waits longer than [`MAX_WAIT`]: a fork that
//! hangs would be worse than a lock that is inherited in a rare case.
//!
//! A child inherits the numbers of guards and forks, whatever made it, and may continue in the
//! middle of a guard, if a signal handler forked. So the numbers are those of one process
//! generation (`sys/fork.rs`): each other process has none, and takes nothing from them.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread;
use std::time::{Duration, Instant};

use crate::sys::fork::{self, ProcessGeneration};

static GATE: Gate = Gate(AtomicU64::new(0));

/// The number of guards of all threads, and, from the bit [`FORK`] up, the number of forks under
/// way; in the high half the generation of the process whose numbers these are.
struct Gate(AtomicU64);

const FORK: u32 = 1 << 16;
const GUARDS: u32 = FORK - 1;

/// The longest wait for the other side. Arbitrary: far longer than a guard or a fork lasts.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// Returns the numbers in this word, if they are of this generation; otherwise 0.
#[expect(clippy::cast_possible_truncation, reason = "one half of it")]
fn numbers(gate: u64, generation: u32) -> u32 {
    if (gate >> 32) as u32 == generation { gate as u32 } else { 0 }
}

impl Gate {
    /// Returns the numbers of this generation.
    fn read(&self, generation: u32) -> u32 {
        // Partner: the additions and subtractions by other threads.
        numbers(self.0.load(Acquire), generation)
    }

    /// Adds to the numbers of this generation, once they are admitted. Does nothing in a process
    /// of another: `generation` is of an ancestor, which a signal handler has forked since.
    fn add(&self, amount: u32, generation: u32, mut admits: impl FnMut(u32) -> bool) {
        let is_ours = || fork::present_generation() == generation;
        let mut added = |gate| {
            let numbers = numbers(gate, generation);
            (is_ours() && admits(numbers))
                .then(|| u64::from(generation) << 32 | u64::from(numbers + amount))
        };
        // Partner: the same by other threads. One word orders a guard and a fork: the later of the
        // two threads waits.
        while self.0.fetch_update(AcqRel, Acquire, &mut added).is_err() && is_ours() {
            thread::yield_now();
        }
    }

    /// Subtracts from the numbers of this generation, unless they are another's by now.
    fn subtract(&self, amount: u32, generation: u32) {
        let less = |gate| (numbers(gate, generation) >= amount).then(|| gate - u64::from(amount));
        // Partner: the loads by other threads, which see our byte as unlocked, or the fork as done.
        let _ = self.0.fetch_update(AcqRel, Relaxed, less);
    }
}

thread_local! {
    /// This thread's part of both numbers. A thread must not wait for itself: a signal handler may
    /// have interrupted either.
    static OWN: Cell<Counts> = const { Cell::new(Counts { generation: 0, guards: 0, forks: 0 }) };
}

#[derive(Clone, Copy)]
struct Counts {
    /// The process whose numbers these are.
    generation: u32,
    guards: u32,
    forks: u32,
}

impl Counts {
    /// Returns this thread's numbers in the process with this generation.
    fn own(generation: u32) -> Self {
        let own = OWN.get();
        if own.generation == generation { own } else { Self { generation, guards: 0, forks: 0 } }
    }
}

/// Keeps other threads from forking this process until it is dropped, for [`MAX_WAIT`] at most.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub(crate) struct NoForkGuard {
    /// The process in which it began.
    generation: u32,
    of_this_thread: PhantomData<*const ()>,
}

impl NoForkGuard {
    /// Waits until forks of other threads are done, for [`MAX_WAIT`] at most. Async-signal-safe
    /// once a handle was opened.
    pub(crate) fn begin() -> Self {
        let mut deadline = None;
        Self::begin_once(|is_forking| !is_forking || check_deadline(&mut deadline))
    }

    /// Returns `None`, without waiting, if another thread forks. Async-signal-safe once a handle was
    /// opened.
    pub(crate) fn try_begin() -> Option<Self> {
        let mut must_wait = false;
        let guard = Self::begin_once(|is_forking| {
            must_wait = is_forking;
            true
        });
        (!must_wait).then_some(guard)
    }

    /// Begins a guard once it is admitted, by whether another thread forks.
    fn begin_once(mut admits: impl FnMut(bool) -> bool) -> Self {
        let generation = ProcessGeneration::here().generation();
        let own = Counts::own(generation);
        OWN.set(Counts { guards: own.guards + 1, ..own }); // before the gate: see `before_fork`
        GATE.add(1, generation, |numbers| {
            admits(numbers >= FORK && own.guards == 0 && own.forks == 0)
        });
        Self { generation, of_this_thread: PhantomData }
    }
}

impl Drop for NoForkGuard {
    fn drop(&mut self) {
        let own = Counts::own(self.generation);
        // None, in a child that a signal handler forked while the guard began.
        if own.guards > 0 {
            GATE.subtract(1, self.generation);
            OWN.set(Counts { guards: own.guards - 1, ..own });
        }
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
        fork::run_around_forks(before_fork, after_fork);
        REGISTERED.store(true, Release); // partner: the load above
    }
}

/// Runs in the thread that forks, before the fork.
extern "C" fn before_fork() {
    let generation = ProcessGeneration::here().generation();
    let own = Counts::own(generation);
    OWN.set(Counts { forks: own.forks + 1, ..own });
    GATE.add(FORK, generation, |_| true);
    let mut deadline = None;
    // The gate may count one guard less of this thread than `own`: a signal handler may fork
    // between the two additions.
    while GATE.read(generation) & GUARDS > own.guards && !check_deadline(&mut deadline) {
        thread::yield_now();
    }
}

/// Runs in the thread that forks, after the fork, in the parent.
extern "C" fn after_fork() {
    let generation = ProcessGeneration::here().generation();
    let own = Counts::own(generation);
    // None, in a child that a signal handler forked while the fork began.
    if own.forks > 0 {
        GATE.subtract(FORK, generation);
        OWN.set(Counts { forks: own.forks - 1, ..own });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::{Acquire, Release};
    use std::sync::atomic::{AtomicBool, AtomicU64};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::{FORK, GATE, Gate, MAX_WAIT, NoForkGuard, after_fork, before_fork};
    use crate::sys::fork::ProcessGeneration;

    fn numbers() -> u32 {
        GATE.read(ProcessGeneration::here().generation())
    }

    /// Leaves a thread that fails to wait the time to show it. Far shorter than `MAX_WAIT`.
    fn leave_time_to_fail() {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(20) {
            thread::yield_now();
        }
    }

    fn wait_until(is_so: impl Fn() -> bool) {
        while !is_so() {
            thread::yield_now();
        }
    }

    /// Returns `true` if this ends before a wait gives up. One step at a time, so that the pauses
    /// of a busy machine do not add up.
    fn is_soon(step: impl FnOnce()) -> bool {
        let begin = Instant::now();
        step();
        begin.elapsed() < MAX_WAIT
    }

    /// Alone, because all threads of a process share the gate.
    #[test]
    fn forks_and_guards_of_different_threads_wait_for_each_other_and_of_one_thread_do_not() {
        shmlock_tests::alone!(|| {
            let (mut own, mut nested) = (None, None);
            assert!(is_soon(|| own = Some(NoForkGuard::begin())), "it waited for nothing");
            assert!(NoForkGuard::try_begin().is_some(), "nobody forks");
            assert!(is_soon(|| before_fork()), "it waited for its own guard");
            assert!(is_soon(|| nested = Some(NoForkGuard::begin())), "it waited for its own fork");
            after_fork();
            drop((nested, own));
            assert!(is_soon(|| before_fork()), "it waited for guards that were dropped");
            assert!(is_soon(|| drop(NoForkGuard::begin())), "it waited for its own fork");
            after_fork();
            assert_eq!(numbers(), 0, "a guard or a fork was not counted down");

            let (ended, forked, done) =
                (AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(false));
            thread::scope(|scope| {
                let guard = NoForkGuard::begin();
                let fork = scope.spawn(|| {
                    let has_given_up = !is_soon(|| before_fork());
                    let has_waited = ended.load(Acquire) || has_given_up;
                    forked.store(true, Release);
                    wait_until(|| done.load(Acquire));
                    after_fork();
                    has_waited
                });
                wait_until(|| numbers() >= FORK);
                let is_nested = is_soon(|| drop(NoForkGuard::begin()));
                leave_time_to_fail();
                ended.store(true, Release);
                drop(guard);

                wait_until(|| forked.load(Acquire));
                let is_refused = NoForkGuard::try_begin().is_none();
                let other = scope.spawn(|| {
                    let mut guard = None;
                    let has_given_up = !is_soon(|| guard = Some(NoForkGuard::begin()));
                    done.load(Acquire) || has_given_up
                });
                leave_time_to_fail();
                done.store(true, Release);
                assert!(is_refused, "it began while another thread forks");
                assert!(is_nested, "it waited for a fork that waits for it");
                assert!(fork.join().expect("no panic"), "the fork did not wait");
                assert!(other.join().expect("no panic"), "the guard did not wait");
            });
            assert_eq!(numbers(), 0, "a guard or a fork was not counted down");
        });
    }

    #[test]
    fn numbers_of_an_ancestor_count_for_nothing_and_stay_as_they_are() {
        let here = ProcessGeneration::here().generation();
        let ancestor = here.wrapping_add(1);
        let gate = Gate(AtomicU64::new(u64::from(ancestor) << 32 | u64::from(FORK + 2)));
        assert_eq!(gate.read(here), 0);
        gate.subtract(1, here);
        gate.add(1, ancestor, |_| true);
        assert_eq!((gate.read(ancestor), gate.read(here)), (FORK + 2, 0));
        gate.add(FORK, here, |numbers| numbers == 0);
        gate.subtract(1, ancestor);
        gate.add(1, here, |_| true);
        gate.subtract(FORK, here);
        assert_eq!((gate.read(ancestor), gate.read(here)), (0, 1));
        gate.subtract(FORK, here);
        assert_eq!(gate.read(here), 1, "no number is borrowed from the other");
    }
}
