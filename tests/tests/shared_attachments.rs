//! Attacks attachments that handles share: forks, leaked guards, truncated and removed files.

#![allow(unsafe_code, reason = "fork, affinity and scheduling in libc")]

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use std::{fs, mem, thread};

use shmlock::ShmLock;
use shmlock_tests::hostile::{Folder, Intruder, Solo, fork};
use shmlock_tests::{alone, proc, skipped, until};

const HOUR: Duration = Duration::from_secs(3600);

fn open(folder: &Folder) -> ShmLock {
    folder.lock("l").poll_interval(HOUR).open().expect("a lock")
}

fn descriptors_of(file: &Path) -> usize {
    let entries = fs::read_dir("/proc/self/fd").expect("/proc").flatten();
    entries.filter(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == file)).count()
}

/// Binds this thread, and those that it starts, to one processor.
fn stay_on_one_processor() {
    // SAFETY: plain data, for which all zero is valid.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: a number below the size of the set.
    unsafe { libc::CPU_SET(0, &mut set) };
    // SAFETY: a valid pointer.
    let bound = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    if bound != 0 {
        skipped("one processor for all threads");
    }
}

/// Lets this thread run as soon as it is woken.
fn run_first() {
    // SAFETY: plain integers, for which all zero is valid. Some C libraries have more than one.
    let mut first: libc::sched_param = unsafe { mem::zeroed() };
    first.sched_priority = 1;
    // SAFETY: a valid pointer.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const first) } != 0 {
        skipped("a thread that runs as soon as it is woken");
    }
}

/// The waiter proves the death by the same descriptor. It runs at the wake, before the waker does
/// anything else; and nothing else wakes it.
#[test]
fn a_waiter_on_the_same_attachment_recovers_from_a_closed_handle_with_a_leaked_guard() {
    alone!(|| {
        stay_on_one_processor();
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let _many: Vec<_> = (0..80).map(|_| open(&folder)).collect();
        let file = Intruder::on(&folder.file("l"));
        for _ in 0..5 {
            let (last, lock) = (open(&folder), open(&folder));
            mem::forget(last.lock().expect("free"));
            thread::scope(|scope| {
                scope.spawn(move || {
                    run_first();
                    let guard = lock.lock().expect("in the end");
                    assert!(guard.recovered().is_some());
                    guard.declare_consistent().expect("held");
                });
                until(|| last.status().expect("ours").waiters && file.watchers() == 1);
                drop(last);
            });
        }
    });
}

#[test]
fn a_child_forked_while_a_further_handle_is_opened_inherits_no_stray_descriptor() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let many: Vec<_> = (0..80).map(|_| open(&folder)).collect();
        let file = folder.file("l");
        let base = descriptors_of(&file);
        let stop = AtomicBool::new(false);
        let mut stray = 0;
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    drop(open(&folder));
                }
            });
            for _ in 0..300 {
                // SAFETY: the child makes simple calls and ends.
                let pid = unsafe { libc::fork() };
                if pid == 0 {
                    let code = i32::from(descriptors_of(&file) > base);
                    // SAFETY: ends the child.
                    unsafe { libc::_exit(code) };
                }
                let mut status = 0;
                // SAFETY: a child of ours.
                unsafe { libc::waitpid(pid, &raw mut status, 0) };
                stray += i32::from(status != 0);
            }
            stop.store(true, Relaxed);
        });
        drop(many);
        assert_eq!(stray, 0, "children of 300 with a descriptor that no code closes");
    });
}

#[test]
fn a_process_that_has_closed_a_lock_survives_its_truncation() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let owner = fork(|line| {
            let lock = open(&folder);
            lock.acquire().expect("free");
            line.ready();
            line.wait();
            lock.release().expect("held");
            mem::forget(lock);
            line.wait();
        });
        owner.line().wait();
        let victim = fork(|line| {
            let lock = open(&folder);
            line.ready();
            drop(lock.lock().expect("in the end"));
            drop(lock);
            line.ready();
            line.wait();
        });
        victim.line().wait();
        let file = Intruder::on(&folder.file("l"));
        until(|| file.watchers() == 1);
        owner.line().ready();
        victim.line().wait();
        file.file().set_len(0).expect("a peer may");
        drop(file); // an event
        until(|| !proc::has_watch_thread(victim.pid().unsigned_abs()));
        victim.line().ready();
        victim.ends_well();
        drop(owner);
    });
}

#[test]
fn beside_handles_of_a_removed_file_descriptors_still_grow_slower_than_the_handles() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let many: Vec<_> = (0..100).map(|_| open(&folder)).collect();
        fs::remove_file(folder.file("l")).expect("ours");
        let more: Vec<_> = (0..2000).map(|_| open(&folder)).collect();
        let descriptors = descriptors_of(&folder.file("l"));
        assert!(descriptors < 10, "{descriptors}");
        drop((many, more));
    });
}
