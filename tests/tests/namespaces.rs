//! Checks users of one lock that see different process ids or users. The proof of life belongs to
//! the file, so neither matters to it. What a handle says about the holder states where it is from.

#![allow(unsafe_code, reason = "prctl")]

use std::process;
use std::time::Duration;

use shmlock::{Error, LockState, OwnerState, ShmLock};
use shmlock_tests::alone;
use shmlock_tests::hostile::{Apart, Child, Folder, Line, Solo, fork, fork_apart, fork_as};

const HERE: &str = "a lock";
/// Short, so that a waiter probes the owner many times.
const POLL: Duration = Duration::from_millis(5);
const MANY_POLLS: Duration = Duration::from_millis(100);

/// The user id that the kernel shows for an unmapped user.
const OVERFLOW: u32 = 65534;

fn own_pid() -> i64 {
    process::id().into()
}

/// Forks a child, in this PID namespace or in one of its own.
fn fork_child(apart: bool, body: impl FnOnce(&Line)) -> Option<Child> {
    if apart { fork_apart(Apart::Pids, body) } else { Some(fork(body)) }
}

/// Acquires the lock, reports this process's id, and holds the lock to the end.
fn hold(name: &str, line: &Line) {
    let lock = ShmLock::open(name).expect(HERE);
    let _guard = lock.lock().expect("free");
    line.say(own_pid());
    line.wait();
}

/// Asserts that a living owner holds the lock, and recovers it when that owner is dead. Returns the
/// process id of the dead owner.
fn wait_for_death(name: &str, line: &Line) -> u32 {
    let lock = ShmLock::builder(name).poll_interval(POLL).open().expect(HERE);
    assert!(lock.try_lock().expect(HERE).is_none());
    assert!(lock.try_lock_for(MANY_POLLS).expect_err("it is held").is_timed_out());
    assert_eq!(lock.status().expect(HERE).state, LockState::Held(OwnerState::Alive));
    line.ready();
    let guard = lock.lock().expect("its owner dies");
    let dead = guard.recovered().expect("it died").dead.expect("an owner record");
    guard.declare_consistent().expect("held");
    dead.pid().expect("its record")
}

#[test]
fn an_owner_in_another_pid_namespace_is_recovered_from_only_after_its_death() {
    alone!(|| {
        for (owner_is_apart, taker_is_apart) in
            [(false, false), (true, false), (false, true), (true, true)]
        {
            let fixture = Solo::new();
            let name = fixture.name("l");
            let Some(owner) = fork_child(owner_is_apart, |line| hold(&name, line)) else { return };
            let pid = owner.line().hear();
            assert_eq!(pid == 1, owner_is_apart);
            let Some(taker) = fork_child(taker_is_apart, |line| {
                assert_eq!(own_pid() == 1, taker_is_apart, "both may have the same number");
                let holder =
                    ShmLock::open(&name).expect(HERE).holder().expect(HERE).expect("the owner");
                let apart = owner_is_apart || taker_is_apart;
                assert_eq!(
                    (holder.pid().map(i64::from), holder.pid_is_ours()),
                    (Some(pid), Some(!apart))
                );
                assert_eq!(i64::from(wait_for_death(&name, line)), pid);
            }) else {
                return;
            };
            taker.line().wait();
            owner.kill();
            taker.ends_well();
        }
    });
}

#[test]
fn an_owner_that_dies_with_its_whole_pid_namespace_is_recovered_from() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let Some(init) = fork_apart(Apart::Pids, |line| {
            let owner = fork(|_| {
                // SAFETY: prctl(2) with two numbers: its parent's death alone does not end it.
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, 0) };
                hold(&name, line);
            });
            owner.ends_well();
        }) else {
            return;
        };
        assert_ne!(init.line().hear(), 1);
        let taker = fork(|line| assert_ne!(wait_for_death(&name, line), 1));
        taker.line().wait();
        init.kill();
        taker.ends_well();
    });
}

