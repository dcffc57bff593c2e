//! Our proof of life as a descriptor, for a program that is to go on under the lock even if we do
//! not.
//!
//! The mapping alone pins our identity (`mapping.rs`), and no child gets it. A lifeline is a second
//! pin: a descriptor of the same description `A`. Token and presence then last until mapping and
//! every copy of the descriptor are gone, wherever these have got to.

use std::os::fd::{AsFd, BorrowedFd};

use crate::identity::lifeline::Lifeline;
use crate::identity::presence;
use crate::layout::lock_bytes::byte_of;
use crate::lock::handle::ShmLock;
use crate::sys::descriptor::Descriptor;
use crate::sys::file_id::FileId;
use crate::sys::ofd;

impl ShmLock {
    /// The descriptor that keeps this handle's hold alive, if
    /// [`Builder::lifeline`](crate::Builder::lifeline) asked for one.
    ///
    /// For starting a program that is to work under the lock. Every process that has a copy of the
    /// descriptor vouches for this handle: while one is left, nobody takes the lock over, whatever
    /// becomes of us. When we have died and the last copy is closed, the next comer is told of a
    /// dead owner, by *our* process id and description. The descriptor is good for nothing else,
    /// and the program need not know of it.
    ///
    /// It is close-on-exec. So let the child inherit it: either clear that flag in the child,
    /// between fork and exec, or pass a duplicate without it, as below, and close that as soon as
    /// the child runs.
    ///
    /// Giving the lock back works as ever and does not ask for the copies. Closing the handle takes
    /// the proof back from all of them.
    ///
    /// # Limits
    /// * A child that gets it by mistake keeps a dead owner's lock held until it ends: with a
    ///   duplicate that is inherited, any program that another thread starts in the same instant.
    ///   Children that are forked without exec have a copy in any case, until they close it;
    ///   dropping their copy of the handle does.
    /// * Whoever closes all descriptors that it does not know, as daemons do, gives the proof up.
    /// * After exec without fork, the program itself is the owner. It cannot release; its end is a
    ///   death.
    ///
    /// # Examples
    // In a process of its own: a program that is starting keeps what other threads were just
    // opening (`fork_gate.rs`).
    /// ```standalone_crate
    /// use std::process::Command;
    ///
    /// let lock = shmlock::ShmLock::builder("doc-lifeline").lifeline(true).open()?;
    /// let guard = lock.lock()?;
    /// let line = lock.lifeline().expect("asked for").try_clone_to_owned()?;
    /// rustix::io::fcntl_setfd(&line, rustix::io::FdFlags::empty())?; // inherited from here on
    /// let mut child = Command::new("true").spawn()?;
    /// drop(line);
    /// child.wait()?; // should we be killed here, the lock is held until `true` has ended
    /// drop(guard);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn lifeline(&self) -> Option<BorrowedFd<'_>> {
        self.lifeline.as_ref().map(|line| line.a.as_fd())
    }

    /// Takes the proof of life back from whoever has a copy of the descriptor. From here on our
    /// token may be another's.
    pub(crate) fn cut_lifeline(&self) {
        // Other code may have closed the number: a byte that is unlocked through a stranger's
        // description may be another handle's identity. Then the copies, if there are any, vouch
        // for us until they are closed.
        if let Some(Lifeline { a }) =
            self.lifeline.as_ref().filter(|line| self.is_our_identity(&line.a))
        {
            // Unlocking what the description holds cannot fail.
            let _ = ofd::unlock(a.as_fd(), byte_of(self.token));
            let _ = presence::withdraw(a.as_fd());
            a.mark_again();
        }
    }

    /// Returns `true` if the descriptor leads to the description that holds our token. To be asked
    /// while the mapping lives.
    ///
    /// The mark alone does not say so: programs that have a copy of the descriptor share its
    /// position, and may move it. But a lock stands in the way of every description except its own.
    fn is_our_identity(&self, a: &Descriptor) -> bool {
        let is_locked = |fd: &Descriptor| ofd::is_locked(fd.as_fd(), byte_of(self.token)).ok();
        let is_the_holder = |probe: &Descriptor| {
            is_locked(probe) == Some(true) && probe.is_itself() && is_locked(a) == Some(false)
        };
        a.is_itself()
            || FileId::of_fd(a.as_fd()) == Some(a.identity())
                && self.shared.with_probe(is_the_holder).unwrap_or(false)
                && FileId::of_fd(a.as_fd()) == Some(a.identity())
    }
}
