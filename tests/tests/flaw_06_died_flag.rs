//! Flaw 6: closing a held lock erases the fact that its critical section was not finished.
//!
//! The cure: a word that is not zero keeps its file until a handle declares the data consistent.

use shmlock::{LockState, OwnerState, Recovered, ShmLock};
use shmlock_tests::actor;
use shmlock_tests::hostile::{Folder, Intruder, Solo};

const HERE: &str = "a lock of this process";

/// Asserts that every owner gets the recovery report until one declares the data consistent, and
/// that the file is then removed.
fn assert_died_until_declared(open: impl Fn() -> ShmLock, is_there: impl Fn() -> bool, uuid: &str) {
    for _ in 0..2 {
        assert!(is_there(), "DIED did not keep the file");
        let lock = open();
        let guard = lock.lock().expect("no owner lives");
        let Recovered { dead, .. } = guard.recovered().expect("not yet declared consistent");
        if let Some(dead) = dead {
            assert_eq!(dead.uuid().expect("its record").to_string(), uuid);
            assert_eq!(lock.status().expect(HERE).recoveries, 1);
        }
        drop(guard);
        assert!(lock.status().expect(HERE).owner_died);
    }
    let lock = open();
    let guard = lock.lock().expect("no owner lives");
    assert!(guard.recovered().expect("still").dead.is_none(), "the dead owner was named twice");
    guard.declare_consistent().expect("held");
    assert!(guard.recovered().is_none());
    drop(guard);
    assert!(
        lock.lock().expect("free").recovered().is_none() && lock.status().expect(HERE).is_healthy()
    );
    drop(lock);
    assert!(!is_there(), "the file was not removed");
}

#[test]
fn a_leaked_guard_sets_died() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let open = || folder.lock("l").open().expect(HERE);
    let lock = open();
    let uuid = lock.uuid().to_string();
    std::mem::forget(lock.lock().expect("a new lock"));
    drop(lock);
    assert_died_until_declared(open, || !folder.names().is_empty(), &uuid);
}

#[test]
fn an_exit_in_the_critical_section_sets_died() {
    for how in ["_exit", "exit", "abort", "segv"] {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let mut victim = actor!();
        let uuid = victim.ask(format!("open l {name}"));
        victim.ask("lock l");
        victim.tell(format!("die {how}"));
        victim.wait();
        assert_died_until_declared(
            || ShmLock::open(&name).expect(HERE),
            || !fixture.files().is_empty(),
            &uuid,
        );
    }
}

#[test]
fn while_another_handle_is_open_a_leaked_guard_is_recovered_from_at_once() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let (one, two) = (folder.lock("l").open().expect(HERE), folder.lock("l").open().expect(HERE));
    std::mem::forget(one.lock().expect("a new lock"));
    assert_eq!(two.status().expect(HERE).state, LockState::Held(OwnerState::Alive));
    drop(one);
    assert_eq!(two.status().expect(HERE).state, LockState::Held(OwnerState::Dead));
    two.try_lock().expect(HERE).expect("a dead owner's").declare_consistent().expect("held");
}

#[test]
fn closing_releases_an_unguarded_hold() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock = folder.lock("l").open().expect(HERE);
    lock.acquire().expect("a new lock");
    lock.acquire().expect("nested");
    let intruder = Intruder::on(&folder.file("l"));
    drop(lock);
    assert_eq!(intruder.owner_word(), 0);
    assert!(folder.names().is_empty());
}
