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

#[test]
fn a_child_is_refused_handles_that_were_opened_without_memory() {
    if !can(Capability::KeepMemoryFromChildren) {
        return;
    }
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let process = fork(|_| {
            let handles = open_all(&name);
            for lock in handles.iter().flat_map(|lock| [lock; 3]) {
                drop(lock.lock().expect("free")); // the last finds the fast path open
            }
            // Runs no handlers of pthread_atfork(3), as `_Fork` of POSIX.1-2024.
            // SAFETY: without CLONE_VM this is fork(2); a null stack means the copy of ours.
            let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
            if pid == 0 {
                let is_refused =
                    |lock: &ShmLock| matches!(lock.acquire(), Err(Error::ForkedHandle { .. }));
                let refused = handles.iter().all(is_refused);
                std::mem::forget(handles);
                end_process::at_once(i32::from(!refused));
            }
            let (pid, mut status) = (i32::try_from(pid).expect("a process"), 0);
            // SAFETY: a valid pointer, and a child of ours.
            let answer = unsafe { libc::waitpid(pid, &raw mut status, 0) };
            assert!(answer == pid && status == 0, "the child ended by status {status:#x}");
        });
        process.ends_well();
    });
}
