//! Makes the region and the roll of processors that count their boots, in a [`PhysicalRegion`].

#![allow(unsafe_code, reason = "the caller promises what the memory is")]

use shmlock_core::EpochRegion;
use shmlock_core::fence::FullSystem;
use shmlock_core::roll::Roll;

use super::error::PhysicalError;
use super::physical::PhysicalRegion;

impl PhysicalRegion {
    /// Returns the word lock's region in the first 128 bytes, for processors that count their boots
    /// ([`shmlock_core::roll`]): its static tokens are epoch tokens. It needs working exclusives,
    /// so it is refused for [`Memory::Uncached`](super::Memory::Uncached).
    ///
    /// Never blocks. Untouched memory (all zero) becomes a free lock by one write of its magic
    /// word; otherwise nothing is written.
    ///
    /// # Errors
    /// [`PhysicalError::Uncached`]; [`PhysicalError::Region`] with the reasons of
    /// [`EpochRegion::from_raw`].
    ///
    /// # Safety
    ///
    /// As for [`word_lock`](Self::word_lock).
    ///
    /// # Examples
    /// A process of Linux, whose slot is 1. The roll lies behind the 128 bytes of the lock.
    /// ```
    /// # use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
    /// # let memfd = memfd_create("shared", MemfdFlags::CLOEXEC)?;
    /// # ftruncate(&memfd, 4096)?;
    /// use shmlock::ShmLock;
    /// use shmlock::remote::shmlock_core::RegionLock;
    /// use shmlock::remote::shmlock_core::fence::FullSystem;
    /// use shmlock::remote::shmlock_core::layout::roll_len;
    /// use shmlock::remote::shmlock_core::roll::{BootLiveness, Slot};
    /// use shmlock::remote::shmlock_core::wait::Spin;
    /// use shmlock::remote::{Memory, PhysicalRegion};
    ///
    /// const LINUX: Slot = Slot::new(1).unwrap();
    ///
    /// let lock_memory = PhysicalRegion::from_fd(&memfd, 0, 128, Memory::Cached)?;
    /// let roll_memory = PhysicalRegion::from_fd(&memfd, 128, roll_len(2), Memory::Cached)?;
    /// // SAFETY: all parties access these bytes as this lock and this roll only.
    /// let (region, roll) = unsafe { (lock_memory.epoch_region()?, roll_memory.roll()?) };
    ///
    /// // The processes of Linux are one party, one at a time.
    /// let party = ShmLock::open("doc-remote-boots")?;
    /// let turn = party.lock()?;
    /// let is_over = turn.recovered().is_some() || turn.fencing_token() == Some(1);
    /// let boot = match roll.resume_boot(LINUX)? {
    ///     Some(boot) if !is_over => boot,
    ///     _ => roll.begin_boot(LINUX)?,
    /// };
    /// turn.declare_consistent()?;
    ///
    /// let lock = RegionLock::for_boot_with_fence(region, &boot, FullSystem);
    /// let guard = lock.lock_or_recover(&mut Spin::attempts(1_000), &mut BootLiveness::new(roll))?;
    /// assert!(!guard.owner_died());
    /// # drop(guard);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub unsafe fn epoch_region(&self) -> Result<EpochRegion<'_>, PhysicalError> {
        self.check_exclusives()?;
        // SAFETY: promised by the caller.
        unsafe { self.epoch_region_on_uncached_memory() }
    }

    /// Returns the region as [`epoch_region`](Self::epoch_region) does, for uncached memory as
    /// well.
    ///
    /// # Errors
    /// [`PhysicalError::Region`].
    ///
    /// # Safety
    ///
    /// As for [`word_lock_on_uncached_memory`](Self::word_lock_on_uncached_memory).
    pub unsafe fn epoch_region_on_uncached_memory(&self) -> Result<EpochRegion<'_>, PhysicalError> {
        // SAFETY:
        // - readable and writable: our mapping, which the lifetime of the region borrows.
        // - accessed by atomics only, not truncated, no other references: promised by the caller.
        unsafe { EpochRegion::from_raw(self.address(), self.len()) }
            .map_err(|reason| self.no_lock(reason))
    }

    /// Returns the roll of boots in this range, with full-system fences. It has as many slots as
    /// the range has room for: open a range of the length
    /// [`roll_len`](shmlock_core::layout::roll_len) for it, beside the locks on the same memory.
    /// It needs loads, stores and barriers only, so it serves uncached memory as well.
    ///
    /// Never blocks. Untouched memory (all zero) becomes a roll by one store of its magic word;
    /// otherwise nothing is written.
    ///
    /// # Errors
    /// [`PhysicalError::Region`] with the reasons of [`Roll::from_raw`].
    ///
    /// # Safety
    ///
    /// As for [`word_lock`](Self::word_lock), for the whole range.
    pub unsafe fn roll(&self) -> Result<Roll<'_, FullSystem>, PhysicalError> {
        // SAFETY:
        // - readable and writable: our mapping, which the lifetime of the roll borrows.
        // - accessed by atomics only, not truncated, no other references: promised by the caller.
        let roll = unsafe { Roll::from_raw(self.address(), self.len()) };
        roll.map(|roll| roll.with_fence(FullSystem)).map_err(|reason| self.no_lock(reason))
    }
}
