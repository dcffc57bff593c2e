//! Opens a lock's file and attaches this handle to its memory; detaches it again on drop.
//!
//! `A` and `B` are two open file descriptions of the same file. `A` holds our byte locks
//! (`layout/lock_bytes.rs`); `B` queries those of others. To *begin again* is to undo all steps,
//! pause, and go to step 1.
//!
//! # Opening
//!
//! 1. Open `A`, or create the file (`shm/create.rs`). *If we die here:* nothing is left, or a
//!    whole, free file.
//! 2. Open `B`. If it is another file, begin again. Each description gets a mark, by which its
//!    descriptor can be checked later (`sys/descriptor.rs`). `B` is opened this early because
//!    opening may fail for lack of descriptors: an opener that were present already would keep the
//!    last closer from removing the file.
//! 3. An opener that wants data, or an event, removes a stale one (`shm/stale_block.rs`). Then
//!    announce presence on `A`. If that is refused, another process is about to remove the file:
//!    begin again. *If we die from here on:* the kernel drops the locks of `A`.
//! 4. If the file has no name any more, it was removed before we were present: begin again. Check
//!    its size and its magic. Unless the magic proves that it is whole, allocate its memory: it may
//!    be half made or have holes.
//! 5. Map `A`, not for children. Check the magic word, and write it if it is zero.
//! 6. The caller locks the byte of its token on `A`.
//! 7. Through `B`, that byte must read as locked and [`UNUSED`] as free, which one query shows as
//!    a rule ([`check_byte_locks`]). Otherwise a sandbox only pretends to lock, and no owner could
//!    be proven alive or dead. Then `A` must be itself: so mapping, presence and token belong to
//!    one description. If it is not, begin again.
//! 8. Close the descriptor of `A`: from here on the mapping alone holds our identity. A handle with
//!    a lifeline keeps a duplicate, made in step 6 (`lock/lifeline.rs`).
//!
//! An opener that fails after step 3 leaves as a closer does: it may be the last one. PROTOCOL.md,
//! sections 9 and 10, lists each system call of opening and closing, and why it is needed.
//!
//! # In use
//!
//! Deaths are proven through `B`. Other code of the process may close it, so it is used only while
//! it is itself. If it is not, each use opens the file by its name. It compares the inode with that
//! of the mapping, which no other file can have meanwhile.
//!
//! # Closing
//!
//! 1. If `B` is not itself, open another description by name. Then unmap: token and presence go.
//! 2. If we get the write lock on the presence byte, the word is free, and the file has its name:
//!    remove it (`shm/removal.rs`).
//! 3. Close `B`, if it is itself.
//!
//! The word is read in step 2 and not before. Otherwise a closer that reads it as held, and so
//! leaves the file to the owner, may still be present when the owner closes: neither of them would
//! remove the file.
//!
//! A signal handler may fork at any step. The child that returns here has copies of `A` and `B`,
//! but neither the mapping nor an identity. It begins again as soon as it notices
//! ([`ProcessGeneration::is_here`]), and unlocks nothing through its copies.
//!
//! *If we die anywhere:* a free file stays until the next handle closes. *If we are stopped* in
//! step 2 with the presence byte, openers wait for us; [`Error::OpenTimedOut`] tells them.

#![allow(unsafe_code, reason = "keeps views beside the mapping that they point into")]

mod pending;
mod probe;

use std::os::fd::AsFd;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};
use rustix::io::Errno;
use shmlock_core::Region;

use crate::error::{Error, MAP, NotALockReason, Result};
use crate::layout::header::Header;
#[cfg(doc)]
use crate::layout::lock_bytes::UNUSED;
#[cfg(feature = "block")]
use crate::shm::data::Data;
use crate::shm::file::FileSpec;
use crate::shm::mapping::Mapping;
use crate::shm::removal::{LastSeen, UnlinkPolicy, remove_if_last};
use crate::sys::descriptor::Descriptor;
use crate::sys::file_id::FileId;
use crate::sys::fork::ProcessGeneration;
use crate::sys::fork_gate::{self, NoForkGuard};
use crate::sys::pin::{Pin, PinPlace};
use pending::PendingOpen;
use probe::Probe;
pub(crate) use probe::check_byte_locks;

