//! Asks the kernel whether an owner lives: whether another description holds its life byte.
//!
//! The answer proves nothing. Recovery needs the proof of `shm/death_proof.rs`.

use std::os::fd::BorrowedFd;

use shmlock_core::Token;
use shmlock_core::token::TokenRange;

use crate::layout::lock_bytes::byte_of;
use crate::sys::ofd;

/// The state of an owner, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum OwnerState {
    /// Its life byte is locked: by its handle, by a copy of its lifeline, or for a moment by a
    /// handle that recovers the lock.
    Alive,
    /// Its handle is gone. The next contender recovers the lock.
    Dead,
    /// Not known, and treated as alive: the token is a static one, assigned by an embedder; or the
    /// probe failed.
    Unknown,
}

/// Queries the state of the owner with this token. Changes nothing; one system call.
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
