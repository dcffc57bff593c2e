//! Where the bodies meet: the memory they share, who takes part, and the barrier between steps.

use core::num::NonZeroU16;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use shmlock_core::wait::{Wait, WaitAction, WaitContext};
use shmlock_core::{Fence, Region, RegionLock, RegionMemory, Token};

use crate::ledger::Ledger;

/// How many members an arena has room for.
pub const MEMBERS_MAX: usize = 8;

/// The phase of a member that panicked: others must not wait for it.
const LOST: u32 = u32::MAX;

/// How often a member looks before it takes the others for stuck. Emulated cores share the host's,
/// so they may stand still for long; a whole body needs a thousandth of this.
const PATIENCE: u32 = 1 << 30;

/// Everything that the members share. All zero at first, so it may stand in `.bss`.
#[derive(Debug)]
pub struct Arena {
    memory: RegionMemory,
    /// What the lock protects.
    pub(crate) ledger: Ledger,
    phases: [AtomicU32; MEMBERS_MAX],
}

impl Arena {
    /// An arena that nobody has entered yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            memory: RegionMemory::new(),
            ledger: Ledger::new(),
            phases: [const { AtomicU32::new(0) }; MEMBERS_MAX],
        }
    }

    /// The member `index` of `members`, counted from 0. `relax` is called while it waits: a spin
    /// hint on cores of one's own, the scheduler where threads share some.
    ///
    /// # Panics
    /// If there is no room for so many.
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
    /// How many barriers each member has reached; each writes its own.
    phases: &'a [AtomicU32],
    index: u32,
    members: u32,
    relax: fn(),
}

impl<'a> Member<'a> {
    /// Which one this is, from 0.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// How many there are.
    #[must_use]
    pub fn members(&self) -> u32 {
        self.members
    }

    /// Whether this one does what only one does.
    pub(crate) fn leads(&self) -> bool {
        self.index == 0
    }

    /// Waits until every member is here. What each did before it is visible to all after it.
    ///
    /// It uses loads and stores only: it must work where the compare-and-swap under test does not.
    ///
    /// # Panics
    /// If a member has panicked, or does not come.
    pub fn barrier(&self) {
        let phase = self.arrive();
        self.until("the others reach the barrier", || self.all_at(phase));
    }

    /// The first half of a barrier: says that this member is here.
    pub(crate) fn arrive(&self) -> u32 {
        let mine = self.mine();
        // Partner: nobody; only this member writes it. Relaxed: our own last store.
        let phase = mine.load(Relaxed) + 1;
        mine.store(phase, Release); // partner: the load in `all_at` of the others, who then see what we did before
        phase
    }

    /// The second half: whether all are.
    pub(crate) fn all_at(&self, phase: u32) -> bool {
        self.phases.iter().all(|other| {
            let theirs = other.load(Acquire); // partner: the store in `arrive`; what they did before is visible
            assert_ne!(theirs, LOST, "another member has panicked");
            theirs >= phase
        })
    }

    fn mine(&self) -> &AtomicU32 {
        &self.phases[self.index as usize]
    }

    /// Waits until something is so.
    pub(crate) fn until(&self, what: &str, mut so: impl FnMut() -> bool) {
        for _ in 0..PATIENCE {
            if so() {
                return;
            }
            (self.relax)();
        }
        panic!("member {} waited in vain until {what}", self.index);
    }

    /// Ends a member whose bodies have all run.
    pub fn leave(self) {
        self.barrier();
        core::mem::forget(self);
    }

    /// The token of a member.
    pub(crate) fn token(index: u32) -> Token {
        Token::from_static(Self::number(index))
    }

    fn number(index: u32) -> NonZeroU16 {
        u16::try_from(index + 1).ok().and_then(NonZeroU16::new).expect("few members")
    }

    pub(crate) fn region(&self) -> Region<'a> {
        Region::new(&self.arena.memory).expect("nobody else writes to the arena")
    }

    /// A handle of this member. One at a time: all of them have its token.
    pub(crate) fn lock(&self) -> RegionLock<'a> {
        RegionLock::new(self.region(), Self::number(self.index))
    }

    pub(crate) fn lock_with<F: Fence>(&self, fence: F) -> RegionLock<'a, F> {
        RegionLock::with_fence(self.region(), Self::number(self.index), fence)
    }

    /// Waits as the platform does, and gives up when all hope is lost.
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
