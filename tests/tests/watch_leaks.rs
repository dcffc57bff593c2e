//! Checks that many waits leave nothing behind: no thread, no descriptor in any table, no inotify
//! instance, no watch, no slot.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use shmlock::ShmLock;
use shmlock_tests::hostile::{Folder, Intruder, Solo, fork};
use shmlock_tests::{Capability, alone, can, proc, rounds, until};

const HERE: &str = "a lock";

/// Returns the threads and the descriptors of this process.
fn possessions() -> (usize, usize) {
    let threads = std::fs::read_dir("/proc/self/task").expect("/proc").count();
    (threads, proc::descriptors_of_threads(std::process::id()).len())
}

/// Each wait lasts so long that it is registered. `SHMLOCK_WATCH_WAITS` sets their number.
#[test]
fn many_waits_leave_no_thread_no_descriptor_and_no_slot_behind() {
    alone!(|| {
        const THREADS: u64 = 20;
        let waits = std::env::var("SHMLOCK_WATCH_WAITS")
            .map_or(2000, |waits| waits.parse().expect("a number"));
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let holder = folder.lock("l").open().expect(HERE);
        let guard = holder.lock().expect("free");
        let file = Intruder::on(&folder.file("l"));
        let before = possessions();
        let (waited, is_seen) = (AtomicU64::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    // They go on until the watch has been seen, which takes a busy machine long.
                    while waited.fetch_add(1, Relaxed) < rounds(waits) || !is_seen.load(Relaxed) {
                        let lock = folder.lock("l").open().expect(HERE);
                        let error = lock.try_lock_for(Duration::from_millis(3));
                        assert!(error.expect_err("it is held").is_timed_out());
                    }
                });
            }
            until(|| file.watchers() == 1);
            let instances = || proc::inotify_instances(std::process::id());
            until(|| instances() == 1 || waited.load(Relaxed) > rounds(waits));
            let seen = instances();
            is_seen.store(true, Relaxed); // partner: the loads of the waiting threads
            assert!(seen <= 1, "{seen} instances");
        });
        until(|| file.watchers() == 0);
        until(|| possessions() == before);
        drop(guard);
    });
}

/// Locks come and go while the thread lives.
#[test]
fn a_thread_that_watches_many_locks_in_turn_keeps_none_of_them() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let before = possessions();
        for round in 0..rounds(40) {
            let name = format!("l{round}");
            let open = || folder.lock(&name).open().expect(HERE);
            let holder = open();
            let guard = holder.lock().expect("free");
            let file = Intruder::on(&folder.file(&name));
            thread::scope(|scope| {
                let waiting = scope.spawn(|| drop(open().lock().expect("released")));
                until(|| file.watchers() == 1);
                drop(guard);
                waiting.join().expect("no panic");
            });
        }
        until(|| possessions() == before);
        assert!(folder.names().is_empty(), "{:?}", folder.names());
    });
}

#[test]
fn a_forked_child_has_nothing_of_the_watch_and_can_wait_itself() {
    if !can(Capability::ForkDuringCalls) {
        return;
    }
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let open = || -> ShmLock { folder.lock("l").open().expect(HERE) };
        let holder = open();
        let guard = holder.lock().expect("free");
        let file = Intruder::on(&folder.file("l"));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| drop(open().lock().expect("released")));
            until(|| file.watchers() == 1);
            let child = fork(|line| {
                let (threads, _) = possessions();
                let instances = proc::inotify_instances(std::process::id());
                assert_eq!((threads, instances), (1, 0), "inherited from the parent");
                line.ready();
                drop(open().lock().expect("released"));
            });
            child.line().wait();
            until(|| file.watchers() == 2); // parent and child
            drop(guard);
            waiting.join().expect("no panic");
            child.ends_well();
        });
    });
}
