//! Tests what the functions of the header refuse, and that a refusal changes nothing.

#![allow(unsafe_code, reason = "calls functions for C")]

mod common;

use core::ffi::CStr;
use core::ptr::null_mut;

use common::{
    DIED, FUNCTIONS, Function, Memory, User, WAITERS, acquire_spinning, described, inspect,
};
use shmlock_core_c::acquire::shmlock_core_try_acquire;
use shmlock_core_c::attach::{shmlock_core_attach, shmlock_core_check, shmlock_core_detach};
use shmlock_core_c::fence_scope::SHMLOCK_CORE_FULL_SYSTEM;
use shmlock_core_c::handle::Handle;
use shmlock_core_c::hold::{
    shmlock_core_declare_consistent, shmlock_core_fencing_token, shmlock_core_is_held,
};
use shmlock_core_c::hold::{shmlock_core_owes_wake, shmlock_core_release};
use shmlock_core_c::record::shmlock_core_inspect;
use shmlock_core_c::status::{Status, shmlock_core_message};

#[test]
fn a_null_or_misaligned_pointer_to_a_handle_is_an_error() {
    let mut user = User::unattached();
    let misaligned = user.raw().wrapping_byte_add(1);
    for function in FUNCTIONS {
        // SAFETY: refused before anything is read.
        assert_eq!(unsafe { function(null_mut()) }, Status::Null);
        // SAFETY: as above.
        assert_eq!(unsafe { function(misaligned) }, Status::Misaligned);
    }
    for handle in [null_mut(), misaligned] {
        // SAFETY: as above.
        assert!(!unsafe { shmlock_core_is_held(handle) });
        // SAFETY: as above.
        assert!(!unsafe { shmlock_core_owes_wake(handle) });
    }
}

#[test]
fn a_handle_that_is_not_attached_or_detached_or_a_copy_is_an_error() {
    let memory = Memory::zeroed();
    let mut detached = User::of(&memory, 1);
    assert_eq!(detached.call(shmlock_core_detach), Status::Ok);
    let mut original = User::of(&memory, 2);
    let mut copy = User::unattached();
    let to = copy.raw().cast::<u8>();
    // SAFETY: two handles that do not overlap.
    unsafe { to.copy_from_nonoverlapping(original.raw().cast(), size_of::<Handle>()) };
    for user in [&mut User::unattached(), &mut detached, &mut copy] {
        for function in FUNCTIONS {
            assert_eq!(user.call(function), Status::NotAttached);
        }
        assert_eq!(user.fencing_token(), Err(Status::NotAttached));
        assert!(!user.is_held() && !user.owes_wake());
    }
    assert_eq!(original.call(shmlock_core_try_acquire), Status::Ok);
}

#[test]
fn an_invalid_region_is_refused_and_left_unchanged_with_the_handle() {
    let memory = Memory::zeroed();
    let other_version = u32::from_le_bytes([b'S', b'H', b'L', 2]);
    let misaligned = memory.address().wrapping_byte_add(2);
    for (magic, address, len, token, scope, refusal) in [
        (0, null_mut(), 128, 1, 0, Status::Null),
        (0, misaligned, 128, 1, 0, Status::Misaligned),
        (0, memory.address(), 127, 1, 0, Status::TooShort),
        (0, memory.address(), 128, 0, 0, Status::BadToken),
        (0, memory.address(), 128, 65_536, 0, Status::BadToken),
        (0, memory.address(), 128, 65_537, 0, Status::BadToken),
        (0, memory.address(), 128, 1, 2, Status::BadScope),
        (1, memory.address(), 128, 1, 0, Status::NotALock),
        (other_version, memory.address(), 128, 1, 0, Status::OtherVersion),
    ] {
        memory.set(8, magic);
        let before = memory.words();
        let mut user = User::unattached();
        // SAFETY: 128 bytes of atomics, or refused.
        assert_eq!(unsafe { shmlock_core_attach(user.raw(), address, len, token, scope) }, refusal);
        // SAFETY: as above.
        let attached = unsafe { shmlock_core_attach(null_mut(), address, len, token, scope) };
        assert_eq!(attached, Status::Null);
        let of_memory = !matches!(refusal, Status::BadToken | Status::BadScope);
        // SAFETY: as above.
        let checked = unsafe { shmlock_core_check(address, len) };
        assert_eq!(checked, if of_memory { refusal } else { Status::Ok });
        assert_eq!(user.call(shmlock_core_release), Status::NotAttached);
        assert_eq!(memory.words(), before);
    }
}

