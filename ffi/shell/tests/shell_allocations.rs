//! Checks that the functions which are marked async-signal-safe allocate nothing: the handler that
//! calls one may have interrupted malloc(3). Nor do they change errno(3).

#![allow(unsafe_code, reason = "calls of functions for C")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block,
    reason = "each pointer is valid: the test"
)]

mod common;

use std::hint::black_box;
use std::ptr::{null, null_mut};
use std::thread;

use common::{User, c};
use shmlock_c::acquire::{shmlock_force_release, shmlock_release, shmlock_try};
use shmlock_c::event::{
    Event, shmlock_event_clear, shmlock_event_close, shmlock_event_is_set, shmlock_event_open,
    shmlock_event_set,
};
use shmlock_c::handle::Lock;
use shmlock_c::hold::{shmlock_declare_consistent, shmlock_fencing_token, shmlock_is_held};
use shmlock_c::holder::{Holder, shmlock_get_holder};
use shmlock_c::open::shmlock_path;
use shmlock_c::status::Status;
use shmlock_tests::allocations::Counting;
use shmlock_tests::alone;
use shmlock_tests::hostile::{Solo, fork};

#[global_allocator]
static COUNTING: Counting = Counting;

/// Makes a call as a handler would, and returns its result.
fn in_handler<R>(what: &str, call: impl FnOnce() -> R) -> R {
    const SOME: i32 = 77;
    let (errno, before) = (unsafe { libc::__errno_location() }, Counting::calls());
    unsafe { *errno = SOME };
    let result = call();
    let (count, found) = (Counting::calls() - before, unsafe { *errno });
    assert_eq!((count, found), (0, SOME), "{what}: allocations, errno");
    result
}

/// Calls what may be called on any handle in any state.
fn look(state: &str, handle: *mut Lock) -> Status {
    let (mut token, mut buffer, mut holder) = (0, [0; 512], Holder::default());
    in_handler(state, || unsafe { shmlock_is_held(handle) });
    let _ =
        in_handler(state, || unsafe { shmlock_fencing_token(handle, &raw mut token, null_mut()) });
    for len in [0, buffer.len()] {
        let _ = in_handler(state, || unsafe {
            shmlock_path(handle, buffer.as_mut_ptr(), len, null_mut(), null_mut())
        });
    }
    in_handler(state, || unsafe { shmlock_get_holder(handle, &raw mut holder, null_mut()) })
}

/// Tries, and releases what that has acquired.
fn try_and_release(state: &str, handle: *mut Lock) -> Status {
    let tried = in_handler(state, || unsafe { shmlock_try(handle, null_mut()) });
    if tried == Status::Ok || tried == Status::OwnerDied {
        assert_eq!(look("during a hold", handle), Status::Ok);
        let nested = in_handler(state, || unsafe { shmlock_try(handle, null_mut()) });
        assert_eq!(nested, tried);
        let released = in_handler(state, || unsafe { shmlock_release(handle, null_mut()) });
        let freed = in_handler(state, || unsafe { shmlock_force_release(handle, null_mut()) });
        assert_eq!((released, freed), (Status::Ok, Status::Ok));
    }
    tried
}

#[test]
fn what_a_handler_may_call_allocates_nothing_in_any_state_of_the_handle() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        assert_eq!(look("NULL", null_mut()), Status::Null);
        assert_eq!(look("zero", User::zero().at()), Status::NotOpen);
        let (user, other) = (User::open(&name), User::open(&name));
        let counted = Counting::calls();
        drop(black_box(Box::new(1)));
        assert_eq!(Counting::calls() - counted, 2, "the allocator does not count");
        assert_eq!(look("free", user.at()), Status::None);
        assert_eq!(try_and_release("free", user.at()), Status::Ok);
        assert_eq!(other.lock(), Status::Ok);
        assert_eq!(look("held", user.at()), Status::Ok);
        assert_eq!(try_and_release("held", user.at()), Status::Busy);
        assert_eq!(other.release(), Status::Ok);
        let address = user.at() as usize;
        thread::scope(|scope| {
            let first_call_of_a_thread = move || try_and_release("passed on", address as *mut Lock);
            let tried = scope.spawn(first_call_of_a_thread).join();
            assert_eq!(tried.expect("no panic"), Status::Ok);
        });
        fork(|_| assert_eq!(look("in a child", user.at()), Status::Forked)).ends_well();
        fork(|_| {
            let doomed = std::mem::ManuallyDrop::new(User::open(&name));
            assert_eq!(doomed.lock(), Status::Ok);
        })
        .ends_well();
        assert_eq!(try_and_release("recovered", user.at()), Status::OwnerDied);
        assert_eq!(user.lock(), Status::OwnerDied);
        let declared = unsafe { shmlock_declare_consistent(user.at(), null_mut()) };
        assert_eq!((declared, user.release()), (Status::Ok, Status::Ok));
    });
}

#[test]
fn an_event_is_set_without_an_allocation_by_its_process_and_refused_so_in_a_child() {
    alone!(|| {
        let fixture = Solo::new();
        let name = c(&fixture.name("e"));
        for name in [null(), name.as_ptr()] {
            let mut event = Event::new();
            let event = &raw mut event;
            let opened = unsafe { shmlock_event_open(event, name, null(), 0, null_mut()) };
            assert_eq!(opened, Status::Ok);
            let set_and_clear = |expected| {
                let set = in_handler("set", || unsafe { shmlock_event_set(event, null_mut()) });
                let is_set = in_handler("is set", || unsafe { shmlock_event_is_set(event) });
                let clear =
                    in_handler("clear", || unsafe { shmlock_event_clear(event, null_mut()) });
                assert_eq!((set, is_set, clear), (expected, expected == Status::Ok, expected));
            };
            set_and_clear(Status::Ok);
            let in_child = if name.is_null() { Status::Ok } else { Status::Forked };
            fork(|_| set_and_clear(in_child)).ends_well();
            assert_eq!(unsafe { shmlock_event_close(event, null_mut()) }, Status::Ok);
        }
    });
}
