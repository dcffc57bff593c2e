//! Looking at a lock, by a handle and from outside: what is seen is true, and nobody is disturbed
//! by it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::sync::atomic::Ordering::Relaxed;

use shmlock::{Errno, Error, Inspection, LockState, NotALockReason, OwnerState, ShmLock};
use shmlock_tests::hostile::{
    Folder, Intruder, Solo, as_root, assert_says, be_user, fork, make_node, on_tmpfs,
};
use shmlock_tests::{Account, Capability, actor, alone, can, quietly};

const HERE: &str = "a lock of this process";

#[test]
fn whoever_has_given_back_and_closed_is_never_seen_as_dead() {
    const LOOKS: u32 = 20_000;
    let fixture = Solo::new();
    let name = fixture.name("l");
    let account = Account::new();
    let lock = quietly(|| ShmLock::open(&name)).unwrap();
    let mut others = [actor!(), actor!()];
    for other in &mut others {
        other.tell(format_args!("churn {name} {} 0 2", account.path())); // opens, locks, releases and closes
    }
    let mut seen = 0_u32;
    while seen < LOOKS || account.rounds.load(Relaxed) < 1000 {
        seen += 1;
        let occupancy = lock.status().unwrap().occupancy;
        assert_ne!(occupancy, LockState::Held(OwnerState::Dead), "nobody has died, at look {seen}");
    }
    account.stop.store(1, Relaxed);
    for other in &mut others {
        other.done();
    }
    let _ = account.balance();
}

#[test]
fn from_outside_a_lock_looks_as_it_is() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let seen = || folder.unchanged(|| folder.lock("l").inspect()).expect("a lock or nothing");
    assert!(seen().is_none(), "there is none, and looking makes none");
    let lock = folder.lock("l").description("belt 7").open().expect(HERE);
    let occupancy = || seen().expect("there").health.occupancy;
    assert_eq!((seen().expect("there").holder, occupancy()), (None, LockState::Unlocked));

    let guard = lock.lock().expect("free");
    let Inspection { holder, health, .. } = seen().expect("there");
    assert_eq!(holder, lock.holder().expect(HERE));
    assert!(health.occupancy == LockState::Held(OwnerState::Alive) && health.is_healthy());
    let text = seen().expect("there").to_string();
    assert!(text.contains("held; holder: pid") && text.contains("belt 7"), "{text}");

    std::mem::forget(guard);
    drop(lock);
    let Inspection { holder, health, .. } = seen().expect("there");
    assert_eq!(
        (holder.expect("the dead one").description(), health.occupancy),
        ("belt 7", LockState::Held(OwnerState::Dead))
    );
    let lock = folder.lock("l").open().expect(HERE);
    lock.lock().expect("dead").release().expect("held");
    let health = seen().expect("there").health;
    assert!(health.owner_died && health.recoveries == 1 && health == lock.status().expect(HERE));
    lock.lock().expect("free").declare_consistent().expect("held");
}

#[test]
fn from_outside_nothing_but_a_lock_is_read() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let seen = || folder.unchanged(|| folder.lock("l").inspect());
    let found = || match seen() {
        Err(Error::NotALock { found, .. }) => found,
        other => panic!("{other:?}"),
    };
    let path = folder.put("l", b"");
    assert_eq!(seen().expect("half-made").expect("there").health.occupancy, LockState::Unlocked);
    for (content, expected) in [
        (vec![0; 64], NotALockReason::Size { bytes: 64 }),
        (vec![0; 4096], NotALockReason::Size { bytes: 4096 }),
        (vec![b'x'; 192], NotALockReason::Magic { word: 0x7878_7878 }),
    ] {
        let _other = folder.put("l", &content);
        assert_eq!(found(), expected);
    }
    fs::remove_file(&path).expect("ours");
    make_node(&path, libc::S_IFIFO | 0o600, 0).expect("a pipe");
    assert_eq!(found(), NotALockReason::Fifo, "without waiting for a writer");
    fs::remove_file(&path).expect("ours");
    symlink("/etc/passwd", &path).expect("a link");
    assert_eq!(found(), NotALockReason::Symlink);
    assert!(matches!(folder.lock("a/b").inspect(), Err(Error::InvalidName { .. })));
}

