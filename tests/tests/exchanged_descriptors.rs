//! Checks handles whose descriptors other code of the process has closed. The numbers then lead
//! elsewhere: to nothing, `/dev/null`, a socket, another lock, a second description of the same
//! file, or the identity of another handle.
//!
//! In every case, no living owner looks dead and no lock in use is unlinked. No foreign byte is
//! unlocked, no foreign descriptor is closed, and no wait ends wrongly. A death is still proven, by
//! a description that is opened anew.

#[path = "exchanged_descriptors/exchange.rs"]
mod exchange;

use std::fs::{self};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;
use std::{mem, thread};

use shmlock::{Error, ExitEvent, LockState, OwnerState};
use shmlock_tests::hostile::{Folder, Intruder, PRESENCE, Solo, byte_of};
use shmlock_tests::{actor, alone, proc, until};

use exchange::{
    ALL, Exchanged, To, close_numbers, for_each, numbers_of, open_with_number, target_of,
    while_held,
};

const HERE: &str = "a lock of this process";
const BRIEF: Duration = Duration::from_millis(30);

/// How often a wait of 30 ms sleeps: for a millisecond, and then for 5 ms each time.
const SLEEPS: u64 = 7;

#[test]
fn a_living_owner_keeps_its_lock_whatever_the_probe_leads_to() {
    alone!(|| for_each(|to, folder, other, lock, exchanged| {
        while_held(other, || {
            assert!(lock.try_lock().expect(HERE).is_none(), "{to:?}: acquired from a living owner");
            let error = lock.try_lock_for(BRIEF).expect_err("it is held");
            assert!(error.is_timed_out(), "{to:?}: {error}");
            let occupancy = lock.status().expect(HERE).state;
            assert_eq!(
                occupancy,
                LockState::Held(OwnerState::Alive),
                "{to:?}: not probed through a new description"
            );
            assert!(
                pollster::block_on(lock.lock_async_for(BRIEF))
                    .is_err_and(|error| error.is_timed_out())
            );
        });
        lock.lock().expect("free now").release().expect("ours");
        drop(lock);
        assert!(folder.file("l").exists(), "{to:?}: the other handle's file was removed");
        exchanged.end();
    }));
}

#[test]
fn a_death_is_proven_by_another_description_and_its_byte_is_unlocked_again() {
    alone!(|| for_each(|to, folder, other, lock, exchanged| {
        let dead = folder.lock("l").open().expect(HERE);
        mem::forget(dead.lock().expect("free"));
        let token = dead.holder().expect(HERE).expect("it").token();
        drop(dead);
        let this_thread = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        let before = proc::voluntary_sleeps(this_thread);
        let guard = lock.lock().expect(HERE);
        let sleeps = proc::voluntary_sleeps(this_thread) - before;
        assert!(sleeps <= SLEEPS, "{to:?}: it was noticed after {sleeps} sleeps");
        let recovered = guard.recovered().unwrap_or_else(|| panic!("{to:?}: no recovery reported"));
        assert_eq!(recovered.dead.expect("its record").token(), token);
        guard.declare_consistent().expect("held");
        drop(guard);
        let byte = byte_of(token)..=byte_of(token);
        assert!(Intruder::on(&folder.file("l")).lock_of_others(&byte).is_none(), "{to:?}");
        assert!(other.try_lock().expect(HERE).is_some_and(|guard| guard.recovered().is_none()));
        drop(lock);
        exchanged.end();
    }));
}

/// A single try never sleeps, so it never probes the file as a waiter does.
#[test]
fn a_death_is_proven_by_tries_without_waiting() {
    alone!(|| for_each(|to, folder, _other, lock, exchanged| {
        let dead = folder.lock("l").open().expect(HERE);
        mem::forget(dead.lock().expect("free"));
        drop(dead);
        let mut tries = 0;
        until(|| {
            tries += 1;
            lock.try_acquire().expect(HERE)
        });
        assert!(tries <= 20, "{to:?}: {tries} tries");
        lock.declare_consistent().and_then(|()| lock.release()).expect("held");
        drop(lock);
        exchanged.end();
    }));
}

#[test]
fn the_last_handle_removes_its_own_file_and_no_other() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        for to in ALL {
            let another = folder.lock("another").open().expect(HERE);
            let other = folder.lock("l").lifeline(true).open().expect(HERE);
            let (lock, number) = open_with_number(&folder);
            let target = to.open(&folder, &other);
            let exchanged = Exchanged::now(number, target.as_ref());
            let bytes = Intruder::on(&folder.file("l"));
            let before = bytes.locks_of_others().len();
            drop(lock);
            // The handle's token and its one read lock on the presence byte are gone, and no other
            // lock.
            assert_eq!(
                bytes.locks_of_others().len(),
                before - 1,
                "{to:?}: {:?}",
                bytes.locks_of_others()
            );
            assert!(
                bytes.lock_of_others(&(PRESENCE..=PRESENCE)).is_some(),
                "{to:?}: the other handle is not present"
            );
            assert!(!other.status().expect(HERE).orphaned, "{to:?}");
            assert!(folder.lock("l").open().is_ok(), "{to:?}: the name cannot be opened");
            exchanged.end();
            drop((bytes, target));
            let number = numbers_of(&folder.file("l"));
            let target = To::DevNull.open(&folder, &other);
            let lifeline = other.lifeline().expect("asked for").as_raw_fd();
            let number = number.into_iter().find(|number| *number != lifeline).expect("its probe");
            let exchanged = Exchanged::now(number, target.as_ref());
            drop(other);
            assert!(!folder.file("l").exists(), "{to:?}: the last handle did not remove it");
            exchanged.end();
            drop(another);
        }
    });
}

