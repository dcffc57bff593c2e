//! Who holds it, and is it healthy? Looking changes nothing.

use std::fmt;
use std::os::fd::AsFd;

use shmlock_core::{Region, Token, Word};

use crate::identity::liveness::{OwnerState, life_of};
use crate::shm::attach::Attachment;
use crate::shm::death_proof::life_of_owner;
use crate::sys::descriptor::Descriptor;

/// Whether the lock is held, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum LockState {
    /// Nobody holds it.
    Unlocked,
    /// This handle holds it.
    HeldByThisHandle,
    /// Another handle holds it; this is known of its life.
    Held(OwnerState),
}

/// The state of a lock, as one look shows it. By the time it is read it may be different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LockStatus {
    /// Whether it is held.
    pub occupancy: LockState,
    /// Whether somebody asked to be woken. May be true after the last of them has gone.
    pub waiters: bool,
    /// Whether an owner died, and nobody has declared the data consistent since.
    pub owner_died: bool,
    /// How many dead owners have been replaced in the life of this file.
    pub recoveries: u32,
    /// Whether the file was removed: whoever opens the name now gets another lock.
    pub orphaned: bool,
}

/// How often to look again at an owner that seems dead but is no owner any more. Arbitrary: a
/// second time is rare.
pub(crate) const LOOKS: u32 = 16;

impl LockStatus {
    /// Judges a copy of the region, for a caller without a handle; `probe` is any description of
    /// the file. True only if the probe is itself afterwards.
    pub(crate) fn of_copy(copy: Region<'_>, probe: &Descriptor) -> Self {
        let word = copy.word();
        let life = |owner| LockState::Held(life_of(probe.as_fd(), owner));
        Self {
            occupancy: word.owner().map_or(LockState::Unlocked, life),
            waiters: word.has_waiters(),
            owner_died: word.owner_died(),
            recoveries: copy.recoveries(),
            orphaned: probe.links() == Some(0),
        }
    }

    pub(crate) fn look(shared: &Attachment, me: Token, held: bool) -> Self {
        let region = shared.region();
        let (word, occupancy) = occupancy(
            || region.word(),
            |owner| match owner == me {
                true if held => LockState::HeldByThisHandle,
                // Nobody else can have our token: whatever wrote it is no owner.
                true => LockState::Held(OwnerState::Dead),
                false => LockState::Held(life_of_owner(shared, owner)),
            },
        );
        Self {
            occupancy,
            waiters: word.has_waiters(),
            owner_died: word.owner_died(),
            recoveries: region.recoveries(),
            orphaned: shared.is_orphaned(),
        }
    }

    /// Whether nothing needs anybody's attention: the file is there, and no owner died whose data
    /// nobody has declared consistent since, whether the lock has been taken over already or not.
    /// The data may be half-written.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        !self.orphaned && !self.owner_died && self.occupancy != LockState::Held(OwnerState::Dead)
    }
}

impl fmt::Display for LockStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.occupancy {
            LockState::Unlocked => "free",
            LockState::HeldByThisHandle => "held by this handle",
            LockState::Held(OwnerState::Alive) => "held",
            LockState::Held(OwnerState::Dead) => {
                "held by a dead owner; the next comer takes it over"
            }
            LockState::Held(OwnerState::Unknown) => "held by an owner whose life cannot be proven",
        })?;
        for (flag, text) in [
            (self.waiters, "; somebody waits"),
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

/// Who has the word that `look` shows, by `judge`.
///
/// An owner that gave the lock back and closed its handle between the look at the word and that at
/// its life has not died: the word says so, for a dead owner stands there until it is replaced.
fn occupancy(look: impl Fn() -> Word, judge: impl Fn(Token) -> LockState) -> (Word, LockState) {
    let mut word = look();
    for _ in 0..LOOKS {
        let Some(owner) = word.owner() else { return (word, LockState::Unlocked) };
        let occupancy = judge(owner);
        let now = look();
        if occupancy != LockState::Held(OwnerState::Dead) || now.owner() == Some(owner) {
            return (word, occupancy);
        }
        word = now;
    }
    (word, LockState::Held(OwnerState::Unknown))
}
