//! Defines small functions whose machine code is checked. They are linked and never run.
//!
//! Each acquires the lock, accesses one word of data, and releases the lock, or takes another step
//! for which `shmlock-core` calls a fence; `waiters` takes one without a fence. The first part of
//! the name tells `check/` the step, the last part the fence scope: `inner`, `full`, or `chosen` at
//! run time.

#![no_std]
#![no_main]
#![allow(clippy::no_mangle_with_rust_abi, reason = "found by name, never called")]
#![allow(clippy::inline_always, reason = "the checker needs each probe in one function")]

use core::convert::Infallible;
use core::num::NonZeroU16;
use core::panic::PanicInfo;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;

use shmlock_core::contend::Liveness;
use shmlock_core::fence::{Fence, FullSystem, InnerShareable};
use shmlock_core::layout::REGION_LEN;
use shmlock_core::protocol::{self, Attempt, Wake};
use shmlock_core::roll::{Roll, Slot};
use shmlock_core::snapshot::snapshot;
use shmlock_core::ticket::probes::Steps;
use shmlock_core::{
    EncodedRecord, FenceScope, Record, Region, RegionLock, RegionMemory, TicketRegion, Token, Word,
};

/// The protected data. No other access has the offset of its last word (1204 bytes).
pub struct Data([AtomicU32; 302]);

impl Data {
    #[inline(always)]
    fn add(&self, more: u32) {
        let [.., word] = &self.0;
        // Relaxed: a plain load and a plain store. The probes test the barriers around them.
        word.store(word.load(Relaxed) + more, Relaxed);
    }

    #[inline(always)]
    fn read(&self) -> u32 {
        let [.., word] = &self.0;
        // Relaxed: as above.
        word.load(Relaxed)
    }
}

#[inline(always)]
fn steps(word: &AtomicU32, me: Token, data: &Data, fence: impl Fence) -> bool {
    let Ok(_) = protocol::try_acquire(word, me, Attempt::First, fence) else { return false };
    data.add(1);
    protocol::release(word, me, fence).is_ok()
}

/// Does the same as [`steps`] with a constant scope. The other number keeps the compiler from
/// merging the two.
#[inline(always)]
fn constant(word: &AtomicU32, me: Token, data: &Data, fence: FenceScope) -> bool {
    let Ok(_) = protocol::try_acquire(word, me, Attempt::First, fence) else { return false };
    data.add(2);
    protocol::release(word, me, fence).is_ok()
}

/// Takes the fast path instead of [`steps`].
#[inline(always)]
fn fast(word: &AtomicU32, me: Token, data: &Data, fence: impl Fence) -> bool {
    if !protocol::try_acquire_fast(word, me, fence) {
        return false;
    }
    data.add(1);
    protocol::release_fast(word, me, fence).is_ok()
}

/// Acquires after waiting, releases without a wake, and claims the wake.
#[inline(always)]
fn unwoken(word: &AtomicU32, me: Token, data: &Data, fence: impl Fence) -> bool {
    let Ok(_) = protocol::try_acquire(word, me, Attempt::AfterWaiting, fence) else { return false };
    data.add(1);
    protocol::release_without_wake(word, me, fence).is_ok()
        && protocol::claim_wake(word) == Wake::One
}

#[inline(always)]
fn recover(word: &AtomicU32, dead: Token, me: Token, data: &Data, fence: impl Fence) -> bool {
    let Some(_) = protocol::take_over(word, dead, me, fence) else { return false };
    data.add(1);
    protocol::abandon(word, me, fence).is_ok()
}

#[inline(always)]
fn stale(word: &AtomicU32, me: Token, data: &Data, fence: impl Fence) -> bool {
    data.add(1);
    protocol::declare_stale(word, me, fence).is_some()
}

#[inline(always)]
fn region<F: Fence>(lock: &RegionLock<'_, F>, data: &Data) -> bool {
    let Ok(Some(_guard)) = lock.try_lock() else { return false };
    data.add(1);
    true
}

/// Copies the data by one load, which stands for a copy of a region.
#[inline(always)]
fn copied(data: &Data, fence: impl Fence) -> Option<RegionMemory> {
    let copy = || {
        let [byte, ..] = data.read().to_le_bytes();
        Ok::<_, Infallible>([byte; REGION_LEN])
    };
    snapshot(fence, copy).ok()
}

/// A ticket lock of two parties.
type Pair<'a> = TicketRegion<'a, 2>;

/// Acquires a ticket lock without waiting, and releases it.
#[inline(always)]
fn ticket(region: Pair<'_>, data: &Data, fence: impl Fence) -> bool {
    let Ok(us) = Steps::new(region, fence) else { return false };
    us.choose();
    let Some(number) = us.draw() else { return false };
    us.take(number);
    if !us.pass_choosing() || !us.pass_number(number) {
        return false;
    }
    us.enter();
    data.add(1);
    us.leave();
    true
}

