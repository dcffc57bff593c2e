//! Tests devices that this machine lacks, as a fake sysfs shows them.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::Errno;
use shmlock_tests::Fixture;
use shmlock_tests::hostile::Folder;

use crate::remote::request::Request;
use crate::remote::source::Identified;
use crate::remote::{Memory, MemorySource, NotMemory, PhysicalError};
use crate::sys::range_mapping::Children;

/// The device whose descriptor stands for all others: `/dev/null`, 1:3.
const NULL: &str = "/dev/null";

/// A sysfs in which `/dev/null` is a device of this class and name.
struct Sysfs {
    folder: Folder,
    // Last: it checks that the folder has gone.
    _fixture: Fixture,
}

impl Sysfs {
    fn new(class: &str, name: &str) -> Self {
        let fixture = Fixture::new();
        let folder = Folder::new(&fixture);
        let sysfs = Self { folder, _fixture: fixture };
        let device = sysfs.root().join("devices").join(name);
        fs::create_dir_all(&device).expect("a folder");
        fs::create_dir_all(sysfs.root().join("dev/char")).expect("a folder");
        symlink(format!("../../class/{class}"), device.join("subsystem")).expect("a link");
        symlink(format!("../../devices/{name}"), sysfs.root().join("dev/char/1:3"))
            .expect("a link");
        sysfs
    }

    fn uio(maps: &[[&str; 3]]) -> Self {
        let sysfs = Self::new("uio", "uio0");
        for (number, values) in maps.iter().enumerate() {
            let map = sysfs.device().join(format!("maps/map{number}"));
            fs::create_dir_all(&map).expect("a folder");
            for (file, value) in ["addr", "size", "offset"].into_iter().zip(values) {
                fs::write(map.join(file), value).expect("a file");
            }
        }
        sysfs
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn device(&self) -> PathBuf {
        self.root().join("dev/char/1:3")
    }

    fn identify(&self) -> Result<Identified, PhysicalError> {
        let null = File::open(NULL).expect("it is everywhere");
        Identified::of(null.as_fd(), Path::new(NULL), self.root())
    }

    fn source(&self) -> Result<MemorySource, PhysicalError> {
        self.identify().map(|found| found.source)
    }
}

#[test]
fn the_pages_of_an_offset_select_the_memory_of_a_uio_device() {
    let sysfs = Sysfs::uio(&[
        ["0x40000000\n", "0x1000\n", "0x0\n"],
        ["0x40010010\n", "0x00002000\n", "0x10\n"],
    ]);
    let found = sysfs.identify().expect("a device");
    assert_eq!(found.source, MemorySource::Uio);
    let page = rustix::param::page_size() as u64;
    let (first, rest) = found.extent(Path::new(NULL), 64).expect("map 0");
    assert_eq!((first.base, first.skip, first.size, rest), (0, 0, Some(0x1000), 64));
    let (second, rest) = found.extent(Path::new(NULL), page + 4).expect("map 1");
    assert_eq!((second.base, second.skip, second.size, rest), (page, 0x10, Some(0x2000), 4));
    assert!(second.begins_at_base);
    let absent = found.extent(Path::new(NULL), 2 * page);
    assert_eq!(absent, Err(PhysicalError::NoSuchMap { path: NULL.into(), map: 2 }));
    let absurd = found.uio_map(Path::new(NULL), u64::MAX);
    assert_eq!(absurd, Err(PhysicalError::NoSuchMap { path: NULL.into(), map: u64::MAX }));
}

#[test]
fn a_uio_memory_without_the_file_offset_begins_at_its_first_page() {
    let sysfs = Sysfs::uio(&[["0x0", "4096", "unused"]]);
    fs::remove_file(sysfs.device().join("maps/map0/offset")).expect("just written");
    let extent = sysfs.identify().expect("a device").uio_map(Path::new(NULL), 0).expect("map 0");
    assert_eq!((extent.skip, extent.size), (0, Some(4096)));
}

#[test]
fn an_attribute_that_is_no_number_or_cannot_be_read_is_named() {
    for garbage in ["", "\n", "4 KiB\n", "0x\n", "-1", "0x10000000000000000"] {
        let sysfs = Sysfs::uio(&[["0x0", garbage, "0x0"]]);
        let path = sysfs.device().join("maps/map0/size");
        let found = sysfs.identify().expect("a device").uio_map(Path::new(NULL), 0);
        assert_eq!(found, Err(PhysicalError::BadAttribute { path }), "{garbage:?}");
    }
    let sysfs = Sysfs::uio(&[["0x0", "0x1000", "0x0"]]);
    let size = sysfs.device().join("maps/map0/size");
    fs::remove_file(&size).expect("just written");
    let error = sysfs.identify().expect("a device").uio_map(Path::new(NULL), 0).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::NOENT));
    assert!(error.to_string().contains("maps/map0/size"), "{error}");
}

