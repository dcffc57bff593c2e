//! Tests locks in memory of real devices, where this machine has them: dma-bufs of a dma-heap and
//! of the kernel's `/dev/udmabuf`, `/dev/mem`, memory of PCI devices, huge pages. On other machines
//! the tests report that they are skipped.

#![allow(unsafe_code, reason = "ioctls, and locks in mapped memory")]

use std::fs::{self, File};
use std::num::NonZeroU16;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::ptr::null_mut;
use std::time::Duration;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use shmlock::Errno;
use shmlock::remote::{
    ExclusivesOutcome, Memory, MemorySource, PhysicalError, PhysicalRegion, ProbedWord,
    probe_exclusives,
};
use shmlock_tests::{Fixture, skipped};

const ONE: NonZeroU16 = NonZeroU16::new(1).unwrap();
const TWO: NonZeroU16 = NonZeroU16::new(2).unwrap();

/// Opens a device; reports that the test is skipped if it is not here.
fn device(path: &str) -> Option<File> {
    match File::options().read(true).write(true).open(path) {
        Ok(file) => Some(file),
        Err(error) => {
            skipped(&format!("{path}: {error}"));
            None
        }
    }
}

/// Locks the second page of a dma-buf by two mappings of it, and sees the end of it respected.
fn lock_in(buffer: &OwnedFd) {
    let page = rustix::param::page_size() as u64;
    let map = |offset| PhysicalRegion::from_fd(buffer, offset, 128, Memory::Cached);
    let [one, other] = [map(page + 64), map(page + 64)].map(|mapped| mapped.expect("mapped"));
    assert_eq!(one.source(), MemorySource::DmaBuf);
    // SAFETY: a buffer of our own, which no device uses.
    let one = unsafe { one.word_lock(ONE) }.expect("free");
    // SAFETY: as above.
    let other = unsafe { other.word_lock(TWO) }.expect("free");
    let guard = one.try_lock().expect("no misuse").expect("free");
    assert!(other.try_lock().expect("no misuse").is_none(), "one memory, one lock");
    drop(guard);
    assert!(other.try_lock().expect("no misuse").is_some());
    let beyond = map(2 * page - 64).unwrap_err();
    let (end, size) = (2 * page + 64, Some(2 * page));
    assert!(
        matches!(&beyond, PhysicalError::BeyondEnd { end: at, size: of, .. }
            if (*at, *of) == (end, size)),
        "{beyond:?}"
    );
}

#[test]
fn a_buffer_of_a_dma_heap_holds_a_lock() {
    /// `struct dma_heap_allocation_data`, linux/dma-heap.h.
    #[repr(C)]
    struct Allocation {
        len: u64,
        fd: u32,
        fd_flags: u32,
        heap_flags: u64,
    }
    /// `DMA_HEAP_IOCTL_ALLOC`: `_IOWR('H', 0, struct dma_heap_allocation_data)`.
    const ALLOC: libc::Ioctl = 0xc018_4800;

    let _fixture = Fixture::new();
    let Some(heap) = device("/dev/dma_heap/system") else { return };
    let len = 2 * rustix::param::page_size() as u64;
    let flags = u32::try_from(libc::O_RDWR | libc::O_CLOEXEC).expect("flags");
    let mut allocation = Allocation { len, fd: 0, fd_flags: flags, heap_flags: 0 };
    // SAFETY: the ioctl reads and writes this struct.
    let answer = unsafe { libc::ioctl(heap.as_raw_fd(), ALLOC, &raw mut allocation) };
    assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
    let fd = i32::try_from(allocation.fd).expect("a descriptor");
    // SAFETY: a new descriptor, which is ours.
    lock_in(&unsafe { OwnedFd::from_raw_fd(fd) });

    // The heap itself is no memory.
    let refused = PhysicalRegion::from_fd(&heap, 0, 128, Memory::Cached).unwrap_err();
    assert!(refused.to_string().contains("DMA_HEAP_IOCTL_ALLOC"), "{refused}");
}

#[test]
fn a_dma_buf_of_a_memfd_holds_a_lock() {
    /// `struct udmabuf_create`, linux/udmabuf.h.
    #[repr(C)]
    struct Create {
        memfd: u32,
        flags: u32,
        offset: u64,
        size: u64,
    }
    /// `UDMABUF_CREATE`: `_IOW('u', 0x42, struct udmabuf_create)`.
    const CREATE: libc::Ioctl = 0x4018_7542;
    const CLOEXEC: u32 = 1;

    let _fixture = Fixture::new();
    let Some(maker) = device("/dev/udmabuf") else { return };
    let size = 2 * rustix::param::page_size() as u64;
    let file = memfd_create("remote", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING);
    let file = file.expect("memory");
    ftruncate(&file, size).expect("memory");
    fcntl_add_seals(&file, SealFlags::SHRINK).expect("allowed");
    let memfd = u32::try_from(file.as_raw_fd()).expect("a descriptor");
    let mut create = Create { memfd, flags: CLOEXEC, offset: 0, size };
    // SAFETY: the ioctl reads this struct.
    let fd = unsafe { libc::ioctl(maker.as_raw_fd(), CREATE, &raw mut create) };
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: a new descriptor, which is ours.
    lock_in(&unsafe { OwnedFd::from_raw_fd(fd) });

    let refused = PhysicalRegion::from_fd(&maker, 0, 128, Memory::Cached).unwrap_err();
    assert!(refused.to_string().contains("UDMABUF_CREATE"), "{refused}");
}

