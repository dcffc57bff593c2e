//! Checks that a wrong call is an error, and changes nothing.

#![allow(unsafe_code, reason = "calls functions for C, wrongly")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block,
    reason = "each pointer is valid, or is wrong in a way that the function notices: the test"
)]

mod common;

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{from_ref, null, null_mut, without_provenance_mut};
use std::thread;

use common::{User, c, details, of_chars, text};
use shmlock_c::acquire::{
    shmlock_force_release, shmlock_lock, shmlock_lock_for, shmlock_release, shmlock_try,
};
use shmlock_c::callback::WaitPoint;
use shmlock_c::clean::{shmlock_clean, shmlock_clean_event};
use shmlock_c::error::Failure;
use shmlock_c::event::{
    Event, shmlock_event_clear, shmlock_event_close, shmlock_event_is_set, shmlock_event_open,
    shmlock_event_set,
};
use shmlock_c::exit::shmlock_install_exit_handlers;
use shmlock_c::handle::Lock;
use shmlock_c::hold::{shmlock_declare_consistent, shmlock_fencing_token, shmlock_is_held};
use shmlock_c::holder::{Holder, shmlock_get_holder, shmlock_recovered};
use shmlock_c::list::shmlock_list;
use shmlock_c::logger::shmlock_set_logger;
use shmlock_c::open::{shmlock_clone, shmlock_close, shmlock_describe, shmlock_open, shmlock_path};
use shmlock_c::options::Options;
use shmlock_c::state::{State, shmlock_get_state, shmlock_inspect};
use shmlock_c::status::{Status, shmlock_message, shmlock_version};
use shmlock_tests::hostile::{Solo, fork};
use shmlock_tests::{Fixture, alone};

type OnHandle = unsafe fn(*mut Lock, *mut Failure) -> Status;

/// Each function on an open handle, with other arguments that are right.
fn functions() -> Vec<(&'static str, OnHandle)> {
    vec![
        ("lock", |lock, error| unsafe { shmlock_lock(lock, error) }),
        ("try", |lock, error| unsafe { shmlock_try(lock, error) }),
        ("lock_for", |lock, error| unsafe { shmlock_lock_for(lock, 1, error) }),
        ("release", |lock, error| unsafe { shmlock_release(lock, error) }),
        ("force_release", |lock, error| unsafe { shmlock_force_release(lock, error) }),
        ("declare", |lock, error| unsafe { shmlock_declare_consistent(lock, error) }),
        ("fencing_token", |lock, error| {
            let mut token = 0;
            unsafe { shmlock_fencing_token(lock, &raw mut token, error) }
        }),
        ("get_holder", |lock, error| {
            let mut holder = Holder::default();
            unsafe { shmlock_get_holder(lock, &raw mut holder, error) }
        }),
        ("recovered", |lock, error| {
            let mut holder = Holder::default();
            unsafe { shmlock_recovered(lock, &raw mut holder, error) }
        }),
        ("get_state", |lock, error| {
            let mut state = State::default();
            unsafe { shmlock_get_state(lock, &raw mut state, error) }
        }),
        ("clone", |lock, error| {
            let copy = User::zero();
            unsafe { shmlock_clone(lock, copy.at(), error) }
        }),
        ("describe", |lock, error| unsafe { shmlock_describe(lock, c"x".as_ptr(), error) }),
        ("path", |lock, error| {
            let mut buffer = [0; 4096];
            unsafe { shmlock_path(lock, buffer.as_mut_ptr(), 4096, null_mut(), error) }
        }),
        ("close", |lock, error| unsafe { shmlock_close(lock, error) }),
    ]
}

/// Calls each function on this handle; each must answer so, with details that say so.
fn all_answer(lock: *mut Lock, expected: Status) {
    for (name, function) in functions() {
        let mut error = details();
        // SAFETY: not a handle, which the function notices, or one that is in the state tested.
        let status = unsafe { function(lock, &raw mut error) };
        assert_eq!((status, error.status), (expected, expected), "{name}");
        assert!(!text(&error).is_empty(), "{name}");
        // SAFETY: as above, without details.
        assert_eq!(unsafe { function(lock, null_mut()) }, expected, "{name}");
        let misaligned = from_ref(&error).cast::<u8>().wrapping_add(1).cast_mut().cast();
        // SAFETY: as above; misaligned details are not written.
        assert_eq!(unsafe { function(lock, misaligned) }, expected, "{name}");
    }
    // SAFETY: as above.
    assert!(!unsafe { shmlock_is_held(lock) });
}

