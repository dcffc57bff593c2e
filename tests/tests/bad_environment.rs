//! Checks that opening names what the environment lacks, and leaves nothing behind.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use shmlock::{Errno, Error, ShmLock};
use shmlock_tests::hostile::{
    Denied, Folder, If, Solo, aside, assert_says, before_each, deny, mount_ramfs, mount_tmpfs,
    on_tmpfs,
};
use shmlock_tests::{alone, rounds};

const NEVER: &str = "a live lock";

/// Asserts that the error is a failed system call's with this errno, and that its text says what to
/// do.
fn assert_failed(error: &Error, errno: Errno, parts: &[&str]) {
    assert!(
        matches!(error, Error::System { .. }) && error.errno() == Some(errno),
        "expected {errno:?}: {error:?}"
    );
    assert_says(error, parts);
}

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
fn without_dev_shm_the_error_names_what_is_missing() {
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
fn a_file_system_without_byte_locks_is_not_supported() {
    let fixture = Solo::new();
    for command in [libc::F_OFD_SETLK, libc::F_OFD_GETLK] {
        let folder = Folder::new(&fixture);
        aside(|| {
            if !deny(&[Denied::fcntl(command, libc::EINVAL)]) {
                return;
            }
            let error = folder.refuses(&folder.lock("l"));
            assert!(
                matches!(error, Error::Unsupported { .. }) && error.errno() == Some(Errno::INVAL),
                "{error:?}"
            );
            assert_says(&error, &["F_OFD_SETLK", "l.shmlock", "put the lock on a local tmpfs"]);
        });
    }
}

/// Runs `act` in two sandboxes where each byte lock seems to succeed and locks nothing. The second
/// also answers no query for a lock.
fn in_sandboxes_that_fake_byte_locks(act: impl Fn() + Sync) {
    let pretended = [libc::F_OFD_SETLK, libc::F_OFD_GETLK].map(|command| Denied::fcntl(command, 0));
    for pretended in [&pretended[..1], &pretended] {
        aside(|| {
            if deny(pretended) {
                act();
            }
        });
    }
}

fn assert_fake_detected(error: &Error) {
    assert!(matches!(error, Error::Unsupported { errno: None, .. }), "{error:?}");
    assert_says(
        error,
        &["other descriptions can see", "l.shmlock", "put the lock on a local tmpfs"],
    );
}

#[test]
fn a_sandbox_that_fakes_byte_locks_is_detected() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    in_sandboxes_that_fake_byte_locks(|| assert_fake_detected(&folder.refuses(&folder.lock("l"))));
}

#[test]
fn a_sandbox_that_fakes_byte_locks_does_not_remove_a_file_in_use() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock = folder.lock("l").open().expect(NEVER);
    in_sandboxes_that_fake_byte_locks(|| {
        assert_fake_detected(&folder.lock("l").open().expect_err("nothing was locked"));
    });
    // Opening a block removes a lock that no process uses.
    in_sandboxes_that_fake_byte_locks(|| {
        drop(folder.lock("l").open_block::<u64>().expect_err("nothing was locked"));
    });
    assert!(!lock.status().expect(NEVER).orphaned, "the file was removed while the lock is in use");
    assert_eq!(folder.names(), ["l.shmlock"]);
}

/// The errors with which sandboxes and file systems refuse a call.
const REFUSALS: [libc::c_int; 8] = [
    libc::EACCES,
    libc::EPERM,
    libc::EOPNOTSUPP,
    libc::ENOSYS,
    libc::EINVAL,
    libc::EISDIR,
    libc::ENOENT,
    libc::EXDEV,
];

/// Asserts that a lock and a block are created whole and are removed again.
fn assert_is_made(folder: &Folder, how: &str) {
    let lock = folder.lock("l").mode(0o666).open().unwrap_or_else(|error| panic!("{how}: {error}"));
    let meta = fs::metadata(folder.file("l")).expect("it is there");
    assert_eq!((meta.len(), meta.mode() & 0o7777, meta.blocks() > 0), (192, 0o666, true), "{how}");
    assert!(lock.try_lock().expect(NEVER).is_some());
    drop(lock);
    assert!(folder.names().is_empty(), "{how}");
    let mut block =
        folder.lock("l").schema("s").open_block_with(|number| *number = 7_u64).expect(how);
    assert_eq!(*block.lock().expect("free"), 7);
    assert_eq!(fs::metadata(folder.file("l")).expect("it is there").len(), 200);
    assert!(
        folder.lock("l").schema("s").open_block::<u64>().is_ok() && folder.lock("l").open().is_ok()
    );
    drop(block);
    assert!(folder.names().is_empty(), "{how}");
}

