//! Proof that an owner is dead: the byte of its token can be locked by us.
//!
//! *Adoption.* A look says that the byte is free; we take it ourselves. If that succeeds, the owner is dead **and**
//! nobody can be given its token until we let go. Only under that does the owner word change hands. A look alone would
//! not do: between it and the change another handle may be given the same token, acquire, and be robbed.

use std::os::fd::BorrowedFd;

use shmlock_core::Token;
use shmlock_core::contend::Liveness;
use shmlock_core::token::TokenRange;

use crate::fork_gate::Stretch;
use crate::ofd::{self, Kind};
use crate::token::byte_of;

/// What is known about an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Life {
    /// Its handle exists.
    Alive,
    /// Its handle is gone; the next comer takes the lock over.
    Dead,
    /// Nobody here can tell: a static token, given out by an embedder, or the probe failed. Treated as alive.
    Unknown,
}

/// Whether the owner with this token lives. Changes nothing; one system call.
pub(crate) fn life_of(probe: BorrowedFd<'_>, owner: Token) -> Life {
    if owner.range() == TokenRange::Static {
        return Life::Unknown;
    }
    match ofd::is_locked(probe, byte_of(owner)) {
        Ok(true) => Life::Alive,
        Ok(false) => Life::Dead,
        Err(_) => Life::Unknown,
    }
}

/// The kernel's byte locks as the core's proof of death.
///
/// `probe` is a description that holds no lock at rest, and in particular not our own token: our own locks would be
/// invisible through it, and letting go of an adopted byte would let go of our identity.
#[derive(Debug)]
pub(crate) struct KernelProof<'a> {
    pub(crate) probe: BorrowedFd<'a>,
}

impl Liveness for KernelProof<'_> {
    fn while_dead<R>(&mut self, owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        if life_of(self.probe, owner) != Life::Dead {
            return None;
        }
        let _stretch = Stretch::begin(); // a child would keep the byte
        let _adopted = Adopted::new(self.probe, owner)?;
        Some(act())
    }
}

/// A dead owner's byte in our hands; let go of on drop.
struct Adopted<'a> {
    probe: BorrowedFd<'a>,
    byte: u32,
}

impl<'a> Adopted<'a> {
    fn new(probe: BorrowedFd<'a>, owner: Token) -> Option<Self> {
        let byte = byte_of(owner);
        // Not ours: it lives, or a rival adopts it right now. A probe that fails counts as alive.
        ofd::try_lock(probe, Kind::Write, byte).unwrap_or(false).then_some(Self { probe, byte })
    }
}

impl Drop for Adopted<'_> {
    fn drop(&mut self) {
        // Unlocking a range we hold cannot fail on a valid descriptor.
        let _ = ofd::unlock(self.probe, self.byte);
    }
}
