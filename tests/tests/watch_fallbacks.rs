//! Checks waiting where something that the watch needs is missing: inotify, a table of descriptors
//! of its own, a thread, /proc, futexes.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use shmlock::{Builder, ExitEvent, WaitStrategy};
use shmlock_tests::hostile::{Denied, Folder, If, Intruder, Solo, deny, fork, mount_tmpfs};
use shmlock_tests::{alone, proc, until};

const HERE: &str = "a lock";
const HOUR: Duration = Duration::from_secs(3600);
/// So long that a waiter which sleeps for an interval would show. The naps of a watcher are a
/// fiftieth of it.
const LONG: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

fn denied(call: libc::c_long, errno: i32) -> Denied {
    Denied { call, when: If::Called, errno }
}

/// Whether the waiting process watches the lock before the owner dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watches {
    Yes,
    No,
}

/// Lets a process wait, to which `deprive` has been done, and kills the owner. Returns how long it
/// took until the waiter had the lock; `None` if the test is skipped.
fn time_to_recover(
    interval: Duration,
    watches: Watches,
    deprive: impl Fn() -> bool,
) -> Option<Duration> {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let owner = fork(|line| {
        let lock = folder.lock("l").open().expect(HERE);
        let _guard = lock.lock().expect("free");
        line.ready();
        line.wait();
    });
    owner.line().wait();
    let file = Intruder::on(&folder.file("l"));
    let waiter = fork(|line| {
        let lock = folder.lock("l").poll_interval(interval).open().expect(HERE);
        let is_deprived = deprive();
        line.say(i64::from(is_deprived));
        if is_deprived {
            let guard = lock.lock().expect("its owner dies");
            assert!(guard.recovered().is_some(), "no death was reported");
            guard.declare_consistent().expect("held");
            line.ready();
            line.wait();
        }
    });
    if waiter.line().hear() == 0 {
        return None;
    }
    until(|| file.owner_word() >> 31 == 1 && (watches == Watches::No || file.watchers() == 1));
    proc::comes_to_rest(waiter.pid().unsigned_abs()); // it naps no longer, and is covered
    let begin = Instant::now();
    owner.kill();
    waiter.line().wait();
    let took = begin.elapsed();
    if watches == Watches::No {
        assert_eq!(file.watchers(), 0, "it watches after all");
    }
    waiter.line().ready();
    waiter.ends_well();
    Some(took)
}

/// Checks that the watcher looks by naps where the kernel answers this call by each of the errors.
fn looks_by_naps(call: libc::c_long, errors: &[i32]) {
    for &errno in errors {
        let deprive = || deny(&[denied(call, errno)]);
        if let Some(took) = time_to_recover(LONG, Watches::Yes, deprive) {
            assert!(took < LONG / 3, "{took:?}");
        }
    }
}

#[test]
fn without_an_inotify_instance_the_watcher_looks_by_naps() {
    alone!(|| {
        looks_by_naps(libc::SYS_inotify_init1, &[libc::EMFILE, libc::ENOSYS, libc::EPERM]);
    });
}

#[test]
fn without_a_watch_of_the_file_the_watcher_looks_by_naps() {
    alone!(|| looks_by_naps(libc::SYS_inotify_add_watch, &[libc::ENOSPC, libc::ENOSYS]));
}

/// A file system without events, or an emulator: the calls succeed, and nothing is told.
#[test]
fn where_events_are_only_pretended_the_watcher_looks_by_naps() {
    alone!(|| looks_by_naps(libc::SYS_inotify_add_watch, &[0]));
}

/// The sockets only let a dying process close its instance last.
#[test]
fn without_sockets_or_messages_a_death_is_an_event() {
    alone!(|| {
        for call in [libc::SYS_socketpair, libc::SYS_sendmsg] {
            let deprive = || deny(&[denied(call, libc::EACCES)]);
            let _ = time_to_recover(HOUR, Watches::Yes, deprive);
        }
    });
}

#[test]
fn without_close_range_the_thread_gets_its_table_by_unshare() {
    alone!(|| {
        let deprive = || deny(&[denied(libc::SYS_close_range, libc::ENOSYS)]);
        let _ = time_to_recover(HOUR, Watches::Yes, deprive);
    });
}

#[test]
fn without_a_table_of_its_own_there_is_no_watch_and_the_waiter_polls() {
    alone!(|| {
        let deprive = || {
            deny(&[
                denied(libc::SYS_close_range, libc::EPERM),
                denied(libc::SYS_unshare, libc::EPERM),
            ])
        };
        let _ = time_to_recover(POLL, Watches::No, deprive);
    });
}

/// The thread must not close what belongs to the program: the connection to this test, for one.
#[test]
fn where_a_table_of_its_own_is_only_pretended_the_descriptors_of_the_program_stay() {
    alone!(|| {
        for calls in [
            vec![denied(libc::SYS_close_range, 0)],
            vec![denied(libc::SYS_close_range, libc::ENOSYS), denied(libc::SYS_unshare, 0)],
        ] {
            let _ = time_to_recover(POLL, Watches::No, || deny(&calls));
        }
    });
}

