//! Which locks there are; and what dead users left goes when asked, while what a living one has
//! open stays.

use std::fs;
use std::io;
use std::os::unix::fs::{OpenOptionsExt, symlink};

use shmlock::{CleanOutcome, DiedFlag, Error, NotALockReason, ShmLock, list, list_in};
use shmlock_tests::hostile::{Denied, Folder, Intruder, Solo, aside, deny, fork};
use shmlock_tests::{actor, alone, rounds};

const HERE: &str = "a lock of this process";

#[test]
fn all_locks_of_a_directory_are_named_and_nothing_else() {
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
fn what_nobody_uses_is_removed_and_what_somebody_uses_is_not() {
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
    guard.release().expect("nobody has touched it");
}

#[test]
fn a_crash_mark_stays_until_its_removal_is_asked_for() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let clean = |mark| folder.lock("l").clean(mark).expect("a lock");
    for replaced in [false, true] {
        let mut dead = actor!("l dir={} desc=doomed", folder.path().display());
        dead.ask("lock l");
        dead.kill();
        if replaced {
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
            (!replaced).then(|| "doomed".to_owned())
        );
        assert!(folder.names().is_empty());
    }
}

#[test]
fn a_lock_held_from_outside_of_linux_stays() {
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
fn what_is_no_lock_or_has_a_second_name_is_left_alone() {
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
fn a_sandbox_that_only_pretends_to_lock_bytes_removes_nothing_that_is_used() {
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
fn who_may_not_remove_it_is_told_so() {
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

/// Cleaners and users who come and go: nobody is ever left with a lock that was removed under them.
#[test]
fn whoever_opens_while_others_clean_has_a_lock_that_stays() {
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
            assert!(!lock.status().expect(HERE).orphaned, "it was removed under us");
            drop(guard);
            drop(lock);
            // Half-made, for the cleaner or for us.
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
