//! Tests locks in memory that is opened by its device or descriptor, and each refusal.

#![allow(unsafe_code, reason = "the caller of a lock in mapped memory promises what it is")]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Stdio};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use shmlock::Errno;
use shmlock::remote::{Memory, MemorySource, NotMemory, PhysicalError, PhysicalRegion};
use shmlock_core::contend::{AssumeAlive, Liveness};
use shmlock_core::fence::FullSystem;
use shmlock_core::ticket::layout::ticket_len;
use shmlock_core::wait::{Wait, WaitAction, WaitContext};
use shmlock_core::{FenceScope, Region, Token, Word};
use shmlock_tests::hostile::{Folder, be_user, make_node, on_tmpfs};
use shmlock_tests::tickets::{PARTIES, Tickets};
use shmlock_tests::{Capability, Fixture, Shared, alone, can, command, rounds, skipped, start};

const ONE: NonZeroU16 = NonZeroU16::new(1).unwrap();
const TWO: NonZeroU16 = NonZeroU16::new(2).unwrap();

/// Waits without end, and lets the owner run.
struct Yield;

impl Wait for Yield {
    fn wait(&mut self, _: &mut WaitContext<'_>) -> WaitAction {
        thread::yield_now();
        WaitAction::Retry
    }
}

fn memfd(len: u64) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = memfd_create("remote", flags).expect("memory");
    ftruncate(&file, len).expect("memory");
    file
}

fn open(path: impl AsRef<Path>) -> Result<PhysicalRegion, PhysicalError> {
    PhysicalRegion::open(path, 0, 128, Memory::Cached)
}

/// Returns the counter behind the lock.
fn counter(memory: &PhysicalRegion) -> &AtomicU32 {
    assert!(memory.len() >= 132);
    // SAFETY: inside the range.
    let counter = unsafe { memory.address().add(128) };
    // SAFETY: aligned, mapped as long as `memory` lives, and accessed as an atomic only.
    unsafe { counter.cast().as_ref() }
}

#[test]
fn two_mappings_in_the_middle_of_a_page_are_one_lock() {
    let _fixture = Fixture::new();
    let file = memfd(8192);
    fcntl_add_seals(&file, SealFlags::SHRINK).expect("allowed");
    let count = rounds(20_000);
    thread::scope(|scope| {
        for token in [ONE, TWO] {
            let file = &file;
            scope.spawn(move || {
                let memory = PhysicalRegion::from_fd(file, 4096 + 64, 192, Memory::Cached);
                let memory = memory.expect("it is mapped");
                // SAFETY: all users of the file access it as this lock and its counter.
                let lock = unsafe { memory.word_lock(token) }.expect("free");
                for _ in 0..count {
                    let _guard = lock.lock(&mut Yield).expect("it becomes free");
                    let counter = counter(&memory);
                    // Partner: the other thread, ordered by the lock. Two steps: only exclusion
                    // makes them one.
                    let seen = counter.load(Relaxed);
                    counter.store(seen + 1, Relaxed);
                }
            });
        }
    });
    let memory = PhysicalRegion::from_fd(&file, 4096 + 64, 192, Memory::Cached).expect("mapped");
    assert_eq!(u64::from(counter(&memory).load(Relaxed)), 2 * count);
    assert_eq!((memory.source(), memory.memory()), (MemorySource::File, Memory::Cached));
    assert_eq!(memory.fence_scope(), FenceScope::FullSystem);
    let mut magic = [0; 4];
    rustix::io::pread(&file, &mut magic, 4096 + 64 + 8).expect("in the file");
    assert_eq!(&magic, b"SHL\x01", "the lock is where the offset says");
}

#[test]
fn uncached_memory_refuses_the_word_lock_until_the_caller_asks_by_name() {
    let _fixture = Fixture::new();
    let memory = PhysicalRegion::from_fd(memfd(4096), 0, 128, Memory::Uncached).expect("mapped");
    // SAFETY: our own file.
    let refused = unsafe { memory.word_lock(ONE) }.unwrap_err();
    assert!(matches!(refused, PhysicalError::Uncached { .. }), "{refused:?}");
    let text = refused.to_string();
    assert!(text.contains("ticket_lock") && text.contains("on_uncached_memory"), "{text}");
    // SAFETY: our own file.
    let refused = unsafe { memory.region() }.map(Region::word).unwrap_err();
    assert!(matches!(refused, PhysicalError::Uncached { .. }), "{refused:?}");
    // SAFETY: our own file, on which exclusives work.
    let region = unsafe { memory.region_on_uncached_memory() }.expect("free");
    assert_eq!(region.word(), Word::FREE);
    // SAFETY: as above.
    let lock = unsafe { memory.word_lock_on_uncached_memory(ONE) }.expect("free");
    assert!(lock.try_lock().expect("free").is_some());
}

