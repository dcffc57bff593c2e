//! Checks sandboxes and file systems that refuse nameless files or fallocate(2): a lock is created
//! in two steps, memory is written, and a full file system is an error at the opening.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use shmlock::{Errno, Error};
use shmlock_tests::hostile::{
    Denied, Folder, If, Solo, aside, assert_failed, before_each, deny, on_tmpfs,
};
use shmlock_tests::{alone, rounds};

const NEVER: &str = "a live lock";

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
            drop(folder.lock("l").open().expect("no other process is here"));
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
                    guard.release().expect("no foreign write");
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
