//! Checks sandboxes and kernels that refuse a call or fake its success: the lock finds another way,
//! or opening names the missing call and leaves nothing behind.

use std::path::Path;
use std::time::Duration;

use shmlock::{Errno, Error};
use shmlock_tests::alone;
use shmlock_tests::hostile::{
    Denied, Folder, If, Solo, aside, assert_failed, assert_says, deny, mount_tmpfs,
};

const NEVER: &str = "a live lock";

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