/// Starts a party of the ticket lock in another process, which opens it as uncached memory.
fn spawn(tickets: &Shared<Tickets>, number: u16, visits: &str) -> Child {
    let mut command = command(env!("CARGO_BIN_EXE_party"));
    command.arg(tickets.path()).arg(number.to_string()).args([visits, "uncached"]);
    start(command.stdin(Stdio::piped()).stdout(Stdio::piped())).expect("a process")
}

#[test]
fn two_processes_lose_no_count_under_a_ticket_lock_in_uncached_memory() {
    let _fixture = Fixture::new();
    let tickets = Shared::<Tickets>::new();
    let memory = PhysicalRegion::open(tickets.path(), 0, ticket_len(PARTIES), Memory::Uncached);
    let memory = memory.expect("it is mapped");
    // SAFETY: all users of the file access these bytes as this lock.
    let lock = unsafe { memory.ticket_lock::<PARTIES>(ONE) }.expect("one of the parties");
    let visits = rounds(20_000);
    let mut other = spawn(&tickets, 2, &visits.to_string());
    let begin = Instant::now();
    for _ in 0..visits {
        tickets.visit(&lock, &mut AssumeAlive);
        if tickets.end_in_time(begin) {
            break;
        }
    }
    assert!(other.wait().expect("it ends").success());
    assert_eq!(tickets.counted(), tickets.visited());
    assert!(tickets.visits[..2].iter().all(|visits| visits.load(Relaxed) > 0), "{tickets:?}");
    assert_eq!(lock.region().acquisitions(), tickets.counted());
    assert_eq!(tickets.repairs.load(Relaxed), 0);
}

#[test]
fn a_process_killed_under_a_ticket_lock_is_passed_after_its_burial_and_told_of() {
    /// Proof that party 2 is dead: its process has been waited for.
    struct Ended;

    impl Liveness for Ended {
        fn while_dead<R>(&mut self, owner: Token, act: impl FnOnce() -> R) -> Option<R> {
            (owner == Token::from_static(TWO)).then(act)
        }
    }

    let _fixture = Fixture::new();
    let tickets = Shared::<Tickets>::new();
    let mut dead = spawn(&tickets, 2, "die");
    let mut line = String::new();
    BufReader::new(dead.stdout.take().expect("piped")).read_line(&mut line).expect("it says so");
    assert_eq!(line, "inside\n");

    let memory = PhysicalRegion::open(tickets.path(), 0, ticket_len(PARTIES), Memory::Uncached);
    let memory = memory.expect("it is mapped");
    // SAFETY: all users of the file access these bytes as this lock.
    let lock = unsafe { memory.ticket_lock::<PARTIES>(ONE) }.expect("one of the parties");
    assert_eq!(lock.holder().map(|holder| holder.token), Some(Token::from_static(TWO)));
    dead.kill().expect("it has not been waited for");
    dead.wait().expect("it ends");
    assert!(lock.try_lock().expect("no misuse").is_none(), "a dead party is in the way");
    // SAFETY: as above.
    let region = unsafe { memory.ticket_region::<PARTIES>() }.expect("the same");
    assert_eq!(region.bury(TWO, FullSystem, &mut AssumeAlive), Ok(false));
    assert_eq!(region.bury(TWO, FullSystem, &mut Ended), Ok(true));
    assert!(lock.try_lock().expect("no misuse").expect("free").owner_died());
}

