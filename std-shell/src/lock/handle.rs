//! Holds the state of one handle: the lock as one contender knows it.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use shmlock_core::record::Description;
use shmlock_core::{EncodedRecord, FenceScope, Record, Token};
use uuid::Uuid;

use crate::error::Result;
use crate::identity::lifeline::Lifeline;
use crate::lock::death_notice::DeathNotice;
use crate::lock::hold_count::Holds;
use crate::lock::panic_watch::PanicWatch;
use crate::lock::settings::Settings;
use crate::name::Name;
use crate::process::anchor::{Anchor, address_of};
use crate::process::registry::{self, Entry, Registration};
use crate::process::thread_end::{Caller, watch_this_thread};
use crate::shm::file::FileSpec;
use crate::shm::share::{Entered, Share};
use crate::sys::clock::BootInstant;
use crate::sys::process::ids_of;
use crate::sys::signal_mask::{BlockSignals, Blocked};
use crate::sys::swap::Swap;
use crate::sys::thread::NO_THREAD;
use crate::tell::tell;
use crate::wait::exit_event::ExitEvent;
use crate::wait::fairness::Fairness;
use crate::wait::spin::Pace;
#[cfg(doc)]
use crate::{Builder, Error, Guard};

/// A lock between processes, known by its name.
///
/// A handle is **one contender**. It is `Send` and not `Sync`: each thread has its own
/// ([`try_clone`](Self::try_clone)). A handle that holds the lock may acquire it again; the lock is
/// free when every hold has been released. Dropping the handle releases what
/// [`acquire`](Self::acquire) acquired.
///
/// The last handle on the machine removes the lock's file when it is dropped. If a process dies
/// while it holds the lock, by whatever death, the kernel shows that to the next contender, which
/// recovers the lock and is told of the death ([`Guard::recovered`]).
///
/// # What blocks
/// [`lock`](Self::lock), [`try_lock_for`](Self::try_lock_for),
/// [`try_lock_until`](Self::try_lock_until) and their counterparts without a guard wait for the
/// lock. [`open`](Self::open) and [`try_clone`](Self::try_clone) wait while another handle is just
/// being closed. Opening, closing and recovery also wait for a fork(3) that this process makes at
/// that moment, and such a fork waits for them, each for a second at most. A fork takes as long as
/// copying the process's page tables. No other call blocks. No call panics, whatever bytes other
/// processes have written to the file.
///
/// # When another thread starts programs
/// A program started by `posix_spawn(3)`, as [`std::process::Command`] does, while a handle is
/// being opened counts as one more user of it until it calls exec. If the handle is closed before
/// that, the file stays until the lock is closed again. If this process dies before that, its death
/// is noticed when the program calls exec.
///
/// # When other code closes our descriptors
/// A handle has a descriptor, which it may share with others of this process, and one more with
/// [`Builder::lifeline`]. Code of the same process
/// may close them by mistake (`closefrom(3)`, a double close), and their numbers then lead to other
/// files. No living owner loses the lock by that, no file in use is removed, and no foreign
/// descriptor is closed. Deaths are still noticed while the process can open the lock's file by its
/// name. *What remains:* between a check and the system call after it a number may still be
/// exchanged. PROTOCOL.md, section 8a, says what that can do: a death may be noticed late.
///
/// # In a forked child
/// A call of an inherited handle that needs the lock returns [`Error::ForkedHandle`]. Its drop
/// changes nothing of the parent's. Open the name again in the child. *What remains:* a signal
/// handler that forks between the library's check and its last access to the region, which is most
/// of an undisturbed acquisition or release, ends the child by SIGSEGV. And a thread of Rust's
/// standard library has a mutex of that library at its start and its end: a child that is forked by
/// another thread at that moment cannot start threads, so its waiting tasks are never woken.
///
/// # In a signal handler
/// [`try_lock`](Self::try_lock) on a handle that the interrupted code is using returns `None`; it
/// neither blocks nor corrupts anything. It is async-signal-safe while the logger is (or `debug`
/// events are off) and it returns no error: the text of an error is allocated. A handler that
/// acquires the lock releases it before it returns.
///
/// # What is logged
/// The events of the lock, at `debug` and `warn`, by the `log` facade. An acquisition that nothing
/// disturbs does not ask for the level. The level is looked at when the handle is opened, by the
/// first acquisition of each thread, and by each that is disturbed: by another holder, by nesting,
/// or because it is a single try. So a handle in use may log no `debug` events for a while after
/// the level was raised.
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
///     // the critical section
/// }
/// # Ok::<(), shmlock::Error>(())
/// ```
// The fields that one acquisition needs stand together: after a sleep each cache line is a miss.
#[repr(C)]
pub struct ShmLock {
    pub(crate) name: Name,
    pub(crate) uuid: Uuid,
    pub(crate) description: RefCell<Description>,
    /// See `lock/lifeline.rs`.
    pub(crate) lifeline: Option<Lifeline>,
    /// Dropped before `shared`: a word in the registry is always mapped.
    pub(crate) slot: Registration,
    pub(crate) death_notice: RefCell<Option<DeathNotice>>,
    pub(crate) blocked: RefCell<Option<Blocked>>,
    /// When the hold began, if it is measured.
    pub(crate) held_since: Cell<Option<Instant>>,
    pub(crate) panic_watch: PanicWatch,
    // From here on: needed if the lock has changed hands.
    /// The owner record, as it is written to the region.
    pub(crate) record: RefCell<EncodedRecord>,
    pub(crate) fairness: Fairness,
    pub(crate) pace: Pace,
    // From here on: needed always.
    pub(crate) settings: Settings,
    pub(crate) anchor: Anchor,
    pub(crate) holds: Holds,
    pub(crate) token: Token,
    pub(crate) swap: Swap,
    /// The number of the thread that the slot names, or [`NO_THREAD`].
    pub(crate) thread: Cell<u32>,
    /// The record has been written as it is now.
    pub(crate) recorded: Cell<bool>,
    /// An acquisition is nothing but the protocol: it blocks no signals, reads no clock, watches
    /// for no panic, and its fences are those of one operating system.
    pub(crate) no_bookkeeping: bool,
    /// The next acquisition needs no bookkeeping, and yields to no woken waiter first. Where this
    /// or `recorded` becomes false, `close_fast_path` follows.
    pub(crate) fast_path: Cell<bool>,
    // Last: its drop unmaps memory that the other fields refer to.
    pub(crate) shared: Share,
}

