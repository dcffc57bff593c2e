//! Exchanges a descriptor of a handle for another one, as other code of the process might.

#![allow(unsafe_code, reason = "closes and exchanges descriptors of other code")]

use std::fs::{self, File};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;
use std::{mem, thread};

use rustix::fs::{MemfdFlags, memfd_create};
use shmlock::ShmLock;
use shmlock_tests::hostile::{Folder, Intruder, Mode, Solo};

use crate::HERE;

/// The file that a number leads to after other code has closed it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum To {
    Nothing,
    DevNull,
    Socket,
    /// A file without a name.
    Nameless,
    AnotherLock,
    SecondDescription,
    /// The description that holds token and presence of another handle of the same lock.
    AnotherIdentity,
    /// A file of which another description has locked every byte, as `lockf(3)` does.
    LockedFile,
}

pub(crate) const ALL: [To; 8] = [
    To::Nothing,
    To::DevNull,
    To::Socket,
    To::Nameless,
    To::AnotherLock,
    To::SecondDescription,
    To::AnotherIdentity,
    To::LockedFile,
];

impl To {
    /// Opens a descriptor of it; `other` is another handle of the lock, with a lifeline.
    pub(crate) fn open(self, folder: &Folder, other: &ShmLock) -> Option<OwnedFd> {
        let file = |path: &Path| {
            File::options().read(true).write(true).open(path).expect("it is there").into()
        };
        Some(match self {
            Self::Nothing => return None,
            Self::DevNull => file(Path::new("/dev/null")),
            Self::Socket => UnixStream::pair().expect("sockets").0.into(),
            Self::Nameless => memfd_create("nameless", MemfdFlags::CLOEXEC).expect("a memfd"),
            Self::AnotherLock => file(&folder.file("another")),
            Self::SecondDescription => file(&folder.file("l")),
            Self::AnotherIdentity => {
                other.lifeline().expect("asked for").try_clone_to_owned().expect("a descriptor")
            }
            Self::LockedFile => {
                let file = memfd_create("locked", MemfdFlags::CLOEXEC).expect("a memfd");
                let other = Intruder::on(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())));
                // The last byte of a token is 2^31 - 2.
                assert!(
                    other.lock(Mode::Write, &(0..=i64::from(i32::MAX) - 1)),
                    "another description has locked it"
                );
                mem::forget(other); // the lock lasts as long as this process
                file
            }
        })
    }
}

/// Returns the descriptors of this process that lead to the file.
pub(crate) fn numbers_of(path: &Path) -> Vec<RawFd> {
    let number = |entry: fs::DirEntry| {
        let leads_there = fs::read_link(entry.path()).is_ok_and(|target| target == path);
        leads_there.then(|| entry.file_name().to_str().and_then(|name| name.parse().ok())).flatten()
    };
    fs::read_dir("/proc/self/fd").expect("/proc").filter_map(|entry| number(entry.ok()?)).collect()
}

/// Returns the device and inode that a number leads to.
pub(crate) fn target_of(number: RawFd) -> Option<(u64, u64)> {
    fs::metadata(format!("/proc/self/fd/{number}")).ok().map(|file| (file.dev(), file.ino()))
}

/// A number that other code has exchanged, and uses from then on.
pub(crate) struct Exchanged {
    number: RawFd,
    target: Option<(u64, u64)>,
}

impl Exchanged {
    pub(crate) fn now(number: RawFd, to: Option<&OwnedFd>) -> Self {
        match to {
            // SAFETY: dup2(2) with two numbers.
            Some(other) => assert_eq!(unsafe { libc::dup2(other.as_raw_fd(), number) }, number),
            // SAFETY: close(2) with a number.
            None => assert_eq!(unsafe { libc::close(number) }, 0),
        }
        Self { number, target: target_of(number) }
    }

    /// Asserts that no other code has closed it, and closes it.
    pub(crate) fn end(self) {
        assert_eq!(target_of(self.number), self.target, "a foreign descriptor was closed");
        if self.target.is_some() {
            // SAFETY: this value owns the number since the exchange, and no other code closes it.
            drop(unsafe { OwnedFd::from_raw_fd(self.number) });
        }
    }
}

/// Opens a handle, and returns it with its only descriptor.
pub(crate) fn open_with_number(folder: &Folder) -> (ShmLock, RawFd) {
    let before = numbers_of(&folder.file("l"));
    let lock = folder.lock("l").poll_interval(Duration::from_millis(5)).open().expect(HERE);
    let mut new = numbers_of(&folder.file("l"));
    new.retain(|number| !before.contains(number));
    assert_eq!(new.len(), 1, "a handle has one descriptor: {new:?}");
    (lock, new[0])
}

/// Runs `act` for each exchange of a handle's descriptor, with another handle of the lock and an
/// unrelated lock.
pub(crate) fn for_each(act: impl Fn(To, &Folder, &ShmLock, ShmLock, Exchanged)) {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    for to in ALL {
        let another = folder.lock("another").open().expect(HERE);
        let other = folder.lock("l").lifeline(true).open().expect(HERE);
        let (lock, number) = open_with_number(&folder);
        let target = to.open(&folder, &other);
        act(to, &folder, &other, lock, Exchanged::now(number, target.as_ref()));
        drop((target, other, another));
        assert!(folder.names().is_empty(), "{to:?}: {:?}", folder.names());
    }
}

/// Runs `act` while another thread holds the lock with a clone of `holder`.
pub(crate) fn while_held(holder: &ShmLock, act: impl FnOnce()) {
    let clone = holder.try_clone().expect(HERE);
    let ((held, is_held), (end, ends)) = (channel(), channel::<()>());
    thread::scope(|scope| {
        scope.spawn(move || {
            let guard = clone.lock().expect("free");
            held.send(()).expect("the test waits");
            let _ = ends.recv();
            guard.release().expect("no other handle took the lock");
        });
        is_held.recv().expect("it is held");
        act();
        drop(end);
    });
}

/// Closes these numbers, as closefrom(3) does. No descriptor of the test has one of them.
pub(crate) fn close_numbers(numbers: std::ops::Range<i32>) {
    for number in numbers {
        // SAFETY: no descriptor of this test, by the contract.
        unsafe { libc::close(number) };
    }
}
