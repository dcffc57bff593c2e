//! Defines the proof that a party of a ticket lock is dead.

#![allow(unsafe_code, reason = "calls C back")]

use core::ffi::c_void;

use shmlock_core::Token;
use shmlock_core::contend::Liveness;

/// Returns `true` if the party is dead at one instant of the call, and its stores have ended: the
/// core is held in reset, its power is off, its process has been waited for. Returns `false` if the
/// party lives, and if the callback cannot tell: **a party in doubt is alive**. A wrong proof makes
/// two owners.
///
/// It must return normally, as `shmlock_core_wait_fn`.
pub type IsDeadFn = Option<unsafe extern "C" fn(context: *mut c_void, party: u32) -> bool>;

/// A proof by the caller. One type for all proofs: the code of an acquisition, which each number of
/// parties has, is compiled for one.
pub(crate) struct Proof(Known);

enum Known {
    /// Every party counts as alive.
    Nothing,
    /// This party is dead: guaranteed by the caller.
    Dead(Token),
    Asked {
        is_dead: unsafe extern "C" fn(*mut c_void, u32) -> bool,
        context: *mut c_void,
    },
}

impl Proof {
    /// Returns no proof: every party counts as alive.
    pub(crate) fn none() -> Self {
        Self(Known::Nothing)
    }

    /// Returns the proof that this party is dead.
    pub(crate) fn of(party: Token) -> Self {
        Self(Known::Dead(party))
    }

    /// Returns the proof by a callback. Its caller guarantees that the function accepts the
    /// context, and has its type.
    pub(crate) fn by(
        is_dead: unsafe extern "C" fn(*mut c_void, u32) -> bool,
        context: *mut c_void,
    ) -> Self {
        Self(Known::Asked { is_dead, context })
    }
}

impl Liveness for Proof {
    fn while_dead<R>(&mut self, owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        let is_dead = match self.0 {
            Known::Nothing => false,
            Known::Dead(party) => owner == party,
            // SAFETY: a function of this type, and a context that it accepts: guaranteed by the
            // caller of the function of the header.
            Known::Asked { is_dead, context } => unsafe { is_dead(context, owner.get()) },
        };
        is_dead.then(act)
    }
}