/// The pause before an opening begins again while another process closes. Arbitrary: some ten times
/// what closing takes. It matters only where processes open and close all the time.
const RETRY_PAUSE: Duration = Duration::from_micros(100);

/// An attached region.
///
/// Invariant: `region` and `header` point into `mapping`, which is `Some` until the drop.
#[derive(Debug)]
#[repr(C)] // the fields of every acquisition first, next to those of the handle
pub(crate) struct Attachment {
    region: Region<'static>,
    birth: ProcessGeneration,
    header: &'static Header,
    place: FileSpec,
    policy: UnlinkPolicy,
    mapping: Option<Mapping>,
    b: Probe,
    /// A thread proves a death through `B`, see `shm/share/mod.rs`.
    proving: AtomicBool,
    /// For the next proof of a death: keeps the description of `B`.
    pin: PinPlace,
}

impl Attachment {
    /// Attaches to the file of `place`, steps 1 to 8. `claim` is step 6: it gets `A`, the region
    /// and the process in which that is mapped, and returns the byte that step 7 checks.
    ///
    /// Blocks while another process closes, for at most `patience`.
    pub(crate) fn enter<T>(
        place: &FileSpec,
        policy: UnlinkPolicy,
        patience: Duration,
        claim: impl Fn(&Descriptor, Region<'_>, ProcessGeneration) -> Result<(T, u32)>,
    ) -> Result<(Self, T)> {
        fork_gate::register();
        let start = Instant::now();
        loop {
            let birth = ProcessGeneration::here();
            match Self::try_enter(place, birth, policy, &claim) {
                Ok(None) => {}
                Ok(Some(entered)) => return Ok(entered),
                Err(error) if birth.is_here() => return Err(error),
                Err(_) => continue, // a child of a signal handler's fork: begins again for itself
            }
            let waited = start.elapsed();
            if waited >= patience {
                return Err(Error::OpenTimedOut { path: place.path.clone(), waited });
            }
            std::thread::sleep(RETRY_PAUSE);
        }
    }

    /// Tries all steps once. `None`: begin again.
    fn try_enter<T>(
        place: &FileSpec,
        birth: ProcessGeneration,
        policy: UnlinkPolicy,
        claim: impl Fn(&Descriptor, Region<'_>, ProcessGeneration) -> Result<(T, u32)>,
    ) -> Result<Option<(Self, T)>> {
        let _no_fork = NoForkGuard::begin(); // until `A` is closed
        let Some(mapped) = MappedOpen::try_new(place, birth, policy)? else { return Ok(None) };
        let claimed = claim(&mapped.pending.a, mapped.region, birth);
        let Some((claimed, byte)) = mapped.pending.unless_exchanged(claimed)? else {
            return Ok(None);
        };
        Ok(mapped.finish(byte)?.map(|shared| (shared, claimed)))
    }

    /// Returns the shared words. Not to be called in a forked child: [`is_ours`](Self::is_ours)
    /// first.
    #[inline]
    pub(crate) fn region(&self) -> Region<'_> {
        self.region
    }

    /// Returns the region and the header for as long as the attachment lives.
    ///
    /// # Safety
    ///
    /// Neither is used after the attachment is dropped, nor in a forked child.
    pub(super) unsafe fn views(&self) -> (Region<'static>, &'static Header) {
        (self.region, self.header)
    }

    /// Begins a proof through `B`. `None` while another handle on this attachment proves a death:
    /// a lock through `B` would not exclude it.
    pub(crate) fn proof_turn(&self) -> Option<ProofTurn<'_>> {
        // Partner: the drop of the turn. The later proof sees the bytes and the word as the former
        // one left them.
        (!self.proving.swap(true, Acquire)).then(|| ProofTurn(&self.proving))
    }

