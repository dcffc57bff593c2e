//! Flaw 7: a file with a hole kills its user when the file system is full. The cure: memory is
//! allocated before the file gets its name. `bad_environment.rs` has more tests of full file
//! systems.
//!
//! Flaw 8: a process that may write the file may truncate it, and the kernel then kills its users.
//! The only cure is not to share with such a peer. Opening such a file is an error, not a fault.

#![allow(unsafe_code, reason = "pending signals")]

use std::fs;
use std::mem::zeroed;
use std::os::unix::fs::MetadataExt;
use std::ptr::null_mut;
use std::time::Duration;

use shmlock::{Errno, Error, ExitEvent, NotALockReason, ShmLock, WaitStrategy};
use shmlock_tests::hostile::{
    Folder, Intruder, Solo, assert_says, fork, limit_file_size, on_tmpfs,
};
use shmlock_tests::{alone, proc, until};

#[test]
fn a_lock_has_real_memory_from_the_beginning() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    for make in [|_: &Folder| {}, |folder: &Folder| drop(folder.put("l", b""))] {
        make(&folder);
        let _lock = folder.lock("l").open().expect("a lock");
        let meta = fs::metadata(folder.file("l")).expect("it is there");
        assert!(meta.blocks() > 0 && meta.len() == 192, "{meta:?}");
    }
}

#[test]
fn a_hole_of_the_right_size_gets_memory_when_it_is_opened() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let path = folder.put("l", b"");
    Intruder::on(&path).file().set_len(192).expect("ours");
    assert_eq!(fs::metadata(&path).expect("there").blocks(), 0);
    let _lock = folder.lock("l").open().expect("a lock of zeros");
    assert!(fs::metadata(&path).expect("there").blocks() > 0);
}

#[test]
fn a_hole_that_cannot_get_memory_is_an_error_and_not_a_fault() {
    on_tmpfs("size=16k", |folder, _| {
        let path = folder.put("l", b"");
        Intruder::on(&path).file().set_len(192).expect("ours");
        folder.fill();
        let error = folder.lock("l").open().expect_err("there is no memory for it");
        assert!(
            matches!(error, Error::System { .. }) && error.errno() == Some(Errno::NOSPC),
            "{error:?}"
        );
        assert_says(&error, &["l.shmlock", "free space"]);
        assert!(!path.exists(), "the failed opener did not remove an unused free lock");
    });
}

#[test]
fn a_lock_truncated_while_it_is_in_use_kills_its_user_by_sigbus() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let victim = fork(|line| {
            let lock = folder.lock("l").open().expect("a new lock");
            line.ready();
            line.wait();
            let _ = lock.try_lock();
        });
        victim.line().wait();
        Intruder::on(&folder.file("l")).file().set_len(0).expect("a peer may");
        victim.line().ready();
        victim.ends_by(libc::SIGBUS);
    });
}

#[test]
fn a_truncated_lock_is_refused_or_completed_and_never_a_fault() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock: ShmLock = folder.lock("l").open().expect("a new lock");
    let file = Intruder::on(&folder.file("l"));
    file.file().set_len(64).expect("a peer may");
    let error = folder.refuses(&folder.lock("l"));
    assert!(
        matches!(error, Error::NotALock { found: NotALockReason::Size { bytes: 64 }, .. }),
        "{error:?}"
    );
    file.file().set_len(0).expect("a peer may");
    let newcomer = folder.lock("l").open().expect("an empty file becomes a lock");
    assert!(newcomer.try_lock().expect("a lock").is_some());
    assert!(
        lock.try_lock().expect("the same memory").is_some(),
        "the earlier handle cannot continue"
    );
}

#[test]
fn all_users_of_a_truncated_lock_die_and_the_next_opener_gets_a_new_lock() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let owner = fork(|line| {
            let lock = folder.lock("l").open().expect("a lock");
            lock.acquire().expect("free");
            line.ready();
            line.wait();
            let _ = lock.release();
        });
        owner.line().wait();
        // It reads the word after each interval. A waiter that is to be woken may sleep on.
        let sleeper = fork(|line| {
            let polling = folder.lock("l").wait_strategy(WaitStrategy::SleepPolling);
            let lock = polling.poll_interval(Duration::from_millis(5)).open().expect("a lock");
            line.ready();
            let _ = lock.lock().map(std::mem::forget);
        });
        sleeper.line().wait();
        let file = Intruder::on(&folder.file("l"));
        until(|| proc::sleeps(sleeper.pid().unsigned_abs()));
        file.file().set_len(0).expect("a peer may");
        sleeper.ends_by(libc::SIGBUS);
        owner.line().ready();
        owner.ends_by(libc::SIGBUS);
        let lock = folder.lock("l").open().expect("an empty file becomes a lock");
        let guard = lock.try_lock().expect("a lock").expect("free");
        assert!(guard.recovered().is_none(), "the death was erased with the word");
        assert_eq!(guard.fencing_token(), Some(1), "the count did not restart");
    });
}

/// It touches no memory while it sleeps.
#[test]
fn a_waiter_that_sleeps_while_its_file_is_truncated_goes_on_when_that_is_opened_anew() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let lock = || folder.lock("l").poll_interval(Duration::from_secs(3600)).open();
        let owner = fork(|line| {
            let lock = lock().expect("a lock");
            lock.acquire().expect("free");
            line.ready();
            line.wait();
        });
        owner.line().wait();
        let sleeper = fork(|_| drop(lock().expect("a lock").lock().expect("it comes free")));
        let file = Intruder::on(&folder.file("l"));
        until(|| file.watchers() == 1);
        proc::comes_to_rest(sleeper.pid().unsigned_abs());
        file.file().set_len(0).expect("a peer may");
        owner.kill();
        drop(lock().expect("an empty file becomes a lock"));
        sleeper.ends_well();
    });
}

