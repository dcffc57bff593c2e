//! Defines a region whose static tokens are of boots: each party with one has a slot of one roll.

#![cfg_attr(
    not(loom),
    expect(unsafe_code, reason = "passes the obligations of `Region::from_raw` on to its caller")
)]

#[cfg(not(loom))]
use core::ptr::NonNull;

use crate::error::Error;
use crate::fence::Fence;
use crate::layout::{EPOCH_MAGIC, Magic};
use crate::protocol::{self, Wake};
use crate::record::Holder;
use crate::region::{Region, RegionMemory};
use crate::roll::{Boot, Slot};
use crate::sync::AtomicU32;
use crate::word::Word;

/// The 128 bytes of a lock whose static tokens are epoch tokens (see [`roll`](crate::roll)).
///
/// The bytes are those of a [`Region`]; the magic word alone says which static tokens they have.
/// The two kinds do not mix: each refuses the memory of the other, and so do parties that know
/// plain tokens only.
///
/// None of its functions blocks, allocates or panics, whatever the memory contains; all are
/// async-signal-safe.
#[derive(Clone, Copy, Debug)]
pub struct EpochRegion<'a> {
    region: Region<'a>,
}

impl<'a> EpochRegion<'a> {
    /// Returns the region in memory that this program declares itself.
    ///
    /// # Errors
    /// [`Error::PlainTokens`] if the memory is a lock with plain static tokens;
    /// [`Error::NotALock`], [`Error::OtherVersion`]. Nothing is written then.
    pub fn from_static(memory: &'static RegionMemory) -> Result<Self, Error> {
        Self::new(memory)
    }

    /// Returns the region in memory that lives for `'a`.
    ///
    /// # Errors
    /// Those of [`from_static`](Self::from_static).
    pub fn new(memory: &'a RegionMemory) -> Result<Self, Error> {
        Self::claim(Region::unclaimed(memory))
    }

    /// Returns the region at an address from outside Rust, as [`Region::from_raw`] does.
    ///
    /// # Errors
    /// [`Error::Misaligned`], [`Error::TooShort`]; those of [`from_static`](Self::from_static).
    /// Nothing is written then.
    ///
    /// # Safety
    /// The contract of [`Region::from_raw`].
    #[cfg(not(loom))] // loom's atomics are no words in memory
    pub unsafe fn from_raw(address: NonNull<u8>, len: usize) -> Result<Self, Error> {
        // SAFETY: the same contract, guaranteed by the caller.
        Self::claim(unsafe { Region::unclaimed_from_raw(address, len) }?)
    }

    /// Checks the magic word, and writes it if the memory is untouched.
    fn claim(region: Region<'a>) -> Result<Self, Error> {
        let found = region.mark(EPOCH_MAGIC);
        if found == EPOCH_MAGIC {
            return Ok(Self { region });
        }
        Err(match Magic::decode(found) {
            Magic::Ours => Error::PlainTokens,
            Magic::OtherVersion(found) => Error::OtherVersion { found },
            Magic::Foreign | Magic::Untouched => Error::NotALock { found },
        })
    }

    pub(crate) fn region(self) -> Region<'a> {
        self.region
    }

    /// Frees the lock if an earlier boot of this core left it held, and returns the wake that the
    /// caller then owes. DIED tells the next owner.
    ///
    /// [`RegionLock::for_boot`](crate::RegionLock::for_boot) calls it. A handle of another kind
    /// calls it once, **before it uses the lock in this boot**.
    ///
    /// A word that names this very token is stale as well: the handle has not used it yet.
    #[must_use]
    pub fn recover_former_boot<F: Fence>(self, boot: &Boot, fence: F) -> Option<Wake> {
        let former = self.word().owner()?;
        let (slot, _) = Slot::of_token(former)?;
        if slot != boot.id().slot() {
            return None;
        }
        // A waiter with the roll may come first; then the word does not name `former` any more.
        let wake = protocol::declare_stale(self.owner_word(), former, fence)?;
        self.region.count_recovery();
        Some(wake)
    }

    /// Returns the owner word, on which the functions of [`protocol`] work. Its static tokens are
    /// epoch tokens.
    #[must_use]
    #[inline]
    pub fn owner_word(self) -> &'a AtomicU32 {
        self.region.owner_word()
    }

    /// Returns the present value of the owner word. It may have changed when the caller uses it.
    #[must_use]
    #[inline]
    pub fn word(self) -> Word {
        self.region.word()
    }

    /// Returns the owner and its record, as [`Region::holder`] does.
    #[must_use]
    pub fn holder<F: Fence>(self, fence: F) -> Option<Holder> {
        self.region.holder(fence)
    }

    /// Returns how often the lock has been acquired, as [`Region::acquisitions`] does.
    #[must_use]
    pub fn acquisitions(self) -> u64 {
        self.region.acquisitions()
    }

    /// Returns how many acquisitions found the lock held, as [`Region::contended`] does.
    #[must_use]
    pub fn contended(self) -> u32 {
        self.region.contended()
    }

    /// Returns how often the lock was recovered from a dead owner, as [`Region::recoveries`] does.
    #[must_use]
    pub fn recoveries(self) -> u32 {
        self.region.recoveries()
    }
}
