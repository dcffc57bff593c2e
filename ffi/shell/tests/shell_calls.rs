//! Checks what each function does when it is called as its documentation says.

#![allow(unsafe_code, reason = "calls functions for C")]

mod common;

use std::ffi::{c_char, c_int, c_void};
use std::process::id;
use std::ptr::{from_mut, from_ref, null, null_mut};
use std::thread;

use common::{User, c, details, of_chars, text};
use shmlock::ShmLock;
use shmlock_c::callback::WaitPoint;
use shmlock_c::clean::{Cleaned, shmlock_clean, shmlock_clean_event};
use shmlock_c::event::{
    Event, shmlock_event_clear, shmlock_event_close, shmlock_event_is_set, shmlock_event_open,
    shmlock_event_set,
};
use shmlock_c::exit::{SHMLOCK_AT_EXIT, SHMLOCK_AT_SIGNALS, shmlock_install_exit_handlers};
use shmlock_c::hold::{shmlock_declare_consistent, shmlock_fencing_token, shmlock_is_held};
use shmlock_c::holder::{Holder, shmlock_get_holder, shmlock_recovered};
use shmlock_c::list::{shmlock_list, shmlock_list_events};
use shmlock_c::open::{shmlock_clone, shmlock_describe, shmlock_path};
use shmlock_c::options::{Options, SHMLOCK_MEASURE_HOLDS, SHMLOCK_SLEEP_POLLING};
use shmlock_c::state::{Held, State, shmlock_get_state, shmlock_inspect};
use shmlock_c::status::Status;
use shmlock_tests::hostile::{Solo, fork};
use shmlock_tests::{Fixture, alone};

const MILLISECOND: u64 = 1_000_000;

fn holder_of(user: &User) -> (Status, Holder) {
    let mut holder = Holder::default();
    // SAFETY: a handle and a valid pointer.
    (unsafe { shmlock_get_holder(user.at(), &raw mut holder, null_mut()) }, holder)
}

fn state_of(user: &User) -> State {
    let mut state = State::default();
    // SAFETY: a handle and a valid pointer.
    assert_eq!(unsafe { shmlock_get_state(user.at(), &raw mut state, null_mut()) }, Status::Ok);
    state
}

#[test]
fn a_handle_of_c_and_one_of_rust_share_the_lock_of_their_name() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (user, lock) = (User::open(&name), ShmLock::open(&name).expect("a lock"));
    assert_eq!(user.lock(), Status::Ok);
    assert!(lock.try_lock().expect("a lock").is_none());
    // SAFETY: a handle.
    assert!(unsafe { shmlock_is_held(user.at()) });
    assert_eq!((user.try_once(), user.release()), (Status::Ok, Status::Ok), "it nests");
    assert!(lock.try_lock().expect("a lock").is_none(), "one hold is left");
    assert_eq!(user.release(), Status::Ok);
    let guard = lock.lock().expect("free");
    assert_eq!(user.try_once(), Status::Busy);
    drop(guard);
    assert_eq!(user.close(), Status::Ok);
}

#[test]
fn a_refused_try_and_a_timeout_name_the_holder() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let holder = User::open(&name);
    assert_eq!(holder.lock(), Status::Ok);
    thread::scope(|scope| {
        scope.spawn(|| {
            let user = User::open(&name);
            for (timeout, expected) in [(0, Status::Busy), (MILLISECOND, Status::TimedOut)] {
                let (status, error) = user.lock_for(timeout);
                assert_eq!((status, error.status, error.errnum), (expected, expected, 0));
                assert_eq!(error.holder_pid, id());
                let text = text(&error);
                assert!(text.contains(&name) && text.contains(&format!("pid {}", id())), "{text}");
            }
            let mut error = details();
            // SAFETY: a handle and a valid pointer.
            let tried = unsafe { shmlock_c::acquire::shmlock_try(user.at(), &raw mut error) };
            assert_eq!((tried, error.holder_pid), (Status::Busy, id()));
        });
    });
}