#[test]
fn a_handle_that_is_null_misaligned_zero_closed_or_a_copy_is_refused_by_each_function() {
    let fixture = Fixture::new();
    all_answer(null_mut(), Status::Null);
    let user = User::open(&fixture.name("l"));
    let misaligned = user.at().cast::<u8>().wrapping_add(1).cast();
    all_answer(misaligned, Status::Misaligned);
    // SAFETY: a handle; the copy is never opened.
    let mut copy = unsafe { user.at().read() };
    all_answer(&raw mut copy, Status::NotOpen);
    assert_eq!(user.lock(), Status::Ok, "the original is as it was");
    assert_eq!(user.close(), Status::Ok);
    all_answer(user.at(), Status::NotOpen);
    all_answer(User::zero().at(), Status::NotOpen);
}

#[test]
fn an_open_handle_is_not_opened_again_and_a_closed_one_is() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (user, text) = (User::open(&name), c(&name));
    assert_eq!(user.lock(), Status::Ok);
    // SAFETY: valid pointers.
    let open = || unsafe { shmlock_open(user.at(), text.as_ptr(), null(), null_mut()) };
    assert_eq!(open(), Status::AlreadyOpen);
    // SAFETY: two handles.
    let cloned = unsafe { shmlock_clone(user.at(), user.at(), null_mut()) };
    assert_eq!(cloned, Status::InUse);
    assert_eq!(user.release(), Status::Ok, "it was not disturbed");
    assert_eq!((user.close(), open()), (Status::Ok, Status::Ok));
    assert_eq!(user.lock(), Status::Ok);
}

#[test]
fn a_release_too_many_is_an_error_and_changes_nothing() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (user, other) = (User::open(&name), User::open(&name));
    assert_eq!(user.release(), Status::NotHeld);
    assert_eq!((user.lock(), user.release()), (Status::Ok, Status::Ok));
    assert_eq!(other.lock(), Status::Ok);
    assert_eq!(user.release(), Status::NotHeld);
    // SAFETY: handles.
    assert!(unsafe { shmlock_is_held(other.at()) }, "the lock of another");
    let mut token = 7;
    // SAFETY: a handle and a valid pointer.
    let read = unsafe { shmlock_fencing_token(user.at(), &raw mut token, null_mut()) };
    assert_eq!((read, token), (Status::NotHeld, 7));
}

#[test]
fn other_pointers_that_are_null_or_misaligned_are_refused() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (user, text) = (User::open(&name), c(&name));
    let at = user.at();
    assert_eq!(user.lock(), Status::Ok);
    let statuses = unsafe {
        [
            (shmlock_open(User::zero().at(), null(), null(), null_mut()), Status::Null),
            (shmlock_describe(at, null(), null_mut()), Status::Null),
            (shmlock_fencing_token(at, null_mut(), null_mut()), Status::Null),
            (shmlock_fencing_token(at, without_provenance_mut(1), null_mut()), Status::Misaligned),
            (shmlock_get_holder(at, null_mut(), null_mut()), Status::Null),
            (shmlock_get_holder(at, without_provenance_mut(1), null_mut()), Status::Misaligned),
            (shmlock_recovered(at, null_mut(), null_mut()), Status::Null),
            (shmlock_get_state(at, null_mut(), null_mut()), Status::Null),
            (shmlock_clone(at, null_mut(), null_mut()), Status::Null),
            (shmlock_path(at, null_mut(), 4096, null_mut(), null_mut()), Status::Null),
            (shmlock_inspect(text.as_ptr(), null(), null_mut(), null_mut()), Status::Null),
            (shmlock_clean(text.as_ptr(), null(), false, null_mut(), null_mut()), Status::Null),
            (
                shmlock_clean_event(null(), null(), without_provenance_mut(1), null_mut()),
                Status::Misaligned,
            ),
            (shmlock_list(null(), None, null_mut(), null_mut()), Status::Null),
            (shmlock_install_exit_handlers(0, 0, null_mut()), Status::BadOptions),
            (shmlock_install_exit_handlers(4, 0, null_mut()), Status::BadOptions),
            (shmlock_set_logger(9, None, null_mut(), null_mut()), Status::BadOptions),
            (shmlock_event_open(null_mut(), null(), null(), 0, null_mut()), Status::Null),
        ]
    };
    for (index, (status, expected)) in statuses.into_iter().enumerate() {
        assert_eq!(status, expected, "the call with index {index}");
    }
}