#[test]
fn a_new_process_with_the_dead_owners_id_does_not_vouch_for_it() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        // In a namespace of its own, the id is certainly free again, and no other process gets it.
        let Some(init) = fork_apart(Apart::Pids, |line| {
            let owner = fork(|line| hold(&name, line));
            let pid = owner.line().hear();
            owner.kill();
            let Some(reuser) = fork_as(i32::try_from(pid).expect("a process id"), |line| {
                assert_eq!(own_pid(), pid);
                let lock = ShmLock::open(&name).expect(HERE);
                assert_eq!(
                    lock.holder().expect(HERE).expect("the dead owner").pid().map(i64::from),
                    Some(pid)
                );
                line.ready();
                line.wait(); // it lives, has the lock open, and has the process id in the record
                assert!(
                    lock.try_lock().expect(HERE).is_none(),
                    "a third process did not acquire the lock"
                );
            }) else {
                return line.say(0);
            };
            reuser.line().wait();
            line.say(pid);
            line.wait();
            reuser.line().ready();
            reuser.ends_well();
        }) else {
            return;
        };
        let pid = init.line().hear();
        if pid != 0 {
            let lock = ShmLock::open(&name).expect(HERE);
            assert_eq!(lock.status().expect(HERE).state, LockState::Held(OwnerState::Dead));
            let guard = lock.try_lock().expect(HERE).expect("a dead owner's");
            let dead = guard.recovered().expect("it died").dead.expect("its record");
            assert_eq!(dead.pid().map(i64::from), Some(pid));
            guard.declare_consistent().expect("held");
            init.line().ready();
            init.ends_well();
        } else {
            init.ends_well();
            ShmLock::open(&name)
                .expect(HERE)
                .lock()
                .expect("a dead owner's")
                .declare_consistent()
                .expect("held");
        }
    });
}

#[test]
fn a_user_namespace_in_which_the_owner_is_mapped_shares_the_lock() {
    alone!(|| {
        for owner_is_apart in [true, false] {
            let fixture = Solo::new();
            let name = fixture.name("l");
            let begin = |apart: bool, body: &dyn Fn(&Line)| {
                let body = |line: &Line| {
                    line.wait(); // until it has a user
                    assert!(!apart || rustix::process::geteuid().is_root());
                    body(line);
                };
                let child = if apart { fork_apart(Apart::Users, body)? } else { fork(body) };
                if apart {
                    child.become_root();
                }
                child.line().ready();
                Some(child)
            };
            let Some(owner) = begin(owner_is_apart, &|line| hold(&name, line)) else { return };
            let pid = owner.line().hear();
            let Some(taker) = begin(!owner_is_apart, &|line| {
                assert_eq!(i64::from(wait_for_death(&name, line)), pid);
            }) else {
                return;
            };
            taker.line().wait();
            owner.kill();
            taker.ends_well();
        }
    });
}

#[test]
fn a_user_namespace_without_mapped_users_trusts_no_file() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let lock = folder.lock("l").open().expect(HERE);
        let _guard = lock.lock().expect("free");
        let Some(nobody) = fork_apart(Apart::Users, |_| {
            assert_eq!(rustix::process::geteuid().as_raw(), OVERFLOW);
            let error = folder.refuses(&folder.lock("l"));
            assert!(matches!(error, Error::ForeignOwner { uid: OVERFLOW, .. }), "{error:?}");
            let seen = folder.unchanged(|| folder.lock("l").inspect()).expect("may be read");
            assert!(seen.expect("there").holder.expect("our parent").pid().is_some());
            let of_its_own = folder.refuses(&folder.lock("new"));
            assert!(
                matches!(of_its_own, Error::ForeignOwner { uid: OVERFLOW, .. }),
                "{of_its_own:?}"
            );
        }) else {
            return;
        };
        nobody.ends_well();
        assert_eq!(lock.status().expect(HERE).state, LockState::HeldByThisHandle);
    });
}
