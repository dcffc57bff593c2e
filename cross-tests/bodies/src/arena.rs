//! Provides the members, their shared memory, and the barrier between steps.

use core::num::NonZeroU16;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use shmlock_core::wait::{Wait, WaitAction, WaitContext};
use shmlock_core::{Fence, Region, RegionLock, RegionMemory, Token};

use crate::ledger::Ledger;

/// The largest number of members of an arena.
pub const MEMBERS_MAX: usize = 8;

/// The phase of a member that panicked. The others panic instead of waiting for it.
const LOST: u32 = u32::MAX;

/// The number of retries before a wait panics. Arbitrary and large: emulated cores share the host's
/// cores and may stop for long.
const PATIENCE: u32 = 1 << 30;

/// The memory that the members share. Initially zero, so it can lie in `.bss`.
#[derive(Debug)]
pub struct Arena {
    memory: RegionMemory,
    /// The data that the lock protects.
    pub(crate) ledger: Ledger,
    phases: [AtomicU32; MEMBERS_MAX],
}

impl Arena {
    /// Returns an arena without members.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            memory: RegionMemory::new(),
            ledger: Ledger::new(),
            phases: [const { AtomicU32::new(0) }; MEMBERS_MAX],
        }
    }

    /// Returns the member `index`, from 0, of `members`. Its waits call `relax`: a spin hint on
    /// cores, a yield among threads.
    ///
    /// # Panics
    /// If `index` or `members` is too large.
    #[must_use]
    pub fn member(&self, index: u32, members: u32, relax: fn()) -> Member<'_> {
        assert!(index < members && members as usize <= MEMBERS_MAX);
        let (phases, _) = self.phases.split_at(members as usize);
        Member { arena: self, phases, index, members, relax }
    }
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

/// One core, task or thread.
#[derive(Debug)]
pub struct Member<'a> {
    pub(crate) arena: &'a Arena,
    /// The number of barriers that each member has reached. Each member writes its own.
    phases: &'a [AtomicU32],
    index: u32,
    members: u32,
    relax: fn(),
}

impl<'a> Member<'a> {
    /// Returns the index of this member, from 0.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Returns the number of members.
    #[must_use]
    pub fn members(&self) -> u32 {
        self.members
    }

    /// Returns `true` for the member that does the steps of one member.
    pub(crate) fn is_first(&self) -> bool {
        self.index == 0
    }

    /// Waits until every member has arrived. All previous stores are visible to all members
    /// afterwards.
    ///
    /// It uses loads and stores only, because the compare-and-swap is under test.
    ///
    /// # Panics
    /// If a member has panicked or does not arrive.
    pub fn barrier(&self) {
        let phase = self.arrive();
        self.until("the others reach the barrier", || self.all_at(phase));
    }

    /// Arrives at a barrier, and returns its phase for [`all_at`](Self::all_at).
    pub(crate) fn arrive(&self) -> u32 {
        let mine = self.mine();
        // No partner. Relaxed: only this member writes it.
        let phase = mine.load(Relaxed) + 1;
        // Partner: the load in `all_at` by the others, which then see our previous stores.
        mine.store(phase, Release);
        phase
    }

    /// Returns `true` if all members have reached the phase.
    pub(crate) fn all_at(&self, phase: u32) -> bool {
        self.phases.iter().all(|other| {
            // Partner: the store in `arrive`; the other's previous stores are visible.
            let theirs = other.load(Acquire);
            assert_ne!(theirs, LOST, "another member has panicked");
            theirs >= phase
        })
    }

    fn mine(&self) -> &AtomicU32 {
        &self.phases[self.index as usize]
    }

    /// Waits until a condition is true.
    pub(crate) fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        for _ in 0..PATIENCE {
            if condition() {
                return;
            }
            (self.relax)();
        }
        panic!("member {} stopped waiting until {what}", self.index);
    }

    /// Ends a member after its last body.
    pub fn leave(self) {
        self.barrier();
        core::mem::forget(self);
    }

    /// Returns the token of a member.
    pub(crate) fn token(index: u32) -> Token {
        Token::from_static(Self::number(index))
    }

    fn number(index: u32) -> NonZeroU16 {
        u16::try_from(index + 1).ok().and_then(NonZeroU16::new).expect("few members")
    }

    pub(crate) fn region(&self) -> Region<'a> {
        Region::new(&self.arena.memory).expect("an arena has a valid region")
    }

    /// Returns a handle of this member. Use one at a time: all have the same token.
    pub(crate) fn lock(&self) -> RegionLock<'a> {
        RegionLock::new(self.region(), Self::number(self.index))
    }

    pub(crate) fn lock_with<F: Fence>(&self, fence: F) -> RegionLock<'a, F> {
        RegionLock::with_fence(self.region(), Self::number(self.index), fence)
    }

    /// Waits by `relax`, and gives up after [`PATIENCE`] retries.
    pub(crate) fn patience(&self) -> impl Wait + use<> {
        Patience { relax: self.relax }
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        self.mine().store(LOST, Release); // partner: the load in `all_at`
    }
}

struct Patience {
    relax: fn(),
}

impl Wait for Patience {
    fn wait(&mut self, contention: &mut WaitContext<'_>) -> WaitAction {
        (self.relax)();
        if contention.attempt() < PATIENCE { WaitAction::Retry } else { WaitAction::GiveUp }
    }
}
