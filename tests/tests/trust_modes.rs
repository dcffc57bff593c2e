//! Checks which users may use a lock: modes, groups, and names that another user took first. Most
//! of this needs root, to be several users.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use shmlock::{Errno, Error, Holder};
use shmlock_tests::alone;
use shmlock_tests::hostile::{Folder, Line, Solo, as_root, assert_says, be_user, fork};

/// Two users and a group that exist on no system.
const ANNA: u32 = 54_321;
const BERT: u32 = 54_322;
const GROUP: u32 = 54_323;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o7777
}

#[test]
fn the_error_about_an_inaccessible_file_says_how_to_share_it() {
    if !as_root("being two users") {
        return;
    }
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        set_mode(folder.path(), 0o755);
        let _roots = folder.put("l", &[0; 192]);
        let anna = || {
            be_user(ANNA, GROUP);
            for (lock, place) in
                [("l", "l.shmlock"), ("new", folder.path().to_str().expect("UTF-8"))]
            {
                let error = folder.lock(lock).open().expect_err("it is root's");
                assert!(
                    matches!(error, Error::System { .. }) && error.errno() == Some(Errno::ACCESS),
                    "{error:?}"
                );
                assert_says(&error, &[place, "Builder::mode", "common group"]);
            }
        };
        folder.unchanged(|| fork(|_| anna()).ends_well());
    });
}

#[test]
fn a_file_with_a_wider_mode_than_requested_is_refused() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    for (found, asked) in [
        (0o660, 0o600),
        (0o606, 0o600),
        (0o604, 0o600),
        (0o640, 0o606),
        (0o666, 0o660),
        (0o700, 0o666),
        (0o1600, 0o600),
        (0o4600, 0o666),
    ] {
        let path = folder.put("l", &[0; 192]);
        set_mode(&path, found);
        let error = folder.refuses(&folder.lock("l").mode(asked));
        let Error::ModeTooWide { path: named, found: bits, allowed } = &error else {
            panic!("{found:o}: {error}")
        };
        assert_eq!((named, *bits, *allowed), (&path, found, asked));
        let [found, asked] = [found, asked].map(|mode| format!("{mode:#o}"));
        assert_says(
            &error,
            &[
                path.to_str().expect("UTF-8"),
                &found,
                &asked,
                "ask for that mode or remove the file",
            ],
        );
    }
}

#[test]
fn the_error_about_a_wider_lock_in_use_does_not_advise_removal() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock = folder.lock("l").mode(0o666).description("refilling").open().expect("a new lock");
    let refused = || {
        let error = folder.refuses(&folder.lock("l"));
        assert!(
            matches!(error, Error::InUseWithOtherMode { found: 0o666, allowed: 0o600, .. }),
            "{error:?}"
        );
        assert_says(
            &error,
            &["0o666", "0o600", "ask for that mode", "end all its users", "two locks"],
        );
        error
    };
    assert!(refused().holder().is_none());
    let _guard = lock.lock().expect("free");
    let error = refused();
    assert_eq!(error.holder().and_then(Holder::uuid), Some(lock.uuid()));
    assert_says(&error, &["held by", "refilling"]);
}

#[test]
fn a_file_with_a_narrower_mode_than_requested_is_used_and_keeps_its_mode() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let path = folder.put("l", &[0; 192]);
    let _lock = folder.lock("l").mode(0o666).open().expect("the owner may use it");
    assert_eq!(mode_of(&path), 0o600);
}

#[test]
fn a_new_file_has_exactly_the_requested_mode_whatever_the_umask() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        for umask in [0, 0o022, 0o077, 0o777] {
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
            for mode in [0o600, 0o660, 0o606, 0o666] {
                let _lock = folder.lock("l").mode(mode).open().expect("a new lock");
                assert_eq!(mode_of(&folder.file("l")), mode, "umask {umask:o}");
            }
        }
    });
}

/// Opens the lock of mode 0660 as a member of the group, runs `act`, and holds the handle until it
/// is told to end.
fn member(folder: &Folder, user: u32, line: &Line, act: impl FnOnce(&shmlock::ShmLock)) {
    be_user(user, GROUP);
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let lock = folder.lock("l").mode(0o660).open().expect("the group shares it");
    act(&lock);
    line.ready();
    line.wait();
}

