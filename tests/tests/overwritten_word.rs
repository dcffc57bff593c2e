//! Checks that the owner word, not a handle's memory, decides which handle holds the lock: after an
//! exit handler, and after a foreign write.

#![allow(unsafe_code, reason = "atexit, and its function")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::ptr::null_mut;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use std::{mem, process};

use shmlock::{BlockGuard, Error, ExitHandlers, Guard, LockState, SharedBlock, ShmLock};
use shmlock_tests::hostile::{Child, Folder, Intruder, Solo, fork};
use shmlock_tests::{actor, alone};

const HERE: &str = "a lock of this process";

type Act = Box<dyn FnOnce()>;

/// The act of `late`.
static LATE: AtomicPtr<Act> = AtomicPtr::new(null_mut());

/// Runs `act` during exit(3), after the exit handlers of the locks: atexit(3) runs the last
/// registered function first.
fn run_after_the_handlers(act: impl FnOnce() + 'static) {
    extern "C" fn late() {
        // SAFETY: made by `Box::into_raw` below, and taken once.
        let act = unsafe { Box::from_raw(LATE.swap(null_mut(), Relaxed)) };
        act();
    }
    // Partner: `late`, on this very thread.
    LATE.store(Box::into_raw(Box::new(Box::new(act))), Relaxed);
    // SAFETY: `late` may run at any time, and a panic in it ends the process.
    assert_eq!(unsafe { libc::atexit(late) }, 0);
    ExitHandlers::at_exit().install().expect("there is room for one more");
}

/// One end of a connection on which each byte reports a completed step.
struct Steps(UnixStream);

impl Steps {
    fn pair() -> (Self, Self) {
        let (one, other) = UnixStream::pair().expect("two descriptors");
        (Self(one), Self(other))
    }

    fn done(&self) {
        (&self.0).write_all(&[0]).expect("the other side lives");
    }

    fn wait(&self) {
        (&self.0).read_exact(&mut [0]).expect("the other side lives");
    }
}

/// Forks a child that calls exit(3) in its critical section. After the handlers have released the
/// lock, it runs `then` when the other end of the steps says so.
fn exit_in_critical_section(
    name: &str,
    steps: Steps,
    then: impl FnOnce(&ShmLock, Guard<'static>) + 'static,
) -> Child {
    fork(|_| {
        let lock: &'static ShmLock = Box::leak(Box::new(ShmLock::open(name).expect(HERE)));
        let held = lock.lock().expect("free");
        run_after_the_handlers(move || {
            steps.done();
            steps.wait();
            then(lock, held);
            steps.done();
            steps.wait();
        });
        process::exit(0);
    })
}

/// Runs the scenario: the child exits in its critical section, and this process acquires the lock
/// that the handler released. The child runs `then`, and a third process sees that this one alone
/// still holds the lock.
fn with_another_owner(then: impl FnOnce(&ShmLock, Guard<'static>) + 'static) {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let (ours, theirs) = Steps::pair();
    let child = exit_in_critical_section(&name, theirs, then);
    ours.wait();
    let lock = ShmLock::open(&name).expect(HERE);
    let guard = lock.lock().expect("the handler has released it");
    assert!(
        guard.recovered().is_some_and(|recovered| recovered.dead.is_none()),
        "the critical section was cut short"
    );
    guard.declare_consistent().expect("held");
    ours.done();
    ours.wait();
    assert!(lock.is_held());
    let mut third = actor!();
    third.ask(format_args!("open l {name}"));
    assert_eq!(third.ask("try l"), "false");
    assert!(third.ask("check l").contains("Held(Alive)"));
    ours.done();
    child.ends_well();
    guard.release().expect("undisturbed");
    assert_eq!(third.ask("try l"), "true");
    assert_eq!(third.ask("recovered l"), "no");
}

#[test]
fn a_function_after_the_exit_handlers_does_not_nest_in_a_hold_that_they_ended() {
    alone!(|| {
        with_another_owner(|lock, held| {
            mem::forget(held);
            assert!(!lock.is_held(), "another process holds it");
            assert!(lock.recovered().is_none() && lock.fencing_token().is_none());
            assert!(matches!(lock.status().expect(HERE).state, LockState::Held(_)));
            let nested = lock.try_lock_for(Duration::ZERO);
            assert!(matches!(nested, Err(Error::Overwritten { .. })), "two holders: {nested:?}");
            // The handle knows from here on.
            assert!(
                lock.try_lock_for(Duration::from_millis(1))
                    .is_err_and(|error| error.is_timed_out())
            );
            assert!(lock.try_lock().expect("a refusal is no error").is_none());
            assert!(matches!(lock.release(), Err(Error::NotHeld { .. })));
        });
    });
}

#[test]
fn a_single_try_after_the_exit_handlers_does_not_nest_in_a_hold_that_they_ended() {
    alone!(|| {
        with_another_owner(|lock, held| {
            mem::forget(held);
            assert!(matches!(lock.try_acquire(), Err(Error::Overwritten { .. })));
            assert!(!lock.try_acquire().expect("a refusal is no error"));
        });
    });
}

#[test]
fn the_guards_of_a_hold_that_the_exit_handlers_ended_release_nothing() {
    alone!(|| {
        with_another_owner(|lock, held| {
            assert_eq!((held.fencing_token(), held.recovered()), (None, None));
            assert!(matches!(
                held.declare_consistent(),
                Err(Error::NotHeld { .. } | Error::Overwritten { .. })
            ));
            drop(held);
            assert!(!lock.is_held() && lock.status().expect(HERE).state != LockState::Unlocked);
        });
    });
}

#[test]
fn a_handle_whose_hold_the_exit_handlers_ended_can_acquire_again() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let (ours, theirs) = Steps::pair();
        let child = exit_in_critical_section(&name, theirs, |lock, held| {
            assert!(lock.lock().is_err(), "the former hold is over");
            let again = lock.lock().expect("free");
            assert!(again.recovered().is_some(), "the critical section was cut short");
            drop(held);
            assert!(lock.is_held(), "the former guard released the new hold");
            again.release().expect("held");
        });
        ours.wait();
        ours.done();
        ours.wait();
        ours.done();
        child.ends_well();
        let lock = ShmLock::open(&name).expect(HERE);
        let guard = lock.lock().expect("free");
        guard.declare_consistent().expect("held");
    });
}

