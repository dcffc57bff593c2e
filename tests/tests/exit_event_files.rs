//! Checks what an inspection of named exit events shows, and which of their files are listed and
//! cleaned.

#[path = "exit_events/event.rs"]
mod event;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::thread;

use shmlock::{
    CleanOutcome, Errno, Error, ExitEvent, NotALockReason, exit_events, exit_events_in, list_in,
};
use shmlock_tests::hostile::{Folder, Solo, as_root, be_user, fork};
use shmlock_tests::{Capability, alone, can, rounds};

use event::{file, is_set, open, setter};

const HERE: &str = "an event of this process";

#[test]
fn an_inspection_only_reads_the_file_and_changes_nothing() {
    const GROUP: u32 = 54_323;
    if !can(Capability::KeepMemoryFromChildren) {
        return;
    }
    if !as_root("being another user") {
        return;
    }
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("ours");
        let inspect = || ExitEvent::inspect_in("e", folder.path());
        assert!(inspect().expect("nothing to refuse").is_none());
        let event = open(&folder);
        fs::set_permissions(file(&folder), Permissions::from_mode(0o644)).expect("ours");
        let reader = fork(|line| {
            be_user(54_321, GROUP);
            let open = folder
                .unchanged(|| ExitEvent::named_in("e", folder.path(), 0o666))
                .expect_err("it may only read");
            assert_eq!(open.errno(), Some(Errno::ACCESS), "{open}");
            for (is_set, in_use) in [(false, true), (true, true), (true, false)] {
                line.wait();
                let seen = folder.unchanged(inspect).expect("may be read").expect("there");
                assert_eq!((seen.is_set, seen.in_use), (is_set, in_use));
                line.ready();
            }
        });
        let let_it_inspect = || {
            reader.line().ready();
            reader.line().wait();
        };
        let_it_inspect();
        event.set().expect("ours");
        let_it_inspect();
        let content = fs::read(file(&folder)).expect("ours");
        drop(event);
        assert!(folder.names().is_empty(), "the reader counts as a user");
        fs::write(file(&folder), content).expect("as a killed user would leave it");
        fs::set_permissions(file(&folder), Permissions::from_mode(0o644)).expect("ours");
        let_it_inspect();
        reader.ends_well();
        fs::remove_file(file(&folder)).expect("ours");
    });
}

#[test]
fn events_are_listed_apart_from_locks() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let _events =
        ["b", "a", "ü \n"].map(|name| ExitEvent::named_in(name, folder.path(), 0o600).expect(HERE));
    let _lock = folder.lock("c").open().expect("a lock");
    for other in ["data", ".shmlock-event", "...shmlock-event"] {
        fs::write(folder.path().join(other), "").expect("a file can be written");
    }
    assert_eq!(
        folder.unchanged(|| exit_events_in(folder.path())).expect("our own directory"),
        ["a", "b", "ü \n"]
    );
    assert_eq!(list_in(folder.path()).expect("our own directory"), ["c"]);
    let name = fixture.name("e");
    let _here = ExitEvent::named(&name).expect(HERE);
    assert!(exit_events().expect("/dev/shm").contains(&name));
    assert_eq!(ExitEvent::clean(&name).expect(HERE), CleanOutcome::InUse);
    assert!(ExitEvent::inspect(&name).expect(HERE).is_some_and(|seen| seen.in_use && !seen.is_set));
    let error = exit_events_in(folder.path().join("no")).expect_err("there is no such directory");
    assert!(error.to_string().contains("list the exit events in"), "{error}");
}

#[test]
fn an_unused_event_is_removed_and_an_event_in_use_is_not() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let clean = || ExitEvent::clean_in("e", folder.path()).expect("an event or nothing");
        assert_eq!(clean(), CleanOutcome::Absent);
        let user = setter(folder.path(), 0o600, drop);
        assert_eq!(folder.unchanged(clean), CleanOutcome::InUse);
        user.kill();
        assert_eq!(folder.names(), ["e.shmlock-event"]);
        assert_eq!(clean(), CleanOutcome::Removed, "set or not");
        fs::write(file(&folder), "").expect("an incomplete event");
        assert_eq!(clean(), CleanOutcome::Removed);
        assert!(folder.names().is_empty());
    });
}

#[test]
fn a_file_that_is_no_event_or_has_a_second_name_is_not_cleaned() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let target = folder.put("target", &[0; 192]);
    let clean = || ExitEvent::clean_in("e", folder.path());
    let refused = |expected| {
        let error = folder.unchanged(clean).expect_err("it is no event");
        assert!(matches!(error, Error::NotALock { found, .. } if found == expected), "{error}");
        let error = folder
            .unchanged(|| ExitEvent::inspect_in("e", folder.path()))
            .expect_err("it is no event");
        assert!(matches!(error, Error::NotALock { found, .. } if found == expected), "{error}");
    };
    symlink(&target, file(&folder)).expect("a link");
    refused(NotALockReason::Symlink);
    fs::remove_file(file(&folder)).expect("ours");
    fs::write(file(&folder), [b'x'; 192]).expect("a file");
    refused(NotALockReason::Magic { word: 0x7878_7878 });
    fs::remove_file(file(&folder)).expect("ours");
    let event = open(&folder);
    fs::hard_link(file(&folder), folder.path().join("second")).expect("a second name");
    drop(event);
    assert_eq!(folder.unchanged(clean).expect("an event"), CleanOutcome::LinkedElsewhere);
    assert!(matches!(ExitEvent::clean("a/b"), Err(Error::InvalidName { .. })));
}

/// One thread cleans while another opens and closes: no handle is left with an event whose file was
/// removed.
#[test]
fn an_event_opened_while_others_clean_is_the_same_for_the_next_user() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    thread::scope(|threads| {
        let opener = threads.spawn(|| {
            for _ in 0..rounds(1_000) {
                let (one, two) = (open(&folder), open(&folder));
                one.set().expect(HERE);
                assert!(is_set(&two), "one name led to two events");
                std::mem::drop((one, two));
                // Incomplete, for the cleaner or for this thread.
                let _ = fs::write(file(&folder), "");
                let _ = fs::set_permissions(file(&folder), Permissions::from_mode(0o600));
            }
        });
        while !opener.is_finished() {
            let _ = ExitEvent::clean_in("e", folder.path()).expect("an event or nothing");
        }
        opener.join().expect("it does not panic");
    });
}
