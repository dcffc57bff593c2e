//! Ends waiting by a switch: within a process, or between processes by name.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::error::{Error, Result, check_name};
use crate::inspect::clean::{self, CleanOutcome};
use crate::inspect::external;
use crate::layout::lock_bytes::PRESENCE;
use crate::name::{DEFAULT_DIRECTORY, EVENT_SUFFIX, Name};
use crate::shm::attach::Attachment;
use crate::shm::file::{FileSpec, check_mode};
use crate::shm::removal::UnlinkPolicy;
use crate::sys::futex;

/// How soon [`ExitEvent::wait_beside`] notices the event without `futex_waitv(2)`: as soon as the
/// locks do by default.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

const CLEAR: u32 = 0;
const SET: u32 = 1;

/// How long [`ExitEvent::named`] waits while the same event is just being closed.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// A switch that tells waiters to stop waiting.
///
/// Setting it ends the waits of all locks that were built with it, by [`Error::Cancelled`]: at once
/// where the kernel has `futex_waitv(2)` (Linux 5.16), else within one poll interval. It stays set
/// until it is cleared. Clones are the same event.
///
/// # Examples
/// ```
/// use shmlock::{ExitEvent, ShmLock};
///
/// # let name = &format!("doc-exit-event-{}", std::process::id()); // other tests run meanwhile
/// let stop = ExitEvent::new();
/// let lock = ShmLock::builder(name).exit_event(&stop).open()?;
/// stop.set()?;
/// assert!(lock.lock().is_ok(), "a free lock is acquired all the same");
/// # Ok::<(), shmlock::Error>(())
/// ```
#[derive(Clone)]
pub struct ExitEvent(Kind);

#[derive(Clone)]
enum Kind {
    Local(Arc<AtomicU32>),
    Named(Arc<Named>),
}

struct Named {
    name: Name,
    shared: Attachment,
}

/// The state of a named exit event from outside, see [`ExitEvent::inspect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct EventInspection {
    /// `true` if its file says that it is set. If the event is not in use, former users set it, and
    /// the next opener finds it clear.
    pub is_set: bool,
    /// `true` if any process has it open.
    pub in_use: bool,
}

impl ExitEvent {
    /// Makes an event of this process. A forked child has a copy of its own.
    #[must_use]
    pub fn new() -> Self {
        Self(Kind::Local(Arc::new(AtomicU32::new(CLEAR))))
    }

    /// Opens the event that every process on this machine reaches by this name.
    ///
    /// It lives as long as any process has it open. The first opener finds it clear, even if former
    /// users set it and were killed. The last user that closes it removes its file. Blocks only
    /// while another process is just closing it, for at most 5 s.
    ///
    /// # Errors
    /// Those of [`Builder::open`](crate::Builder::open).
    ///
    /// # Limits
    /// An event that is leaked (`mem::forget`) stays open, and so stays set, for as long as its
    /// process lives.
    ///
    /// # Examples
    /// ```
    /// use shmlock::{ExitEvent, ShmLock};
    ///
    /// # let name = &format!("doc-exit-event-named-{}", std::process::id());
    /// let lock = ShmLock::builder(name).exit_event(&ExitEvent::named(name)?).open()?;
    /// let guard = lock.lock()?;
    /// ExitEvent::named(name)?.set()?; // by any other process
    /// let other = lock.try_clone()?;
    /// assert!(other.lock().is_err_and(|error| error.is_cancelled()));
    /// # drop(guard);
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    pub fn named(name: &str) -> Result<Self> {
        Self::named_in(name, DEFAULT_DIRECTORY, 0o600)
    }

    /// Opens the event of this name in another directory or with another mode, see
    /// [`named`](Self::named).
    ///
    /// [`Builder::directory`](crate::Builder::directory) and
    /// [`Builder::mode`](crate::Builder::mode) say what these may be.
    ///
    /// # Errors
    /// Those of [`Builder::open`](crate::Builder::open).
    pub fn named_in(name: &str, directory: impl AsRef<Path>, mode: u32) -> Result<Self> {
        let name = check_name(name)?;
        check_mode(mode)?;
        let place = place(&name, directory.as_ref(), mode)?;
        let (shared, ()) =
            Attachment::enter(&place, UnlinkPolicy::Always, OPEN_TIMEOUT, |_, _, _| {
                Ok(((), PRESENCE))
            })?;
        Ok(Self(Kind::Named(Arc::new(Named { name, shared }))))
    }

    /// Inspects the event of this name from outside; `None` if it does not exist.
    ///
    /// Needs the right to read the file, no more; makes no handle and changes nothing. Never
    /// blocks.
    ///
    /// # Errors
    /// Those of [`Builder::inspect`](crate::Builder::inspect).
    ///
    /// # Limits
    /// Those of [`Builder::inspect`](crate::Builder::inspect).
    ///
    /// # Examples
    /// ```
    /// use shmlock::ExitEvent;
    ///
    /// # let name = &format!("doc-exit-event-inspect-{}", std::process::id());
    /// assert!(ExitEvent::inspect(name)?.is_none(), "there is no such event");
    /// let stop = ExitEvent::named(name)?;
    /// stop.set()?;
    /// let seen = ExitEvent::inspect(name)?.expect("it is open");
    /// assert!(seen.is_set && seen.in_use);
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    pub fn inspect(name: &str) -> Result<Option<EventInspection>> {
        Self::inspect_in(name, DEFAULT_DIRECTORY)
    }