#[test]
fn an_address_beyond_the_physical_memory_is_refused() {
    let _fixture = Fixture::new();
    if device("/dev/mem").is_none() {
        return;
    }
    // The last page that an offset of mmap(2) can name. Nothing is accessed.
    let far = u64::MAX / 2 - 4095;
    let error = PhysicalRegion::open("/dev/mem", far, 128, Memory::Uncached).unwrap_err();
    let refusals = [Errno::INVAL, Errno::PERM, Errno::OVERFLOW];
    assert!(refusals.map(Some).contains(&error.errno()), "{error:?}");
    assert!(error.hint().is_some() && error.to_string().contains("/dev/mem"), "{error}");
}

#[test]
fn a_memfd_of_huge_pages_holds_a_lock_between_two_of_its_pages() {
    const MIB: u64 = 1 << 20;
    let _fixture = Fixture::new();
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::HUGETLB | MemfdFlags::HUGE_2MB;
    let file = match memfd_create("remote", flags) {
        Ok(file) => file,
        Err(errno) => return skipped(&format!("huge pages: {errno}")),
    };
    ftruncate(&file, 4 * MIB).expect("a length");
    let (access, len) = (ProtFlags::READ | ProtFlags::WRITE, 4 << 20);
    // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
    match unsafe { mmap(null_mut(), len, access, MapFlags::SHARED, &file, 0) } {
        // SAFETY: just mapped, and not accessed.
        Ok(address) => unsafe { munmap(address, len) }.expect("our own mapping"),
        Err(errno) => {
            return skipped(&format!("huge pages, see /proc/sys/vm/nr_hugepages: {errno}"));
        }
    }
    let memory = PhysicalRegion::from_fd(&file, 2 * MIB - 64, 128, Memory::Cached);
    let memory = memory.expect("mapped");
    // SAFETY: our own file.
    let lock = unsafe { memory.word_lock(ONE) }.expect("free");
    assert!(lock.try_lock().expect("no misuse").is_some());
}

/// The memories of PCI devices that can be mapped.
fn resources() -> Vec<PathBuf> {
    let devices = fs::read_dir("/sys/bus/pci/devices").into_iter().flatten();
    let files = devices.filter_map(|device| fs::read_dir(device.ok()?.path()).ok()).flatten();
    let paths = files.filter_map(|file| Some(file.ok()?.path()));
    let is_memory = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.strip_prefix("resource").is_some_and(|number| number.parse::<u8>().is_ok())
    };
    paths.filter(is_memory).collect()
}

#[test]
fn memory_of_a_pci_device_is_recognised_by_its_file_and_never_called_cached() {
    let _fixture = Fixture::new();
    let resources = resources();
    let Some(path) = resources.first() else {
        return skipped("no PCI device with memory under /sys/bus/pci/devices");
    };
    // Mapping accesses nothing. It may be refused: a driver has the device, or it is of ports.
    match PhysicalRegion::open(path, 0, 4, Memory::Cached) {
        Err(PhysicalError::NeverCached { path }) => assert!(path.is_absolute()),
        Err(PhysicalError::System { operation: "open", errno, .. }) => {
            skipped(&format!("{}: {errno}", path.display()));
        }
        other => panic!("{other:?}"),
    }
}

/// Set where the memory of an ivshmem device may be written: the machine was made for the tests.
const MAY_WRITE_IVSHMEM: &str = "SHMLOCK_TESTS_MAY_WRITE_IVSHMEM";

/// Returns the directory of QEMU's device for shared memory, ivshmem-plain: 1af4:1110.
fn ivshmem() -> Option<PathBuf> {
    let devices = fs::read_dir("/sys/bus/pci/devices").into_iter().flatten();
    let mut paths = devices.filter_map(|device| Some(device.ok()?.path()));
    paths.find(|path| {
        let id = |file| fs::read_to_string(path.join(file)).unwrap_or_default();
        (id("vendor").trim_end(), id("device").trim_end()) == ("0x1af4", "0x1110")
    })
}

