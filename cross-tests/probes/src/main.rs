//! Small functions whose machine code is looked at. They are linked and never run.
//!
//! Each takes the lock, touches one word of the section, and gives the lock back, or does one of the other things for
//! which `shmlock-core` calls a fence. `check/` knows them by the first part of their names, and which barriers to
//! expect by the last: `inner` and `full` are the two scopes, `chosen` leaves the scope to be seen at run time.

#![no_std]
#![no_main]
#![allow(clippy::no_mangle_with_rust_abi, reason = "found by name, called by nobody")]
#![allow(clippy::inline_always, reason = "the checker follows one function at a time best")]

use core::convert::Infallible;
use core::panic::PanicInfo;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;

use shmlock_core::fence::{Fence, FullSystem, InnerShareable};
use shmlock_core::layout::REGION_LEN;
use shmlock_core::protocol::{self, Attempt, Wake};
use shmlock_core::snapshot::snapshot;
use shmlock_core::{EncodedRecord, FenceScope, Record, Region, RegionLock, RegionMemory, Token};

/// What the lock protects. The word that is touched lies so far out that no other access has its offset (1204 bytes).
pub struct Data([AtomicU32; 302]);

impl Data {
    #[inline(always)]
    fn touch(&self, more: u32) {
        let [.., word] = &self.0;
        // Relaxed: a plain load and a plain store. The probes are about what stands around them.
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
    data.touch(1);
    protocol::release(word, me, fence).is_ok()
}

/// The same as [`steps`] with a scope that happens to be known; another number, lest the compiler make them one.
#[inline(always)]
fn constant(word: &AtomicU32, me: Token, data: &Data, fence: FenceScope) -> bool {
    let Ok(_) = protocol::try_acquire(word, me, Attempt::First, fence) else { return false };
    data.touch(2);
    protocol::release(word, me, fence).is_ok()
}

/// What an undisturbed lock does instead of [`steps`].
#[inline(always)]
fn undisturbed(word: &AtomicU32, me: Token, data: &Data, fence: impl Fence) -> bool {
    if !protocol::try_acquire_fast(word, me, fence) {
        return false;
    }
    data.touch(1);
    protocol::release_fast(word, me, fence).is_ok()
}

/// What one does who has slept, and gives the lock to whoever is awake; if there is somebody.
#[inline(always)]
fn passed(word: &AtomicU32, me: Token, data: &Data, fence: impl Fence) -> bool {
    let Ok(_) = protocol::try_acquire(word, me, Attempt::AfterWaiting, fence) else { return false };
    data.touch(1);
    protocol::release_without_wake(word, me, fence).is_ok() && protocol::claim_wake(word) == Wake::One
}

#[inline(always)]
fn recover(word: &AtomicU32, dead: Token, me: Token, data: &Data, fence: impl Fence) -> bool {
    let Some(_) = protocol::take_over(word, dead, me, fence) else { return false };
    data.touch(1);
    protocol::abandon(word, me, fence).is_ok()
}

#[inline(always)]
fn stale(word: &AtomicU32, me: Token, data: &Data, fence: impl Fence) -> bool {
    data.touch(1);
    protocol::declare_stale(word, me, fence).is_some()
}

#[inline(always)]
fn region<F: Fence>(lock: &RegionLock<'_, F>, data: &Data) -> bool {
    let Ok(Some(_guard)) = lock.try_lock() else { return false };
    data.touch(1);
    true
}

/// One load of the section stands for a copy of the region.
#[inline(always)]
fn copied(data: &Data, fence: impl Fence) -> Option<RegionMemory> {
    let copy = || {
        let [byte, ..] = data.read().to_le_bytes();
        Ok::<_, Infallible>([byte; REGION_LEN])
    };
    snapshot(fence, copy).ok()
}

/// A probe: a function of its own, found by its name.
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
    steps_inner(word: &AtomicU32, me: Token, data: &Data) -> bool = steps(word, me, data, InnerShareable);
    steps_full(word: &AtomicU32, me: Token, data: &Data) -> bool = steps(word, me, data, FullSystem);
    steps_chosen(word: &AtomicU32, me: Token, data: &Data, scope: FenceScope) -> bool = steps(word, me, data, scope);
    constant_inner(word: &AtomicU32, me: Token, data: &Data) -> bool =
        constant(word, me, data, FenceScope::InnerShareable);
    constant_full(word: &AtomicU32, me: Token, data: &Data) -> bool = constant(word, me, data, FenceScope::FullSystem);

    undisturbed_inner(word: &AtomicU32, me: Token, data: &Data) -> bool = undisturbed(word, me, data, InnerShareable);
    undisturbed_full(word: &AtomicU32, me: Token, data: &Data) -> bool = undisturbed(word, me, data, FullSystem);
    undisturbed_chosen(word: &AtomicU32, me: Token, data: &Data, scope: FenceScope) -> bool =
        undisturbed(word, me, data, scope);
    passed_inner(word: &AtomicU32, me: Token, data: &Data) -> bool = passed(word, me, data, InnerShareable);
    passed_full(word: &AtomicU32, me: Token, data: &Data) -> bool = passed(word, me, data, FullSystem);
    passed_chosen(word: &AtomicU32, me: Token, data: &Data, scope: FenceScope) -> bool = passed(word, me, data, scope);

    recover_inner(word: &AtomicU32, dead: Token, me: Token, data: &Data) -> bool =
        recover(word, dead, me, data, InnerShareable);
    recover_full(word: &AtomicU32, dead: Token, me: Token, data: &Data) -> bool =
        recover(word, dead, me, data, FullSystem);
    stale_inner(word: &AtomicU32, me: Token, data: &Data) -> bool = stale(word, me, data, InnerShareable);
    stale_full(word: &AtomicU32, me: Token, data: &Data) -> bool = stale(word, me, data, FullSystem);

    region_inner(lock: &RegionLock<'_, InnerShareable>, data: &Data) -> bool = region(lock, data);
    region_full(lock: &RegionLock<'_, FullSystem>, data: &Data) -> bool = region(lock, data);
    region_chosen(lock: &RegionLock<'_, FenceScope>, data: &Data) -> bool = region(lock, data);

    count_inner(region: Region<'_>) -> () = region.count_acquisition(InnerShareable);
    count_full(region: Region<'_>) -> () = region.count_acquisition(FullSystem);
    write_inner(region: Region<'_>, me: Token, record: &EncodedRecord) -> () = region.write_encoded(me, record, 7, InnerShareable);
    write_full(region: Region<'_>, me: Token, record: &EncodedRecord) -> () = region.write_encoded(me, record, 7, FullSystem);
    read_inner(region: Region<'_>, owner: Token) -> Option<Record> = region.record_of(owner, InnerShareable);
    read_full(region: Region<'_>, owner: Token) -> Option<Record> = region.record_of(owner, FullSystem);
    snapshot_inner(data: &Data) -> Option<RegionMemory> = copied(data, InnerShareable);
    snapshot_full(data: &Data) -> Option<RegionMemory> = copied(data, FullSystem);
}

/// What Linux targets call for a compare-and-swap, to choose its form at run time. Never run, as everything here.
#[cfg(feature = "outline")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn __aarch64_cas4_relax(_expected: u32, _new: u32, _word: *mut u32) -> u32 {
    loop {}
}

/// Likewise, for an addition.
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
