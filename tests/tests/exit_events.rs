//! Checks how long named exit events stay set.

#[path = "exit_events/event.rs"]
mod event;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::Barrier;
use std::thread;

use shmlock::{ExitEvent, ShmLock};
use shmlock_tests::hostile::{Folder, Solo, as_root, be_user, end_process, fork};
use shmlock_tests::{Fixture, actor, alone, quietly, rounds};

use event::{file, is_set, open, setter};

const HERE: &str = "an event of this process";

#[test]
fn a_set_event_whose_user_was_killed_is_clear_for_the_next_user() {
    let fixture = Fixture::new();
    let name = fixture.name("e");
    for _ in 0..3 {
        let mut user = actor!();
        user.ask(format_args!("event e {name}"));
        user.ask("set e");
        user.kill();
        let event = quietly(|| ExitEvent::named(&name)).expect(HERE);
        assert!(!is_set(&event), "still set by the dead user");
        let lock = quietly(|| ShmLock::builder(&fixture.name("l")).exit_event(&event).open())
            .expect("a lock");
        drop(lock.lock().expect("free and not cancelled"));
        drop(lock);
        event.set().expect("ours");
    }
    assert!(fixture.files().is_empty(), "the last user did not remove the file");
}

#[test]
fn a_leaked_event_is_clear_after_its_process_has_ended() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let user = setter(folder.path(), 0o600, |event| {
            std::mem::forget(event);
            end_process::at_once(0);
        });
        let seen = open(&folder);
        assert!(is_set(&seen), "cleared while its user lives");
        drop(seen);
        user.line().ready();
        user.ends_well();
        assert!(!is_set(&open(&folder)));
    });
}

#[test]
fn one_living_user_keeps_an_event_set_for_all_that_open_it() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let stays = setter(folder.path(), 0o600, drop);
        let killed = setter(folder.path(), 0o600, drop);
        killed.kill();
        for _ in 0..3 {
            let event = open(&folder);
            assert!(is_set(&event), "cleared while one of its users lives");
        }
        stays.line().ready();
        stays.ends_well();
        assert!(folder.names().is_empty());
        assert!(!is_set(&open(&folder)));
    });
}

/// Two threads open an event that a dead user left set. One of them clears it; if the other sets it
/// meanwhile, it stays set.
#[test]
fn of_two_threads_that_open_an_event_at_once_neither_clears_it_after_the_other_sets_it() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    for round in 0..rounds(2_000) {
        let mut left = [0; 192];
        left[0] = 1;
        left[8..12].copy_from_slice(b"SHL\x01");
        fs::write(file(&folder), left).expect("a file can be written");
        fs::set_permissions(file(&folder), Permissions::from_mode(0o600)).expect("ours");
        let (begin, done) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            for sets in [true, false] {
                let (folder, begin, done) = (&folder, &begin, &done);
                scope.spawn(move || {
                    begin.wait();
                    let event = open(folder);
                    let was_left_set = sets && is_set(&event);
                    if sets {
                        event.set().expect(HERE);
                    }
                    done.wait();
                    let is_set = is_set(&event);
                    done.wait(); // neither closes or panics before both have read it
                    assert!(!was_left_set, "round {round}: still set by the dead user");
                    assert!(is_set, "round {round}: cleared by an opener that was not alone");
                });
            }
        });
        assert!(folder.names().is_empty());
    }
}

#[test]
fn an_event_whose_file_only_another_user_can_remove_is_clear_for_the_next_user() {
    const GROUP: u32 = 54_323;
    if !as_root("being two users") {
        return;
    }
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        fs::set_permissions(folder.path(), Permissions::from_mode(0o1777)).expect("ours");
        let owner = fork(|line| {
            be_user(54_321, GROUP);
            let event = ExitEvent::named_in("e", folder.path(), 0o660).expect("a new one");
            event.set().expect("ours");
            line.ready();
            line.wait();
        });
        owner.line().wait();
        owner.kill();
        let before = fs::metadata(file(&folder)).expect("it was left").len();
        fork(|_| {
            be_user(54_322, GROUP);
            let event = ExitEvent::named_in("e", folder.path(), 0o660).expect("the group's");
            assert!(!event.is_set().expect("ours"), "still set by the dead user");
            event.set().expect("ours");
            let same = ExitEvent::named_in("e", folder.path(), 0o660).expect("the group's");
            assert!(same.is_set().expect("ours"), "cleared while one of its users lives");
        })
        .ends_well();
        assert_eq!(
            fs::metadata(file(&folder)).expect("it cannot be removed by another").len(),
            before
        );
        fork(|_| {
            be_user(54_321, GROUP);
            let event = ExitEvent::named_in("e", folder.path(), 0o660).expect("ours");
            assert!(!event.is_set().expect("ours"), "still set by the other user");
        })
        .ends_well();
        assert!(folder.names().is_empty(), "its owner can remove it");
    });
}
