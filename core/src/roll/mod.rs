//! Defines the roll: one counter of boots for each core, so that a restart proves a death.
//!
//! A core with a plain static token has the same token after a reset. A waiter that has seen the
//! core dead may rob the core that has come back. An **epoch token** is of one boot only: it
//! consists of the [`Slot`] of a core and of the low ten bits of the number of its boot. The roll
//! lies beside the regions of the locks, one for all of them, and says which boot of each slot is
//! the present one. It needs loads, stores and fences only.
//!
//! # Layout, version 1
//!
//! | offset | word | written by |
//! |---:|---|---|
//! | 0, 4 | reserved, zero | nothing |
//! | 8 | magic: the bytes `S`, `H`, `R`, and the version | each party, the same value |
//! | 12 | reserved, zero | nothing |
//! | 8·s + 8 | boots: the number of the present boot of slot s, 0 = none yet | the core of slot s |
//! | 8·s + 12 | retired: the last boot declared over, 0 = none | the supervisor of slot s |
//!
//! All words are little-endian, of 32 bits. **All zero is a valid roll.** Each word of a slot has
//! one writer. A roll of n slots has 16 + 8·n bytes, 520 at most. The magic word stands where that
//! of a lock does: each refuses the memory of the other.
//!
//! *Retired* names a boot and does not count. The core may be started while its supervisor stands
//! between its last look and its store. The store then names the boot before, and says nothing of
//! the present one; a sum of two counters would declare the living boot over.
//!
//! # Begin a boot, step by step
//!
//! Once for each start of a core, before it uses a lock ([`Roll::begin_boot`]):
//!
//! 1. Read *boots*. *If we die here:* nothing happened.
//! 2. Release fence. Store *boots* + 1. *If we die here:* the boot before is proven over, and this
//!    one has done nothing.
//! 3. Release fence. *If we die here:* as above.
//! 4. At each region: if the owner word names our slot, whatever the epoch, swap `t [W] [D]` for
//!    `0 D`, and count a recovery (`EpochRegion::recover_former_boot`). *If we die before:* any
//!    waiter with the roll takes over, or our next boot frees the word. *If we die here:* the lock
//!    is free, and its next owner is told.
//!
//! # Retire a boot, step by step
//!
//! For a core that never comes back, by its supervisor ([`Roll::last_boot`], [`Roll::retire`]):
//!
//! 1. Read *boots*.
//! 2. Find that the core does not run now. So the boot of step 1 is over, whatever happens later.
//! 3. Release fence. Store the number of step 1 in *retired*. *If we die before:* nothing happened.
//!
//! # Judge a token, step by step
//!
//! After the owner word has been read ([`Roll::is_over`], [`BootLiveness`]):
//!
//! 1. Acquire fence. Without it the roll may be older than the word, and the present boot of a core
//!    would be taken for a former one.
//! 2. Read *boots* and *retired* of the slot, in any order: each says only what stays true.
//! 3. The owner is dead if its epoch is of an earlier boot, or of the present boot and *retired*
//!    names that. An epoch that the slot has not had yet is no proof.
//!
//! # Limits
//!
//! * The epoch repeats after 1024 boots. A waiter that is stopped between its look at the roll and
//!   its swap, for exactly 1024 boots of one core, robs that core.
//! * If a dead owner's core begins exactly 1024 boots without a look at that region, the owner
//!   looks alive until the core begins another one, or attaches to the region.
//! * After 2^32 - 1 boots of one slot *boots* goes on from 1. Owners from before are no longer
//!   proven dead by others, only by their own core.
//! * A roll that is cleared while its regions are in use begins at 1 again. No living owner looks
//!   dead then, but tokens come back earlier: see [`RollMemory`].

mod boot;
mod liveness;
mod memory;
mod resume;
mod words;

use core::fmt;

use crate::error::Error;
use crate::fence::{Fence, InnerShareable};
use crate::sync::Relaxed;
use crate::token::Token;

pub use boot::{Boot, BootId, EPOCHS, Slot};
pub use liveness::BootLiveness;
pub use memory::RollMemory;

use words::SlotWords;

/// The boot counters of all cores that share some locks. A copyable reference.
///
/// None of its functions blocks, allocates or panics, whatever the memory contains; all are
/// async-signal-safe.
///
/// # Examples
/// ```
/// use shmlock_core::fence::FullSystem;
/// use shmlock_core::roll::{BootLiveness, Roll, RollMemory, Slot};
/// use shmlock_core::{EpochRegion, RegionLock, RegionMemory, wait::Spin};
///
/// // Shared memory that no start-up code clears. Here the parties are tasks of one program.
/// static SHARED: RegionMemory = RegionMemory::new();
/// static ROLL: RollMemory<2> = RollMemory::new();
/// const MOTOR: Slot = Slot::new(1).unwrap();
/// const RADIO: Slot = Slot::new(2).unwrap();
///
/// let roll = Roll::from_static(&ROLL)?.with_fence(FullSystem);
/// let region = EpochRegion::from_static(&SHARED)?;
///
/// let motor = RegionLock::for_boot_with_fence(region, &roll.begin_boot(MOTOR)?, FullSystem);
/// core::mem::forget(motor.try_lock()?); // the core is reset in its critical section
///
/// let radio = RegionLock::for_boot_with_fence(region, &roll.begin_boot(RADIO)?, FullSystem);
/// let mut liveness = BootLiveness::new(roll);
/// assert!(radio.lock_or_recover(&mut Spin::attempts(100), &mut liveness).is_err());
///
/// let _second = roll.begin_boot(MOTOR)?; // it comes back
/// let guard = radio.lock_or_recover(&mut Spin::attempts(100), &mut liveness)?;
/// assert!(guard.owner_died());
/// # Ok::<(), shmlock_core::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Roll<'a, F: Fence = InnerShareable> {
    slots: &'a [SlotWords],
    fence: F,
}

