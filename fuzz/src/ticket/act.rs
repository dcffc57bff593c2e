//! Defines the calls of a party.

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::orders::Waiting;

/// The proof of death that a contender has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    None,
    /// Of parties that are dead.
    True,
    /// Also of parties with a line that is garbage.
    Lies,
}

impl Proof {
    fn of_byte(byte: u8) -> Self {
        [Self::None, Self::True, Self::True, Self::Lies][usize::from(byte % 4)]
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    TryLock,
    Lock(Waiting, Proof),
    Acquire(Waiting, Proof),
    Release,
    DropGuard,
    ReleaseGuard,
    ForgetGuard,
    Declare,
    Recover,
    Look,
    /// By another handle of the party, from creation to drop.
    Brief(Waiting),
    /// As the supervisor of a party.
    Bury(u16, Proof),
}

impl<'a> Arbitrary<'a> for Act {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let what = u8::arbitrary(bytes)?;
        let (waiting, proof) = (Waiting::of_byte(what >> 4), Proof::of_byte(what >> 6));
        Ok(match what % 16 {
            0 => Self::TryLock,
            1..=4 => Self::Lock(waiting, proof),
            5 => Self::Acquire(waiting, proof),
            6 => Self::Release,
            7 | 8 => Self::DropGuard,
            9 => Self::ReleaseGuard,
            10 if what >> 4 == 0 => Self::ForgetGuard,
            10 | 11 => Self::Declare,
            12 => Self::Recover,
            13 => Self::Look,
            14 => Self::Brief(waiting),
            _ => Self::Bury(1 + u16::from(what >> 4) % 9, Proof::of_byte(what >> 5)),
        })
    }
}