#[test]
fn a_group_shares_a_lock_in_a_directory_of_its_own() {
    if !as_root("being two users") {
        return;
    }
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        chown(folder.path(), None, Some(GROUP)).expect("root may");
        set_mode(folder.path(), 0o2770);
        let anna =
            fork(|line| member(&folder, ANNA, line, |lock| lock.acquire().expect("a new lock")));
        anna.line().wait();
        let meta = fs::metadata(folder.file("l")).expect("anna created it");
        assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (ANNA, GROUP, 0o660));
        let bert = fork(|line| {
            member(&folder, BERT, line, |lock| {
                assert!(lock.try_lock().expect("a lock").is_none(), "anna has it");
                line.ready();
                let guard = lock.lock().expect("anna dies");
                assert!(guard.recovered().expect("the owner died").dead.is_some());
                guard.declare_consistent().expect("held");
            });
        });
        bert.line().wait();
        anna.kill();
        bert.line().wait();
        bert.line().ready();
        bert.ends_well();
        assert!(folder.names().is_empty(), "a member of the group did not remove the file");
    });
}

#[test]
fn a_user_outside_the_group_is_refused_and_not_trusted() {
    if !as_root("being two users") {
        return;
    }
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        set_mode(folder.path(), 0o1777);
        let squatter = fork(|line| member(&folder, ANNA, line, |_| {}));
        squatter.line().wait();
        let bert = || {
            be_user(BERT, GROUP + 1);
            let error = folder.lock("l").mode(0o660).open().expect_err("the group's");
            assert_eq!(error.errno(), Some(Errno::ACCESS), "{error:?}");
        };
        folder.unchanged(|| fork(|_| bert()).ends_well());
        let error = folder.refuses(&folder.lock("l").mode(0o660));
        assert!(
            matches!(error, Error::ForeignOwner { uid: ANNA, .. }),
            "root is not of the group: {error:?}"
        );
        squatter.line().ready();
        squatter.ends_well();
    });
}

#[test]
fn another_user_can_neither_open_nor_move_nor_replace_a_lock_in_use() {
    if !as_root("being two users") {
        return;
    }
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        set_mode(folder.path(), 0o1777); // as /dev/shm
        let anna = fork(|line| {
            be_user(ANNA, GROUP);
            let lock = folder.lock("l").open().expect("a new lock");
            let guard = lock.lock().expect("free");
            line.ready();
            line.wait();
            assert!(lock.is_held() && !lock.status().expect("ours").orphaned);
            guard.release().expect("undisturbed");
        });
        anna.line().wait();
        let bert = fork(|line| {
            be_user(BERT, GROUP);
            let (path, his) = (folder.file("l"), folder.path().join("his"));
            let errno = |result: std::io::Result<()>| {
                result.expect_err("hers").raw_os_error().expect("the kernel's")
            };
            line.wait();
            for mode in [0o600, 0o660, 0o666] {
                let error = folder.lock("l").mode(mode).open().expect_err("hers");
                assert_eq!(error.errno(), Some(Errno::ACCESS), "{error:?}");
            }
            assert_eq!(folder.lock("l").inspect().expect_err("hers").errno(), Some(Errno::ACCESS));
            assert_eq!(errno(fs::remove_file(&path)), libc::EPERM);
            assert_eq!(errno(fs::rename(&path, folder.path().join("away"))), libc::EPERM);
            assert_eq!(errno(fs::rename(&his, &path)), libc::EPERM);
            assert_eq!(errno(std::os::unix::fs::symlink(&his, &path)), libc::EEXIST);
            line.ready();
        });
        let his = folder.path().join("his");
        fs::write(&his, [0; 192]).expect("ours");
        chown(&his, Some(BERT), Some(GROUP)).expect("root may");
        folder.unchanged(|| {
            bert.line().ready();
            bert.line().wait();
        });
        bert.ends_well();
        anna.line().ready();
        anna.ends_well();
        assert_eq!(folder.names(), ["his"]);
    });
}

#[test]
fn a_name_that_another_user_took_first_is_refused_whatever_its_mode() {
    if !as_root("being two users") {
        return;
    }
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        set_mode(folder.path(), 0o1777); // as /dev/shm
        let squatter = fork(|line| {
            be_user(BERT, GROUP);
            let _closed = folder.lock("closed").open().expect("a new lock");
            let _wide = folder.lock("wide").mode(0o666).open().expect("a new lock");
            line.ready();
            line.wait();
        });
        squatter.line().wait();
        let anna = || {
            be_user(ANNA, GROUP);
            let error = folder.lock("closed").open().expect_err("his");
            assert_eq!(error.errno(), Some(Errno::ACCESS), "{error:?}");
            let error = folder.lock("wide").open().expect_err("his");
            assert!(matches!(error, Error::ForeignOwner { uid: BERT, .. }), "{error:?}");
        };
        folder.unchanged(|| fork(|_| anna()).ends_well());
        squatter.line().ready();
        squatter.ends_well();
    });
}
