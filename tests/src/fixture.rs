//! The frame of one test: names of its own, a bound on its time, and a look for what it left
//! behind.

use std::io::{Write, stderr};
use std::num::NonZeroU64;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use std::{env, thread};

use shmlock::ShmLock;

use crate::proc;
use crate::traces::{self, SHM, process_prefix};

/// How long a test may take unless `SHMLOCK_TESTS_BOUND` says otherwise, in seconds. Each takes a
/// few; the rest is for machines that are slow, emulated or busy.
const BOUND: u64 = 120;

/// The frame of one test. Make it first, so that it is dropped last.
#[derive(Debug)]
pub struct Fixture {
    prefix: String,
    /// Dropping it calls the watchdog off.
    _calm: Sender<()>,
    // Last: the fixture is over before the next begins.
    _stage: Stage,
}

/// What the fixtures of one process have in common. Either many are played at one time or, alone, one
/// that could not bear another.
#[derive(Debug)]
#[expect(dead_code, reason = "held until it is dropped")]
pub(crate) enum Stage {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

static STAGE: RwLock<()> = RwLock::new(());

impl Stage {
    /// Waits until no fixture is played alone.
    pub(crate) fn shared() -> Self {
        Self::Shared(STAGE.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until no other fixture is played.
    pub(crate) fn alone() -> Self {
        Self::Alone(STAGE.write().unwrap_or_else(PoisonError::into_inner))
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
        Self::on(Stage::shared())
    }

    /// Begins a test on this stage. Its time begins here, so the wait for the stage does not count.
    pub(crate) fn on(stage: Stage) -> Self {
        static FIXTURES: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("{}{}-", process_prefix(), FIXTURES.fetch_add(1, Ordering::Relaxed));
        Self { prefix, _calm: watchdog(), _stage: stage }
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

/// How long a test may take.
#[must_use]
pub fn bound() -> Duration {
    Duration::from_secs(
        env::var("SHMLOCK_TESTS_BOUND").ok().and_then(|bound| bound.parse().ok()).unwrap_or(BOUND),
    )
}

/// How often to do what is done `full` times on a machine of our own: that, divided by
/// `SHMLOCK_TESTS_SLOWER`, which says how many times slower an emulated machine is.
///
/// # Panics
/// If the variable is not a positive number.
#[must_use]
pub fn rounds(full: u64) -> u64 {
    let slower = env::var("SHMLOCK_TESTS_SLOWER")
        .map_or(NonZeroU64::MIN, |slower| slower.parse().expect("a number"));
    full.div_ceil(slower.get())
}

fn watchdog() -> Sender<()> {
    let bound = bound();
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let (calm, alarm) = channel();
    thread::spawn(move || {
        if alarm.recv_timeout(bound) == Err(RecvTimeoutError::Timeout) {
            // Not by `eprintln`: the test framework keeps that for itself until the test ends.
            let (all, descendants) = proc::dump_threads();
            let _ = writeln!(stderr(), "watchdog: {test} has not ended within {bound:?}\n{all}");
            // A descendant that lives on would keep the pipe open by which the test's end is
            // awaited.
            for pid in descendants {
                let _ = i32::try_from(pid)
                    .ok()
                    .and_then(rustix::process::Pid::from_raw)
                    .map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
            }
            traces::remove(&traces::of(process_prefix()));
            process::abort();
        }
    });
    calm
}

/// Looks again and again until it is so. The watchdog bounds it.
pub fn until(mut so: impl FnMut() -> bool) {
    while !so() {
        thread::yield_now();
    }
}
