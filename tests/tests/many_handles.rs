//! Checks a process with many handles on one name. From some number on they share attachments: a
//! mapping, a descriptor, and a byte lock on many tokens. Others see no difference.

#![allow(unsafe_code, reason = "closes descriptors behind the library's back")]

use std::collections::HashSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use std::{mem, thread};

use shmlock::{Error, LockState, OwnerState, ShmLock};
use shmlock_tests::hostile::{Folder, Intruder, Solo, fork};
use shmlock_tests::{alone, rounds, until};

const HERE: &str = "a lock of this process";
/// Short, so that a waiter probes the owner many times.
const POLL: Duration = Duration::from_millis(5);

/// Enough that the last of them share.
const MANY: usize = 100;

fn open(folder: &Folder) -> ShmLock {
    folder.lock("l").poll_interval(POLL).open().expect(HERE)
}

/// Opens handles. Those behind the first `MANY` share attachments.
fn open_many(folder: &Folder, count: usize) -> Vec<ShmLock> {
    let file = folder.file("l");
    let handles: Vec<_> = (0..count).map(|_| open(folder)).collect();
    assert!(descriptors_of(&file).len() < count, "no handle shares: this test checks nothing");
    handles
}

/// Returns the numbers of the descriptors of this process that lead to the file.
fn descriptors_of(file: &Path) -> Vec<i32> {
    let entries = fs::read_dir("/proc/self/fd").expect("/proc").flatten();
    let ours =
        entries.filter(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == file));
    ours.map(|entry| entry.file_name().to_str().expect("ASCII").parse().expect("a number"))
        .collect()
}

/// Returns how many byte locks the file has. Those of the presence byte count as one.
fn byte_locks_of(file: &Path) -> usize {
    Intruder::on(file).locks_of_others().len()
}

fn assert_held_by_a_living_owner(lock: &ShmLock) {
    assert!(lock.try_lock_for(5 * POLL).expect_err("it is held").is_timed_out());
    assert_eq!(lock.status().expect(HERE).state, LockState::Held(OwnerState::Alive));
}

#[test]
fn descriptors_and_byte_locks_grow_slower_than_the_handles() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let file = folder.file("l");
        let handles = open_many(&folder, 5000);
        let (descriptors, locks) = (descriptors_of(&file).len(), byte_locks_of(&file));
        assert!(descriptors < 80 && locks < 80, "{descriptors} descriptors, {locks} byte locks");
        drop(handles);
        assert!(folder.names().is_empty() && descriptors_of(&file).is_empty());
    });
}

/// A token that is still taken would need a new attachment in some round.
#[test]
fn closed_handles_return_their_tokens() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let handles = open_many(&folder, MANY);
        let before = byte_locks_of(&folder.file("l"));
        for _ in 0..2000 {
            drop(open(&folder).lock().expect("free"));
        }
        let _last = open(&folder);
        assert_eq!(byte_locks_of(&folder.file("l")), before);
        drop(handles);
    });
}

#[test]
fn every_handle_has_a_token_of_its_own_and_excludes_all_others() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let handles = open_many(&folder, 3 * MANY);
        let mut tokens = HashSet::new();
        for (index, handle) in handles.iter().enumerate() {
            let guard = handle.lock().expect("free");
            assert!(guard.recovered().is_none(), "{index}: no owner has died");
            tokens.insert(handle.holder().expect(HERE).expect("this one").token());
            for other in [index + 1, index + 64, index + 200].map(|other| other % handles.len()) {
                assert!(handles[other].try_lock().expect(HERE).is_none(), "{index}, {other}");
            }
        }
        assert_eq!(tokens.len(), handles.len());
    });
}

#[test]
fn another_process_sees_the_owner_live_and_die_with_its_process() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let owner = fork(|line| {
            let mut handles = open_many(&folder, MANY);
            let last = handles.pop().expect("many");
            last.acquire().expect("free");
            mem::forget(last);
            drop(handles);
            line.ready();
            line.wait();
        });
        owner.line().wait();
        let lock = open(&folder);
        let uuid = lock.holder().expect(HERE).expect("the child").uuid();
        assert_held_by_a_living_owner(&lock);
        owner.kill();
        let guard = lock.lock().expect("its owner has been killed");
        let dead = guard.recovered().expect("a death").dead.expect("by its record");
        assert_eq!(dead.uuid(), uuid);
        guard.declare_consistent().expect("held");
    });
}

