//! Gives a test names of its own and a watchdog, and checks that it leaves no file behind.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;

use shmlock::ShmLock;

use crate::traces::{self, SHM, process_prefix};
use crate::watchdog;

/// The fixture of one test. Make it first, so that it is dropped last.
#[derive(Debug)]
pub struct Fixture {
    prefix: String,
    /// Dropping it stops the watchdog.
    _calm: Sender<()>,
    // Last: the fixture ends before the next one begins.
    _slot: Slot,
}

/// The permission to run: beside other fixtures of this process, or alone.
#[derive(Debug)]
#[expect(dead_code, reason = "held until it is dropped")]
pub(crate) enum Slot {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

static SLOTS: RwLock<()> = RwLock::new(());

impl Slot {
    /// Waits until no fixture runs alone.
    pub(crate) fn shared() -> Self {
        Self::Shared(SLOTS.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until no other fixture runs.
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
    /// Begins a test. If it exceeds its [bound](crate::bound), the watchdog names it and aborts the
    /// process, and the actors end with it.
    ///
    /// Waits while a [`Solo`](crate::hostile::Solo) of this process runs. A thread has one fixture
    /// at a time.
    #[must_use]
    pub fn new() -> Self {
        Self::on(Slot::shared())
    }

    /// Begins a test in this slot. Its time begins here, so the wait for the slot does not count.
    pub(crate) fn on(slot: Slot) -> Self {
        static FIXTURES: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("{}{}-", process_prefix(), FIXTURES.fetch_add(1, Ordering::Relaxed));
        Self { prefix, _calm: watchdog::start(), _slot: slot }
    }

    /// Returns a name that only this fixture uses.
    #[must_use]
    pub fn name(&self, part: &str) -> String {
        format!("{}{part}", self.prefix)
    }

    /// Returns the files in `/dev/shm` whose names begin with this fixture's prefix.
    ///
    /// # Panics
    /// If the directory cannot be read.
    #[must_use]
    pub fn files(&self) -> Vec<String> {
        traces::of(&self.prefix)
    }

    /// Opens and closes the lock, which removes what a killed process left.
    ///
    /// # Panics
    /// If it cannot be opened.
    pub fn visit(&self, name: &str) {
        drop(quietly(|| ShmLock::open(name)).expect("a lock that was left behind can be opened"));
    }
}

/// Runs `act` while no other test of this process starts a program. For opening a lock in this
/// process.
///
/// Between fork and exec a program has a copy of the descriptor that carries the lock's identity.
/// Closing the lock in that instant leaves its file behind. [`start`](crate::start()) avoids it by
/// the library's own means, which give up after a second; a busy machine may take longer.
pub fn quietly<R>(act: impl FnOnce() -> R) -> R {
    static QUIET: Mutex<()> = Mutex::new(());
    // A test that panicked in here has left nothing half-done.
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
