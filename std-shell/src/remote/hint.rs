//! Says what to do about an error, apart from what happened.

use rustix::io::Errno;

use super::error::PhysicalError;
use super::memory::{Memory, MemorySource, NotMemory};

impl PhysicalError {
    /// Returns what to do about the error; `None` if its text says all there is to say.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::System { operation, source, errno, .. } => {
                return of_system(operation, *source, *errno);
            }
            Self::NotMemory { found, .. } => found.hint(),
            Self::NoSuchMap { .. } => {
                "the offset is the number of the map times the page size; \
                 /sys/class/uio/uioN/maps lists the maps"
            }
            Self::BadAttribute { .. } => "is this the sysfs of the running kernel?",
            Self::Empty { .. } => "a lock needs 128 bytes, a ticket lock 64 more for each party",
            Self::Misaligned { .. } => {
                "choose a multiple of 4, better of 64: the lock then lies in one cache line"
            }
            Self::BeyondEnd { .. } => {
                "choose a smaller offset, or make the file longer before it is mapped"
            }
            Self::NeverCached { .. } => "say Memory::Uncached",
            Self::OtherFlag { memory: Memory::Cached, .. } => {
                "open it without O_SYNC, or say Memory::Uncached"
            }
            Self::OtherFlag { memory: Memory::Uncached, .. } => {
                "open it with O_SYNC, or say Memory::Cached"
            }
            Self::Uncached { .. } => {
                "use the method ticket_lock: that lock needs loads and stores only; if `shmlock \
                 probe-memory` and a joint count of all parties show that exclusives work, use the \
                 method whose name ends in on_uncached_memory"
            }
            Self::Region { .. } => return None,
        })
    }
}

impl NotMemory {
    fn hint(self) -> &'static str {
        match self {
            Self::Directory | Self::Channel | Self::BlockDevice => {
                "name a device of memory, or a plain file"
            }
            Self::Zero => "use a memfd, and pass its descriptor on",
            Self::DmaHeap => {
                "allocate a buffer by DMA_HEAP_IOCTL_ALLOC, and give the descriptor of that"
            }
            Self::UDmaBufMaker => {
                "make a buffer of a memfd by UDMABUF_CREATE, and give the descriptor of that"
            }
            Self::Attribute => "memory of a PCI device is in resource0 to resource5",
        }
    }
}

