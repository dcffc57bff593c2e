//! Reads the state of a lock, and changes nothing.

use std::fmt;
use std::os::fd::AsFd;

use shmlock_core::{Region, Token, Word};

use crate::identity::liveness::{OwnerState, life_of};
use crate::shm::attach::Attachment;
use crate::shm::death_proof::life_of_owner;
use crate::sys::descriptor::Descriptor;

/// The owner of a lock, as its status shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum LockState {
    /// No handle holds the lock.
    Unlocked,
    /// This handle holds the lock.
    HeldByThisHandle,
    /// Another handle holds the lock; its owner is in this state.
    Held(OwnerState),
}

/// The state of a lock at one moment. It may have changed when the caller reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LockStatus {
    /// The owner.
    pub state: LockState,
    /// `true` if WAITERS is set. It may stay set after the last waiter has gone.
    pub waiters: bool,
    /// `true` if an owner died and no later owner has declared the data consistent.
    pub owner_died: bool,
    /// The number of recoveries in the life of the file.
    pub recoveries: u32,
    /// `true` if the file was removed: the next opener of the name gets another lock.
    pub orphaned: bool,
}

/// The number of attempts to read an owner that is still owner afterwards. Arbitrary: a second
/// attempt is rare.
pub(crate) const DEATH_CHECKS: u32 = 16;

impl LockStatus {
    /// Returns the status of a copied region, for a caller without a handle. `probe` is any
    /// description of the file; the result holds only if the probe is itself afterwards.
    pub(crate) fn of_copy(copy: Region<'_>, probe: &Descriptor) -> Self {
        let word = copy.word();
        let life = |owner| LockState::Held(life_of(probe.as_fd(), owner));
        Self {
            state: word.owner().map_or(LockState::Unlocked, life),
            waiters: word.has_waiters(),
            owner_died: word.owner_died(),
            recoveries: copy.recoveries(),
            orphaned: probe.links() == Some(0),
        }
    }

    /// Returns the status of a mapped region, for the handle `me`.
    pub(crate) fn look(shared: &Attachment, me: Token, held: bool) -> Self {
        let region = shared.region();
        let (word, state) = state(
            || region.word(),
            |owner| match owner == me {
                true if held => LockState::HeldByThisHandle,
                // No other handle has our token: no owner has written it.
                true => LockState::Held(OwnerState::Dead),
                false => LockState::Held(life_of_owner(shared, owner)),
            },
        );
        Self {
            state,
            waiters: word.has_waiters(),
            owner_died: word.owner_died(),
            recoveries: region.recoveries(),
            orphaned: shared.is_orphaned(),
        }
    }

    /// Returns `true` if the file exists and no owner has died since the data was last declared
    /// consistent. Otherwise the data may be half-written, even if the lock was recovered already.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        !self.orphaned && !self.owner_died && self.state != LockState::Held(OwnerState::Dead)
    }
}

impl fmt::Display for LockStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            LockState::Unlocked => "free",
            LockState::HeldByThisHandle => "held by this handle",
            LockState::Held(OwnerState::Alive) => "held",
            LockState::Held(OwnerState::Dead) => {
                "held by a dead owner; the next acquisition recovers it"
            }
            LockState::Held(OwnerState::Unknown) => {
                "held by an owner whose liveness cannot be proven"
            }
        })?;
        for (flag, text) in [
            (self.waiters, "; has waiters"),
            (self.owner_died, "; an owner died and the data has not been declared consistent"),
            (self.orphaned, "; its file was removed"),
        ] {
            if flag {
                f.write_str(text)?;
            }
        }
        Ok(())
    }
}

/// Reads the word by `read`, and the state of its owner by `judge`.
///
/// An owner that released the lock and closed its handle between the two reads has not died. The
/// word shows this: a dead owner stays in it until its lock is recovered.
fn state(read: impl Fn() -> Word, judge: impl Fn(Token) -> LockState) -> (Word, LockState) {
    let mut word = read();
    for _ in 0..DEATH_CHECKS {
        let Some(owner) = word.owner() else { return (word, LockState::Unlocked) };
        let state = judge(owner);
        let now = read();
        if state != LockState::Held(OwnerState::Dead) || now.owner() == Some(owner) {
            return (word, state);
        }
        word = now;
    }
    (word, LockState::Held(OwnerState::Unknown))
}
