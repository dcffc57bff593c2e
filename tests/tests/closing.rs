//! Closing a handle reports what its drop can only log.

use std::mem;

use shmlock::{Error, ShmLock};
use shmlock_tests::hostile::{Folder, Intruder, Solo, fork};
use shmlock_tests::{Capability, alone, can};

const HERE: &str = "a lock of our own";

#[test]
fn closing_releases_the_hold_and_the_last_one_removes_the_file() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let (lock, other) =
        (folder.lock("l").open().expect(HERE), folder.lock("l").open().expect(HERE));
    lock.acquire().expect("free");
    lock.acquire().expect("nested");
    lock.close().expect("held");
    assert!(other.lock().expect("free").recovered().is_none());
    other.close().expect("nothing to release");
    assert!(!folder.file("l").exists());
}

#[test]
fn closing_a_handle_with_a_leaked_guard_is_an_error_and_the_next_owner_is_told() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let (lock, other) =
        (folder.lock("l").open().expect(HERE), folder.lock("l").open().expect(HERE));
    mem::forget(lock.lock().expect("free"));
    let error = lock.close().expect_err("a guard is left");
    assert!(matches!(error, Error::GuardsAlive { guards: 1, .. }), "{error}");
    let guard = other.lock().expect("its owner is gone");
    assert!(guard.recovered().is_some());
    guard.declare_consistent().expect("held");
}

#[test]
fn closing_a_handle_whose_word_was_overwritten_is_an_error() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock = folder.lock("l").open().expect(HERE);
    let intruder = Intruder::on(&folder.file("l"));
    lock.acquire().expect("free");
    intruder.scribble(0, 77);
    assert!(matches!(lock.close(), Err(Error::Overwritten { .. })));
    assert_eq!(intruder.owner_word(), 77);
}

#[test]
fn closing_an_inherited_handle_is_an_error_and_the_parent_keeps_the_lock() {
    if !can(Capability::KeepMemoryFromChildren) {
        return;
    }
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let mut lock = Some(ShmLock::open(&name).expect(HERE));
        lock.as_ref().expect("open").acquire().expect("free");
        fork(|_| {
            let inherited = lock.take().expect("inherited");
            assert!(matches!(inherited.close(), Err(Error::ForkedHandle { .. })));
        })
        .ends_well();
        let lock = lock.expect("the parent's");
        assert!(lock.is_held());
        lock.close().expect("held");
    });
}
