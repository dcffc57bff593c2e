//! Checks that a sleeping waiter is woken by a death, whatever the kind of death. The poll interval
//! is an hour: a waiter that is not woken hangs.

use std::path::Path;
use std::time::Duration;
use std::{fs, thread};

use shmlock::{Guard, ShmLock};
use shmlock_tests::hostile::{Apart, Folder, Intruder, Solo, fork, fork_apart};
use shmlock_tests::{Fixture, actor, alone, until};

const HERE: &str = "a lock of this process";
const HOUR: Duration = Duration::from_secs(3600);
const WAITERS: u32 = 1 << 31;

/// Returns the file of the fixture's only lock.
fn only_file(fixture: &Fixture) -> Intruder {
    Intruder::on(&Path::new("/dev/shm").join(&fixture.files()[0]))
}

fn assert_recovered(guard: &Guard<'_>) {
    assert!(guard.recovered().is_some(), "its owner died");
    guard.declare_consistent().expect("held");
}

#[test]
fn a_waiter_that_sleeps_for_an_hour_is_woken_by_the_death_of_the_owner() {
    let fixture = Solo::new();
    for how in ["kill", "_exit", "exec", "abort", "segv"] {
        let name = fixture.name("l");
        let mut owner = actor!("{name}");
        owner.ask("lock l");
        let file = only_file(&fixture);
        let waiter = ShmLock::builder(&name).poll_interval(HOUR).open().expect(HERE);
        thread::scope(|scope| {
            let waiting = scope.spawn(move || {
                assert_recovered(&waiter.lock().expect("its owner dies"));
            });
            until(|| file.watchers() == 1);
            if how == "kill" {
                owner.kill();
            } else {
                owner.tell(format!("die {how}"));
                owner.wait();
            }
            waiting.join().expect("no panic");
        });
    }
}

#[test]
fn a_task_that_waits_for_an_hour_is_woken_by_the_death_of_the_owner() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut owner = actor!("{name}");
    owner.ask("lock l");
    let file = only_file(&fixture);
    let lock = ShmLock::builder(&name).poll_interval(HOUR).open().expect(HERE);
    thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            assert_recovered(&pollster::block_on(lock.lock_async()).expect("its owner dies"));
        });
        until(|| file.watchers() == 1);
        owner.kill();
        waiting.join().expect("no panic");
    });
}

#[test]
fn a_waiter_of_each_of_many_locks_is_woken_by_the_death_of_their_owner() {
    const LOCKS: usize = 20;
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let open = |number| folder.lock(&format!("l{number}")).poll_interval(HOUR);
    let mut owner = actor!();
    for number in 0..LOCKS {
        owner.ask(format!("open {number} l{number} dir={}", folder.path().display()));
        owner.ask(format!("lock {number}"));
    }
    thread::scope(|scope| {
        for number in 0..LOCKS {
            scope.spawn(move || {
                let lock = open(number).open().expect(HERE);
                assert_recovered(&lock.lock().expect("its owner dies"));
            });
        }
        for number in 0..LOCKS {
            let file = Intruder::on(&folder.file(&format!("l{number}")));
            until(|| file.watchers() == 1);
        }
        owner.kill();
    });
}

#[test]
fn an_owner_in_another_pid_namespace_dies_by_an_event_as_well() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let owner = fork_apart(Apart::Pids, |line| {
            let lock = folder.lock("l").open().expect(HERE);
            let _guard = lock.lock().expect("free");
            line.ready();
            line.wait();
        });
        let Some(owner) = owner else { return };
        owner.line().wait();
        let file = Intruder::on(&folder.file("l"));
        let waiter = fork(|_| {
            let lock = folder.lock("l").poll_interval(HOUR).open().expect(HERE);
            assert_recovered(&lock.lock().expect("its owner dies"));
        });
        until(|| file.watchers() == 1);
        owner.kill();
        waiter.ends_well();
    });
}

/// The word is free and nobody was woken: so an owner leaves it that dies between the release and
/// the wake. Its close is the event.
#[test]
fn a_waiter_whose_wake_was_lost_with_the_owner_is_woken_by_its_end() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut owner = actor!("{name}");
    owner.ask("lock l");
    let file = only_file(&fixture);
    let waiter = ShmLock::builder(&name).poll_interval(HOUR).open().expect(HERE);
    thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            let guard = waiter.lock().expect("it comes free");
            assert!(guard.recovered().is_none(), "a death was reported");
            drop(guard);
            waiter // closed after the owner, which then leaves no file
        });
        until(|| file.watchers() == 1 && file.owner_word() & WAITERS != 0);
        file.scribble(0, 0);
        owner.kill();
        waiting.join().expect("no panic");
    });
}

#[test]
fn a_waiter_is_woken_when_the_file_is_removed() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let holder = folder.lock("l").open().expect(HERE);
    holder.acquire().expect("free");
    let file = Intruder::on(&folder.file("l"));
    thread::scope(|scope| {
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let lock = folder.lock("l").poll_interval(HOUR).open().expect(HERE);
                scope.spawn(move || lock.lock().map(drop).expect_err("the file is removed"))
            })
            .collect();
        until(|| file.watchers() == 1);
        fs::remove_file(folder.file("l")).expect("ours");
        for waiter in waiters {
            let error = waiter.join().expect("no panic");
            assert!(matches!(error, shmlock::Error::Orphaned { .. }), "{error}");
        }
    });
    holder.release().expect("held");
}
