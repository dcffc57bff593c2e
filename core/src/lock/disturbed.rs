//! Defines what the calls of a disturbed lock pass to each other, apart so that nothing here uses
//! the handle.

use crate::contend::Liveness;
use crate::error::Error;
use crate::region::Region;
use crate::token::Token;
use crate::word::Word;

/// What `enter_disturbed` still has to do.
#[derive(Clone, Copy)]
pub(super) enum Disturbed<'a> {
    /// To acquire the lock: the handle is unchanged.
    Unchanged,
    /// To count an acquisition: the owner word names the handle, which is in change.
    Uncounted(
        #[expect(dead_code, reason = "lies in a register anyway, where a number would be loaded")]
        Region<'a>,
    ),
}

/// Lends a proof of death to a function that takes one by value. The cold functions do, because a
/// proof without fields then costs no instruction, and its address would cost one.
pub(super) struct Lent<'l, L>(pub(super) &'l mut L);

impl<L: Liveness> Liveness for Lent<'_, L> {
    fn while_dead<R>(&mut self, owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        self.0.while_dead(owner, act)
    }
}

/// Why a call left the handle without one more hold: those values of [`Error`] that it can have, in
/// two registers. An [`Error`] is passed in memory, and is moved byte by byte on some targets.
pub(super) enum Refusal {
    Busy(Word),
    Overwritten(Word),
    InUse,
    NestingTooDeep,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Busy(seen) => Self::Busy { seen },
            Refusal::Overwritten(found) => Self::Overwritten { found },
            Refusal::InUse => Self::InUse,
            Refusal::NestingTooDeep => Self::NestingTooDeep,
        }
    }
}
