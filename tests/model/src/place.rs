//! What a process can be about to do: every step of the protocol, by name.

/// What a process does next. One atomic action each, in words in [`Place::does`]; the sections are
/// those of PROTOCOL.md.
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
    LetGo,
    CheckOrphan,
    MarkWaiting,
    Sleep,
    Asleep,
    StepAside,
    WakeForAside,
    // 4: the section and its end
    Inside,
    DeclareConsistent,
    Release,
    StoreRelease,
    PassOn,
    ClaimWake,
    Wake,
    Abandon,
    WakeForAbandoned,
    // 10: close; the first two only where that is done in another order
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
    /// The steps of the protocol itself, without those that only a flawed one has.
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
        Self::LetGo,
        Self::CheckOrphan,
        Self::MarkWaiting,
        Self::Sleep,
        Self::Asleep,
        Self::StepAside,
        Self::WakeForAside,
        Self::Inside,
        Self::DeclareConsistent,
        Self::Release,
        Self::PassOn,
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

    /// What the action is, for a reader of a trace.
    pub(crate) const fn does(self) -> &'static str {
        match self {
            Self::LookUp => "opens A by name",
            Self::Create => "makes the file",
            Self::Announce => "takes presence on A",
            Self::CheckName => "looks whether A still has a name",
            Self::Grow => "makes an empty file whole",
            Self::Draw => "draws a token",
            Self::DeclareStale => "swaps: token just drawn is stale?",
            Self::WakeForStale | Self::Wake | Self::WakeForAbandoned | Self::WakeForAside => {
                "wakes one"
            }
            Self::OpenSecond => "opens B by name and compares",
            Self::TryAcquire => "swaps: acquire",
            Self::Probe => "asks whether the owner's byte is locked",
            Self::Adopt => "locks the owner's byte",
            Self::VerifyAdopted => "looks whether B was itself when it locked",
            Self::ReadAgain => "reads the word again",
            Self::TakeOver => "swaps: take over",
            Self::LetGo => "lets go of the owner's byte",
            Self::CheckOrphan => "looks whether the file was removed",
            Self::MarkWaiting => "swaps: mark waiting",
            Self::Sleep => "asks the kernel to sleep on the word",
            Self::Asleep => "stops sleeping by itself",
            Self::StepAside => "swaps: mark for the others before giving up",
            Self::Inside => "leaves the section",
            Self::DeclareConsistent => "swaps: declare consistent",
            Self::Release => "swaps: release",
            Self::StoreRelease => "stores: release",
            Self::PassOn => "swaps: pass on",
            Self::ClaimWake => "swaps: claim the wake",
            Self::Abandon => "swaps: abandon",
            Self::JudgeEarly => "judges before it unmaps",
            Self::Unmap | Self::UnmapOnly => "unmaps A: token and presence go",
            Self::LockPresence => "tries to lock presence alone",
            Self::JudgeWord => "judges link count and word",
            Self::JudgeName => "compares the name with B",
            Self::VerifyAlone => "looks whether B was itself all the time",
            Self::Unlink => "unlinks the name",
            Self::Withdraw => "lets go of presence and closes B",
            Self::Gone => "is gone",
        }
    }
}
