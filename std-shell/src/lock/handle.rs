//! The handle: what a contender knows of its lock.

use std::cell::{Cell, RefCell};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use shmlock_core::record::Description;
use shmlock_core::{EncodedRecord, Record, Token};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::holder::Recovered;
use crate::identity::lifeline::Lifeline;
use crate::identity::token;
use crate::layout::lock_bytes::byte_of;
use crate::lock::hold_count::Holds;
use crate::lock::settings::Settings;
use crate::name::Name;
use crate::process::registry::{self, Entry, Registration};
use crate::shm::attach::Attachment;
use crate::shm::file::FileSpec;
use crate::shm::removal::UnlinkPolicy;
use crate::sys::clock::{BootInstant, CoarseClock};
use crate::sys::process::pid_namespace;
use crate::sys::process::process_id;
use crate::sys::signal_mask::{BlockSignals, Blocked};
use crate::sys::thread::NO_THREAD;
use crate::tell::tell;
use crate::wait::exit_event::ExitEvent;
use crate::wait::fairness::Fairness;

/// A lock between processes, known by its name.
///
/// A handle is **one contender**: it is `Send` and not `Sync`, so that each thread has its own
/// ([`try_clone`](Self::try_clone)). The same handle may take the lock again while it holds it; it
/// is free when every hold has been given back. Dropping the handle gives back what
/// [`acquire`](Self::acquire) took.
///
/// The last handle anywhere removes the lock's file. If the process dies instead, by whatever
/// death, the kernel tells the next comer, who takes the lock over and is told so
/// ([`Guard::recovered`]).
///
/// # What blocks
/// [`lock`](Self::lock), [`try_lock_for`](Self::try_lock_for),
/// [`try_lock_until`](Self::try_lock_until) and their twins without a guard wait for the lock;
/// [`open`](Self::open) and [`try_clone`](Self::try_clone), while somebody is just closing
/// it. Opening, closing and taking over from a dead owner also wait for a fork(3) of this process
/// that is under way, and such a fork waits for them, each for a second at most; a fork takes as
/// long as it takes to copy the process's page tables. Nothing else blocks. Nothing panics,
/// whatever others have written to the file.
///
/// # When another thread starts programs
/// A program started by `posix_spawn(3)`, as [`std::process::Command`] does, while a handle is
/// being opened counts as one more user of it until it calls exec. If the handle is closed before
/// that, the file stays for the next who closes the lock; if this process dies before that, its
/// death is noticed then.
///
/// # When other code closes our descriptors
/// A handle has one descriptor, and one more with [`Builder::lifeline`]. Code of the same process
/// may close them by mistake (`closefrom(3)`, a double close), and their numbers then lead to other
/// files. No living owner is robbed by that, no file in use removed, and no descriptor closed that
/// is another's. Deaths are still noticed, as long as the process can open the lock's file by its
/// name. *What remains:* between a check and the system call after it, some 100 ns, a number may
/// still be exchanged. PROTOCOL.md, section 8a, says what that can do: a death may be noticed late.
///
/// # In a forked child
/// An inherited handle answers every call with [`Error::ForkedHandle`], and its drop touches
/// nothing. Open the name again in the child.
///
/// # In a signal handler
/// [`try_lock`](Self::try_lock) on a handle that the interrupted code is using answers `None`; it
/// neither blocks nor corrupts anything. It is async-signal-safe as long as the logger is (or
/// `debug` events are off) and the answer is no error: the text of an error is allocated.
///
/// # Examples
/// ```
/// use shmlock::ShmLock;
///
/// let lock = ShmLock::open("doc-conveyor")?;
/// {
///     let guard = lock.lock()?;
///     if let Some(recovered) = guard.recovered() {
///         eprintln!("an owner died: {:?}", recovered.dead);
///         guard.declare_consistent()?;
///     }
///     // the section
/// }
/// # Ok::<(), shmlock::Error>(())
/// ```
#[repr(C)] // so that what an acquisition needs stands together: to who has slept, each cache line comes from far away
pub struct ShmLock {
    pub(crate) name: Name,
    pub(crate) uuid: Uuid,
    pub(crate) description: RefCell<Description>,
    /// See `lifeline.rs`.
    pub(crate) lifeline: Option<Lifeline>,
    /// Dropped before `shared`: what the registry shows is mapped, whatever happens between.
    pub(crate) slot: Registration,
    pub(crate) recovered: RefCell<Option<Recovered>>,
    pub(crate) blocked: RefCell<Option<Blocked>>,
    /// Since when the lock is held, if that is to be measured.
    pub(crate) held_since: Cell<Option<Instant>>,
    // From here on: what is needed if the lock has changed hands.
    /// Since when it holds the lock, if nobody has read another clock.
    pub(crate) clock: CoarseClock,
    /// What this handle says of itself.
    pub(crate) record: RefCell<EncodedRecord>,
    pub(crate) fairness: Fairness,
    // From here on: what is needed always.
    pub(crate) settings: Settings,
    pub(crate) token: Token,
    pub(crate) holds: Holds,
    /// The number of the thread that the slot names, or [`NO_THREAD`].
    pub(crate) thread: Cell<u32>,
    /// Whether this handle's record, as it should be now, has been written.
    pub(crate) recorded: Cell<bool>,
    /// Whether an acquisition is nothing but the protocol: no signals are held back, no clock is
    /// read.
    pub(crate) no_bookkeeping: bool,
    /// Whether the next acquisition is that, and nobody is to be let pass first.
    pub(crate) fast_path: Cell<bool>,
    // Last: its drop unmaps what the others look at.
    pub(crate) shared: Attachment,
}