    /// Inspects the event of this name in another directory, see [`inspect`](Self::inspect).
    ///
    /// # Errors
    /// Those of [`inspect`](Self::inspect).
    pub fn inspect_in(name: &str, directory: impl AsRef<Path>) -> Result<Option<EventInspection>> {
        let seen = external::inspect_event(&place(&check_name(name)?, directory.as_ref(), 0o600)?)?;
        Ok(seen.map(|(word, in_use)| EventInspection { is_set: word != CLEAR, in_use }))
    }

    /// Removes the file of the event of this name if no process has it open.
    ///
    /// Users that are killed leave such files. The next opener of the name finds the event clear in
    /// any case; this is for names that are not opened any more. Never blocks. During the call,
    /// which makes some ten system calls, no process can open the event: openers wait, as for one
    /// that is being closed. The kernel decides whether the caller may remove the file.
    ///
    /// # Errors
    /// Those of [`Builder::clean`](crate::Builder::clean); nothing was removed then.
    ///
    /// # Examples
    /// ```
    /// use shmlock::{CleanOutcome, ExitEvent};
    ///
    /// # let name = &format!("doc-exit-event-clean-{}", std::process::id());
    /// let stop = ExitEvent::named(name)?;
    /// assert_eq!(ExitEvent::clean(name)?, CleanOutcome::InUse);
    /// drop(stop); // the last user removes the file: nothing is left to clean
    /// assert_eq!(ExitEvent::clean(name)?, CleanOutcome::Absent);
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    pub fn clean(name: &str) -> Result<CleanOutcome> {
        Self::clean_in(name, DEFAULT_DIRECTORY)
    }

    /// Removes the file of an event in another directory if no process has it open, see
    /// [`clean`](Self::clean).
    ///
    /// # Errors
    /// Those of [`clean`](Self::clean).
    pub fn clean_in(name: &str, directory: impl AsRef<Path>) -> Result<CleanOutcome> {
        clean::clean_event(&place(&check_name(name)?, directory.as_ref(), 0o600)?)
    }

    /// Ends every wait, until [`clear`](Self::clear). Never blocks; async-signal-safe if it
    /// succeeds:
    /// the text of an error is allocated.
    ///
    /// # Errors
    /// [`Error::ForkedHandle`] for a named event that was inherited by a fork.
    ///
    /// # Limits
    /// Where a sandbox refuses the caller's futex(2), waiters of other processes notice a named
    /// event when they next wake.
    pub fn set(&self) -> Result<()> {
        let word = self.word()?;
        word.store(SET, Relaxed); // partner: `is_set`. Relaxed: it says nothing about other memory
        futex::wake_all(word);
        Ok(())
    }

    /// Allows waiting again. Never blocks; async-signal-safe if it succeeds.
    ///
    /// # Errors
    /// Those of [`set`](Self::set).
    pub fn clear(&self) -> Result<()> {
        self.word()?.store(CLEAR, Relaxed); // partner: `is_set`
        Ok(())
    }

    /// Returns `true` if it is set. Never blocks; async-signal-safe if it succeeds.
    ///
    /// # Errors
    /// Those of [`set`](Self::set).
    pub fn is_set(&self) -> Result<bool> {
        Ok(self.word()?.load(Relaxed) != CLEAR) // partner: `set`, `clear`
    }

    /// Blocks while the event is clear and `word` is `value`, for `limit` at most.
    ///
    /// For libraries that wait for a word of their own, and whose waits the event ends as well. A
    /// return says nothing: the caller looks at both. The thread that changes `word` wakes the
    /// waiter by futex(2), without `FUTEX_PRIVATE_FLAG`. A handled signal may end the wait.
    ///
    /// # Errors
    /// Those of [`set`](Self::set).
    ///
    /// # Limits
    /// Where the kernel has no `futex_waitv(2)` (before Linux 5.16), the waiter notices the event
    /// after 50 ms at most.
    #[doc(hidden)]
    pub fn wait_beside(&self, word: &AtomicU32, value: u32, limit: Duration) -> Result<()> {
        let event = self.word()?;
        if futex::wait_either((event, CLEAR), (word, value), limit).is_none() {
            futex::wait(word, value, limit.min(POLL_INTERVAL));
        }
        Ok(())
    }

    /// Returns `true` in a forked child, for a named event of the parent.
    ///
    /// For interfaces to other languages: unlike the error of a call, the answer is not allocated.
    /// Never blocks; async-signal-safe.
    #[doc(hidden)]
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        self.own_word().is_err()
    }

    /// Returns the word that changes when the event is set.
    fn word(&self) -> Result<&AtomicU32> {
        self.own_word().map_err(|name| Error::ForkedHandle { name: name.to_string() })
    }

    /// Returns the word that changes when the event is set; in a forked child, the event's name.
    pub(crate) fn own_word(&self) -> std::result::Result<&AtomicU32, &Name> {
        match &self.0 {
            Kind::Local(word) => Ok(word),
            Kind::Named(named) if named.shared.is_ours() => Ok(named.shared.region().owner_word()),
            Kind::Named(named) => Err(&named.name),
        }
    }
}

/// Returns the file of the event of this name.
fn place(name: &Name, directory: &Path, mode: u32) -> Result<FileSpec> {
    FileSpec::new(name, EVENT_SUFFIX, directory, mode)
}

/// The value of the event's word while waiting is allowed.
pub(crate) const WAITING_ALLOWED: u32 = CLEAR;

impl Default for ExitEvent {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ExitEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match &self.0 {
            Kind::Local(_) => None,
            Kind::Named(named) => Some(named.name.as_str()),
        };
        f.debug_struct("ExitEvent")
            .field("name", &name)
            .field("is_set", &self.is_set().ok())
            .finish()
    }
}
