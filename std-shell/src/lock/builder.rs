//! Collects the settings of a lock before it is opened.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use shmlock_core::FenceScope;
use uuid::Uuid;

use crate::lock::settings::Settings;
use crate::name::DEFAULT_DIRECTORY;
use crate::sys::signal_mask::BlockSignals;
use crate::wait::WaitStrategy;
use crate::wait::exit_event::ExitEvent;
use crate::wait::interrupt::{Interrupt, WaitPoint};

/// The settings of a lock that is to be opened, each with a default. See
/// [`ShmLock::builder`](crate::ShmLock::builder).
///
/// All processes that share a lock should agree on [`mode`](Self::mode),
/// [`directory`](Self::directory) and [`fence_scope`](Self::fence_scope). The other settings are
/// each handle's own.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use shmlock::{BlockSignals, ExitEvent, ShmLock};
///
/// let stop = ExitEvent::new();
/// let lock = ShmLock::builder("doc-builder")
///     .description("refilling the hopper")      // others read it while we hold it
///     .poll_interval(Duration::from_millis(10)) // from look to look, where nothing wakes us
///     .exit_event(&stop)                        // setting it ends our waits
///     .block_signals(BlockSignals::WhileHeld)   // no Ctrl-C while we hold it
///     .open()?;
/// drop(lock.lock()?);
/// # Ok::<(), shmlock::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is opened before `open`"]
pub struct Builder {
    pub(crate) name: String,
    pub(crate) settings: Settings,
    pub(crate) description: String,
    #[cfg(feature = "block")]
    pub(crate) schema: String,
    pub(crate) directory: PathBuf,
    pub(crate) mode: u32,
    pub(crate) trusted_owner: Option<u32>,
}

