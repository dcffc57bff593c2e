//! Checks which users' files are trusted. Most of this needs root, to be several users.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use shmlock::Error;
use shmlock_tests::alone;
use shmlock_tests::hostile::{
    Apart, Denied, Folder, Solo, as_root, assert_says, be_user, be_user_apart, deny, fork,
    fork_apart, mount_tmpfs,
};

/// Users and a group that exist on no system.
const ANNA: u32 = 54_321;
const BERT: u32 = 54_322;
const GROUP: u32 = 54_323;
const STRANGER: u32 = 12_345;
/// The id that the kernel shows for a user without a number in our user namespace.
const OVERFLOW: u32 = 65_534;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

#[test]
fn a_file_of_another_user_is_refused_unless_that_user_is_trusted() {
    if !as_root("giving a file away") {
        return;
    }
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    for (owner, mode) in [
        (STRANGER, 0o600),
        (STRANGER, 0o660),
        (OVERFLOW, 0o600),
        (OVERFLOW, 0o660),
        (OVERFLOW, 0o666),
    ] {
        let path = folder.put("l", &[0; 192]);
        chown(&path, Some(owner), Some(STRANGER)).expect("root may");
        set_mode(&path, mode);
        for lock in
            [folder.lock("l").mode(mode), folder.lock("l").mode(mode).trust_owner(owner + 1)]
        {
            let error = folder.refuses(&lock);
            let Error::ForeignOwner { path: named, uid } = &error else {
                panic!("{owner} {mode:o}: {error}")
            };
            assert_eq!((named, *uid), (&path, owner));
            let (path, user) = (path.to_str().expect("UTF-8"), format!("user {owner}"));
            assert_says(&error, &[path, &user, "Builder::trust_owner", "Builder::mode"]);
        }
        let lock = folder.lock("l").mode(mode).trust_owner(owner).open().expect("trusted");
        assert!(lock.try_lock().expect("a lock").is_some());
        assert_eq!(fs::metadata(&path).expect("there").uid(), owner);
    }
}

/// The user `nobody`, and a group whose id is that of an unmapped group.
#[test]
fn the_user_with_the_id_of_the_overflow_user_has_locks_like_others() {
    if !as_root("being another user") {
        return;
    }
    alone!(|| {
        for without_proc in [false, true] {
            let fixture = Solo::new();
            let folder = Folder::new(&fixture);
            chown(folder.path(), Some(OVERFLOW), Some(OVERFLOW)).expect("root may");
            fork(|_| {
                let _over_it = without_proc.then(|| mount_tmpfs(Path::new("/proc"), ""));
                be_user(OVERFLOW, OVERFLOW);
                let lock = folder.lock("l").open().expect("its own");
                let guard = lock.lock().expect("free");
                assert!(
                    folder.lock("l").open().expect("its own").try_lock().expect("a lock").is_none()
                );
                assert!(lock.try_clone().is_ok() && folder.lock("b").open_block::<u64>().is_ok());
                guard.release().expect("held");
                drop(lock);
                assert!(folder.names().is_empty());
            })
            .ends_well();
        }
    });
}

#[test]
fn a_file_that_only_appears_to_belong_to_the_overflow_user_is_refused() {
    if !as_root("being several users") {
        return;
    }
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        set_mode(folder.path(), 0o777);
        for (name, owner, mode) in
            [("strangers", STRANGER, 0o666), ("roots", 0, 0o666), ("its", ANNA, 0o600)]
        {
            let path = folder.put(name, &[0; 192]);
            chown(&path, Some(owner), Some(owner)).expect("root may");
            set_mode(&path, mode);
        }
        // A namespace with one user: anna outside, and the id of the overflow user inside.
        let Some(anna) = fork_apart(Apart::Users, |line| {
            line.wait();
            be_user_apart(OVERFLOW, OVERFLOW);
            for name in ["strangers", "roots"] {
                assert_eq!(
                    fs::metadata(folder.file(name)).expect("there").uid(),
                    OVERFLOW,
                    "it does not appear as its own"
                );
                let error = folder.lock(name).mode(0o666).open().expect_err("a foreign file");
                assert!(matches!(error, Error::ForeignOwner { uid: OVERFLOW, .. }), "{error:?}");
                assert_says(&error, &["user 65534", "no number", "user_namespaces(7)"]);
            }
            assert!(folder.lock("its").open().is_ok(), "its own file was refused");
            assert!(folder.lock("new").open().is_ok());
        }) else {
            return;
        };
        anna.map_user(OVERFLOW, ANNA);
        anna.line().ready();
        anna.ends_well();
    });
}

/// The kernel may have another id for unmapped users.
#[test]
fn the_overflow_user_is_read_from_the_kernel() {
    if !as_root("giving a file away") {
        return;
    }
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let path = folder.put("l", &[0; 192]);
        chown(&path, Some(STRANGER), Some(GROUP)).expect("root may");
        set_mode(&path, 0o666);
        fork(|_| {
            let Some(settings) = mount_tmpfs(Path::new("/proc/sys/kernel"), "") else { return };
            fs::write("/proc/sys/kernel/overflowuid", format!("{STRANGER}\n"))
                .expect("our own mount");
            let error = folder.refuses(&folder.lock("l").mode(0o666));
            assert!(matches!(error, Error::ForeignOwner { uid: STRANGER, .. }), "{error:?}");
            drop(settings);
        })
        .ends_well();
        assert!(
            folder.lock("l").mode(0o666).open().is_ok(),
            "with the default overflow id, the file's owner is an ordinary user"
        );
    });
}

#[test]
fn the_group_with_the_id_of_the_overflow_group_shares_locks_like_others() {
    if !as_root("being several users") {
        return;
    }
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        chown(folder.path(), None, Some(OVERFLOW)).expect("root may");
        set_mode(folder.path(), 0o2770);
        let lock = |user| {
            be_user(user, OVERFLOW);
            folder.lock("l").mode(0o660).open().expect("the group shares it")
        };
        let anna = fork(|line| {
            let lock = lock(ANNA);
            let _guard = lock.lock().expect("free");
            line.ready();
            line.wait();
        });
        anna.line().wait();
        fork(|_| assert!(lock(BERT).try_lock().expect("a lock").is_none())).ends_well();
        anna.line().ready();
        anna.ends_well();
    });
}

#[test]
fn an_untrusted_file_created_in_two_steps_is_removed() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        set_mode(folder.path(), 0o777);
        let Some(nobody) = fork_apart(Apart::Users, |_| {
            if deny(&[Denied::nameless(libc::EACCES)]) {
                let error = folder.lock("new").open().expect_err("no user is mapped");
                assert!(matches!(error, Error::ForeignOwner { uid: OVERFLOW, .. }), "{error:?}");
            }
        }) else {
            return;
        };
        nobody.ends_well();
        assert!(folder.names().is_empty(), "{:?}", folder.names());
    });
}

#[test]
fn a_lock_shared_with_all_users_trusts_every_mapped_user() {
    if !as_root("giving a file away") {
        return;
    }
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let path = folder.put("l", &[0; 192]);
    chown(&path, Some(STRANGER), Some(STRANGER)).expect("root may");
    set_mode(&path, 0o666);
    assert!(folder.lock("l").mode(0o666).open().is_ok());
}
