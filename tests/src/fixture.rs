//! The frame of one test: names of its own, a bound on its time, and a look for what it left
//! behind.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;

use shmlock::ShmLock;

use crate::traces::{self, SHM, process_prefix};
use crate::watchdog;

/// The frame of one test. Make it first, so that it is dropped last.
#[derive(Debug)]
pub struct Fixture {
    prefix: String,
    /// Dropping it calls the watchdog off.
    _calm: Sender<()>,
    // Last: the fixture is over before the next begins.
    _slot: Slot,
}

/// What the fixtures of one process have in common. Either many are played at one time or, alone, one
/// that could not bear another.
#[derive(Debug)]
#[expect(dead_code, reason = "held until it is dropped")]
pub(crate) enum Slot {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

static SLOTS: RwLock<()> = RwLock::new(());

impl Slot {
    /// Waits until no fixture is played alone.
    pub(crate) fn shared() -> Self {
        Self::Shared(SLOTS.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until no other fixture is played.
    pub(crate) fn alone() -> Self {
        Self::Alone(SLOTS.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Default for Fixture {
    fn default() -> Self {
        Self::new()
    }
}

impl Fixture {
    /// Begins a test. Should it take too long, the process says which test it was and ends, and the
    /// actors with it.
    ///
    /// Waits while a [`Solo`](crate::hostile::Solo) of this process is played. A thread has one
    /// fixture at a time.
    #[must_use]
    pub fn new() -> Self {
        Self::on(Slot::shared())
    }

    /// Begins a test on this slot. Its time begins here, so the wait for the slot does not count.
    pub(crate) fn on(slot: Slot) -> Self {
        static FIXTURES: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("{}{}-", process_prefix(), FIXTURES.fetch_add(1, Ordering::Relaxed));
        Self { prefix, _calm: watchdog::start(), _slot: slot }
    }

    /// A name that nobody else uses.
    #[must_use]
    pub fn name(&self, part: &str) -> String {
        format!("{}{part}", self.prefix)
    }

    /// The files in `/dev/shm` that belong to this test now.
    ///
    /// # Panics
    /// If the directory cannot be read.
    #[must_use]
    pub fn files(&self) -> Vec<String> {
        traces::of(&self.prefix)
    }

    /// Opens and closes the lock: takes away what a killed process could not.
    ///
    /// # Panics
    /// If it cannot be opened.
    pub fn visit(&self, name: &str) {
        drop(quietly(|| ShmLock::open(name)).expect("a lock that was left behind can be opened"));
    }
}

/// Opens a lock in this process; or does anything else while no other test starts a program.
///
/// A program that is started while another thread opens a lock may have a copy of the descriptor
/// that the lock's identity hangs on, until it calls exec. Closing the lock in that instant leaves
/// its file behind. [`start`](crate::start()) avoids it, but by the library's own means, which give
/// up after a second: a machine may well be as busy as that.
pub fn quietly<R>(act: impl FnOnce() -> R) -> R {
    static QUIET: Mutex<()> = Mutex::new(());
    // A test that panicked in here has disturbed nothing.
    let _quiet = QUIET.lock().unwrap_or_else(PoisonError::into_inner);
    act()
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let left = self.files();
        traces::remove(&left);
        if !thread::panicking() {
            assert!(left.is_empty(), "left behind in {SHM}: {left:?}");
        }
    }
}
