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

use std::os::fd::{AsFd, BorrowedFd};

use shmlock_core::Token;
use shmlock_core::contend::Liveness;
use shmlock_core::token::TokenRange;

use crate::descriptor::Descriptor;
use crate::fork::ProcessGeneration;
use crate::fork_gate::NoForkGuard;
use crate::mapping::Pin;
use crate::ofd::{self, Kind};
use crate::shm::Attachment;
use crate::token::byte_of;

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

/// As [`life_of`], through a descriptor that is itself before and after; [`OwnerState::Unknown`] if there
/// is none.
pub(crate) fn life_of_owner(shared: &Attachment, owner: Token) -> OwnerState {
    let look =
        |probe: &Descriptor| Some(life_of(probe.as_fd(), owner)).filter(|_| probe.is_itself());
    shared.with_probe(look).flatten().unwrap_or(OwnerState::Unknown)
}

/// The kernel's byte locks as the core's proof of death.
///
/// The probe is a description that holds no lock at rest, and in particular not our own token: our
/// own locks would be invisible through it, and unlocking an adopted byte would drop our identity.
#[derive(Debug)]
pub(crate) struct KernelProof<'a> {
    pub(crate) shared: &'a Attachment,
}

impl Liveness for KernelProof<'_> {
    fn while_dead<R>(&mut self, owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        let prove = |probe: &Descriptor| {
            if life_of(probe.as_fd(), owner) != OwnerState::Dead {
                return None;
            }
            let _stretch = NoForkGuard::begin(); // a child would keep the byte
            let _adopted = Adopted::new(probe, self.shared.birth(), owner)?;
            Some(act())
        };
        // First through whatever the number leads to: one call, and nearly always the owner lives.
        // A false *alive* costs time only, for it is not believed again and again.
        if self.shared.is_probe_believed()
            && life_of(self.shared.probe().as_fd(), owner) == OwnerState::Alive
        {
            return None;
        }
        self.shared.with_probe(prove).flatten()
    }
}

/// A dead owner's byte in our hands; unlocked on drop.
struct Adopted<'a> {
    probe: &'a Descriptor,
    birth: ProcessGeneration,
    byte: u32,
    /// Keeps the byte whatever becomes of the number. Dropped after the byte was unlocked.
    _pin: Option<Pin>,
}

impl<'a> Adopted<'a> {
    fn new(probe: &'a Descriptor, birth: ProcessGeneration, owner: Token) -> Option<Self> {
        let byte = byte_of(owner);
        // Without memory for a mapping a recovery is still better than a lock that nobody gets any
        // more: the byte could go only with the number, in the instant of the swap, and harm only
        // if the same token of 2^30 was drawn in it.
        let pin = probe.pin(birth).ok();
        // Immediately before: `pin` may have let other threads run.
        if !probe.is_itself() {
            return None;
        }
        // Refused: it lives, or a rival adopts it right now. A probe that fails counts as alive.
        let granted = ofd::try_lock(probe.as_fd(), Kind::Write, byte).unwrap_or(false);
        // Granted by which file? The pin is of the same description, if this is so.
        (granted && probe.is_itself()).then_some(Self { probe, birth, byte, _pin: pin })
    }
}

impl Drop for Adopted<'_> {
    fn drop(&mut self) {
        // In a child that a signal handler has forked meanwhile the description, and so the byte,
        // is the parent's.
        if self.birth.is_here() && self.probe.is_itself() {
            // Unlocking a range that the description holds cannot fail.
            let _ = ofd::unlock(self.probe.as_fd(), self.byte);
        }
    }
}
