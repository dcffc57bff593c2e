//! Recognises what a descriptor leads to, and how much memory is behind it.

use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags, SeekFrom, fcntl_getfl, fstat, fstatfs, major, minor, seek};
use rustix::io::Errno;

use super::error::PhysicalError;
use super::memory::{Memory, MemorySource, NotMemory};
use super::range::Extent;

/// File system types of statfs(2), `linux/magic.h`.
const SYSFS: i64 = 0x6265_6572;
const DMA_BUF: i64 = 0x444d_4142;
const HUGETLBFS: i64 = 0x9584_58f6;

/// The numbers of memory devices, `Documentation/admin-guide/devices.txt`.
const MEMORY_DEVICES: u32 = 1;
const MEM: u32 = 1;
const ZERO: u32 = 5;

/// A descriptor, and the known facts about it.
#[derive(Debug)]
pub(crate) struct Identified {
    pub(crate) source: MemorySource,
    /// The directory of its attributes, for devices.
    attributes: PathBuf,
    /// The bytes behind it, if known. Of UIO devices it depends on the map.
    size: Option<u64>,
    page: u64,
}

impl Identified {
    /// Identifies an open descriptor. `sysfs` is the mount point, `/sys`.
    pub(crate) fn of(fd: BorrowedFd<'_>, path: &Path, sysfs: &Path) -> Result<Self, PhysicalError> {
        let refused = |operation, errno| PhysicalError::System {
            operation,
            path: path.to_owned(),
            source: None,
            errno,
        };
        let stat = fstat(fd).map_err(|errno| refused("inspect", errno))?;
        let not_memory = |found| Err(PhysicalError::NotMemory { path: path.to_owned(), found });
        let small_page = rustix::param::page_size() as u64;
        let known =
            |source, size| Ok(Self { source, attributes: PathBuf::new(), size, page: small_page });
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => return not_memory(NotMemory::Directory),
            FileType::Fifo | FileType::Socket => return not_memory(NotMemory::Channel),
            FileType::BlockDevice => return not_memory(NotMemory::BlockDevice),
            FileType::CharacterDevice => {
                let (major, minor) = (major(stat.st_rdev), minor(stat.st_rdev));
                return match (major, minor) {
                    (MEMORY_DEVICES, MEM) => known(MemorySource::DevMem, None),
                    (MEMORY_DEVICES, ZERO) => not_memory(NotMemory::Zero),
                    _ => Self::of_device(path, sysfs.join(format!("dev/char/{major}:{minor}"))),
                };
            }
            // A dma-buf has no type at all on many kernels.
            _ => {}
        }
        let file_system = fstatfs(fd).map_err(|errno| refused("inspect", errno))?;
        // The width of the field differs between targets.
        #[allow(clippy::unnecessary_cast, clippy::cast_lossless, reason = "as above")]
        match file_system.f_type as i64 & 0xffff_ffff {
            DMA_BUF => {
                let size = seek(fd, SeekFrom::End(0)).map_err(|errno| refused("inspect", errno))?;
                known(MemorySource::DmaBuf, Some(size))
            }
            SYSFS if is_pci_resource(fd, path) => {
                known(MemorySource::PciResource, u64::try_from(stat.st_size).ok())
            }
            SYSFS => not_memory(NotMemory::Attribute),
            kind => Ok(Self {
                page: match u64::try_from(stat.st_blksize) {
                    Ok(page) if kind == HUGETLBFS && page.is_power_of_two() => page,
                    _ => small_page,
                },
                source: MemorySource::File,
                attributes: PathBuf::new(),
                size: u64::try_from(stat.st_size).ok(),
            }),
        }
    }

    /// Identifies a character device by its class. `attributes` is its directory in sysfs.
    fn of_device(path: &Path, attributes: PathBuf) -> Result<Self, PhysicalError> {
        let name_of = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
        let class = fs::read_link(attributes.join("subsystem")).ok().and_then(|at| name_of(&at));
        let name = fs::read_link(&attributes).ok().and_then(|at| name_of(&at));
        let not_memory = |found| Err(PhysicalError::NotMemory { path: path.to_owned(), found });
        let mut size = None;
        let source = match (class.as_deref(), name.as_deref()) {
            (Some("uio"), _) => MemorySource::Uio,
            // The class is "udmabuf" in versions before 2.0.
            (Some("u-dma-buf" | "udmabuf"), _) => {
                size = Some(attribute(&attributes.join("size"))?);
                MemorySource::UDmaBuf
            }
            (Some("dma_heap"), _) => return not_memory(NotMemory::DmaHeap),
            (Some("misc"), Some("udmabuf")) => return not_memory(NotMemory::UDmaBufMaker),
            _ => MemorySource::OtherDevice,
        };
        Ok(Self { source, attributes, size, page: rustix::param::page_size() as u64 })
    }

    /// Returns where the memory is, and the part of `offset` that counts from its beginning. For a
    /// UIO device the pages of `offset` select the memory.
    pub(crate) fn extent(&self, path: &Path, offset: u64) -> Result<(Extent, u64), PhysicalError> {
        let (size, page) = (self.size, self.page);
        if self.source != MemorySource::Uio {
            let plain = Extent { base: 0, skip: 0, size, page, begins_at_base: false };
            return Ok((plain, offset));
        }
        let (map, rest) = (offset / page, offset % page);
        Ok((self.uio_map(path, map)?, rest))
    }

    /// Returns where a memory of a UIO device is.
    pub(crate) fn uio_map(&self, path: &Path, map: u64) -> Result<Extent, PhysicalError> {
        let page = self.page;
        let base = map.checked_mul(page);
        let directory = self.attributes.join(format!("maps/map{map}"));
        let (Some(base), true) = (base, directory.is_dir()) else {
            return Err(PhysicalError::NoSuchMap { path: path.to_owned(), map });
        };
        let size = Some(attribute(&directory.join("size"))?);
        // Since Linux 3.11; before, memory had to begin at a page.
        let skip = match attribute(&directory.join("offset")) {
            Err(PhysicalError::System { errno: Errno::NOENT, .. }) => 0,
            skip => skip?,
        };
        Ok(Extent { base, skip, size, page, begins_at_base: true })
    }
}

