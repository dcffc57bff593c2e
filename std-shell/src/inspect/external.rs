//! A look at a lock by one who has no handle: with the right to read its file, and no more.
//!
//! The file is read and not mapped, so that it may lie on a read-only mount and be truncated
//! meanwhile without a fault. No byte of it is locked: the looker is not present, keeps no file,
//! and stands in nobody's way.

use std::fmt;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;

use rustix::io::Errno;
use shmlock_core::{FenceScope, Region};

use crate::error::Result;
use crate::holder::Holder;
use crate::identity::liveness::OwnerState;
use crate::inspect::statistics::Statistics;
use crate::inspect::status::{LOOKS, LockState, LockStatus};
use crate::layout::header::{self, BlockLayout};
use crate::layout::lock_bytes::PRESENCE;
use crate::shm::file::FileSpec;
use crate::sys::descriptor::{Descriptor, Role};
use crate::sys::ofd;

/// A lock as it looks from outside, see [`Builder::inspect`](crate::Builder::inspect).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// Who holds it; `None` if nobody.
    pub holder: Option<Holder>,
    /// Its state. The occupancy is never [`LockState::HeldByThisHandle`]: this process's handles are
    /// seen as others are.
    pub health: LockStatus,
    /// How much it has been used.
    pub statistics: Statistics,
    /// What data there is beside it.
    pub shape: BlockLayout,
    /// Whether any handle is open on it, or any copy of a [`lifeline`](crate::ShmLock::lifeline).
    pub in_use: bool,
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.health)?;
        self.holder.as_ref().map_or(Ok(()), |holder| write!(f, "; holder: {holder}"))
    }
}

/// Looks at the lock; `None` if there is none.
pub(crate) fn inspect(place: &FileSpec, fence: FenceScope) -> Result<Option<Inspection>> {
    let Some(fd) = open(place)? else { return Ok(None) };
    let mut seen = look(place, &fd, fence)?;
    for _ in 0..LOOKS {
        if seen.health.occupancy != LockState::Held(OwnerState::Dead) {
            break;
        }
        // As in `inspect.rs`: whoever does not stand in the word any more has not died.
        let before = std::mem::replace(&mut seen, look(place, &fd, fence)?);
        if before.holder.map(|holder| holder.token()) == seen.holder.as_ref().map(Holder::token) {
            break;
        }
    }
    // Other code of this process may have closed the number, and what was read is of another file.
    if fd.is_itself() { Ok(Some(seen)) } else { Err(place.system("inspect", Errno::BADF)) }
}

/// Looks at the exit event; `None` if there is none. Its word, and whether any handle is open on
/// it.
pub(crate) fn inspect_event(place: &FileSpec) -> Result<Option<(u32, bool)>> {
    let Some(fd) = open(place)? else { return Ok(None) };
    let copy = place.copy(fd.as_fd(), FenceScope::default())?;
    let region = Region::new(&copy).map_err(|error| place.not_a_region(error))?;
    let word = region.owner_word().load(Relaxed); // partner: none, the copy is ours alone
    let in_use = is_in_use(&fd);
    if fd.is_itself() {
        Ok(Some((word, in_use)))
    } else {
        Err(place.system("inspect", Errno::BADF))
    }
}

/// Returns `true` if any handle is open on the file. In doubt one is, as for a handle that closes.
fn is_in_use(fd: &Descriptor) -> bool {
    ofd::is_locked(fd.as_fd(), PRESENCE).unwrap_or(true)
}

/// Opens the file for a look, if it is there and may be one of ours.
fn open(place: &FileSpec) -> Result<Option<Descriptor>> {
    let Some(fd) = place.open_to_look()? else { return Ok(None) };
    let failed = |errno| place.system("inspect", errno);
    let fd = Descriptor::new(fd).map_err(failed)?;
    place.check_kind(fd.as_fd())?;
    let fd = fd.with_role(Role::Probe).map_err(failed)?;
    place.check_size(fd.as_fd())?;
    Ok(Some(fd))
}

fn look(place: &FileSpec, fd: &Descriptor, fence: FenceScope) -> Result<Inspection> {
    let copy = place.copy(fd.as_fd(), fence)?;
    let region = Region::new(&copy).map_err(|error| place.not_a_region(error))?;
    let header = place.header(fd.as_fd())?;
    Ok(Inspection {
        holder: Holder::read(region, fence),
        health: LockStatus::of_copy(region, fd),
        statistics: Statistics::of(region, header::longest_hold_of(&header)),
        shape: BlockLayout::of_bytes(&header),
        in_use: is_in_use(fd),
    })
}