impl ShmLock {
    pub(crate) fn enter(
        name: Name,
        place: &FileSpec,
        settings: Settings,
        description: Description,
    ) -> Result<Self> {
        // The first reading of a clock in a process looks for the vDSO, which before Linux 6.4
        // takes memory. The first `try_lock` must not: a signal handler may call it.
        let _ = BootInstant::now();
        let system = |errno| Error::System {
            operation: "get random bytes for",
            path: place.path.clone(),
            errno,
        };
        let uuid =
            uuid::Builder::from_random_bytes(token::random_bytes().map_err(system)?).into_uuid();
        let mut record =
            Record { uuid, pid: process_id(), pid_namespace: pid_namespace(), ..Record::default() };
        record.description.clone_from(&description);
        let (shared, (token, lifeline)) = Attachment::enter(
            place,
            UnlinkPolicy::KeepIfOwnerDied,
            settings.open_timeout,
            |a, region, birth| {
                let token = token::draw(a.as_fd()).map_err(|errno| place.no_token(errno))?;
                if !birth.is_here() {
                    // A child that a signal handler has forked, without the region: it enters for
                    // itself.
                    return Err(Error::ForkedHandle { name: name.to_string() });
                }
                token::free_stale(region, token, settings.fence);
                let lifeline = settings.lifeline.then(|| Lifeline::of(a)).transpose();
                Ok((
                    (token, lifeline.map_err(|errno| place.system("keep a descriptor of", errno))?),
                    byte_of(token),
                ))
            },
        )?;
        let slot = registry::enter(&Entry {
            generation: shared.birth().generation(),
            word: shared.region().owner_word(),
            token,
            fence: settings.fence,
            identity: shared.identity(),
        });
        let no_bookkeeping =
            settings.block_signals == BlockSignals::Never && !settings.measure_holds;
        let lock = Self {
            name,
            uuid,
            token,
            held_since: Cell::new(None),
            no_bookkeeping,
            fast_path: Cell::new(no_bookkeeping),
            fairness: Fairness::new(settings.fairness_interval),
            settings,
            record: RefCell::new(EncodedRecord::new(&record)),
            description: RefCell::new(description),
            recorded: Cell::new(false),
            clock: CoarseClock::default(),
            holds: Holds::new(),
            thread: Cell::new(NO_THREAD),
            recovered: RefCell::new(None),
            blocked: RefCell::new(None),
            slot,
            lifeline,
            shared,
        };
        tell!(Debug, "opened {lock}"); // it may fork: the child's calls are refused
        Ok(lock)
    }

    /// Whether this handle holds the lock: by what it has acquired, and by the owner word.
    ///
    /// The word decides. It is `false` as soon as an exit handler has released the lock, or a
    /// stranger has overwritten the word. Never blocks; async-signal-safe.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.holds.is_held()
            && self.shared.is_ours()
            && self.shared.region().word().is_owned_by(self.token)
    }

    /// The name, without directory and suffix.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.shared.place().path
    }

    /// Names this handle, for ever: what others read of it while it holds the lock.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// See [`Builder::poll_interval`].
    #[must_use]
    pub fn poll_interval(&self) -> Duration {
        self.settings.poll_interval
    }

    /// The event that ends waiting, if there is one.
    #[must_use]
    pub fn exit_event(&self) -> Option<&ExitEvent> {
        self.settings.exit_event.as_ref()
    }

    /// Sets or removes the event that ends waiting.
    pub fn set_exit_event(&mut self, event: Option<&ExitEvent>) {
        self.settings.exit_event = event.cloned();
    }
}