#[test]
fn an_overwritten_word_is_reported_and_left_unchanged() {
    for (nested, end) in [(false, shmlock_core_release as Function), (true, shmlock_core_detach)] {
        let memory = Memory::zeroed();
        let mut user = User::of(&memory, 1);
        assert_eq!(user.call(shmlock_core_try_acquire), Status::Ok);
        if nested {
            assert_eq!(
                user.call(shmlock_core_try_acquire),
                Status::Ok,
                "detaching releases the outer hold as well"
            );
        }
        memory.set(0, 2 | DIED);
        assert_eq!(user.call(shmlock_core_declare_consistent), Status::Overwritten);
        assert!(!user.is_held(), "the word decides");
        assert_eq!(
            user.call(shmlock_core_try_acquire),
            Status::Overwritten,
            "it does not nest in another owner's hold"
        );
        assert_eq!(user.fencing_token(), Err(Status::NotHeld));
        assert_eq!(user.call(end), Status::Overwritten);
        assert!(!user.is_held());
        assert_eq!(memory.get(0), 2 | DIED);
    }
}

#[test]
fn an_invalid_record_is_refused_and_the_previous_one_stays() {
    let memory = Memory::zeroed();
    let mut user = User::of(&memory, 1);
    assert_eq!(user.call(shmlock_core_try_acquire), Status::Ok);
    let good = described(b"good");
    assert_eq!(user.set_record(&raw const good), Status::Ok);
    for bad in [described(&[b'x'; 64]), described(b"\xff\xfe")] {
        assert_eq!(user.set_record(&raw const bad), Status::BadDescription);
    }
    assert_eq!(user.set_record((&raw const good).wrapping_byte_add(1)), Status::Misaligned);
    assert_eq!(inspect(&memory).map(|holder| holder.record), Ok(good));
}

#[test]
fn garbage_in_the_region_makes_an_error_or_a_busy_lock_at_most() {
    for garbage in [1, 0x2020_2020, 0x7fff_ffff, 0xffff_fffe, u32::MAX] {
        let memory = Memory::zeroed();
        let mut user = User::of(&memory, 7);
        (0..32).filter(|word| *word != 2).for_each(|word| memory.set(4 * word, garbage));
        let holder = inspect(&memory).expect("valid magic");
        assert_eq!(
            (holder.token, holder.recorded),
            (garbage & !(WAITERS | DIED), garbage % 2 == 0 && garbage >> 30 == 0)
        );
        assert_eq!(user.call(acquire_spinning), Status::Busy);
        assert_eq!(user.take_over(holder.token), Status::OwnerDied);
        assert_eq!(user.call(shmlock_core_detach), Status::Ok);
    }
}

#[test]
fn null_or_misaligned_outputs_and_unknown_scopes_are_errors() {
    let memory = Memory::zeroed();
    let mut user = User::of(&memory, 1);
    assert_eq!(user.call(shmlock_core_try_acquire), Status::Ok);
    let mut number = [0_u64; 2];
    let misaligned = number.as_mut_ptr().wrapping_byte_add(1);
    for (to, refusal) in [(null_mut(), Status::Null), (misaligned, Status::Misaligned)] {
        // SAFETY: refused before anything is written.
        assert_eq!(unsafe { shmlock_core_fencing_token(user.raw(), to) }, refusal);
    }
    let inspect_as = |scope, holder| {
        // SAFETY: 128 bytes of atomics, and NULL or a `Holder`.
        unsafe { shmlock_core_inspect(memory.address(), 128, scope, holder) }
    };
    assert_eq!(inspect_as(SHMLOCK_CORE_FULL_SYSTEM, null_mut()), Status::Null);
    let mut holder = inspect(&memory).expect("a lock");
    assert_eq!(inspect_as(2, &raw mut holder), Status::BadScope);
    assert_eq!(inspect_as(SHMLOCK_CORE_FULL_SYSTEM, &raw mut holder), Status::Ok);
}

#[test]
fn every_status_has_its_own_message_and_every_other_number_has_one_too() {
    let text = |status| {
        // SAFETY: a static string.
        unsafe { CStr::from_ptr(shmlock_core_message(status)) }
            .to_str()
            .expect("English")
            .to_owned()
    };
    let unknown = text(i32::MIN);
    let mut messages: Vec<_> = (-26..=1).chain([-127]).map(text).collect();
    assert!(!messages.contains(&unknown));
    messages.sort();
    messages.dedup();
    assert_eq!(messages.len(), 29);
    assert_eq!([2, -27, -126, i32::MAX].map(text), [const { "not a status of this library" }; 4]);
    assert_eq!(
        text(Status::Busy as i32),
        "another contender holds the lock; wait longer or try again"
    );
}