#[test]
fn where_no_thread_can_be_started_the_waiter_polls() {
    alone!(|| {
        let deprive = || {
            deny(&[denied(libc::SYS_clone3, libc::EAGAIN), denied(libc::SYS_clone, libc::EAGAIN)])
        };
        let _ = time_to_recover(POLL, Watches::No, deprive);
    });
}

#[test]
fn where_the_file_has_no_name_here_any_more_the_waiter_polls() {
    alone!(|| {
        let deprive = || mount_tmpfs(Path::new("/dev/shm"), "").map(std::mem::forget).is_some();
        let _ = time_to_recover(POLL, Watches::No, deprive);
    });
}

/// The second lock is registered while the thread sleeps on the events of the first.
#[test]
fn without_proc_a_death_is_noticed_and_another_lock_is_watched_at_the_next_tick() {
    alone!(|| {
        let deprive = || mount_tmpfs(Path::new("/proc"), "").map(std::mem::forget).is_some();
        let _ = time_to_recover(HOUR, Watches::Yes, deprive);
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let open = |name| folder.lock(name).open().expect(HERE);
        let holders = [open("one"), open("other")];
        let guards = holders.each_ref().map(|lock| lock.lock().expect("free"));
        let waiter = fork(|line| {
            line.say(i64::from(deprive()));
            thread::scope(|scope| {
                scope.spawn(|| drop(folder.lock("one").open().expect(HERE).lock()));
                line.wait();
                drop(folder.lock("other").open().expect(HERE).lock());
            });
        });
        if waiter.line().hear() == 0 {
            return;
        }
        let watched = |name| Intruder::on(&folder.file(name)).watchers() == 1;
        until(|| watched("one"));
        waiter.line().ready();
        until(|| watched("other"));
        drop(guards);
        waiter.ends_well();
    });
}

/// It cannot wake; an event of the file makes the watcher do so.
#[test]
fn an_owner_whose_futex_is_refused_wakes_a_waiter_that_sleeps_for_an_hour() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let owner = fork(|line| {
            let lock = folder.lock("l").open().expect(HERE);
            let guard = lock.lock().expect("free");
            line.say(i64::from(deny(&[denied(libc::SYS_futex, libc::EPERM)])));
            line.wait();
            drop(guard);
            line.wait();
        });
        if owner.line().hear() == 0 {
            return;
        }
        let file = Intruder::on(&folder.file("l"));
        let waiter = fork(|_| {
            let lock = folder.lock("l").poll_interval(HOUR).open().expect(HERE);
            assert!(lock.lock().expect("released").recovered().is_none(), "its owner lives");
        });
        until(|| file.watchers() == 1 && file.owner_word() >> 31 == 1);
        proc::comes_to_rest(waiter.pid().unsigned_abs());
        owner.line().ready();
        waiter.ends_well();
        owner.line().ready();
        owner.ends_well();
    });
}

/// Runs `wait` without `futex_waitv(2)`, with a lock and an event, while another process holds the
/// lock; then sets the event.
fn without_waitv(wait: impl Fn(&Builder) -> bool) {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let holder = folder.lock("l").open().expect(HERE);
    let guard = holder.lock().expect("free");
    let event = fixture.name("e");
    let waiter = fork(|line| {
        let event = ExitEvent::named(&event).expect("an event");
        let lock = folder.lock("l").poll_interval(POLL).exit_event(&event);
        let is_deprived = deny(&[denied(libc::SYS_futex_waitv, libc::ENOSYS)]);
        line.say(i64::from(is_deprived));
        assert!(!is_deprived || wait(&lock), "the event ends the wait");
    });
    let switch = ExitEvent::named(&event).expect("an event");
    if waiter.line().hear() == 1 {
        let file = Intruder::on(&folder.file("l"));
        until(|| file.watchers() == 1);
        switch.set().expect("ours");
    }
    waiter.ends_well();
    drop(guard);
}

#[test]
fn without_waitv_a_waiting_thread_notices_the_exit_event_within_an_interval() {
    alone!(|| without_waitv(|lock| {
        lock.open().expect(HERE).lock().is_err_and(|error| error.is_cancelled())
    }));
}

#[test]
fn without_waitv_a_waiting_task_notices_the_exit_event() {
    alone!(|| without_waitv(|lock| {
        let lock = lock.open().expect(HERE);
        pollster::block_on(lock.lock_async()).is_err_and(|error| error.is_cancelled())
    }));
}

#[test]
fn a_waiter_that_polls_notices_a_death_without_any_watch() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let owner = folder.owner();
        let lock = folder.lock("l").poll_interval(POLL).wait_strategy(WaitStrategy::SleepPolling);
        let waiter = fork(|line| {
            let lock = lock.open().expect(HERE);
            line.ready();
            let guard = lock.lock().expect("its owner dies");
            guard.declare_consistent().expect("held");
        });
        waiter.line().wait();
        owner.kill();
        waiter.ends_well();
    });
}
