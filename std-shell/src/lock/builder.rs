//! How a lock is to behave; and opening it.

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use shmlock_core::FenceScope;
use shmlock_core::record::{Description, description};

use crate::error::{Error, Result, check_name};
use crate::inspect::clean::{self, CleanOutcome, DiedFlag};
use crate::inspect::external::{self, Inspection};
use crate::layout::header::BlockLayout;
use crate::lock::handle::ShmLock;
use crate::lock::settings::Settings;
use crate::name::{DEFAULT_DIRECTORY, Name, SUFFIX};
use crate::shm::file::FileSpec;
use crate::sys::signal_mask::BlockSignals;
use crate::wait::WaitStrategy;
use crate::wait::exit_event::ExitEvent;

/// What a lock is to be like. Made by [`ShmLock::builder`]; every setting has a default.
///
/// All processes that share a lock should agree on [`mode`](Self::mode),
/// [`directory`](Self::directory) and [`fence_scope`](Self::fence_scope). The others are each
/// handle's own.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use shmlock::{BlockSignals, ExitEvent, ShmLock};
///
/// let stop = ExitEvent::new();
/// let lock = ShmLock::builder("doc-builder")
///     .description("refilling the hopper")      // others read it while we hold the lock
///     .poll_interval(Duration::from_millis(10)) // how soon we notice that an owner died
///     .exit_event(&stop)                        // setting it ends our waits
///     .block_signals(BlockSignals::WhileHeld)   // no Ctrl-C in the middle of a section
///     .open()?;
/// drop(lock.lock()?);
/// # Ok::<(), shmlock::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is opened before `open`"]
pub struct Builder {
    name: String,
    pub(crate) settings: Settings,
    description: String,
    #[cfg(feature = "block")]
    pub(crate) schema: String,
    directory: PathBuf,
    mode: u32,
    trusted_owner: Option<u32>,
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

