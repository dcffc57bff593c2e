//! Checks lifelines: a program that inherits one keeps the lock held after the owner dies, until
//! the program ends. No other program does.

#![allow(unsafe_code, reason = "prctl")]

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

/// Returns a copy of the lifeline that programs inherit.
fn inheritable(lock: &ShmLock) -> OwnedFd {
    let line = lock.lifeline().expect("asked for").try_clone_to_owned().expect("a descriptor");
    fcntl_setfd(&line, FdFlags::empty()).expect("our own descriptor");
    line
}

/// Returns a program that echoes its input until the input ends, and the other end of its input and
/// output.
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
fn a_handle_without_a_lifeline_has_one_descriptor() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let count = || std::fs::read_dir("/proc/self/fd").expect("/proc").count();
    let before = count();
    let plain = folder.lock("l").open().expect(HERE);
    assert!(plain.lifeline().is_none());
    assert_eq!(count(), before + 1);
    let lock = with_lifeline(&folder).open().expect(HERE);
    assert_eq!(count(), before + 3, "the lifeline is one descriptor more");
    let flags = rustix::io::fcntl_getfd(lock.lifeline().expect("asked for")).expect("open");
    assert!(flags.contains(FdFlags::CLOEXEC), "no program inherits it by accident");
    let clone = lock.try_clone().expect("another handle");
    let (one, other) =
        (lock.lifeline().expect("asked for"), clone.lifeline().expect("as the first"));
    assert_ne!(one.as_raw_fd(), other.as_raw_fd());
    drop((lock, clone, plain));
    assert_eq!(count(), before);
}

#[allow(clippy::zombie_processes, reason = "the program outlives its parent")]
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
        assert_eq!(lock.status().expect(HERE).state, LockState::Held(OwnerState::Alive));
        drop(input);
        let guard = lock.lock().expect("the program ends");
        let dead = guard.recovered().expect("its owner had died").dead.expect("its record");
        assert_eq!((dead.pid(), dead.description()), (Some(pid.unsigned_abs()), "belt 7"));
        guard.declare_consistent().expect("held");
        drop(guard);
        drop(lock);
        assert!(folder.names().is_empty());
    });
}

#[test]
fn a_program_that_the_owner_becomes_by_execve_is_the_owner() {
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
        assert!(lock.try_lock().expect(HERE).is_none(), "the owner lives as another program");
        let holder = lock.holder().expect(HERE).expect("the program");
        assert_eq!(holder.pid(), Some(owner.pid().unsigned_abs()));
        drop(input);
        let guard = lock.lock().expect("it ends");
        assert!(guard.recovered().is_some(), "the program could not release");
        guard.declare_consistent().expect("held");
        owner.ends_well();
    });
}

#[test]
fn closing_the_handle_ends_the_proof_of_all_copies() {
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
        "the copy still vouches, or keeps the file"
    );
    drop(copy);
}

#[test]
fn a_leaked_guard_with_a_lifeline_counts_as_a_death_although_a_copy_is_open() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock = with_lifeline(&folder).open().expect(HERE);
    let copy = lock.lifeline().expect("asked for").try_clone_to_owned().expect("a descriptor");
    std::mem::forget(lock.lock().expect("free"));
    drop(lock);
    let next = folder.lock("l").open().expect(HERE);
    let guard = next.try_lock().expect(HERE).expect("no copy vouches for it");
    assert!(guard.recovered().expect("it died").dead.is_some());
    guard.declare_consistent().expect("held");
    drop(copy);
}

#[test]
fn a_forked_child_that_drops_the_handle_vouches_no_longer_and_leaves_its_parents_lock_held() {
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
            // Borrowed by the child's code, because the parent keeps it.
            let lock = RefCell::new(Some(lock));
            let child = fork(|childs| {
                outlive_parent();
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
        assert!(next.try_lock().expect(HERE).is_none(), "the parent lost the lock");
        owner.kill(); // its child lives until the child reads the end of its line
        let guard = next.try_lock().expect(HERE).expect("no process vouches for the dead owner");
        assert!(guard.recovered().is_some());
        guard.declare_consistent().expect("held");
    });
}

/// Lets this child outlive its parent; a child of the harness otherwise ends with it.
fn outlive_parent() {
    // SAFETY: prctl(2) with two numbers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, 0) };
}

#[allow(clippy::zombie_processes, reason = "the program outlives its parent")]
#[test]
fn a_program_that_did_not_inherit_the_lifeline_does_not_vouch_for_the_owner() {
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
        let guard = lock.try_lock().expect(HERE).expect("the lifeline is closed on exec");
        assert!(guard.recovered().is_some());
        guard.declare_consistent().expect("held");
        drop(guard);
        drop(input);
    });
}
