//! Checks status and inspection of a lock, with a handle and without: what they show is true, and
//! they disturb no user.

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
fn a_handle_that_released_and_closed_is_never_seen_as_dead() {
    const CHECKS: u32 = 20_000;
    let fixture = Solo::new();
    let name = fixture.name("l");
    let account = Account::new();
    let lock = quietly(|| ShmLock::open(&name)).unwrap();
    let mut others = [actor!(), actor!()];
    for other in &mut others {
        // Opens, locks, releases and closes.
        other.tell(format_args!("churn {name} {} 0 2", account.path()));
    }
    let mut checks = 0_u32;
    while checks < CHECKS || account.rounds.load(Relaxed) < 1000 {
        checks += 1;
        let occupancy = lock.status().unwrap().state;
        assert_ne!(occupancy, LockState::Held(OwnerState::Dead), "at check {checks}");
    }
    account.stop.store(1, Relaxed);
    for other in &mut others {
        other.done();
    }
    let _ = account.balance();
}

#[test]
fn an_inspection_shows_the_state_of_the_lock() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let seen = || folder.unchanged(|| folder.lock("l").inspect()).expect("a lock or nothing");
    assert!(seen().is_none(), "an inspection created a lock");
    let lock = folder.lock("l").description("belt 7").open().expect(HERE);
    let occupancy = || seen().expect("there").status.state;
    assert_eq!((seen().expect("there").holder, occupancy()), (None, LockState::Unlocked));

    let guard = lock.lock().expect("free");
    let Inspection { holder, status, .. } = seen().expect("there");
    assert_eq!(holder, lock.holder().expect(HERE));
    assert!(status.state == LockState::Held(OwnerState::Alive) && status.is_healthy());
    let text = seen().expect("there").to_string();
    assert!(text.contains("held; holder: pid") && text.contains("belt 7"), "{text}");

    std::mem::forget(guard);
    drop(lock);
    let Inspection { holder, status, .. } = seen().expect("there");
    assert_eq!(
        (holder.expect("the dead owner").description(), status.state),
        ("belt 7", LockState::Held(OwnerState::Dead))
    );
    let lock = folder.lock("l").open().expect(HERE);
    lock.lock().expect("a dead owner's").release().expect("held");
    let status = seen().expect("there").status;
    assert!(status.owner_died && status.recoveries == 1 && status == lock.status().expect(HERE));
    lock.lock().expect("free").declare_consistent().expect("held");
}

#[test]
fn an_inspection_reads_only_locks() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let seen = || folder.unchanged(|| folder.lock("l").inspect());
    let found = || match seen() {
        Err(Error::NotALock { found, .. }) => found,
        other => panic!("{other:?}"),
    };
    let path = folder.put("l", b"");
    assert_eq!(
        seen().expect("an empty file is a free lock").expect("there").status.state,
        LockState::Unlocked
    );
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
    assert_eq!(found(), NotALockReason::Fifo, "the inspection waited for a writer");
    fs::remove_file(&path).expect("ours");
    symlink("/etc/passwd", &path).expect("a link");
    assert_eq!(found(), NotALockReason::Symlink);
    assert!(matches!(folder.lock("a/b").inspect(), Err(Error::InvalidName { .. })));
}

/// Inspects a lock while two processes open, use and close it.
#[test]
fn an_inspection_of_a_busy_lock_shows_no_mixed_record_and_no_death() {
    const INSPECTIONS: u32 = 5_000;
    let fixture = Solo::new();
    let name = fixture.name("l");
    let account = Account::new();
    let mut others = [actor!(), actor!()];
    let pids = [others[0].pid(), others[1].pid()];
    for other in &mut others {
        other.tell(format_args!("churn {name} {} 0 2", account.path()));
    }
    let (mut inspections, mut seen) = (0_u32, 0_u32);
    while inspections < INSPECTIONS || seen < 100 {
        inspections += 1;
        let Some(inspection) = ShmLock::builder(&name).inspect().expect("a lock or nothing") else {
            continue;
        };
        assert_ne!(
            inspection.status.state,
            LockState::Held(OwnerState::Dead),
            "a living process was judged dead"
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
    assert!(fixture.files().is_empty(), "an inspection kept the file");
}

#[test]
fn a_user_that_may_only_read_sees_the_holder_and_disturbs_no_user() {
    const GROUP: u32 = 54_323;
    if !as_root("being another user") || !can(Capability::KeepMemoryFromChildren) {
        return; // otherwise the reader, as our child, would keep our presence
    }
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("ours");
        let lock = folder.lock("l").description("ours").open().expect(HERE);
        // The builder refuses this mode, because a reader may lock bytes, and so block recovery.
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
            let Inspection { holder, status, .. } = seen();
            let holder = holder.expect("held");
            assert_eq!((holder.uuid(), holder.description()), (Some(uuid), "ours"));
            assert_eq!(status.state, LockState::Held(OwnerState::Alive));
            line.ready();
            line.wait(); // until the lock is free and its file is removed
            assert!(folder.lock("l").inspect().expect("nothing to refuse").is_none());
        });
        reader.line().wait();
        assert_eq!(
            Intruder::on(&path).locks_of_others().len(),
            2,
            "more than our presence byte and our life byte is locked"
        );
        lock.release().expect("held");
        drop(lock);
        assert!(folder.names().is_empty(), "the reader counts as a presence");
        reader.line().ready();
        reader.ends_well();
    });
}

#[test]
fn a_lock_on_a_read_only_mount_can_be_inspected() {
    on_tmpfs("", |folder, mounted| {
        let lock = folder.lock("l").open().expect(HERE);
        std::mem::forget(lock.lock().expect("free"));
        drop(lock);
        mounted.make_read_only();
        let seen =
            folder.unchanged(|| folder.lock("l").inspect()).expect("may be read").expect("there");
        assert_eq!(seen.status.state, LockState::Held(OwnerState::Dead));
        assert!(seen.holder.expect("the dead owner").pid().is_some());
    });
}
