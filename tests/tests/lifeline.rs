//! A program that works under its owner's lock keeps the lock held when the owner dies, if it was
//! given the lifeline; and only then, and only so long.

#![allow(unsafe_code, reason = "a program that a forked child becomes")]

use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::io::{FdFlags, fcntl_setfd};
use shmlock::{Builder, LockState, OwnerState, ShmLock};
use shmlock_tests::hostile::{Folder, Solo, fork};
use shmlock_tests::{Capability, alone, can, start};

const HERE: &str = "a lock of this process";

fn with_lifeline(folder: &Folder) -> Builder {
    folder.lock("l").description("belt 7").lifeline(true)
}

/// A copy of the lifeline that programs inherit.
fn inheritable(lock: &ShmLock) -> OwnedFd {
    let line = lock.lifeline().expect("asked for").try_clone_to_owned().expect("a descriptor");
    fcntl_setfd(&line, FdFlags::empty()).expect("our own descriptor");
    line
}

/// A program that repeats what it is told and goes on until its input ends. The input, which
/// everything here may close.
fn program() -> (Command, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("two descriptors");
    let mut command = Command::new("cat");
    let output = theirs.try_clone().expect("a descriptor");
    command.stdin(OwnedFd::from(theirs)).stdout(OwnedFd::from(output));
    (command, ours)
}

/// Waits until the program runs.
fn hear_answer(line: &mut UnixStream) {
    let mut said = [0; 6];
    line.write_all(b"hello\n").expect("it is there, or will be");
    line.read_exact(&mut said).expect("it answers");
    assert_eq!(&said, b"hello\n");
}

#[test]
fn without_being_asked_for_there_is_none_and_a_handle_has_one_descriptor() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let count = || std::fs::read_dir("/proc/self/fd").expect("/proc").count();
    let before = count();
    let plain = folder.lock("l").open().expect(HERE);
    assert!(plain.lifeline().is_none());
    assert_eq!(count(), before + 1);
    let lock = with_lifeline(&folder).open().expect(HERE);
    assert_eq!(count(), before + 3, "the lifeline is one more");
    let flags = rustix::io::fcntl_getfd(lock.lifeline().expect("asked for")).expect("open");
    assert!(flags.contains(FdFlags::CLOEXEC), "nobody inherits it by accident");
    let clone = lock.try_clone().expect("another handle");
    let (one, other) =
        (lock.lifeline().expect("asked for"), clone.lifeline().expect("as the first"));
    assert_ne!(one.as_raw_fd(), other.as_raw_fd());
    drop((lock, clone, plain));
    assert_eq!(count(), before);
}

#[allow(clippy::zombie_processes, reason = "it outlives the one who started it")]
#[test]
fn a_program_with_the_lifeline_keeps_its_dead_owners_lock_until_it_ends() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let (mut command, mut input) = program();
        let owner = fork(|line| {
            let lock = with_lifeline(&folder).open().expect("a new lock");
            let _guard = lock.lock().expect("free");
            let _inherited = inheritable(&lock);
            let _child = start(&mut command).expect("cat(1)");
            line.ready();
            line.wait();
        });
        drop(command);
        owner.line().wait();
        hear_answer(&mut input);
        let pid = owner.pid();
        owner.kill();
        let lock = folder.lock("l").open().expect(HERE);
        assert!(lock.try_lock().expect(HERE).is_none(), "the program vouches for it");
        assert_eq!(lock.status().expect(HERE).occupancy, LockState::Held(OwnerState::Alive));
        drop(input);
        let guard = lock.lock().expect("the program ends");
        let dead = guard.recovered().expect("its owner had died").dead.expect("and is known");
        assert_eq!((dead.pid(), dead.description()), (Some(pid.unsigned_abs()), "belt 7"));
        guard.declare_consistent().expect("held");
        drop(guard);
        drop(lock);
        assert!(folder.names().is_empty());
    });
}

