//! Implements the handle of a core that counts its boots.

use super::RegionLock;
use crate::contend::Liveness;
use crate::epoch_region::EpochRegion;
use crate::error::Error;
use crate::fence::{Fence, InnerShareable};
use crate::layout::EPOCH_MAGIC;
use crate::protocol::Wake;
use crate::roll::Boot;
use crate::sync::Relaxed;

impl<'a> RegionLock<'a> {
    /// Returns the handle of this core for its present boot. It holds nothing yet.
    ///
    /// If an earlier boot left the lock held, it is free now, DIED is set, and
    /// [`owes_wake`](Self::owes_wake) answers for the waiters. So the next owner is told, this
    /// handle or another; no other handle need recover from the earlier boot.
    ///
    /// **One handle a region and boot**: another one would take the hold of the first for that of
    /// an earlier boot. Never blocks.
    ///
    /// # Examples
    /// ```
    /// use shmlock_core::roll::{Roll, RollMemory, Slot};
    /// use shmlock_core::{EpochRegion, RegionLock, RegionMemory};
    ///
    /// static SHARED: RegionMemory = RegionMemory::new();
    /// static ROLL: RollMemory<1> = RollMemory::new();
    /// const THIS_CORE: Slot = Slot::new(1).unwrap();
    ///
    /// /// Runs at each start of the core.
    /// fn start() -> Result<RegionLock<'static>, shmlock_core::Error> {
    ///     let boot = Roll::from_static(&ROLL)?.begin_boot(THIS_CORE)?;
    ///     Ok(RegionLock::for_boot(EpochRegion::from_static(&SHARED)?, &boot))
    /// }
    ///
    /// let first = start()?;
    /// core::mem::forget(first.try_lock()?); // the core is reset in its critical section
    /// let second = start()?;
    /// let guard = second.try_lock()?.ok_or(shmlock_core::Error::NotHeld)?;
    /// assert!(guard.owner_died());
    /// # Ok::<(), shmlock_core::Error>(())
    /// ```
    #[must_use]
    pub fn for_boot(region: EpochRegion<'a>, boot: &Boot) -> Self {
        Self::for_boot_with_fence(region, boot, InnerShareable)
    }
}

impl<'a, F: Fence> RegionLock<'a, F> {
    /// Returns a handle as [`for_boot`](RegionLock::for_boot) does, with another scope of the
    /// fences: that of the roll.
    #[must_use]
    pub fn for_boot_with_fence(region: EpochRegion<'a>, boot: &Boot, fence: F) -> Self {
        let lock = Self::of_contender(region.region(), boot.id().token(), fence);
        lock.wake(region.recover_former_boot(boot, fence).unwrap_or(Wake::None));
        lock
    }

    /// Returns `true` if the static tokens of the region are of boots, so that
    /// [`BootLiveness`](crate::roll::BootLiveness) can judge its owners. Never blocks.
    #[must_use]
    pub fn has_epoch_tokens(&self) -> bool {
        // Partner: `Region::mark`. Relaxed: the word was checked when the region was made, and
        // orders nothing.
        self.region.words().magic.load(Relaxed) == EPOCH_MAGIC
    }

    /// Checks that a proof of this kind can judge the owners of this region.
    #[inline]
    pub(super) fn check_proof<L: Liveness>(&self, _: &L) -> Result<(), Error> {
        if L::JUDGES_BOOTS && !self.has_epoch_tokens() {
            return Err(Error::PlainTokens);
        }
        Ok(())
    }
}
