//! Checks that the watch thread calls no close(3): a library may have replaced it, and would take a
//! number of the thread's own table for one of the program's.

#![allow(unsafe_code, reason = "replaces close(3)")]

use std::ffi::c_int;
use std::fs::File;
use std::mem::forget;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use shmlock_tests::hostile::{Denied, Folder, If, Intruder, Solo, deny, fork, mount_tmpfs};
use shmlock_tests::{alone, proc, until};

const HERE: &str = "a lock";
const HOUR: Duration = Duration::from_secs(3600);

static BY_THE_WATCH_THREAD: AtomicU64 = AtomicU64::new(0);
static BY_OTHERS: AtomicU64 = AtomicU64::new(0);

/// Replaces close(3) for the whole program, the standard library included.
// SAFETY: it does what close(3) does, and no other code of this program has the name.
#[unsafe(no_mangle)]
extern "C" fn close(fd: c_int) -> c_int {
    let mut name = [0_u8; 16];
    // SAFETY: PR_GET_NAME writes at most 16 bytes, prctl(2).
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    let closes = if name.starts_with(b"shmlock-watch") { &BY_THE_WATCH_THREAD } else { &BY_OTHERS };
    closes.fetch_add(1, Relaxed);
    // SAFETY: the caller's own obligation. close(2) returns 0 or -1.
    c_int::from(unsafe { libc::syscall(libc::SYS_close, fd) } == 0) - 1
}

/// Lets a process wait after `prepare`, until its watch thread has ended. `watchers`: 1 if that
/// thread finds the lock's file by its name and watches it, 0 if not.
fn the_watch_thread_calls_no_close(watchers: usize, prepare: impl Fn(&Folder) -> bool) {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let holder = folder.lock("l").open().expect(HERE);
    let guard = holder.lock().expect("free");
    let file = Intruder::on(&folder.file("l"));
    let waiter = fork(|line| {
        let lock = folder.lock("l").poll_interval(HOUR).open().expect(HERE);
        let is_prepared = prepare(&folder);
        line.say(i64::from(is_prepared));
        if is_prepared {
            drop(lock.lock().expect("it becomes free"));
            until(|| !proc::has_watch_thread(process::id()));
            drop(File::open("/dev/null").expect("there"));
            assert!(BY_OTHERS.load(Relaxed) > 0, "close(3) is not replaced");
            assert_eq!(BY_THE_WATCH_THREAD.load(Relaxed), 0);
        }
    });
    if waiter.line().hear() == 1 {
        let pid = waiter.pid().unsigned_abs();
        until(|| proc::has_watch_thread(pid));
        proc::comes_to_rest(pid);
        assert_eq!(file.watchers(), watchers);
    }
    drop(guard);
    waiter.ends_well();
}

#[test]
fn a_thread_that_watches_and_ends_calls_no_close() {
    alone!(|| the_watch_thread_calls_no_close(1, |_| true));
}

#[test]
fn a_thread_that_copies_and_empties_its_table_calls_no_close() {
    alone!(|| the_watch_thread_calls_no_close(1, |_| deny(&[without_close_range()])));
}

/// Another file system is mounted over the directory, and has a lock of the same name.
#[test]
fn a_thread_that_is_led_to_another_file_calls_no_close() {
    alone!(|| {
        the_watch_thread_calls_no_close(0, |folder| {
            let Some(over_it) = mount_tmpfs(folder.path(), "") else { return false };
            forget(over_it); // for as long as the process lives
            forget(folder.lock("l").open().expect("a new one"));
            true
        });
    });
}

fn without_close_range() -> Denied {
    Denied { call: libc::SYS_close_range, when: If::Called, errno: libc::ENOSYS }
}