/// A reader beside users who come and go: what it sees, and that it never stands in the way.
#[test]
fn looking_from_outside_while_the_lock_changes_hands_shows_no_mixture_and_takes_nobody_for_dead() {
    const LOOKS: u32 = 5_000;
    let fixture = Solo::new();
    let name = fixture.name("l");
    let account = Account::new();
    let mut others = [actor!(), actor!()];
    let pids = [others[0].pid(), others[1].pid()];
    for other in &mut others {
        other.tell(format_args!("churn {name} {} 0 2", account.path()));
    }
    let (mut looks, mut seen) = (0_u32, 0_u32);
    while looks < LOOKS || seen < 100 {
        looks += 1;
        let Some(inspection) = ShmLock::builder(&name).inspect().expect("a lock or nothing") else {
            continue;
        };
        assert_ne!(
            inspection.health.occupancy,
            LockState::Held(OwnerState::Dead),
            "nobody has died"
        );
        let Some(pid) = inspection.holder.and_then(|holder| holder.pid()) else { continue };
        assert!(pids.contains(&pid), "{pid} is none of {pids:?}");
        seen += 1;
    }
    account.stop.store(1, Relaxed);
    for other in &mut others {
        other.done();
    }
    let _ = account.balance();
    assert!(fixture.files().is_empty(), "one who only looks keeps no file");
}

#[test]
fn whoever_may_only_read_sees_the_holder_and_disturbs_nobody() {
    const GROUP: u32 = 54_323;
    if !as_root("being another user") || !can(Capability::KeepMemoryFromChildren) {
        return; // or the reader, as our child, would be present for us
    }
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("ours");
        let lock = folder.lock("l").description("ours").open().expect(HERE);
        // Not a mode that we would make it with: whoever may read may lock bytes, and so block
        // recovery.
        assert!(matches!(folder.lock("m").mode(0o640).open(), Err(Error::InvalidMode { .. })));
        let path = folder.file("l");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("ours");
        chown(&path, None, Some(GROUP)).expect("root may");
        let uuid = lock.uuid();
        lock.acquire().expect("free");
        let reader = fork(|line| {
            be_user(54_321, GROUP);
            let open = folder.refuses(&folder.lock("l").mode(0o660));
            assert_eq!(open.errno(), Some(Errno::ACCESS), "{open:?}");
            assert_says(&open, &["l.shmlock", "share the lock by Builder::mode"]);
            let seen = || {
                folder
                    .unchanged(|| folder.lock("l").inspect())
                    .expect("may be read")
                    .expect("there")
            };
            let Inspection { holder, health, .. } = seen();
            let holder = holder.expect("held");
            assert_eq!((holder.uuid(), holder.description()), (Some(uuid), "ours"));
            assert_eq!(health.occupancy, LockState::Held(OwnerState::Alive));
            line.ready();
            line.wait(); // until the lock is free, and its file gone
            assert!(folder.lock("l").inspect().expect("nothing to refuse").is_none());
        });
        reader.line().wait();
        assert_eq!(
            Intruder::on(&path).locks_of_others().len(),
            2,
            "our presence and our token, no byte of the reader's"
        );
        lock.release().expect("held");
        drop(lock);
        assert!(folder.names().is_empty(), "the reader, who is still there, is no presence");
        reader.line().ready();
        reader.ends_well();
    });
}

#[test]
fn on_a_read_only_mount_a_lock_can_be_looked_at() {
    on_tmpfs("", |folder, mounted| {
        let lock = folder.lock("l").open().expect(HERE);
        std::mem::forget(lock.lock().expect("free"));
        drop(lock);
        mounted.make_read_only();
        let seen =
            folder.unchanged(|| folder.lock("l").inspect()).expect("may be read").expect("there");
        assert_eq!(seen.health.occupancy, LockState::Held(OwnerState::Dead));
        assert!(seen.holder.expect("the dead one").pid().is_some());
    });
}