#[test]
fn the_guard_of_a_block_does_not_copy_its_data_over_that_of_another_owner() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("b");
        let (ours, theirs) = Steps::pair();
        let child = fork(|_| {
            let block = Box::leak(Box::new(SharedBlock::<u64>::open(&name).expect("a block")));
            let mut guard = block.lock().expect("free");
            *guard = 1;
            run_after_the_handlers(move || {
                theirs.done();
                theirs.wait();
                drop(guard);
                theirs.done();
                theirs.wait();
            });
            process::exit(0);
        });
        ours.wait();
        let mut block = SharedBlock::<u64>::open(&name).expect("the same block");
        let mut guard = block.lock().expect("the handler has released it");
        *guard = 7;
        BlockGuard::declare_consistent(&mut guard).expect("held"); // copies out
        ours.done();
        ours.wait();
        drop(guard); // not changed since
        assert_eq!(*block.lock().expect("free"), 7);
        ours.done();
        child.ends_well();
    });
}

#[test]
fn a_handle_whose_word_names_another_owner_does_not_nest_and_its_guards_release_nothing() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock = folder.lock("l").open().expect(HERE);
    let intruder = Intruder::on(&folder.file("l"));
    let overwritten = |error: Error| matches!(error, Error::Overwritten { .. });
    for word in [0, 77, 0x4000_0000] {
        let (one, two) = (lock.lock().expect("free"), lock.lock().expect("nested"));
        intruder.scribble(0, word);
        assert!(!lock.is_held() && lock.fencing_token().is_none() && lock.recovered().is_none());
        assert_eq!((one.fencing_token(), one.recovered()), (None, None));
        assert!(lock.lock().is_err_and(overwritten));
        assert!(!matches!(lock.status().expect(HERE).state, LockState::HeldByThisHandle));
        intruder.scribble(0, 0);
        let again = lock.lock().expect("free again");
        drop(one);
        assert!(two.release().is_err() && lock.is_held(), "a former guard released the new hold");
        again.release().expect("held");
        assert_eq!(intruder.owner_word(), 0);
    }
}

/// A call that ends a hold or declares its data consistent.
type End = fn(&ShmLock) -> Result<(), Error>;

#[test]
fn releasing_a_nested_hold_reports_that_the_word_names_another_owner() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock = folder.lock("l").open().expect(HERE);
    let intruder = Intruder::on(&folder.file("l"));
    let overwritten = |error: Error| matches!(error, Error::Overwritten { .. });
    let ends: [End; 3] =
        [ShmLock::release, |lock| lock.force_release().map(drop), |lock| lock.declare_consistent()];
    for end in ends {
        lock.acquire().expect("free");
        lock.acquire().expect("nested");
        intruder.scribble(0, 77);
        assert!(end(&lock).is_err_and(overwritten));
        assert_eq!(intruder.owner_word(), 77, "the release changed the word");
        let _ = lock.force_release();
        intruder.scribble(0, 0);
    }
    let (one, two) = (lock.lock().expect("free"), lock.lock().expect("nested"));
    intruder.scribble(0, 77);
    assert!(two.release().is_err_and(overwritten));
    drop(one);
    assert_eq!(intruder.owner_word(), 77);
    intruder.scribble(0, 0);
}

#[test]
fn a_task_gets_an_error_when_the_word_names_another_owner() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock = folder.lock("l").open().expect(HERE);
    let intruder = Intruder::on(&folder.file("l"));
    lock.acquire().expect("free");
    intruder.scribble(0, 77);
    assert!(matches!(pollster::block_on(lock.lock_async()), Err(Error::Overwritten { .. })));
    intruder.scribble(0, 0);
    drop(pollster::block_on(lock.lock_async()).expect("free"));
}