#[test]
fn an_owner_whose_truncated_file_was_completed_gets_an_error_at_the_release() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let owner = folder.lock("l").open().expect("a new lock");
    let guard = owner.lock().expect("free");
    Intruder::on(&folder.file("l")).file().set_len(0).expect("a peer may");
    let newcomer = folder.lock("l").open().expect("an empty file becomes a lock");
    let second = newcomer
        .try_lock()
        .expect("a lock")
        .expect("the truncation erased the word: two handles hold the lock");
    assert!(matches!(guard.release(), Err(Error::Overwritten { .. })));
    assert!(newcomer.is_held(), "the release changed another's hold");
    second.release().expect("held");
}

fn assert_too_large(error: &Error, file: &str) {
    assert!(
        matches!(error, Error::System { .. }) && error.errno() == Some(Errno::FBIG),
        "{error:?}"
    );
    assert_says(error, &[file, "allocate", "RLIMIT_FSIZE"]);
}

#[test]
fn a_limit_on_file_sizes_is_an_error_and_not_a_signal() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        fork(|_| {
            let there = folder.lock("there").open().expect("no limit yet");
            let block = folder.lock("b").open_block::<[u8; 4096]>().expect("no limit yet");
            for limit in [0, 1, 191] {
                limit_file_size(limit);
                assert_too_large(&folder.refuses(&folder.lock("l")), "l.shmlock");
                let event = folder.unchanged(|| ExitEvent::named_in("e", folder.path(), 0o600));
                assert_too_large(&event.expect_err("a file as well"), "e.shmlock-event");
                assert!(there.try_clone().expect("the file is long enough").lock().is_ok());
                assert!(block.try_clone().expect("the file is long enough").lock().is_ok());
            }
            limit_file_size(192);
            assert!(folder.lock("l").open().is_ok(), "exactly as long as a lock");
            let error =
                folder.unchanged(|| folder.lock("l").open_block::<u64>()).expect_err("longer");
            assert_too_large(&error, "l.shmlock");
        })
        .ends_well();
        assert!(folder.names().is_empty());
    });
}

#[test]
fn a_limit_on_file_sizes_does_not_revive_an_abandoned_block() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        fork(|line| {
            let mut block = folder.lock("b").open_block::<u64>().expect("a new block");
            *block.lock().expect("free") = 7;
            line.ready();
            line.wait();
        })
        .line()
        .wait(); // the drop of the child kills it
        assert_eq!(folder.names(), ["b.shmlock"]);
        fork(|_| {
            limit_file_size(0);
            assert_too_large(
                &folder.lock("b").open_block::<u64>().expect_err("it is a new one"),
                "b.shmlock",
            );
        })
        .ends_well();
        assert_eq!(
            *folder.lock("b").open_block::<u64>().expect("a new block").lock().expect("free"),
            0
        );
    });
}

#[test]
fn only_the_signal_that_our_own_call_raised_is_consumed() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        for (foreign, is_for_the_thread) in [(false, false), (true, true), (true, false)] {
            let left = folder.put("b", &abandoned_block());
            fork(|_| {
                block_signal(libc::SIGXFSZ);
                limit_file_size(0);
                if foreign {
                    raise(libc::SIGXFSZ, is_for_the_thread);
                }
                // Opening writes into the abandoned block that it is over; the write is beyond the
                // limit.
                drop(folder.lock("b").open_block::<u64>().expect_err("no room for a new one"));
                assert_eq!(
                    take_pending(libc::SIGXFSZ),
                    u32::from(foreign),
                    "for the thread: {is_for_the_thread}"
                );
            })
            .ends_well();
            assert!(!left.exists());
        }
    });
}

/// Returns the bytes of a block that was created and whose users are gone.
fn abandoned_block() -> [u8; 200] {
    let mut content = [0; 200];
    content[8..12].copy_from_slice(b"SHL\x01");
    content[136] = 8;
    content[140] = 1;
    content
}

fn block_signal(signal: i32) {
    let set = set_of(signal);
    // SAFETY: a valid set, and null where the old mask is not wanted.
    assert_eq!(unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, null_mut()) }, 0);
}

fn set_of(signal: i32) -> libc::sigset_t {
    // SAFETY: plain integers, for which all zero is valid: an empty set.
    let mut set: libc::sigset_t = unsafe { zeroed() };
    // SAFETY: a valid set and signal.
    unsafe { libc::sigaddset(&raw mut set, signal) };
    set
}

fn raise(signal: i32, for_the_thread: bool) {
    let sent = if for_the_thread {
        // SAFETY: our own thread.
        unsafe { libc::raise(signal) }
    } else {
        let own_pid = i32::try_from(std::process::id()).expect("a process id");
        // SAFETY: our own process.
        unsafe { libc::kill(own_pid, signal) }
    };
    assert_eq!(sent, 0);
}

/// Consumes all pending instances of a blocked signal, and returns their number.
fn take_pending(signal: i32) -> u32 {
    let (set, now) = (set_of(signal), libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: a valid set and time.
    let take =
        || unsafe { libc::sigtimedwait(&raw const set, null_mut(), &raw const now) } == signal;
    let mut taken = 0;
    while take() {
        taken += 1;
    }
    taken
}
