//! Flaw 1: a newcomer draws the token of a dead owner, and the dead owner then looks alive.
//!
//! The cure: a handle that draws a token that is in the owner word frees the word, sets DIED, and
//! wakes a sleeping waiter.

use std::path::PathBuf;
use std::time::Duration;

use shmlock::{Errno, Error, LockState, ShmLock};
use shmlock_tests::hostile::{
    Denied, Folder, If, Intruder, Mode, Solo, assert_says, byte_of, deny, fork,
};
use shmlock_tests::{alone, proc, until};

const HOUR: Duration = Duration::from_secs(3600);

/// The token of a dead owner.
const DEAD: u32 = 0x0abc_def0;
const WAITERS: u32 = 1 << 31;
const DIED: u32 = 1 << 30;

fn path_of(name: &str) -> PathBuf {
    PathBuf::from(format!("/dev/shm/{name}.shmlock"))
}

/// Returns the token of a handle, which the word shows while the handle holds the lock.
fn token_of(lock: &ShmLock) -> u32 {
    let _guard = lock.try_lock().expect("a lock").expect("a free one");
    lock.holder().expect("a lock").expect("us").token()
}

#[test]
fn a_handle_that_draws_the_token_of_a_dead_owner_frees_the_lock() {
    for word in [DEAD, DEAD | WAITERS, DEAD | DIED, DEAD | DIED | WAITERS] {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let first = ShmLock::open(&name).expect("a new lock");
        let intruder = Intruder::on(&path_of(&name));
        intruder.occupy_all_tokens_but(Some(DEAD));
        intruder.scribble(0, word);
        let recoveries = first.status().expect("a lock").recoveries;
        let newcomer = ShmLock::open(&name).expect("one token is left");
        assert_eq!(intruder.owner_word(), DIED, "of {word:#x}");
        let health = first.status().expect("a lock");
        assert_eq!((health.state, health.recoveries), (LockState::Unlocked, recoveries + 1));
        let guard = first.try_lock().expect("a lock").expect("free");
        assert!(guard.recovered().is_some(), "no recovery reported to the next owner");
        guard.declare_consistent().expect("held");
        drop(guard);
        assert_eq!(token_of(&newcomer), DEAD);
    }
}

#[test]
fn a_sleeping_waiter_is_woken_when_a_newcomer_draws_the_dead_owners_token() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        // Only a wake ends its second sleep within the test: it can start no thread that watches,
        // and its interval is an hour.
        let sleeper = fork(|line| {
            let refused = |call| Denied { call, when: If::Called, errno: libc::EAGAIN };
            if !deny(&[refused(libc::SYS_clone), refused(libc::SYS_clone3)]) {
                line.say(0);
                return;
            }
            let lock = ShmLock::builder(&name).poll_interval(HOUR).open().expect("a new lock");
            line.say(1);
            line.wait();
            let guard = lock.lock().expect("its owner's token is drawn");
            let recovered = guard.recovered().expect("an owner died");
            assert!(recovered.dead.is_none(), "not the newcomer has freed it: {recovered:?}");
            guard.declare_consistent().expect("held");
            line.ready();
            line.wait();
        });
        if sleeper.line().hear() == 0 {
            return;
        }
        let intruder = Intruder::on(&path_of(&name));
        intruder.occupy_all_tokens_but(Some(DEAD));
        let owner = Intruder::on(&path_of(&name));
        let proof = byte_of(DEAD)..=byte_of(DEAD);
        assert!(owner.lock(Mode::Write, &proof), "another handle has the token");
        owner.scribble(0, DEAD);
        sleeper.line().ready();
        until(|| intruder.owner_word() == DEAD | WAITERS);
        proc::comes_to_rest(sleeper.pid().unsigned_abs()); // it sleeps for an interval
        drop(owner); // dead, and no waiter probes
        let newcomer = ShmLock::open(&name).expect("with the dead owner's token");
        sleeper.line().wait();
        assert!(newcomer.try_lock().expect("a lock").is_none());
        sleeper.line().ready();
        sleeper.ends_well();
    });
}

#[test]
fn the_draw_skips_tokens_that_others_have() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let handles: Vec<_> = (0..3).map(|_| ShmLock::open(&name).expect("a lock")).collect();
    let mut tokens: Vec<_> = handles.iter().map(token_of).collect();
    let intruder = Intruder::on(&path_of(&name));
    intruder.occupy_all_tokens_but(Some(DEAD));
    let last = ShmLock::open(&name).expect("one token is left");
    tokens.push(token_of(&last));
    assert_eq!(tokens[3], DEAD);
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), 4, "two handles share a token");
}

#[test]
fn without_a_free_token_opening_fails_and_changes_nothing() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let path = folder.put("l", &[0; 192]);
    let intruder = Intruder::on(&path);
    intruder.scribble(8, u32::from_le_bytes(*b"SHL\x01"));
    intruder.occupy_all_tokens_but(None);
    let error = folder.lock("l").open().expect_err("no free token");
    assert!(
        matches!(error, Error::System { .. }) && error.errno() == Some(Errno::AGAIN),
        "{error:?}"
    );
    assert_says(&error, &["free token", "l.shmlock", "lslocks"]);
    assert_eq!(intruder.owner_word(), 0);
    drop(intruder);
    assert!(folder.lock("l").open().is_ok());
}

#[test]
fn a_handle_that_reuses_a_token_overwrites_the_whole_owner_record() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let first = ShmLock::open(&name).expect("a new lock");
    let intruder = Intruder::on(&path_of(&name));
    intruder.occupy_all_tokens_but(Some(DEAD));
    for text in ["former", "present"] {
        let lock = ShmLock::builder(&name).description(text).open().expect("one token is left");
        assert_eq!(token_of(&lock), DEAD);
        let guard = lock.lock().expect("free");
        let holder = first.holder().expect("a lock").expect("it");
        assert_eq!((holder.uuid(), holder.description()), (Some(lock.uuid()), text));
        drop(guard);
    }
}
