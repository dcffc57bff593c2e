//! Recovers the lock from a dead owner, and tells the new owner of the death.

use shmlock_core::contend::Liveness;
use shmlock_core::protocol;
use shmlock_core::{Region, Token};

use crate::error::release::ReleaseError;
use crate::error::{Error, Result};
use crate::holder::{Holder, Recovered};
use crate::lock::death_notice::DeathNotice;
use crate::lock::handle::ShmLock;
use crate::shm::attach::Attachment;
use crate::shm::death_proof::KernelProof;
use crate::tell::tell;

impl ShmLock {
    /// Returns the known facts about an owner's death, while the protected data may be
    /// inconsistent. Returns `None` if this handle does not hold the lock.
    ///
    /// [`Guard::recovered`](crate::Guard::recovered) says what to do then. Never blocks.
    #[must_use]
    #[inline]
    pub fn recovered(&self) -> Option<Recovered> {
        self.is_told_of_death().then(|| self.death_of_this_hold())
    }

    /// Returns `true` if this handle holds the lock, and the protected data may be inconsistent.
    #[inline]
    pub(crate) fn is_told_of_death(&self) -> bool {
        // The DIED flag decides.
        if !(self.holds.is_held() && self.shared.is_ours()) {
            return false;
        }
        let word = self.shared.region().word();
        word.owner_died() && word.is_owned_by(self.token)
    }

    /// Returns which owner has died, if this hold was told.
    #[cold]
    fn death_of_this_hold(&self) -> Recovered {
        let fencing_token = self.shared.region().fencing_token();
        // A signal handler that interrupts `note_death` finds the notice in use.
        let notice = self.death_notice.try_borrow().ok();
        let notice = notice.as_ref().and_then(|notice| notice.as_ref());
        notice
            .filter(|notice| notice.fencing_token == fencing_token)
            .map_or(Recovered { dead: None }, |notice| notice.recovered.clone())
    }

    /// Declares the protected data consistent: the DIED flag is cleared, and later owners are not
    /// told of the death. Never blocks.
    ///
    /// # Errors
    /// [`Error::NotHeld`], [`Error::Overwritten`], [`Error::ForkedHandle`].
    pub fn declare_consistent(&self) -> Result<()> {
        let region = self.region()?;
        if !self.holds.is_held() {
            return Err(self.error_of(ReleaseError::NotHeld));
        }
        protocol::declare_consistent(region.owner_word(), self.token)
            .map(drop)
            .map_err(|found| self.error_of(self.overwritten(found)))
    }

    /// Notes for the new owner which owner has died. Called before the acquisition is counted.
    #[cold]
    pub(crate) fn note_death(&self, region: Region<'_>, recovered_from: Option<Token>) {
        let dead = recovered_from.map(|token| Holder::former(region, token, self.settings.fence));
        if dead.is_some() {
            region.count_recovery();
        }
        // Another hold's notice stays if a signal handler acquires the lock in the middle of
        // `recovered`. It does not count for this hold.
        if let Ok(mut notice) = self.death_notice.try_borrow_mut() {
            let fencing_token = region.fencing_token().wrapping_add(1);
            *notice = Some(DeathNotice { fencing_token, recovered: Recovered { dead } });
        }
    }

    /// Logs the death that was noted.
    #[cold]
    pub(crate) fn report_death(&self) {
        match self.recovered().and_then(|recovered| recovered.dead) {
            Some(dead) => tell!(Warn, "{self}: recovered from a dead owner, {dead}"),
            None => tell!(
                Warn,
                "{self}: an earlier owner died, and the data has not been declared consistent since"
            ),
        }
    }

    /// Releases a lock that was recovered on a file that has lost its name: another handle may hold
    /// a new lock of that name.
    #[cold]
    pub(crate) fn abandon_orphan(&self) -> Error {
        let _ = self.abandon_word();
        self.orphaned()
    }
}

/// Proves a death, in the process whose region it is. A proof takes system calls, and a signal
/// handler may fork meanwhile.
pub(crate) struct ProofHere<'a> {
    shared: &'a Attachment,
    proof: KernelProof<'a>,
}

impl<'a> ProofHere<'a> {
    #[inline]
    pub(crate) fn new(shared: &'a Attachment) -> Self {
        Self { shared, proof: KernelProof { shared } }
    }
}

impl Liveness for ProofHere<'_> {
    fn while_dead<R>(&mut self, owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        let shared = self.shared;
        self.proof.while_dead(owner, || shared.is_ours().then(act)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::{DeathNotice, Recovered};
    use crate::ShmLock;

    #[test]
    fn a_handler_that_interrupts_a_query_of_the_death_acquires_and_releases() {
        let name = format!("test-death-notice-{}", std::process::id());
        let lock = ShmLock::open(&name).expect("opens");
        let other = DeathNotice { fencing_token: 1, recovered: Recovered { dead: None } };
        lock.death_notice.replace(Some(other));
        let interrupted = lock.death_notice.borrow();
        lock.acquire().expect("free");
        lock.release().expect("held");
        lock.acquire().expect("free");
        assert!(lock.force_release().expect("held"));
        drop(interrupted);
        let guard = lock.lock().expect("free");
        assert_eq!(guard.recovered(), None, "no owner has died");
    }
}
