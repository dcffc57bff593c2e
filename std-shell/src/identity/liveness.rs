//! Proof that an owner is dead: the byte of its token can be locked by us.
//!
//! *Adoption.* A look says that the byte is free; we take it ourselves. If that succeeds, the owner
//! is dead **and** no newcomer can be given its token until we unlock it. Only under that does the
//! owner word change hands. A look alone would not do: between it and the change another handle may
//! be given the same token, acquire, and be robbed.
//!
//! Both count only through a descriptor that leads to the lock's own file (`descriptor.rs`). Other
//! code of this process may have closed ours, and `/dev/null` in its place answers that every byte
//! is free. So the descriptor must be itself before the byte is asked for, and again **after** it
//! was granted; and its description is mapped meanwhile, so that the byte stays ours even if the
//! number goes between that answer and the swap of the word.
//!
//! *If the number is exchanged in the instant before the byte is asked for*, a stranger's
//! description has the byte. Nothing is taken over, and nothing unlocked: the stranger may be the
//! very owner. If it is another handle of this process on this lock, the dead owner looks alive
//! until that handle is closed.

use std::os::fd::BorrowedFd;

use shmlock_core::Token;
use shmlock_core::token::TokenRange;

use crate::layout::lock_bytes::byte_of;
use crate::sys::ofd::{self};

/// What is known about an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum OwnerState {
    /// Its handle exists.
    Alive,
    /// Its handle is gone; the next comer takes the lock over.
    Dead,
    /// Nobody here can tell: a static token, given out by an embedder, or the probe failed. Treated
    /// as alive.
    Unknown,
}

/// Asks whether the owner with this token lives. Changes nothing; one system call.
///
/// `Dead` is no proof: the descriptor may lead to another file.
pub(crate) fn life_of(probe: BorrowedFd<'_>, owner: Token) -> OwnerState {
    if owner.range() == TokenRange::Static {
        return OwnerState::Unknown;
    }
    match ofd::is_locked(probe, byte_of(owner)) {
        Ok(true) => OwnerState::Alive,
        Ok(false) => OwnerState::Dead,
        Err(_) => OwnerState::Unknown,
    }
}
