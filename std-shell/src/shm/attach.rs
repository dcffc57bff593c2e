//! One region of shared memory under one name, with us on it: entering, staying, leaving.
//!
//! # Entering, step by step
//!
//! `A` and `B` are two open file descriptions of the same file.
//!
//! 1. Open `A`, or make the file (`file.rs`). *If we die here:* nothing is left, or a whole, free
//!    file.
//! 2. Open `B`. Another file by now: start again. Both descriptors are marked, so that later each
//!    can be known to be itself (`descriptor.rs`). `B` comes this early because an opener that has
//!    announced itself and then finds no descriptor left would keep the last closer from removing
//!    the file.
//! 3. An opener that wants data, or an event, clears away what is left of a former life of it
//!    (`former.rs`). Presence on `A`. Busy: another process is about to remove the file; start
//!    again. *If we die from here on:* the kernel drops whatever `A` holds.
//! 4. Does the file still have a name? If not, it was removed before we were present; start again.
//!    Has it the size and the magic of a lock? Give it memory, should it be half-made or a hole.
//! 5. Map `A`, not to be inherited by children; check and claim the magic word.
//! 6. The caller takes its token on `A`.
//! 7. Through `B`, our own byte must read as locked, and one that nobody locks as free: where not,
//!    a sandbox only pretends to lock, and nobody could ever be proven alive or dead. `A` must be
//!    itself: then mapping, presence and token are of one description. If it is not, start again.
//! 8. Close the descriptor of `A`. From now on the mapping alone holds our identity; a copy of the
//!    descriptor, made in step 6, stays if it was asked for (`lifeline.rs`).
//!
//! An opener that fails after step 3 leaves as a closer does: it may be the last one by then.
//!
//! # Staying
//!
//! `B` is what deaths are proven through. Other code of the process may close it, so it serves only
//! while it is itself. When it is not, each use opens the file anew by its name and compares the
//! inode with that of the mapping, which no other file can have meanwhile.
//!
//! # Leaving
//!
//! 1. Unmap: token and presence go. (If `B` is not itself, another description is opened by name
//!    before.)
//! 2. If we get the presence byte for ourselves, and the word is free, and the file has its name:
//!    remove it (`removal.rs`).
//! 3. Close `B`, if it is itself.
//!
//! The word is looked at in step 2 and never before: with a look while others are present, a closer
//! that sees it held, and leaves it to the holder, may still be present when the holder leaves, and
//! then neither removes the file.
//!
//! A signal handler may fork at any step of either. The child that comes back here has copies of
//! `A` and `B`, but neither the mapping nor an identity. So it begins again as soon as it notices
//! (`ProcessGeneration::is_here`), and takes nothing back by its copies.
//!
//! *If we die anywhere:* a free file stays, and goes with the next process that leaves. *If we are
//! stopped* in step 2 with the presence byte, openers wait for us: [`Error::OpenTimedOut`] says so.

#![allow(unsafe_code, reason = "keeps views beside the mapping that they point into")]

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rustix::io::{Errno, pread, retry_on_intr};
use shmlock_core::Region;

use crate::error::{Error, MAP, NotALockReason, Result};
use crate::identity::presence;
use crate::layout::header::{BlockLayout, Header};
use crate::layout::lock_bytes::UNUSED;
#[cfg(feature = "block")]
use crate::shm::data::Data;
use crate::shm::file::FileSpec;
use crate::shm::mapping::Mapping;
use crate::shm::removal::{UnlinkPolicy, is_really_alone, remove_if_last};
use crate::shm::stale_block;
use crate::sys::descriptor::{Descriptor, Role};
use crate::sys::file_id::FileId;
use crate::sys::fork::ProcessGeneration;
use crate::sys::fork_gate::{self, NoForkGuard};
use crate::sys::ofd;

/// How long to sleep between two tries to enter while somebody leaves. A leaver needs about 10 µs
/// for its four system calls; this is a compromise between waiting and burning, and matters only
/// when processes come and go all the time.
const RETRY_PAUSE: Duration = Duration::from_micros(100);

/// How many answers of `B` are believed on its number alone, before it is asked again whether it is
/// itself. Two more system calls in so many refused tries; arbitrary beyond that.
const BELIEVED: u32 = 16;

