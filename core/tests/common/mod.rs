//! Shared by several test files: raw memory as bytes, pseudo-random numbers, words and tokens worth
//! trying.

#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(
    unsafe_code,
    reason = "raw addresses as a peer outside Rust has them, and data that only a lock protects"
)]

pub(crate) mod foreign;
pub(crate) mod records;

use core::cell::UnsafeCell;
use core::fmt::Debug;
use core::num::NonZeroU16;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;
use std::thread;

use shmlock_core::contend::Liveness;
use shmlock_core::layout::REGION_LEN;
use shmlock_core::protocol::{Acquisition, Wake};
use shmlock_core::roll::Roll;
use shmlock_core::wait::{Wait, WaitAction, WaitContext};
use shmlock_core::{AtomicU32, EpochRegion, Error, Fence, Region, RegionGuard, RegionLock, Token};

// Written out a second time on purpose: other programs agree on these bits, whatever `word.rs`
// says.
pub(crate) const WAITERS: u32 = 1 << 31;
pub(crate) const DIED: u32 = 1 << 30;
pub(crate) const RESERVED: u32 = (1 << 30) - 1;
pub(crate) const FLAGS: [u32; 4] = [0, WAITERS, DIED, WAITERS | DIED];

pub(crate) const fn token_part(bits: u32) -> u32 {
    bits & RESERVED
}

pub(crate) const fn flags(bits: u32) -> u32 {
    bits & !RESERVED
}

/// Returns how often to repeat something. Miri is slow, and finds more in one round.
pub(crate) const fn rounds(many: u32) -> u32 {
    if cfg!(miri) { 8 + many / 1_000 } else { many }
}

/// The step through a series: undefined behaviour with one length or version is so with others.
pub(crate) const STRIDE: usize = if cfg!(miri) { 16 } else { 1 };

/// Returns the token with this number, whatever its range.
pub(crate) fn token(number: u32) -> Token {
    Token::try_from(number).expect("a word can name it")
}

pub(crate) const fn number(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).expect("not zero")
}

/// Splitmix64: the same numbers in each run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn long(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn word(&mut self) -> u32 {
        (self.long() >> 32) as u32
    }

    pub(crate) fn below(&mut self, end: u32) -> u32 {
        self.word() % end
    }

    pub(crate) fn bytes(&mut self) -> [u8; REGION_LEN] {
        core::array::from_fn(|_| self.long().to_le_bytes()[7])
    }
}

/// Returns token parts at every border of a range, and pseudo-random ones between.
pub(crate) fn token_parts() -> Vec<u32> {
    let mut parts = vec![0, 1, 2, 65_535, 65_536, 65_537, RESERVED - 1, RESERVED];
    let mut random = Random(1);
    parts.extend((0..rounds(24)).map(|_| token_part(random.word())));
    parts
}

/// Returns each token part under each combination of flags.
pub(crate) fn words() -> Vec<u32> {
    token_parts().iter().flat_map(|part| FLAGS.map(|flags| part | flags)).collect()
}

/// Returns every token among [`token_parts`], the reserved one included.
pub(crate) fn tokens() -> Vec<Token> {
    token_parts().into_iter().filter(|&part| part != 0).map(token).collect()
}

/// Runs a step on a word, and checks the word afterwards and the answer of the step.
#[allow(clippy::needless_pass_by_value, reason = "answers are written in place")]
pub(crate) fn check<R: PartialEq + Debug>(
    before: u32,
    step: impl FnOnce(&AtomicU32) -> R,
    after: u32,
    answer: R,
) {
    let word = AtomicU32::new(before);
    assert_eq!(step(&word), answer, "answer from {before:#010x}");
    assert_eq!(word.load(Relaxed), after, "word after the step from {before:#010x}");
}

pub(crate) fn wake_owed_by(bits: u32) -> Wake {
    if bits & WAITERS == 0 { Wake::None } else { Wake::One }
}

pub(crate) fn found_free(bits: u32) -> Acquisition {
    Acquisition { owner_died: bits & DIED != 0, recovered_from: None }
}

/// Acquires a lock that is free, or that the handle holds or held before a restart.
pub(crate) fn take<'l, 'a, F: Fence>(lock: &'l RegionLock<'a, F>) -> RegionGuard<'l, 'a, F> {
    lock.try_lock().expect("no error").expect("not held by another")
}

/// Tries the lock; returns `true` if another holds it. A lock that is acquired is released again.
pub(crate) fn is_refused<F: Fence>(lock: &RegionLock<'_, F>) -> bool {
    lock.try_lock().expect("no error").is_none()
}

/// Waiting by a closure.
pub(crate) struct WaitBy<W>(pub(crate) W);

impl<W: FnMut(&mut WaitContext<'_>) -> WaitAction> Wait for WaitBy<W> {
    fn wait(&mut self, context: &mut WaitContext<'_>) -> WaitAction {
        (self.0)(context)
    }
}

/// Returns a wait that asks for this many probes.
pub(crate) fn probing(attempts: u32) -> impl Wait {
    let mut attempts = 0..attempts;
    WaitBy(move |_: &mut WaitContext<'_>| {
        attempts.next().map_or(WaitAction::GiveUp, |_| WaitAction::Probe)
    })
}

