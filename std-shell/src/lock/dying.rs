//! Leaves the lock to a dead owner, when a handle is closed that holds it by a leaked guard and
//! shares its attachment.
//!
//! A handle with an attachment of its own does nothing: its life byte goes with its mapping, and
//! the word names a dead owner. A shared attachment keeps the byte locked. So this handle takes the
//! lock over from itself, by a token of which nothing keeps the byte, and which describes the same
//! handle. The next contender recovers as ever.

use std::os::fd::AsFd;

use shmlock_core::protocol;

use crate::identity::token;
use crate::layout::lock_bytes::byte_of;
use crate::lock::handle::ShmLock;
use crate::sys::descriptor::Descriptor;
use crate::sys::fork_gate::NoForkGuard;
use crate::sys::ofd;

impl ShmLock {
    /// Makes the word name a dead owner, if it names this handle and its life byte will stay
    /// locked. The caller closes the handle.
    ///
    /// If the system refuses, the lock is freed with DIED. Either way the word does not name this
    /// handle any more: the next handle with its token would be taken for the owner.
    ///
    /// *If we die here:* the word names this handle or the other token, and both are dead.
    pub(crate) fn die_in_company(&self) {
        let shared = &self.shared;
        // The file first: a truncated one has no memory. Then the word itself, in case that the
        // file could not be read: only the owner may write the record.
        let is_owner = || shared.is_ours() && shared.region().word().is_owned_by(self.token);
        if !(shared.is_in_company() && shared.is_named() && is_owner()) {
            return;
        }
        let turn = shared.proof_turn();
        if turn.is_some() {
            drop(shared.take_pin()); // it would keep what is locked below
        }
        let is_dead = turn.is_some() && shared.with_probe(|b| self.die_by(b)).unwrap_or(false);
        drop(turn); // before the wake: the woken waiter may have to prove the death by the same `B`
        if !shared.is_ours() {
            return;
        }
        if is_dead {
            self.wake_one(shared.region().owner_word());
            // A contender that probed while the byte was locked may be about to sleep.
            shared.make_event();
        } else {
            token::free_stale(shared.region(), self.token, self.settings.fence);
        }
    }

    /// Takes the lock over by a token of which nothing keeps the byte; returns `true` if the word
    /// names it. The caller wakes a waiter.
    fn die_by(&self, b: &Descriptor) -> bool {
        let (region, fence) = (self.shared.region(), self.settings.fence);
        let _no_fork = NoForkGuard::begin(); // a child would keep the byte
        let drawn = token::random_bytes()
            .and_then(|random| token::draw(b.as_fd(), u32::from_ne_bytes(random), 1));
        let Ok(other) = drawn else { return false };
        // Otherwise a stranger's description may have the byte, and would vouch for the dead.
        if !b.is_itself() || !self.shared.is_ours() {
            return false;
        }
        let seen = region.holder(fence).and_then(|holder| holder.record);
        if let (Some(seen), Ok(record)) = (seen, self.record.try_borrow()) {
            region.write_encoded(other, &record, seen.since, fence);
        }
        // That the old token is dead is proven: it is ours. No handle gets it before we are gone.
        let taken = protocol::take_over(region.owner_word(), self.token, other, fence);
        if self.shared.is_ours() && b.is_itself() {
            let _ = ofd::unlock(b.as_fd(), byte_of(other)); // what we have locked
        }
        taken.is_some()
    }
}