#[test]
fn a_ticket_lock_refuses_memory_and_parties_that_are_not_its_own() {
    let _fixture = Fixture::new();
    let file = memfd(4096);
    let region = |len, memory| PhysicalRegion::from_fd(&file, 64, len, memory).expect("mapped");
    let refusal = |region: &PhysicalRegion, party| {
        // SAFETY: our own file.
        match unsafe { region.ticket_lock::<2>(party) } {
            Ok(lock) => panic!("{lock:?}"),
            Err(PhysicalError::Region { reason, .. }) => reason,
            Err(error) => panic!("{error:?}"),
        }
    };
    let short = region(ticket_len(2) - 4, Memory::Uncached);
    let len = ticket_len(2) - 4;
    assert_eq!(refusal(&short, ONE), shmlock_core::Error::TooShort { len });
    let exact = region(ticket_len(2), Memory::Uncached);
    let three = NonZeroU16::new(3).expect("not 0");
    let no_party = shmlock_core::Error::NoSuchParty { party: 3, parties: 2 };
    assert_eq!(refusal(&exact, three), no_party);

    let cached = region(4032, Memory::Cached);
    // SAFETY: our own file, no other user at this time.
    assert!(unsafe { cached.ticket_lock::<2>(ONE) }.is_ok(), "cached memory serves as well");
    // SAFETY: as above.
    let other = unsafe { cached.ticket_region::<3>() }.unwrap_err();
    let reason = shmlock_core::Error::OtherParties { found: 2 };
    assert!(matches!(&other, PhysicalError::Region { reason: found, .. } if *found == reason));
    // SAFETY: as above.
    let word = unsafe { cached.word_lock(ONE) }.unwrap_err();
    let PhysicalError::Region { reason: shmlock_core::Error::NotALock { found }, .. } = word else {
        panic!("{word:?}");
    };
    assert_eq!(found.to_le_bytes(), *b"TK\x02\x01");
}

#[test]
fn a_file_that_is_too_short_is_refused_before_it_is_mapped() {
    let _fixture = Fixture::new();
    for (size, offset) in [(0, 0), (127, 0), (4096, 4096 - 124), (4096, 1 << 40)] {
        let refused = PhysicalRegion::from_fd(memfd(size), offset, 128, Memory::Cached);
        let error = refused.unwrap_err();
        let PhysicalError::BeyondEnd { end, size: found, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!((end, found), (offset + 128, Some(size)));
    }
    let exact = PhysicalRegion::from_fd(memfd(4096), 4096 - 128, 128, Memory::Cached);
    assert_eq!(exact.expect("the last bytes").len(), 128);
}

#[test]
fn odd_offsets_and_ranges_too_short_for_a_lock_are_refused() {
    let _fixture = Fixture::new();
    let file = memfd(4096);
    let from = |offset, len| PhysicalRegion::from_fd(&file, offset, len, Memory::Cached);
    assert!(matches!(from(62, 128), Err(PhysicalError::Misaligned { offset: 62, .. })));
    assert!(matches!(from(0, 0), Err(PhysicalError::Empty { .. })));
    let short = from(4, 64).expect("mapped");
    // SAFETY: our own file.
    let error = unsafe { short.word_lock(ONE) }.unwrap_err();
    let reason = shmlock_core::Error::TooShort { len: 64 };
    assert!(
        matches!(&error, PhysicalError::Region { reason: found, .. } if *found == reason),
        "{error:?}"
    );
}

#[test]
fn memory_with_other_content_is_refused_and_left_alone() {
    let _fixture = Fixture::new();
    let file = memfd(4096);
    let content = [0x5a; 128];
    rustix::io::pwrite(&file, &content, 0).expect("in the file");
    let memory = PhysicalRegion::from_fd(&file, 0, 128, Memory::Cached).expect("mapped");
    // SAFETY: our own file.
    let error = unsafe { memory.word_lock(ONE) }.unwrap_err();
    assert!(
        matches!(
            &error,
            PhysicalError::Region { reason: shmlock_core::Error::NotALock { .. }, .. }
        ),
        "{error:?}"
    );
    let mut after = [0; 128];
    rustix::io::pread(&file, &mut after, 0).expect("in the file");
    assert_eq!(after, content);
}

#[test]
fn a_descriptor_that_may_not_be_written_or_mapped_is_refused_with_its_errno() {
    let fixture = Fixture::new();
    let folder = Folder::new(&fixture);
    let path = folder.path().join("file");
    std::fs::write(&path, [0; 4096]).expect("a file");
    let reader = File::open(&path).expect("just written");
    let error = PhysicalRegion::from_fd(&reader, 0, 128, Memory::Cached).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::ACCESS));
    assert!(error.to_string().contains("reading and writing"), "{error}");

    let sealed = memfd(4096);
    fcntl_add_seals(&sealed, SealFlags::WRITE).expect("allowed");
    let error = PhysicalRegion::from_fd(&sealed, 0, 128, Memory::Cached).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::PERM));
    assert!(error.to_string().contains("F_SEAL_WRITE"), "{error}");

    let error = open("/dev/null").unwrap_err();
    assert_eq!(error.errno(), Some(Errno::NODEV));
    assert!(error.to_string().contains("mmap"), "{error}");
}

