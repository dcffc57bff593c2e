//! Checks that waiting for a lock that stands still costs next to nothing: a process wakes once a
//! second, however many of its threads and tasks wait.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread;
use std::time::{Duration, Instant};

use shmlock::{ExitEvent, WaitStrategy};
use shmlock_tests::hostile::{Folder, Intruder, Solo, fork};
use shmlock_tests::{Capability, alone, can, proc, until};

const HERE: &str = "a lock";
const WINDOW: Duration = Duration::from_secs(3);

/// Runs `wait` in a process of its own, while another holds the lock, and checks the wake-ups of
/// that process once it watches.
fn wakes_once_a_second(wait: impl Fn(&Folder)) {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let holder = folder.lock("l").open().expect(HERE);
    let guard = holder.lock().expect("free");
    let file = Intruder::on(&folder.file("l"));
    let process = fork(|_| wait(&folder));
    until(|| file.watchers() == 1);
    let pid = process.pid().unsigned_abs();
    proc::comes_to_rest(pid);
    proc::wakes_once_a_second(pid, WINDOW);
    drop(guard);
    process.ends_well();
}

#[test]
fn a_process_whose_thread_waits_wakes_once_a_second() {
    alone!(|| {
        wakes_once_a_second(|folder| drop(folder.lock("l").open().expect(HERE).lock()));
    });
}

#[test]
fn a_process_with_a_hundred_waiting_threads_wakes_once_a_second() {
    alone!(|| {
        wakes_once_a_second(|folder| {
            thread::scope(|scope| {
                for _ in 0..100 {
                    scope.spawn(|| drop(folder.lock("l").open().expect(HERE).lock()));
                }
            });
        });
    });
}

#[test]
fn a_process_with_a_hundred_waiting_tasks_wakes_once_a_second() {
    if !can(Capability::SleepOnTwoWords) {
        return; // it wakes at its interval
    }
    alone!(|| {
        wakes_once_a_second(|folder| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("one");
            let tasks = tokio::task::LocalSet::new();
            let handles: Vec<_> = (0..100).map(|_| folder.lock("l").open().expect(HERE)).collect();
            for lock in handles {
                tasks
                    .spawn_local(async move { drop(lock.lock_async().await.expect("in the end")) });
            }
            runtime.block_on(tasks);
        });
    });
}

#[test]
fn a_process_that_waits_for_a_lock_or_an_exit_event_wakes_once_a_second() {
    if !can(Capability::SleepOnTwoWords) {
        return; // it wakes at its interval
    }
    alone!(|| {
        wakes_once_a_second(|folder| {
            let lock = folder.lock("l").exit_event(&ExitEvent::new()).open().expect(HERE);
            drop(lock.lock());
        });
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
        until(|| proc::sleeps_of_all_threads(pid) >= before + 10);
        assert_eq!(Intruder::on(&folder.file("l")).watchers(), 0);
        assert_eq!(threads(), at_first);
        drop(guard);
        process.ends_well();
    });
}

/// Sets the flag when it is dropped.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Opens and closes the lock, which may not have to wait for the process that watches it. Then does
/// so with its file, which is an event as well and takes little time. Returns the number of events.
fn disturb(folder: &Folder) -> u64 {
    const CLOSES: u64 = 30;
    drop(folder.lock("l").open_timeout(Duration::ZERO).open().expect("no closer is in the way"));
    (0..CLOSES).for_each(|_| drop(Intruder::on(&folder.file("l"))));
    1 + CLOSES
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
        let (is_over, events) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            let _end = Ends(&is_over); // also when a check fails
            let storm = scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    events.fetch_add(disturb(&folder), Relaxed);
                }
            });
            // On a busy machine a window may have no storm.
            until(|| {
                let (begin, sleeps) = (Instant::now(), proc::sleeps_of_all_threads(pid));
                let before = events.load(Relaxed);
                thread::sleep(WINDOW); // the window
                let sleeps = proc::sleeps_of_all_threads(pid) - sleeps;
                let events = events.load(Relaxed) - before;
                let most = 300 * begin.elapsed().as_secs();
                assert!(sleeps <= most, "{sleeps} sleeps for {events} events");
                events > most || storm.is_finished()
            });
            is_over.store(true, Relaxed);
            storm.join().expect("no opening failed");
        });
        drop(guard);
        process.ends_well();
    });
}