#[test]
fn an_event_that_is_not_open_is_refused() {
    let fixture = Fixture::new();
    let event = &mut Event::new();
    let at = std::ptr::from_mut(event);
    let refused = |at: *mut Event, expected| {
        let options = Options { exit_event: at, ..Options::default() };
        let name = c(&fixture.name("l"));
        let user = User::zero();
        let statuses = unsafe {
            [
                shmlock_event_set(at, null_mut()),
                shmlock_event_clear(at, null_mut()),
                shmlock_event_close(at, null_mut()),
                if at.is_null() {
                    expected
                } else {
                    shmlock_open(user.at(), name.as_ptr(), &raw const options, null_mut())
                },
            ]
        };
        assert_eq!(statuses, [expected; 4]);
        // SAFETY: as above.
        assert!(!unsafe { shmlock_event_is_set(at) });
    };
    refused(at, Status::NotOpen);
    refused(null_mut(), Status::Null);
    refused(at.cast::<u8>().wrapping_add(1).cast(), Status::Misaligned);
    let open = || unsafe { shmlock_event_open(at, null(), null(), 0, null_mut()) };
    assert_eq!((open(), open()), (Status::Ok, Status::AlreadyOpen));
    // SAFETY: an open event; its copy is never opened.
    let mut copy = unsafe { at.read() };
    refused(&raw mut copy, Status::NotOpen);
    assert_eq!(unsafe { shmlock_event_close(at, null_mut()) }, Status::Ok);
    refused(at, Status::NotOpen);
}

/// Options of a later version of the header.
#[repr(C)]
struct Later {
    options: Options,
    field: [u64; 4],
}

#[test]
fn options_that_this_version_does_not_know_are_refused() {
    let fixture = Fixture::new();
    let name = c(&fixture.name("l"));
    let open = |options: *const Options| {
        let (user, mut error) = (User::zero(), details());
        // SAFETY: valid pointers, and as many bytes as the size says.
        (unsafe { shmlock_open(user.at(), name.as_ptr(), options, &raw mut error) }, text(&error))
    };
    let known = size_of::<Options>();
    for (size, expected) in [
        (0, Status::BadOptions),
        (known - 1, Status::BadOptions),
        (known, Status::Ok),
        (usize::MAX, Status::BadOptions),
    ] {
        let options = Options { size, ..Options::default() };
        assert_eq!(open(&raw const options).0, expected, "size {size}");
    }
    for wrong in [
        Options { flags: 1 << 31, ..Options::default() },
        Options { reserved: 1, ..Options::default() },
    ] {
        assert_eq!(open(&raw const wrong).0, Status::BadOptions);
    }
    let size = size_of::<Later>();
    for (value, expected) in [(0, Status::Ok), (1, Status::BadOptions)] {
        let options = Options { size, ..Options::default() };
        let later = Later { options, field: [0, 0, 0, value] };
        assert_eq!(open((&raw const later).cast()).0, expected, "a later field of {value}");
    }
    let misaligned = from_ref(&Options::default()).cast::<u8>().wrapping_add(1).cast();
    assert_eq!(open(misaligned).0, Status::Misaligned);
    let long = c(&"x".repeat(64));
    for (options, expected) in [
        (Options { mode: 0o100, ..Options::default() }, Status::InvalidMode),
        (Options { description: long.as_ptr(), ..Options::default() }, Status::DescriptionTooLong),
        (Options { description: c"\xff".as_ptr(), ..Options::default() }, Status::BadText),
        (Options { directory: c"/nowhere".as_ptr(), ..Options::default() }, Status::System),
    ] {
        let (status, text) = open(&raw const options);
        assert_eq!(status, expected);
        assert!(!text.contains("Builder"), "words of Rust: {text}");
    }
}

#[test]
fn an_error_keeps_the_errno_and_a_text_that_fits() {
    let (user, mut error) = (User::zero(), details());
    let directory = c(&format!("/{}", "nowhere/".repeat(100)));
    let options = Options { directory: directory.as_ptr(), ..Options::default() };
    // SAFETY: valid pointers.
    let status =
        unsafe { shmlock_open(user.at(), c"l".as_ptr(), &raw const options, &raw mut error) };
    assert_eq!((status, error.errnum), (Status::System, libc::ENOENT));
    assert_eq!(text(&error).len(), error.text.len() - 1, "cut");
    // SAFETY: valid pointers.
    let status = unsafe { shmlock_open(user.at(), c"a/b".as_ptr(), null(), &raw mut error) };
    assert_eq!((status, error.errnum), (Status::InvalidName, 0));
    assert!(text(&error).contains("a/b"), "{}", text(&error));
}

