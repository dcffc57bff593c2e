//! Offers the proof of life as a descriptor, for a program that works under the lock and may
//! outlive its owner.
//!
//! The mapping alone pins our identity (`shm/mapping.rs`), and no child inherits it. A lifeline is
//! a second pin: a descriptor of the same description `A`. Token and presence then last until the
//! mapping and every copy of the descriptor are gone.

use std::os::fd::{AsFd, BorrowedFd};

use crate::identity::lifeline::Lifeline;
use crate::identity::presence;
use crate::layout::lock_bytes::byte_of;
use crate::lock::handle::ShmLock;
use crate::sys::descriptor::Descriptor;
use crate::sys::file_id::FileId;
use crate::sys::ofd;

impl ShmLock {
    /// Returns the descriptor that keeps this handle's hold alive; `None` unless
    /// [`Builder::lifeline`](crate::Builder::lifeline) asked for it.
    ///
    /// It is for starting a program that works under the lock. While any process has a copy of the
    /// descriptor, the lock is not recovered from this handle, even if this process dies. When this
    /// process has died and the last copy is closed, the next owner is told of the death, by *this*
    /// process's id and description. The descriptor has no other use, and the program need not know
    /// of it.
    ///
    /// It is close-on-exec. Let the child inherit it in one of two ways. Either clear that flag in
    /// the child, between fork and exec. Or pass a duplicate without it, as below, and close the
    /// duplicate as soon as the child runs.
    ///
    /// A release takes no notice of the copies. Closing the handle ends the proof for all of them.
    ///
    /// # Limits
    /// * A child that inherits it by mistake keeps a dead owner's lock held until the child ends.
    ///   With an inheritable duplicate, that is any program that another thread starts in the same
    ///   instant. A child forked without exec has a copy in any case, until it closes it or drops
    ///   its copy of the handle.
    /// * A program that closes all descriptors it does not know, as daemons do, ends its proof.
    /// * After exec without fork the program itself is the owner. It cannot release; its end is a
    ///   death.
    ///
    /// # Examples
    // In a process of its own: a program that is starting keeps what other threads were just
    // opening (`sys/fork_gate.rs`).
    /// ```standalone_crate
    /// use std::process::Command;
    ///
    /// let lock = shmlock::ShmLock::builder("doc-lifeline").lifeline(true).open()?;
    /// let guard = lock.lock()?;
    /// let line = lock.lifeline().expect("asked for").try_clone_to_owned()?;
    /// rustix::io::fcntl_setfd(&line, rustix::io::FdFlags::empty())?; // inherited from here on
    /// let mut child = Command::new("true").spawn()?;
    /// drop(line);
    /// child.wait()?; // if we are killed here, the lock is held until `true` has ended
    /// drop(guard);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn lifeline(&self) -> Option<BorrowedFd<'_>> {
        self.lifeline.as_ref().map(|line| line.a.as_fd())
    }

    /// Ends the proof of life for all copies of the descriptor. From here on our token may be given
    /// to another handle.
    pub(crate) fn cut_lifeline(&self) {
        // Other code may have closed the number, and it leads to another description now: a byte
        // that is unlocked there may be another handle's identity. Then our copies, if there are
        // any, prove our life until they are closed.
        if let Some(Lifeline { a }) =
            self.lifeline.as_ref().filter(|line| self.is_our_identity(&line.a))
        {
            // Unlocking what the description holds cannot fail.
            let _ = ofd::unlock(a.as_fd(), byte_of(self.token));
            let _ = presence::withdraw(a.as_fd());
            a.mark_again();
        }
    }

    /// Returns `true` if the descriptor leads to the description that holds our token. Only while
    /// the mapping lives.
    ///
    /// The mark alone is no proof: programs with a copy of the descriptor share its position, and
    /// may move it. But a byte lock conflicts with every description except its own.
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
