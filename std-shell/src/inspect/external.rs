//! Inspects a lock without a handle. The caller needs only the right to read its file.
//!
//! The file is read, not mapped: it may lie on a read-only mount, and a truncation meanwhile causes
//! no fault. No byte of it is locked: the inspection is not present, does not keep the file, and
//! delays no other process.

use std::fmt;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;

use rustix::io::Errno;
use shmlock_core::{FenceScope, Region};

use crate::error::Result;
use crate::holder::Holder;
use crate::identity::liveness::OwnerState;
use crate::inspect::statistics::Statistics;
use crate::inspect::status::{DEATH_CHECKS, LockState, LockStatus};
use crate::layout::header::{self, BlockLayout};
use crate::layout::lock_bytes::PRESENCE;
use crate::shm::file::FileSpec;
use crate::sys::descriptor::{Descriptor, Role};
use crate::sys::ofd;

/// The state of a lock as [`Builder::inspect`](crate::Builder::inspect) reads it from the file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Inspection {
    /// The owner; `None` if the lock is free.
    pub holder: Option<Holder>,
    /// The status. [`LockState::HeldByThisHandle`] does not occur: a handle of this process is
    /// [`Held`](LockState::Held), like any other.
    pub status: LockStatus,
    /// The counters.
    pub statistics: Statistics,
    /// The layout of the data beside the lock.
    pub layout: BlockLayout,
    /// `true` if a handle is open, or a copy of a [`lifeline`](crate::ShmLock::lifeline).
    pub in_use: bool,
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        self.holder.as_ref().map_or(Ok(()), |holder| write!(f, "; holder: {holder}"))
    }
}

/// Reads the lock from its file; `None` if there is no such lock.
pub(crate) fn inspect(file: &FileSpec, fence: FenceScope) -> Result<Option<Inspection>> {
    let Some(fd) = open(file)? else { return Ok(None) };
    let mut seen = read(file, &fd, fence)?;
    for _ in 0..DEATH_CHECKS {
        if seen.status.state != LockState::Held(OwnerState::Dead) {
            break;
        }
        // An owner that is not in the word any more has not died, see `status.rs`.
        let before = std::mem::replace(&mut seen, read(file, &fd, fence)?);
        if before.holder.map(|holder| holder.token()) == seen.holder.as_ref().map(Holder::token) {
            break;
        }
    }
    // Other code of this process may have closed the descriptor and opened another file on its
    // number.
    if fd.is_itself() { Ok(Some(seen)) } else { Err(file.system("inspect", Errno::BADF)) }
}

/// Returns the word of the exit event, and `true` if a handle is open; `None` if there is no such
/// event.
pub(crate) fn inspect_event(file: &FileSpec) -> Result<Option<(u32, bool)>> {
    let Some(fd) = open(file)? else { return Ok(None) };
    let copy = file.copy(fd.as_fd(), FenceScope::default())?;
    let region = Region::new(&copy).map_err(|error| file.not_a_region(error))?;
    let word = region.owner_word().load(Relaxed); // no partner: the copy is private
    let in_use = is_in_use(&fd);
    if fd.is_itself() { Ok(Some((word, in_use))) } else { Err(file.system("inspect", Errno::BADF)) }
}

/// Returns `true` if a handle is open on the file, or if the kernel does not say.
fn is_in_use(fd: &Descriptor) -> bool {
    ofd::is_locked(fd.as_fd(), PRESENCE).unwrap_or(true)
}

/// Opens the file for reading, and checks that it can be a lock.
fn open(file: &FileSpec) -> Result<Option<Descriptor>> {
    let Some(fd) = file.open_to_look()? else { return Ok(None) };
    let failed = |errno| file.system("inspect", errno);
    let (fd, stat) = Descriptor::with_stat(fd).map_err(failed)?;
    file.check_kind(&stat)?;
    let fd = fd.with_role(Role::Probe).map_err(failed)?;
    file.check_size(fd.as_fd(), &stat)?;
    Ok(Some(fd))
}

fn read(file: &FileSpec, fd: &Descriptor, fence: FenceScope) -> Result<Inspection> {
    let copy = file.copy(fd.as_fd(), fence)?;
    let region = Region::new(&copy).map_err(|error| file.not_a_region(error))?;
    let header = file.header(fd.as_fd())?;
    Ok(Inspection {
        holder: Holder::read(region, fence),
        status: LockStatus::of_copy(region, fd),
        statistics: Statistics::of(region, header::longest_hold_of(&header)),
        layout: BlockLayout::of_bytes(&header),
        in_use: is_in_use(fd),
    })
}
