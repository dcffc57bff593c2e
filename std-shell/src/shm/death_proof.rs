//! Proves that an owner is dead, and keeps the proof while the lock is recovered.
//!
//! A query says that the owner's life byte is free. Then we lock the byte ourselves. If that is
//! granted, the owner is dead, **and** no new handle can draw its token until we unlock the byte.
//! Only then does the owner word change. The query alone is not enough: before the change, another
//! handle could draw the same token and acquire, and the lock would be taken from a living owner.
//!
//! Both count only through a descriptor that is itself (`sys/descriptor.rs`). Other code of this
//! process may have closed ours, and through `/dev/null` in its place every byte reads as free. So
//! the descriptor must be itself before the byte is locked, and again **after** it was granted. Its
//! description is pinned meanwhile. So the byte stays locked even if the number is closed before
//! the word is swapped.
//!
//! *If the number is exchanged in the instant before the byte is locked*, a stranger's description
//! gets the lock. Nothing is recovered, and nothing is unlocked: the stranger may be the owner
//! itself. If it is another handle of this process on this lock, the dead owner looks alive until
//! that handle is closed.

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

/// Returns the state of an owner, through a descriptor that is itself before and after;
/// [`OwnerState::Unknown`] if there is none.
pub(crate) fn life_of_owner(shared: &Attachment, owner: Token) -> OwnerState {
    let look =
        |probe: &Descriptor| Some(life_of(probe.as_fd(), owner)).filter(|_| probe.is_itself());
    shared.with_probe(look).flatten().unwrap_or(OwnerState::Unknown)
}

/// The kernel's byte locks, as the core's proof of death.
///
/// The probe is a description that holds no lock at rest, and in particular not our own token.
/// Through our own description our locks would be invisible, and unlocking a dead owner's byte
/// could drop our identity.
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
            let _turn = self.shared.proof_turn()?; // or else it counts as alive for now
            let _no_fork = NoForkGuard::begin(); // a child would keep the byte
            let _proof = ProvenDead::new(probe, self.shared.birth(), owner)?;
            Some(act())
        };
        // First through the number as it is: one system call, and nearly always the owner lives. A
        // false *alive* only costs time: each 17th answer is checked (`shm/attach/probe.rs`).
        if self.shared.trust_probe()
            && life_of(self.shared.probe().as_fd(), owner) == OwnerState::Alive
        {
            return None;
        }
        self.shared.with_probe(prove).flatten()
    }
}

/// A dead owner's byte, locked by us until the drop.
struct ProvenDead<'a> {
    probe: &'a Descriptor,
    birth: ProcessGeneration,
    byte: u32,
    /// Keeps the byte locked even if the number is closed. Dropped after the byte was unlocked.
    _pin: Option<Pin>,
}

impl<'a> ProvenDead<'a> {
    fn new(probe: &'a Descriptor, birth: ProcessGeneration, owner: Token) -> Option<Self> {
        let byte = byte_of(owner);
        // Without memory for a mapping we recover all the same: the alternative is a lock that no
        // process can acquire. The byte is lost only if the number is closed in the instant of the
        // swap. That does harm only if the same token of 2^30 is drawn in that instant.
        let pin = probe.pin(birth).ok();
        // Immediately before the lock: other threads may have run during `pin`.
        if !probe.is_itself() {
            return None;
        }
        // Refused: the owner lives, or another process recovers from it at this moment. A failed
        // call counts as alive.
        let granted = ofd::try_lock(probe.as_fd(), Kind::Write, byte).unwrap_or(false);
        // Granted by our file, if the descriptor is still itself; then the pin is of the same
        // description.
        (granted && probe.is_itself()).then_some(Self { probe, birth, byte, _pin: pin })
    }
}

impl Drop for ProvenDead<'_> {
    fn drop(&mut self) {
        // In a child that a signal handler has forked meanwhile, the description and the byte are
        // the parent's.
        if self.birth.is_here() && self.probe.is_itself() {
            // Unlocking a range that the description holds cannot fail.
            let _ = ofd::unlock(self.probe.as_fd(), self.byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use shmlock_core::contend::Liveness;

    use super::KernelProof;
    use crate::ShmLock;

    #[test]
    fn of_two_handles_on_one_attachment_one_proves_a_death_at_a_time() {
        let name = format!("test-proof-turn-{}", std::process::id());
        let lock = ShmLock::open(&name).expect("opens");
        let dead = ShmLock::open(&name).expect("opens").token;
        let (mut one, mut other) =
            (KernelProof { shared: &lock.shared }, KernelProof { shared: &lock.shared });
        let nested = one.while_dead(dead, || other.while_dead(dead, || ()));
        assert_eq!(nested, Some(None), "both have the byte by one description");
        assert_eq!(other.while_dead(dead, || ()), Some(()), "the turn has come");
    }
}
