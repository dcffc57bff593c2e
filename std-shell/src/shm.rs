//! One region of shared memory under one name, with us on it: entering, staying, leaving.
//!
//! # Entering, step by step
//!
//! `A` and `B` are two open file descriptions of the same file.
//!
//! 1. Open `A`, or make the file (`file.rs`). *If we die here:* nothing is left, or a whole, free file.
//! 2. Who wants data clears away what is left of a former life of it (`former.rs`). Presence on `A`. Busy: somebody is
//!    about to remove the file; start again. *If we die from here on:* the kernel drops whatever `A` holds.
//! 3. Does the file still have a name? If not, it was removed before we were present; start again. Has it the size and
//!    the magic of a lock? Give it memory, should it be half-made or a hole.
//! 4. Map `A`, not to be inherited by children; check and claim the magic word.
//! 5. The caller takes its token on `A`.
//! 6. Open `B`. Another file by now: start again. Through `B`, our own byte must read as locked, and one that
//!    nobody locks as free: where not, a sandbox only pretends to lock, and nobody could ever be proven alive or dead.
//! 7. Close the descriptor of `A`. From now on the mapping alone holds our identity; a copy of the descriptor, made in step
//!    5, stays if it was asked for (`lifeline.rs`).
//!
//! # Leaving
//!
//! 1. Unmap: token and presence go.
//! 2. If we get the presence byte for ourselves, and the word is free, and the file has its name: remove it.
//! 3. Close `B`.
//!
//! The word is looked at in step 2 and never before: with a look while others are present, who sees it held and leaves it
//! to the holder may still be present when the holder leaves, and then neither removes the file.
//!
//! *If we die anywhere:* a free file stays, and goes with the next who leaves. *If we are stopped* in step 2 with the
//! presence byte, openers wait for us: [`Error::OpenTimedOut`] says so.

#![allow(unsafe_code, reason = "keeps views beside the mapping that they point into")]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::{Errno, pread, retry_on_intr};
use shmlock_core::{Region, Word};

#[cfg(feature = "block")]
use crate::data::Data;
use crate::error::{Error, Found, Result};
use crate::file::{Identity, Place, is_nameless, is_unused};
use crate::fork::Birth;
use crate::fork_gate::{self, Stretch};
#[cfg(feature = "block")]
use crate::former;
#[cfg(feature = "block")]
use crate::header::BlockShape;
use crate::header::Header;
use crate::mapping::Mapping;
use crate::{ofd, presence};

/// How long to sleep between two tries to enter while somebody leaves. A leaver needs about 10 µs for its four system
/// calls; this is a compromise between waiting and burning, and matters only when processes come and go all the time.
const RETRY_PAUSE: Duration = Duration::from_micros(100);

/// A byte that nobody locks: that of a static token. A sandbox that says "locked" here says so of every byte.
pub(crate) const UNUSED: u32 = presence::PRESENCE + 1;

/// When does the word's content keep the file?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// A word that is not clean: somebody died holding the lock, and nobody has declared the data consistent since.
    Marked,
    /// Nothing does.
    Nothing,
}

/// Half-way in: present and mapped through `A`, without `B`. Dropping it leaves again.
pub(crate) struct Entrance<'p> {
    place: &'p Place,
    keep: Keep,
    /// Whether the file is our own work. Before step 6 we do not know that byte locks are what they seem, and so may
    /// take nobody else's file away.
    made: bool,
    region: Region<'static>,
    header: &'static Header,
    mapping: Option<Mapping>,
    a: OwnedFd,
}

/// A region we are on.
///
/// Invariant: `region` and `header` point into `mapping`, which is `Some` until the drop.
#[derive(Debug)]
#[repr(C)] // so that what every acquisition needs stands first, beside what it needs of the handle
pub(crate) struct Shared {
    region: Region<'static>,
    birth: Birth,
    header: &'static Header,
    identity: Identity,
    place: Place,
    keep: Keep,
    mapping: Option<Mapping>,
    b: OwnedFd,
}

impl Shared {
    /// Enters the region of `place`, steps 1 to 7; `claim` is step 5 and names the byte to be checked in step 6.
    ///
    /// Blocks while somebody leaves, for at most `patience`.
    pub(crate) fn enter<T>(
        place: &Place,
        keep: Keep,
        patience: Duration,
        claim: impl Fn(BorrowedFd<'_>, Region<'_>) -> Result<(T, u32)>,
    ) -> Result<(Self, T)> {
        fork_gate::keep();
        let start = Instant::now();
        loop {
            {
                let _stretch = Stretch::begin(); // ends after `A` is closed
                if let Some(entrance) = Entrance::try_enter(place, keep)? {
                    let (claimed, byte) = claim(entrance.a.as_fd(), entrance.region)?;
                    if let Some(shared) = entrance.seal(byte)? {
                        return Ok((shared, claimed));
                    }
                }
            }
            let waited = start.elapsed();
            if waited >= patience {
                return Err(Error::OpenTimedOut { path: place.path.clone(), waited });
            }
            std::thread::sleep(RETRY_PAUSE);
        }
    }

