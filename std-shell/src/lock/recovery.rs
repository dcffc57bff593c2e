//! Recovers the lock from a dead owner, and tells the new owner of the death.

use shmlock_core::contend::Liveness;
use shmlock_core::protocol::{self, Wake};
use shmlock_core::{Region, Token};

use crate::error::release::ReleaseError;
use crate::error::{Error, Result};
use crate::holder::{Holder, Recovered};
use crate::lock::handle::ShmLock;
use crate::shm::attach::Attachment;
use crate::shm::death_proof::KernelProof;
use crate::sys::futex;
use crate::tell::tell;

impl ShmLock {
    /// Returns what is known of an owner's death, while the protected data may be inconsistent.
    /// Returns `None` if this handle does not hold the lock.
    ///
    /// [`Guard::recovered`](crate::Guard::recovered) says what to do then. Never blocks.
    #[must_use]
    pub fn recovered(&self) -> Option<Recovered> {
        // A signal handler may find it in use. Then there is nothing to tell yet, or no more.
        let recovered = self.recovered.try_borrow().ok()?;
        if recovered.is_none() || !self.is_held() { None } else { recovered.clone() }
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
            .map_err(|found| self.error_of(self.overwritten(found)))?;
        self.recovered.replace(None);
        Ok(())
    }

    /// Notes for the new owner that an owner has died.
    #[cold]
    pub(crate) fn note_death(&self, region: Region<'_>, recovered_from: Option<Token>) {
        let dead = recovered_from.map(|token| Holder::former(region, token, self.settings.fence));
        if dead.is_some() {
            region.count_recovery();
        }
        self.recovered.replace(Some(Recovered { dead }));
    }

    /// Logs the death that was noted.
    #[cold]
    pub(crate) fn report_death(&self) {
        match self.recovered().and_then(|recovered| recovered.dead) {
            Some(dead) => tell!(Warn, "{self}: taken over from a dead owner, {dead}"),
            None => tell!(
                Warn,
                "{self}: an earlier owner died, and nobody has declared the data consistent"
            ),
        }
    }

    /// Releases a lock that was recovered on a file that has lost its name: another handle may hold
    /// a new lock of that name.
    #[cold]
    pub(crate) fn abandon_orphan(&self) -> Error {
        let word = self.shared.region().owner_word();
        if let Ok(Wake::One) = protocol::abandon(word, self.token, self.settings.fence) {
            futex::wake_one(word);
        }
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
