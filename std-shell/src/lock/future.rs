//! Waiting for the lock in a task instead of a thread: a future that any executor can drive.
//!
//! It tries as [`ShmLock::try_lock`] does, so that a dead owner's lock is had at once; then it
//! marks the word, as every waiter does, and leaves the sleeping to the thread of `reactor.rs`.
//! Each time it is polled again it begins anew. Whoever drops it owes the others what a waiter owes
//! that gives up: the wake that it may have used up was also theirs.

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
use crate::sys::futex;
use crate::wait::WaitStrategy;
use crate::wait::deadline::{Deadline, look_again};
use crate::wait::reactor::{self, Gone, Ticket, Wait};

/// How often one poll looks again at a word that moves under it, before it lets other tasks run.
/// Arbitrary: the word has to change hands between two looks for one of these.
const LOOKS: u32 = 8;

impl ShmLock {
    /// Takes the lock, waiting in a task as long as it takes.
    ///
    /// The future blocks no thread: while it is pending, one thread of this process sleeps for all
    /// such futures. That thread is started when the first of them has to wait, and ends when none
    /// does any more. No executor is needed in particular. A poll makes a few system calls and
    /// never sleeps.
    ///
    /// The handle is not `Sync` and the guard not `Send`, so neither is the future: it is for tasks
    /// that stay on their thread (`tokio::task::LocalSet`, `futures::executor::LocalPool`,
    /// `smol::LocalExecutor`, or `block_on`).
    ///
    /// **Give each task a handle of its own** ([`try_clone`](Self::try_clone)). A handle is one
    /// contender, and a task that took it while another of them holds it would share that hold: it
    /// is refused by [`Error::AlreadyHeld`] instead. On the other hand nobody is told that it would
    /// wait for its own thread, as [`lock`](Self::lock) does by [`Error::WouldDeadlock`]: another task of this thread may hold the lock and go on. So a task that holds it by one
    /// handle and waits for it by another waits for ever.
    ///
    /// Dropping the future before it is ready gives up waiting, and leaves nothing behind.
    ///
    /// # Errors
    /// The future's: [`Error::AlreadyHeld`], [`Error::Cancelled`], [`Error::Orphaned`],
    /// [`Error::ForkedHandle`]; [`Error::System`] if the thread cannot be started.
    ///
    /// # Limits
    /// A task that has been woken and is not polled soon may keep others waiting for a free lock,
    /// for at most one poll interval each. A guard that is held across an `.await` keeps the lock
    /// for as long as that takes.
    ///
    /// # Examples
    /// ```
    /// use shmlock::ShmLock;
    ///
    /// async fn section() -> Result<(), shmlock::Error> {
    ///     let lock = ShmLock::open("doc-async")?;
    ///     let _guard = lock.lock_async().await?;
    ///     Ok(())
    /// }
    /// # pollster::block_on(section())?;
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    pub fn lock_async(&self) -> LockFuture<'_> {
        LockFuture::new(self, Deadline::Forever)
    }

    /// As [`lock_async`](Self::lock_async), waiting at most `timeout`, counted from the first poll.
    /// Zero is one try. A free lock is taken whatever the timeout.
    ///
    /// # Errors
    /// The future's: [`Error::TimedOut`], or [`Error::WouldBlock`] for a timeout of zero, naming
    /// the holder; and as [`lock_async`](Self::lock_async).
    pub fn lock_async_for(&self, timeout: Duration) -> LockFuture<'_> {
        LockFuture::new(self, Deadline::For(timeout))
    }

    /// As a waiter has to, who has marked the word and then took it like a newcomer: others may
    /// still sleep on it.
    fn keep_waiters(&self) {
        let word = self.shared.region().owner_word();
        let mut seen = self.shared.region().word();
        while seen.is_owned_by(self.token) && !seen.has_waiters() {
            match protocol::mark_waiting(word, seen) {
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
    patience: Deadline,
    /// When it was first polled.
    start: Option<Instant>,
    /// Its wait in the reactor, if it is pending.
    ticket: Option<Ticket>,
    /// Whether it has marked the word, and so owes the others.
    marked: bool,
}

impl<'a> LockFuture<'a> {
    fn new(lock: &'a ShmLock, patience: Deadline) -> Self {
        Self { lock, patience, start: None, ticket: None, marked: false }
    }

    /// As far as it goes without waiting.
    fn go_on(&mut self, context: &Context<'_>) -> Result<Poll<Guard<'a>>> {
        let lock = self.lock;
        lock.check_process()?;
        if let Some(found) = lock.usurped() {
            return Err(lock.error_of(lock.void(found)));
        }
        if !lock.holds.is_none() {
            return Err(Error::AlreadyHeld { name: lock.name.to_string() });
        }
        let is_first = self.start.is_none();
        if is_first {
            let now = Instant::now();
            self.start = Some(now);
            self.patience = self.patience.beginning(now);
        }
        for look in 0..LOOKS {
            if lock.take(Deadline::None, HoldKind::Guarded)? {
                self.has_taken(is_first && look == 0);
                return Ok(Poll::Ready(lock.new_guard()));
            }
            let limit = self.time_left()?;
            if !is_first && look == 0 && lock.shared.is_orphaned() {
                return Err(lock.orphaned());
            }
            lock.check_process()?; // a signal handler may have forked meanwhile
            let Some(word) = self.mark() else { continue };
            self.register(word, limit, context)?;
            if is_first {
                lock.tell_holder(); // last: a logger is foreign code
            }
            return Ok(Poll::Pending);
        }
        context.waker().wake_by_ref();
        Ok(Poll::Pending)
    }

    /// How long to sleep at most; an error if there is no more waiting to be done.
    fn time_left(&self) -> Result<Duration> {
        let (lock, name) = (self.lock, || self.lock.name.to_string());
        if self.patience.is_one_try() {
            return Err(Error::WouldBlock { name: name(), holder: lock.holder_now() });
        }
        if let Some(event) = &lock.settings.exit_event {
            if event.is_set()? {
                return Err(Error::Cancelled { name: name(), holder: lock.holder_now() });
            }
        }
        self.patience.clamp(lock.settings.poll_interval).ok_or_else(|| Error::TimedOut {
            name: name(),
            waited: self.start.map_or(Duration::ZERO, |start| start.elapsed()),
            holder: lock.holder_now(),
        })
    }

    /// Marks the word, and gives what to sleep on; nothing if no wake is wanted. `None`: it moved,
    /// so look again.
    #[allow(clippy::option_option, reason = "to look again, or what to sleep on, if on anything")]
    fn mark(&mut self) -> Option<Option<u32>> {
        if self.lock.settings.strategy == WaitStrategy::SleepPolling {
            return Some(None);
        }
        let region = self.lock.shared.region();
        let seen = region.word();
        if seen.is_free() {
            return None;
        }
        let marked = protocol::mark_waiting(region.owner_word(), seen).ok()?;
        self.marked = true;
        Some(Some(marked.bits()))
    }

    fn register(
        &mut self,
        value: Option<u32>,
        limit: Duration,
        context: &Context<'_>,
    ) -> Result<()> {
        let lock = self.lock;
        let waker = context.waker().clone(); // foreign code, so before anything is begun
        let word = lock.region()?.owner_word(); // it may have forked
        let wait = Wait {
            handle: lock.slot.slot(),
            birth: lock.shared.birth(),
            word: value.map(|value| (std::ptr::from_ref(word), value)),
            event: lock.settings.exit_event.clone(),
            until: look_again(limit),
            waker,
        };
        self.ticket = reactor::register(wait).map_err(|error| Error::System {
            operation: "start a thread that waits for",
            path: lock.path().to_owned(),
            errno: Errno::from_io_error(&error).unwrap_or(Errno::AGAIN),
        })?;
        lock.check_process()
    }

    /// Sees to what a waiter does once it has the lock.
    fn has_taken(&mut self, at_first_look: bool) {
        if std::mem::take(&mut self.marked) {
            self.lock.keep_waiters();
        }
        // Whoever took over from a dead owner has been counted already.
        let took_over = self.lock.recovered().is_some_and(|recovered| recovered.dead.is_some());
        if !at_first_look && !took_over {
            self.lock.shared.region().count_contended();
        }
    }

    /// Stops waiting: takes the wait off the list, and sees to it that nobody is left asleep by
    /// that.
    fn step_aside(&mut self) {
        if !self.lock.shared.is_ours() {
            return; // a forked child: all of it is the parent's
        }
        let gone = self.off_the_list();
        if std::mem::take(&mut self.marked) {
            let region = self.lock.shared.region();
            if contend::cancel_wait(region.owner_word(), region.word(), Attempt::AfterWaiting)
                .is_free()
            {
                futex::wake_one(region.owner_word());
            }
        }
        drop(gone); // last: the drop of a waker is foreign code
    }

    fn off_the_list(&mut self) -> Option<Gone> {
        self.ticket.take().map(|ticket| reactor::cancel(&ticket))
    }
}

impl<'a> Future for LockFuture<'a> {
    type Output = Result<Guard<'a>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.lock.shared.is_ours() {
            drop(self.off_the_list());
        }
        match self.go_on(context) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(guard)) => Poll::Ready(Ok(guard)),
            Err(error) => {
                self.step_aside();
                Poll::Ready(Err(error))
            }
        }
    }
}

impl Drop for LockFuture<'_> {
    fn drop(&mut self) {
        self.step_aside();
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

/// The future stays on its thread, as the guard that it ends in does:
/// ```compile_fail,E0277
/// fn spawn(task: impl Future + Send) {}
/// # use std::future::Future;
/// let lock = shmlock::ShmLock::open("x").unwrap();
/// spawn(lock.lock_async());
/// ```
#[cfg(doctest)]
struct NotSend;
