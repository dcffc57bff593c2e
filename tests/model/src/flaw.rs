//! Names what can be left out of the protocol, or reordered: each is a mistake that the search must
//! find.

/// One mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Flaw {
    /// Recovers after testing the owner's byte, without locking it.
    NoAdoption,
    /// Does not check whether the word names the token that was just drawn.
    NoStaleCheck,
    /// Recovers, once it has locked the owner's byte, whatever the word says by then.
    NoSecondRead,
    /// Tries to lock presence exclusively before it gives up its own.
    UpgradeBeforeUnmap,
    /// Opens without presence.
    NoPresence,
    /// The creator links the file before it is present.
    PresenceAfterName,
    /// Does not check the link count after it is present.
    NoLinkCount,
    /// Does not compare A and B.
    NoComparison,
    /// Acquires after having slept without setting WAITERS.
    NoStickyWaiters,
    /// Recovers without setting WAITERS.
    TakeOverDropsWaiters,
    /// Removes the file whatever the word says.
    UnlinkUnjudged,
    /// Judges the word before it gives up presence, and leaves the file if it is held.
    JudgeBeforeUnmap,
    /// Releases by reading and storing.
    ReleaseByStore,
    /// Sleeps without setting WAITERS.
    NoWaiters,
    /// Wakes before it releases.
    WakeBeforeRelease,
    /// Gives up without passing on the wake that it may have consumed.
    NoCancelWait,
    /// Gives up without the wake that is owed when the word is free.
    NoWakeOnCancel,
    /// Recovers without setting DIED.
    NoDiedOnTakeOver,
    /// Releases without a wake, and clears WAITERS.
    QuietReleaseDropsWaiters,
    /// Releases without a wake, and does not check whether another process has acquired.
    NoClaim,
    /// Takes the answer of any descriptor for a proof of death.
    UnprovenDescriptor,
    /// Checks that the descriptor is itself before it locks the dead owner's byte, and not
    /// afterwards.
    VerifiedBeforeOnly,
    /// Does not map the description while it recovers or removes the file.
    NoPin,
    /// Removes the file without checking that the descriptor was itself.
    UnlinkUnverified,
    /// Unlocks presence through a replaced descriptor.
    UnlockUnverified,
}

/// A set of mistakes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flaws(u32);

impl Flaws {
    /// The protocol as it is.
    pub const NONE: Self = Self(0);

    /// Returns the set of this mistake only.
    #[must_use]
    pub const fn only(flaw: Flaw) -> Self {
        Self(1 << flaw as u8)
    }

    /// Returns `true` if this mistake is in the set.
    #[must_use]
    pub const fn has(self, flaw: Flaw) -> bool {
        self.0 & (1 << flaw as u8) != 0
    }
}