    /// Prepares the next proof: pins the description of `B`, unless another thread forks or proves a
    /// death. A waiter has the time for that before it sleeps again, and not when an owner has died.
    /// Never waits. Async-signal-safe; some six system calls, or none if it is prepared.
    pub(crate) fn prepare_proof(&self) {
        if self.pin.is_empty() {
            self.make_pin();
        }
    }

    #[cold]
    fn make_pin(&self) {
        let b = self.probe();
        if !b.is_itself() {
            return; // a stranger's file is not to be mapped
        }
        let Some(_no_fork) = NoForkGuard::try_begin() else { return }; // a child would keep it
        // A pin that was made beside a proof would keep what that has locked.
        let Some(_turn) = self.proof_turn() else { return };
        let pin = if self.is_ours() { b.pin(self.birth).ok() } else { None };
        // Of our description, if the number still leads there afterwards.
        if let Some(pin) = pin.filter(|_| b.is_itself()) {
            self.put_pin(pin);
        }
    }

    /// Keeps a pin of `B` for the next proof. In a turn, while `B` holds no lock.
    pub(crate) fn put_pin(&self, pin: Pin) {
        self.pin.fill(pin);
    }

    /// Takes the prepared pin. In a turn, or when the attachment ends.
    pub(crate) fn take_pin(&self) -> Option<Pin> {
        self.pin.take(self.birth)
    }

    /// Returns the data; `None` in a forked child.
    #[cfg(feature = "block")]
    pub(crate) fn data(&self) -> Option<Data<'_>> {
        let mapping = self.mapping.as_ref().filter(|_| self.is_ours())?;
        // SAFETY: borrowed from `self`, whose drop alone drops the mapping.
        Some(unsafe { mapping.data() })
    }

    /// Returns `true` if this process made the attachment. Async-signal-safe.
    #[inline]
    pub(crate) fn is_ours(&self) -> bool {
        self.birth.is_here()
    }

    #[inline]
    pub(crate) fn birth(&self) -> ProcessGeneration {
        self.birth
    }

    /// Runs `act` with a description that holds no lock at rest: `B`, or a fresh one while `B` is
    /// not itself. `None`: there is none, so nothing can be proven.
    pub(crate) fn with_probe<R>(&self, act: impl FnOnce(&Descriptor) -> R) -> Option<R> {
        if self.b.descriptor().is_itself() {
            return Some(act(self.b.descriptor()));
        }
        self.b.reopen(&self.place).as_ref().map(act)
    }

    /// Returns the descriptor of `B`, which may not be itself.
    #[inline]
    pub(crate) fn probe(&self) -> &Descriptor {
        self.b.descriptor()
    }

    /// Returns `true` if a query through `B` counts without a check that it is itself.
    #[inline]
    pub(crate) fn trust_probe(&self) -> bool {
        self.b.trust()
    }

    /// Returns `true` if the file was removed while we are attached to it. Two system calls.
    ///
    /// Without `B` the name decides, if the directory is still on the file system of our file: in a
    /// changed root or mount namespace the name says nothing.
    pub(crate) fn is_orphaned(&self) -> bool {
        match self.b.links() {
            Some(links) => links == 0,
            None => self.place.has_lost(self.identity()),
        }
    }

    /// Makes an event of the file, for the processes that watch it: sets its times, through `B`
    /// while
    /// that is itself. utimensat(2). Async-signal-safe.
    #[cold]
    pub(crate) fn make_event(&self) {
        let now = || Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        if self.probe().is_itself() {
            let times = Timestamps { last_access: now(), last_modification: now() };
            let _ = futimens(self.probe(), &times); // refused as well: the tick of the watchers
        }
    }

    pub(crate) fn identity(&self) -> FileId {
        self.b.descriptor().identity()
    }

    pub(crate) fn place(&self) -> &FileSpec {
        &self.place
    }
}

