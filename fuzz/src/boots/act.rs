//! Defines the calls of a core.

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::orders::Waiting;

#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    TryLock,
    /// With the proof by the roll, or without one.
    Lock(Waiting, bool),
    Acquire(Waiting, bool),
    Release,
    DropGuard,
    ReleaseGuard,
    ForgetGuard,
    Declare,
    Look,
    /// As the supervisor of a core.
    Retire(u8),
}

impl<'a> Arbitrary<'a> for Act {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let what = u8::arbitrary(bytes)?;
        let (waiting, proves) = (Waiting::of_byte(what >> 4), what >> 6 != 0);
        Ok(match what % 16 {
            0 | 1 => Self::TryLock,
            2..=5 => Self::Lock(waiting, proves),
            6 => Self::Acquire(waiting, proves),
            7 => Self::Release,
            8 | 9 => Self::DropGuard,
            10 => Self::ReleaseGuard,
            11 if what >> 4 == 0 => Self::ForgetGuard,
            11 | 12 => Self::Declare,
            13 => Self::Look,
            _ => Self::Retire(what >> 4),
        })
    }
}