/// Returns what to do about an errno, where its own text does not say it.
///
/// *Sources:* mem(4), mmap(2), `kernel_lockdown(7)`; in the kernel's sources the help of
/// `CONFIG_STRICT_DEVMEM`, `mmap_mem` (drivers/char/mem.c), `uio_mmap_physical`
/// (drivers/uio/uio.c), `pci_mmap_resource` (drivers/pci/pci-sysfs.c).
fn of_system(operation: &str, source: Option<MemorySource>, errno: Errno) -> Option<&'static str> {
    use MemorySource::{DevMem, OtherDevice, PciResource, Uio};
    Some(match (operation, source, errno) {
        ("map", Some(DevMem), Errno::PERM) => {
            "this kernel gives /dev/mem no access to RAM that it manages, nor to a driver's memory \
             (CONFIG_STRICT_DEVMEM, CONFIG_IO_STRICT_DEVMEM): reserve the memory in the device \
             tree (no-map), and map it by UIO or u-dma-buf"
        }
        ("map", Some(PciResource), Errno::PERM) => {
            "the kernel is locked down, kernel_lockdown(7): boot it without lockdown"
        }
        ("open", _, Errno::PERM) => {
            "it needs CAP_SYS_RAWIO and a kernel that is not locked down, kernel_lockdown(7): use \
             UIO or u-dma-buf, whose devices have permissions of their own"
        }
        ("open", _, Errno::ACCESS) => {
            "run as root, or give the device to a group by a udev rule; it is opened for reading \
             and writing"
        }
        ("open", _, Errno::NOENT) => {
            "check the path; of a device: is its driver loaded, and the device in the device tree?"
        }
        ("open", _, Errno::NXIO | Errno::NODEV) => "its driver is not loaded, or has no device",
        ("map", Some(Uio), Errno::NODEV) => {
            "the driver's memory does not begin at a page, or the device has gone"
        }
        ("map", Some(Uio), Errno::INVAL) => {
            "the driver's memory is shorter than the pages of the range: its size in the driver or \
             the device tree must be a multiple of the page size"
        }
        ("map", Some(PciResource), Errno::INVAL | Errno::IO) => {
            "a driver has claimed the resource, it is one of ports, or its device is disabled (see \
             the file `enable` beside it)"
        }
        ("map", Some(DevMem), Errno::INVAL) => {
            "the address is beyond the physical memory, or in use with other attributes: choose \
             the other kind of memory, cached or uncached"
        }
        ("map", Some(OtherDevice), Errno::INVAL) => {
            "its driver refuses the offset or the length: see the driver's documentation"
        }
        ("map", _, Errno::NODEV) => "it cannot be mapped: its driver or file system has no mmap",
        ("map", _, Errno::ACCESS | Errno::PERM) => {
            "give a descriptor that is open for reading and writing, of a file without F_SEAL_WRITE"
        }
        ("map", _, Errno::OVERFLOW) => "this 32-bit program cannot map so high an offset",
        ("populate", _, Errno::FAULT) => {
            "the file was truncated, or its file system has no space left for the page"
        }
        ("keep from children", _, Errno::INVAL | Errno::NOSYS | Errno::PERM) => {
            "the sandbox has to allow madvise(2) with MADV_DONTFORK"
        }
        (_, _, Errno::NOMEM | Errno::AGAIN) => {
            "free memory, or raise the limit of the process or its cgroup"
        }
        (_, _, Errno::MFILE) => "close descriptors or raise RLIMIT_NOFILE",
        ("watch", _, Errno::CHILD) => {
            "the child died, and how is lost: do not ignore SIGCHLD, nor reap children elsewhere"
        }
        ("read", _, _) => "is sysfs mounted at /sys, and is the device still there?",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rustix::io::Errno;

    use super::super::error::PhysicalError;
    use super::super::memory::{Memory, MemorySource, NotMemory};

    fn system(
        operation: &'static str,
        source: impl Into<Option<MemorySource>>,
        errno: Errno,
    ) -> PhysicalError {
        PhysicalError::System { operation, path: path(), source: source.into(), errno }
    }

    fn path() -> PathBuf {
        PathBuf::from("/dev/x")
    }

    fn hint(error: &PhysicalError) -> &'static str {
        error.hint().unwrap_or_else(|| panic!("no hint: {error:?}"))
    }

    #[test]
    fn each_refusal_of_the_kernel_has_a_remedy_that_names_its_cause() {
        use MemorySource::{DevMem, DmaBuf, File, OtherDevice, PciResource, UDmaBuf, Uio};
        let anything = None::<MemorySource>;
        for (error, cause) in [
            (system("open", anything, Errno::PERM), "locked down"),
            (system("open", anything, Errno::ACCESS), "udev"),
            (system("open", anything, Errno::NOENT), "driver"),
            (system("open", anything, Errno::NXIO), "driver"),
            (system("open", anything, Errno::MFILE), "RLIMIT_NOFILE"),
            (system("map", DevMem, Errno::PERM), "CONFIG_STRICT_DEVMEM"),
            (system("map", DevMem, Errno::INVAL), "physical memory"),
            (system("map", PciResource, Errno::PERM), "locked down"),
            (system("map", PciResource, Errno::INVAL), "enable"),
            (system("map", Uio, Errno::NODEV), "begin at a page"),
            (system("map", Uio, Errno::INVAL), "multiple of the page size"),
            (system("map", OtherDevice, Errno::INVAL), "driver"),
            (system("map", OtherDevice, Errno::NODEV), "no mmap"),
            (system("map", DmaBuf, Errno::ACCESS), "reading and writing"),
            (system("map", File, Errno::PERM), "F_SEAL_WRITE"),
            (system("map", UDmaBuf, Errno::NOMEM), "free memory"),
            (system("populate", File, Errno::FAULT), "truncated"),
            (system("keep from children", File, Errno::INVAL), "MADV_DONTFORK"),
            (system("watch", Uio, Errno::CHILD), "SIGCHLD"),
            (system("read", Uio, Errno::NOENT), "sysfs"),
        ] {
            let (text, hint) = (error.to_string(), hint(&error));
            assert!(hint.contains(cause), "{cause:?} is not in: {text}");
            assert!(text.contains("/dev/x") && text.ends_with(hint), "{text}");
            assert!(error.errno().is_some(), "{error:?}");
        }
        assert_eq!(system("map", File, Errno::IO).hint(), None);
    }

    #[test]
    fn each_other_error_is_one_line_that_names_the_thing_and_the_remedy() {
        let wanted = [Memory::Cached, Memory::Uncached];
        let found = [
            NotMemory::Directory,
            NotMemory::Channel,
            NotMemory::BlockDevice,
            NotMemory::Zero,
            NotMemory::DmaHeap,
            NotMemory::UDmaBufMaker,
            NotMemory::Attribute,
        ];
        let mut errors = vec![
            PhysicalError::NoSuchMap { path: path(), map: 3 },
            PhysicalError::BadAttribute { path: path() },
            PhysicalError::Empty { path: path() },
            PhysicalError::Misaligned { path: path(), offset: 2 },
            PhysicalError::BeyondEnd { path: path(), end: 8196, size: Some(8192) },
            PhysicalError::BeyondEnd { path: path(), end: u64::MAX, size: None },
            PhysicalError::NeverCached { path: path() },
            PhysicalError::Uncached { path: path() },
        ];
        errors.extend(found.map(|found| PhysicalError::NotMemory { path: path(), found }));
        errors.extend(wanted.map(|memory| PhysicalError::OtherFlag { path: path(), memory }));
        for error in errors {
            let text = error.to_string();
            assert!(text.contains("/dev/x") && text.ends_with(hint(&error)), "{text}");
            assert_eq!(error.errno(), None, "{error:?}");
        }
    }

    #[test]
    fn control_characters_of_a_path_are_escaped() {
        let path = PathBuf::from("/dev/x\n\u{1b}[2J");
        let text = PhysicalError::Uncached { path }.to_string();
        assert!(!text.contains(char::is_control), "{text:?}");
    }
}