impl ShmLock {
    pub(crate) fn enter(
        name: Name,
        place: &FileSpec,
        settings: Settings,
        description: Description,
    ) -> Result<Self> {
        // The first reading of a clock in a process looks for the vDSO: not in the first
        // `try_lock`, which a signal handler may call.
        let _ = BootInstant::now();
        let Entered { share: shared, uuid, lifeline } =
            Share::enter(place, settings.open_timeout, settings.fence, settings.lifeline)?;
        let token = shared.token();
        let random = || uuid::Builder::from_random_bytes(uuid).into_uuid();
        let uuid = settings.uuid.as_deref().copied().unwrap_or_else(random);
        let (pid, pid_namespace) = ids_of(shared.birth());
        let mut record = Record { uuid, pid, pid_namespace, ..Record::default() };
        record.description.clone_from(&description);
        let slot = registry::enter(&Entry {
            generation: shared.birth().generation(),
            word: shared.region().owner_word(),
            token,
            fence: settings.fence,
            identity: shared.identity(),
        });
        let no_bookkeeping = settings.block_signals == BlockSignals::Never
            && settings.fence == FenceScope::InnerShareable
            && !settings.measure_holds
            && !settings.poisoning;
        let holds = Holds::new(address_of(shared.region()));
        let anchor = Anchor::new(shared.static_region());
        let _ = watch_this_thread(Caller::MayAllocate);
        let lock = Self {
            name,
            uuid,
            token,
            held_since: Cell::new(None),
            no_bookkeeping,
            fast_path: Cell::new(no_bookkeeping),
            fairness: Fairness::new(settings.fairness_interval),
            pace: Pace::default(),
            panic_watch: PanicWatch::new(settings.poisoning),
            settings,
            record: RefCell::new(EncodedRecord::new(&record)),
            description: RefCell::new(description),
            recorded: Cell::new(false),
            anchor,
            swap: Swap::new(),
            holds,
            thread: Cell::new(NO_THREAD),
            death_notice: RefCell::new(None),
            blocked: RefCell::new(None),
            slot,
            lifeline,
            shared,
        };
        tell!(Debug, "opened {lock}"); // it may fork: the child's calls are refused
        Ok(lock)
    }

    /// Returns `true` if this handle holds the lock: by its own count, and by the owner word.
    ///
    /// The word decides. The answer is `false` as soon as an exit handler has released the lock, or
    /// the word was overwritten from outside. Never blocks; async-signal-safe.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.holds.is_held()
            && self.shared.is_ours()
            && self.shared.region().word().is_owned_by(self.token)
    }

    /// Returns the name, without directory and suffix.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Returns the path of the lock's file.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.shared.place().path
    }

    /// Returns the number that names this handle and no other, in its owner record.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// Returns the poll interval, see [`Builder::poll_interval`].
    #[must_use]
    pub fn poll_interval(&self) -> Duration {
        self.settings.poll_interval
    }

    /// Returns the event that ends waiting, if there is one.
    #[must_use]
    pub fn exit_event(&self) -> Option<&ExitEvent> {
        self.settings.exit_event.as_ref()
    }

    /// Sets or removes the event that ends waiting.
    pub fn set_exit_event(&mut self, event: Option<&ExitEvent>) {
        self.settings.exit_event = event.cloned();
    }
}
