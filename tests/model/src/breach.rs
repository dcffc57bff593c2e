//! Names the ways in which a property can fail.

use std::fmt;

/// A property that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Breach {
    /// Two processes are in the critical section of one name.
    TwoInside,
    /// The word no longer names a living owner.
    Robbed,
    /// An open handle's file has lost its name: a process that opens the name gets another lock.
    SplitBrain,
    /// An owner died, and the next one is not told.
    Untold,
    /// A process is told of a death that did not happen.
    FalseAlarm,
    /// The file was removed with DIED set, before an owner was told.
    DiedLost,
    /// All have closed, no process died, no descriptor was exchanged, and the file still exists.
    LeftBehind,
    /// All processes have ended, and the file neither is free nor says truly that an owner died.
    Untrue,
    /// A free file was left, and the next process that opens and closes leaves it as well.
    NotCleared,
    /// No process can take a step, and a process still waits.
    Deadlock,
    /// Without another fault, not every process can reach its end any more.
    Stuck,
}

impl Breach {
    /// Returns the name of the property: exclusion, holding, truth of DIED, no left-over files,
    /// progress.
    #[must_use]
    pub const fn property(self) -> &'static str {
        match self {
            Self::TwoInside | Self::SplitBrain => "S1",
            Self::Robbed => "S2",
            Self::Untold | Self::FalseAlarm | Self::DiedLost => "S3",
            Self::LeftBehind | Self::Untrue | Self::NotCleared => "S4",
            Self::Deadlock | Self::Stuck => "L",
        }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TwoInside => "two processes are in the critical section",
            Self::Robbed => "a living owner was robbed",
            Self::SplitBrain => "an open handle's file has lost its name",
            Self::Untold => "an owner died and the next one is not told",
            Self::FalseAlarm => "told of a death that did not happen",
            Self::DiedLost => "the file was removed with DIED set",
            Self::LeftBehind => "a file is left behind although no process died",
            Self::Untrue => "the file left behind is neither free nor truly DIED",
            Self::NotCleared => "the next process does not remove a free file",
            Self::Deadlock => "asleep for ever",
            Self::Stuck => "no way to the end",
        })
    }
}