#[test]
fn a_killed_owner_is_told_to_each_owner_until_the_data_is_declared_consistent() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let user = User::open(&name);
        let doomed = fork(|line| {
            let user = User::open_with(
                &name,
                &Options { description: c"refilling".as_ptr(), ..Options::default() },
            );
            assert_eq!(user.lock(), Status::Ok);
            line.ready();
            line.wait();
        });
        doomed.line().wait();
        let pid = doomed.pid().unsigned_abs();
        doomed.kill();
        assert_eq!(user.lock(), Status::OwnerDied);
        let mut dead = Holder::default();
        // SAFETY: a handle and a valid pointer.
        let recovered = unsafe { shmlock_recovered(user.at(), &raw mut dead, null_mut()) };
        assert_eq!((recovered, dead.pid, dead.pid_is_ours), (Status::Ok, pid, true));
        assert_eq!(of_chars(&dead.description), "refilling");
        assert_eq!(user.release(), Status::Ok);
        assert_eq!(user.try_once(), Status::OwnerDied, "nothing was declared");
        // SAFETY: a handle.
        let declared = unsafe { shmlock_declare_consistent(user.at(), null_mut()) };
        assert_eq!((declared, user.release()), (Status::Ok, Status::Ok));
        assert_eq!(user.lock(), Status::Ok);
        // SAFETY: a handle and a valid pointer.
        let recovered = unsafe { shmlock_recovered(user.at(), &raw mut dead, null_mut()) };
        assert_eq!((recovered, dead.pid), (Status::None, 0));
        assert_eq!(state_of(&user).recoveries, 1);
    });
}

#[test]
fn an_event_ends_waits_until_it_is_cleared_and_may_be_closed_before_its_locks() {
    let fixture = Fixture::new();
    let (name, event_name) = (fixture.name("l"), c(&fixture.name("e")));
    let holder = User::open(&name);
    assert_eq!(holder.lock(), Status::Ok);
    for event_name in [null(), event_name.as_ptr()] {
        let event = &mut Event::new();
        let event = from_mut(event);
        // SAFETY: an event that is not open, and a name or NULL.
        let opened = unsafe { shmlock_event_open(event, event_name, null(), 0, null_mut()) };
        assert_eq!(opened, Status::Ok);
        let options = Options { exit_event: event, ..Options::default() };
        let user = &Sent(User::open_with(&name, &options));
        thread::scope(|scope| {
            // SAFETY: an open event.
            assert!(!unsafe { shmlock_event_is_set(event) });
            // SAFETY: as above.
            assert_eq!(unsafe { shmlock_event_set(event, null_mut()) }, Status::Ok);
            // SAFETY: as above.
            assert!(unsafe { shmlock_event_is_set(event) });
            scope.spawn(|| assert_eq!(user.get().lock(), Status::Cancelled)).join().expect("ends");
            // SAFETY: as above.
            assert_eq!(unsafe { shmlock_event_clear(event, null_mut()) }, Status::Ok);
            // SAFETY: as above; no other call is in progress.
            assert_eq!(unsafe { shmlock_event_close(event, null_mut()) }, Status::Ok);
            scope.spawn(|| assert_eq!(user.get().lock_for(1).0, Status::TimedOut));
        });
    }
}

/// A handle that one thread after the other uses.
struct Sent(User);

// SAFETY: the tests wait for one thread before the next uses it.
unsafe impl Send for Sent {}
// SAFETY: as above.
unsafe impl Sync for Sent {}

impl Sent {
    fn get(&self) -> &User {
        &self.0
    }
}

#[test]
fn an_interrupt_callback_is_asked_with_its_context_and_ends_the_wait() {
    /// Counts, and ends the second sleep.
    unsafe extern "C" fn ask(context: *mut c_void, point: WaitPoint) -> c_int {
        // SAFETY: the context of the test, which waits for this call.
        let asked = unsafe { &mut *context.cast::<u32>() };
        assert_eq!(point == WaitPoint::Begin, *asked == 0);
        *asked += 1;
        c_int::from(*asked == 2)
    }
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let holder = User::open(&name);
    assert_eq!(holder.lock(), Status::Ok);
    let mut asked = 0_u32;
    let options = Options {
        poll_interval_ns: MILLISECOND,
        interrupt: Some(ask),
        interrupt_context: (&raw mut asked).cast(),
        ..Options::default()
    };
    let user = &Sent(User::open_with(&name, &options));
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(user.get().lock(), Status::Interrupted));
    });
    assert_eq!(asked, 2);
}

