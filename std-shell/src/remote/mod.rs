//! Offers locks in memory that Linux shares with other processors: a Cortex-M beside a Cortex-A, a
//! DSP, a virtual machine.
//!
//! [`PhysicalRegion`] maps the memory. In it lies a lock of [`shmlock_core`], which the firmware
//! of the other processors has as well. [`RemoteprocLiveness`] proves the death of a processor that
//! Linux holds down. [`probe_exclusives`] tries the instructions that the word lock needs.
//!
//! # Which memory
//!
//! The attributes of the memory are **never guessed**. The caller says whether it is cached, and
//! the kernel maps it as the source and its driver say; this list says what each gives.
//!
//! * **`/dev/uioN`**: memory of a device (`UIO_MEM_PHYS`) is uncached, whatever the flags.
//!   `UIO_MEM_LOGICAL` and `UIO_MEM_VIRTUAL` are the kernel's own RAM, cached;
//!   `UIO_MEM_DMA_COHERENT` is as the device's DMA. sysfs does not tell which; the driver's source
//!   does. \[1\] *Say* what the driver does; `Uncached` for `uio_pdrv_genirq`.
//! * **`/dev/mem`**: on ARM, RAM that Linux knows is cached, and with `O_SYNC` normal
//!   non-cacheable; every other address is device memory. On x86-64 it is uncached with `O_SYNC`,
//!   else what the kernel's memory types say. \[2\] *Say* `Uncached` for memory outside Linux's
//!   RAM, and for memory that is reserved with `no-map`.
//! * **`/dev/udmabufN`** of the driver u-dma-buf: cached; with `O_SYNC` uncached, write-combining
//!   or coherent, as its `sync_mode` says. On x86-64 always cached. \[3\] *Say* `Uncached`, unless
//!   hardware keeps the caches coherent (`dma_coherent` is 1).
//! * **A dma-buf**, of a dma-heap or of `/dev/udmabuf`: as its exporter says; the heaps `system`
//!   and `cma` give cached pages. \[4\] *Say* `Cached`, and only if hardware keeps the caches
//!   coherent, see below.
//! * **`/sys/bus/pci/devices/*/resourceN`**: device memory; `resourceN_wc` is write-combining, on
//!   ARM normal non-cacheable. Never cached. \[5\] *Say* `Uncached`; `Cached` is refused.
//! * **A plain file, a memfd**: the page cache, which is cached RAM. \[6\] *Say* `Cached`.
//!
//! \[1\] `Documentation/driver-api/uio-howto.rst`; `uio_mmap`, `uio_mmap_physical`
//! (drivers/uio/uio.c). \[2\] mem(4); `phys_mem_access_prot` (arch/arm64/mm/mmu.c,
//! arch/arm/mm/mmu.c), `phys_mem_access_prot_allowed` (arch/x86/mm/pat/memtype.c). \[3\]
//! `Readme.md` of <https://github.com/ikwzm/udmabuf>, "`sync_mode`". \[4\]
//! `Documentation/driver-api/dma-buf.rst`, "CPU Access to DMA Buffer Objects";
//! drivers/dma-buf/heaps. \[5\] `Documentation/PCI/sysfs-pci.rst`; `pci_mmap_resource_range`
//! (drivers/pci/mmap.c). \[6\] mmap(2), `memfd_create(2)`.
//!
//! **Two mappings of one memory with different attributes** are an error of the system: on ARM the
//! accesses of the two lose coherence and order (Arm ARM, "Mismatched memory attributes"). Memory
//! that Linux also has in its own cached map is not opened as uncached: reserve it with `no-map`.
//!
//! **A dma-buf is synchronised by `DMA_BUF_IOCTL_SYNC`**, before and after the accesses of the CPU:
//! the kernel cleans and invalidates the CPU's caches there. A lock cannot use it: between two
//! atomic accesses there is no place for a system call. And the kernel says that user space cannot
//! rely on coherent access without it \[4\]. So a dma-buf is for a lock only where the hardware
//! keeps the caches of all parties coherent, so that the call has nothing to do.
//!
//! # Which lock
//!
//! The *word lock* of [`RegionLock`](shmlock_core::RegionLock) needs exclusives (or LSE, or a
//! locked compare-and-swap) that work on this memory, between all parties. On cached memory of
//! coherent processors they do. On uncached memory it depends on a monitor in the interconnect:
//! some have none, and then a contender loops for ever, faults, or excludes no other. So
//! [`Memory::Uncached`] refuses the word lock, unless the caller uses the methods whose names end
//! in `on_uncached_memory`.
//!
//! The *ticket lock* of [`TicketLock`](shmlock_core::TicketLock) needs loads, stores and barriers
//! only: [`PhysicalRegion::ticket_lock`]. It is the lock for uncached memory. It serves 2 to 8
//! parties, of which Linux is one.
//!
//! All locks here have full-system fences ([`FenceScope::FullSystem`](crate::FenceScope)): the
//! other parties are outside the inner-shareable domain of Linux's processors.
//!
//! # A processor that does not come back
//!
//! The supervisor of the processor declares its boot over, for the word lock with boot epochs: see
//! [`Remoteproc::while_held_down`]. Or it buries the party of a ticket lock: see
//! [`PhysicalRegion::ticket_region`].
//!
//! # Waiting
//!
//! A waiter of another processor cannot be woken by a futex. Give the lock a
//! [`Wait`](shmlock_core::wait::Wait) that spins and then sleeps for a while, or one that waits for
//! an interrupt (UIO, a mailbox).

mod boots;
mod error;
mod hint;
mod liveness;
mod memory;
mod physical;
mod probe;
mod range;
mod remoteproc;
mod request;
mod source;
#[cfg(test)]
mod tests;

pub use error::PhysicalError;
pub use liveness::{Doubt, RemoteprocLiveness};
pub use memory::{Memory, MemorySource, NotMemory};
pub use physical::PhysicalRegion;
pub use probe::{ExclusivesOutcome, ExclusivesProbe, ProbedAccess, ProbedWord, probe_exclusives};
pub use remoteproc::{
    HeldDown, Remoteproc, RemoteprocError, RemoteprocReading, RemoteprocRecovery, RemoteprocState,
};

/// The core in the version whose types this module uses: regions, locks, ways of waiting.
pub use shmlock_core;
