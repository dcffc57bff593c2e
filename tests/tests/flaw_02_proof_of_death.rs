//! Flaw 2: between the proof of death and the change of the word, a new handle may draw the dead
//! owner's token. The cure: the recovering handle locks the token's byte itself, and keeps the lock
//! while it changes the word.
//!
//! Flaw 3: a handle does not see its own byte locks through its own description. A handle that
//! finds its own token in the word while it holds nothing must know that no live handle owns the
//! lock. It must never unlock its own life byte.

use std::mem::forget;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use shmlock::{Error, LockState, OwnerState};
use shmlock_tests::hostile::{Denied, Folder, Intruder, Mode, Solo, aside, byte_of, deny};

const HERE: &str = "a lock of this process";

/// Leaves the lock as a dead owner does, and returns its token.
fn die_holding(folder: &Folder) -> u32 {
    let lock = folder.lock("l").open().expect(HERE);
    forget(lock.lock().expect(HERE));
    lock.holder().expect(HERE).expect("us").token()
}

#[test]
fn while_a_rival_has_the_dead_owners_byte_no_handle_recovers() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let token = die_holding(&folder);
    let byte = byte_of(token)..=byte_of(token);
    let lock = folder.lock("l").poll_interval(Duration::from_millis(1)).open().expect(HERE);
    for mode in [Mode::Write, Mode::Read] {
        let rival = Intruder::on(&folder.file("l"));
        assert!(rival.lock(mode, &byte), "the dead owner's byte is locked");
        assert!(lock.try_lock().expect(HERE).is_none());
        let error =
            lock.try_lock_for(Duration::from_millis(20)).expect_err("in doubt the owner lives");
        assert!(
            error.is_timed_out() && error.holder().expect("the dead one").token() == token,
            "{error}"
        );
        assert!(rival.lock_of_others(&byte).is_none(), "another handle has locked the byte");
    }
    let guard = lock.try_lock().expect(HERE).expect("the rival unlocked the byte");
    assert_eq!(guard.recovered().expect("the owner died").dead.expect("its record").token(), token);
    guard.declare_consistent().expect("held");
    let left = Intruder::on(&folder.file("l")).lock_of_others(&byte);
    assert!(left.is_none(), "the byte of an unused token is locked: {left:?}");
}

/// A newcomer draws the token after the query for the byte and before the attempt to lock it. The
/// query alone said "dead".
#[test]
fn a_byte_that_looks_free_and_cannot_be_locked_proves_nothing() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let token = die_holding(&folder);
    aside(|| {
        let lock = folder.lock("l").poll_interval(Duration::from_millis(1)).open().expect(HERE);
        if !deny(&[Denied::fcntl(libc::F_OFD_SETLK, libc::EAGAIN)]) {
            return;
        }
        assert_eq!(
            lock.status().expect(HERE).state,
            LockState::Held(OwnerState::Dead),
            "the query says dead"
        );
        assert!(lock.try_lock().expect(HERE).is_none());
        assert!(lock.try_lock_for(Duration::from_millis(20)).is_err());
    });
    let lock = folder.lock("l").open().expect(HERE);
    assert_eq!(Intruder::on(&folder.file("l")).owner_word() & 0x3fff_ffff, token);
    lock.try_lock().expect(HERE).expect("without the rival").declare_consistent().expect("held");
}

#[test]
fn of_two_handles_that_find_a_dead_owner_exactly_one_recovers() {
    const ROUNDS: u32 = 200;
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let barrier = Barrier::new(3);
    let recover = |_| {
        let lock = folder.lock("l").open().expect(HERE);
        let mut recovered_count = 0;
        for _ in 0..ROUNDS {
            barrier.wait();
            let guard = lock.lock().expect("one after the other");
            if let Some(recovered) = guard.recovered() {
                assert!(recovered.dead.is_some(), "the death was reported twice");
                guard.declare_consistent().expect("held");
                recovered_count += 1;
            }
            guard.release().expect("no other handle has taken it");
            barrier.wait();
        }
        recovered_count
    };
    thread::scope(|scope| {
        let recoverers = [1, 2].map(|number| scope.spawn(move || recover(number)));
        for _ in 0..ROUNDS {
            let _token = die_holding(&folder);
            barrier.wait();
            barrier.wait();
        }
        let counts = recoverers.map(|recoverer| recoverer.join().expect("no panic"));
        assert_eq!(counts.iter().sum::<u32>(), ROUNDS, "{counts:?}");
    });
}

#[test]
fn a_handle_that_holds_nothing_recovers_at_once_from_its_own_token() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock = folder.lock("l").open().expect(HERE);
    let intruder = Intruder::on(&folder.file("l"));
    lock.acquire().expect(HERE);
    let token = intruder.owner_word();
    lock.release().expect(HERE);
    for flags in [0, 1 << 31, 1 << 30] {
        intruder.scribble(0, token | flags);
        assert_eq!(lock.status().expect(HERE).state, LockState::Held(OwnerState::Dead));
        let guard = lock.try_lock().expect(HERE).expect("no other handle can have this token");
        assert_eq!(guard.recovered().expect("a recovery").dead.expect("the token").token(), token);
        guard.declare_consistent().expect("held");
    }
}

#[test]
fn probing_never_unlocks_the_handles_own_life_byte() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let (lock, other) =
        (folder.lock("l").open().expect(HERE), folder.lock("l").open().expect(HERE));
    let intruder = Intruder::on(&folder.file("l"));
    let alive = || {
        let guard = lock.try_lock().expect(HERE).expect("free");
        assert_eq!(other.status().expect(HERE).state, LockState::Held(OwnerState::Alive));
        assert!(other.try_lock().expect(HERE).is_none());
        drop(guard);
    };
    lock.acquire().expect(HERE);
    let token = intruder.owner_word();
    lock.release().expect(HERE);
    alive();
    intruder.scribble(0, token);
    assert_eq!(lock.status().expect(HERE).state, LockState::Held(OwnerState::Dead));
    lock.try_lock().expect(HERE).expect("recovered").declare_consistent().expect("held");
    alive();
    intruder.scribble(0, 0x0012_3456); // a dead owner's
    lock.try_lock().expect(HERE).expect("recovered").declare_consistent().expect("held");
    alive();
    assert!(!matches!(lock.release(), Err(Error::Overwritten { .. })));
}
