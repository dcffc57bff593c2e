//! Flaw 10: an opening that runs out of descriptors half-way leaves a file behind, or another
//! opener waits for it.

use shmlock::{Errno, Error, ExitEvent, Result};
use shmlock_tests::alone;
use shmlock_tests::hostile::{Denied, Folder, Solo, assert_says, deny, leave_descriptors};

fn assert_out_of_descriptors(error: &Error, file: &str) {
    assert!(
        matches!(error, Error::System { .. }) && error.errno() == Some(Errno::MFILE),
        "{error:?}"
    );
    assert_says(error, &[file, "close descriptors", "RLIMIT_NOFILE"]);
}

/// Opens with this many free descriptors. Asserts that a failure adds and removes no file.
fn open_with<T>(free: usize, folder: &Folder, open: impl Fn() -> Result<T>) -> Result<T> {
    let before = folder.names();
    let used = leave_descriptors(free);
    let result = open();
    drop(used);
    if result.is_err() {
        assert_eq!(folder.names(), before, "with {free} descriptors");
    }
    result
}

#[test]
fn a_lock_that_cannot_be_opened_for_want_of_descriptors_is_not_created() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        for free in [0, 1] {
            let refused =
                open_with(free, &folder, || folder.lock("l").open()).expect_err("it needs two");
            assert_out_of_descriptors(&refused, "l.shmlock");
            let event = || ExitEvent::named_in("e", folder.path(), 0o600);
            assert_out_of_descriptors(
                &open_with(free, &folder, event).expect_err("it needs two"),
                "e.shmlock-event",
            );
        }
        let lock = open_with(2, &folder, || folder.lock("l").open()).expect("two are enough");
        assert!(lock.try_lock().expect("a lock").is_some());
    });
}

#[test]
fn two_descriptors_suffice_on_linux_before_6_4_too() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        if deny(&[Denied::auxiliary_vector()]) {
            let lock = open_with(2, &folder, || folder.lock("l").open()).expect("two are enough");
            assert!(lock.try_lock().expect("a lock").is_some());
        }
    });
}

#[test]
fn a_failed_second_opening_does_not_disturb_a_lock_in_use() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let lock = folder.lock("l").open().expect("a lock");
        let guard = lock.lock().expect("free");
        for free in [0, 1] {
            let again = open_with(free, &folder, || folder.lock("l").open());
            let cloned = open_with(free, &folder, || lock.try_clone());
            for refused in [again, cloned] {
                assert_out_of_descriptors(&refused.expect_err("it needs two"), "l.shmlock");
            }
        }
        assert!(!lock.status().expect("ours").orphaned);
        guard.release().expect("held");
        assert!(open_with(2, &folder, || lock.try_clone()).is_ok());
    });
}

#[test]
fn an_unused_lock_that_cannot_be_opened_stays() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let _left = folder.put("l", &[0; 192]);
        for free in [0, 1] {
            let refused =
                open_with(free, &folder, || folder.lock("l").open()).expect_err("it needs two");
            assert_out_of_descriptors(&refused, "l.shmlock");
        }
    });
}

#[test]
fn a_handle_that_is_open_needs_no_more_descriptors() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let (lock, dying) =
            (folder.lock("l").open().expect("a lock"), folder.lock("l").open().expect("a lock"));
        std::mem::forget(dying.lock().expect("free"));
        let used = leave_descriptors(0);
        drop(dying);
        let guard = lock.try_lock().expect("no descriptor").expect("recovered");
        assert!(guard.recovered().expect("the owner died").dead.is_some());
        guard.declare_consistent().expect("held");
        lock.set_description("written").expect("held");
        assert!(lock.holder().expect("ours").expect("us").pid().is_some());
        assert!(!lock.status().expect("ours").orphaned);
        drop(guard);
        drop(lock);
        drop(used);
        assert!(folder.names().is_empty());
    });
}