#[test]
fn a_buffer_that_is_too_small_is_not_written_and_its_size_is_told() {
    let fixture = Fixture::new();
    let user = User::open(&fixture.name("l"));
    let mut needed = 0;
    let ask = |buffer: *mut c_char, len, needed: *mut usize| {
        // SAFETY: a handle, and `len` writable bytes.
        unsafe { shmlock_path(user.at(), buffer, len, needed, null_mut()) }
    };
    assert_eq!(ask(null_mut(), 0, &raw mut needed), Status::BufferTooSmall);
    let mut buffer = vec![c_char::from_ne_bytes([7]); needed];
    assert_eq!(ask(buffer.as_mut_ptr(), needed - 1, null_mut()), Status::BufferTooSmall);
    assert!(buffer.iter().all(|byte| *byte == 7), "it was written to");
    assert_eq!(ask(buffer.as_mut_ptr(), needed, null_mut()), Status::Ok);
    assert_eq!(of_chars(&buffer).len() + 1, needed);
}

/// The handle that its own callback uses.
type Waiting = Cell<*mut Lock>;

/// Uses the handle that waits.
unsafe extern "C" fn use_the_handle(context: *mut c_void, _: WaitPoint) -> c_int {
    // SAFETY: the context of the test, which waits for this call.
    let waiting = unsafe { &*context.cast::<Waiting>() };
    all_answer(waiting.get(), Status::InUse);
    1
}

#[test]
fn a_handle_whose_callback_runs_is_in_use_for_each_function() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let holder = User::open(&name);
    assert_eq!(holder.lock(), Status::Ok);
    thread::scope(|scope| {
        scope.spawn(|| {
            let waiting = Waiting::new(null_mut());
            let options = Options {
                interrupt: Some(use_the_handle),
                interrupt_context: from_ref(&waiting).cast_mut().cast(),
                ..Options::default()
            };
            let user = User::open_with(&name, &options);
            waiting.set(user.at());
            assert_eq!(user.lock(), Status::Interrupted);
            assert_eq!(user.try_once(), Status::Busy, "at rest again");
        });
    });
}

#[test]
fn a_forked_child_is_refused_may_close_and_open_anew_and_its_parent_keeps_the_lock() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let user = User::open(&name);
        assert_eq!(user.lock(), Status::Ok);
        fork(|_| {
            assert_eq!((user.lock(), user.try_once()), (Status::Forked, Status::Forked));
            assert_eq!(user.release(), Status::Forked);
            // SAFETY: a handle.
            assert!(!unsafe { shmlock_is_held(user.at()) });
            assert_eq!((user.close(), user.close()), (Status::Forked, Status::NotOpen));
            let own = User::open(&name);
            assert_eq!(own.try_once(), Status::Busy, "the parent holds it");
        })
        .ends_well();
        assert_eq!((user.release(), user.close()), (Status::Ok, Status::Ok));
    });
}

#[test]
fn each_status_has_a_message_and_other_numbers_have_one_as_well() {
    let message = |status: i32| {
        // SAFETY: a static string.
        unsafe { CStr::from_ptr(shmlock_message(status)) }.to_str().expect("UTF-8")
    };
    let unknown = message(12345);
    for status in (-11..=2).chain(-27..=-20).chain(-50..=-40).chain([-126, -127]) {
        assert_ne!(message(status), unknown, "{status}");
    }
    assert_eq!(message(i32::MIN), unknown);
    // SAFETY: a static string.
    let version = unsafe { CStr::from_ptr(shmlock_version()) };
    assert_eq!(version.to_str(), Ok(env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_structs_have_the_sizes_that_the_library_has_promised() {
    assert_eq!(size_of::<Failure>(), 512);
    assert_eq!(size_of::<Lock>(), 32);
    assert_eq!(size_of::<Event>(), 8 + size_of::<usize>());
    assert_eq!(size_of::<Holder>(), 136);
    assert_eq!(size_of::<State>(), 200);
}
