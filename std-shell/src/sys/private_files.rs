//! Gives a thread a table of descriptors of its own.
//!
//! The threads of a process share one table: any code of the program can close or exchange any
//! descriptor, and a child that another thread forks inherits all of them. A table of its own holds
//! what this thread opens, and no other thread can name it. The kernel frees it with the thread.

#![allow(unsafe_code, reason = "close_range and unshare are in libc only, or unsafe")]

use std::fs;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd, RawFd};

use rustix::fs::{MemfdFlags, memfd_create, stat};
use rustix::io::{Errno, dup2, fcntl_dupfd_cloexec};
use rustix::thread::UnshareFlags;

use crate::sys::file_id::FileId;
use crate::sys::fork_gate::NoForkGuard;

/// The lowest number that [`PrivateFiles::out_of_the_way`] gives. Arbitrary, but below the usual
/// limit of 1024.
///
/// Foreign code may run in this thread after all: a replaced malloc(3), a sanitizer. It believes
/// that its descriptors are those of the program, whose numbers are low.
const LOWEST: RawFd = 512;

/// The proof that the calling thread has its own table. Not `Send`: it is this thread's.
#[derive(Debug)]
pub(crate) struct PrivateFiles(std::marker::PhantomData<*const ()>);

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
            let first = memory_file()?;
            if is_private(&first).unwrap_or(first.as_raw_fd() == 0) {
                return Self::keep_standard_numbers(first);
            }
            return Err(Errno::NOSYS);
        }
        let _no_fork = NoForkGuard::begin(); // no copy of a descriptor that holds an identity
        // SAFETY: the descriptors of this thread are those of the table, of which it gets a copy.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FILES) }?;
        let first = memory_file()?;
        if is_private(&first) != Some(true) {
            return Err(Errno::NOSYS);
        }
        close_all_but(first.as_raw_fd())?;
        Self::keep_standard_numbers(first)
    }

    /// Occupies the numbers of the standard streams by a file in memory. What foreign code writes
    /// to them must not get into a file that is opened here.
    fn keep_standard_numbers(first: OwnedFd) -> Result<Self, Errno> {
        for number in 0..3 {
            if first.as_raw_fd() != number {
                // SAFETY: the table is this thread's own, and nothing in it has this number.
                let mut target =
                    unsafe { <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(number) };
                let copied = dup2(&first, &mut target);
                std::mem::forget(target); // open for as long as the thread lives
                copied?;
            }
        }
        if first.as_raw_fd() < 3 {
            std::mem::forget(first); // likewise
        }
        Ok(Self(std::marker::PhantomData))
    }

    /// Gives a descriptor a number that foreign code does not use. Keeps it if that fails.
    pub(crate) fn out_of_the_way(&self, fd: OwnedFd) -> OwnedFd {
        let Ok(copy) = fcntl_dupfd_cloexec(&fd, LOWEST) else { return fd };
        self.close(fd);
        copy
    }

    /// Closes a descriptor whose number is low, by the bare system call: a library that replaces
    /// close(3) would take the number for one of the program's.
    #[allow(clippy::unused_self, reason = "proves that the table is this thread's")]
    pub(crate) fn close(&self, fd: OwnedFd) {
        // SAFETY: the caller gave up its ownership, and there is no other.
        unsafe { rustix::io::close(fd.into_raw_fd()) };
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
fn is_private(witness: &OwnedFd) -> Option<bool> {
    let number = witness.as_raw_fd();
    let at = |table: &str| stat(format!("/proc/{table}/fd/{number}")).map(|stat| FileId::of(&stat));
    let ours = FileId::of_fd(witness.as_fd());
    (ours.is_some() && at("thread-self").ok() == ours).then(|| at("self").ok() != ours)
}

/// Closes every descriptor of this thread's own table but one.
fn close_all_but(kept: RawFd) -> Result<(), Errno> {
    // Read to the end first: the directory is a descriptor, too.
    let entries = fs::read_dir("/proc/thread-self/fd").map_err(|_| Errno::NOENT)?;
    let numbers: Vec<RawFd> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for number in numbers {
        if number != kept {
            // SAFETY: the number is of this thread's own table, which no other code uses.
            unsafe { libc::close(number) };
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::thread;

    use super::{LOWEST, PrivateFiles, close_all_but, is_private, memory_file};
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
        let number = thread::spawn(|| {
            let files = PrivateFiles::begin().expect("a table");
            assert_eq!(numbers(), [0, 1, 2, 3]);
            let own = files.out_of_the_way(File::open("/dev/null").expect("it is there").into());
            own.as_raw_fd()
        });
        assert!(number.join().expect("no panic") >= LOWEST);
        assert!(file.metadata().is_ok(), "the program's descriptor was closed");
    }

    #[test]
    fn a_table_that_is_shared_is_not_taken_for_private() {
        thread::spawn(|| {
            let file: OwnedFd = File::open("/dev/null").expect("it is there").into();
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
            let witness = memory_file().expect("memory");
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
