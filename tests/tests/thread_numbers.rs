//! The kernel gives the number of a thread that has ended to another. That one has nothing of the
//! first.

use std::fs;
use std::thread;
use std::time::Duration;

use rustix::thread::gettid;
use shmlock::{Error, ShmLock};
use shmlock_tests::hostile::{Apart, Solo, fork_apart};
use shmlock_tests::{alone, skipped};

const HERE: &str = "a lock of this process";

fn own_number() -> i32 {
    gettid().as_raw_nonzero().get()
}

/// Runs `act` in a thread that has this number; `None` if it cannot be had. In a pid namespace of
/// our own, where nobody else starts anything.
fn in_thread_numbered<R: Send>(number: i32, act: impl FnOnce() -> R + Send) -> Option<R> {
    fs::write("/proc/sys/kernel/ns_last_pid", (number - 1).to_string()).ok()?;
    thread::scope(|scope| {
        scope.spawn(|| (own_number() == number).then(act)).join().expect("no panic")
    })
}

#[test]
fn a_thread_with_the_number_of_one_that_has_ended_waits_for_what_that_one_took_and_is_no_deadlock()
{
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let child = fork_apart(Apart::Pids, |line| {
            let (lock, number) = thread::scope(|scope| {
                let taker = scope.spawn(|| {
                    let lock = ShmLock::open(&name).expect(HERE);
                    lock.acquire().expect("free");
                    (lock, own_number())
                });
                taker.join().expect("no panic")
            });
            let waited = in_thread_numbered(number, || {
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
            skipped("a thread with a number of our choice cannot be had");
        }
        child.ends_well();
        fixture.visit(&name);
    });
}
