//! Proves the death of parties of a ticket lock.

use shmlock_core::Token;
use shmlock_core::contend::Liveness;

use super::{Parties, Proof};
use crate::orders::Steps;

/// A proof that holds for one instant only.
pub(super) struct Dead<'s, const N: usize> {
    pub(super) parties: &'s Parties<'s, N>,
    pub(super) proof: Proof,
    /// All parties are dead but this one.
    pub(super) but: Option<usize>,
}

impl<const N: usize> Liveness for Dead<'_, N> {
    fn while_dead<R>(&mut self, owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        let party = owner.get() as usize - 1;
        let known = &self.parties.known[party];
        let dead = match (self.but, self.proof) {
            (Some(living), _) => party != living,
            (None, Proof::None) => false,
            (None, Proof::True) => known.is_dead.get(),
            (None, Proof::Lies) => known.is_dead.get() || !known.is_clean.get(),
        };
        if !dead {
            return None;
        }
        self.parties.step(); // it may come back before the proof is used
        Some(act())
    }
}