impl Builder {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            settings: Settings::default(),
            description: String::new(),
            #[cfg(feature = "block")]
            schema: String::new(),
            directory: PathBuf::from(DEFAULT_DIRECTORY),
            mode: 0o600,
            trusted_owner: None,
        }
    }

    /// Sets how long a waiter sleeps at a time where nothing wakes it. Must not be zero. Default
    /// [`DEFAULT_POLL_INTERVAL`].
    ///
    /// With [`WaitStrategy::Futex`] a release wakes a waiter, and so do a death and the removal of
    /// the file: a thread of the waiting process watches. At most two processes watch a lock; if
    /// neither runs, the others notice within a second, or within their interval if that is longer.
    /// The interval matters in these cases:
    ///
    /// * [`WaitStrategy::SleepPolling`]: it is the time from look to look.
    /// * The kernel refuses futex(2), or the process can have no thread that watches, or the file
    ///   is not under its name any more: likewise.
    /// * There is no inotify(7) for the process, or the file system has no events: the thread looks
    ///   after a fiftieth of the interval, at least 1 ms, and more the longer it waits.
    /// * The owner is not a handle of this crate but an embedder, with a static token: a waiter
    ///   looks once in an interval.
    /// * The wait has an exit event, or is a task's, and there is no `futex_waitv(2)`: it looks
    ///   once in an interval.
    /// * The handle has an [`interrupt`](Self::interrupt) callback: a thread's sleep ends after an
    ///   interval, and the callback is asked.
    ///
    /// [`DEFAULT_POLL_INTERVAL`]: crate::DEFAULT_POLL_INTERVAL
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.settings.poll_interval = interval;
        self
    }

    /// Sets how long running handles may pass the lock among themselves while waiters sleep.
    /// Default 100 µs.
    ///
    /// It bounds barging. A handle that acquires the lock again and again does so without the
    /// kernel where it can. After one interval it yields its CPU to the waiter that its release has
    /// woken; the kernel chooses that waiter. After ten intervals it also leaves the free lock
    /// alone for 50 µs, unless the call is one try or a task's. A shorter interval is fairer and
    /// slower. With zero it yields at each release that wakes a waiter, and leaves the lock alone
    /// after each contended one; a newcomer may still acquire the lock.
    /// With [`Duration::MAX`] a sleeping waiter may wait for as long as others keep the lock busy.
    /// Each handle goes by its own setting.
    ///
    /// It is no strict order: a newcomer that finds the lock free acquires it.
    pub fn fairness_interval(mut self, interval: Duration) -> Self {
        self.settings.fairness_interval = interval;
        self
    }

    /// Sets how waiters sleep. Default [`WaitStrategy::Futex`].
    pub fn wait_strategy(mut self, strategy: WaitStrategy) -> Self {
        self.settings.strategy = strategy;
        self
    }

    /// Sets what others read of this handle while it holds the lock: at most 63 bytes. Default
    /// empty.
    pub fn description(mut self, text: &str) -> Self {
        text.clone_into(&mut self.description);
        self
    }

    /// Sets an event that ends every wait of this handle while it is set. Default none.
    pub fn exit_event(mut self, event: &ExitEvent) -> Self {
        self.settings.exit_event = Some(event.clone());
        self
    }

    /// Sets a function that a waiting thread asks whether its wait goes on. Default none.
    ///
    /// For a runtime that handles signals or safepoints between its own instructions: a script's
    /// Ctrl-C, a collector that stops all threads. To end waits from another thread, or from a
    /// signal handler of the program, an [`exit_event`](Self::exit_event) is simpler, and no signal
    /// is too early for it.
    ///
    /// A wait asks **before each sleep**, on the waiting thread: the first time before any sleep,
    /// then after each signal, after each wake that has not brought the lock, and from time to time
    /// without either: after one poll interval, and each time that the wait, or the time since the
    /// last signal, is twice as long; with an exit event, once a second at least.
    /// [`WaitPoint`] says which of them it was. With
    /// [`ControlFlow::Break`] the call returns [`Error::Interrupted`]; a wake that the waiter has
    /// used up is passed on. A lock that is free is acquired without asking; a timeout, an exit
    /// event that is set, and a deadlock come before the question.
    ///
    /// # What the function may do
    /// It is called in the middle of the wait, like a signal handler during a sleep, but it need
    /// not be async-signal-safe: no mutex of this crate is held, and the signals that
    /// [`block_signals`](Self::block_signals) blocks are unblocked. It may allocate, raise signals,
    /// take mutexes of its own and use other locks. It may take its time: other waiters are woken
    /// meanwhile, and its time counts as waiting.
    ///
    /// * The handle that waits is inside a call: a try with it returns `None`, and waiting is
    ///   [`Error::WouldDeadlock`].
    /// * A panic ends in the call, after the panic hook has run, and ends the wait as
    ///   [`ControlFlow::Break`] does.
    /// * After a fork(3) in it, the child's call returns [`Error::ForkedHandle`], and the parent
    ///   goes on with the answer.
    ///
    /// # Limits
    /// * A signal that comes between the answer and the sleep, which are some hundred instructions
    ///   apart, is noticed at the next of these times. So is one whose handler has `SA_RESTART`, in
    ///   a wait with an exit event: the kernel restarts `futex_waitv(2)`.
    /// * The waits of tasks ([`ShmLock::lock_async`](crate::ShmLock::lock_async)) and the waits of
    ///   [`open`](Self::open) do not ask.
    /// * A waiter that asks from time to time loses its place among the waiters each time.
    ///
    /// # Examples
    /// ```
    /// use std::ops::ControlFlow;
    /// use shmlock::{Error, ShmLock, WaitPoint};
    ///
    /// # let name = &format!("doc-interrupt-{}", std::process::id()); // other tests run meanwhile
    /// let lock = ShmLock::open(name)?;
    /// let impatient = ShmLock::builder(name)
    ///     .interrupt(|point| match point {
    ///         WaitPoint::Begin => ControlFlow::Continue(()),
    ///         _ => ControlFlow::Break(()), // a runtime looks here whether a signal is pending
    ///     })
    ///     .open()?;
    /// drop(impatient.lock()?); // free: nothing is asked
    /// # std::thread::scope(|scope| {
    /// let _guard = lock.lock()?;
    /// # scope.spawn(move || {
    /// assert!(matches!(impatient.lock(), Err(Error::Interrupted { .. })));
    /// # }).join().expect("no panic");
    /// # Ok::<(), shmlock::Error>(())
    /// # })?;
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    ///
    /// [`Error::Interrupted`]: crate::Error::Interrupted
    /// [`Error::WouldDeadlock`]: crate::Error::WouldDeadlock
    /// [`Error::ForkedHandle`]: crate::Error::ForkedHandle
    pub fn interrupt(
        mut self,
        ask: impl Fn(WaitPoint) -> ControlFlow<()> + Send + Sync + 'static,
    ) -> Self {
        self.settings.interrupt = Some(Interrupt::new(ask));
        self
    }

    /// Sets when SIGINT, SIGTERM and SIGHUP are blocked. Default [`BlockSignals::Never`].
    pub fn block_signals(mut self, when: BlockSignals) -> Self {
        self.settings.block_signals = when;
        self
    }

    /// Sets how far the fences reach. Default [`FenceScope::InnerShareable`], which is right for
    /// processes of one operating system. [`FenceScope::FullSystem`] is for memory shared with
    /// other bus masters.
    pub fn fence_scope(mut self, scope: FenceScope) -> Self {
        self.settings.fence = scope;
        self
    }

    /// Sets the permission bits of the file, exactly and whatever the umask: 0o600 (default), 0o660
    /// to share it with a group, 0o666 with all users. An existing file with more bits is refused.
    ///
    /// # Limits
    /// A user that may write the file may acquire the lock, corrupt it, or truncate the file, which
    /// kills the lock's users by SIGBUS. Share it only with users that are trusted that far.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Sets the directory of the file. Default `/dev/shm`. A relative path starts at the working
    /// directory of the process when the lock is opened; a later change of that does not matter.
    ///
    /// # Limits
    /// It must be on a local file system with byte locks; tmpfs is best. In a sticky directory such
    /// as `/dev/shm` only the file's owner can remove the file. A group that shares locks should
    /// have a directory of its own of mode 2770, where no outsider can occupy a name either.
    ///
    /// # Examples
    /// ```
    /// use shmlock::ShmLock;
    ///
    /// let directory = std::env::temp_dir(); // for a group: /run/conveyor, of mode 2770
    /// let lock = ShmLock::builder("doc-directory").directory(&directory).mode(0o600).open()?;
    /// assert!(lock.path().starts_with(&directory));
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    pub fn directory(mut self, directory: impl AsRef<Path>) -> Self {
        directory.as_ref().clone_into(&mut self.directory);
        self
    }

    /// Accepts files of this user, besides our own and root's.
    pub fn trust_owner(mut self, uid: u32) -> Self {
        self.trusted_owner = Some(uid);
        self
    }

    /// Sets how long [`open`](Self::open) waits for another handle that is just being closed.
    /// Default [`DEFAULT_OPEN_TIMEOUT`](crate::DEFAULT_OPEN_TIMEOUT).
    pub fn open_timeout(mut self, timeout: Duration) -> Self {
        self.settings.open_timeout = timeout;
        self
    }

    /// Makes this handle measure how long it holds the lock, for [`Statistics::longest_hold`].
    /// Default `false`: it reads a clock twice in each hold, which costs more than an undisturbed
    /// lock and unlock (`bench/costs`).
    ///
    /// [`Statistics::longest_hold`]: crate::Statistics::longest_hold
    pub fn measure_holds(mut self, measure: bool) -> Self {
        self.settings.measure_holds = measure;
        self
    }

    /// Makes this handle refuse the lock while the protected data may be inconsistent. Default
    /// `false`: the lock is acquired, and the guard tells of the death ([`Guard::recovered`]). Code
    /// that does not ask overlooks it.
    ///
    /// * If an owner has died in its critical section, each call of this handle that would acquire
    ///   the lock returns [`Error::Poisoned`], until a handle has declared the data consistent.
    /// * If a panic ends a critical section of this handle, its release counts as a death. A hold
    ///   that a destructor begins while a panic unwinds counts as ended in order.
    ///
    /// To repair the data, open a handle without this setting: its guard has
    /// [`declare_consistent`](crate::Guard::declare_consistent). Needs an unwinding panic; one that
    /// aborts is a death in any case. No acquisition of such a handle takes the fast path.
    ///
    /// # Examples
    /// ```
    /// use std::panic;
    /// use shmlock::{Error, ShmLock};
    ///
    /// # let name = &format!("doc-poisoning-{}", std::process::id()); // other tests run meanwhile
    /// let lock = ShmLock::builder(name).poisoning(true).open()?;
    /// let panicked = panic::catch_unwind(panic::AssertUnwindSafe(|| {
    ///     let _guard = lock.lock();
    ///     panic!("in the critical section");
    /// }));
    /// assert!(panicked.is_err());
    /// assert!(matches!(lock.lock(), Err(Error::Poisoned { .. })));
    ///
    /// let repair = ShmLock::open(name)?;
    /// let guard = repair.lock()?;
    /// // check the data, repair it, and then:
    /// guard.declare_consistent()?;
    /// drop(guard);
    /// assert!(lock.lock().is_ok());
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    ///
    /// [`Guard::recovered`]: crate::Guard::recovered
    /// [`Error::Poisoned`]: crate::Error::Poisoned
    pub fn poisoning(mut self, is_error: bool) -> Self {
        self.settings.poisoning = is_error;
        self
    }

    /// Makes the handle keep a descriptor of its proof of life, [`ShmLock::lifeline`], which
    /// programs that it starts can inherit. Default `false`: then no child can prove the life of a
    /// dead owner.
    ///
    /// Costs a second descriptor for as long as the handle lives, and opening needs a third for a
    /// moment.
    ///
    /// [`ShmLock::lifeline`]: crate::ShmLock::lifeline
    pub fn lifeline(mut self, keep: bool) -> Self {
        self.settings.lifeline = keep;
        self
    }

    /// Sets the uuid by which the owner record names this handle. Default a random one.
    ///
    /// For interfaces to other languages whose one object has a handle for each thread: all of them
    /// are to have one name. The lock itself never compares uuids.
    #[doc(hidden)]
    pub fn uuid(mut self, uuid: Uuid) -> Self {
        self.settings.uuid = Some(Box::new(uuid));
        self
    }
}
