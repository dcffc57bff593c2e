//! Checks a fork after handles were opened for which the kernel had no page to wipe: the child is
//! refused all the same, by whatever call it was forked.

#![allow(unsafe_code, reason = "clone, setrlimit and waitpid")]

use std::fs;

use shmlock::{Error, ShmLock};
use shmlock_tests::hostile::{Solo, end_process, fork};
use shmlock_tests::{Capability, alone, can};

const HERE: &str = "a lock of this process";

/// The anchors of one page (`process/anchor.rs`).
const ANCHORS: usize = 192;

/// How many handles are opened before the limit. The rest are opened without memory.
const BEFORE: usize = ANCHORS - 2;
const ALL: usize = ANCHORS + 6;

/// Sets the limit of the address space, in bytes.
fn limit(bytes: libc::rlim_t) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a valid pointer.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) }, 0);
    limit.rlim_cur = bytes.min(limit.rlim_max);
    // SAFETY: as above.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
}

/// Returns the size of the address space, in bytes.
fn used() -> libc::rlim_t {
    let pages = fs::read_to_string("/proc/self/statm").expect("proc(5)");
    let pages: libc::rlim_t =
        pages.split(' ').next().and_then(|pages| pages.parse().ok()).expect("a number");
    // SAFETY: a number that exists.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages * libc::rlim_t::try_from(size).expect("a size")
}

/// Opens handles until there are [`ALL`], the last of them with the memory that the heap has left.
fn open_all(name: &str) -> Vec<ShmLock> {
    let mut handles = Vec::with_capacity(ALL);
    let open = |_| ShmLock::open(name).expect(HERE);
    handles.extend((0..BEFORE).map(open));
    let room: Vec<Vec<u8>> = (0..500).map(|_| vec![1; 1000]).collect();
    let kept = vec![1; 1000]; // behind it, so that the heap keeps its size
    drop(room);
    limit(used());
    handles.extend((BEFORE..ALL).map(open));
    limit(libc::RLIM_INFINITY);
    drop(kept);
    handles
}

/// Opens a handle at the limit, which is refused, and one without a limit.
fn open_again(name: &str) -> Vec<ShmLock> {
    limit(used());
    assert!(ShmLock::open(name).is_err(), "a lock needs memory");
    limit(libc::RLIM_INFINITY);
    vec![ShmLock::open(name).expect(HERE)]
}

/// Forks by the raw system call, which runs no handlers of `pthread_atfork(3)`, as `_Fork` of
/// POSIX.1-2024. Returns when the child has been refused each handle.
fn is_refused_in_a_child(handles: &[ShmLock]) {
    // SAFETY: without CLONE_VM this is fork(2); a null stack means the copy of ours.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    if pid == 0 {
        let is_refused = |lock: &ShmLock| matches!(lock.acquire(), Err(Error::ForkedHandle { .. }));
        end_process::at_once(i32::from(!handles.iter().all(is_refused)));
    }
    let (pid, mut status) = (i32::try_from(pid).expect("a process"), 0);
    // SAFETY: a valid pointer, and a child of ours.
    let answer = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert!(answer == pid && status == 0, "the child ended by status {status:#x}");
}

/// Uses each handle until its fast path is open, if it has one.
fn use_each(handles: &[ShmLock]) {
    for lock in handles.iter().flat_map(|lock| [lock; 3]) {
        drop(lock.lock().expect("free"));
    }
}

/// Runs `open` in a fresh process, with the name of a lock.
fn run(open: fn(&str) -> Vec<ShmLock>) {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let process = fork(|_| {
        let handles = open(&name);
        use_each(&handles);
        is_refused_in_a_child(&handles);
    });
    process.ends_well();
}

#[test]
fn a_child_is_refused_handles_that_were_opened_without_memory() {
    if can(Capability::KeepMemoryFromChildren) {
        alone!(|| run(open_all));
    }
}

#[test]
fn a_child_is_refused_a_handle_that_was_opened_after_one_that_had_no_memory() {
    if can(Capability::KeepMemoryFromChildren) {
        alone!(|| run(open_again));
    }
}
