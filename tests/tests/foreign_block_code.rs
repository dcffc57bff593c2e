//! Checks user code that runs while a block is created or in its critical section: functions that
//! open other blocks, panics, destructors. See `docs/foreign-code.md`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use shmlock::{BlockGuard, Error, LockState};
use shmlock_tests::hostile::{Folder, Solo};

const HERE: &str = "a lock of this process";

#[test]
fn a_function_that_creates_a_block_may_use_others_and_gets_an_error_for_the_same() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let open = |name: &str| folder.lock(name).open_timeout(Duration::from_secs(5));
    let mut block = open("b")
        .open_block_with(|number: &mut u64| {
            let mut other =
                open("other").open_block_with(|number: &mut u64| *number = 2).expect("another");
            let same = open("b").open_block::<u64>();
            assert!(matches!(same, Err(Error::WouldDeadlock { .. })), "{same:?}");
            *number = *other.lock().expect("free") + 1;
        })
        .expect("a block");
    assert_eq!(*block.lock().expect("free"), 3);
}

/// Calls the function when it is dropped.
struct Late<F: FnMut()>(F);

impl<F: FnMut()> Drop for Late<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn a_critical_section_that_panics_in_a_destructor_during_a_panic_leaves_the_data_unchanged() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let mut block = folder.lock("b").open_block::<u64>().expect("a block");
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _late = Late(|| {
            let torn = catch_unwind(AssertUnwindSafe(|| {
                let mut guard = block.lock().expect("free");
                *guard = 1;
                std::panic::resume_unwind(Box::new("in the middle"));
            }));
            assert!(torn.is_err());
            let mut guard = block.lock().expect("free");
            assert_eq!(*guard, 0);
            *guard = 2;
            BlockGuard::release(guard).expect("held");
            let mut guard = block.lock().expect("free");
            *guard = 3;
            drop(guard); // a panic would drop it so
            assert_eq!(
                *block.lock().expect("free"),
                2,
                "data of a guard that was not released were copied out"
            );
        });
        std::panic::resume_unwind(Box::new("before it"));
    }));
    assert!(unwound.is_err());
    assert_eq!(*block.lock().expect("free"), 2);
    assert_eq!(block.as_lock().status().expect(HERE).state, LockState::Unlocked);
}

#[test]
fn a_guard_that_a_destructor_releases_after_a_panic_copies_nothing_out() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let mut block = folder.lock("b").open_block::<u64>().expect("a block");
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let mut guard = Some(block.lock().expect("free"));
        **guard.as_mut().expect("held") = 1;
        let _late =
            Late(|| guard.take().map_or(Ok(()), shmlock::BlockGuard::release).expect("held"));
        std::panic::resume_unwind(Box::new("in the middle"));
    }));
    assert!(unwound.is_err());
    assert_eq!(*block.lock().expect("free"), 0);
}
