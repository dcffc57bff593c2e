//! Checks reuse of thread ids: the kernel gives the id of an ended thread to a new one, which
//! inherits nothing from it.

use std::fs;
use std::thread;
use std::time::Duration;

use rustix::thread::gettid;
use shmlock::{Error, ShmLock};
use shmlock_tests::hostile::{Apart, Solo, fork_apart};
use shmlock_tests::{alone, skipped, until};

const HERE: &str = "a lock of this process";

fn own_tid() -> i32 {
    gettid().as_raw_nonzero().get()
}

/// Runs `act` in a thread with this id, in a PID namespace of our own, where no other process
/// starts anything. Returns `None` if the id cannot be chosen.
fn in_thread_with_id<R: Send>(number: i32, act: impl FnOnce() -> R + Send) -> Option<R> {
    fs::write("/proc/sys/kernel/ns_last_pid", (number - 1).to_string()).ok()?;
    thread::scope(|scope| scope.spawn(|| (own_tid() == number).then(act)).join().expect("no panic"))
}

#[test]
fn a_thread_that_reuses_the_id_of_an_ended_thread_waits_for_its_lock_without_a_deadlock_error() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let child = fork_apart(Apart::Pids, |line| {
            let threads = || fs::read_dir("/proc/self/task").expect("/proc").count();
            let at_first = threads();
            let (lock, number) = thread::scope(|scope| {
                let first = scope.spawn(|| {
                    let lock = ShmLock::open(&name).expect(HERE);
                    lock.acquire().expect("free");
                    (lock, own_tid())
                });
                first.join().expect("no panic")
            });
            // The kernel frees the id of a thread a moment after the thread can be joined.
            until(|| threads() == at_first);
            let waited = in_thread_with_id(number, || {
                let other = ShmLock::open(&name).expect(HERE);
                other.try_lock_for(Duration::from_millis(1)).map(drop)
            });
            let Some(waited) = waited else { return line.say(0) };
            assert!(waited.as_ref().is_err_and(Error::is_timed_out), "{waited:?}");
            lock.release().expect("held");
            line.say(1);
        });
        let Some(child) = child else { return };
        if child.line().hear() == 0 {
            skipped("the id of a thread cannot be chosen here");
        }
        child.ends_well();
        fixture.visit(&name);
    });
}
