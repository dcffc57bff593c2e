//! A switch that ends waiting: within a process, or between processes by name.

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
use crate::shm::file::FileSpec;
use crate::shm::removal::UnlinkPolicy;
use crate::sys::futex;

const CLEAR: u32 = 0;
const SET: u32 = 1;

/// How long [`ExitEvent::named`] waits for somebody who is just closing the same event.
const OPEN_PATIENCE: Duration = Duration::from_secs(5);

/// Tells waiters to stop waiting.
///
/// Setting it ends every wait of every lock that was built with it by [`Error::Cancelled`]: at once
/// where the kernel has `futex_waitv(2)` (Linux 5.16), else within one poll interval. It stays set
/// until it is cleared. Clones are the same event.
///
/// # Examples
/// ```
/// use shmlock::{ExitEvent, ShmLock};
///
/// # let name = &format!("doc-exit-event-{}", std::process::id()); // others may run this at the same time
/// let stop = ExitEvent::new();
/// let lock = ShmLock::builder(name).exit_event(&stop).open()?;
/// stop.set()?;
/// assert!(lock.lock().is_ok(), "a free lock is taken whatever the event says");
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

/// A named exit event as it looks from outside, see [`ExitEvent::inspect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventInspection {
    /// Whether its file says that it is set. If it is not in use, that was said by users that are
    /// gone: the next opener finds it clear.
    pub is_set: bool,
    /// Whether any process has it open.
    pub in_use: bool,
}

impl ExitEvent {
    /// An event of this process. A forked child has a copy of its own.
    #[must_use]
    pub fn new() -> Self {
        Self(Kind::Local(Arc::new(AtomicU32::new(CLEAR))))
    }

    /// Opens the event that every process on this machine reaches by this name.
    ///
    /// It lives as long as any process has it open: the first opener finds it clear, also after
    /// users that were killed or ended without closing it while it was set. The last user that
    /// closes it takes its file with it. Blocks only while another process is just closing it, for
    /// at most 5 s.
    ///
    /// # Errors
    /// As [`Builder::open`](crate::Builder::open).
    ///
    /// # Limits
    /// An event that is leaked (`mem::forget`) stays open, and so stays set, for as long as its
    /// process lives.
    pub fn named(name: &str) -> Result<Self> {
        Self::named_in(name, Path::new(DEFAULT_DIRECTORY), 0o600)
    }

    /// As [`named`](Self::named), in another directory and with another mode, as a lock's
    /// [`Builder`](crate::Builder) takes them.
    ///
    /// # Errors
    /// As [`Builder::open`](crate::Builder::open).
    pub fn named_in(name: &str, directory: &Path, mode: u32) -> Result<Self> {
        let name = check_name(name)?;
        let place = place(&name, directory, mode)?;
        let (shared, ()) =
            Attachment::enter(&place, UnlinkPolicy::Always, OPEN_PATIENCE, |_, _, _| {
                Ok(((), PRESENCE))
            })?;
        Ok(Self(Kind::Named(Arc::new(Named { name, shared }))))
    }

    /// Looks at the event of this name from outside; `None` if there is none.
    ///
    /// Needs to read the file and nothing more, makes no handle and changes nothing. Never blocks.
    ///
    /// # Errors
    /// As [`Builder::inspect`](crate::Builder::inspect).
    ///
    /// # Limits
    /// As [`Builder::inspect`](crate::Builder::inspect).
    ///
    /// # Examples
    /// ```
    /// use shmlock::ExitEvent;
    ///
    /// # let name = &format!("doc-exit-event-inspect-{}", std::process::id()); // others may run this at the same time
    /// assert!(ExitEvent::inspect(name)?.is_none(), "there is no such event");
    /// let stop = ExitEvent::named(name)?;
    /// stop.set()?;
    /// let seen = ExitEvent::inspect(name)?.expect("it is open");
    /// assert!(seen.is_set && seen.in_use);
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    pub fn inspect(name: &str) -> Result<Option<EventInspection>> {
        Self::inspect_in(name, Path::new(DEFAULT_DIRECTORY))
    }

