//! Users of one lock that see other process ids, other users or other clocks than each other. What
//! proves life belongs to the file, so that none of this matters; what is only told about the
//! holder says where it is from.

#![allow(unsafe_code, reason = "prctl")]

use std::process;
use std::time::{Duration, Instant};

use shmlock::{Error, ExitEvent, LockState, OwnerState, ShmLock};
use shmlock_tests::alone;
use shmlock_tests::hostile::{
    Apart, Child, Folder, Line, Solo, fork, fork_apart, fork_as, shift_clocks,
};

const HERE: &str = "a lock";
/// Short, so that a waiter looks at the owner's life many times.
const POLL: Duration = Duration::from_millis(5);
const MANY_POLLS: Duration = Duration::from_millis(100);

/// What the kernel shows for a user without a number.
const OVERFLOW: u32 = 65534;

fn own_pid() -> i64 {
    process::id().into()
}

/// A child here, or one with process ids of its own.
fn put(apart: bool, body: impl FnOnce(&Line)) -> Option<Child> {
    if apart { fork_apart(Apart::Pids, body) } else { Some(fork(body)) }
}

/// Takes the lock, tells our process id, and keeps it to the end.
fn hold(name: &str, line: &Line) {
    let lock = ShmLock::open(name).expect(HERE);
    let _guard = lock.lock().expect("free");
    line.say(own_pid());
    line.wait();
}

/// Finds the lock held by one who lives, and takes it over when that one is dead; who that was, by
/// its process id.
fn wait_for_death(name: &str, line: &Line) -> u32 {
    let lock = ShmLock::builder(name).poll_interval(POLL).open().expect(HERE);
    assert!(lock.try_lock().expect(HERE).is_none());
    assert!(lock.try_lock_for(MANY_POLLS).expect_err("it is held").is_timed_out());
    assert_eq!(lock.status().expect(HERE).occupancy, LockState::Held(OwnerState::Alive));
    line.ready();
    let guard = lock.lock().expect("its owner dies");
    let dead = guard.recovered().expect("it died").dead.expect("by our own doing");
    guard.declare_consistent().expect("held");
    dead.pid().expect("its record")
}

