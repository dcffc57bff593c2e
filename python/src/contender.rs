//! One thread's handle of an object, and what the thread holds by it.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use shmlock::uuid::Uuid;
use shmlock::{BlockSignals, Builder, Error, ShmLock, WaitPoint, process_generation};

use crate::holds::Holds;
use crate::segment::{self, Made};

/// How long one look at what cannot wake a waiter is from the next, at most: at an old-style
/// segment, and where no wake reaches the waiter. Arbitrary: the old package's default.
const POLL: Duration = Duration::from_millis(50);

/// The settings of an object, as its handles need them.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The name of the file, without leading slashes.
    pub(crate) name: String,
    pub(crate) poll_interval: Duration,
    pub(crate) block_signals: bool,
    pub(crate) uuid: Uuid,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) mode: Option<u32>,
    /// The segment of the old form, in the interoperation mode.
    pub(crate) segment: Option<PathBuf>,
    /// The first content of a block, and its schema.
    pub(crate) block: Option<(Vec<u8>, String)>,
    /// The process that has made the object.
    pub(crate) process: u32,
}

impl Settings {
    /// Returns `true` in the process that has made the object.
    pub(crate) fn is_ours(&self) -> bool {
        self.process == process_generation()
    }

    /// Returns how long one look at what cannot wake a waiter is from the next.
    pub(crate) fn poll(&self) -> Duration {
        self.poll_interval.min(POLL)
    }

    /// Returns the settings of a handle.
    pub(crate) fn builder(&self, description: &str) -> Builder {
        let mut builder = ShmLock::builder(&self.name)
            .poll_interval(self.poll())
            .description(description)
            .uuid(self.uuid);
        if self.block_signals {
            builder = builder.block_signals(BlockSignals::Transitions);
        }
        if let Some(directory) = &self.directory {
            builder = builder.directory(directory);
        }
        if let Some(mode) = self.mode {
            builder = builder.mode(mode);
        }
        builder
    }
}

/// What an attempt to acquire the lock came to.
pub(crate) enum Attempt {
    Acquired,
    /// The time is over.
    TimedOut,
    /// A signal has come, or the old-style segment is another owner's.
    Look,
    /// This thread holds the lock by another object.
    HeldByThisThread,
}

/// One thread's handle of an object. Only that thread uses it.
pub(crate) struct Contender {
    /// No other handle of this process has it, ever.
    pub(crate) number: u64,
    lock: ShmLock,
    pub(crate) holds: Holds,
    /// The segment that is ours while the lock is held, in the interoperation mode.
    made: Cell<Option<Made>>,
    segment: Option<PathBuf>,
    /// How long one look at the segment is from the next.
    poll: Duration,
    /// Which version of the object's description the handle has.
    pub(crate) described: Cell<u64>,
}

impl Contender {
    /// Opens a handle.
    ///
    /// Waits while another handle is just being closed. In the interoperation mode, removes what a
    /// dead process has left in the old form, if the lock is free.
    ///
    /// # Errors
    /// Those of [`Builder::open`].
    pub(crate) fn open(settings: &Settings, description: &str, number: u64) -> Result<Self, Error> {
        // The waiting thread runs no code of Python: it returns, and the interpreter looks. How
        // long it sleeps at most is the timeout of each wait.
        let builder = settings.builder(description);
        let builder = builder.interrupt(|point| match point {
            WaitPoint::Signal => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
        let lock = match &settings.block {
            Some((initial, schema)) => builder.schema(schema).open_block_bytes(initial)?,
            None => builder.open()?,
        };
        let contender = Self {
            number,
            lock,
            holds: Holds::new(),
            made: Cell::new(None),
            segment: settings.segment.clone(),
            poll: settings.poll(),
            described: Cell::new(0),
        };
        if let Some(path) = &contender.segment {
            let is_left = matches!(segment::look(path), Ok(segment::Found::Ours(_)));
            if is_left && contender.try_once()? {
                contender.release()?;
            }
        }
        Ok(contender)
    }

    /// Returns the handle, for calls that change no hold.
    pub(crate) fn lock(&self) -> &ShmLock {
        &self.lock
    }

    /// Tries once. Does not wait for the owner.
    ///
    /// # Errors
    /// Those of [`ShmLock::try_acquire`] and of [`segment::make`].
    #[inline]
    pub(crate) fn try_once(&self) -> Result<bool, Error> {
        if !self.lock.try_acquire()? {
            return Ok(false);
        }
        match &self.segment {
            None => Ok(true),
            Some(path) => self.keep_if(segment::make(path, self.uuid()), path),
        }
    }

    /// Waits for the lock, for `time` at most, and until a signal comes.
    ///
    /// # Errors
    /// Those of [`ShmLock::try_acquire_for`] and of [`segment::make`].
    pub(crate) fn wait(&self, time: Duration) -> Result<Attempt, Error> {
        let begin = Instant::now();
        match self.lock.try_acquire_for(time) {
            Ok(()) => self.after_acquiring(time.saturating_sub(begin.elapsed())),
            Err(Error::TimedOut { .. }) => Ok(Attempt::TimedOut),
            Err(Error::Interrupted { .. }) => Ok(Attempt::Look),
            Err(Error::WouldDeadlock { .. }) => Ok(Attempt::HeldByThisThread),
            Err(error) => Err(error),
        }
    }

    /// Makes the segment of the old form, in the interoperation mode: the lock was acquired a
    /// moment ago. Waits for an old-style owner, for `time` at most.
    ///
    /// # Errors
    /// Those of [`segment::make`].
    pub(crate) fn after_acquiring(&self, time: Duration) -> Result<Attempt, Error> {
        let Some(path) = &self.segment else { return Ok(Attempt::Acquired) };
        // Other new-style waiters queue behind us meanwhile, but not for long: no code of Python
        // may run while the lock is held and the object does not know it.
        let end = Instant::now() + time.min(POLL);
        let made = segment::make_until(path, self.uuid(), end, self.poll);
        Ok(if self.keep_if(made, path)? { Attempt::Acquired } else { Attempt::Look })
    }

    /// Keeps the lock that was just acquired if the segment was made; releases it otherwise.
    fn keep_if(
        &self,
        made: Result<Option<Made>, rustix::io::Errno>,
        path: &std::path::Path,
    ) -> Result<bool, Error> {
        match made {
            Ok(Some(made)) => {
                self.made.set(Some(made));
                Ok(true)
            }
            Ok(None) => self.lock.release().map(|()| false),
            Err(errno) => {
                self.lock.release()?;
                let operation = "make the old-style segment";
                Err(Error::System { operation, path: path.to_owned(), errno })
            }
        }
    }

    fn uuid(&self) -> [u8; 16] {
        self.lock.uuid().into_bytes()
    }

    /// Releases the lock: the segment first.
    ///
    /// # Errors
    /// Those of [`ShmLock::release`].
    #[inline]
    pub(crate) fn release(&self) -> Result<(), Error> {
        if self.made.get().is_some() {
            self.remove_segment();
        }
        self.lock.release()
    }

    fn remove_segment(&self) {
        // Not in a forked child, whose parent holds the lock.
        if let (Some(made), Some(path)) = (self.made.take(), &self.segment) {
            if self.lock.is_held() {
                segment::remove(path, made);
            }
        }
    }

    /// Ends all holds. Returns `true` if there were any.
    ///
    /// # Errors
    /// Those of [`ShmLock::force_release`].
    pub(crate) fn force_release(&self) -> Result<bool, Error> {
        self.remove_segment();
        self.holds.end_all();
        self.lock.force_release()
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        self.remove_segment(); // then the handle's drop releases the lock
    }
}
