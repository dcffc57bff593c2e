//! Flaw 7: a file with a hole kills who touches it when the file system is full. The cure: memory is allocated before
//! the file gets its name. (More of full file systems is in `bad_environment.rs`.)
//!
//! Flaw 8: whoever may write the file may truncate it, and the kernel then kills its users. There is no cure but not to
//! share with such a peer; opening such a file is an error, and no fault.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use shmlock::{Errno, Error, Found, ShmLock};
use shmlock_tests::hostile::{Folder, Intruder, Solo, assert_says, fork, on_tmpfs};
use shmlock_tests::{alone, until};

#[test]
fn a_lock_has_real_memory_from_the_beginning() {
    let scene = Solo::new();
    let folder = Folder::new(&scene);
    for make in [|_: &Folder| {}, |folder: &Folder| drop(folder.put("l", b""))] {
        make(&folder);
        let _lock = folder.lock("l").open().expect("a lock");
        let meta = fs::metadata(folder.file("l")).expect("it is there");
        assert!(meta.blocks() > 0 && meta.len() == 192, "{meta:?}");
    }
}

#[test]
fn a_hole_of_the_right_size_gets_memory_when_it_is_opened() {
    let scene = Solo::new();
    let folder = Folder::new(&scene);
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
        assert!(matches!(error, Error::System { .. }) && error.errno() == Some(Errno::NOSPC), "{error:?}");
        assert_says(&error, &["l.shmlock", "free space"]);
        assert!(!path.exists(), "a free lock that nobody uses goes with its last opener, as with its last closer");
    });
}

#[test]
fn a_lock_that_is_truncated_under_its_user_kills_it_by_sigbus() {
    alone!(|| {
        let scene = Solo::new();
        let folder = Folder::new(&scene);
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
    let scene = Solo::new();
    let folder = Folder::new(&scene);
    let lock: ShmLock = folder.lock("l").open().expect("a new lock");
    let file = Intruder::on(&folder.file("l"));
    file.file().set_len(64).expect("a peer may");
    let error = folder.refuses(&folder.lock("l"));
    assert!(matches!(error, Error::NotALock { found: Found::Size { bytes: 64 }, .. }), "{error:?}");
    file.file().set_len(0).expect("a peer may");
    let newcomer = folder.lock("l").open().expect("an empty file is half-made");
    assert!(newcomer.try_lock().expect("a lock").is_some());
    assert!(lock.try_lock().expect("the same memory").is_some(), "who was there before can go on");
}

#[test]
fn all_users_of_a_truncated_lock_die_and_the_next_comer_has_a_new_lock() {
    alone!(|| {
        let scene = Solo::new();
        let folder = Folder::new(&scene);
        let user = |wait: bool| {
            let folder = &folder;
            fork(move |line| {
                let lock = folder.lock("l").poll_interval(Duration::from_millis(5)).open().expect("a lock");
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
        assert!(guard.recovered().is_none(), "that somebody died in the section is lost with the word");
        assert_eq!(guard.fencing_token(), 1, "and the count begins again");
    });
}

#[test]
fn an_owner_whose_truncated_file_was_made_whole_is_told_at_the_release() {
    let scene = Solo::new();
    let folder = Folder::new(&scene);
    let owner = folder.lock("l").open().expect("a new lock");
    let guard = owner.lock().expect("free");
    Intruder::on(&folder.file("l")).file().set_len(0).expect("a peer may");
    let newcomer = folder.lock("l").open().expect("an empty file is half-made");
    let second = newcomer.try_lock().expect("a lock").expect("the truncation wiped the word out: two are inside");
    assert!(matches!(guard.release(), Err(Error::Overwritten { .. })));
    assert!(newcomer.is_held(), "what is another's is left alone");
    second.release().expect("held");
}
