//! Checks forks of one thread while another opens its first lock: half-made state that the child
//! inherits does not keep it from its own locks.

#![allow(unsafe_code, reason = "fork, waitpid and alarm")]

use std::hint::spin_loop;
use std::sync::Barrier;
use std::thread;

use shmlock::{ExitEvent, ShmLock};
use shmlock_tests::hostile::{Solo, end_process, fork};
use shmlock_tests::{Capability, TestWaker, alone, bound, can, poll, rounds};

/// Opens, locks, waits in a task and closes: the calls that may find state of the parent's other
/// threads.
fn live(name: &str, event: &str) {
    let event = ExitEvent::named(event).expect("an event of its own");
    let lock = ShmLock::builder(name).exit_event(&event).open().expect("a lock of its own");
    let other = ShmLock::open(name).expect("another handle");
    let guard = lock.lock().expect("free");
    let waker = TestWaker::new();
    let mut waiting = other.lock_async();
    assert!(poll(&mut waiting, &waker).is_pending());
    drop(guard);
    drop(waiting);
    drop(other.lock().expect("free"));
}

/// Forks a child that runs [`live`] on names of its own, bounded by an alarm. Returns `true` if it
/// ended with status 0.
fn forks_a_child_that_lives(name: &str) -> bool {
    // SAFETY: the child uses what a program may use after such a fork: our library, and the
    // allocator, which libc keeps whole.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: alarm(2) with a number.
        unsafe { libc::alarm(u32::try_from(bound().as_secs() / 4).expect("a short time")) };
        let own = std::process::id();
        live(&format!("{name}-{own}"), &format!("{name}-{own}"));
        end_process::at_once(0);
    }
    let mut status = 0;
    // SAFETY: a valid pointer; waitpid(2) checks the number.
    pid > 0 && unsafe { libc::waitpid(pid, &raw mut status, 0) } == pid && status == 0
}

/// In the names of what the parents open.
const OPENER: &str = "opener";

/// Runs each round in a fresh process that has opened nothing: two threads open while two fork.
/// Their children have no copy that keeps a closed lock in use, so its file is removed.
fn run(open: fn(&str)) {
    const EACH: u64 = 2;
    let fixture = Solo::new();
    let name = fixture.name("l");
    for round in 0..rounds(150) {
        let process = fork(|_| {
            // At its start and its end a thread has a mutex of the standard library, which a child
            // that starts a thread asks for: all forks are between the barriers.
            let (start, end) = (Barrier::new(2 * 2), Barrier::new(2 * 2));
            let (start, end, name) = (&start, &end, &name);
            thread::scope(|scope| {
                let forkers: Vec<_> = (0..EACH)
                    .map(|number| {
                        // A different moment of the opening in each round.
                        let late = round * 37 % 211 * (number + 1);
                        scope.spawn(move || {
                            start.wait();
                            (0..late).for_each(|_| spin_loop());
                            let lived = forks_a_child_that_lives(name);
                            end.wait();
                            lived
                        })
                    })
                    .collect();
                for number in 0..EACH {
                    scope.spawn(move || {
                        start.wait();
                        open(&format!("{name}-{OPENER}-{number}"));
                        end.wait();
                    });
                }
                let lived = forkers.into_iter().all(|forker| forker.join().expect("no panic"));
                assert!(lived, "round {round}: a child failed or hung");
            });
        });
        process.ends_well();
        let mut left = fixture.files();
        left.retain(|file| file.contains(OPENER));
        assert!(left.is_empty(), "round {round}: a child kept {left:?} in use");
    }
}

#[test]
fn a_child_forked_while_another_thread_opens_its_first_lock_can_open_and_lock_its_own() {
    if !can(Capability::KeepMemoryFromChildren) {
        return;
    }
    alone!(|| run(|name| drop(ShmLock::open(name).expect("a lock"))));
}

#[test]
fn a_child_forked_while_other_threads_wait_in_tasks_and_close_can_do_the_same() {
    if !can(Capability::KeepMemoryFromChildren) {
        return;
    }
    alone!(|| run(|name| live(name, name)));
}
