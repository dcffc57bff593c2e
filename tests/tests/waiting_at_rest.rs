//! Checks that waiting for a lock that stands still costs next to nothing: a process wakes once a
//! second, however many of its threads and tasks wait.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use shmlock::{ExitEvent, WaitStrategy};
use shmlock_tests::hostile::{Child, Folder, Intruder, Solo, fork};
use shmlock_tests::{Capability, alone, can, proc, until};

const HERE: &str = "a lock";
const WINDOW: Duration = Duration::from_secs(3);
/// A wake-up a second, one more at an end of the window, and as many again for what else the
/// system may do to a thread.
const SLEEPS_AT_REST: u64 = 8;

/// Returns how often the threads of the process went to sleep in the window.
fn sleeps_in_window(process: &Child) -> u64 {
    let pid = process.pid().unsigned_abs();
    proc::comes_to_rest(pid);
    let before = proc::sleeps_of_all_threads(pid);
    thread::sleep(WINDOW); // the window
    proc::sleeps_of_all_threads(pid) - before
}

/// Runs `wait` in a process of its own, while another holds the lock, and until one watches it.
/// Returns its sleeps.
fn at_rest(wait: impl Fn(&Folder)) -> u64 {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let holder = folder.lock("l").open().expect(HERE);
    let guard = holder.lock().expect("free");
    let file = Intruder::on(&folder.file("l"));
    let process = fork(|_| wait(&folder));
    until(|| file.watchers() == 1);
    let sleeps = sleeps_in_window(&process);
    drop(guard);
    process.ends_well();
    sleeps
}

#[test]
fn a_process_whose_thread_waits_wakes_once_a_second() {
    alone!(|| {
        let sleeps = at_rest(|folder| drop(folder.lock("l").open().expect(HERE).lock()));
        assert!(sleeps <= SLEEPS_AT_REST, "{sleeps} in {WINDOW:?}");
    });
}

#[test]
fn a_process_with_a_hundred_waiting_threads_wakes_once_a_second() {
    alone!(|| {
        let sleeps = at_rest(|folder| {
            thread::scope(|scope| {
                for _ in 0..100 {
                    scope.spawn(|| drop(folder.lock("l").open().expect(HERE).lock()));
                }
            });
        });
        assert!(sleeps <= SLEEPS_AT_REST, "{sleeps} in {WINDOW:?}");
    });
}

#[test]
fn a_process_with_a_hundred_waiting_tasks_wakes_once_a_second() {
    if !can(Capability::SleepOnTwoWords) {
        return; // it wakes at its interval
    }
    alone!(|| {
        let sleeps = at_rest(|folder| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("one");
            let tasks = tokio::task::LocalSet::new();
            let handles: Vec<_> = (0..100).map(|_| folder.lock("l").open().expect(HERE)).collect();
            for lock in handles {
                tasks
                    .spawn_local(async move { drop(lock.lock_async().await.expect("in the end")) });
            }
            runtime.block_on(tasks);
        });
        assert!(sleeps <= SLEEPS_AT_REST, "{sleeps} in {WINDOW:?}");
    });
}

#[test]
fn a_process_that_waits_for_a_lock_or_an_exit_event_wakes_once_a_second() {
    if !can(Capability::SleepOnTwoWords) {
        return; // it wakes at its interval
    }
    alone!(|| {
        let sleeps = at_rest(|folder| {
            let lock = folder.lock("l").exit_event(&ExitEvent::new()).open().expect(HERE);
            drop(lock.lock());
        });
        assert!(sleeps <= SLEEPS_AT_REST, "{sleeps} in {WINDOW:?}");
    });
}

/// It asked for that. And so the other tests can fail.
#[test]
fn a_process_that_polls_wakes_at_its_interval_and_starts_no_thread() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let holder = folder.lock("l").open().expect(HERE);
        let guard = holder.lock().expect("free");
        let process = fork(|line| {
            let lock = folder.lock("l").wait_strategy(WaitStrategy::SleepPolling);
            let lock = lock.open().expect(HERE);
            line.ready();
            drop(lock.lock());
        });
        process.line().wait();
        let pid = process.pid().unsigned_abs();
        let threads = || std::fs::read_dir(format!("/proc/{pid}/task")).expect("it lives").count();
        let at_first = threads(); // an emulator has one of its own
        let before = proc::sleeps_of_all_threads(pid);
        until(|| proc::sleeps_of_all_threads(pid) >= before + SLEEPS_AT_REST + 2);
        assert_eq!(Intruder::on(&folder.file("l")).watchers(), 0);
        assert_eq!(threads(), at_first);
        drop(guard);
        process.ends_well();
    });
}

/// Each open and close by others is an event that may be a death.
#[test]
fn a_process_that_waits_while_others_open_and_close_all_the_time_wakes_at_a_bounded_rate() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let holder = folder.lock("l").open().expect(HERE);
        let guard = holder.lock().expect("free");
        let file = Intruder::on(&folder.file("l"));
        let process = fork(|_| drop(folder.lock("l").open().expect(HERE).lock()));
        until(|| file.watchers() == 1);
        let pid = process.pid().unsigned_abs();
        let is_over = AtomicBool::new(false);
        let (sleeps, opened) = thread::scope(|scope| {
            let opener = scope.spawn(|| {
                let mut opened = 0_u64;
                while !is_over.load(Relaxed) {
                    drop(folder.lock("l").open().expect(HERE));
                    opened += 1;
                }
                opened
            });
            let before = proc::sleeps_of_all_threads(pid);
            thread::sleep(WINDOW); // the window
            let sleeps = proc::sleeps_of_all_threads(pid) - before;
            is_over.store(true, Relaxed);
            (sleeps, opener.join().expect("no panic"))
        });
        let most = 300 * WINDOW.as_secs();
        assert!(opened > most, "the machine is too slow for a storm: {opened}");
        assert!(sleeps <= most, "{sleeps} sleeps for {opened} openings in {WINDOW:?}");
        drop(guard);
        process.ends_well();
    });
}