#[test]
fn a_lifeline_that_leads_to_another_handles_identity_takes_nothing_from_it() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        for to in ALL {
            let another = folder.lock("another").open().expect(HERE);
            let other = folder.lock("l").lifeline(true).open().expect(HERE);
            let lock = folder.lock("l").lifeline(true).open().expect(HERE);
            let target = to.open(&folder, &other);
            let number = lock.lifeline().expect("asked for").as_raw_fd();
            let exchanged = Exchanged::now(number, target.as_ref());
            let bytes = Intruder::on(&folder.file("l"));
            while_held(&other, || {});
            mem::forget(other.lock().expect("free"));
            drop(lock);
            let token = other.holder().expect(HERE).expect("it").token();
            for byte in [PRESENCE, byte_of(token)] {
                assert!(
                    bytes.lock_of_others(&(byte..=byte)).is_some(),
                    "{to:?}: byte {byte} of the other handle"
                );
            }
            exchanged.end();
            assert!(other.force_release().expect(HERE), "{to:?}");
            drop((bytes, target, other, another));
            assert!(folder.names().is_empty(), "{to:?}: {:?}", folder.names());
        }
    });
}

#[test]
fn the_thread_that_watches_has_descriptors_that_no_other_code_can_close() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let other = folder.lock("l").open().expect(HERE);
        let (lock, _) = open_with_number(&folder);
        let seen = Intruder::on(&folder.file("l"));
        thread::scope(|scope| {
            let mut waiter = None;
            while_held(&other, || {
                waiter = Some(scope.spawn(move || {
                    lock.acquire().expect("free in the end");
                    lock
                }));
                until(|| seen.watchers() == 1);
                close_numbers(500..2000); // those of the thread are among them
                assert_eq!(seen.watchers(), 1, "closing did unlock the byte");
            });
            let lock = waiter.expect("started").join().expect("no panic");
            lock.release().expect("ours");
        });
        until(|| seen.watchers() == 0); // by the thread itself
    });
}

#[test]
fn a_wait_ends_as_orphaned_only_if_the_file_was_removed() {
    alone!(|| for_each(|to, folder, other, lock, exchanged| {
        while_held(other, || {
            fs::rename(folder.file("l"), folder.file("away")).expect("there");
            fs::rename(folder.file("away"), folder.file("l")).expect("there");
            let error = lock.try_lock_for(BRIEF).expect_err("held");
            assert!(
                error.is_timed_out() && !lock.status().expect(HERE).orphaned,
                "{to:?}: {error}"
            );
            let elsewhere = folder.path().join("elsewhere");
            fs::rename(folder.file("l"), &elsewhere).expect("there");
            let error = lock.try_lock_for(Duration::from_secs(60)).expect_err("held");
            assert!(matches!(error, Error::Orphaned { .. }), "{to:?}: {error}");
            fs::rename(&elsewhere, folder.file("l")).expect("there");
        });
        drop(lock);
        exchanged.end();
    }));
}

#[test]
fn a_named_event_closes_whatever_its_descriptor_leads_to() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let path = folder.path().join("e.shmlock-event");
        let other = folder.lock("l").lifeline(true).open().expect(HERE);
        let another = folder.lock("another").open().expect(HERE);
        for to in ALL {
            let event = ExitEvent::named_in("e", folder.path(), 0o600).expect("an event");
            let number = numbers_of(&path);
            let target = to.open(&folder, &other);
            let exchanged = Exchanged::now(number[0], target.as_ref());
            event.set().expect("ours");
            drop(event);
            assert!(!path.exists(), "{to:?}");
            exchanged.end();
        }
        drop(another);
        assert!(other.try_lock().expect(HERE).is_some());
    });
}

/// After execve(2), a program does not know the marks of the descriptors that it inherited.
#[test]
fn two_programs_do_not_begin_with_the_same_mark() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let path = format!("/dev/shm/{name}.shmlock");
    let actors = [(); 2].map(|()| actor!("{name}"));
    let marks = actors.each_ref().map(|actor| {
        let of_process = format!("/proc/{}", actor.pid());
        let entries = fs::read_dir(format!("{of_process}/fd")).expect("/proc").flatten();
        let ours = entries.filter(|entry| {
            fs::read_link(entry.path()).is_ok_and(|target| target == Path::new(&path))
        });
        let numbers: Vec<_> =
            ours.map(|entry| entry.file_name().into_string().expect("a number")).collect();
        assert_eq!(numbers.len(), 1, "a handle has one descriptor: {numbers:?}");
        let info =
            fs::read_to_string(format!("{of_process}/fdinfo/{}", numbers[0])).expect("/proc");
        info.lines().next().expect("the position").to_owned()
    });
    assert!(marks[0].starts_with("pos:") && marks[0] != marks[1], "{marks:?}");
}

/// A program that inherits the lifeline shares its description, and with it the file position that
/// serves as the mark.
#[test]
fn a_lifeline_whose_position_others_move_is_still_closed() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let other = folder.lock("l").open().expect(HERE);
        let lock = folder.lock("l").lifeline(true).open().expect(HERE);
        let line = lock.lifeline().expect("asked for");
        let number = line.as_raw_fd();
        let copy = line.try_clone_to_owned().expect("a descriptor"); // as in another program
        rustix::fs::seek(&copy, rustix::fs::SeekFrom::Start(7)).expect("a file");
        mem::forget(lock.lock().expect("free"));
        drop(lock);
        assert_eq!(target_of(number), None, "the descriptor is closed");
        let guard = other.try_lock_for(BRIEF).expect("no description vouches for the dead handle");
        guard.declare_consistent().expect("held");
        drop(guard);
        drop((copy, other));
        assert!(folder.names().is_empty(), "{:?}", folder.names());
    });
}