/// Returns a wait that does as a shell does: sets WAITERS, lets others run, asks for a probe. It
/// gives up only after some minutes, so that a lock that is never released is a failure and not a
/// hang.
pub(crate) fn patient() -> impl Wait {
    WaitBy(|context: &mut WaitContext<'_>| match context.set_waiters() {
        _ if context.attempt() > 200_000_000 => WaitAction::GiveUp,
        Ok(_) => {
            // Mostly spinning, so that contenders reach the word in the same instant.
            if context.attempt() % 32 == 31 {
                thread::yield_now();
            } else {
                core::hint::spin_loop();
            }
            WaitAction::Probe
        }
        Err(_) => WaitAction::Retry,
    })
}

/// Proof of death by a closure, which gets the owner. It runs before the proof is used.
pub(crate) struct ProofBy<L>(pub(crate) L);

impl<L: FnMut(Token) -> bool> Liveness for ProofBy<L> {
    fn while_dead<R>(&mut self, owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        (self.0)(owner).then(act)
    }
}

/// A number that only the lock under test protects: two owners at once lose changes, and Miri
/// reports the race.
pub(crate) struct Protected(UnsafeCell<u64>);

// SAFETY:
// - the only access to the cell is `update`, whose callers hold the lock.
unsafe impl Sync for Protected {}

impl Protected {
    pub(crate) fn zero() -> Self {
        Self(UnsafeCell::new(0))
    }

    /// Changes the number; returns the old one.
    ///
    /// # Safety
    /// The caller holds the lock that protects it.
    pub(crate) unsafe fn update(&self, change: impl FnOnce(u64) -> u64) -> u64 {
        // SAFETY:
        // - no other access to the cell now: promised by the caller.
        let number = unsafe { &mut *self.0.get() };
        let changed = change(*number);
        core::mem::replace(number, changed)
    }

    pub(crate) fn into_inner(self) -> u64 {
        self.0.into_inner()
    }
}

/// The bytes of a region and some more, as from outside Rust.
#[repr(C, align(64))]
pub(crate) struct RawMemory {
    words: [AtomicU32; 48],
}

impl RawMemory {
    pub(crate) const fn zeroed() -> Self {
        Self { words: [const { AtomicU32::new(0) }; 48] }
    }

    pub(crate) fn holding(bytes: &[u8; REGION_LEN]) -> Self {
        let memory = Self::zeroed();
        memory.put(0, bytes);
        memory
    }

    /// Returns the word at a byte offset.
    pub(crate) fn word(&self, offset: usize) -> &AtomicU32 {
        &self.words[offset / 4]
    }

    pub(crate) fn set(&self, offset: usize, value: u32) {
        self.word(offset).store(value, Relaxed);
    }

    pub(crate) fn get(&self, offset: usize) -> u32 {
        self.word(offset).load(Relaxed)
    }

    /// Writes whole words at a byte offset.
    pub(crate) fn put(&self, offset: usize, bytes: &[u8]) {
        for (index, bytes) in bytes.chunks_exact(4).enumerate() {
            self.set(offset + 4 * index, u32::from_ne_bytes(bytes.try_into().expect("four bytes")));
        }
    }

    /// Returns the first 128 bytes in the order of their addresses.
    pub(crate) fn bytes(&self) -> [u8; REGION_LEN] {
        let mut bytes = [0; REGION_LEN];
        for (bytes, word) in bytes.chunks_exact_mut(4).zip(&self.words) {
            bytes.copy_from_slice(&word.load(Relaxed).to_ne_bytes());
        }
        bytes
    }

    /// Opens a region of `len` bytes, `offset` bytes into this memory.
    pub(crate) fn region_at(&self, offset: usize, len: usize) -> Result<Region<'_>, Error> {
        assert!(offset + len <= size_of_val(&self.words));
        let start = NonNull::from(&self.words).cast::<u8>();
        let address = NonNull::new(start.as_ptr().wrapping_add(offset)).expect("inside the array");
        // SAFETY:
        // - `len` bytes from `address` on lie inside `self.words`, which the result borrows.
        // - They are `AtomicU32`: accessed only by atomic operations of 32 bits, and no other
        //   reference to them exists.
        unsafe { Region::from_raw(address, len) }
    }

    pub(crate) fn region(&self) -> Region<'_> {
        self.region_at(0, REGION_LEN).expect("a lock, or untouched")
    }

    /// Opens the first 128 bytes as a region whose static tokens are of boots.
    pub(crate) fn epoch_region(&self) -> Result<EpochRegion<'_>, Error> {
        // SAFETY: as in `region_at`.
        unsafe { EpochRegion::from_raw(NonNull::from(&self.words).cast(), REGION_LEN) }
    }

    /// Opens a roll of `len` bytes, `offset` bytes into this memory.
    pub(crate) fn roll_at(&self, offset: usize, len: usize) -> Result<Roll<'_>, Error> {
        assert!(offset + len <= size_of_val(&self.words));
        let start = NonNull::from(&self.words).cast::<u8>();
        let address = NonNull::new(start.as_ptr().wrapping_add(offset)).expect("inside the array");
        // SAFETY: as in `region_at`.
        unsafe { Roll::from_raw(address, len) }
    }
}
