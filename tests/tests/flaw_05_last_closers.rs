//! Flaw 5: two handles that close last at one time block each other, and the file stays. Flaw 11: a
//! process that is stopped while it closes last keeps every opener out. Flaw 13: in a sticky
//! directory only its owner can remove the file.

use std::fs;
use std::hint;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use shmlock::{Errno, Error, ExitEvent, ShmLock};
use shmlock_tests::hostile::{
    Child, Folder, Intruder, Mode, PRESENCE, Solo, as_root, assert_says, be_user, fork,
    leave_descriptors,
};
use shmlock_tests::{Account, alone, rounds, until};

/// Waits until all processes have come this far. Those on a CPU continue within the same instant.
fn start_together(account: &Account, arrivals: u64) {
    account.rounds.fetch_add(1, Relaxed);
    let all_are_here = || {
        hint::spin_loop();
        account.rounds.load(Relaxed) >= arrivals
    };
    until(|| (0..300).any(|_| all_are_here()));
}

/// Opens and closes in step in this many processes; asserts that no round leaves the file.
fn assert_none_leaves_the_file(closers: u64, rounds: u64) {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let path = format!("/dev/shm/{name}.shmlock");
    let account = Account::new();
    let work = |leads: bool| {
        for round in 0..rounds {
            let lock = ShmLock::open(&name).expect("a lock");
            start_together(&account, (3 * round + 1) * closers);
            drop(lock);
            start_together(&account, (3 * round + 2) * closers);
            if leads && fs::exists(&path).expect("/dev/shm") {
                account.count.fetch_add(1, Relaxed);
            }
            start_together(&account, (3 * round + 3) * closers);
        }
    };
    let children: Vec<_> = (0..closers).map(|number| fork(|_| work(number == 0))).collect();
    children.into_iter().for_each(Child::ends_well);
    assert_eq!(account.balance(), 0, "rounds of {rounds} that left the file");
}

#[test]
fn two_processes_that_close_last_at_one_time_leave_no_file() {
    alone!(|| assert_none_leaves_the_file(2, rounds(3000)));
}

#[test]
fn four_processes_that_close_last_at_one_time_leave_no_file() {
    alone!(|| assert_none_leaves_the_file(4, rounds(3000)));
}

/// An opener sets its presence, then has no descriptor left. Its presence must not keep the last
/// closer from removing the file if the opener does not remove it either.
#[test]
fn an_opener_that_runs_out_of_descriptors_leaves_no_file() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let path = format!("/dev/shm/{name}.shmlock");
        let account = Account::new();
        let rounds = rounds(300);
        let failing = fork(|_| {
            let _used = leave_descriptors(1);
            for round in 0..rounds {
                start_together(&account, 4 * round + 2);
                for _ in 0..20 {
                    assert!(
                        ShmLock::open(&name)
                            .is_err_and(|error| error.errno() == Some(Errno::MFILE))
                    );
                }
                start_together(&account, 4 * round + 4);
            }
        });
        for round in 0..rounds {
            start_together(&account, 4 * round + 2);
            for _ in 0..20 {
                drop(ShmLock::open(&name).expect("a lock"));
            }
            start_together(&account, 4 * round + 4);
            assert!(!fs::exists(&path).expect("/dev/shm"), "left in round {round}");
        }
        failing.ends_well();
    });
}

#[test]
fn while_the_last_closer_is_stopped_opening_times_out() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let path = folder.put("l", &[0; 192]);
    let stopped = Intruder::on(&path);
    assert!(stopped.lock(Mode::Write, &(PRESENCE..=PRESENCE)), "a handle is present");
    let timeout = Duration::from_millis(100);
    let start = Instant::now();
    let error = folder.refuses(&folder.lock("l").open_timeout(timeout));
    let Error::OpenTimedOut { path: named, waited } = &error else { panic!("{error:?}") };
    assert_eq!(named, &path);
    assert!(
        *waited >= timeout && start.elapsed() < Duration::from_secs(10),
        "{waited:?}, {:?}",
        start.elapsed()
    );
    assert_says(&error, &["closing", "l.shmlock", "continue or kill", "fuser"]);
    let error = folder.refuses(&folder.lock("l").open_timeout(Duration::ZERO));
    assert!(matches!(error, Error::OpenTimedOut { .. }), "{error:?}");
    drop(stopped); // the closer continues and has closed
    assert!(
        folder
            .lock("l")
            .open_timeout(Duration::ZERO)
            .open()
            .expect("at once")
            .try_lock()
            .expect("a lock")
            .is_some()
    );
}

#[test]
fn an_opener_that_waits_for_a_closer_continues_when_it_is_done() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let path = folder.put("l", &[0; 192]);
    let closer = Intruder::on(&path);
    assert!(closer.lock(Mode::Write, &(PRESENCE..=PRESENCE)), "a handle is present");
    std::thread::scope(|scope| {
        let opener =
            scope.spawn(|| folder.lock("l").open_timeout(Duration::from_secs(60)).open().map(drop));
        fs::remove_file(&path).expect("as a closer does");
        drop(closer);
        opener.join().expect("no panic").expect("a new file");
    });
    assert!(folder.names().is_empty());
}

#[test]
fn the_last_close_of_an_event_removes_its_file() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let open = || ExitEvent::named_in("e", folder.path(), 0o600).expect("an event");
    let (one, two) = (open(), open());
    one.set().expect("ours");
    drop(one);
    assert_eq!(folder.names(), ["e.shmlock-event"]);
    assert!(two.is_set().expect("ours"));
    drop(two); // set or not
    assert!(folder.names().is_empty());
    assert!(!open().is_set().expect("a new one"));
}

#[test]
fn in_a_sticky_directory_the_file_stays_for_its_owner_to_remove() {
    if !as_root("being two users") {
        return;
    }
    alone!(|| {
        const GROUP: u32 = 54_323;
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).expect("ours");
        let visitor = |user| {
            let folder = &folder;
            fork(move |line| {
                be_user(user, GROUP);
                let lock = folder.lock("l").mode(0o660).open().expect("the group's");
                line.ready();
                line.wait();
                assert!(lock.try_lock().expect("a lock").is_some(), "a free lock");
            })
        };
        let leave = |visitor: Child| {
            visitor.line().ready();
            visitor.ends_well();
        };
        let owner = visitor(54_321);
        owner.line().wait();
        let other = visitor(54_322);
        other.line().wait();
        leave(owner);
        leave(other);
        assert_eq!(folder.names(), ["l.shmlock"], "a user other than the owner removed it");
        let other = visitor(54_322);
        other.line().wait();
        leave(other);
        let owner = visitor(54_321);
        owner.line().wait();
        leave(owner);
        assert!(folder.names().is_empty(), "the owner did not remove it");
    });
}
