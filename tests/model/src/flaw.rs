//! What can be left out of the protocol, or done in another order: each is a mistake that the
//! search must find.

/// One mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Flaw {
    /// Takes over after a look at the owner's byte, without locking it.
    NoAdoption,
    /// Does not ask whether the word names the token it was just given.
    NoStaleCheck,
    /// Takes over, once it has the owner's byte, whatever the word says by now.
    NoSecondRead,
    /// Tries to be alone before it gives up its own presence.
    UpgradeBeforeUnmap,
    /// Opens without presence.
    NoPresence,
    /// The maker gives the file its name before it is present.
    PresenceAfterName,
    /// Does not look at the link count after it is present.
    NoLinkCount,
    /// Does not compare A and B.
    NoComparison,
    /// Acquires after having slept without setting WAITERS.
    NoStickyWaiters,
    /// Takes over without setting WAITERS.
    TakeOverDropsWaiters,
    /// Takes the file away whatever the word says.
    UnlinkUnjudged,
    /// Judges the word before it gives up presence, and leaves the file alone if it is held.
    JudgeBeforeUnmap,
    /// Releases by reading and storing.
    ReleaseByStore,
    /// Sleeps without a mark.
    NoMark,
    /// Wakes first and releases then.
    WakeBeforeRelease,
    /// Gives up without a word to the others.
    NoStepAside,
    /// Steps aside without the wake that is owed when the word is free.
    NoWakeAside,
    /// Takes over without saying that somebody died.
    NoDiedOnTakeOver,
    /// Passes on as it releases, and leaves the wake to nobody.
    PassOnDropsWaiters,
    /// Passes on, and does not look whether somebody has come.
    NoClaim,
    /// Takes what any descriptor says for a proof of death.
    UnprovenDescriptor,
    /// Looks whether the descriptor is itself before it locks the dead owner's byte, and not
    /// afterwards.
    VerifiedBeforeOnly,
    /// Keeps nothing of the description but its number while it takes over or removes the file.
    NoPin,
    /// Removes the file without looking whether the descriptor was itself.
    UnlinkUnverified,
    /// Unlocks presence through whatever the number leads to.
    UnlockUnverified,
}

/// A set of mistakes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flaws(u32);

impl Flaws {
    /// The protocol as it is.
    pub const NONE: Self = Self(0);

    /// Only this one.
    #[must_use]
    pub const fn only(flaw: Flaw) -> Self {
        Self(1 << flaw as u8)
    }

    /// Whether this one is among them.
    #[must_use]
    pub const fn has(self, flaw: Flaw) -> bool {
        self.0 & (1 << flaw as u8) != 0
    }
}