/// Half-way in: present through `A`. Dropping it leaves again.
pub(crate) struct PendingOpen<'p> {
    place: &'p FileSpec,
    birth: ProcessGeneration,
    keep: UnlinkPolicy,
    /// Whether the file is our own work.
    made: bool,
    a: Descriptor,
    /// `None` once it has been handed on: only the descriptor of `A` goes then.
    b: Option<Descriptor>,
}

/// A mapped entrance. The region and the header point into the mapping; neither is used after it.
struct Inside<'p> {
    region: Region<'static>,
    header: &'static Header,
    // Before the entrance: it leaves only after the mapping is gone.
    mapping: Mapping,
    entrance: PendingOpen<'p>,
}

/// A region we are on.
///
/// Invariant: `region` and `header` point into `mapping`, which is `Some` until the drop.
#[derive(Debug)]
#[repr(C)] // so that what every acquisition needs stands first, beside what it needs of the handle
pub(crate) struct Attachment {
    region: Region<'static>,
    birth: ProcessGeneration,
    header: &'static Header,
    identity: FileId,
    place: FileSpec,
    keep: UnlinkPolicy,
    mapping: Option<Mapping>,
    b: Descriptor,
    /// How many answers were believed since `B` was known to be itself.
    believed: AtomicU32,
}

