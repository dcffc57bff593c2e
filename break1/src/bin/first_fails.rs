//! The first open fails for want of memory, a later one succeeds: the generation is not wiped for ever.
//!
//! The kernel supports `MADV_WIPEONFORK`, and the process has reached its limit of address space.
//! `unwiped segv`: the child uses the handle at once. `unwiped two`: it opens the name before.

use std::io::{Read, Write};
use std::os::fd::{FromRawFd, IntoRawFd};

use shmlock::ShmLock;

fn pipe() -> (std::fs::File, std::fs::File) {
    let mut fds = [0; 2];
    assert_eq!(unsafe { libc::pipe(fds.as_mut_ptr()) }, 0);
    unsafe { (std::fs::File::from_raw_fd(fds[0]), std::fs::File::from_raw_fd(fds[1])) }
}

fn limit(soft: u64) {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut now) }, 0);
    now.rlim_cur = soft.min(now.rlim_max);
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &now) }, 0);
}

fn main() {
    let mode = std::env::args().nth(1).unwrap_or_default();
    let name = format!("break1-{}", std::process::id());
    let (mut up_r, mut up_w) = pipe();
    let (mut down_r, down_w) = pipe();
    let mut handles: Vec<ShmLock> = Vec::with_capacity(1000);
    let room: Vec<Vec<u8>> = (0..100).map(|_| vec![1; 1000]).collect();
    drop(room);
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    limit(pages * 4096);
    for _ in 0..1 {
        match ShmLock::open(&name) {
            Ok(handle) => handles.push(handle),
            Err(error) => println!("refused: {error}"),
        }
    }
    limit(u64::MAX);
    handles.push(ShmLock::open(&name).expect("opens with memory"));
    let lock = handles.last().unwrap();
    for _ in 0..3 {
        lock.acquire().unwrap();
        lock.release().unwrap();
    }
    // As `_Fork` of POSIX.1-2024, which runs no handlers of pthread_atfork.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    if pid == 0 {
        unsafe { libc::close(down_w.into_raw_fd()) };
        let own: Vec<_> = (0..if mode == "two" { 200 } else { 0 })
            .map(|_| ShmLock::open(&name).expect("opens in the child"))
            .collect();
        let locked = lock.acquire();
        println!("child: acquire by the inherited handle: {locked:?}");
        if locked.is_ok() {
            up_w.write_all(b"h").unwrap();
            let _ = down_r.read(&mut [0]);
        }
        std::mem::forget(own);
        unsafe { libc::_exit(0) }
    }
    drop(up_w);
    if up_r.read(&mut [0]).unwrap_or(0) == 1 {
        let got = lock.try_acquire();
        println!("parent: the child says it holds; try_acquire here: {got:?}");
        if matches!(got, Ok(true)) {
            println!("*** TWO HOLDERS ***");
        }
    }
    drop(down_w);
    let mut status = 0;
    unsafe { libc::waitpid(pid as i32, &mut status, 0) };
    if libc::WIFSIGNALED(status) {
        println!("*** child died of signal {} ***", libc::WTERMSIG(status));
    }
}