/// Returns the directory of the device, enabled, if its memory may be written; reports that the
/// test is skipped otherwise.
fn writable_ivshmem() -> Option<PathBuf> {
    if std::env::var_os(MAY_WRITE_IVSHMEM).is_none() {
        skipped("the tests may not write the memory of an ivshmem device here");
        return None;
    }
    let device = ivshmem().expect("the machine that may be written has one");
    fs::write(device.join("enable"), "1").expect("root may");
    Some(device)
}

#[test]
fn memory_of_a_device_is_one_lock_by_its_file_and_by_its_address() {
    let _fixture = Fixture::new();
    let Some(device) = writable_ivshmem() else { return };
    // One line for each resource: first and last address, flags.
    let lines = fs::read_to_string(device.join("resource")).expect("an attribute");
    let third = lines.lines().nth(2).and_then(|line| line.split_whitespace().next());
    let digits = third.and_then(|address| address.strip_prefix("0x")).expect("an address");
    let address = u64::from_str_radix(digits, 16).expect("a number");
    let by_address = PhysicalRegion::open("/dev/mem", address + 8192, 128, Memory::Uncached);
    let by_address = by_address.expect("no driver has claimed it");
    assert_eq!(by_address.source(), MemorySource::DevMem);
    let path = device.join("resource2");
    let by_file = PhysicalRegion::open(path, 8192, 128, Memory::Uncached).expect("mapped");
    // SAFETY: memory that only this test uses; exclusives work on all memory of an emulator.
    let one = unsafe { by_address.word_lock_on_uncached_memory(ONE) }.expect("free");
    // SAFETY: as above.
    let other = unsafe { by_file.word_lock_on_uncached_memory(TWO) }.expect("free");
    let guard = one.try_lock().expect("no misuse").expect("free");
    assert!(other.try_lock().expect("no misuse").is_none(), "one memory, one lock");
    drop(guard);
    assert!(other.try_lock().expect("no misuse").is_some());
}

#[test]
fn ram_that_the_kernel_manages_is_not_permitted_by_its_address() {
    let _fixture = Fixture::new();
    // The addresses are zeros for all but root.
    let memory = fs::read_to_string("/proc/iomem").unwrap_or_default();
    let ram = memory.lines().find(|line| line.ends_with(" : System RAM"));
    let last = ram.and_then(|line| line.split([' ', '-']).nth(1));
    let last = last.and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0);
    if last == 0 || device("/dev/mem").is_none() {
        return skipped("the addresses of RAM are not shown, or there is no /dev/mem");
    }
    // Mapping accesses nothing.
    match PhysicalRegion::open("/dev/mem", last & !4095, 128, Memory::Cached) {
        Err(error) => {
            assert_eq!(error.errno(), Some(Errno::PERM), "{error:?}");
            assert!(error.to_string().contains("CONFIG_STRICT_DEVMEM"), "{error}");
        }
        Ok(_) => skipped("this kernel gives /dev/mem access to all of RAM"),
    }
}

#[test]
fn memory_of_an_emulated_pci_device_holds_a_lock_if_it_is_asked_for_by_name() {
    let _fixture = Fixture::new();
    let Some(device) = writable_ivshmem() else { return };
    let path = device.join("resource2");
    let map = || PhysicalRegion::open(&path, 4096 + 64, 128, Memory::Uncached);
    let [one, other] = [map(), map()].map(|mapped| mapped.expect("mapped"));
    assert_eq!(one.source(), MemorySource::PciResource);
    // SAFETY: memory that only this test uses.
    let refused = unsafe { one.word_lock(ONE) }.unwrap_err();
    assert!(matches!(refused, PhysicalError::Uncached { .. }), "{refused:?}");
    // SAFETY: as above; exclusives work on all memory of an emulator.
    let one = unsafe { one.word_lock_on_uncached_memory(ONE) }.expect("free");
    // SAFETY: as above.
    let other = unsafe { other.word_lock_on_uncached_memory(TWO) }.expect("free");
    let guard = one.try_lock().expect("no misuse").expect("free");
    assert!(other.try_lock().expect("no misuse").is_none(), "one memory, one lock");
    drop(guard);

    let size = fs::metadata(&path).expect("it is there").len();
    let beyond = PhysicalRegion::open(&path, size - 64, 128, Memory::Uncached).unwrap_err();
    assert!(matches!(beyond, PhysicalError::BeyondEnd { .. }), "{beyond:?}");
    // SAFETY: as above; an emulator does not hang.
    let probed = unsafe { probe_exclusives(&path, 0, Memory::Uncached, Duration::from_secs(600)) };
    let probed = probed.expect("a child");
    assert!(matches!(probed.outcome, ExclusivesOutcome::Work { .. }), "{probed:?}");
    assert_eq!(probed.word, ProbedWord::Restored);
}
