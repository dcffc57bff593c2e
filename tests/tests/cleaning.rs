//! Checks listing and cleaning: files that dead users left are removed on request, and a lock that
//! a living process has open stays.

use std::fs;
use std::io;
use std::os::unix::fs::{OpenOptionsExt, symlink};

use shmlock::{CleanOutcome, DiedFlag, Error, NotALockReason, ShmLock, list, list_in};
use shmlock_tests::hostile::{Denied, Folder, Intruder, Solo, aside, deny, fork};
use shmlock_tests::{actor, alone, rounds};

const HERE: &str = "a lock of this process";

#[test]
fn a_list_names_all_locks_of_a_directory_and_no_other_file() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let _locks = ["b", "a", "ü \n"].map(|name| folder.lock(name).open().expect(HERE));
    for other in ["c.shmlock-event", "data", ".shmlock", "...shmlock"] {
        fs::write(folder.path().join(other), "").expect("a file can be written");
    }
    let listed = folder.unchanged(|| list_in(folder.path())).expect("our own directory");
    assert_eq!(listed, ["a", "b", "ü \n"]);
    let here = ShmLock::open(&fixture.name("l")).expect(HERE);
    assert!(list().expect("/dev/shm").contains(&here.name().to_owned()));
    let error = list_in(folder.path().join("no")).expect_err("there is no such directory");
    assert!(
        matches!(error, Error::System { .. }) && error.to_string().contains("list the locks in"),
        "{error}"
    );
}

#[test]
fn an_unused_lock_is_removed_and_a_lock_in_use_is_not() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let clean = || folder.lock("l").clean(DiedFlag::Remove).expect("a lock or nothing");
    assert_eq!(clean(), CleanOutcome::Absent);
    for left in [&[0; 192][..], &[]] {
        let _ = folder.put("l", left);
        assert_eq!(clean(), CleanOutcome::Removed);
        assert!(folder.names().is_empty());
    }
    let lock = folder.lock("l").open().expect(HERE);
    assert_eq!(clean(), CleanOutcome::InUse, "open, though free");
    let guard = lock.lock().expect("free");
    assert_eq!(clean(), CleanOutcome::InUse);
    assert!(!lock.status().expect(HERE).orphaned);
    guard.release().expect("no other handle has touched it");
}

#[test]
fn a_died_flag_stays_until_its_removal_is_requested() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let clean = |flag| folder.lock("l").clean(flag).expect("a lock");
    for recovered in [false, true] {
        let mut dead = actor!("l dir={} desc=doomed", folder.path().display());
        dead.ask("lock l");
        dead.kill();
        if recovered {
            let careless = folder.lock("l").open().expect(HERE);
            drop(careless.lock().expect("a dead owner's"));
        }
        let CleanOutcome::OwnerDied(kept) = clean(DiedFlag::Keep) else {
            panic!("it was not kept")
        };
        assert_eq!(folder.names(), ["l.shmlock"]);
        let CleanOutcome::RemovedAfterCrash(gone) = clean(DiedFlag::Remove) else {
            panic!("it was not removed")
        };
        assert_eq!(kept, gone);
        assert_eq!(
            gone.dead.map(|dead| dead.description().to_owned()),
            (!recovered).then(|| "doomed".to_owned())
        );
        assert!(folder.names().is_empty());
    }
}

#[test]
fn a_lock_held_by_a_static_token_stays() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let path = folder.put("l", &[0; 192]);
    Intruder::on(&path).scribble(0, 7);
    assert_eq!(
        folder.lock("l").clean(DiedFlag::Remove).expect("a lock"),
        CleanOutcome::HeldByStaticToken
    );
    assert_eq!(folder.names(), ["l.shmlock"]);
}

#[test]
fn a_file_that_is_no_lock_or_has_a_second_name_is_left_alone() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let target = folder.put("lock", &[0; 192]);
    symlink(&target, folder.file("link")).expect("a link");
    let _ = folder.put("text", &[b'x'; 192]);
    let _ = folder.put("long", &[0; 193]);
    folder.unchanged(|| {
        for (name, expected) in [
            ("link", NotALockReason::Symlink),
            ("text", NotALockReason::Magic { word: 0x7878_7878 }),
            ("long", NotALockReason::Size { bytes: 193 }),
        ] {
            let error = folder.lock(name).clean(DiedFlag::Remove).expect_err("it is no lock");
            assert!(matches!(error, Error::NotALock { found, .. } if found == expected), "{error}");
        }
    });
    let lock = folder.lock("lock").open().expect(HERE);
    fs::hard_link(&target, folder.path().join("second")).expect("a second name");
    drop(lock);
    assert_eq!(
        folder.lock("lock").clean(DiedFlag::Remove).expect("a lock"),
        CleanOutcome::LinkedElsewhere
    );
    assert!(folder.names().contains(&"lock.shmlock".to_owned()));
}

#[test]
fn a_sandbox_that_fakes_byte_locks_removes_no_lock_in_use() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let _lock = folder.lock("l").open().expect(HERE);
    aside(|| {
        if deny(&[Denied::fcntl(libc::F_OFD_SETLK, 0), Denied::fcntl(libc::F_OFD_GETLK, 0)]) {
            let error = folder.lock("l").clean(DiedFlag::Remove).expect_err("nothing was locked");
            assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        }
    });
    assert_eq!(folder.names(), ["l.shmlock"]);
}

#[test]
fn a_process_without_the_right_to_remove_a_lock_gets_an_error() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let _ = folder.put("l", &[0; 192]);
        fork(|_| {
            let denied = [
                libc::SYS_unlinkat,
                #[cfg(target_arch = "x86_64")]
                libc::SYS_unlink,
            ]
            .map(|call| Denied {
                call,
                when: shmlock_tests::hostile::If::Called,
                errno: libc::EPERM,
            });
            if deny(&denied) {
                let error = folder.lock("l").clean(DiedFlag::Keep).expect_err("it may not");
                assert_eq!(
                    error.errno().map(io::Error::from).and_then(|error| error.raw_os_error()),
                    Some(libc::EPERM)
                );
                assert!(error.to_string().contains("cannot remove"), "{error}");
            }
        })
        .ends_well();
        assert_eq!(folder.names(), ["l.shmlock"]);
    });
}

/// One thread cleans while another opens and closes: no handle is left with a lock whose file was
/// removed.
#[test]
fn a_lock_opened_while_others_clean_stays() {
    const REMOVALS: u64 = 50;
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    std::thread::scope(|threads| {
        let cleaner = threads.spawn(|| {
            let mut removed = 0;
            while removed < rounds(REMOVALS) {
                let cleaned = folder.lock("l").clean(DiedFlag::Remove).expect("a lock or nothing");
                removed += u64::from(cleaned == CleanOutcome::Removed);
            }
        });
        while !cleaner.is_finished() {
            let lock = folder.lock("l").open().expect(HERE);
            let guard = lock.lock().expect("free");
            assert!(
                !lock.status().expect(HERE).orphaned,
                "the file was removed while the lock is open"
            );
            drop(guard);
            drop(lock);
            // An incomplete file, for the cleaner or for this thread.
            let _ = fs::File::options()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(folder.file("l"));
            std::thread::yield_now();
        }
        cleaner.join().expect("it does not panic");
    });
    let _ = folder.lock("l").clean(DiedFlag::Remove).expect("a lock or nothing");
    assert!(folder.names().is_empty());
}
