//! Waits for the lock in a task instead of a thread: a future that any executor can drive.
//!
//! A poll tries as [`ShmLock::try_lock`] does. Then it sets WAITERS, and leaves the sleep to the
//! thread of `wait/reactor.rs`. A dropped future owes the wake that it may have used up.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use shmlock_core::contend;
use shmlock_core::protocol::{self, Attempt};

use crate::error::{Error, Result};
use crate::lock::guard::Guard;
use crate::lock::handle::ShmLock;
use crate::lock::hold_count::HoldKind;
use crate::sys::clock::BootInstant;
use crate::wait::WaitStrategy;
use crate::wait::deadline::{Deadline, instant_after};
use crate::wait::patience::Patience;
use crate::wait::reactor::{self, Gone, Ticket};
use crate::wait::task_wait::Wait;
use crate::wait::tuning::ATTEMPTS_PER_POLL;

impl ShmLock {
    /// Acquires the lock in a task.
    ///
    /// Blocks no thread: while the future is pending, one thread of this process sleeps for all
    /// such futures. That thread starts when the first of them has to wait, and ends 50 ms after
    /// the last wait. Another thread notices deaths, as for [`lock`](Self::lock). Any executor will
    /// do. A poll does not sleep; it may wait for a fork(3) as [`try_lock`](Self::try_lock) does.
    /// Dropping the future before it is ready ends the wait, and leaves nothing behind.
    ///
    /// Neither guard nor future is `Send`: they are for tasks that stay on their thread
    /// (`tokio::task::LocalSet`, `futures::executor::LocalPool`, `smol::LocalExecutor`).
    ///
    /// **Give each task a handle of its own** ([`try_clone`](Self::try_clone)): a handle is one
    /// contender, and refuses a second task by [`Error::AlreadyHeld`].
    ///
    /// # Errors
    /// The future's: [`Error::AlreadyHeld`], [`Error::Cancelled`], [`Error::Orphaned`],
    /// [`Error::Overwritten`],
    /// [`Error::ForkedHandle`]; [`Error::System`] if the thread cannot be started.
    ///
    /// # Limits
    /// * A woken task that is not polled soon may keep others waiting for a free lock, for a second
    ///   at most.
    /// * A guard that is held across an `.await` keeps the lock for that time.
    /// * There is no [`Error::WouldDeadlock`]: another task of this thread may hold the lock and go
    ///   on. A task that holds the lock by one handle and waits for it by another waits for ever.
    ///
    /// # Examples
    /// ```
    /// use shmlock::ShmLock;
    ///
    /// async fn work() -> Result<(), shmlock::Error> {
    ///     let lock = ShmLock::open("doc-async")?;
    ///     let _guard = lock.lock_async().await?;
    ///     Ok(())
    /// }
    /// # pollster::block_on(work())?;
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    pub fn lock_async(&self) -> LockFuture<'_> {
        LockFuture::new(self, Deadline::Forever)
    }

    /// Acquires the lock in a task, waiting at most `timeout`, counted from the first poll. Zero is
    /// one try.
    ///
    /// Blocks no thread, see [`lock_async`](Self::lock_async). A free lock is acquired whatever the
    /// timeout.
    ///
    /// # Errors
    /// The future's: [`Error::TimedOut`], which names the holder. Else those of
    /// [`lock_async`](Self::lock_async).
    ///
    /// # Limits
    /// Those of [`lock_async`](Self::lock_async).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use shmlock::ShmLock;
    ///
    /// async fn work(lock: &ShmLock) -> shmlock::Result<bool> {
    ///     match lock.lock_async_for(Duration::from_secs(1)).await {
    ///         Ok(_guard) => Ok(true), // the critical section
    ///         Err(error) if error.is_timed_out() => Ok(false),
    ///         Err(error) => Err(error),
    ///     }
    /// }
    /// # let lock = ShmLock::open("doc-lock-async-for")?;
    /// # assert!(pollster::block_on(work(&lock))?);
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    pub fn lock_async_for(&self, timeout: Duration) -> LockFuture<'_> {
        LockFuture::new(self, Deadline::For(timeout))
    }

    /// Sets WAITERS, which a newcomer's acquisition does not: others may still sleep on the word.
    fn keep_waiters(&self) {
        let word = self.shared.region().owner_word();
        let mut seen = self.shared.region().word();
        while seen.is_owned_by(self.token) && !seen.has_waiters() {
            match protocol::set_waiters(word, seen) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }
}

