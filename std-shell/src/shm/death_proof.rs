//! Proves that an owner is dead, and keeps the proof while the lock is taken over.

use std::os::fd::AsFd;

use shmlock_core::Token;
use shmlock_core::contend::Liveness;

use crate::identity::liveness::{OwnerState, life_of};
use crate::layout::lock_bytes::byte_of;
use crate::shm::attach::Attachment;
use crate::sys::descriptor::Descriptor;
use crate::sys::fork::ProcessGeneration;
use crate::sys::fork_gate::NoForkGuard;
use crate::sys::ofd::{self, Kind};
use crate::sys::pin::Pin;

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
