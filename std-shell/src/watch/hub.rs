//! Keeps the registered files of this process, its watch thread, and the bell of that.
//!
//! The list is under a mutex. A signal handler may interrupt its owner on the same thread and wait
//! for a lock itself, so waiters only try the mutex; a waiter that fails naps, and tries again.

use std::path::PathBuf;
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, stat, utimensat};

use crate::sys::file_id::FileId;
use crate::sys::futex;
use crate::sys::per_process::PerProcess;
use crate::sys::signal_mask;
use crate::watch::watched::{Cover, Watched};

pub(super) static HUB: PerProcess<Hub> = PerProcess::new();

/// The size of the thread's stack. Arbitrary: many times what it uses.
const STACK: usize = 256 << 10;

/// How long after a refused thread the next one is tried. Arbitrary: so seldom that it costs
/// nothing.
const RETRY_THREAD: Duration = Duration::from_secs(1);

/// What this process has registered.
#[derive(Debug, Default)]
pub(super) struct Hub {
    /// Counts the changes of `state` that the thread must see.
    bell: AtomicU32,
    state: Mutex<State>,
    /// A waiter does without the thread.
    pub(super) has_lone: AtomicBool,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// All files that the thread watches, or is to watch.
    files: Vec<Arc<Watched>>,
    /// The files among them that the thread has not seen yet.
    new: Vec<Arc<Watched>>,
    /// The thread has been started, and has not ended.
    has_thread: bool,
    /// While the thread sleeps on events: the file by which it is woken.
    bell_file: Option<BellFile>,
    /// When no thread could be started, or none could work.
    refused_at: Option<Instant>,
}

/// A file in the thread's own table of descriptors, by its path in /proc. An event of it wakes the
/// thread. No other thread needs a descriptor for that, which foreign code could exchange.
#[derive(Clone, Debug)]
pub(super) struct BellFile {
    pub(super) path: PathBuf,
    pub(super) file: FileId,
}

impl BellFile {
    /// Makes the event: sets the times of the file, utimensat(2). In another mount or pid namespace
    /// the path may lead elsewhere; then nothing is done.
    pub(super) fn ring(&self) {
        let now = || Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        if stat(&self.path).is_ok_and(|stat| FileId::of(&stat) == self.file) {
            let times = Timestamps { last_access: now(), last_modification: now() };
            let _ = utimensat(CWD, &self.path, &times, AtFlags::empty());
        }
    }
}

impl State {
    /// Counts a wait of this file if it is on the list.
    pub(super) fn find(&self, file: FileId, interval: Duration) -> Option<Arc<Watched>> {
        let watched = self.files.iter().find(|watched| watched.file == file)?;
        watched.begin_wait(interval);
        Some(Arc::clone(watched))
    }

    /// Puts a file on the list, with one wait.
    pub(super) fn add(&mut self, watched: Watched, interval: Duration) -> Arc<Watched> {
        let watched = Arc::new(watched);
        watched.begin_wait(interval);
        self.files.push(Arc::clone(&watched));
        self.new.push(Arc::clone(&watched));
        watched
    }

    /// Starts the thread, which is to run `watch`, if there is none. Returns `false` if that fails,
    /// or has failed a moment ago.
    pub(super) fn start_thread(&mut self, hub: &'static Hub, watch: fn(&'static Hub)) -> bool {
        if self.has_thread {
            return true;
        }
        let now = Instant::now();
        if self.refused_at.is_some_and(|at| now.saturating_duration_since(at) < RETRY_THREAD) {
            return false;
        }
        // No signal handler of the program runs in a thread that the program does not know of.
        let builder = thread::Builder::new().name("shmlock-watch".to_owned()).stack_size(STACK);
        let started = signal_mask::with_all_blocked(|| builder.spawn(move || watch(hub)));
        self.has_thread = started.is_ok();
        self.refused_at = started.is_err().then_some(now);
        self.has_thread
    }
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that panics runs under it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the list, if no other thread has it locked.
    pub(super) fn try_lock(&self) -> Option<MutexGuard<'_, State>> {
        match self.state.try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(state)) => Some(state.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Returns `true` if there is a watch thread, or that cannot be told.
    pub(super) fn has_thread(&self) -> bool {
        self.try_lock().is_none_or(|state| state.has_thread)
    }

    /// Wakes the thread, however it sleeps. Under the mutex: the thread, and so the file of the
    /// bell, stays meanwhile.
    pub(super) fn ring_while(&self, state: &State) {
        // Partners: the loads in `take_new`, which the mutex orders, and in `has_rung_since`.
        self.bell.fetch_add(1, Release);
        futex::wake_all(&self.bell);
        if let Some(bell) = &state.bell_file {
            bell.ring();
        }
    }

    /// Takes the files that the thread has not seen. Also returns the bell's value, to sleep on;
    /// `None` if there are no files at all and the thread wants to end; then it must.
    pub(super) fn take_new(&'static self, wants_end: bool) -> Option<(Vec<Arc<Watched>>, u32)> {
        // A signal handler may have forked while a waiter started the thread; then it is the
        // child's, and the list the parent's.
        let is_ours = HUB.get().is_some_and(|present| ptr::eq(present, self));
        let mut state = self.lock();
        if state.files.is_empty() && wants_end || !is_ours {
            state.has_thread = false;
            state.bell_file = None;
            return None;
        }
        Some((std::mem::take(&mut state.new), self.bell.load(Relaxed)))
    }

    /// Returns `true` if the bell has rung since it had this value.
    pub(super) fn has_rung_since(&self, value: u32) -> bool {
        // Partner: the addition in `ring_while`, which comes before the event of the bell's file.
        self.bell.load(Acquire) != value
    }

    /// Sleeps until the bell rings, at most until `until`. For a thread without events.
    pub(super) fn sleep(&self, value: u32, until: Instant) {
        futex::wait(&self.bell, value, until.saturating_duration_since(Instant::now()));
    }

    /// Sets the file of the bell, or none. What was registered before is on the list.
    pub(super) fn set_bell_file(&self, bell_file: Option<BellFile>) {
        self.lock().bell_file = bell_file;
    }

    /// Removes a file from the list if it is idle. Returns `true` if it is removed.
    pub(super) fn remove_if_idle(&self, watched: &Arc<Watched>) -> bool {
        let mut state = self.lock();
        let is_idle = watched.is_idle();
        if is_idle {
            state.files.retain(|listed| !Arc::ptr_eq(listed, watched));
        }
        is_idle
    }

    /// Ends all registrations for good: this process can have no watch thread. The thread ends.
    pub(super) fn refuse_all(&self) {
        let mut state = self.lock();
        state.refused_at = Some(Instant::now());
        state.has_thread = false;
        state.new.clear();
        for watched in state.files.drain(..) {
            watched.set_cover(Cover::Refused);
        }
    }
}
