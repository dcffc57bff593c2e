//! Checks the only waiter of a process while two other processes watch: it has no watch thread, and
//! misses nothing. The poll interval is an hour unless the tick is to be seen.

use std::fs;
use std::thread;
use std::time::Duration;

use shmlock::{Error, ShmLock};
use shmlock_tests::hostile::{Child, Folder, Intruder, Solo, fork};
use shmlock_tests::{alone, proc, until};

const HERE: &str = "a lock";
const HOUR: Duration = Duration::from_secs(3600);
/// Longer than a waiter does without a thread once the lock has changed hands.
const WINDOW: Duration = Duration::from_secs(7);

fn open(folder: &Folder, interval: Duration) -> ShmLock {
    folder.lock("l").poll_interval(interval).open().expect(HERE)
}

/// Forks a process that waits for the lock once.
fn waiter(folder: &Folder, interval: Duration) -> Child {
    fork(|_| {
        let lock = open(folder, interval);
        let guard = lock.lock().expect("in the end");
        if guard.recovered().is_some() {
            guard.declare_consistent().expect("held");
        }
    })
}

/// Starts two processes that watch, one after the other: that is the order in which they sleep.
fn watchers(folder: &Folder, file: &Intruder) -> [Child; 2] {
    [1, 2].map(|count| {
        let process = waiter(folder, HOUR);
        until(|| file.watchers() == count);
        proc::comes_to_rest(pid(&process));
        process
    })
}

fn all_end_well(processes: [Child; 2]) {
    for process in processes {
        process.ends_well();
    }
}

fn pid(process: &Child) -> u32 {
    process.pid().unsigned_abs()
}

/// Waits until the process sleeps on a word and has settled.
fn falls_asleep(process: &Child) {
    proc::falls_asleep_on_a_word(pid(process));
    proc::comes_to_rest(pid(process));
}

#[test]
fn while_two_processes_watch_the_only_waiter_of_a_third_has_no_thread_and_is_woken() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let owner = fork(|line| {
            let lock = open(&folder, HOUR);
            let _guard = lock.lock().expect("free");
            line.ready();
            thread::sleep(HOUR); // until it is killed
        });
        owner.line().wait();
        let file = Intruder::on(&folder.file("l"));
        let watchers = watchers(&folder, &file);
        let third = waiter(&folder, HOUR);
        falls_asleep(&third);
        assert!(!proc::has_watch_thread(pid(&third)));
        drop(owner); // kills it
        all_end_well(watchers);
        third.ends_well();
    });
}

#[test]
fn the_removal_of_the_file_wakes_a_waiter_without_a_thread() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let holder = open(&folder, HOUR);
        let guard = holder.lock().expect("free");
        let file = Intruder::on(&folder.file("l"));
        let _watchers = watchers(&folder, &file); // killed when dropped
        let third = fork(|_| {
            let error = open(&folder, HOUR).lock().expect_err("held");
            assert!(matches!(error, Error::Orphaned { .. }), "{error}");
        });
        falls_asleep(&third);
        assert!(!proc::has_watch_thread(pid(&third)));
        fs::remove_file(folder.file("l")).expect("ours");
        third.ends_well();
        drop(guard);
    });
}

/// The waits of a process have one safety timer.
#[test]
fn the_second_waiter_of_a_process_has_the_thread_started() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let holder = open(&folder, HOUR);
        let guard = holder.lock().expect("free");
        let file = Intruder::on(&folder.file("l"));
        let watchers = watchers(&folder, &file);
        let third = fork(|line| {
            thread::scope(|scope| {
                scope.spawn(|| drop(open(&folder, HOUR).lock().expect("in the end")));
                line.wait();
                scope.spawn(|| drop(open(&folder, HOUR).lock().expect("in the end")));
            });
        });
        proc::comes_to_rest(pid(&third));
        assert!(!proc::has_watch_thread(pid(&third)));
        third.line().ready();
        until(|| proc::has_watch_thread(pid(&third)));
        drop(guard);
        all_end_well(watchers);
        third.ends_well();
    });
}

#[test]
fn while_the_lock_stands_still_a_waiter_wakes_once_a_second_and_has_no_thread() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let holder = open(&folder, HOUR);
        let guard = holder.lock().expect("free");
        let file = Intruder::on(&folder.file("l"));
        let watchers = watchers(&folder, &file);
        let third = waiter(&folder, Duration::from_millis(50));
        falls_asleep(&third);
        proc::wakes_once_a_second(pid(&third), WINDOW);
        assert!(!proc::has_watch_thread(pid(&third)));
        drop(guard);
        all_end_well(watchers);
        third.ends_well();
    });
}

#[test]
fn a_waiter_has_a_thread_in_the_end_if_the_lock_changes_hands_meanwhile() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let [first, second] = [1, 2].map(|_| open(&folder, HOUR));
        let guard = first.lock().expect("free");
        let file = Intruder::on(&folder.file("l"));
        let watchers = watchers(&folder, &file);
        let third = waiter(&folder, Duration::from_millis(50));
        falls_asleep(&third);
        assert!(!proc::has_watch_thread(pid(&third)));
        // The release wakes a process that is stopped, so the next handle gets the lock.
        let all = || watchers.iter().chain([&third]);
        all().for_each(Child::stop);
        drop(guard);
        let guard = second.try_lock().expect(HERE).expect("no process took it");
        all().for_each(|process| process.signal(libc::SIGCONT));
        until(|| proc::has_watch_thread(pid(&third)));
        drop(guard);
        all_end_well(watchers);
        third.ends_well();
    });
}

#[test]
fn many_waits_without_a_thread_one_after_the_other_start_none() {
    const WAITS: usize = 200;
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let holder = open(&folder, HOUR);
        let guard = holder.lock().expect("free");
        let file = Intruder::on(&folder.file("l"));
        let watchers = watchers(&folder, &file);
        let third = fork(|_| {
            let own = std::process::id();
            for _ in 0..WAITS {
                let lock = open(&folder, HOUR);
                let error = lock.try_lock_for(Duration::from_millis(3));
                assert!(error.expect_err("it is held").is_timed_out());
                assert!(!proc::has_watch_thread(own));
            }
        });
        third.ends_well();
        drop(guard);
        all_end_well(watchers);
    });
}
