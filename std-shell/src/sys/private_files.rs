//! Gives a thread a table of descriptors of its own.
//!
//! The threads of a process share one table: any code of the program can close or exchange any
//! descriptor, and a child that another thread forks inherits all of them. A table of its own holds
//! what this thread opens, and no other thread can name it. The kernel frees it with the thread.

#![allow(unsafe_code, reason = "close_range and unshare are in libc only, or unsafe")]

use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, RawDir, memfd_create, openat, stat};
use rustix::io::{Errno, dup2, fcntl_dupfd_cloexec};
use rustix::thread::UnshareFlags;

use crate::sys::file_id::FileId;
use crate::sys::fork_gate::NoForkGuard;

/// The lowest number that [`PrivateFd::out_of_the_way`] gives. Arbitrary, but below the usual
/// limit of 1024.
///
/// Foreign code may run in this thread after all: a replaced malloc(3), a sanitizer. It believes
/// that its descriptors are those of the program, whose numbers are low.
const LOWEST: RawFd = 512;

/// The proof that the calling thread has its own table. Not `Send`: it is this thread's.
#[derive(Debug)]
pub(crate) struct PrivateFiles(PhantomData<*const ()>);

/// A descriptor in a table of the thread's own. Not `Send`, as the table.
///
/// Its drop closes it by the bare system call: a library that replaces close(3), as a sanitizer
/// does, would take the number for one of the program's.
#[derive(Debug)]
pub(crate) struct PrivateFd(ManuallyDrop<OwnedFd>, PhantomData<*const ()>);

impl PrivateFd {
    fn new(fd: OwnedFd) -> Self {
        Self(ManuallyDrop::new(fd), PhantomData)
    }

    /// Gives it a number that foreign code does not use. It keeps its number if that fails.
    pub(crate) fn out_of_the_way(self) -> Self {
        fcntl_dupfd_cloexec(&self, LOWEST).map_or(self, Self::new)
    }

    /// Keeps the descriptor open for as long as the thread lives.
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl AsFd for PrivateFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for PrivateFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Drop for PrivateFd {
    fn drop(&mut self) {
        // SAFETY: taken once, by the drop.
        let fd = unsafe { ManuallyDrop::take(&mut self.0) };
        // SAFETY: it is owned, and given up here.
        unsafe { rustix::io::close(fd.into_raw_fd()) };
    }
}

impl PrivateFiles {
    /// Leaves the table of the process and begins an empty one.
    ///
    /// `close_range(2)` with `CLOSE_RANGE_UNSHARE` (Linux 5.9), otherwise `unshare(2)`.
    ///
    /// # Errors
    /// The table is the one of the process, or that cannot be told. Nothing was closed in it.
    pub(crate) fn begin() -> Result<Self, Errno> {
        if close_range_unshare() {
            // A sandbox may pretend. Without /proc: in an empty table the first number is 0.
            let first = PrivateFd::new(memory_file()?);
            if is_private(&first).unwrap_or(first.as_raw_fd() == 0) {
                return Self::keep_standard_numbers(first);
            }
            return Err(Errno::NOSYS);
        }
        let _no_fork = NoForkGuard::begin(); // no copy of a descriptor that holds an identity
        // SAFETY: the descriptors of this thread are those of the table, of which it gets a copy.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FILES) }?;
        let first = PrivateFd::new(memory_file()?);
        if is_private(&first) != Some(true) {
            return Err(Errno::NOSYS);
        }
        close_all_but(first.as_raw_fd())?;
        Self::keep_standard_numbers(first)
    }

    /// Occupies the numbers of the standard streams by a file in memory. What foreign code writes
    /// to them must not get into a file that is opened here.
    fn keep_standard_numbers(first: PrivateFd) -> Result<Self, Errno> {
        for number in 0..3 {
            if first.as_raw_fd() != number {
                // SAFETY: the table is this thread's own, and nothing in it has this number. It is
                // open for as long as the thread lives: there is no drop.
                let mut target = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(number) });
                dup2(&first, &mut target)?;
            }
        }
        if first.as_raw_fd() < 3 {
            first.keep();
        }
        Ok(Self(PhantomData))
    }

    /// Takes a descriptor that this thread has opened in its table.
    #[allow(clippy::unused_self, reason = "proves that the table is this thread's")]
    pub(crate) fn own(&self, fd: OwnedFd) -> PrivateFd {
        PrivateFd::new(fd)
    }
}

