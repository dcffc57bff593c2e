//! Flaw 6: closing while the lock is held wipes out that its section was never finished.
//!
//! The cure: a word that is not zero keeps its file, until somebody declares the data consistent.

use shmlock::{LockState, OwnerState, Recovered, ShmLock};
use shmlock_tests::actor;
use shmlock_tests::hostile::{Folder, Intruder, Solo};

const HERE: &str = "a lock of this process";

/// The next owner and all after it are told, until one declares the data consistent; then the file
/// goes.
fn assert_marked_until_declared(
    open: impl Fn() -> ShmLock,
    is_there: impl Fn() -> bool,
    uuid: &str,
) {
    for _ in 0..2 {
        assert!(is_there(), "the crash mark keeps the file");
        let lock = open();
        let guard = lock.lock().expect("nobody lives");
        let Recovered { dead, .. } = guard.recovered().expect("nobody has declared it consistent");
        if let Some(dead) = dead {
            assert_eq!(dead.uuid().expect("its record").to_string(), uuid);
            assert_eq!(lock.status().expect(HERE).recoveries, 1);
        }
        drop(guard);
        assert!(lock.status().expect(HERE).owner_died);
    }
    let lock = open();
    let guard = lock.lock().expect("nobody lives");
    assert!(
        guard.recovered().expect("still").dead.is_none(),
        "who died is only known to the first"
    );
    guard.declare_consistent().expect("held");
    assert!(guard.recovered().is_none());
    drop(guard);
    assert!(
        lock.lock().expect("free").recovered().is_none() && lock.status().expect(HERE).is_healthy()
    );
    drop(lock);
    assert!(!is_there(), "nothing keeps it any more");
}

#[test]
fn a_leaked_guard_leaves_a_crash_mark() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let open = || folder.lock("l").open().expect(HERE);
    let lock = open();
    let uuid = lock.uuid().to_string();
    std::mem::forget(lock.lock().expect("a new lock"));
    drop(lock);
    assert_marked_until_declared(open, || !folder.names().is_empty(), &uuid);
}

#[test]
fn an_exit_in_the_section_leaves_a_crash_mark() {
    for how in ["_exit", "exit", "abort", "segv"] {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let mut victim = actor!();
        let uuid = victim.ask(format!("open l {name}"));
        victim.ask("lock l");
        victim.tell(format!("die {how}"));
        victim.wait();
        assert_marked_until_declared(
            || ShmLock::open(&name).expect(HERE),
            || !fixture.files().is_empty(),
            &uuid,
        );
    }
}

#[test]
fn while_others_are_there_a_leaked_guard_is_recovered_from_at_once() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let (one, two) = (folder.lock("l").open().expect(HERE), folder.lock("l").open().expect(HERE));
    std::mem::forget(one.lock().expect("a new lock"));
    assert_eq!(two.status().expect(HERE).occupancy, LockState::Held(OwnerState::Alive));
    drop(one);
    assert_eq!(two.status().expect(HERE).occupancy, LockState::Held(OwnerState::Dead));
    two.try_lock().expect(HERE).expect("a dead owner's").declare_consistent().expect("held");
}

#[test]
fn a_hold_without_a_guard_is_given_back_by_the_closing() {
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
