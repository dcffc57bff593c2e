//! Checks what an undisturbed acquisition must notice although it asks almost nothing: counts and
//! records that others have overwritten, holds that were ended by force, and forks.

use std::cell::RefCell;

use shmlock::{Error, ShmLock};
use shmlock_tests::hostile::{Folder, Intruder, Solo, fork};
use shmlock_tests::{Capability, alone, can};

/// Offsets of words in the region, PROTOCOL.md section 1.
const OWNER_WORD: u64 = 0;
const GENERATION: u64 = 4;
const GENERATION_HIGH: u64 = 48;
const RECORD_SEQUENCE: u64 = 52;
const RECORD_TOKEN: u64 = 56;

/// The flag of the owner word. An acquisition of a free lock with it is disturbed.
const WAITERS: u32 = 1 << 31;

/// Opens the lock and uses it until nothing disturbs its acquisitions.
fn open_and_use(folder: &Folder) -> ShmLock {
    open_and_use_as(folder, "l")
}

fn open_and_use_as(folder: &Folder, name: &str) -> ShmLock {
    let lock = folder.lock(name).open().expect("a lock");
    for _ in 0..3 {
        drop(lock.lock().expect("free"));
    }
    lock
}

/// Does so with 100 locks and three handles on each: more than one sheet of anchors.
fn many(folder: &Folder, name: &str) -> Vec<ShmLock> {
    (0..300).map(|n| open_and_use_as(folder, &format!("{name}{}", n % 100))).collect()
}

#[test]
fn a_count_that_is_overwritten_between_two_acquisitions_is_counted_on() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock = open_and_use(&folder);
    let intruder = Intruder::on(&folder.file("l"));
    for (high, low) in [(0, 41), (0, 7), (5, u32::MAX), (u32::MAX, u32::MAX)] {
        intruder.scribble(GENERATION_HIGH, high);
        intruder.scribble(GENERATION, low);
        let next = (u64::from(high) << 32 | u64::from(low)).wrapping_add(1);
        let guard = lock.lock().expect("free");
        assert_eq!(guard.fencing_token(), Some(next), "after {high} and {low}");
    }
}

#[test]
fn a_record_of_another_owner_is_replaced_and_half_a_record_once_the_acquisition_is_disturbed() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock = open_and_use(&folder);
    let intruder = Intruder::on(&folder.file("l"));
    let shown = |lock: &ShmLock| {
        lock.holder().expect("ours").expect("held").uuid().is_some_and(|uuid| uuid == lock.uuid())
    };
    intruder.scribble(RECORD_TOKEN, 7);
    let guard = lock.lock().expect("free");
    assert!(shown(&lock), "the record is another handle's");
    drop(guard);
    intruder.scribble(RECORD_SEQUENCE, 1);
    intruder.scribble(OWNER_WORD, WAITERS);
    let guard = lock.lock().expect("free");
    assert!(shown(&lock), "the record is half written");
    drop(guard);
    let other = folder.lock("l").open().expect("a lock");
    drop(other.lock().expect("free"));
    let _guard = lock.lock().expect("free");
    assert!(shown(&lock), "another handle has held the lock since");
}

#[test]
fn a_description_that_changes_between_two_acquisitions_is_written_by_the_second() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock = open_and_use(&folder);
    lock.set_description("emptying").expect("short");
    let guard = lock.lock().expect("free");
    assert_eq!(lock.holder().expect("ours").expect("held").description(), "emptying");
    drop(guard);
}

#[test]
fn a_guard_that_outlived_its_hold_never_releases_a_later_one() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock = open_and_use(&folder);
    for _ in 0..3 {
        let outlived = lock.lock().expect("free");
        assert!(lock.force_release().expect("held"));
        for _ in 0..2 {
            let guard = lock.lock().expect("free");
            assert!(guard.fencing_token().is_some() && outlived.fencing_token().is_none());
            drop(guard);
            assert!(!lock.is_held());
        }
        let guard = lock.lock().expect("free");
        drop(outlived);
        assert!(lock.is_held(), "the guard of an earlier hold released this one");
        drop(guard);
        lock.acquire().expect("free");
        assert!(lock.force_release().expect("held"));
    }
}

#[test]
fn a_child_of_many_handles_has_its_own_and_none_of_its_parents() {
    if !can(Capability::KeepMemoryFromChildren) {
        return;
    }
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        // More than one sheet of anchors.
        let inherited = RefCell::new(many(&folder, "l"));
        inherited.borrow()[7].acquire().expect("free");
        let forked = |lock: &ShmLock| matches!(lock.lock(), Err(Error::ForkedHandle { .. }));
        let child = fork(|_| {
            assert!(inherited.borrow().iter().all(forked));
            // Their mappings may take the addresses of the parent's.
            let own = many(&folder, "own");
            assert!(inherited.borrow().iter().all(forked), "by the anchor of a new handle");
            inherited.borrow_mut().clear();
            drop(many(&folder, "own"));
            let grandchild = fork(|_| {
                assert!(own.iter().all(forked));
                drop(many(&folder, "own"));
                assert!(own.iter().all(forked));
            });
            grandchild.ends_well();
            assert!(own.iter().all(|lock| lock.lock().is_ok()));
        });
        child.ends_well();
        let inherited = inherited.into_inner();
        assert!(inherited[7].is_held(), "the child released the parent's lock");
        inherited[7].release().expect("held");
        assert!(inherited.iter().all(|lock| lock.lock().is_ok()));
    });
}