#[test]
fn state_holder_and_token_say_what_the_handle_does() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let options = Options { flags: SHMLOCK_MEASURE_HOLDS, ..Options::default() };
    let user = User::open_with(&name, &options);
    assert_eq!(holder_of(&user).0, Status::None);
    assert_eq!(state_of(&user).held, Held::No);
    assert_eq!(user.lock(), Status::Ok);
    // SAFETY: a handle and a string.
    let described = unsafe { shmlock_describe(user.at(), c"filling".as_ptr(), null_mut()) };
    assert_eq!(described, Status::Ok);
    let (status, holder) = holder_of(&user);
    assert_eq!((status, holder.pid, holder.recorded), (Status::Ok, id(), true));
    assert_eq!(of_chars(&holder.description), "filling");
    let state = state_of(&user);
    assert_eq!((state.held, state.acquisitions, state.in_use), (Held::Here, 1, true));
    assert_eq!(state.holder.uuid, holder.uuid);
    let mut token = 0;
    // SAFETY: a handle and a valid pointer.
    let read = unsafe { shmlock_fencing_token(user.at(), &raw mut token, null_mut()) };
    assert_eq!((read, token), (Status::Ok, 1));
    assert_eq!(user.release(), Status::Ok);
    assert!(state_of(&user).longest_hold_ns > 0);

    let seen_from_outside = |name: &str| {
        let (mut state, name) = (State::default(), c(name));
        // SAFETY: a string and a valid pointer.
        let status = unsafe { shmlock_inspect(name.as_ptr(), null(), &raw mut state, null_mut()) };
        (status, state)
    };
    let (status, state) = seen_from_outside(&name);
    assert_eq!((status, state.held, state.acquisitions), (Status::Ok, Held::No, 1));
    assert_eq!(seen_from_outside(&fixture.name("x")).0, Status::None);
}

#[test]
fn of_options_a_look_and_a_cleaning_from_outside_need_the_directory_only() {
    let fixture = Fixture::new();
    let folder = shmlock_tests::hostile::Folder::new(&fixture);
    let directory = c(folder.path().to_str().expect("UTF-8"));
    let options = Options { directory: directory.as_ptr(), ..Options::default() };
    let _user = User::open_with("l", &options);
    let closed = Event::new();
    let options = Options {
        mode: 0o100,
        description: c"\xff".as_ptr(),
        exit_event: from_ref(&closed),
        ..options
    };
    let (mut state, mut cleaned) = (State::default(), Cleaned::Unknown);
    let (name, options) = (c"l".as_ptr(), &raw const options);
    // SAFETY: a string, options and a valid pointer.
    let inspected = unsafe { shmlock_inspect(name, options, &raw mut state, null_mut()) };
    assert_eq!((inspected, state.in_use), (Status::Ok, true));
    // SAFETY: as above.
    let status = unsafe { shmlock_clean(name, options, false, &raw mut cleaned, null_mut()) };
    assert_eq!((status, cleaned), (Status::Ok, Cleaned::InUse));
}

#[test]
fn a_clone_is_another_contender_with_the_same_options() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let options = Options { description: c"both".as_ptr(), ..Options::default() };
    let (user, copy) = (User::open_with(&name, &options), User::zero());
    // SAFETY: an open handle, and one that is not.
    assert_eq!(unsafe { shmlock_clone(user.at(), copy.at(), null_mut()) }, Status::Ok);
    assert_eq!((copy.lock(), user.try_once()), (Status::Ok, Status::Busy));
    assert_eq!(of_chars(&holder_of(&user).1.description), "both");
    assert_eq!(user.lock(), Status::WouldDeadlock, "one thread holds it by the other");
}

#[test]
fn options_say_where_the_file_is_and_how_waiters_sleep() {
    let fixture = Fixture::new();
    let folder = shmlock_tests::hostile::Folder::new(&fixture);
    let directory = c(folder.path().to_str().expect("UTF-8"));
    let options = Options {
        directory: directory.as_ptr(),
        mode: 0o660,
        flags: SHMLOCK_SLEEP_POLLING,
        poll_interval_ns: MILLISECOND,
        ..Options::default()
    };
    let user = User::open_with("l", &options);
    let mut buffer = [0; 256];
    let mut needed = 0;
    let (place, len) = (buffer.as_mut_ptr(), buffer.len());
    // SAFETY: a handle, and a buffer of that length.
    let status = unsafe { shmlock_path(user.at(), place, len, &raw mut needed, null_mut()) };
    let path = folder.file("l");
    assert_eq!(status, Status::Ok);
    assert_eq!(of_chars(&buffer), path.to_str().expect("UTF-8"));
    assert_eq!(needed, of_chars(&buffer).len() + 1);
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&path.metadata().expect("open").permissions());
    assert_eq!(mode & 0o777, 0o660);
}

