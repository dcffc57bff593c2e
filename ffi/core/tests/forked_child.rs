//! Tests a handle in a forked child. Here the child is simulated by a changed fork generation;
//! `examples/c/forked.c` forks.

#![allow(unsafe_code, reason = "calls functions for C")]

mod common;

use core::ffi::c_void;
use core::ptr::{from_mut, from_ref, null};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use common::{FUNCTIONS, Memory, User, WAITERS, inspect};
use shmlock_core_c::acquire::{WaitContext, shmlock_core_set_waiters, shmlock_core_try_acquire};
use shmlock_core_c::attach::shmlock_core_attach;
use shmlock_core_c::fence_scope::SHMLOCK_CORE_INNER_SHAREABLE;
use shmlock_core_c::fork_generation::shmlock_core_set_fork_generation;
use shmlock_core_c::handle::Handle;
use shmlock_core_c::hold::shmlock_core_release;
use shmlock_core_c::status::Status;

fn set_generation(user: &mut User, generation: *const AtomicU32) -> Status {
    // SAFETY: a handle of this thread, and NULL or a word that lives longer.
    unsafe { shmlock_core_set_fork_generation(user.raw(), generation.cast()) }
}

/// Runs `act` as a child, as far as the word says.
fn in_a_child<R>(generation: &AtomicU32, act: impl FnOnce() -> R) -> R {
    generation.fetch_add(1, Relaxed);
    let result = act();
    generation.fetch_sub(1, Relaxed);
    result
}

fn refuses_everything(user: &mut User) {
    for function in FUNCTIONS {
        assert_eq!(user.call(function), Status::Forked);
    }
    assert_eq!(user.fencing_token(), Err(Status::Forked));
    assert_eq!(set_generation(user, null()), Status::Forked);
    assert!(!user.is_held() && !user.owes_wake());
}

#[test]
fn every_call_is_refused_in_a_child_and_changes_nothing_and_the_parent_goes_on() {
    let generation = AtomicU32::new(7);
    for held in [false, true] {
        let memory = Memory::zeroed();
        let mut user = User::of(&memory, 1);
        assert_eq!(set_generation(&mut user, &raw const generation), Status::Ok);
        if held {
            assert_eq!(user.call(shmlock_core_try_acquire), Status::Ok);
        }
        let before = memory.words();
        in_a_child(&generation, || refuses_everything(&mut user));
        assert_eq!((memory.words(), user.is_held()), (before, held));
        assert_eq!(
            user.call(shmlock_core_release),
            if held { Status::Ok } else { Status::NotHeld }
        );
        assert_eq!(user.call(shmlock_core_try_acquire), Status::Ok);
    }
}

#[test]
fn a_child_attaches_the_handle_anew_and_contends_under_its_own_token() {
    let (memory, generation) = (Memory::zeroed(), AtomicU32::new(0));
    let mut parents = User::of(&memory, 1);
    assert_eq!(set_generation(&mut parents, &raw const generation), Status::Ok);
    assert_eq!(parents.call(shmlock_core_try_acquire), Status::Ok);
    // Stands for the child's copy of the parent's handle, here at another address.
    let mut childs = User::of(&memory, 3);
    assert_eq!(set_generation(&mut childs, &raw const generation), Status::Ok);
    in_a_child(&generation, || {
        refuses_everything(&mut childs);
        // SAFETY: a handle of this thread, and 128 bytes of atomics.
        let attached = unsafe {
            shmlock_core_attach(
                childs.raw(),
                memory.address(),
                128,
                2,
                SHMLOCK_CORE_INNER_SHAREABLE,
            )
        };
        assert_eq!(attached, Status::Ok);
        assert_eq!(childs.call(shmlock_core_try_acquire), Status::Busy);
        assert_eq!(set_generation(&mut childs, &raw const generation), Status::Ok);
        assert_eq!(childs.call(shmlock_core_try_acquire), Status::Busy);
    });
    assert_eq!(parents.call(shmlock_core_release), Status::Ok);
}

#[test]
fn a_handle_without_a_generation_or_with_none_any_more_compares_nothing() {
    let (memory, generation) = (Memory::zeroed(), AtomicU32::new(0));
    let mut user = User::of(&memory, 1);
    assert_eq!(
        set_generation(&mut user, from_ref(&generation).wrapping_byte_add(1)),
        Status::Misaligned
    );
    in_a_child(&generation, || assert_eq!(user.call(shmlock_core_try_acquire), Status::Ok));
    assert_eq!(set_generation(&mut user, &raw const generation), Status::Ok);
    assert_eq!(set_generation(&mut user, null()), Status::Ok);
    in_a_child(&generation, || assert_eq!(user.call(shmlock_core_release), Status::Ok));
}

struct Forking<'g> {
    generation: &'g AtomicU32,
    memory: &'g Memory,
    user: *mut Handle,
    called: u32,
}

/// Forks, and returns in the child; meanwhile the parent releases the lock.
unsafe extern "C" fn fork_and_return(context: *mut c_void, contention: *mut WaitContext) -> i32 {
    // SAFETY: the test passes its own `Forking`, and does not use it during the call.
    let forking = unsafe { &mut *context.cast::<Forking<'_>>() };
    let mut value = 0;
    // SAFETY: the callback's argument, and a `u32`.
    assert_eq!(unsafe { shmlock_core_set_waiters(contention, &raw mut value) }, Status::Ok);
    forking.called += 1;
    forking.generation.fetch_add(1, Relaxed);
    for function in FUNCTIONS {
        // SAFETY: a handle of this thread, during another call: this is the test.
        assert_eq!(unsafe { function(forking.user) }, Status::Forked, "not `InUse`");
    }
    forking.memory.set(0, 0);
    0
}

#[test]
fn a_child_that_returns_into_the_wait_of_its_parent_does_not_take_the_lock() {
    let (memory, generation) = (Memory::zeroed(), AtomicU32::new(0));
    let (mut other, mut user) = (User::of(&memory, 1), User::of(&memory, 2));
    assert_eq!(other.call(shmlock_core_try_acquire), Status::Ok);
    assert_eq!(set_generation(&mut user, &raw const generation), Status::Ok);
    let mut forking =
        Forking { generation: &generation, memory: &memory, user: user.raw(), called: 0 };
    assert_eq!(
        user.acquire(9, Some(fork_and_return), from_mut(&mut forking).cast()),
        Status::Forked
    );
    assert_eq!(forking.called, 1, "it does not wait again");
    assert_eq!((memory.get(0), inspect(&memory).map(|holder| holder.token)), (0, Ok(0)));
    assert_eq!(memory.get(0) & WAITERS, 0);
}
