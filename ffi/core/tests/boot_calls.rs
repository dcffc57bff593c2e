//! Tests the functions of the header for boots of cores.

#![allow(unsafe_code, reason = "calls functions for C")]

mod common;

use core::ffi::c_void;
use core::ptr::null_mut;

use common::{DIED, Memory, User, WAITERS, inspect};
use shmlock_core_c::acquire::shmlock_core_try_acquire;
use shmlock_core_c::attach::{shmlock_core_attach, shmlock_core_check};
use shmlock_core_c::fence_scope::SHMLOCK_CORE_FULL_SYSTEM;
use shmlock_core_c::hold::shmlock_core_release;
use shmlock_core_c::roll::{
    Boot, shmlock_core_acquire_or_recover, shmlock_core_attach_boot, shmlock_core_begin_boot,
    shmlock_core_last_boot, shmlock_core_retire_boot,
};
use shmlock_core_c::status::Status;

/// A region and a roll.
struct Machine {
    region: Memory,
    roll: Memory,
}

type OfBoot = unsafe extern "C" fn(*mut c_void, usize, u32, *mut Boot) -> Status;

impl Machine {
    fn new() -> Self {
        Self { region: Memory::zeroed(), roll: Memory::zeroed() }
    }

    fn boot(&self, function: OfBoot, slot: u32) -> Boot {
        let mut boot = Boot::default();
        // SAFETY: 128 bytes of atomics, and a `Boot`.
        let status = unsafe { function(self.roll.address(), 128, slot, &raw mut boot) };
        assert_eq!(status, Status::Ok);
        boot
    }

    fn attach(&self, boot: Boot) -> (User, Status) {
        let mut user = User::unattached();
        let (address, scope) = (self.region.address(), SHMLOCK_CORE_FULL_SYSTEM);
        // SAFETY: a handle of this thread, and 128 bytes of atomics.
        let status =
            unsafe { shmlock_core_attach_boot(user.raw(), address, 128, &raw const boot, scope) };
        (user, status)
    }

    fn start(&self, slot: u32) -> User {
        let (user, status) = self.attach(self.boot(shmlock_core_begin_boot, slot));
        assert_eq!(status, Status::Ok);
        user
    }

    fn recover(&self, user: &mut User) -> Status {
        let address = self.roll.address();
        // SAFETY: a handle of this thread, 128 bytes of atomics, no callback.
        unsafe { shmlock_core_acquire_or_recover(user.raw(), address, 128, 2, None, null_mut()) }
    }
}

#[test]
fn a_core_that_comes_back_is_recovered_once() {
    let machine = Machine::new();
    let (mut core, mut waiter) = (machine.start(1), machine.start(2));
    assert_eq!(core.call(shmlock_core_try_acquire), Status::Ok);
    assert_eq!(machine.region.get(0), 1 << 10 | 1);
    assert_eq!(machine.recover(&mut waiter), Status::Busy);

    machine.region.set(0, machine.region.get(0) | WAITERS);
    let mut next = machine.start(1);
    assert_eq!((machine.region.get(0), next.owes_wake()), (DIED, true));
    assert_eq!(machine.recover(&mut waiter), Status::OwnerDied);
    assert_eq!(waiter.call(shmlock_core_release), Status::Ok);
    assert_eq!(next.call(shmlock_core_try_acquire), Status::OwnerDied, "not declared consistent");
    assert_eq!(inspect(&machine.region).map(|holder| holder.recoveries), Ok(1));
}

#[test]
fn a_waiter_recovers_by_the_count_of_the_next_boot() {
    let machine = Machine::new();
    let (mut core, mut waiter) = (machine.start(1), machine.start(2));
    assert_eq!(core.call(shmlock_core_try_acquire), Status::Ok);
    let boot = machine.boot(shmlock_core_begin_boot, 1);
    assert_eq!(boot, Boot { slot: 1, number: 2 });
    assert_eq!(machine.recover(&mut waiter), Status::OwnerDied);
    let (mut next, status) = machine.attach(boot);
    assert_eq!(status, Status::Ok);
    assert_eq!(machine.recover(&mut next), Status::Busy);
}