#[test]
fn each_class_of_devices_is_recognised_and_makers_of_buffers_are_refused() {
    let buffer = Sysfs::new("u-dma-buf", "udmabuf0");
    fs::write(buffer.device().join("size"), "1048576\n").expect("a file");
    let found = buffer.identify().expect("a device");
    assert_eq!(found.source, MemorySource::UDmaBuf);
    let (extent, rest) = found.extent(Path::new(NULL), 8192).expect("one memory");
    assert_eq!((extent.base, extent.size, rest), (0, Some(1 << 20), 8192));

    let source = |class, name| Sysfs::new(class, name).source();
    assert_eq!(source("drm", "card0"), Ok(MemorySource::OtherDevice));
    // The driver of an FPGA may call its device so, in another class.
    assert_eq!(source("fpga", "udmabuf"), Ok(MemorySource::OtherDevice));
    let refused = |found| Err(PhysicalError::NotMemory { path: NULL.into(), found });
    assert_eq!(source("dma_heap", "system"), refused(NotMemory::DmaHeap));
    assert_eq!(source("misc", "udmabuf"), refused(NotMemory::UDmaBufMaker));
    assert!(Sysfs::new("u-dma-buf", "udmabuf0").source().is_err(), "without a size");
}

#[test]
fn a_device_that_sysfs_does_not_know_is_one_of_unknown_size() {
    let null = File::open(NULL).expect("it is everywhere");
    let found = Identified::of(null.as_fd(), Path::new(NULL), Path::new("/no/sysfs"));
    let found = found.expect("a device");
    assert_eq!(found.source, MemorySource::OtherDevice);
    assert_eq!(found.extent(Path::new(NULL), 0).expect("no map").0.size, None);
}

/// Maps a memfd as if it were memory of this source.
fn map_as(source: MemorySource, memory: Memory) -> Result<(), PhysicalError> {
    let file = memfd_create("remote", MemfdFlags::CLOEXEC).expect("memory");
    ftruncate(&file, 4096).expect("memory");
    let path = Path::new("/dev/pretended");
    let (extent, offset) =
        Identified::of(file.as_fd(), path, Path::new("/sys"))?.extent(path, 0)?;
    let request = Request { fd: file.as_fd(), path, source, memory };
    request.map(&extent, offset, 128, Children::Lack).map(drop)
}

#[test]
fn memory_of_pci_cannot_be_called_cached() {
    let path = PathBuf::from("/dev/pretended");
    assert_eq!(
        map_as(MemorySource::PciResource, Memory::Cached),
        Err(PhysicalError::NeverCached { path })
    );
    assert_eq!(map_as(MemorySource::PciResource, Memory::Uncached), Ok(()));
}

#[test]
fn the_flag_of_a_descriptor_has_to_say_what_the_caller_says_where_it_has_a_meaning() {
    for source in [MemorySource::DevMem, MemorySource::UDmaBuf] {
        assert_eq!(map_as(source, Memory::Cached), Ok(()), "{source:?}");
        let (path, memory) = (PathBuf::from("/dev/pretended"), Memory::Uncached);
        let other = Err(PhysicalError::OtherFlag { path, memory });
        assert_eq!(map_as(source, Memory::Uncached), other, "{source:?}");
    }
    for source in [MemorySource::Uio, MemorySource::DmaBuf, MemorySource::OtherDevice] {
        assert_eq!(map_as(source, Memory::Uncached), Ok(()), "{source:?}");
    }
}
