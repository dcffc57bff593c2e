//! A signal handler forks while `ShmLock::open` runs, and both processes go on with the call.
//!
//! The allocator stands for the handler: it forks at the n-th allocation of `open`, by the bare
//! system call. `break1 N segv` locks in the child at once; `break1 N two` lets the child open the
//! name again first, so that a mapping of its own may come to lie where its parent's lies.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, IntoRawFd};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use shmlock::ShmLock;

struct Forking;

/// Allocations until the fork; negative: none.
static LEFT: AtomicI64 = AtomicI64::new(-1);
/// -1: not forked; 0: the child; otherwise its number.
static FORKED: AtomicI64 = AtomicI64::new(-1);

unsafe impl GlobalAlloc for Forking {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if LEFT.load(Relaxed) >= 0 && LEFT.fetch_sub(1, Relaxed) == 0 {
            let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
            FORKED.store(pid, Relaxed);
        }
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Forking = Forking;

fn pipe() -> (std::fs::File, std::fs::File) {
    let mut fds = [0; 2];
    assert_eq!(unsafe { libc::pipe(fds.as_mut_ptr()) }, 0);
    unsafe { (std::fs::File::from_raw_fd(fds[0]), std::fs::File::from_raw_fd(fds[1])) }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (n, two): (i64, bool) = (args[1].parse().unwrap(), args[2] == "two");
    let name = format!("break1-{}", std::process::id());
    let (mut up_r, mut up_w) = pipe();
    let (mut down_r, down_w) = pipe();
    let mut down_w = Some(down_w);

    LEFT.store(n, Relaxed);
    let opened = ShmLock::open(&name);
    LEFT.store(-1, Relaxed);

    match FORKED.load(Relaxed) {
        -1 => println!("n={n}: no such allocation"),
        0 => {
            let down = down_w.take().unwrap().into_raw_fd();
            unsafe { libc::close(down) };
            let lock = match opened {
                Ok(lock) => lock,
                Err(error) => {
                    println!("n={n}: child: open refused: {error}");
                    unsafe { libc::_exit(0) }
                }
            };
            let own = two.then(|| ShmLock::open(&name).expect("opens in the child"));
            let locked = lock.acquire();
            println!("n={n}: child: acquire by the handle of open: {locked:?}");
            if locked.is_ok() {
                up_w.write_all(b"h").unwrap();
                let _ = down_r.read(&mut [0]);
                println!("n={n}: child: still holds: {}", lock.is_held());
            }
            std::mem::forget((lock, own));
            unsafe { libc::_exit(0) }
        }
        pid => {
            drop(up_w);
            let lock = opened.expect("opens in the parent");
            let mut byte = [0];
            if up_r.read(&mut byte).unwrap_or(0) == 1 {
                let got = lock.try_acquire();
                println!("n={n}: parent: the child says it holds; try_acquire here: {got:?}");
                if matches!(got, Ok(true)) {
                    println!("n={n}: *** TWO HOLDERS ***");
                }
            }
            drop(down_w);
            let mut status = 0;
            unsafe { libc::waitpid(pid as i32, &mut status, 0) };
            if libc::WIFSIGNALED(status) {
                println!("n={n}: *** child died of signal {} ***", libc::WTERMSIG(status));
            }
        }
    }
}
