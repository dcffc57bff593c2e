//! Keeps the descriptor `B`, through which an attached handle queries the byte locks of others.

use std::os::fd::BorrowedFd;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use crate::error::{Error, Result};
use crate::layout::lock_bytes::UNUSED;
use crate::shm::file::FileSpec;
use crate::sys::descriptor::{Descriptor, Role};
use crate::sys::ofd;

/// The number of queries through `B` between two checks that it is itself. A check takes two system
/// calls. Arbitrary beyond that.
const QUERIES_PER_CHECK: u32 = 16;

/// The descriptor `B` of an attachment.
#[derive(Debug)]
pub(super) struct Probe {
    descriptor: Descriptor,
    /// The queries since `B` was known to be itself.
    unchecked: AtomicU32,
}

impl Probe {
    pub(super) fn new(descriptor: Descriptor) -> Self {
        Self { descriptor, unchecked: AtomicU32::new(0) }
    }

    /// Returns the descriptor, which may not be itself.
    #[inline]
    pub(super) fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    pub(super) fn descriptor_mut(&mut self) -> &mut Descriptor {
        &mut self.descriptor
    }

    /// Counts a query. Returns `true` if it needs no check, or if `B` is itself.
    ///
    /// A check is needed now and then: a stranger's file with a lock on every byte would report the
    /// owner as alive for ever.
    #[inline]
    pub(super) fn trust(&self) -> bool {
        // Relaxed, here and below: one number, of the handles that share `B`. A lost count delays a
        // check.
        let unchecked = self.unchecked.load(Relaxed);
        if unchecked < QUERIES_PER_CHECK {
            self.unchecked.store(unchecked + 1, Relaxed);
            return true;
        }
        let is_itself = self.descriptor.is_itself();
        if is_itself {
            self.unchecked.store(0, Relaxed);
        }
        is_itself
    }

    /// Returns the link count of the file; `None` if `B` is not itself.
    pub(super) fn links(&self) -> Option<u64> {
        let links = self.descriptor.links();
        if links.is_none() {
            self.unchecked.store(QUERIES_PER_CHECK, Relaxed); // the next query is checked
        }
        links
    }

    /// Opens the file again by its name. `None` if that fails, or if the name leads to another
    /// file.
    pub(super) fn reopen(&self, place: &FileSpec) -> Option<Descriptor> {
        let fresh = Descriptor::new(place.open().ok()??).ok()?;
        if fresh.identity() != self.descriptor.identity() {
            return None;
        }
        fresh.with_role(Role::Probe).ok()
    }
}

/// Checks that byte locks are real: `locked`, which another description has locked, reads as locked
/// through `probe`, and [`UNUSED`] as free. One system call if the answer itself proves that the
/// kernel has looked, otherwise three.
pub(crate) fn check_byte_locks(place: &FileSpec, probe: BorrowedFd<'_>, locked: u32) -> Result<()> {
    if ofd::is_single_lock_visible(probe, locked).map_err(|errno| place.no_byte_locks(errno))? {
        return Ok(());
    }
    let seen = |byte| ofd::is_locked(probe, byte).map_err(|errno| place.no_byte_locks(errno));
    if (seen(locked)?, seen(UNUSED)?) == (true, false) {
        return Ok(());
    }
    Err(Error::Unsupported {
        what: "a byte lock that other descriptions can see (F_OFD_GETLK)",
        path: place.path.clone(),
        errno: None,
    })
}
