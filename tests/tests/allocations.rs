//! Checks the calls that must not allocate, because a signal handler may interrupt malloc(3): a
//! single try that returns no error, and the drop of a guard.

use std::hint::black_box;

use shmlock::ShmLock;
use shmlock_tests::allocations::Counting;
use shmlock_tests::alone;
use shmlock_tests::hostile::{Folder, Intruder, Solo};

#[global_allocator]
static COUNTING: Counting = Counting;

/// Counts the allocations and deallocations that `act` makes.
fn allocations<R>(act: impl FnOnce() -> R) -> (u64, R) {
    let before = Counting::calls();
    let result = act();
    (Counting::calls() - before, result)
}

/// Runs `test` with two handles of one lock and an intruder that writes into its file.
fn with_two_handles(test: impl FnOnce(&ShmLock, &ShmLock, &Intruder)) {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let open = || folder.lock("l").open().expect("a lock");
    let (one, other) = (open(), open());
    let intruder = Intruder::on(&folder.file("l"));
    drop(one.lock().expect("free")); // makes the allocations that each thread makes once
    assert!(allocations(|| drop(black_box(Box::new(1)))).0 == 2, "the allocator does not count");
    test(&one, &other, &intruder);
    intruder.scribble(0, 0);
}

#[test]
fn a_single_try_allocates_nothing_whether_the_lock_is_free_or_held() {
    with_two_handles(|one, other, intruder| {
        let tries =
            || allocations(|| (one.try_lock().map(|guard| guard.is_some()), one.try_acquire()));
        let (count, (guarded, acquired)) = tries();
        assert!(count == 0 && guarded.expect("free") && acquired.expect("free"));
        one.release().expect("held");
        let guard = other.lock().expect("free");
        let (count, (guarded, acquired)) = tries();
        assert!(!guarded.expect("held") && !acquired.expect("held"));
        assert_eq!(count, 0, "a try at a held lock allocated");
        drop(guard);
        intruder.scribble(0, 70_000);
        let (count, (guarded, acquired)) = tries();
        assert!(guarded.expect("its owner is dead") && acquired.expect("free"));
        assert_eq!(count, 0, "a recovery allocated");
        one.release().expect("held");
    });
}

#[test]
fn the_first_try_in_a_process_allocates_nothing() {
    alone!(|| {
        let fixture = Solo::new();
        let lock = Folder::new(&fixture).lock("l").open().expect("a lock");
        let (count, guard) = allocations(|| lock.try_lock().map(|guard| guard.is_some()));
        assert!(guard.expect("free"));
        assert_eq!(count, 0, "the first try allocated what opening should have");
    });
}

#[test]
fn the_drop_of_a_guard_allocates_nothing_whatever_the_word_says() {
    with_two_handles(|one, _, intruder| {
        let guard = one.lock().expect("free");
        assert_eq!(allocations(|| drop(guard)).0, 0, "the drop of a guard that held allocated");
        let guard = one.lock().expect("free");
        intruder.scribble(0, 70_000);
        assert_eq!(
            allocations(|| drop(guard)).0,
            0,
            "the drop allocated after the word was overwritten"
        );
        intruder.scribble(0, 0);
        let (outer, inner) = (one.lock().expect("free"), one.lock().expect("ours"));
        intruder.scribble(0, 70_000);
        drop(inner);
        assert_eq!(allocations(|| drop(outer)).0, 0, "the drop of nested guards allocated");
        intruder.scribble(0, 0);
        let guard = one.lock().expect("free");
        assert!(one.force_release().expect("held"));
        assert_eq!(allocations(|| drop(guard)).0, 0, "the drop allocated after a forced release");
    });
}