/// Runs `act` in a sandbox that denies these calls.
fn denying(calls: &[Denied], act: impl FnOnce(&Folder) + Send) {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    aside(|| {
        if deny(calls) {
            act(&folder);
        }
    });
}

#[test]
fn without_nameless_files_a_lock_is_created_in_two_steps() {
    let link = |errno| Denied { call: libc::SYS_linkat, when: If::Called, errno };
    for errno in REFUSALS {
        denying(&[Denied::nameless(errno)], |folder| {
            assert_is_made(folder, &format!("no nameless files: {errno}"));
        });
        denying(&[link(errno)], |folder| assert_is_made(folder, &format!("no links: {errno}")));
    }
}

#[test]
fn without_fallocate_memory_is_written() {
    const BYTES: usize = 300_000;
    for errno in REFUSALS.into_iter().filter(|errno| *errno != libc::ENOENT) {
        let how = format!("no fallocate: {errno}");
        denying(&[Denied::allocation(errno)], |folder| assert_is_made(folder, &how));
        denying(&[Denied::allocation(errno), Denied::nameless(errno)], |folder| {
            assert_is_made(folder, &how);
            let _large = folder.lock("large").open_block::<[u8; BYTES]>().expect("written");
            let meta = fs::metadata(folder.file("large")).expect("it is there");
            assert!(meta.blocks() * 512 >= BYTES as u64, "{how}: a hole is left: {meta:?}");
        });
    }
}

#[test]
fn without_fallocate_no_lock_in_use_is_overwritten() {
    denying(
        &[Denied::allocation(libc::EOPNOTSUPP), Denied::nameless(libc::EOPNOTSUPP)],
        |folder| {
            let mut block = folder.lock("l").open_block::<u64>().expect(NEVER);
            *block.lock().expect("free") = 7;
            let guard = block.lock().expect("free");
            let lock = folder.lock("l").open().expect(NEVER);
            let mut other = folder.lock("l").open_block::<u64>().expect(NEVER);
            assert!(lock.try_lock().expect(NEVER).is_none(), "it is held");
            drop(guard);
            assert_eq!(*other.lock().expect("free"), 7);
        },
    );
}

/// If another process acquired the lock meanwhile, the zeros would release it.
#[test]
fn without_fallocate_no_process_opens_the_lock_while_it_is_written() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let (opened, kept_out) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let other = folder.lock("l").open_timeout(Duration::ZERO);
        if !deny(&[Denied::allocation(libc::EOPNOTSUPP), Denied::nameless(libc::EOPNOTSUPP)]) {
            return;
        }
        // Partner: the loads below.
        let count = |into: &Arc<AtomicU32>| into.fetch_add(1, Ordering::Relaxed);
        let (to_opened, to_kept_out) = (opened.clone(), kept_out.clone());
        let watched = before_each(&[libc::SYS_pwrite64], move || {
            let result = other.open();
            count(if matches!(result, Err(Error::OpenTimedOut { .. })) {
                &to_kept_out
            } else {
                &to_opened
            });
        });
        if watched.is_some() {
            drop(folder.lock("l").open().expect("nobody else is here"));
            // Partner: the additions above.
            let read = |of: &Arc<AtomicU32>| of.load(Ordering::Relaxed);
            assert_eq!((read(&opened), read(&kept_out)), (0, 1));
        }
    });
}

#[test]
fn without_fallocate_threads_that_create_one_lock_at_once_share_it() {
    const THREADS: usize = 4;
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let (inside, together) = (AtomicBool::new(false), Barrier::new(THREADS));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let refused = deny(&[
                    Denied::allocation(libc::EOPNOTSUPP),
                    Denied::nameless(libc::EOPNOTSUPP),
                ]);
                for _ in 0..rounds(1_000) {
                    together.wait(); // the last close of the previous round removed the file
                    if !refused {
                        continue;
                    }
                    let lock = folder.lock("l").open().expect(NEVER);
                    let guard = lock.lock().expect(NEVER);
                    // Partner: the others' swaps.
                    assert!(!inside.swap(true, Ordering::Relaxed), "two are inside");
                    inside.store(false, Ordering::Relaxed); // partner: the others' swaps
                    guard.release().expect("nobody else writes to the word");
                }
            });
        }
    });
    assert!(folder.names().is_empty());
}

