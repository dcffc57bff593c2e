//! Implements [`PhysicalRegion`]: memory that this process shares with other processors, mapped.

#![allow(unsafe_code, reason = "the caller promises what the memory is")]

use std::num::NonZeroU16;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

use shmlock_core::fence::{FenceScope, FullSystem};
use shmlock_core::ticket::{TicketPlace, TicketRegion};
use shmlock_core::{Region, RegionLock, TicketLock};

use super::error::PhysicalError;
use super::memory::{Memory, MemorySource};
use super::range::Extent;
use super::request::{Request, SYSFS, name_of, open_device};
use super::source::Identified;
use crate::sys::range_mapping::{Children, RangeMapping};

/// A range of memory that other processors share: mapped, not yet a lock.
///
/// [The module](super) has a list of the sources, and says which are cached.
///
/// Opening maps the pages and accesses none of them, except that those of a plain file or a dma-buf
/// are populated. [`word_lock`](Self::word_lock) makes a lock of the first 128 bytes, and
/// [`ticket_lock`](Self::ticket_lock) one of 64 more for each party. The bytes behind them, up to
/// the length that was given, are for the data: see [`address`](Self::address).
///
/// # Fork
///
/// The mapping is not inherited by a child of fork(2), `MADV_DONTFORK`: a lock that the child has
/// copied would be a second contender with the first one's token. An access of the child is a plain
/// `SIGSEGV`. The child opens a region of its own, and a lock with a token of its own.
#[derive(Debug)]
pub struct PhysicalRegion {
    mapping: RangeMapping,
    memory: Memory,
    source: MemorySource,
    path: PathBuf,
}

impl PhysicalRegion {
    /// Opens a device or a file and maps `len` bytes of it, from `offset` on.
    ///
    /// For `/dev/mem` the offset is the physical address. For UIO it selects the memory, by its
    /// number times the page size, as in mmap(2): map 1 begins at 4096 where pages have 4096 bytes.
    /// An offset within the first page of a map may be added; for an offset further on, see
    /// [`open_uio`](Self::open_uio). Otherwise the offset counts from the beginning of the memory.
    /// It need not be a multiple of the page size: the pages around the range are mapped.
    ///
    /// With [`Memory::Uncached`] the device is opened with `O_SYNC`. Symbolic links are followed.
    ///
    /// Blocks for as long as the driver's open does; allocates; not async-signal-safe.
    ///
    /// # Errors
    /// Each of [`PhysicalError`], except `Uncached` and `Region`.
    ///
    /// # Examples
    /// ```
    /// use shmlock::remote::{Memory, PhysicalError, PhysicalRegion};
    ///
    /// let opened = PhysicalRegion::open("/dev/uio-of-no-driver", 0, 128, Memory::Uncached);
    /// let error = opened.unwrap_err();
    /// assert!(matches!(error, PhysicalError::System { operation: "open", .. }));
    /// assert!(error.hint().is_some_and(|hint| hint.starts_with("check the path")));
    /// ```
    pub fn open(
        path: impl AsRef<Path>,
        offset: u64,
        len: usize,
        memory: Memory,
    ) -> Result<Self, PhysicalError> {
        let path = path.as_ref();
        Self::from_fd_at(open_device(path, memory)?.as_fd(), path, offset, len, memory)
    }