/// The future of [`ShmLock::lock_async`].
#[must_use = "nothing is locked before the future is polled"]
pub struct LockFuture<'a> {
    lock: &'a ShmLock,
    deadline: Deadline,
    /// When it was first polled.
    start: Option<Instant>,
    /// Its wait in the reactor, if it is pending.
    ticket: Option<Ticket>,
    /// It has set WAITERS, and owes the other waiters a wake.
    owes_wake: bool,
    /// How long it sleeps at a time, once it waits.
    patience: Option<Patience<'a>>,
}

/// The word after WAITERS was to be set.
enum AfterSet {
    /// This value: sleep while it stands.
    At(u32),
    /// No wake is wanted: sleep for the time only.
    NoWake,
    /// It has moved: try again.
    Moved,
}

impl<'a> LockFuture<'a> {
    fn new(lock: &'a ShmLock, deadline: Deadline) -> Self {
        Self { lock, deadline, start: None, ticket: None, owes_wake: false, patience: None }
    }

    /// Tries to acquire the lock, and registers a wait if it is held.
    fn attempt(&mut self, context: &Context<'_>) -> Result<Poll<Guard<'a>>> {
        let lock = self.lock;
        lock.check_process()?;
        if let Some(found) = lock.other_owner() {
            return Err(lock.error_of(lock.void(found)));
        }
        if !lock.holds.is_none() {
            return Err(Error::AlreadyHeld { name: lock.name.to_string() });
        }
        let is_first = self.start.is_none();
        if is_first {
            let now = Instant::now();
            self.start = Some(now);
            self.deadline = self.deadline.beginning(now);
        }
        for attempt in 0..ATTEMPTS_PER_POLL {
            if lock.acquire_slow(Deadline::None, HoldKind::Guarded)? {
                self.end_wait(is_first && attempt == 0);
                return Ok(Poll::Ready(lock.new_guard()));
            }
            if !is_first && attempt == 0 && lock.shared.is_orphaned() {
                return Err(lock.orphaned());
            }
            lock.check_process()?; // a signal handler may have forked meanwhile
            let limit = self.time_left(attempt == 0)?;
            lock.check_process()?;
            let sleep_on = match self.set_waiters() {
                AfterSet::At(value) => Some(value),
                AfterSet::NoWake => None,
                AfterSet::Moved => continue,
            };
            self.register(sleep_on, limit, context)?;
            if let Some(patience) = &mut self.patience {
                patience.note_sleep();
            }
            if is_first {
                lock.tell_holder(); // last: a logger is foreign code
            }
            return Ok(Poll::Pending);
        }
        context.waker().wake_by_ref();
        Ok(Poll::Pending)
    }

    /// Returns how long to sleep at most; an error if the wait has ended.
    fn time_left(&mut self, may_be_woken: bool) -> Result<Duration> {
        let (lock, name) = (self.lock, || self.lock.name.to_string());
        if self.deadline.is_one_try() {
            return Err(Error::TimedOut {
                name: name(),
                waited: Duration::ZERO,
                holder: lock.holder_now(),
            });
        }
        if let Some(event) = &lock.settings.exit_event {
            if event.is_set()? {
                return Err(Error::Cancelled { name: name(), holder: lock.holder_now() });
            }
        }
        let interval = lock.settings.poll_interval;
        let most = match lock.settings.strategy {
            WaitStrategy::SleepPolling => interval,
            WaitStrategy::Futex => {
                let begin = || Patience::of_task(&lock.shared, interval, BootInstant::now());
                let is_waiting = self.patience.is_some();
                let patience = self.patience.get_or_insert_with(begin);
                if is_waiting && may_be_woken {
                    let _ = patience.note_wake(); // the try before has probed the owner
                }
                patience.next_sleep(lock.shared.region().word().owner())
            }
        };
        self.deadline.clamp(most).ok_or_else(|| Error::TimedOut {
            name: name(),
            waited: self.start.map_or(Duration::ZERO, |start| start.elapsed()),
            holder: lock.holder_now(),
        })
    }

    /// Sets WAITERS, if a wake is wanted.
    fn set_waiters(&mut self) -> AfterSet {
        if self.lock.settings.strategy == WaitStrategy::SleepPolling {
            return AfterSet::NoWake;
        }
        let region = self.lock.shared.region();
        let seen = region.word();
        if seen.is_free() {
            return AfterSet::Moved;
        }
        let Ok(marked) = protocol::set_waiters(region.owner_word(), seen) else {
            return AfterSet::Moved;
        };
        self.owes_wake = true;
        AfterSet::At(marked.bits())
    }

    /// Registers a wait for the word to change from `value`, if there is one, and for the time.
    fn register(
        &mut self,
        value: Option<u32>,
        limit: Duration,
        context: &Context<'_>,
    ) -> Result<()> {
        let lock = self.lock;
        let waker = context.waker().clone(); // first: it is foreign code
        let word = lock.region()?.owner_word(); // it may have forked
        let wait = Wait {
            handle: lock.slot.slot(),
            birth: lock.shared.birth(),
            word: value.map(|value| (std::ptr::from_ref(word), value)),
            event: lock.settings.exit_event.clone(),
            until: instant_after(limit),
            interval: instant_after(lock.settings.poll_interval),
            fits: true,
            waker,
        };
        self.ticket = reactor::register(wait).map_err(|error| Error::System {
            operation: "start a thread that waits for",
            path: lock.path().to_owned(),
            errno: Errno::from_io_error(&error).unwrap_or(Errno::AGAIN),
        })?;
        lock.check_process()
    }

    /// Ends the wait with the lock.
    fn end_wait(&mut self, is_first_attempt: bool) {
        self.patience = None;
        if std::mem::take(&mut self.owes_wake) {
            self.lock.keep_waiters();
        }
        // A recovery has been counted as contended already.
        let is_recovery = self.lock.recovered().is_some_and(|recovered| recovered.dead.is_some());
        if !is_first_attempt && !is_recovery {
            self.lock.shared.region().count_contended();
        }
    }

    /// Ends the wait without the lock. Wakes another waiter, whose wake it may have used up.
    fn cancel(&mut self) {
        if !self.lock.shared.is_ours() {
            return; // a forked child: all of it is the parent's
        }
        self.patience = None;
        let gone = self.unregister();
        if std::mem::take(&mut self.owes_wake) {
            let region = self.lock.shared.region();
            if contend::cancel_wait(region.owner_word(), region.word(), Attempt::AfterWaiting)
                .is_free()
            {
                self.lock.wake_one(region.owner_word());
            }
        }
        drop(gone); // last: the drop of a waker is foreign code
    }

    fn unregister(&mut self) -> Option<Gone> {
        self.ticket.take().map(|ticket| reactor::cancel(&ticket))
    }
}

impl<'a> Future for LockFuture<'a> {
    type Output = Result<Guard<'a>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.lock.shared.is_ours() {
            drop(self.unregister());
        }
        match self.attempt(context) {
            Ok(poll) => poll.map(Ok),
            Err(error) => {
                self.cancel();
                Poll::Ready(Err(error))
            }
        }
    }
}

impl Drop for LockFuture<'_> {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl fmt::Debug for LockFuture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockFuture")
            .field("lock", self.lock)
            .field("is_pending", &self.ticket.is_some())
            .finish_non_exhaustive()
    }
}

/// Shows that the future stays on its thread, as its guard does:
/// ```compile_fail,E0277
/// fn spawn(task: impl Future + Send) {}
/// # use std::future::Future;
/// let lock = shmlock::ShmLock::open("x").unwrap();
/// spawn(lock.lock_async());
/// ```
#[cfg(doctest)]
struct NotSend;