#[test]
fn a_leaked_guard_counts_as_a_death_when_its_handle_is_dropped() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let mut handles = open_many(&folder, MANY);
        let last = handles.pop().expect("many");
        mem::forget(last.lock().expect("free"));
        let uuid = last.uuid();
        let waiter = fork(|_line| {
            let lock = folder.lock("l").open().expect(HERE);
            let guard = lock.lock().expect("free in the end");
            let dead = guard.recovered().expect("the death is told").dead.expect("by its record");
            assert_eq!(dead.uuid(), Some(uuid));
            assert_eq!(dead.pid(), Some(std::os::unix::process::parent_id()));
            guard.declare_consistent().expect("held");
        });
        until(|| last.status().expect(HERE).waiters);
        drop(last);
        waiter.ends_well();
        let next = open(&folder);
        assert!(next.lock().expect("free").recovered().is_none(), "declared consistent");
    });
}

#[test]
fn a_forked_child_refuses_its_parents_handles_and_takes_nothing_from_them() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let handles = open_many(&folder, MANY);
        let holder = handles.last().expect("many");
        let guard = holder.lock().expect("free");
        let child = fork(|_line| {
            for handle in &handles {
                assert!(matches!(handle.try_lock(), Err(Error::ForkedHandle { .. })));
            }
            let copies: Vec<ShmLock> = handles
                .iter()
                .map(|handle| {
                    // SAFETY: a bitwise copy, of which only the copy is dropped in this process.
                    unsafe { std::ptr::read(handle) }
                })
                .collect();
            drop(copies);
            let own = open_many(&folder, MANY);
            assert_held_by_a_living_owner(own.last().expect("many"));
            drop(own);
        });
        child.ends_well();
        assert!(holder.is_held(), "the parent lost its hold");
        assert!(handles[0].try_lock().expect(HERE).is_none());
        drop(guard);
        drop(handles);
        assert!(folder.names().is_empty());
    });
}

#[test]
fn the_last_of_many_handles_removes_the_file_whichever_it_is() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        for last in [0, 63, 64, 65, MANY - 1] {
            let mut handles = open_many(&folder, MANY);
            let last = handles.swap_remove(last);
            drop(handles);
            assert_eq!(folder.names(), ["l.shmlock"], "it is in use");
            assert!(!last.status().expect(HERE).orphaned);
            drop(last.lock().expect("free"));
            drop(last);
            assert!(folder.names().is_empty());
        }
    });
}

#[test]
fn a_further_handle_is_judged_as_the_first_one() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let file = folder.file("l");
        let handles = open_many(&folder, MANY);
        fs::set_permissions(&file, Permissions::from_mode(0o666)).expect("ours");
        let error = folder.lock("l").open().expect_err("a wider mode");
        assert!(matches!(error, Error::InUseWithOtherMode { .. }), "{error:?}");
        drop(folder.lock("l").mode(0o666).open().expect("asked for"));
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("ours");
        drop(open(&folder));

        fs::remove_file(&file).expect("ours");
        let other = fork(|line| {
            let lock = open(&folder);
            lock.acquire().expect("a new lock");
            line.ready();
            line.wait();
        });
        other.line().wait();
        let new = [(); 3].map(|()| open(&folder));
        assert!(new.iter().all(|new| new.try_lock().expect(HERE).is_none()), "held by the child");
        assert!(handles[0].try_lock().expect(HERE).is_some(), "of the removed file");
        assert!(matches!(handles[0].try_clone(), Err(Error::Orphaned { .. })));
        other.line().ready();
        other.ends_well();
        drop(new);
        assert!(folder.names().is_empty(), "{:?}", folder.names());
    });
}