/// The right to prove a death through the `B` of an attachment.
pub(crate) struct ProofTurn<'a>(&'a AtomicBool);

impl Drop for ProofTurn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Release); // partner: `proof_turn`
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let Some(mapping) = self.mapping.take() else { return };
        if !self.birth.is_here() {
            // A forked child: the mapping is the parent's, and its address may be in use here.
            mapping.forget();
            return;
        }
        let _no_fork = NoForkGuard::begin(); // `B` holds a lock only in here
        drop(self.take_pin()); // it would keep what is locked from here on
        // Before the mapping goes: until then no other file can have its inode.
        let fresh = if self.probe().is_itself() { None } else { self.b.reopen(&self.place) };
        drop(mapping);
        let b = fresh.as_ref().unwrap_or(self.probe());
        let seen =
            remove_if_last(&self.place, b, self.birth, || self.policy.allows_unlink(b.as_fd()));
        if seen == LastSeen::Itself && fresh.is_none() {
            self.b.descriptor_mut().close_as_seen();
        }
    }
}

/// A mapped opening, after step 5. The region and the header point into the mapping, and are not
/// used after it.
struct MappedOpen<'p> {
    region: Region<'static>,
    header: &'static Header,
    // Dropped before `pending`, which leaves the file: the mapping must be gone by then.
    mapping: Mapping,
    pending: PendingOpen<'p>,
}

impl<'p> MappedOpen<'p> {
    /// Makes steps 1 to 5. `None`: begin again.
    fn try_new(
        place: &'p FileSpec,
        birth: ProcessGeneration,
        policy: UnlinkPolicy,
    ) -> Result<Option<Self>> {
        let Some(pending) = PendingOpen::try_new(place, birth, policy)? else { return Ok(None) };
        let system =
            |operation, errno| Error::System { operation, path: place.path.clone(), errno };
        let a = pending.a.as_fd();
        let mapping =
            Mapping::new(a, place.shape.file_len(), birth).map_err(|errno| system(MAP, errno));
        let Some(mapping) = pending.unless_exchanged(mapping)? else { return Ok(None) };
        mapping.populate().map_err(|errno| match errno {
            Errno::FAULT => place.not_a_lock(NotALockReason::Size { bytes: 0 }),
            errno => system("allocate memory for", errno),
        })?;
        if !birth.is_here() {
            return Err(system("map", Errno::INTR)); // not mapped here; `enter` begins again
        }
        // SAFETY: `MappedOpen` and `Attachment` keep the region beside the mapping, and hand it out
        // only by a shorter borrow.
        let region = unsafe { mapping.region() }.map_err(|error| place.not_a_region(error))?;
        // SAFETY: as the region.
        let header = unsafe { mapping.header() };
        Ok(Some(Self { region, header, mapping, pending }))
    }

    /// Makes steps 7 and 8. `None`: begin again.
    fn finish(mut self, own_byte: u32) -> Result<Option<Attachment>> {
        let Some(b) = &self.pending.b else { return Ok(None) };
        let checked = check_byte_locks(self.pending.place, b.as_fd(), own_byte);
        // `B` needs no check if it sees our lock: only another description of our file does.
        if self.pending.unless_exchanged(checked)?.is_none() || !self.pending.a.is_itself() {
            return Ok(None);
        }
        if !self.pending.birth.is_here() {
            return Ok(None);
        }
        let Some(b) = self.pending.b.take() else { return Ok(None) };
        self.pending.a.close_as_seen();
        Ok(Some(Attachment {
            place: self.pending.place.clone(),
            policy: self.pending.policy,
            birth: self.pending.birth,
            region: self.region,
            header: self.header,
            mapping: Some(self.mapping),
            b: Probe::new(b),
            proving: AtomicBool::new(false),
            pin: PinPlace::new(),
        }))
    }
}