/// Passes the other party, and looks for a death.
#[inline(always)]
fn deaths(region: Pair<'_>, number: u32, data: &Data, fence: impl Fence) -> Option<u32> {
    let us = Steps::new(region, fence).ok()?;
    if !us.pass_number(number) {
        return None;
    }
    us.enter();
    let deaths = us.deaths();
    data.add(1);
    Some(deaths)
}

/// Begins a life, and draws a number.
#[inline(always)]
fn life(region: Pair<'_>, fence: impl Fence) -> Option<u32> {
    let us = Steps::new(region, fence).ok()?;
    let _ = us.begin_life();
    us.choose();
    us.draw()
}

#[inline(always)]
fn stop(region: Pair<'_>, fence: impl Fence) -> bool {
    let Ok(us) = Steps::new(region, fence) else { return false };
    us.stop_choosing();
    true
}

/// Proves a death by a word.
struct Proof<'a>(&'a Data);

impl Liveness for Proof<'_> {
    #[inline(always)]
    fn while_dead<R>(&mut self, _: Token, action: impl FnOnce() -> R) -> Option<R> {
        (self.0.read() != 0).then(action)
    }
}

/// Buries the second party.
#[inline(always)]
fn bury(region: Pair<'_>, data: &Data, fence: impl Fence) -> bool {
    const SECOND: NonZeroU16 = NonZeroU16::new(2).unwrap();
    matches!(region.bury(SECOND, fence, &mut Proof(data)), Ok(true))
}

/// Looks from outside whether an owner died. Its fences have one scope.
#[inline(always)]
fn look(region: Pair<'_>) -> Option<bool> {
    Steps::new(region, FullSystem).ok()?.look_for_death()
}

const SLOT: Slot = Slot::new(1).unwrap();
const OTHER_SLOT: Slot = Slot::new(2).unwrap();

/// Begins a boot, after an earlier one accessed the data, and acquires a lock.
#[inline(always)]
fn boot(roll: Roll<'_>, word: &AtomicU32, data: &Data, fence: impl Fence) -> bool {
    data.add(1);
    let Ok(boot) = roll.with_fence(fence).begin_boot(SLOT) else { return false };
    let me = boot.id().token();
    let Ok(_) = protocol::try_acquire(word, me, Attempt::First, fence) else { return false };
    data.add(1);
    true
}

/// Takes a lock over if the boot of its owner is over.
#[inline(always)]
fn judge(roll: Roll<'_>, word: &AtomicU32, data: &Data, fence: impl Fence) -> bool {
    // Relaxed: as a waiter reads the word.
    let Some(owner) = Word::from_bits(word.load(Relaxed)).owner() else { return false };
    if !roll.with_fence(fence).is_over(owner) {
        return false;
    }
    let me = Token::from_static(NonZeroU16::MAX);
    let Some(_) = protocol::take_over(word, owner, me, fence) else { return false };
    data.add(1);
    true
}

/// Retires the last boot of another core. The data stands for the proof that this does not run, on
/// which no branch depends.
#[inline(always)]
fn retire(roll: Roll<'_>, data: &Data, fence: impl Fence) -> bool {
    let roll = roll.with_fence(fence);
    let Ok(Some(boot)) = roll.last_boot(OTHER_SLOT) else { return false };
    let proof = data.read();
    roll.retire(boot).is_ok() && proof != 0
}

/// Defines probes as functions that the checker finds by name.
macro_rules! probes {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty = $body:expr;)*) => {$(
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub fn $name($($argument: $type),*) -> $result {
            $body
        }
    )*};
}