#[test]
fn without_fallocate_a_full_file_system_fails_the_opening_and_nothing_is_left() {
    on_tmpfs("size=64k", |folder, _| {
        if !deny(&[Denied::allocation(libc::EOPNOTSUPP), Denied::nameless(libc::EOPNOTSUPP)]) {
            return;
        }
        let error = folder
            .unchanged(|| folder.lock("b").open_block::<[u8; 100_000]>())
            .expect_err("no room");
        assert_failed(&error, Errno::NOSPC, &["b.shmlock", "allocate the block", "free space"]);
        assert!(folder.lock("b").open_block::<[u8; 1000]>().is_ok());
        folder.fill();
        let error = folder.refuses(&folder.lock("l"));
        assert_failed(&error, Errno::NOSPC, &["l.shmlock", "allocate 192 bytes", "free space"]);
    });
}

#[test]
fn a_block_too_large_for_a_file_system_without_nameless_files_leaves_nothing() {
    on_tmpfs("size=64k", |folder, _| {
        if deny(&[Denied::nameless(libc::EACCES)]) {
            let error = folder
                .unchanged(|| folder.lock("b").open_block::<[u8; 100_000]>())
                .expect_err("no room");
            assert_failed(&error, Errno::NOSPC, &["b.shmlock", "allocate the block", "free space"]);
        }
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

#[test]
fn a_refused_fchmod_fails_only_if_the_mode_would_differ() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let refused = Denied { call: libc::SYS_fchmod, when: If::Called, errno: libc::EPERM };
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        for calls in
            [&[refused, Denied::nameless(libc::EPERM)][..1], &[Denied::nameless(libc::EPERM)]]
        {
            if !deny(calls) {
                return;
            }
            assert!(
                folder.lock("l").mode(0o600).open().is_ok(),
                "the umask does not change this mode"
            );
            let error = folder.refuses(&folder.lock("l").mode(0o666));
            assert_failed(&error, Errno::PERM, &["l.shmlock", "set the mode"]);
        }
    });
}

#[test]
fn without_getrandom_random_bytes_are_read_from_the_device() {
    let refused = Denied { call: libc::SYS_getrandom, when: If::Called, errno: libc::ENOSYS };
    denying(&[refused], |folder| {
        let (one, other) =
            (folder.lock("l").open().expect(NEVER), folder.lock("l").open().expect(NEVER));
        assert_ne!(one.uuid(), other.uuid());
        let _guard = one.lock().expect("free");
        assert!(other.try_lock().expect(NEVER).is_none());
    });
}

#[test]
fn a_lock_created_in_two_steps_opens_whatever_the_timeout() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    aside(|| {
        if deny(&[Denied { call: libc::SYS_linkat, when: If::Called, errno: libc::EPERM }]) {
            let lock = folder.lock("l").open_timeout(Duration::ZERO).open();
            drop(lock.expect("no other handle is closing it"));
            assert!(folder.names().is_empty(), "the incomplete file stays");
        }
    });
}

#[test]
fn without_madv_populate_write_a_lock_works() {
    for errno in [libc::EINVAL, libc::EPERM, libc::ENOSYS] {
        denying(&[Denied { errno, ..Denied::advice(libc::MADV_POPULATE_WRITE) }], |folder| {
            assert!(
                folder
                    .lock("l")
                    .open()
                    .expect("Linux before 5.14")
                    .try_lock()
                    .expect(NEVER)
                    .is_some()
            );
        });
    }
}

#[test]
fn without_proc_a_lock_works_even_on_old_kernels() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let Some(_over_it) = mount_tmpfs(Path::new("/proc"), "") else { return };
        if deny(&[Denied::auxiliary_vector()]) {
            let lock = folder.lock("l").open().expect("/proc is not needed");
            let guard = lock.lock().expect(NEVER);
            assert_eq!(
                lock.holder().expect(NEVER).expect("us").pid_is_ours(),
                None,
                "the process id cannot be compared without /proc"
            );
            drop(guard);
            drop(lock);
            assert!(folder.names().is_empty());
        }
    });
}

#[test]
fn a_lock_that_cannot_be_mapped_leaves_no_file() {
    let advice = |advice, errno| Denied { errno, ..Denied::advice(advice) };
    let fixture = Solo::new();
    for (denied, errno) in [
        (Denied::shared_mapping(libc::ENOMEM), Errno::NOMEM),
        // Without MADV_DONTFORK, a child would vouch for its dead parent.
        (advice(libc::MADV_DONTFORK, libc::EINVAL), Errno::INVAL),
        (advice(libc::MADV_POPULATE_WRITE, libc::ENOMEM), Errno::NOMEM),
    ] {
        let folder = Folder::new(&fixture);
        aside(|| {
            if deny(&[denied]) {
                assert_failed(&folder.refuses(&folder.lock("l")), errno, &["l.shmlock"]);
            }
        });
    }
}
