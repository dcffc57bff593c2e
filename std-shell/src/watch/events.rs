//! Sleeps until an event of a watched file, or the bell.

use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::io::Errno;

use crate::sys::file_id::FileId;
use crate::sys::inotify::{Event, Inotify, WatchId};
use crate::sys::private_files::{PrivateFd, PrivateFiles, memory_file};
use crate::watch::hub::BellFile;

/// The thread's inotify instance, with a watch of the bell.
#[derive(Debug)]
pub(super) struct Events {
    inotify: Inotify,
    bell: Option<Bell>,
}

#[derive(Debug)]
struct Bell {
    watch: WatchId,
    file: BellFile,
    /// Keeps the file.
    _fd: PrivateFd,
}

impl Events {
    /// Makes an instance, and a bell if /proc allows it.
    ///
    /// # Errors
    /// There is no instance to be made.
    pub(super) fn new(files: &PrivateFiles) -> Result<Self, Errno> {
        let inotify = Inotify::new(files)?;
        let mut events = Self { inotify, bell: None };
        events.bell = events.hang_bell(files);
        Ok(events)
    }

    /// Makes the bell, and rings it once to know that it is heard.
    fn hang_bell(&self, files: &PrivateFiles) -> Option<Bell> {
        let fd = files.own(memory_file().ok()?).out_of_the_way();
        // The numbers of this process and thread, as this /proc has them.
        let thread = fs::read_link("/proc/thread-self").ok()?;
        let mut path = PathBuf::from("/proc");
        path.push(thread);
        path.push(format!("fd/{}", fd.as_raw_fd()));
        let watch = self.inotify.add(&path, true).ok()?;
        let file = BellFile { path, file: FileId::of_fd(fd.as_fd())? };
        file.ring();
        let mut is_heard = false;
        self.inotify.take(|event| is_heard |= event == Event::Of(watch));
        is_heard.then_some(Bell { watch, file, _fd: fd })
    }

    /// Returns the file of the bell, if there is a bell.
    pub(super) fn bell_file(&self) -> Option<BellFile> {
        self.bell.as_ref().map(|bell| bell.file.clone())
    }

    /// Watches the file at the path. The first event shows which file that is.
    pub(super) fn add(&self, path: &Path) -> Result<WatchId, Errno> {
        self.inotify.add(path, false)
    }

    pub(super) fn remove(&self, watch: WatchId) {
        self.inotify.remove(watch);
    }

    /// Sleeps until there are events, at most until `until`.
    pub(super) fn sleep(&self, until: Instant) -> bool {
        self.inotify.sleep(until)
    }

    /// Takes the events that are there, except those of the bell.
    pub(super) fn take(&self, mut tell: impl FnMut(Event)) {
        let bell = self.bell.as_ref().map(|bell| bell.watch);
        self.inotify.take(|event| match event {
            Event::Of(watch) | Event::Gone(watch) if Some(watch) == bell => {}
            event => tell(event),
        });
    }
}