    /// The words we share. Not to be called in a forked child: [`is_ours`](Self::is_ours) first.
    #[inline]
    pub(crate) fn region(&self) -> Region<'_> {
        self.region
    }

    /// The line behind the region. As [`region`](Self::region), not to be called in a forked child.
    #[inline]
    pub(crate) fn header(&self) -> &Header {
        self.header
    }

    /// The data behind that; none in a forked child.
    #[cfg(feature = "block")]
    pub(crate) fn data(&self) -> Option<Data<'_>> {
        let mapping = self.mapping.as_ref().filter(|_| self.is_ours())?;
        // SAFETY: borrowed from `self`, whose drop alone drops the mapping.
        Some(unsafe { mapping.data() })
    }

    /// Whether this process is the one that entered. Async-signal-safe.
    #[inline]
    pub(crate) fn is_ours(&self) -> bool {
        self.birth.is_here()
    }

    #[inline]
    pub(crate) fn birth(&self) -> Birth {
        self.birth
    }

    /// A description that holds no lock at rest: for looking at others' bytes.
    pub(crate) fn probe(&self) -> BorrowedFd<'_> {
        self.b.as_fd()
    }

    /// Whether the file was removed under us. One system call.
    pub(crate) fn is_orphaned(&self) -> bool {
        is_nameless(self.b.as_fd())
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }
}

impl<'p> Entrance<'p> {
    /// Steps 1 to 4. `None`: start again.
    fn try_enter(place: &'p Place, keep: Keep) -> Result<Option<Self>> {
        let (a, made) = match place.open()? {
            Some(fd) => (fd, false),
            None => match place.create()? {
                Some(fd) => (fd, true),
                // At once: should our time be over by now, a file that we have made empty would stay.
                None => match place.open()? {
                    Some(fd) => (fd, false),
                    None => return Ok(None),
                },
            },
        };
        if !made {
            place.judge(a.as_fd())?;
            #[cfg(feature = "block")]
            if place.shape != BlockShape::NONE && former::clear_away(place, a.as_fd(), || may_go(a.as_fd(), keep)) {
                return Ok(None);
            }
            if !presence::announce(a.as_fd()).map_err(|errno| place.no_byte_locks(errno))? || is_nameless(a.as_fd()) {
                return Ok(None);
            }
            place.check_size(a.as_fd())?;
            place.check_magic(a.as_fd())?;
            if !place.allocate(a.as_fd()).inspect_err(|_| undo_empty(place, a.as_fd()))? {
                return Ok(None);
            }
        }
        let (region, header, mapping) = Self::map(place, a.as_fd()).inspect_err(|_| {
            if made && presence::withdraw(a.as_fd()).is_ok() {
                place.remove_if_last(a.as_fd(), || may_go(a.as_fd(), keep));
            }
        })?;
        Ok(Some(Self { place, keep, made, region, header, mapping: Some(mapping), a }))
    }

    /// Step 4.
    fn map(place: &Place, a: BorrowedFd<'_>) -> Result<(Region<'static>, &'static Header, Mapping)> {
        let system = |operation, errno| Error::System { operation, path: place.path.clone(), errno };
        let mapping = Mapping::new(a, place.shape.file_len()).map_err(|errno| system("map", errno))?;
        mapping.populate().map_err(|errno| match errno {
            Errno::FAULT => place.not_a_lock(Found::Size { bytes: 0 }),
            errno => system("allocate memory for", errno),
        })?;
        // SAFETY: `Entrance` and `Shared` keep the region beside the mapping, and hand it out only by a shorter borrow.
        let region = unsafe { mapping.region() }.map_err(|error| place.not_a_region(error))?;
        // SAFETY: as the region.
        let header = unsafe { mapping.header() };
        Ok((region, header, mapping))
    }

    /// Steps 6 and 7. `None`: start again.
    fn seal(mut self, own_byte: u32) -> Result<Option<Shared>> {
        let Some(b) = self.place.open()? else { return Ok(None) };
        let (Some(identity), Some(other)) = (Identity::of_fd(self.a.as_fd()), Identity::of_fd(b.as_fd())) else {
            return Ok(None);
        };
        if identity != other {
            return Ok(None);
        }
        check_byte_locks(self.place, b.as_fd(), own_byte)?;
        Ok(Some(Shared {
            place: self.place.clone(),
            keep: self.keep,
            birth: Birth::here(),
            identity,
            region: self.region,
            header: self.header,
            mapping: self.mapping.take(),
            b,
        }))
    }
}

impl Drop for Entrance<'_> {
    fn drop(&mut self) {
        // Sealed: `Shared` has the mapping, and only the descriptor of `A` goes.
        let Some(mapping) = self.mapping.take() else { return };
        drop(mapping);
        if self.made && presence::withdraw(self.a.as_fd()).is_ok() {
            self.place.remove_if_last(self.a.as_fd(), || may_go(self.a.as_fd(), self.keep));
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let Some(mapping) = self.mapping.take() else { return };
        if !self.birth.is_here() {
            // A forked child: the mapping is the parent's, and something else may stand at its address here.
            mapping.forget();
            return;
        }
        let _stretch = Stretch::begin(); // `B` has a lock only in here
        drop(mapping);
        self.place.remove_if_last(self.b.as_fd(), || may_go(self.b.as_fd(), self.keep));
    }
}

/// Whether `locked`, which another description has locked, reads as locked through `probe`, and a byte that nobody locks
/// as free.
pub(crate) fn check_byte_locks(place: &Place, probe: BorrowedFd<'_>, locked: u32) -> Result<()> {
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

/// Whether the word, read through the file because the mapping is gone, lets the file go.
fn may_go(fd: BorrowedFd<'_>, keep: Keep) -> bool {
    if keep == Keep::Nothing {
        return true;
    }
    let mut word = [0; 4];
    match retry_on_intr(|| pread(fd, &mut word, 0)) {
        Ok(4) => Word::from_bits(u32::from_le_bytes(word)).is_clean(),
        Ok(read) => read == 0, // still empty: never was a lock
        Err(_) => false,
    }
}

/// Takes an empty file away again that could not be made whole.
fn undo_empty(place: &Place, a: BorrowedFd<'_>) {
    if presence::withdraw(a).is_ok() {
        place.remove_if_last(a, || is_unused(a));
    }
}
