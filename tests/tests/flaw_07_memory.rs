//! Flaw 7: a file with a hole kills who touches it when the file system is full. The cure: memory
//! is allocated before the file gets its name. (More of full file systems is in
//! `bad_environment.rs`.)
//!
//! Flaw 8: whoever may write the file may truncate it, and the kernel then kills its users. There
//! is no cure but not to share with such a peer; opening such a file is an error, and no fault.

#![allow(unsafe_code, reason = "pending signals")]

use std::fs;
use std::mem::zeroed;
use std::os::unix::fs::MetadataExt;
use std::ptr::null_mut;
use std::time::Duration;

use shmlock::{Errno, Error, ExitEvent, NotALockReason, ShmLock};
use shmlock_tests::hostile::{
    Folder, Intruder, Solo, assert_says, fork, limit_file_size, on_tmpfs,
};
use shmlock_tests::{alone, until};

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
        assert!(
            !path.exists(),
            "a free lock that nobody uses goes with its last opener, as with its last closer"
        );
    });
}

#[test]
fn a_lock_that_is_truncated_under_its_user_kills_it_by_sigbus() {
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
fn a_lock_that_was_truncated_is_refused_or_made_whole_and_never_a_fault() {
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
    let newcomer = folder.lock("l").open().expect("an empty file is half-made");
    assert!(newcomer.try_lock().expect("a lock").is_some());
    assert!(lock.try_lock().expect("the same memory").is_some(), "who was there before can go on");
}

#[test]
fn all_users_of_a_truncated_lock_die_and_the_next_comer_has_a_new_lock() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let user = |wait: bool| {
            let folder = &folder;
            fork(move |line| {
                let lock = folder
                    .lock("l")
                    .poll_interval(Duration::from_millis(5))
                    .open()
                    .expect("a lock");
                line.ready();
                if wait {
                    let _ = lock.lock().map(std::mem::forget); // asleep: it touches the word after each interval
                } else {
                    lock.acquire().expect("free");
                    line.ready();
                    line.wait();
                    let _ = lock.release();
                }
            })
        };
        let owner = user(false);
        owner.line().wait();
        owner.line().wait();
        let sleeper = user(true);
        sleeper.line().wait();
        let file = Intruder::on(&folder.file("l"));
        until(|| file.owner_word() >> 31 == 1);
        file.file().set_len(0).expect("a peer may");
        sleeper.ends_by(libc::SIGBUS);
        owner.line().ready();
        owner.ends_by(libc::SIGBUS);
        let lock = folder.lock("l").open().expect("an empty file is half-made");
        let guard = lock.try_lock().expect("a lock").expect("nobody's");
        assert!(
            guard.recovered().is_none(),
            "that somebody died in the section is lost with the word"
        );
        assert_eq!(guard.fencing_token(), 1, "and the count begins again");
    });
}

#[test]
fn an_owner_whose_truncated_file_was_made_whole_is_told_at_the_release() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let owner = folder.lock("l").open().expect("a new lock");
    let guard = owner.lock().expect("free");
    Intruder::on(&folder.file("l")).file().set_len(0).expect("a peer may");
    let newcomer = folder.lock("l").open().expect("an empty file is half-made");
    let second = newcomer
        .try_lock()
        .expect("a lock")
        .expect("the truncation wiped the word out: two are inside");
    assert!(matches!(guard.release(), Err(Error::Overwritten { .. })));
    assert!(newcomer.is_held(), "what is another's is left alone");
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
fn a_limit_on_file_sizes_is_an_error_and_no_death() {
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
                assert!(there.try_clone().expect("it is long enough").lock().is_ok());
                assert!(block.try_clone().expect("it is long enough").lock().is_ok());
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
fn a_limit_on_file_sizes_does_not_bring_a_former_block_back() {
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
        .wait(); // and is killed
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
fn only_the_signal_that_our_own_call_has_raised_is_taken_away() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        for (anothers, is_for_the_thread) in [(false, false), (true, true), (true, false)] {
            let left = folder.put("b", &former_block());
            fork(|_| {
                block_signal(libc::SIGXFSZ);
                limit_file_size(0);
                if anothers {
                    raise(libc::SIGXFSZ, is_for_the_thread);
                }
                // It says in the former block that this is over, which is beyond the limit.
                drop(folder.lock("b").open_block::<u64>().expect_err("no room for a new one"));
                assert_eq!(
                    take_pending(libc::SIGXFSZ),
                    u32::from(anothers),
                    "for the thread: {is_for_the_thread}"
                );
            })
            .ends_well();
            assert!(!left.exists());
        }
    });
}

/// A block that was created, and whose users are gone.
fn former_block() -> [u8; 200] {
    let mut content = [0; 200];
    content[8..12].copy_from_slice(b"SHL\x01");
    content[136] = 8;
    content[140] = 1;
    content
}

fn block_signal(signal: i32) {
    let set = set_of(signal);
    // SAFETY: a valid set, and null where the former mask is not wanted.
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

/// Takes all that is pending of a blocked signal; how many there were.
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