/// The memory of a truncated file is a fault: no handle may look there first.
#[test]
fn a_further_handle_of_a_truncated_lock_is_refused_or_completes_it() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let handles = open_many(&folder, MANY);
        let intruder = Intruder::on(&folder.file("l"));
        intruder.file().set_len(64).expect("a peer may");
        let error = folder.lock("l").open().expect_err("no lock");
        assert!(matches!(error, Error::NotALock { .. }), "{error:?}");
        intruder.file().set_len(0).expect("a peer may");
        let newcomer = open(&folder);
        assert!(newcomer.try_lock().expect("a lock").is_some());
        assert!(handles[MANY - 1].try_lock().expect("the same memory").is_some());
        intruder.scribble(8, 0x1234_5678);
        let error = folder.lock("l").open().expect_err("no lock");
        assert!(matches!(error, Error::NotALock { .. }), "{error:?}");
    });
}

/// Where the system refuses what a death among many handles needs, the lock is free all the same.
#[test]
fn a_leaked_guard_counts_as_a_death_although_no_token_is_left_to_die_by() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let mut handles = open_many(&folder, MANY);
        let last = handles.pop().expect("many");
        mem::forget(last.lock().expect("free"));
        let intruder = Intruder::on(&folder.file("l"));
        intruder.occupy_all_tokens_but(None);
        drop(last);
        let guard = handles[0].lock().expect("free");
        assert_eq!(guard.recovered().expect("a death").dead, None, "freed with DIED");
        guard.declare_consistent().expect("held");
    });
}

/// Handles that share an attachment share the description through which deaths are proven.
#[test]
fn of_many_threads_that_find_a_dead_owner_one_recovers_the_lock() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let mut handles = open_many(&folder, MANY);
        let sharing = handles.split_off(MANY - 4);
        let (inside, recovered) = (AtomicU32::new(0), AtomicU32::new(0));
        for round in 1..=rounds(200) {
            let dead = folder.lock("l").lifeline(true).open().expect(HERE);
            mem::forget(dead.lock().expect("free"));
            drop(dead);
            let barrier = Barrier::new(sharing.len());
            let enter = |lock: ShmLock| {
                barrier.wait();
                let guard = lock.lock().expect("its owner is dead");
                assert_eq!(inside.fetch_add(1, Relaxed), 0, "two owners");
                if guard.recovered().is_some() {
                    guard.declare_consistent().expect("held");
                    recovered.fetch_add(1, Relaxed);
                }
                inside.fetch_sub(1, Relaxed);
                drop(guard);
                drop(lock);
            };
            thread::scope(|scope| {
                for handle in &sharing {
                    let lock = handle.try_clone().expect(HERE);
                    scope.spawn(move || enter(lock));
                }
            });
            assert_eq!(u64::from(recovered.load(Relaxed)), round, "told once of each death");
        }
    });
}

#[test]
fn threads_open_use_and_close_many_handles_at_once() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let kept = open_many(&folder, MANY);
        let count = AtomicU32::new(0);
        let add = || {
            for round in 0..20 {
                let handles: Vec<_> = (0..MANY + round).map(|_| open(&folder)).collect();
                for handle in &handles {
                    let _guard = handle.lock().expect("free in the end");
                    // Not by one addition: two owners would lose one.
                    count.store(count.load(Relaxed) + 1, Relaxed);
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(add);
            }
        });
        let each: usize = (0..20).map(|round| MANY + round).sum();
        assert_eq!(count.into_inner() as usize, 4 * each);
        drop(kept);
        assert!(folder.names().is_empty());
    });
}

#[test]
fn without_their_descriptors_many_handles_still_prove_deaths_and_close() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let file = folder.file("l");
        let handles = open_many(&folder, MANY);
        let null = fs::File::open("/dev/null").expect("there");
        for number in descriptors_of(&file) {
            use std::os::fd::AsRawFd;
            // SAFETY: what other code of a process may do at any time; the library expects it.
            unsafe { libc::dup2(null.as_raw_fd(), number) };
        }
        let dead = folder.lock("l").lifeline(true).open().expect(HERE);
        mem::forget(dead.lock().expect("free"));
        drop(dead);
        let guard = handles[MANY - 1].lock().expect("its owner is dead");
        assert!(guard.recovered().is_some());
        guard.declare_consistent().expect("held");
        drop(guard);
        drop(handles);
        assert!(folder.names().is_empty(), "{:?}", folder.names());
    });
}