impl<'a> Roll<'a> {
    fn of_slots(slots: &'a [SlotWords]) -> Self {
        Self { slots, fence: InnerShareable }
    }
}

impl<'a, F: Fence> Roll<'a, F> {
    /// Returns the same roll with another scope of the fences. All parties need the scope that the
    /// locks have.
    #[must_use]
    pub const fn with_fence<G: Fence>(self, fence: G) -> Roll<'a, G> {
        Roll { slots: self.slots, fence }
    }

    /// Returns the largest slot of this roll.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "63 at most, by the constructors")]
    pub const fn slots(self) -> u8 {
        self.slots.len() as u8
    }

    fn slot(self, slot: Slot) -> Result<&'a SlotWords, Error> {
        let no_such_slot = Error::NoSuchSlot { slot: slot.get(), slots: self.slots() };
        self.slots.get(slot.index()).ok_or(no_such_slot)
    }

    /// Counts a boot of the core of this slot, and returns it. From then on the boots before are
    /// proven over.
    ///
    /// **Each start of a core calls this once, before it uses a lock; and no other party for it.**
    /// A core that calls it twice declares its own handles dead, and two owners are possible. Pass
    /// the boot to [`RegionLock::for_boot`](crate::RegionLock::for_boot) for each region.
    ///
    /// # Errors
    /// [`Error::NoSuchSlot`].
    pub fn begin_boot(self, slot: Slot) -> Result<Boot, Error> {
        let boots = &self.slot(slot)?.boots;
        // Partner: the store below by the boot before, which is over. Relaxed: one writer.
        let present = BootId::after(slot, boots.load(Relaxed));
        // Pairs with `acquire` in `take_over`: a waiter that sees this count, and recovers, sees
        // what the boot before wrote.
        self.fence.release();
        boots.store(present.number(), Relaxed); // partner: `is_over`
        // Pairs with `acquire` in `is_over`: a waiter that sees this boot's token in an owner word
        // sees this count.
        self.fence.release();
        Ok(Boot::begun(present))
    }

    /// Returns the present boot of a slot, or its last one if its core does not run; `None` if none
    /// has begun.
    ///
    /// # Errors
    /// [`Error::NoSuchSlot`].
    pub fn last_boot(self, slot: Slot) -> Result<Option<BootId>, Error> {
        // Partner: `begin_boot` by the core. Relaxed: the supervisor looks at the core itself next.
        Ok(BootId::new(slot, self.slot(slot)?.boots.load(Relaxed)))
    }

    /// Declares a boot over, for a core that does not come back by itself. A boot that is begun
    /// later lives all the same.
    ///
    /// **The caller has called [`last_boot`](Self::last_boot) first, and then found that the core
    /// does not run**: it is held in reset, its power is off, its clock is stopped for good. One
    /// supervisor a slot. An error of the supervisor makes two owners possible.
    ///
    /// # Errors
    /// [`Error::NoSuchSlot`].
    pub fn retire(self, boot: BootId) -> Result<(), Error> {
        let retired = &self.slot(boot.slot())?.retired;
        // Pairs with `acquire` in `take_over`: a waiter that sees this store, and recovers, sees
        // what the core wrote.
        self.fence.release();
        retired.store(boot.number(), Relaxed); // partner: `is_over`
        Ok(())
    }

    /// Returns `true` if the roll proves that the boot with this token is over. The caller has read
    /// the token in an owner word.
    ///
    /// `false` for a token of another kind, a slot that the roll does not have, and an epoch that
    /// the slot has not had yet: in doubt an owner is alive.
    #[must_use]
    pub fn is_over(self, owner: Token) -> bool {
        let Some((slot, epoch)) = Slot::of_token(owner) else { return false };
        let Ok(words) = self.slot(slot) else { return false };
        // Pairs with the second `release` in `begin_boot`: the count is no older than the token.
        self.fence.acquire();
        // Partners: `begin_boot`, `retire`. Relaxed: `take_over` has the fence for what they prove.
        let boots = words.boots.load(Relaxed);
        let retired = words.retired.load(Relaxed);
        boot::is_over(epoch, boots, retired)
    }
}

impl<F: Fence> fmt::Debug for Roll<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roll").field("slots", &self.slots()).finish_non_exhaustive()
    }
}