impl Attachment {
    /// Enters the region of `place`, steps 1 to 8; `claim` is step 6 and names the byte to be
    /// checked in step 7. It is told in which process the region is mapped.
    ///
    /// Blocks while another process leaves, for at most `patience`.
    pub(crate) fn enter<T>(
        place: &FileSpec,
        keep: UnlinkPolicy,
        patience: Duration,
        claim: impl Fn(&Descriptor, Region<'_>, ProcessGeneration) -> Result<(T, u32)>,
    ) -> Result<(Self, T)> {
        fork_gate::keep();
        let start = Instant::now();
        loop {
            let birth = ProcessGeneration::here();
            match Self::try_enter(place, birth, keep, &claim) {
                Ok(None) => {}
                Ok(Some(entered)) => return Ok(entered),
                Err(error) if birth.is_here() => return Err(error),
                Err(_) => continue, // a child that a signal handler has forked: at once, for itself
            }
            let waited = start.elapsed();
            if waited >= patience {
                return Err(Error::OpenTimedOut { path: place.path.clone(), waited });
            }
            std::thread::sleep(RETRY_PAUSE);
        }
    }

    /// Tries it once. `None`: start again.
    fn try_enter<T>(
        place: &FileSpec,
        birth: ProcessGeneration,
        keep: UnlinkPolicy,
        claim: impl Fn(&Descriptor, Region<'_>, ProcessGeneration) -> Result<(T, u32)>,
    ) -> Result<Option<(Self, T)>> {
        let _stretch = NoForkGuard::begin(); // ends after `A` is closed
        let Some(inside) = Inside::try_enter(place, birth, keep)? else { return Ok(None) };
        let claimed = claim(&inside.entrance.a, inside.region, birth);
        let Some((claimed, byte)) = inside.entrance.judged(claimed)? else { return Ok(None) };
        Ok(inside.seal(byte)?.map(|shared| (shared, claimed)))
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
    pub(crate) fn birth(&self) -> ProcessGeneration {
        self.birth
    }

    /// Runs `act` with a description that holds no lock at rest, for looking at others' bytes: `B`,
    /// or another one while `B` is not itself. `None`: there is none, so nothing can be proven.
    pub(crate) fn with_probe<R>(&self, act: impl FnOnce(&Descriptor) -> R) -> Option<R> {
        if self.b.is_itself() {
            return Some(act(&self.b));
        }
        self.reopen().as_ref().map(act)
    }

    /// `B`, which may not be itself.
    pub(crate) fn probe(&self) -> &Descriptor {
        &self.b
    }

    /// Returns `true` if the number of `B` may be asked without a look whether it is itself. Not
    /// for ever: a stranger's file with a lock on every byte answers each time that the owner
    /// lives.
    pub(crate) fn is_probe_believed(&self) -> bool {
        // Relaxed, here and below: one number, which this handle alone reads.
        let believed = self.believed.load(Relaxed);
        if believed < BELIEVED {
            self.believed.store(believed + 1, Relaxed);
            return true;
        }
        let is_itself = self.b.is_itself();
        if is_itself {
            self.believed.store(0, Relaxed);
        }
        is_itself
    }

    /// Opens the file anew by its name; `None` if it cannot be opened or the name leads to another
    /// file.
    fn reopen(&self) -> Option<Descriptor> {
        let fresh = Descriptor::new(self.place.open().ok()??).ok()?;
        if fresh.identity() == self.identity { fresh.with_role(Role::Probe).ok() } else { None }
    }

    /// Returns `true` if the file was removed under us. Two system calls.
    ///
    /// Without `B` the name decides, where the directory is still on the file system of our file:
    /// in a changed root or mount namespace the name says nothing.
    pub(crate) fn is_orphaned(&self) -> bool {
        let Some(links) = self.b.links() else {
            self.believed.store(BELIEVED, Relaxed); // the next probe asks
            return self.place.has_lost(self.identity);
        };
        links == 0
    }

    pub(crate) fn identity(&self) -> FileId {
        self.identity
    }

    pub(crate) fn place(&self) -> &FileSpec {
        &self.place
    }
}

impl<'p> PendingOpen<'p> {
    /// Steps 1 to 4. `None`: start again.
    fn try_enter(
        place: &'p FileSpec,
        birth: ProcessGeneration,
        keep: UnlinkPolicy,
    ) -> Result<Option<Self>> {
        let (a, made) = match place.open()? {
            Some(fd) => (fd, false),
            None => match place.create()? {
                Some(fd) => (fd, true),
                // At once: should our time be over by now, a file that we have made empty would
                // stay.
                None => match place.open()? {
                    Some(fd) => (fd, false),
                    None => return Ok(None),
                },
            },
        };
        let failed = |errno| place.system("inspect", errno);
        let a = Descriptor::new(a).map_err(failed)?;
        if !made {
            place.judge(a.as_fd())?;
        }
        let a = a.with_role(Role::Identity).map_err(failed)?;
        let b = Self::open_second(place, &a).inspect_err(|_| {
            if made && birth.is_here() && presence::withdraw(a.as_fd()).is_ok() {
                remove_if_last(place, &a, birth, || keep.may_go(a.as_fd()));
            }
        })?;
        let Some(b) = b else { return Ok(None) };
        if made {
            return Ok(Some(Self { place, birth, keep, made, a, b: Some(b) }));
        }
        let begins_anew = keep == UnlinkPolicy::Always || place.shape != BlockLayout::NONE;
        if begins_anew && stale_block::clear_away(place, keep, birth, &a, &b) {
            return Ok(None);
        }
        match presence::announce(a.as_fd()) {
            Ok(true) => {}
            Err(errno) if a.is_itself() => return Err(place.no_byte_locks(errno)),
            Ok(false) | Err(_) => return Ok(None),
        }
        let entrance = Self { place, birth, keep, made, a, b: Some(b) };
        if entrance.a.links().is_none_or(|links| links == 0) {
            return Ok(None);
        }
        let a = entrance.a.as_fd();
        let content = place
            .check_size(a)
            .and_then(|()| place.check_magic(a))
            .and_then(|()| place.allocate(a));
        Ok(entrance.judged(content)?.unwrap_or(false).then_some(entrance))
    }
}

impl PendingOpen<'_> {
    /// Step 2. `None`: the name leads to another file by now, or to none.
    fn open_second(place: &FileSpec, a: &Descriptor) -> Result<Option<Descriptor>> {
        let Some(fd) = place.open()? else { return Ok(None) };
        let b = Descriptor::new(fd).map_err(|errno| place.system("inspect", errno))?;
        if b.identity() != a.identity() {
            return Ok(None);
        }
        b.with_role(Role::Probe).map(Some).map_err(|errno| place.system("inspect", errno))
    }

    /// Passes on what a step has come to. `None`, for an error while a descriptor is not itself: it
    /// may be of another file, so start again.
    fn judged<T>(&self, result: Result<T>) -> Result<Option<T>> {
        match result {
            Err(_) if !self.is_itself() => Ok(None),
            result => result.map(Some),
        }
    }

    fn is_itself(&self) -> bool {
        self.a.is_itself() && self.b.as_ref().is_some_and(Descriptor::is_itself)
    }
}

impl<'p> Inside<'p> {
    /// Steps 1 to 5. `None`: start again.
    fn try_enter(
        place: &'p FileSpec,
        birth: ProcessGeneration,
        keep: UnlinkPolicy,
    ) -> Result<Option<Self>> {
        let Some(entrance) = PendingOpen::try_enter(place, birth, keep)? else { return Ok(None) };
        let system =
            |operation, errno| Error::System { operation, path: place.path.clone(), errno };
        let a = entrance.a.as_fd();
        let mapping =
            Mapping::new(a, place.shape.file_len(), birth).map_err(|errno| system(MAP, errno));
        let Some(mapping) = entrance.judged(mapping)? else { return Ok(None) };
        mapping.populate().map_err(|errno| match errno {
            Errno::FAULT => place.not_a_lock(NotALockReason::Size { bytes: 0 }),
            errno => system("allocate memory for", errno),
        })?;
        if !birth.is_here() {
            return Err(system("map", Errno::INTR)); // it is not there; `enter` begins again
        }
        // SAFETY: `Inside` and `Attachment` keep the region beside the mapping, and hand it out only by
        // a shorter borrow.
        let region = unsafe { mapping.region() }.map_err(|error| place.not_a_region(error))?;
        // SAFETY: as the region.
        let header = unsafe { mapping.header() };
        Ok(Some(Self { region, header, mapping, entrance }))
    }

    /// Steps 7 and 8. `None`: start again.
    fn seal(mut self, own_byte: u32) -> Result<Option<Attachment>> {
        let Some(b) = &self.entrance.b else { return Ok(None) };
        let seen = check_byte_locks(self.entrance.place, b.as_fd(), own_byte);
        if !self.entrance.is_itself() {
            return Ok(None); // whatever was seen
        }
        seen?;
        if !self.entrance.birth.is_here() {
            return Ok(None);
        }
        let Some(b) = self.entrance.b.take() else { return Ok(None) };
        Ok(Some(Attachment {
            place: self.entrance.place.clone(),
            keep: self.entrance.keep,
            birth: self.entrance.birth,
            identity: b.identity(),
            region: self.region,
            header: self.header,
            mapping: Some(self.mapping),
            b,
            believed: AtomicU32::new(0),
        }))
    }
}

impl Drop for PendingOpen<'_> {
    fn drop(&mut self) {
        let Some(b) = self.b.take() else { return };
        // In a forked child the presence is the parent's to take back.
        let is_ours = self.birth.is_here() && self.a.is_itself();
        if !(is_ours && presence::withdraw(self.a.as_fd()).is_ok()) {
            return;
        }
        // Before step 7 we do not know that byte locks are what they seem, nor perhaps whether the
        // file is a lock.
        let may_go = || {
            let is_ours = || self.place.is_a_lock(b.as_fd()) || is_empty(b.as_fd());
            self.made || is_ours() && is_really_alone(b.as_fd())
        };
        remove_if_last(self.place, &self.a, self.birth, || {
            self.keep.may_go(self.a.as_fd()) && may_go()
        });
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let Some(mapping) = self.mapping.take() else { return };
        if !self.birth.is_here() {
            // A forked child: the mapping is the parent's, and something else may stand at its
            // address here.
            mapping.forget();
            return;
        }
        let _stretch = NoForkGuard::begin(); // `B` has a lock only in here
        // Before the mapping goes: until then no other file can have its inode.
        let fresh = if self.b.is_itself() { None } else { self.reopen() };
        drop(mapping);
        let b = fresh.as_ref().unwrap_or(&self.b);
        remove_if_last(&self.place, b, self.birth, || self.keep.may_go(b.as_fd()));
    }
}

/// Whether `locked`, which another description has locked, reads as locked through `probe`, and a
/// byte that nobody locks as free.
pub(crate) fn check_byte_locks(place: &FileSpec, probe: BorrowedFd<'_>, locked: u32) -> Result<()> {
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

/// Returns `true` for a file that another process has made and not grown yet.
fn is_empty(fd: BorrowedFd<'_>) -> bool {
    matches!(retry_on_intr(|| pread(fd, &mut [0; 4], 0)), Ok(0))
}
