//! Checks that opening names what the environment lacks, and leaves nothing behind.

use std::fs;
use std::path::Path;

use shmlock::{Errno, ShmLock};
use shmlock_tests::alone;
use shmlock_tests::hostile::{
    Folder, Solo, aside, assert_failed, mount_ramfs, mount_tmpfs, on_tmpfs,
};

const NEVER: &str = "a live lock";

#[test]
fn a_directory_that_is_missing_is_named() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let missing = folder.path().join("missing");
    let error = folder.refuses(&folder.lock("l").directory(&missing));
    assert_failed(
        &error,
        Errno::NOENT,
        &[missing.to_str().expect("UTF-8"), "Builder::directory", "/dev/shm"],
    );
}

#[test]
fn without_dev_shm_the_error_names_it() {
    alone!(|| {
        let Some(_over_it) = mount_tmpfs(Path::new("/dev"), "") else { return };
        for errno in [Errno::NOENT, Errno::NOTDIR] {
            assert_failed(&ShmLock::open("l").expect_err("nowhere"), errno, &["/dev/shm"]);
            if errno == Errno::NOENT {
                fs::write("/dev/shm", "not even a directory").expect("our own /dev");
            }
        }
    });
}

#[test]
fn a_directory_that_is_a_file_is_named() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let file = folder.put("file", b"text");
    let error = folder.refuses(&folder.lock("l").directory(&file));
    assert_failed(&error, Errno::NOTDIR, &[file.to_str().expect("UTF-8")]);
}

#[test]
fn a_file_system_that_is_read_only_is_named() {
    on_tmpfs("", |folder, mounted| {
        let _left = folder.put("there", &[0; 192]);
        mounted.make_read_only();
        for lock in ["l", "there"] {
            let error = folder.refuses(&folder.lock(lock));
            assert_failed(
                &error,
                Errno::ROFS,
                &[folder.path().to_str().expect("UTF-8"), "mount it writable"],
            );
        }
    });
}

#[test]
fn a_full_file_system_fails_the_opening_and_nothing_is_left() {
    on_tmpfs("size=16k", |folder, _| {
        folder.fill();
        let error = folder.refuses(&folder.lock("l"));
        assert_failed(&error, Errno::NOSPC, &["l.shmlock", "allocate 192 bytes", "free space"]);
        fs::remove_file(folder.path().join("filler")).expect("ours");
        assert!(folder.lock("l").open().expect("room again").try_lock().expect(NEVER).is_some());
    });
}

#[test]
fn an_empty_file_that_cannot_be_completed_is_an_error_and_not_a_fault() {
    on_tmpfs("size=16k", |folder, _| {
        let _half_made = folder.put("l", b"");
        folder.fill();
        let error = folder.lock("l").open().expect_err("no room");
        assert_failed(&error, Errno::NOSPC, &["l.shmlock", "free space"]);
        assert_eq!(folder.names(), ["filler"], "the incomplete file is still there");
    });
}

#[test]
fn an_open_lock_keeps_working_when_the_file_system_is_full() {
    on_tmpfs("size=4k", |folder, _| {
        let lock = folder.lock("l").open().expect("the only page");
        let error = fs::write(folder.path().join("other"), [1; 4096]).expect_err("no room");
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
        lock.set_description("written into memory that is really there").expect("short");
        let guard = lock.lock().expect("no fault");
        assert!(lock.holder().expect(NEVER).expect("us").uuid().is_some());
        drop(guard);
        drop(lock);
        assert_eq!(folder.names(), ["other"]);
    });
}

#[test]
fn a_file_system_without_inodes_fails_the_opening() {
    on_tmpfs("nr_inodes=2", |folder, _| {
        fs::write(folder.path().join("filler"), "").expect("the last inode");
        let error = folder.refuses(&folder.lock("l"));
        assert_failed(&error, Errno::NOSPC, &[folder.path().to_str().expect("UTF-8"), "inodes"]);
    });
}

#[test]
fn a_file_system_that_cannot_allocate_suffices() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    aside(|| {
        if let Some(_mounted) = mount_ramfs(folder.path()) {
            let mut block =
                folder.lock("l").open_block_with(|number| *number = 7_u64).expect("written");
            assert_eq!(*block.lock().expect("free"), 7);
            drop(block);
            assert!(folder.names().is_empty());
        }
    });
}