#[test]
fn an_owner_with_other_process_ids_is_not_robbed_while_it_lives_and_is_replaced_once_it_is_dead() {
    alone!(|| {
        for (owner_is_apart, taker_is_apart) in
            [(false, false), (true, false), (false, true), (true, true)]
        {
            let fixture = Solo::new();
            let name = fixture.name("l");
            let Some(owner) = put(owner_is_apart, |line| hold(&name, line)) else { return };
            let pid = owner.line().hear();
            assert_eq!(pid == 1, owner_is_apart);
            let Some(taker) = put(taker_is_apart, |line| {
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
fn an_owner_that_dies_with_its_whole_namespace_is_replaced() {
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
        // In a namespace of its own: there the id is certainly free again, and nobody else is given
        // it.
        let Some(init) = fork_apart(Apart::Pids, |line| {
            let owner = fork(|line| hold(&name, line));
            let pid = owner.line().hear();
            owner.kill();
            let Some(heir) = fork_as(i32::try_from(pid).expect("a process id"), |line| {
                assert_eq!(own_pid(), pid);
                let lock = ShmLock::open(&name).expect(HERE);
                assert_eq!(
                    lock.holder().expect(HERE).expect("the dead one").pid().map(i64::from),
                    Some(pid)
                );
                line.ready();
                line.wait(); // it lives, has the lock open, and has the very id that stands in the record
                assert!(lock.try_lock().expect(HERE).is_none(), "somebody else was given it");
            }) else {
                return line.say(0);
            };
            heir.line().wait();
            line.say(pid);
            line.wait();
            heir.line().ready();
            heir.ends_well();
        }) else {
            return;
        };
        let pid = init.line().hear();
        if pid != 0 {
            let lock = ShmLock::open(&name).expect(HERE);
            assert_eq!(lock.status().expect(HERE).occupancy, LockState::Held(OwnerState::Dead));
            let guard = lock.try_lock().expect(HERE).expect("a dead owner's");
            let dead = guard.recovered().expect("it died").dead.expect("by our own doing");
            assert_eq!(dead.pid().map(i64::from), Some(pid));
            guard.declare_consistent().expect("held");
            init.line().ready();
            init.ends_well();
        } else {
            init.ends_well();
            ShmLock::open(&name)
                .expect(HERE)
                .lock()
                .expect("dead")
                .declare_consistent()
                .expect("held");
        }
    });
}

#[test]
fn a_user_namespace_in_which_we_have_a_number_shares_the_lock() {
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
fn a_user_namespace_in_which_nobody_has_a_number_trusts_no_file() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let lock = folder.lock("l").open().expect(HERE);
        let _guard = lock.lock().expect("free");
        let Some(nobody) = fork_apart(Apart::Users, |_| {
            assert_eq!(rustix::process::geteuid().as_raw(), OVERFLOW);
            let error = folder.refuses(&folder.lock("l"));
            assert!(matches!(error, Error::ForeignOwner { uid: OVERFLOW, .. }), "{error:?}");
            let seen =
                folder.unchanged(|| folder.lock("l").inspect()).expect("who may read may look");
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
        assert_eq!(lock.status().expect(HERE).occupancy, LockState::HeldByThisHandle);
    });
}

/// Runs `body` in a process whose clocks are that many seconds ahead.
fn in_another_time(seconds: i64, body: impl FnOnce(&Line)) -> Child {
    fork(|line| {
        // Only children of ours are in the namespace.
        if shift_clocks(seconds) {
            fork(|_| body(line)).ends_well();
        } else {
            line.say(i64::MIN);
        }
    })
}

#[test]
fn deadlines_are_kept_among_processes_whose_clocks_differ() {
    const AHEAD: i64 = 1_000_000;
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let lock = folder.lock("l").open().expect(HERE);
        let guard = lock.lock().expect("free");
        let waiter = in_another_time(AHEAD, |line| {
            let event = ExitEvent::named_in("e", folder.path(), 0o600).expect("an event");
            let before_boot = Instant::now();
            for builder in [folder.lock("l"), folder.lock("l").exit_event(&event)] {
                let lock = builder.open().expect(HERE);
                let error = lock.try_lock_for(MANY_POLLS).expect_err("it is held");
                assert!(error.is_timed_out(), "{error:?}");
                assert!(before_boot.elapsed() >= MANY_POLLS);
            }
            line.ready();
            let lock =
                folder.lock("l").poll_interval(Duration::from_secs(3600)).open().expect(HERE);
            lock.acquire().expect("its holder wakes us");
        });
        if waiter.line().hear() == 0 {
            lock_is_waited_for(&lock);
            drop(guard);
        }
        waiter.ends_well();
    });
}

fn lock_is_waited_for(lock: &ShmLock) {
    shmlock_tests::until(|| lock.status().expect(HERE).waiters);
}

#[test]
fn since_when_it_is_held_is_wrong_by_the_difference_of_the_clocks() {
    const AHEAD: i64 = 1_000_000;
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let since =
            |lock: &ShmLock| lock.holder().expect(HERE).expect("held").since().expect("its record");
        let (ours, theirs) =
            (folder.lock("ours").open().expect(HERE), folder.lock("theirs").open().expect(HERE));
        ours.acquire().expect("free");
        let other = in_another_time(AHEAD, |line| {
            let (ours, theirs) = (
                folder.lock("ours").open().expect(HERE),
                folder.lock("theirs").open().expect(HERE),
            );
            let seen = since(&ours);
            theirs.acquire().expect("free");
            assert_eq!(since(&theirs), Duration::ZERO, "its own clock");
            line.say(i64::try_from(seen.as_secs()).expect("not so long"));
            line.wait();
        });
        let seen = other.line().hear();
        if seen != i64::MIN {
            assert!(
                seen >= AHEAD - 1,
                "our hold looks that much older from there, to half a second: {seen}"
            );
            assert_eq!(
                since(&theirs),
                Duration::ZERO,
                "and theirs from here as if it began in the future"
            );
            other.line().ready();
        }
        other.ends_well();
        ours.release().expect("held");
    });
}
