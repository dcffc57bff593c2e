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
//! the word is swapped. A waiter that has slept before has made the pin then, if it could
//! (`Attachment::prepare_proof`).
//!
//! *If the number is exchanged in the instant before the byte is locked*, a stranger's description
//! gets the lock. Nothing is recovered, and nothing is unlocked: the stranger may be the owner
//! itself. If it is another handle of this process on this lock, the dead owner looks alive until
//! that handle is closed.

use std::os::fd::AsFd;
use std::ptr;

use shmlock_core::Token;
use shmlock_core::contend::Liveness;

use crate::identity::liveness::{OwnerState, life_of};
use crate::layout::lock_bytes::byte_of;
use crate::shm::attach::Attachment;
use crate::sys::descriptor::Descriptor;
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
        // First through the number as it is: one system call, and nearly always the owner lives. A
        // false *alive* only costs time: each 17th answer is checked (`shm/attach/probe.rs`).
        let b = self.shared.probe();
        let asked = self.shared.trust_probe().then(|| life_of(b.as_fd(), owner));
        if asked == Some(OwnerState::Alive) {
            return None;
        }
        let prove = |probe: &Descriptor| {
            let is_dead = |state| state == OwnerState::Dead;
            // `B` is not asked twice: a false *dead* is refused the byte.
            let was_asked = ptr::eq(probe, b) && asked.is_some_and(is_dead);
            if !(was_asked || is_dead(life_of(probe.as_fd(), owner))) {
                return None;
            }
            let _turn = self.shared.proof_turn()?; // or else it counts as alive for now
            let _no_fork = NoForkGuard::begin(); // a child would keep the byte
            let _proof = ProvenDead::new(self.shared, probe, owner)?;
            Some(act())
        };
        self.shared.with_probe(prove).flatten()
    }
}

/// A dead owner's byte, locked by us until the drop.
struct ProvenDead<'a> {
    shared: &'a Attachment,
    probe: &'a Descriptor,
    byte: u32,
    /// Keeps the byte locked even if the number is closed. Dropped after the byte was unlocked.
    pin: Option<Pin>,
}

impl<'a> ProvenDead<'a> {
    /// Locks the byte of the owner. In a turn.
    fn new(shared: &'a Attachment, probe: &'a Descriptor, owner: Token) -> Option<Self> {
        let byte = byte_of(owner);
        let prepared = if ptr::eq(probe, shared.probe()) { shared.take_pin() } else { None };
        // Without memory for a mapping we recover all the same: the alternative is a lock that no
        // process can acquire. The byte is lost only if the number is closed in the instant of the
        // swap. That does harm only if the same token of 2^30 is drawn in that instant.
        let pin = prepared.or_else(|| probe.pin(shared.birth()).ok());
        // Immediately before the lock: other threads may have run since the last check.
        if !probe.is_itself() {
            return None;
        }
        // Refused: the owner lives, or another process recovers from it at this moment. A failed
        // call counts as alive.
        if !ofd::try_lock(probe.as_fd(), Kind::Write, byte).unwrap_or(false) {
            return None; // nothing is to be unlocked
        }
        // Granted by our file, if the descriptor is still itself; then the pin is of the same
        // description.
        if !probe.is_itself() {
            return None; // the pin goes, and the byte with it, if our description granted it
        }
        Some(Self { shared, probe, byte, pin })
    }
}

impl Drop for ProvenDead<'_> {
    fn drop(&mut self) {
        // In a child that a signal handler has forked meanwhile, the description and the byte are
        // the parent's.
        if !(self.shared.is_ours() && self.probe.is_itself()) {
            return;
        }
        // Unlocking a range that the description holds cannot fail.
        let _ = ofd::unlock(self.probe.as_fd(), self.byte);
        if let Some(pin) = self.pin.take() {
            // For the next proof, if it was our description that was unlocked.
            if ptr::eq(self.probe, self.shared.probe()) && self.probe.is_itself() {
                self.shared.put_pin(pin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(unsafe_code, reason = "exchanges a descriptor")]

    use std::os::fd::{AsFd, AsRawFd};

    use shmlock_core::contend::Liveness;

    use super::KernelProof;
    use crate::ShmLock;
    use crate::layout::lock_bytes::byte_of;
    use crate::sys::ofd;

    /// Another thread closes the number in the middle of a proof, and the next file gets it.
    #[test]
    fn a_byte_is_locked_until_the_end_of_a_proof_and_no_longer_though_the_number_was_closed() {
        // Alone: a child that another test forks has a copy of the number, and keeps the description.
        shmlock_tests::alone!(|| {
            for is_prepared in [false, true] {
                let name = format!("test-proof-number-{}", std::process::id());
                let lock = ShmLock::open(&name).expect("opens");
                let observer = lock.shared.place().open().expect("no error").expect("the file");
                let dead = ShmLock::open(&name).expect("opens").token;
                if is_prepared {
                    lock.shared.prepare_proof();
                }
                let is_locked =
                    || ofd::is_locked(observer.as_fd(), byte_of(dead)).expect("a query");
                let null = std::fs::File::open("/dev/null").expect("it is there");
                let was_locked = KernelProof { shared: &lock.shared }.while_dead(dead, || {
                    lock.shared.prepare_proof(); // by another thread
                    let number = lock.shared.probe().as_fd().as_raw_fd();
                    // SAFETY: the number is the probe's, which is not itself then, and not closed.
                    assert!(unsafe { libc::dup2(null.as_raw_fd(), number) } >= 0);
                    is_locked()
                });
                assert_eq!(was_locked, Some(true), "prepared: {is_prepared}");
                assert!(!is_locked(), "prepared: {is_prepared}");
            }
        });
    }

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