    /// The longest a waiter sleeps before it looks again. Must not be zero. Default
    /// [`DEFAULT_POLL_INTERVAL`].
    ///
    /// With [`WaitStrategy::Futex`] a waiter is woken by the release; the interval then bounds only
    /// how long it takes to notice a *dead* owner or a removed file. While the lock does not change
    /// hands, one of its waiters looks more often: after a fiftieth of its interval each time, at
    /// least a millisecond, and more seldom the longer it waits.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.settings.poll_interval = interval;
        self
    }

    /// How long those who are awake may keep the lock among themselves while others sleep: how fair
    /// the lock is. Default 50 µs.
    ///
    /// A handle that takes the lock again and again does so, if it can, without the kernel. When it
    /// has gone on for this long, it lets the one that has slept longest run; after twenty times as
    /// long, it leaves the lock to it for a moment. Less is fairer and slower; zero hands the lock
    /// over at each release that somebody sleeps for; [`Duration::MAX`] lets whoever is fastest
    /// have it, and sleepers wait for as long as that goes on. Each handle goes by its own setting.
    ///
    /// It is no strict order: a newcomer that meets a free lock takes it.
    pub fn fairness_interval(mut self, interval: Duration) -> Self {
        self.settings.fairness_interval = interval;
        self
    }

    /// How waiters sleep. Default [`WaitStrategy::Futex`].
    pub fn wait_strategy(mut self, strategy: WaitStrategy) -> Self {
        self.settings.strategy = strategy;
        self
    }

    /// What others read of this handle while it holds the lock: at most 63 bytes. Default empty.
    pub fn description(mut self, text: &str) -> Self {
        text.clone_into(&mut self.description);
        self
    }

    /// An event that ends every wait of this handle while it is set. Default none.
    pub fn exit_event(mut self, event: &ExitEvent) -> Self {
        self.settings.exit_event = Some(event.clone());
        self
    }

    /// When to hold SIGINT, SIGTERM and SIGHUP back. Default [`BlockSignals::Never`].
    pub fn block_signals(mut self, when: BlockSignals) -> Self {
        self.settings.block_signals = when;
        self
    }

    /// How far the fences reach. Default [`FenceScope::InnerShareable`]: right for processes of one
    /// operating system. [`FenceScope::FullSystem`] is for memory shared with other bus masters.
    pub fn fence_scope(mut self, scope: FenceScope) -> Self {
        self.settings.fence = scope;
        self
    }

    /// The permission bits of the file, exact whatever the umask: 0o600 (default), 0o660 to share
    /// with a group, 0o666 with everybody. An existing file with more bits is refused.
    ///
    /// Whoever may write the file may take the lock, corrupt it, or truncate it (which kills its
    /// users by SIGBUS). Do not share it with anybody whom you do not trust that far.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// The directory of the file. Default `/dev/shm`. A relative one is looked up from the working
    /// directory of the process at the opening, and stays the same for the handle when that
    /// changes.
    ///
    /// Must be on a local file system with byte locks; tmpfs is best. In a sticky directory
    /// such as `/dev/shm` only the file's owner can remove it; a group that shares locks is better
    /// off with a directory of its own of mode 2770, where nobody outside can occupy a name either.
    pub fn directory(mut self, directory: impl AsRef<Path>) -> Self {
        directory.as_ref().clone_into(&mut self.directory);
        self
    }

    /// Accepts a file of this user as well as of ourselves and root.
    pub fn trust_owner(mut self, uid: u32) -> Self {
        self.trusted_owner = Some(uid);
        self
    }

    /// How long [`open`](Self::open) waits for somebody who is just closing the same lock. Default
    /// [`DEFAULT_OPEN_TIMEOUT`].
    pub fn open_timeout(mut self, timeout: Duration) -> Self {
        self.settings.open_timeout = timeout;
        self
    }

    /// Whether this handle measures how long it holds the lock, for [`Statistics::longest_hold`].
    /// Default no: it reads a clock twice in each hold. On an AMD EPYC that makes 85 ns of the 13
    /// ns of an undisturbed lock and unlock, measured by `cargo run --release --example costs`.
    ///
    /// [`Statistics::longest_hold`]: crate::Statistics::longest_hold
    pub fn measure_holds(mut self, measure: bool) -> Self {
        self.settings.measure_holds = measure;
        self
    }

    /// Whether the handle keeps a descriptor of its proof of life, [`ShmLock::lifeline`], to be
    /// inherited by programs that it starts. Default `false`: then no child vouches for a dead
    /// owner.
    ///
    /// Costs a second descriptor for as long as the handle lives, and opening a third for a moment.
    pub fn lifeline(mut self, keep: bool) -> Self {
        self.settings.lifeline = keep;
        self
    }

    /// Opens the lock, making it if it is not there. Holds nothing yet.
    ///
    /// Blocks only while somebody else is just closing it, for at most
    /// [`open_timeout`](Self::open_timeout). Needs one descriptor for as long as the handle lives,
    /// and two for a moment.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::ZeroPollInterval`], [`Error::DescriptionTooLong`],
    /// [`Error::InvalidMode`] for what was asked; [`Error::NotALock`], [`Error::ForeignOwner`],
    /// [`Error::ModeTooWide`], [`Error::InUseWithOtherMode`] for what was found;
    /// [`Error::System`], [`Error::Unsupported`], [`Error::OpenTimedOut`] for what the system said.
    /// Nothing is changed or left behind then.
    ///
    /// # Races
    /// A fork by *another* thread while this call runs may give the child a copy of our identity,
    /// until the child calls exec or ends: should we die holding the lock in that time, nobody
    /// notices before the child is gone, too; should we close the handle in that time, as the last
    /// one, its file stays, and goes with the next who closes it.
    pub fn open(&self) -> Result<ShmLock> {
        self.open_shaped(BlockLayout::NONE)
    }

    /// Opens the lock, with this data beside it.
    pub(crate) fn open_shaped(&self, shape: BlockLayout) -> Result<ShmLock> {
        let name = check_name(&self.name)?;
        if self.settings.poll_interval.is_zero() {
            return Err(Error::ZeroPollInterval);
        }
        check_mode(self.mode)?;
        let place = FileSpec { shape, ..self.place(&name)? };
        ShmLock::enter(name, &place, self.settings.clone(), parse_description(&self.description)?)
    }

    /// Looks at the lock from outside; `None` if there is none.
    ///
    /// Needs to read the file and nothing more: it makes no handle, writes nothing, locks nothing,
    /// maps nothing and leaves nothing. So it also works on a read-only mount, for root, and for a
    /// group that may only read; and the lock's users do not notice. Never blocks.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::NotALock`], [`Error::System`].
    ///
    /// # Limits
    /// Whose file it is and how wide open is not judged: in a stranger's file stands what the
    /// stranger says. By the time the answer is read it may be different.
    ///
    /// # Examples
    /// ```
    /// use shmlock::ShmLock;
    ///
    /// # let name = &format!("doc-inspect-{}", std::process::id()); // others may run this at the same time
    /// assert!(ShmLock::builder(name).inspect()?.is_none(), "there is no such lock");
    /// let lock = ShmLock::open(name)?;
    /// let _guard = lock.lock()?;
    /// let seen = ShmLock::builder(name).inspect()?.expect("it is open");
    /// assert_eq!(seen.holder.and_then(|holder| holder.uuid()), Some(lock.uuid()));
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    pub fn inspect(&self) -> Result<Option<Inspection>> {
        let name = check_name(&self.name)?;
        external::inspect(&self.place(&name)?, self.settings.fence)
    }

    /// Removes the lock's file if nobody has it open: what processes left that ended without
    /// closing their handles.
    ///
    /// While it looks, which takes some ten system calls, nobody can open the lock: they wait, as
    /// for a closer. It never waits itself. Whose file it is and how wide open is not judged; the
    /// kernel decides who may remove it.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::NotALock`], [`Error::Unsupported`], [`Error::System`];
    /// nothing was removed then.
    ///
    /// # Limits
    /// With [`DiedFlag::Remove`] the next owner is not told that the protected data may be
    /// half-written, and fencing tokens begin at 1 again: for whoever has looked at the data, or
    /// knows that it is gone.
    ///
    /// # Examples
    /// ```
    /// use shmlock::{CleanOutcome, DiedFlag, ShmLock};
    ///
    /// # let name = &format!("doc-clean-{}", std::process::id()); // others may run this at the same time
    /// let lock = ShmLock::open(name)?;
    /// assert_eq!(ShmLock::builder(name).clean(DiedFlag::Keep)?, CleanOutcome::InUse);
    /// drop(lock); // the last handle takes the file with it: nothing is left to be cleaned
    /// assert_eq!(ShmLock::builder(name).clean(DiedFlag::Keep)?, CleanOutcome::Absent);
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    pub fn clean(&self, mark: DiedFlag) -> Result<CleanOutcome> {
        let name = check_name(&self.name)?;
        clean::clean(&self.place(&name)?, self.settings.fence, mark)
    }

    fn place(&self, name: &Name) -> Result<FileSpec> {
        let place = FileSpec::new(name, SUFFIX, &self.directory, self.mode)?;
        Ok(FileSpec { trusted_owner: self.trusted_owner, ..place })
    }
}