/// Makes a file in memory that every user may write, without a name. `memfd_create(2)`.
pub(crate) fn memory_file() -> Result<OwnedFd, Errno> {
    let make = |flags| memfd_create(c"shmlock", flags);
    // The flag is of Linux 6.3, where an administrator may require it (`vm.memfd_noexec`).
    make(MemfdFlags::CLOEXEC | MemfdFlags::NOEXEC_SEAL).or_else(|_| make(MemfdFlags::CLOEXEC))
}

/// Returns `true` if the kernel says that this thread has an empty table of its own.
fn close_range_unshare() -> bool {
    const UNSHARE: libc::c_uint = 2;
    let (first, last): (libc::c_uint, libc::c_uint) = (0, libc::c_uint::MAX);
    // SAFETY: no descriptor is closed but those of the new table, which no code uses. Without the
    // new table nothing is closed, close_range(2).
    unsafe { libc::syscall(libc::SYS_close_range, first, last, UNSHARE) == 0 }
}

/// Returns `true` if the first thread of the process has another table than this one: its number
/// of this descriptor leads elsewhere, or nowhere. `None`: there is no /proc to tell.
fn is_private(witness: &PrivateFd) -> Option<bool> {
    let number = witness.as_raw_fd();
    let at = |table: &str| stat(format!("/proc/{table}/fd/{number}")).map(|stat| FileId::of(&stat));
    let ours = FileId::of_fd(witness.as_fd());
    (ours.is_some() && at("thread-self").ok() == ours).then(|| at("self").ok() != ours)
}

/// Closes every descriptor of this thread's own table but one.
fn close_all_but(kept: RawFd) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = PrivateFd::new(openat(CWD, "/proc/thread-self/fd", flags, Mode::empty())?);
    let own = directory.as_raw_fd();
    // Read to the end first: a descriptor that is closed meanwhile moves the others.
    let mut numbers: Vec<RawFd> = Vec::new();
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        numbers
            .extend(entry?.file_name().to_str().ok().and_then(|name| name.parse::<RawFd>().ok()));
    }
    for number in numbers {
        if number != kept && number != own {
            // SAFETY: the number is of this thread's own table, which no other code uses.
            unsafe { rustix::io::close(number) };
        }
    }
    Ok(())
}

/// Runs a test in a thread with a table of its own.
#[cfg(test)]
pub(crate) fn in_own_table(test: impl FnOnce(&PrivateFiles) + Send + 'static) {
    let thread = std::thread::spawn(|| test(&PrivateFiles::begin().expect("a table")));
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd;
    use std::thread;

    use super::{LOWEST, PrivateFd, close_all_but, in_own_table, is_private, memory_file};
    use rustix::thread::UnshareFlags;

    /// Returns the numbers of this thread's table that are in use, the directory's among them.
    fn numbers() -> Vec<i32> {
        let entries = std::fs::read_dir("/proc/thread-self/fd").expect("/proc").flatten();
        let mut numbers: Vec<i32> =
            entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn a_thread_with_its_own_table_leaves_the_descriptors_of_the_process_alone() {
        let file = File::open("/dev/null").expect("it is there");
        in_own_table(|files| {
            assert_eq!(numbers(), [0, 1, 2, 3]);
            let own = files.own(File::open("/dev/null").expect("it is there").into());
            let own = own.out_of_the_way();
            let number = own.as_raw_fd();
            assert!(number >= LOWEST);
            assert_eq!(numbers(), [0, 1, 2, 3, number], "the low number is closed");
            drop(own);
            assert_eq!(numbers(), [0, 1, 2, 3]);
        });
        assert!(file.metadata().is_ok(), "the program's descriptor was closed");
    }

    #[test]
    fn a_table_that_is_shared_is_not_taken_for_private() {
        thread::spawn(|| {
            let file = PrivateFd::new(File::open("/dev/null").expect("it is there").into());
            assert_ne!(is_private(&file), Some(true), "it is the table of the process");
        })
        .join()
        .expect("no panic");
    }

    #[test]
    fn without_close_range_a_copy_of_the_table_is_emptied() {
        let file = File::open("/dev/null").expect("it is there");
        thread::spawn(|| {
            // SAFETY: this thread uses no descriptor of the process afterwards.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FILES) }.expect("allowed");
            let witness = PrivateFd::new(memory_file().expect("memory"));
            assert_eq!(is_private(&witness), Some(true));
            close_all_but(witness.as_raw_fd()).expect("/proc");
            let left = numbers();
            assert!(left.len() == 2 && left.contains(&witness.as_raw_fd()), "{left:?}");
        })
        .join()
        .expect("no panic");
        assert!(file.metadata().is_ok(), "the program's descriptor was closed");
    }
}