probes! {
    steps_inner(word: &AtomicU32, me: Token, data: &Data) -> bool =
        steps(word, me, data, InnerShareable);
    steps_full(word: &AtomicU32, me: Token, data: &Data) -> bool =
        steps(word, me, data, FullSystem);
    steps_chosen(word: &AtomicU32, me: Token, data: &Data, scope: FenceScope) -> bool =
        steps(word, me, data, scope);
    constant_inner(word: &AtomicU32, me: Token, data: &Data) -> bool =
        constant(word, me, data, FenceScope::InnerShareable);
    constant_full(word: &AtomicU32, me: Token, data: &Data) -> bool =
        constant(word, me, data, FenceScope::FullSystem);

    fast_inner(word: &AtomicU32, me: Token, data: &Data) -> bool =
        fast(word, me, data, InnerShareable);
    fast_full(word: &AtomicU32, me: Token, data: &Data) -> bool = fast(word, me, data, FullSystem);
    fast_chosen(word: &AtomicU32, me: Token, data: &Data, scope: FenceScope) -> bool =
        fast(word, me, data, scope);
    unwoken_inner(word: &AtomicU32, me: Token, data: &Data) -> bool =
        unwoken(word, me, data, InnerShareable);
    unwoken_full(word: &AtomicU32, me: Token, data: &Data) -> bool =
        unwoken(word, me, data, FullSystem);
    unwoken_chosen(word: &AtomicU32, me: Token, data: &Data, scope: FenceScope) -> bool =
        unwoken(word, me, data, scope);

    waiters(word: &AtomicU32, seen: u32) -> bool =
        protocol::set_waiters(word, Word::from_bits(seen)).is_ok();
    recover_inner(word: &AtomicU32, dead: Token, me: Token, data: &Data) -> bool =
        recover(word, dead, me, data, InnerShareable);
    recover_full(word: &AtomicU32, dead: Token, me: Token, data: &Data) -> bool =
        recover(word, dead, me, data, FullSystem);
    stale_inner(word: &AtomicU32, me: Token, data: &Data) -> bool =
        stale(word, me, data, InnerShareable);
    stale_full(word: &AtomicU32, me: Token, data: &Data) -> bool =
        stale(word, me, data, FullSystem);

    region_inner(lock: &RegionLock<'_, InnerShareable>, data: &Data) -> bool = region(lock, data);
    region_full(lock: &RegionLock<'_, FullSystem>, data: &Data) -> bool = region(lock, data);
    region_chosen(lock: &RegionLock<'_, FenceScope>, data: &Data) -> bool = region(lock, data);

    count_inner(region: Region<'_>) -> u32 = region.count_acquisition(InnerShareable);
    count_full(region: Region<'_>) -> u32 = region.count_acquisition(FullSystem);
    write_inner(region: Region<'_>, me: Token, record: &EncodedRecord) -> () =
        region.write_encoded(me, record, 7, InnerShareable);
    write_full(region: Region<'_>, me: Token, record: &EncodedRecord) -> () =
        region.write_encoded(me, record, 7, FullSystem);
    read_inner(region: Region<'_>, owner: Token) -> Option<Record> =
        region.record_of(owner, InnerShareable);
    read_full(region: Region<'_>, owner: Token) -> Option<Record> =
        region.record_of(owner, FullSystem);
    snapshot_inner(data: &Data) -> Option<RegionMemory> = copied(data, InnerShareable);
    snapshot_full(data: &Data) -> Option<RegionMemory> = copied(data, FullSystem);

    ticket_inner(region: Pair<'_>, data: &Data) -> bool = ticket(region, data, InnerShareable);
    ticket_full(region: Pair<'_>, data: &Data) -> bool = ticket(region, data, FullSystem);
    ticket_chosen(region: Pair<'_>, data: &Data, scope: FenceScope) -> bool =
        ticket(region, data, scope);
    deaths_inner(region: Pair<'_>, number: u32, data: &Data) -> Option<u32> =
        deaths(region, number, data, InnerShareable);
    deaths_full(region: Pair<'_>, number: u32, data: &Data) -> Option<u32> =
        deaths(region, number, data, FullSystem);
    life_inner(region: Pair<'_>) -> Option<u32> = life(region, InnerShareable);
    life_full(region: Pair<'_>) -> Option<u32> = life(region, FullSystem);
    stop_inner(region: Pair<'_>) -> bool = stop(region, InnerShareable);
    stop_full(region: Pair<'_>) -> bool = stop(region, FullSystem);
    bury_inner(region: Pair<'_>, data: &Data) -> bool = bury(region, data, InnerShareable);
    bury_full(region: Pair<'_>, data: &Data) -> bool = bury(region, data, FullSystem);
    look_full(region: Pair<'_>) -> Option<bool> = look(region);

    boot_inner(roll: Roll<'_>, word: &AtomicU32, data: &Data) -> bool =
        boot(roll, word, data, InnerShareable);
    boot_full(roll: Roll<'_>, word: &AtomicU32, data: &Data) -> bool =
        boot(roll, word, data, FullSystem);
    judge_inner(roll: Roll<'_>, word: &AtomicU32, data: &Data) -> bool =
        judge(roll, word, data, InnerShareable);
    judge_full(roll: Roll<'_>, word: &AtomicU32, data: &Data) -> bool =
        judge(roll, word, data, FullSystem);
    retire_inner(roll: Roll<'_>, data: &Data) -> bool = retire(roll, data, InnerShareable);
    retire_full(roll: Roll<'_>, data: &Data) -> bool = retire(roll, data, FullSystem);
}

/// Stands for the helper of Linux targets that chooses the form of a compare-and-swap at run time.
#[cfg(feature = "outline")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn __aarch64_cas4_relax(_expected: u32, _new: u32, _word: *mut u32) -> u32 {
    loop {}
}

/// Stands for the helper of an addition.
#[cfg(feature = "outline")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn __aarch64_ldadd4_relax(_addend: u32, _word: *mut u32) -> u32 {
    loop {}
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