/// Text as a description.
pub(crate) fn parse_description(text: &str) -> Result<Description> {
    description(text).map_err(|_| Error::DescriptionTooLong { len: text.len() })
}

/// Reading alone is enough to take byte locks, and so to disturb recovery; so nobody gets one
/// without the other.
fn check_mode(mode: u32) -> Result<()> {
    let pairs = [mode >> 6, mode >> 3, mode].map(|bits| bits & 0o7);
    let sound =
        mode & !0o666 == 0 && pairs.iter().all(|pair| matches!(pair, 0 | 6)) && pairs[0] == 6;
    if sound { Ok(()) } else { Err(Error::InvalidMode { mode }) }
}

impl ShmLock {
    /// Opens the lock of this name with the defaults, making it if it is not there. Holds nothing
    /// yet.
    ///
    /// # Errors
    /// As [`Builder::open`].
    pub fn open(name: &str) -> Result<Self> {
        Self::builder(name).open()
    }

    /// Prepares a lock that is other than the defaults.
    pub fn builder(name: &str) -> Builder {
        Builder::new(name)
    }

    /// Another handle on the same lock, for another thread; with the same settings and description.
    ///
    /// # Errors
    /// As [`Builder::open`]; [`Error::Orphaned`] if the name now means another file;
    /// [`Error::ForkedHandle`].
    ///
    /// # Examples
    /// ```
    /// use std::thread;
    /// use shmlock::ShmLock;
    ///
    /// let lock = ShmLock::open("doc-try-clone")?;
    /// let other = lock.try_clone()?;
    /// let worker = thread::spawn(move || other.lock().map(drop));
    /// worker.join().expect("no panic")?;
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    pub fn try_clone(&self) -> Result<Self> {
        self.check_process()?;
        let description = self.description.borrow().clone();
        let other = Self::enter(
            self.name.clone(),
            self.shared.place(),
            self.settings.clone(),
            description,
        )?;
        if other.shared.identity() == self.shared.identity() {
            Ok(other)
        } else {
            Err(self.orphaned())
        }
    }
}