#[test]
fn a_file_that_is_no_memory_is_refused_by_its_kind() {
    let fixture = Fixture::new();
    let folder = Folder::new(&fixture);
    let found = |path: &Path| match open(path) {
        Err(PhysicalError::NotMemory { found, .. }) => Some(found),
        Err(error) => panic!("{error:?}"),
        Ok(_) => None,
    };
    assert_eq!(found(folder.path()), Some(NotMemory::Directory));
    assert_eq!(found(Path::new("/dev/zero")), Some(NotMemory::Zero));
    let pipe = folder.path().join("pipe");
    make_node(&pipe, libc::S_IFIFO | 0o600, 0).expect("a pipe");
    assert_eq!(found(&pipe), Some(NotMemory::Channel));

    let directory = rustix::fs::open("/", OFlags::RDONLY, Mode::empty()).expect("it is there");
    let refused = PhysicalRegion::from_fd(directory, 0, 128, Memory::Cached).unwrap_err();
    let found = NotMemory::Directory;
    assert_eq!(refused, PhysicalError::NotMemory { path: "/".into(), found });

    let attribute = File::open("/sys/kernel/uevent_seqnum").expect("sysfs");
    let refused = PhysicalRegion::from_fd(attribute, 0, 128, Memory::Cached).unwrap_err();
    let (path, found) = ("/sys/kernel/uevent_seqnum".into(), NotMemory::Attribute);
    assert_eq!(refused, PhysicalError::NotMemory { path, found });

    let socket = folder.path().join("socket");
    let _listener = UnixListener::bind(&socket).expect("a socket");
    assert_eq!(open(&socket).unwrap_err().errno(), Some(Errno::NXIO));
}

#[test]
fn a_device_that_is_absent_or_not_permitted_is_named_with_the_remedy() {
    let _fixture = Fixture::new();
    let error = open("/dev/uio-of-no-driver").unwrap_err();
    assert_eq!(error.errno(), Some(Errno::NOENT));
    assert!(error.to_string().contains("driver"), "{error}");
    let error = PhysicalRegion::open_uio("/dev/null", 0, 0, 128, Memory::Uncached).unwrap_err();
    assert_eq!(error, PhysicalError::NoSuchMap { path: "/dev/null".into(), map: 0 });
}

#[test]
fn a_device_of_another_user_is_not_permitted() {
    alone!(|| {
        let fixture = Fixture::new();
        if !shmlock_tests::hostile::as_root("a file of another user") {
            return;
        }
        let file = memfd(4096);
        rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR).expect("our own file");
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        be_user(65_534, 65_534);
        let error = open(&path).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::ACCESS), "{error:?}");
        assert!(error.to_string().contains("udev"), "{error}");
        drop(fixture);
    });
}

/// Returns `true` if madvise(2) populates pages; reports that the test is skipped otherwise.
fn can_populate() -> bool {
    let (access, len) = (ProtFlags::READ | ProtFlags::WRITE, 4096);
    // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
    let page = unsafe { mmap_anonymous(null_mut(), len, access, MapFlags::PRIVATE) };
    let page = page.expect("memory");
    // SAFETY: our own page, whose content does not change.
    let populated = unsafe { madvise(page, len, Advice::LinuxPopulateWrite) };
    // SAFETY: just mapped, and not used any more.
    unsafe { munmap(page, len) }.expect("our own mapping");
    if populated.is_err() {
        skipped("Linux before 5.14 populates no pages by madvise(2)");
    }
    populated.is_ok() && can(Capability::KeepMemoryFromChildren)
}

#[test]
fn a_file_whose_file_system_is_full_is_an_error_and_no_signal() {
    if !can_populate() {
        return;
    }
    on_tmpfs("size=64k", |folder, _mounted| {
        let path = folder.path().join("sparse");
        let file = File::create(&path).expect("a file");
        file.set_len(1 << 20).expect("a sparse file");
        let rest = std::fs::write(folder.path().join("rest"), vec![1; 1 << 20]);
        assert_eq!(rest.unwrap_err().raw_os_error(), Some(libc::ENOSPC));
        let error = open(&path).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::FAULT), "{error:?}");
        assert!(error.to_string().contains("no space left"), "{error}");
    });
}