/// Returns `true` if `/proc` names the file as a resource of PCI.
fn is_pci_resource(fd: BorrowedFd<'_>, path: &Path) -> bool {
    let found = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    let found = found.unwrap_or_else(|_| path.to_owned());
    let Some(name) = found.file_name().and_then(|name| name.to_str()) else { return false };
    let number = name.strip_prefix("resource").map(|rest| rest.trim_end_matches("_wc"));
    number.is_some_and(|number| number.parse::<u8>().is_ok())
}

/// Reads a number from a file of sysfs: decimal, or hexadecimal with its prefix.
fn attribute(path: &Path) -> Result<u64, PhysicalError> {
    let text = fs::read_to_string(path).map_err(|error| PhysicalError::System {
        operation: "read",
        path: path.to_owned(),
        source: None,
        errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
    })?;
    let number = text.trim_end();
    let parsed = match number.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => number.parse(),
    };
    parsed.map_err(|_| PhysicalError::BadAttribute { path: path.to_owned() })
}

/// Checks that the flag `O_SYNC` of a descriptor says the same as the caller.
///
/// For `/dev/mem` and u-dma-buf the flag chooses the attributes of the mapping; for the others it
/// has no meaning.
pub(crate) fn check_flag(
    fd: BorrowedFd<'_>,
    source: MemorySource,
    memory: Memory,
    path: &Path,
) -> Result<(), PhysicalError> {
    if !matches!(source, MemorySource::DevMem | MemorySource::UDmaBuf) {
        return Ok(());
    }
    let flags = fcntl_getfl(fd).map_err(|errno| PhysicalError::System {
        operation: "inspect",
        path: path.to_owned(),
        source: Some(source),
        errno,
    })?;
    // O_DSYNC is one bit of it, and suffices for the kernel.
    let is_synchronous = flags.intersects(OFlags::SYNC);
    if is_synchronous == (memory == Memory::Uncached) {
        Ok(())
    } else {
        Err(PhysicalError::OtherFlag { path: path.to_owned(), memory })
    }
}
