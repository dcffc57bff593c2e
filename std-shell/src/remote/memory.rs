//! Defines where memory comes from, how it is accessed, and what is no memory of several parties.

/// What memory comes from. Recognised by the descriptor, not by the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemorySource {
    /// A memory of a UIO device, `/dev/uioN`.
    Uio,
    /// Physical memory by its address, `/dev/mem`.
    DevMem,
    /// A buffer of the driver u-dma-buf, `/dev/udmabufN`.
    UDmaBuf,
    /// A dma-buf: of a dma-heap, of `/dev/udmabuf`, of a driver.
    DmaBuf,
    /// A memory of a PCI device, `/sys/bus/pci/devices/*/resourceN` or `resourceN_wc`.
    PciResource,
    /// A plain file, a memfd included.
    File,
    /// Another character device. Only its driver knows what its memory is.
    OtherDevice,
}

/// The way in which the CPU of this process accesses the memory, as the caller says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Memory {
    /// Normal memory in the CPU's caches, which all parties keep coherent.
    Cached,
    /// Uncached: normal non-cacheable or device memory.
    Uncached,
}

/// Why a file cannot be mapped as memory of several parties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotMemory {
    /// A directory.
    Directory,
    /// A named pipe or a socket.
    Channel,
    /// A block device: its page cache is no memory of other parties.
    BlockDevice,
    /// `/dev/zero`: each mapping is memory of its own.
    Zero,
    /// A dma-heap, which makes dma-bufs.
    DmaHeap,
    /// `/dev/udmabuf` of the kernel, which makes dma-bufs of memfds. (The buffers of the driver
    /// u-dma-buf are `/dev/udmabuf0` and so on.)
    UDmaBufMaker,
    /// A file of sysfs that is no memory of a PCI device.
    Attribute,
}