    /// Looks at the event of this name in another directory, see [`inspect`](Self::inspect).
    ///
    /// # Errors
    /// As [`inspect`](Self::inspect).
    pub fn inspect_in(name: &str, directory: &Path) -> Result<Option<EventInspection>> {
        let seen = external::inspect_event(&place(&check_name(name)?, directory, 0o600)?)?;
        Ok(seen.map(|(word, in_use)| EventInspection { is_set: word != CLEAR, in_use }))
    }

    /// Removes the file of the event of this name if nobody has it open.
    ///
    /// Users that were killed leave such files. The next opener of the name finds the event clear
    /// in any case; this is for names that nobody opens any more. While it looks, which takes some
    /// ten system calls, nobody can open the event: openers wait, as for a closer. It never waits
    /// itself. The kernel decides who may remove the file.
    ///
    /// # Errors
    /// As [`Builder::clean`](crate::Builder::clean); nothing was removed then.
    ///
    /// # Examples
    /// ```
    /// use shmlock::{CleanOutcome, ExitEvent};
    ///
    /// # let name = &format!("doc-exit-event-clean-{}", std::process::id()); // others may run this at the same time
    /// let stop = ExitEvent::named(name)?;
    /// assert_eq!(ExitEvent::clean(name)?, CleanOutcome::InUse);
    /// drop(stop); // the last user takes the file with it: nothing is left to be cleaned
    /// assert_eq!(ExitEvent::clean(name)?, CleanOutcome::Absent);
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    pub fn clean(name: &str) -> Result<CleanOutcome> {
        Self::clean_in(name, Path::new(DEFAULT_DIRECTORY))
    }

    /// Removes the file of an event in another directory if nobody has it open, see
    /// [`clean`](Self::clean).
    ///
    /// # Errors
    /// As [`clean`](Self::clean).
    pub fn clean_in(name: &str, directory: &Path) -> Result<CleanOutcome> {
        clean::clean_event(&place(&check_name(name)?, directory, 0o600)?)
    }

    /// Ends every wait, until [`clear`](Self::clear). Does not block; async-signal-safe.
    ///
    /// # Errors
    /// [`Error::ForkedHandle`] for a named event that was inherited by a fork.
    pub fn set(&self) -> Result<()> {
        let word = self.word()?;
        word.store(SET, Relaxed); // partner: `is_set`. Relaxed: it says nothing about other memory
        futex::wake_all(word);
        Ok(())
    }

    /// Allows waiting again. Does not block; async-signal-safe.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn clear(&self) -> Result<()> {
        self.word()?.store(CLEAR, Relaxed); // partner: `is_set`
        Ok(())
    }

    /// Whether it is set.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn is_set(&self) -> Result<bool> {
        Ok(self.word()?.load(Relaxed) != CLEAR) // partner: `set`, `clear`
    }

    /// The word that changes when the event is set.
    fn word(&self) -> Result<&AtomicU32> {
        self.own_word().map_err(|name| Error::ForkedHandle { name: name.to_string() })
    }

    /// As [`word`](Self::word); in a forked child, the name of the event.
    pub(crate) fn own_word(&self) -> std::result::Result<&AtomicU32, &Name> {
        match &self.0 {
            Kind::Local(word) => Ok(word),
            Kind::Named(named) if named.shared.is_ours() => Ok(named.shared.region().owner_word()),
            Kind::Named(named) => Err(&named.name),
        }
    }
}

/// Returns where the event of this name is.
fn place(name: &Name, directory: &Path, mode: u32) -> Result<FileSpec> {
    FileSpec::new(name, EVENT_SUFFIX, directory, mode)
}

/// What the event's word holds while waiting is allowed.
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