/// Collects names.
unsafe extern "C" fn collect(context: *mut c_void, name: *const c_char) -> c_int {
    // SAFETY: the context of the test, which waits for this call.
    let names = unsafe { &mut *context.cast::<Vec<String>>() };
    // SAFETY: a string, for as long as this call lasts.
    let name = unsafe { std::ffi::CStr::from_ptr(name) };
    names.push(name.to_str().expect("UTF-8").to_owned());
    c_int::from(names.len() == 2)
}

#[test]
fn locks_and_events_are_listed_until_the_callback_ends_that_and_cleaned_when_they_are_left() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = shmlock_tests::hostile::Folder::new(&fixture);
        let directory = c(folder.path().to_str().expect("UTF-8"));
        let options = Options { directory: directory.as_ptr(), ..Options::default() };
        fork(|line| {
            for name in ["c", "a", "b"] {
                std::mem::forget(User::open_with(name, &options));
            }
            let mut event = Event::new();
            let at = from_mut(&mut event);
            // SAFETY: an event that is not open, and strings.
            let opened =
                unsafe { shmlock_event_open(at, c"e".as_ptr(), directory.as_ptr(), 0, null_mut()) };
            assert_eq!(opened, Status::Ok);
            line.ready();
            line.wait();
        })
        .leave_behind(|| {
            let mut names = Vec::<String>::new();
            let context = (&raw mut names).cast();
            let folder = directory.as_ptr();
            // SAFETY: a string, and a function that takes this context.
            let listed = unsafe { shmlock_list(folder, Some(collect), context, null_mut()) };
            assert_eq!((listed, &names[..]), (Status::Ok, &["a".into(), "b".into()][..]));
            names.clear();
            // SAFETY: as above.
            let listed = unsafe { shmlock_list_events(folder, Some(collect), context, null_mut()) };
            assert_eq!((listed, &names[..]), (Status::Ok, &["e".into()][..]));
        });
        let clean = |name: &str| {
            let (mut cleaned, name) = (Cleaned::Unknown, c(name));
            let at = &raw mut cleaned;
            // SAFETY: a string, options and a valid pointer.
            let status =
                unsafe { shmlock_clean(name.as_ptr(), from_ref(&options), false, at, null_mut()) };
            (status, cleaned)
        };
        let user = User::open_with("a", &options);
        assert_eq!(clean("a"), (Status::Ok, Cleaned::InUse));
        drop(user);
        assert_eq!(clean("a"), (Status::Ok, Cleaned::Absent));
        for name in ["b", "c"] {
            assert_eq!(clean(name), (Status::Ok, Cleaned::Removed));
        }
        let mut cleaned = Cleaned::Unknown;
        let (at, folder) = (&raw mut cleaned, directory.as_ptr());
        // SAFETY: strings and a valid pointer.
        let status = unsafe { shmlock_clean_event(c"e".as_ptr(), folder, at, null_mut()) };
        assert_eq!((status, cleaned), (Status::Ok, Cleaned::Removed));
    });
}

#[test]
fn an_owner_that_exits_with_exit_handlers_releases_its_lock_and_the_next_is_told() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let user = User::open(&name);
        let child = fork(|_| {
            let when = SHMLOCK_AT_EXIT | SHMLOCK_AT_SIGNALS;
            // SAFETY: no details are asked for.
            let installed = unsafe { shmlock_install_exit_handlers(when, 0, null_mut()) };
            assert_eq!(installed, Status::Ok);
            let user = User::open(&name);
            assert_eq!(user.lock(), Status::Ok);
            std::process::exit(0);
        });
        child.ends_well();
        assert_eq!(user.try_once(), Status::OwnerDied);
        // SAFETY: a handle.
        assert_eq!(unsafe { shmlock_declare_consistent(user.at(), null_mut()) }, Status::Ok);
    });
}

/// Runs code while a child is at its first stop, and then kills it.
trait LeaveBehind {
    fn leave_behind(self, act: impl FnOnce());
}

impl LeaveBehind for shmlock_tests::hostile::Child {
    fn leave_behind(self, act: impl FnOnce()) {
        self.line().wait();
        act();
        self.kill();
    }
}