#[test]
fn a_program_that_its_owner_becomes_is_the_owner() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let (mut command, mut input) = program();
        let owner = fork(|_| {
            let lock = with_lifeline(&folder).open().expect("a new lock");
            std::mem::forget(lock.lock().expect("free"));
            std::mem::forget(inheritable(&lock));
            let error = command.exec();
            panic!("{error}");
        });
        drop(command);
        hear_answer(&mut input);
        let lock = folder.lock("l").open().expect(HERE);
        assert!(lock.try_lock().expect(HERE).is_none(), "it lives, as another program");
        let holder = lock.holder().expect(HERE).expect("the program");
        assert_eq!(holder.pid(), Some(owner.pid().unsigned_abs()));
        drop(input);
        let guard = lock.lock().expect("it ends");
        assert!(guard.recovered().is_some(), "and could not release");
        guard.declare_consistent().expect("held");
        owner.ends_well();
    });
}

#[test]
fn closing_the_handle_takes_the_proof_back_from_all_copies() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock = with_lifeline(&folder).open().expect(HERE);
    let copy =
        File::from(lock.lifeline().expect("asked for").try_clone_to_owned().expect("a descriptor"));
    drop(lock.lock().expect("free"));
    let seen = || folder.lock("l").inspect().expect("a lock or nothing");
    assert!(seen().expect("there").in_use);
    drop(lock);
    assert!(
        seen().is_none() && folder.names().is_empty(),
        "the copy is worth nothing, and keeps no file"
    );
    drop(copy);
}

#[test]
fn a_leaked_guard_with_a_lifeline_is_a_death_although_a_copy_lives() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock = with_lifeline(&folder).open().expect(HERE);
    let copy = lock.lifeline().expect("asked for").try_clone_to_owned().expect("a descriptor");
    std::mem::forget(lock.lock().expect("free"));
    drop(lock);
    let next = folder.lock("l").open().expect(HERE);
    let guard = next.try_lock().expect(HERE).expect("nobody vouches for it");
    assert!(guard.recovered().expect("it died").dead.is_some());
    guard.declare_consistent().expect("held");
    drop(copy);
}

#[test]
fn a_forked_child_that_drops_the_handle_vouches_no_longer_and_takes_nothing_from_its_parent() {
    if !can(Capability::KeepMemoryFromChildren) {
        return;
    }
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let next = folder.lock("l").open().expect(HERE);
        let owner = fork(|line| {
            let lock = with_lifeline(&folder).open().expect("the same lock");
            lock.acquire().expect("free");
            let lock = RefCell::new(Some(lock)); // borrowed by the child's code, for the parent is to keep it
            let child = fork(|childs| {
                end_process_with_nobody();
                childs.wait();
                drop(lock.take());
                childs.ready();
                childs.wait();
            });
            line.ready();
            line.wait();
            child.line().ready();
            child.line().wait(); // it has dropped the handle
            line.ready();
            line.wait();
        });
        owner.line().wait();
        owner.line().ready();
        owner.line().wait();
        assert!(next.try_lock().expect(HERE).is_none(), "the parent has the lock all the same");
        owner.kill(); // its child lives until it reads the end of its line
        let guard = next.try_lock().expect(HERE).expect("nobody vouches for the dead");
        assert!(guard.recovered().is_some());
        guard.declare_consistent().expect("held");
    });
}

/// A child of the harness ends with its parent; this one is to outlive it.
fn end_process_with_nobody() {
    // SAFETY: prctl(2) with two numbers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, 0) };
}

#[allow(clippy::zombie_processes, reason = "it outlives the one who started it")]
#[test]
fn a_program_without_the_lifeline_does_not_vouch_for_the_owner_of_one() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let (mut command, mut input) = program();
        let owner = fork(|line| {
            let lock = with_lifeline(&folder).open().expect("a new lock");
            let _guard = lock.lock().expect("free");
            let _child = start(command.stderr(Stdio::null())).expect("cat(1)");
            line.ready();
            line.wait();
        });
        drop(command);
        owner.line().wait();
        hear_answer(&mut input);
        owner.kill();
        let lock = folder.lock("l").open().expect(HERE);
        let guard =
            lock.try_lock().expect(HERE).expect("close-on-exec: the program knows nothing of it");
        assert!(guard.recovered().is_some());
        guard.declare_consistent().expect("held");
        drop(guard);
        drop(input);
    });
}
