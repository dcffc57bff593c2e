//! Names every step of the protocol.

/// The next step of a process: one atomic action each, described by [`Place::does`]. The sections
/// are those of PROTOCOL.md.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Place {
    // 9: open
    #[default]
    LookUp,
    Create,
    OpenSecond,
    Announce,
    CheckName,
    Grow,
    Draw,
    DeclareStale,
    WakeForStale,
    // 4: acquire
    TryAcquire,
    Probe,
    Adopt,
    VerifyAdopted,
    ReadAgain,
    TakeOver,
    UnlockOwner,
    CheckOrphan,
    SetWaiters,
    Sleep,
    Asleep,
    CancelWait,
    WakeAfterCancel,
    // 4: the critical section and its end
    Inside,
    DeclareConsistent,
    Release,
    StoreRelease,
    QuietRelease,
    ClaimWake,
    Wake,
    Abandon,
    WakeForAbandoned,
    // 10: close; the first two only in a flawed order
    JudgeEarly,
    UnmapOnly,
    Unmap,
    LockPresence,
    JudgeWord,
    JudgeName,
    VerifyAlone,
    Unlink,
    Withdraw,
    /// Closed for good, or dead.
    Gone,
}

impl Place {
    /// The steps of the protocol itself, without those of flawed ones.
    pub(crate) const ALL: [Self; 37] = [
        Self::LookUp,
        Self::Create,
        Self::OpenSecond,
        Self::Announce,
        Self::CheckName,
        Self::Grow,
        Self::Draw,
        Self::DeclareStale,
        Self::WakeForStale,
        Self::TryAcquire,
        Self::Probe,
        Self::Adopt,
        Self::VerifyAdopted,
        Self::ReadAgain,
        Self::TakeOver,
        Self::UnlockOwner,
        Self::CheckOrphan,
        Self::SetWaiters,
        Self::Sleep,
        Self::Asleep,
        Self::CancelWait,
        Self::WakeAfterCancel,
        Self::Inside,
        Self::DeclareConsistent,
        Self::Release,
        Self::QuietRelease,
        Self::ClaimWake,
        Self::Wake,
        Self::Abandon,
        Self::WakeForAbandoned,
        Self::Unmap,
        Self::LockPresence,
        Self::JudgeWord,
        Self::JudgeName,
        Self::VerifyAlone,
        Self::Unlink,
        Self::Withdraw,
    ];

    /// Describes the action in a trace.
    pub(crate) const fn does(self) -> &'static str {
        match self {
            Self::LookUp => "opens A by name",
            Self::Create => "creates the file",
            Self::Announce => "takes presence on A",
            Self::CheckName => "checks that A still has a name",
            Self::Grow => "makes an empty file whole",
            Self::Draw => "draws a token",
            Self::DeclareStale => "swaps: token just drawn is stale?",
            Self::WakeForStale | Self::Wake | Self::WakeForAbandoned | Self::WakeAfterCancel => {
                "wakes one"
            }
            Self::OpenSecond => "opens B by name and compares",
            Self::TryAcquire => "swaps: acquire",
            Self::Probe => "tests whether the owner's byte is locked",
            Self::Adopt => "locks the owner's byte",
            Self::VerifyAdopted => "checks that B was itself when it locked",
            Self::ReadAgain => "reads the word again",
            Self::TakeOver => "swaps: recover",
            Self::UnlockOwner => "unlocks the owner's byte",
            Self::CheckOrphan => "checks whether the file was removed",
            Self::SetWaiters => "swaps: set WAITERS",
            Self::Sleep => "asks the kernel to sleep on the word",
            Self::Asleep => "stops sleeping without a wake",
            Self::CancelWait => "swaps: set WAITERS before giving up",
            Self::Inside => "leaves the critical section",
            Self::DeclareConsistent => "swaps: declare consistent",
            Self::Release => "swaps: release",
            Self::StoreRelease => "stores: release",
            Self::QuietRelease => "swaps: release without a wake",
            Self::ClaimWake => "swaps: claim the wake",
            Self::Abandon => "swaps: abandon",
            Self::JudgeEarly => "judges before it unmaps",
            Self::Unmap | Self::UnmapOnly => "unmaps A: token and presence go",
            Self::LockPresence => "tries to lock presence exclusively",
            Self::JudgeWord => "judges link count and word",
            Self::JudgeName => "compares the name with B",
            Self::VerifyAlone => "checks that B was itself all the time",
            Self::Unlink => "unlinks the name",
            Self::Withdraw => "unlocks presence and closes B",
            Self::Gone => "has ended",
        }
    }
}
