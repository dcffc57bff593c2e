//! Implements the guard: a hold on the fleet lock.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use shmlock::Guard;

use crate::error::{Error, Result};
use crate::loss::Loss;
use crate::session::Session;

/// A hold on the fleet lock, which its drop ends.
///
/// It ends by itself as well: see [`is_lost`](Self::is_lost). Dropping deletes the own key,
/// revokes the lease, and then releases the local lock. It blocks for the answers of the servers,
/// and until a call of [`on_loss`](crate::FleetBuilder::on_loss) that has begun is over. If the
/// servers do not answer, it gives up after the
/// [request timeout](crate::FleetBuilder::request_timeout), and the lease ends by itself after the
/// TTL. A guard is not `Send`.
///
/// In a forked child, the guard of the parent counts as lost, and its drop does nothing.
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct FleetGuard<'a> {
    // Dropped in this order: the fleet before the machine, so that a local successor finds no key
    // of ours.
    session: Option<Session>,
    _mark: HeldMark<'a>,
    local: Guard<'a>,
    name: &'a str,
}

/// Says in the handle that it holds the lock.
pub(crate) struct HeldMark<'a>(&'a Cell<bool>);

impl<'a> HeldMark<'a> {
    /// Returns `None` if the handle holds the lock already.
    pub(crate) fn set(is_held: &'a Cell<bool>) -> Option<Self> {
        // Not `then_some`: a mark that is made and dropped would end the other's.
        (!is_held.replace(true)).then(|| Self(is_held))
    }
}

impl Drop for HeldMark<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl<'a> FleetGuard<'a> {
    pub(crate) fn new(
        session: Session,
        mark: HeldMark<'a>,
        local: Guard<'a>,
        name: &'a str,
    ) -> Self {
        Self { session: Some(session), _mark: mark, local, name }
    }

    /// Returns the fencing token: the create revision of the own key in etcd.
    ///
    /// It grows with every acquisition of the lock by any machine. Send it with each request to
    /// the protected resource, which must refuse a token smaller than the greatest it has seen.
    /// Never blocks.
    ///
    /// # Limits
    /// A cluster that is restored from a backup counts its revisions from the backup on, so tokens
    /// repeat, unless it is restored with `etcdutl snapshot restore --bump-revision`.
    #[must_use]
    pub fn fencing_token(&self) -> u64 {
        self.session
            .as_ref()
            .map_or(0, |session| u64::try_from(session.token()).unwrap_or_default())
    }

    /// Returns `true` once the lock is lost: another machine may hold it.
    ///
    /// It is true past the own deadline, whatever a server says, and for good. The deadline is the
    /// instant at which the last successful renewal was sent, plus the TTL, minus the margin, on
    /// the clock that counts suspended time (`CLOCK_BOOTTIME`). A process that was stopped finds
    /// out with its first call. Never blocks on the network.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.loss().is_some()
    }

    /// Returns the reason if the lock is lost. Never blocks on the network.
    #[must_use]
    pub fn loss(&self) -> Option<Loss> {
        self.session.as_ref().and_then(Session::loss)
    }

    /// Returns the time that is left until the own deadline; zero once the lock is lost.
    ///
    /// Renewals move the deadline. An action that takes longer than this time may end after
    /// another machine has acquired the lock. Never blocks on the network.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.session.as_ref().map_or(Duration::ZERO, Session::left)
    }

    /// Returns for how long the own deadline has passed; zero if the lock is not lost, or was lost
    /// for another reason. Never blocks on the network.
    ///
    /// Once this time exceeds the margin, another machine may have acquired the lock.
    #[must_use]
    pub fn overdue(&self) -> Duration {
        self.session.as_ref().map_or(Duration::ZERO, Session::overdue)
    }

    /// Checks that the lock is not lost. Never blocks on the network.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub fn check(&self) -> Result<()> {
        match self.loss() {
            None => Ok(()),
            Some(loss) => Err(Error::Lost { name: self.name.to_owned(), loss }),
        }
    }

    /// Returns the hold on the local lock, which tells of the death of a local owner.
    pub fn local(&self) -> &Guard<'a> {
        &self.local
    }

    /// Ends the hold, and returns what went wrong. A drop does the same silently.
    ///
    /// Blocks as a drop does. The local lock is released in any case.
    ///
    /// # Errors
    /// * [`Error::Lost`] if the lock was lost before: another machine may have acquired it while
    ///   this process worked on.
    /// * [`Error::Forked`] in a forked child. Nothing was changed.
    /// * Else that of the server: **what was done under the lock is safe, but others may have to
    ///   wait**. The key may be there until its lease ends, after the TTL at most.
    ///
    /// A lease whose key is deleted, but which could not be revoked, is no error: the lock is
    /// released, and the lease ends by itself. So is a deletion whose first answer was lost, if it
    /// is then found to be done.
    pub fn release(mut self) -> Result<()> {
        if self.session.as_ref().is_some_and(Session::is_inherited) {
            return Err(Error::Forked);
        }
        let loss = self.loss();
        let Some(session) = self.session.take() else { return Ok(()) };
        let withdrawn = session.withdraw();
        let failed = |loss| Err(Error::Lost { name: self.name.to_owned(), loss });
        match (loss, withdrawn) {
            (Some(loss), _) => failed(loss),
            (None, Ok(false)) => failed(Loss::KeyGone),
            (None, Ok(true)) => Ok(()),
            (None, Err(error)) => Err(error),
        }
    }
}

impl fmt::Debug for FleetGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetGuard")
            .field("name", &self.name)
            .field("fencing_token", &self.fencing_token())
            .field("loss", &self.loss())
            .finish_non_exhaustive()
    }
}
