//! A bare inotify: the least time in which a lock recovers if its waiters sleep in a futex, and the
//! kernel tells of the owner's death by an event of a file.
//!
//! The owner locks a byte of the file. The dying process wakes a second thread of the waiter, by
//! inotify(7), and this thread wakes the waiter. It does not look before whether the owner is dead:
//! any close of the file wakes the waiter. There is no proof, no record and no fallback. A release
//! writes to the file, because a waiter cannot tell a release from a death.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::exit;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use rustix::thread::futex::{Flags, wait, wake};
use shmlock_bench_support::Result;

use super::Contender;
use super::file_locks::Ofd;
use crate::place::Place;

const FILE: &str = "inotify";

/// How often a waiter tries after an event. The kernel tells of a close a moment before the lock
/// goes; so many attempts take longer than that.
const TRIES: u32 = 1000;

/// The events so far, the futex of this process. Relaxed: it says nothing about other memory, and
/// the file's lock orders the critical sections.
static EVENTS: AtomicU32 = AtomicU32::new(0);

/// An open file, with a thread once this process has waited.
#[derive(Debug)]
pub(crate) struct BareInotify {
    lock: Ofd,
    place: Place,
    has_thread: bool,
}

impl BareInotify {
    #[cold]
    fn lock_contended(&mut self) -> Result<()> {
        if !self.has_thread {
            start_thread(&self.place.file(FILE))?;
            self.has_thread = true;
        }
        loop {
            let seen = EVENTS.load(Relaxed); // partner: the addition in the thread; before the try
            for _ in 0..TRIES {
                if self.lock.try_lock()? {
                    return Ok(());
                }
            }
            // Fails after an event or a signal; the loop tries again.
            let _ = wait(&EVENTS, Flags::PRIVATE, seen, None);
        }
    }
}

/// Starts the thread that wakes the waiter at each event of the file.
fn start_thread(path: &Path) -> Result<()> {
    let inotify = init(CreateFlags::CLOEXEC)?;
    add_watch(&inotify, path, WatchFlags::CLOSE_WRITE | WatchFlags::MODIFY)?;
    let mut inotify = File::from(inotify);
    thread::spawn(move || {
        let mut events = [0; 4096];
        loop {
            if let Err(error) = inotify.read(&mut events) {
                eprintln!("Error: inotify tells of no more events: {error}");
                exit(1) // the waiter would wait for good
            }
            EVENTS.fetch_add(1, Relaxed); // partner: the load of the waiter, and its sleep
            let _ = wake(&EVENTS, Flags::PRIVATE, 1); // the address is valid
        }
    });
    Ok(())
}

impl Contender for BareInotify {
    fn prepare(place: &Place) -> Result<()> {
        Ok(File::create_new(place.file(FILE)).map(drop)?)
    }

    fn open(place: &Place) -> Result<Self> {
        Ok(Self { lock: Ofd::open_file(place, FILE)?, place: place.clone(), has_thread: false })
    }

    fn locked<R>(&mut self, critical_section: impl FnOnce() -> R) -> Result<R> {
        if !self.lock.try_lock()? {
            self.lock_contended()?;
        }
        let result = critical_section();
        self.lock.unlock()?;
        self.lock.touch()?;
        Ok(result)
    }
}