#[test]
fn a_waiter_recovers_from_a_retired_boot() {
    let machine = Machine::new();
    let (mut core, mut waiter) = (machine.start(1), machine.start(2));
    assert_eq!(core.call(shmlock_core_try_acquire), Status::Ok);
    let last = machine.boot(shmlock_core_last_boot, 1);
    assert_eq!(last, Boot { slot: 1, number: 1 });
    let roll = machine.roll.address();
    // SAFETY: 128 bytes of atomics, and a `Boot`.
    assert_eq!(unsafe { shmlock_core_retire_boot(roll, 128, &raw const last) }, Status::Ok);
    assert_eq!(machine.recover(&mut waiter), Status::OwnerDied);
}

/// The token 2000 reads as one of slot 1, which has booted twice meanwhile.
#[test]
fn the_roll_judges_no_owner_with_a_plain_token() {
    let machine = Machine::new();
    let mut owner = User::of(&machine.region, 2000);
    assert_eq!(owner.call(shmlock_core_try_acquire), Status::Ok);
    let held = machine.region.words();
    machine.roll.set(16, 977);
    let mut waiter = User::of(&machine.region, 1);
    assert_eq!(machine.recover(&mut waiter), Status::PlainTokens);
    assert_eq!(machine.region.words(), held);
}

#[test]
fn invalid_arguments_are_refused_and_change_nothing() {
    let machine = Machine::new();
    let address = machine.roll.address();
    let misaligned = address.wrapping_byte_add(2);
    let mut boot = Boot { slot: 7, number: 7 };
    let to = &raw mut boot;
    for (address, len, slot, to, refusal) in [
        (null_mut(), 128, 1, to, Status::Null),
        (address, 128, 1, null_mut(), Status::Null),
        (address, 128, 1, to.wrapping_byte_add(1), Status::Misaligned),
        (misaligned, 128, 1, to, Status::Misaligned),
        (address, 23, 1, to, Status::RollTooShort),
        (address, 128, 0, to, Status::BadSlot),
        (address, 128, 64, to, Status::BadSlot),
        (address, 128, 257, to, Status::BadSlot),
    ] {
        for function in [shmlock_core_begin_boot as OfBoot, shmlock_core_last_boot] {
            // SAFETY: 128 bytes of atomics, or refused.
            assert_eq!(unsafe { function(address, len, slot, to) }, refusal);
        }
    }
    assert_eq!(machine.roll.words(), vec![0; 33]);
    // SAFETY: 24 bytes of atomics, and a `Boot`: the roll has one slot.
    assert_eq!(unsafe { shmlock_core_begin_boot(address, 24, 2, to) }, Status::BadSlot);
    for (magic, refusal) in [(2, Status::NotARoll), (0x0252_4853, Status::OtherRollVersion)] {
        machine.roll.set(8, magic);
        // SAFETY: 128 bytes of atomics, and a `Boot`.
        assert_eq!(unsafe { shmlock_core_begin_boot(address, 128, 1, to) }, refusal);
        let mut user = machine.attach(Boot { slot: 1, number: 1 }).0;
        assert_eq!(machine.recover(&mut user), refusal);
    }
    assert_eq!(boot, Boot { slot: 7, number: 7 });
    for (none, refusal) in [
        (Boot { slot: 1, number: 0 }, Status::BadToken),
        (Boot { slot: 64, number: 1 }, Status::BadSlot),
    ] {
        assert_eq!(machine.attach(none).1, refusal);
        // SAFETY: 128 bytes of atomics, and a `Boot`.
        let retired = unsafe { shmlock_core_retire_boot(address, 128, &raw const none) };
        assert_eq!(retired, refusal);
    }
}

#[test]
fn plain_and_epoch_tokens_refuse_each_others_region() {
    let machine = Machine::new();
    let mut user = machine.start(1);
    assert_eq!(user.call(shmlock_core_try_acquire), Status::Ok);
    let before = machine.region.words();
    let (mut plain, address) = (User::unattached(), machine.region.address());
    // SAFETY: a handle of this thread, and 128 bytes of atomics.
    let status =
        unsafe { shmlock_core_attach(plain.raw(), address, 128, 5, SHMLOCK_CORE_FULL_SYSTEM) };
    assert_eq!(status, Status::EpochTokens);
    // SAFETY: 128 bytes of atomics.
    assert_eq!(unsafe { shmlock_core_check(address, 128) }, Status::Ok);
    assert_eq!(inspect(&machine.region).map(|holder| holder.token), Ok(1 << 10 | 1));
    assert_eq!(machine.region.words(), before);

    let machine = Machine::new();
    let _plain = User::of(&machine.region, 1);
    assert_eq!(machine.attach(Boot { slot: 1, number: 1 }).1, Status::PlainTokens);
}
