//! Names the ways in which a property of the ticket lock can fail.

use std::fmt;

/// A property that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// Two parties are in the critical section.
    TwoInside,
    /// A party that came later entered first.
    Overtaken,
    /// An owner died, and the next one is not told.
    Untold,
    /// An owner is told of a death that did not happen, or that was declared repaired.
    FalseAlarm,
    /// The sum of the deaths changed while the lock was held.
    Unsteady,
    /// Without another fault, the parties cannot all come to rest any more.
    Stuck,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TwoInside => "two parties are in the critical section",
            Self::Overtaken => "a party that came later entered first",
            Self::Untold => "an owner died and the next one is not told",
            Self::FalseAlarm => "told of a death that did not happen",
            Self::Unsteady => "the sum of the deaths changed during a hold",
            Self::Stuck => "no way to rest",
        })
    }
}
