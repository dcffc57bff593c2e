//! Opens a lock by its builder, inspects it from outside, and removes files that no process uses.

use shmlock_core::record::{Description, description};

use crate::error::{Error, Result, check_name};
use crate::inspect::clean::{self, CleanOutcome, DiedFlag};
use crate::inspect::external::{self, Inspection};
use crate::layout::header::BlockLayout;
use crate::lock::builder::Builder;
use crate::lock::handle::ShmLock;
use crate::name::{Name, SUFFIX};
use crate::shm::file::{FileSpec, check_mode};

impl Builder {
    /// Opens the lock, and creates it if it does not exist. The lock is not acquired.
    ///
    /// Blocks only while another handle is just being closed, for at most
    /// [`open_timeout`](Self::open_timeout). Needs one descriptor for as long as the handle lives,
    /// and a second one for a moment. From the 65th handle of a name in this process on, handles
    /// share descriptors and mappings: 5000 handles need some 70.
    ///
    /// # Errors
    /// * what was asked for: [`Error::InvalidName`], [`Error::ZeroPollInterval`],
    ///   [`Error::DescriptionTooLong`], [`Error::InvalidMode`];
    /// * what was found: [`Error::NotALock`], [`Error::ForeignOwner`], [`Error::ModeTooWide`],
    ///   [`Error::InUseWithOtherMode`];
    /// * what the system answered: [`Error::System`], [`Error::Unsupported`],
    ///   [`Error::OpenTimedOut`].
    ///
    /// After an error nothing is changed or left behind.
    ///
    /// # Races
    /// A bare `clone(2)`, a `posix_spawn(3)`, or a fork(3) that has waited for a second may give
    /// the child a copy of our identity, until the child calls exec or ends. So may a fork(3) that
    /// another thread began before this process opened its first handle, if another library has
    /// handlers by `pthread_atfork(3)`. If we die in that time while we hold the lock, the death is
    /// noticed only after the child is gone. If we close the last handle in that time, the file
    /// stays until the lock is closed again.
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

    /// Inspects the lock from outside; `None` if it does not exist.
    ///
    /// Needs the right to read the file, no more. It makes no handle, writes nothing, locks
    /// nothing, maps nothing and leaves nothing behind. So it works on a read-only mount, for root,
    /// and for a group that may only read, and the lock's users do not notice. Never blocks.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::NotALock`], [`Error::System`].
    ///
    /// # Limits
    /// Owner and mode of the file are not judged: the file of another user says what that user
    /// wrote. The answer may be out of date at once.
    ///
    /// # Examples
    /// ```
    /// use shmlock::ShmLock;
    ///
    /// # let name = &format!("doc-inspect-{}", std::process::id()); // other tests run meanwhile
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

    /// Removes the lock's file if no process has it open: a file that was left by processes that
    /// ended without closing their handles.
    ///
    /// Never blocks. During the call, which makes some ten system calls, no process can open the
    /// lock: openers wait, as for a handle that is being closed. Owner and mode of the file are not
    /// judged; the kernel decides whether the caller may remove it.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::NotALock`], [`Error::Unsupported`], [`Error::System`];
    /// nothing was removed then.
    ///
    /// # Limits
    /// With [`DiedFlag::Remove`] the next owner is not told that the protected data may be
    /// half-written, and fencing tokens begin at 1 again. Use it after the data was checked, or if
    /// it is gone.
    ///
    /// # Examples
    /// ```
    /// use shmlock::{CleanOutcome, DiedFlag, ShmLock};
    ///
    /// # let name = &format!("doc-clean-{}", std::process::id()); // other tests run meanwhile
    /// let lock = ShmLock::open(name)?;
    /// assert_eq!(ShmLock::builder(name).clean(DiedFlag::Keep)?, CleanOutcome::InUse);
    /// drop(lock); // the last handle removes the file: nothing is left to clean
    /// assert_eq!(ShmLock::builder(name).clean(DiedFlag::Keep)?, CleanOutcome::Absent);
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    pub fn clean(&self, died: DiedFlag) -> Result<CleanOutcome> {
        let name = check_name(&self.name)?;
        clean::clean(&self.place(&name)?, self.settings.fence, died)
    }

    fn place(&self, name: &Name) -> Result<FileSpec> {
        let place = FileSpec::new(name, SUFFIX, &self.directory, self.mode)?;
        Ok(FileSpec { trusted_owner: self.trusted_owner, ..place })
    }
}

/// Returns the text as a description.
pub(crate) fn parse_description(text: &str) -> Result<Description> {
    description(text).map_err(|_| Error::DescriptionTooLong { len: text.len() })
}

impl ShmLock {
    /// Opens the lock of this name with the default settings, and creates it if it does not exist.
    /// The lock is not acquired.
    ///
    /// Blocks only while another handle is just being closed, for at most
    /// [`DEFAULT_OPEN_TIMEOUT`](crate::DEFAULT_OPEN_TIMEOUT).
    ///
    /// # Errors
    /// Those of [`Builder::open`].
    pub fn open(name: &str) -> Result<Self> {
        Self::builder(name).open()
    }

    /// Returns a builder for a lock with other settings. Nothing is opened yet.
    pub fn builder(name: &str) -> Builder {
        Builder::new(name)
    }

    /// Opens another handle on the same lock, for another thread, with the same settings and
    /// description.
    ///
    /// Blocks as [`Builder::open`] does.
    ///
    /// # Errors
    /// Those of [`Builder::open`]; [`Error::Orphaned`] if the name leads to another file by now;
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
        let (place, settings) = (self.shared.place(), self.settings.clone());
        let other = Self::enter(self.name.clone(), place, settings, description)?;
        if other.shared.identity() == self.shared.identity() {
            Ok(other)
        } else {
            Err(self.orphaned())
        }
    }
}