    /// Maps `len` bytes of a descriptor, from `offset` on. See [`open`](Self::open).
    ///
    /// For memory without a path: the dma-buf of a dma-heap, a memfd. The descriptor is open for
    /// reading and writing; it may be closed afterwards. Of a memfd, add the seal `F_SEAL_SHRINK`
    /// before: no party can truncate it then.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    ///
    /// # Examples
    /// ```
    /// use std::num::NonZeroU16;
    ///
    /// use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
    /// use shmlock::remote::shmlock_core::wait::Spin;
    /// use shmlock::remote::{Memory, PhysicalRegion};
    ///
    /// // Stands for the buffer of a dma-heap.
    /// let file = memfd_create("shared", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    /// ftruncate(&file, 4096)?;
    /// fcntl_add_seals(&file, SealFlags::SHRINK)?;
    ///
    /// let memory = PhysicalRegion::from_fd(&file, 0, 192, Memory::Cached)?;
    /// // SAFETY: all parties access these 128 bytes as a lock only.
    /// let lock = unsafe { memory.word_lock(NonZeroU16::MIN) }?;
    /// let guard = lock.lock(&mut Spin::attempts(1_000))?;
    /// assert!(!guard.owner_died());
    /// # drop(guard);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_fd(
        fd: impl AsFd,
        offset: u64,
        len: usize,
        memory: Memory,
    ) -> Result<Self, PhysicalError> {
        let fd = fd.as_fd();
        Self::from_fd_at(fd, &name_of(fd), offset, len, memory)
    }

    /// Opens a UIO device and maps `len` bytes of its memory number `map`, from `offset` bytes
    /// behind the beginning of that memory on.
    ///
    /// # Errors
    /// Those of [`open`](Self::open); [`PhysicalError::NoSuchMap`] also if the device is none of
    /// UIO.
    pub fn open_uio(
        path: impl AsRef<Path>,
        map: u64,
        offset: u64,
        len: usize,
        memory: Memory,
    ) -> Result<Self, PhysicalError> {
        let path = path.as_ref();
        let fd = open_device(path, memory)?;
        let found = Identified::of(fd.as_fd(), path, Path::new(SYSFS))?;
        if found.source != MemorySource::Uio {
            return Err(PhysicalError::NoSuchMap { path: path.to_owned(), map });
        }
        let extent = found.uio_map(path, map)?;
        Self::map(fd.as_fd(), path, found.source, &extent, offset, len, memory)
    }

    fn from_fd_at(
        fd: BorrowedFd<'_>,
        path: &Path,
        offset: u64,
        len: usize,
        memory: Memory,
    ) -> Result<Self, PhysicalError> {
        let found = Identified::of(fd, path, Path::new(SYSFS))?;
        let (extent, offset) = found.extent(path, offset)?;
        Self::map(fd, path, found.source, &extent, offset, len, memory)
    }

    fn map(
        fd: BorrowedFd<'_>,
        path: &Path,
        source: MemorySource,
        extent: &Extent,
        offset: u64,
        len: usize,
        memory: Memory,
    ) -> Result<Self, PhysicalError> {
        let request = Request { fd, path, source, memory };
        let mapping = request.map(extent, offset, len, Children::Lack)?;
        // Not the memory of a device, whose driver may have its own idea of a first access.
        if matches!(source, MemorySource::File | MemorySource::DmaBuf) {
            mapping.populate().map_err(|errno| request.refused("populate", errno))?;
        }
        Ok(Self { mapping, memory, source, path: path.to_owned() })
    }

    /// Returns the word lock in the first 128 bytes, for the contender `token`, with full-system
    /// fences. It needs working exclusives, so it is refused for [`Memory::Uncached`].
    ///
    /// It is the lock of `shmlock_core`, which the firmware of the other processors has as well.
    /// Give each contender of the region a token of its own, the processes of Linux included. To
    /// have Linux be one contender, let its processes acquire a [`ShmLock`](crate::ShmLock) before.
    ///
    /// Never blocks. Untouched memory (all zero) becomes a free lock by one write of its magic
    /// word; otherwise nothing is written.
    ///
    /// # Errors
    /// [`PhysicalError::Uncached`]; [`PhysicalError::Region`] with the reasons of
    /// [`Region::from_raw`].
    ///
    /// # Safety
    ///
    /// For as long as the lock, or any copy of its region, is used:
    ///
    /// * The range is memory, mapped as the caller has said, that this program and the firmware
    ///   have set aside for locks and their data. (`/dev/mem` maps any address, a device's
    ///   registers and this process's own memory included.)
    /// * All accesses to its first 128 bytes, by any party, are atomic operations of 32 bits.
    ///   Values that the protocol does not know are allowed, even from a hostile peer.
    /// * No Rust reference to them exists other than to atomics.
    /// * A plain file is not truncated: that would be a `SIGBUS`.
    pub unsafe fn word_lock(
        &self,
        token: NonZeroU16,
    ) -> Result<RegionLock<'_, FullSystem>, PhysicalError> {
        self.check_exclusives()?;
        // SAFETY: promised by the caller.
        unsafe { self.word_lock_on_uncached_memory(token) }
    }

    /// Returns the word lock as [`word_lock`](Self::word_lock) does, for uncached memory as well.
    ///
    /// On uncached memory it depends on the interconnect whether exclusives work: a contender may
    /// loop for ever, fault, or exclude no other. [`probe_exclusives`](super::probe_exclusives)
    /// shows the first two. The third is shown only by all parties that count together.
    ///
    /// # Errors
    /// [`PhysicalError::Region`].
    ///
    /// # Safety
    ///
    /// As for [`word_lock`](Self::word_lock). Exclusives on this memory work, between all parties.
    pub unsafe fn word_lock_on_uncached_memory(
        &self,
        token: NonZeroU16,
    ) -> Result<RegionLock<'_, FullSystem>, PhysicalError> {
        // SAFETY: promised by the caller.
        let region = unsafe { self.region_on_uncached_memory() }?;
        Ok(RegionLock::with_fence(region, token, FullSystem))
    }

    /// Returns the region of the word lock in the first 128 bytes, for
    /// [`protocol`](shmlock_core::protocol) and for [`RegionLock::with_fence`]. Its fences are
    /// [`fence_scope`](Self::fence_scope).
    ///
    /// # Errors
    /// Those of [`word_lock`](Self::word_lock).
    ///
    /// # Safety
    ///
    /// As for [`word_lock`](Self::word_lock).
    pub unsafe fn region(&self) -> Result<Region<'_>, PhysicalError> {
        self.check_exclusives()?;
        // SAFETY: promised by the caller.
        unsafe { self.region_on_uncached_memory() }
    }

    /// Returns the region as [`region`](Self::region) does, for uncached memory as well.
    ///
    /// # Errors
    /// [`PhysicalError::Region`].
    ///
    /// # Safety
    ///
    /// As for [`word_lock_on_uncached_memory`](Self::word_lock_on_uncached_memory).
    pub unsafe fn region_on_uncached_memory(&self) -> Result<Region<'_>, PhysicalError> {
        // SAFETY:
        // - readable and writable: our mapping, which the lifetime of the region borrows.
        // - accessed by atomics only, not truncated, no other references: promised by the caller.
        unsafe { Region::from_raw(self.mapping.address(), self.mapping.len()) }
            .map_err(|reason| self.no_lock(reason))
    }

    /// Returns the ticket lock of `N` parties in the first 128 + 64 `N` bytes, for the party
    /// `party`, counted from 1, with full-system fences. **The lock for [`Memory::Uncached`]**: it
    /// needs loads, stores and barriers only. It serves cached memory as well.
    ///
    /// Linux is one party: its processes acquire a [`ShmLock`](crate::ShmLock) before, and use the
    /// handle while they hold that. `N` is the same for all parties.
    ///
    /// Never blocks. Untouched memory (all zero) becomes a free lock by one store of its magic
    /// word; otherwise nothing is written.
    ///
    /// # Errors
    /// [`PhysicalError::Region`] with the reasons of [`TicketPlace::from_raw`],
    /// [`TicketRegion::at`] and [`TicketLock::with_fence`].
    ///
    /// # Safety
    ///
    /// As for [`word_lock`](Self::word_lock), for the first 128 + 64 `N` bytes.
    ///
    /// # Examples
    /// ```
    /// # use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
    /// # let memfd = memfd_create("shared", MemfdFlags::CLOEXEC)?;
    /// # ftruncate(&memfd, 4096)?;
    /// # let device = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&memfd));
    /// use std::num::NonZeroU16;
    ///
    /// use shmlock::remote::shmlock_core::wait::Spin;
    /// use shmlock::remote::{Memory, PhysicalRegion};
    ///
    /// const LINUX: NonZeroU16 = NonZeroU16::new(1).unwrap();
    ///
    /// // `device` is a device of UIO, for example.
    /// let memory = PhysicalRegion::open(device, 0, 4096, Memory::Uncached)?;
    /// // SAFETY: all parties access its first 256 bytes as this lock only.
    /// let lock = unsafe { memory.ticket_lock::<2>(LINUX) }?;
    /// lock.recover()?; // once, before the first acquisition
    /// let guard = lock.lock(&mut Spin::attempts(1_000))?;
    /// assert!(!guard.owner_died());
    /// # drop(guard);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub unsafe fn ticket_lock<const N: usize>(
        &self,
        party: NonZeroU16,
    ) -> Result<TicketLock<'_, N, FullSystem>, PhysicalError> {
        // SAFETY: promised by the caller.
        let region = unsafe { self.ticket_region() }?;
        TicketLock::with_fence(region, party, FullSystem).map_err(|reason| self.no_lock(reason))
    }

    /// Returns the region of the [`ticket_lock`](Self::ticket_lock), to look at it and to bury a
    /// party that does not come back. Its fences are [`fence_scope`](Self::fence_scope).
    ///
    /// # Errors
    /// [`PhysicalError::Region`].
    ///
    /// # Safety
    ///
    /// As for [`ticket_lock`](Self::ticket_lock).
    ///
    /// # Examples
    /// A supervisor. If the processor is started meanwhile, the burial is of a life that is over.
    /// ```
    /// # let class = std::env::temp_dir().join(format!("doc-bury-{}", std::process::id()));
    /// # std::fs::create_dir_all(class.join("remoteproc0"))?;
    /// # std::fs::write(class.join("remoteproc0/state"), "offline\n")?;
    /// # std::fs::write(class.join("remoteproc0/recovery"), "disabled\n")?;
    /// # use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
    /// # let memfd = memfd_create("shared", MemfdFlags::CLOEXEC)?;
    /// # ftruncate(&memfd, 4096)?;
    /// use std::num::NonZeroU16;
    ///
    /// use shmlock::remote::shmlock_core::fence::FullSystem;
    /// use shmlock::remote::{Memory, PhysicalRegion, Remoteproc, RemoteprocLiveness};
    ///
    /// const M4: NonZeroU16 = NonZeroU16::new(2).unwrap();
    ///
    /// # let m4 = Remoteproc::in_class(&class, "remoteproc0");
    /// # /*
    /// let m4 = Remoteproc::new("remoteproc0");
    /// # */
    /// let mut liveness = RemoteprocLiveness::new().with_party(M4, m4);
    /// let memory = PhysicalRegion::from_fd(memfd, 0, 4096, Memory::Uncached)?;
    /// // SAFETY: all parties access its first 256 bytes as this lock only.
    /// let region = unsafe { memory.ticket_region::<2>() }?;
    /// # // SAFETY: as above.
    /// # let lock = unsafe { memory.ticket_lock::<2>(M4) }?;
    /// # lock.recover()?;
    /// # std::mem::forget(lock.try_lock()?);
    /// # assert!(region.holder().is_some());
    /// if !region.bury(M4, FullSystem, &mut liveness)? {
    ///     println!("not held down: {:?}", liveness.failure());
    /// }
    /// # assert!(region.holder().is_none());
    /// # std::fs::remove_dir_all(&class)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub unsafe fn ticket_region<const N: usize>(
        &self,
    ) -> Result<TicketRegion<'_, N>, PhysicalError> {
        // SAFETY:
        // - readable and writable: our mapping, which the lifetime of the place borrows.
        // - accessed by atomics only, not truncated, no other references: promised by the caller.
        let place = unsafe { TicketPlace::from_raw(self.mapping.address(), self.mapping.len()) };
        place.and_then(TicketRegion::at).map_err(|reason| self.no_lock(reason))
    }

    pub(super) fn no_lock(&self, reason: shmlock_core::Error) -> PhysicalError {
        PhysicalError::Region { path: self.path.clone(), reason }
    }

    pub(super) fn check_exclusives(&self) -> Result<(), PhysicalError> {
        match self.memory {
            Memory::Cached => Ok(()),
            Memory::Uncached => Err(PhysicalError::Uncached { path: self.path.clone() }),
        }
    }

    /// Returns the scope of the fences that every lock in this memory needs: all bus masters.
    #[must_use]
    pub const fn fence_scope(&self) -> FenceScope {
        FenceScope::FullSystem
    }

    /// Returns the address of the range, for the data behind the lock, or for a lock of another
    /// kind. [`len`](Self::len) bytes from there are mapped until this value is dropped, in this
    /// process and not in its children.
    #[must_use]
    pub fn address(&self) -> NonNull<u8> {
        self.mapping.address()
    }

    /// Returns the length of the range in bytes. It is never 0.
    #[allow(clippy::len_without_is_empty, reason = "never empty")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.mapping.len()
    }

    /// Returns how the memory is accessed, as the caller has said it.
    #[must_use]
    pub const fn memory(&self) -> Memory {
        self.memory
    }

    /// Returns what the memory comes from.
    #[must_use]
    pub const fn source(&self) -> MemorySource {
        self.source
    }
}

// A region may be sent to another thread, and threads may share it.
const _: fn() = || {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<PhysicalRegion>();
};
