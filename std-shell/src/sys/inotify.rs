//! Tells of events of files, inotify(7): an instance, its watches, and a sleep until an event.

use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::sys::closed_last::ClosedLast;
use crate::sys::private_files::{PrivateFd, PrivateFiles};
use crate::sys::sleep::timespec;

/// A watch of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WatchId(i32);

/// What an instance has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Something happened to this file.
    Of(WatchId),
    /// The watch is gone: its file was deleted, or its file system unmounted.
    Gone(WatchId),
    /// Events were lost.
    Overflow,
}

/// An inotify instance. The kernel allows each user a number of them
/// (`fs.inotify.max_user_instances`, 128 by default).
#[derive(Debug)]
pub(crate) struct Inotify {
    fd: PrivateFd,
    /// Its close takes 10 to 20 ms: longer than a waiter should wait for an owner that dies.
    _closed_last: Option<ClosedLast>,
}

impl Inotify {
    /// Makes an instance in the table of this thread, `inotify_init1(2)`; and the two sockets of a
    /// [`ClosedLast`].
    ///
    /// # Errors
    /// EMFILE: the user has as many as are allowed; ENOSYS and others: there is no inotify.
    pub(crate) fn new(files: &PrivateFiles) -> Result<Self, Errno> {
        let fd = files.own(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?);
        let fd = fd.out_of_the_way();
        // A sandbox may know inotify, and not this call: then the caller looks by time.
        poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timespec(Duration::ZERO)))?;
        let closed_last = ClosedLast::new(&fd, files).ok();
        Ok(Self { fd, _closed_last: closed_last })
    }

    /// Watches the file at the path: the close of a description that could write, changes of its
    /// attributes, and of its link count. `inotify_add_watch(2)`.
    pub(crate) fn add(&self, path: &Path, follow: bool) -> Result<WatchId, Errno> {
        let mut flags = WatchFlags::CLOSE_WRITE | WatchFlags::ATTRIB;
        flags.set(WatchFlags::DONT_FOLLOW, !follow);
        retry_on_intr(|| inotify::add_watch(&self.fd, path, flags)).map(WatchId)
    }

    /// Ends a watch, `inotify_rm_watch(2)`.
    pub(crate) fn remove(&self, watch: WatchId) {
        let _ = inotify::remove_watch(&self.fd, watch.0); // it may be gone already
    }

    /// Sleeps until there is an event, at most until `until`; returns `true` if there is one.
    pub(crate) fn sleep(&self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        let mut polled = [PollFd::from_borrowed_fd(self.fd.as_fd(), PollFlags::IN)];
        match poll(&mut polled, Some(&timespec(left))) {
            Ok(ready) => ready > 0,
            Err(Errno::INTR) => false,
            Err(_) => {
                // Refused after all: the caller looks at its files by time.
                crate::sys::sleep::sleep_for(left.min(Duration::from_millis(1)));
                false
            }
        }
    }

    /// Takes the events that are there, without sleeping; at most so many as `READS` buffers hold.
    /// More make it ready again.
    pub(crate) fn take(&self, mut tell: impl FnMut(Event)) {
        const READS: u32 = 512;
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.fd, &mut buffer);
        for _ in 0..READS {
            // An event with a name follows only from the watch of a directory.
            let Ok(event) = reader.next() else { return };
            let watch = WatchId(event.wd());
            tell(if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                Event::Overflow
            } else if event.events().contains(ReadFlags::IGNORED) {
                Event::Gone(watch)
            } else {
                Event::Of(watch)
            });
        }
        tell(Event::Overflow); // the rest of the buffer is dropped with the reader
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::path::PathBuf;

    use super::{Event, Inotify};
    use crate::sys::private_files::in_own_table;

    /// Makes events of two files in turn, which the kernel does not merge.
    fn close_each(files: &[PathBuf; 2], times: usize) {
        for _ in 0..times {
            for file in files {
                drop(OpenOptions::new().write(true).open(file).expect("it is there"));
            }
        }
    }

    #[test]
    fn no_event_is_lost_however_many_come_while_others_are_taken() {
        in_own_table(|own_table| {
            let directory = std::env::temp_dir();
            let files = ["a", "b"].map(|name| {
                directory.join(format!("shmlock-inotify-{}-{name}", std::process::id()))
            });
            for file in &files {
                std::fs::write(file, "").expect("a file");
            }
            let inotify = Inotify::new(own_table).expect("an instance");
            for file in &files {
                inotify.add(file, false).expect("a watch");
            }
            close_each(&files, 150);
            let (mut told, mut overflows) = (0, 0);
            inotify.take(|event| {
                told += 1;
                overflows += usize::from(event == Event::Overflow);
                if told == 257 {
                    close_each(&files, 150);
                }
            });
            inotify.take(|_| told += 1);
            for file in &files {
                std::fs::remove_file(file).expect("ours");
            }
            assert!(told == 600 || overflows > 0, "{told} of 600");
        });
    }
}
