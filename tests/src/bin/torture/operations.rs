//! Executes operations on one lock: opening, acquiring, the critical section, closing; `release.rs`
//! has the releases. Notes each step for the oracle.

use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use shmlock::{BlockSignals, Errno, Error, ExitEvent, Guard, ShmLock, WaitStrategy};

use crate::contender::{Contender, Nature};
use crate::fault::Fault;
use crate::journal::What;
use crate::memory::Doing;
use crate::oracle::{Section, Told};
use crate::role::NARROW;
use crate::system;
use crate::tally::Count;
use crate::visit::{Blocks, Give, Hold, Make, Visit, Way};

/// More than any closer needs: the master stops no process for so long.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);

/// The latest plausible return after a timeout. It is not promised, but no busy machine exceeds it;
/// the report shows the latest. A waiter that was stopped meanwhile is not judged.
const TOLERANCE: Duration = Duration::from_secs(5);

impl Contender<'_> {
    /// Opens a handle; returns `None` if there was no free token.
    pub(crate) fn open(
        &self,
        name: &str,
        at: usize,
        make: &Make,
        exit_event: Option<&ExitEvent>,
    ) -> Option<ShmLock> {
        self.note(What::Opening, at);
        self.does(Doing::Opening);
        let strategy = if make.sleeps { WaitStrategy::SleepPolling } else { WaitStrategy::Futex };
        let blocks = match make.blocks {
            Blocks::Never => BlockSignals::Never,
            Blocks::Transitions => BlockSignals::Transitions,
            Blocks::WhileHeld => BlockSignals::WhileHeld,
        };
        let mut builder = ShmLock::builder(name)
            .poll_interval(make.interval)
            .wait_strategy(strategy)
            .block_signals(blocks)
            .poisoning(self.nature == Nature::Poisoning)
            .open_timeout(OPEN_TIMEOUT);
        if make.barges {
            builder = builder.fairness_interval(Duration::MAX);
        }
        if let Some(exit_event) = exit_event.filter(|_| make.event) {
            builder = builder.exit_event(exit_event);
        }
        self.opened(at, builder.open())
    }

    /// Describes and notes a handle that was opened, or judges the error.
    pub(crate) fn opened(&self, at: usize, opened: shmlock::Result<ShmLock>) -> Option<ShmLock> {
        let opened = opened.and_then(|lock| self.describe(&lock).map(|()| lock));
        self.does(Doing::Nothing);
        match opened {
            Ok(lock) => {
                self.count(Count::Opened);
                self.note(What::Opened, at);
                Some(lock)
            }
            Err(error) if at == NARROW && error.errno() == Some(Errno::AGAIN) => {
                self.count(Count::NoToken);
                None
            }
            Err(error) => {
                self.refused(at, &error);
                None
            }
        }
    }

    pub(crate) fn close(&self, at: usize, lock: ShmLock) {
        self.note(What::Closing, at);
        self.does(Doing::Closing);
        drop(lock);
        self.does(Doing::Nothing);
        self.count(Count::Closed);
        self.note(What::Closed, at);
    }

    /// Acquires, executes a critical section, releases. `during` runs when its work is half done.
    pub(crate) fn visit(&self, lock: &ShmLock, visit: &Visit, during: impl FnOnce()) {
        let Some(guard) = self.take(lock, visit.lock, visit.way) else { return };
        let section = self.inside(lock, visit, during);
        self.leave(section);
        if let Give::Force { drops } = visit.give {
            return self.force(guard, visit, drops);
        }
        self.give(guard, visit);
        self.released(visit.lock);
    }

    /// Executes the critical section between acquiring and leaving, without either.
    pub(crate) fn inside(&self, lock: &ShmLock, visit: &Visit, during: impl FnOnce()) -> Section {
        let told = Told::by(lock);
        let section = self.enter(visit.lock, lock, &told);
        self.work(&section, || {
            let again: Vec<_> = (0..visit.depth).map(|_| lock.lock()).collect();
            for refusal in again.iter().filter_map(|again| again.as_ref().err()) {
                self.refused(visit.lock, refusal);
            }
            if visit.describe {
                self.describe(lock).unwrap_or_else(|error| self.refused(visit.lock, &error));
            }
            hold(visit.hold);
            if visit.twice {
                self.try_twice(lock, visit);
            }
            during();
            self.does(Doing::Inside);
        });
        if told.died && visit.declare {
            match lock.declare_consistent() {
                Ok(()) => self.note_consistent(&section),
                Err(error) => self.refused(visit.lock, &error),
            }
        }
        section
    }

    /// Acquires the lock, or notes why not.
    pub(crate) fn take<'l>(&self, lock: &'l ShmLock, at: usize, way: Way) -> Option<Guard<'l>> {
        self.taking(lock, at, way, |start| match way {
            Way::Wait => lock.lock().map(Some),
            Way::Try => lock.try_lock(),
            Way::For(timeout) => lock.try_lock_for(timeout).map(Some),
            Way::Until(timeout) => lock.try_lock_until(start + timeout).map(Some),
        })
    }

    /// Acquires the lock as [`take`](Self::take) does, without a guard.
    pub(crate) fn acquire(&self, lock: &ShmLock, at: usize, way: Way) -> bool {
        let taken = self.taking(lock, at, way, |start| match way {
            Way::Wait => lock.acquire().map(Some),
            Way::Try => lock.try_acquire().map(|taken| taken.then_some(())),
            Way::For(timeout) => lock.try_acquire_for(timeout).map(Some),
            Way::Until(timeout) => lock.try_acquire_until(start + timeout).map(Some),
        });
        taken.is_some()
    }

    fn taking<R>(
        &self,
        lock: &ShmLock,
        at: usize,
        way: Way,
        take: impl FnOnce(Instant) -> shmlock::Result<Option<R>>,
    ) -> Option<R> {
        let (life, stops) = (self.life(), self.seat().stops.load(Relaxed));
        self.note(What::Acquiring, at);
        if lock.is_locked().is_ok_and(|locked| locked) {
            self.count(Count::Contended);
        }
        self.does(Doing::Acquiring);
        if matches!(way, Way::Wait) {
            life.waiting.store(system::now(), Relaxed);
        }
        life.set_may_hold(at);
        let start = Instant::now();
        let taken = take(start);
        let waited = start.elapsed();
        life.waiting.store(0, Relaxed);
        if let Ok(Some(taken)) = taken {
            self.seat().tally.waited(nanos(waited));
            return Some(taken);
        }
        life.clear_may_hold(at);
        self.does(Doing::Nothing);
        self.note(What::NotAcquired, at);
        match taken {
            Ok(_) => self.count(Count::TryFailed),
            Err(error) if error.is_timed_out() => {
                self.count(Count::TimedOut);
                let was_stopped = stops != self.seat().stops.load(Relaxed);
                self.check_timeout(at, way, waited, was_stopped);
            }
            Err(error) if error.is_cancelled() && !matches!(way, Way::Try) => {
                self.count(Count::Cancelled);
                match lock.exit_event().map(ExitEvent::clear) {
                    Some(Ok(())) => {}
                    Some(Err(error)) => self.refused(at, &error),
                    None => self.refused(at, &error),
                }
            }
            Err(Error::Poisoned { dead, .. }) if self.nature == Nature::Poisoning => {
                self.count(Count::Poisoned);
                if let Some(dead) = dead {
                    self.judge_dead(at, &dead);
                }
            }
            Err(error) => self.refused(at, &error),
        }
        None
    }

    /// Checks a timeout: the waiter has waited so long, and not much longer.
    fn check_timeout(&self, at: usize, way: Way, waited: Duration, was_stopped: bool) {
        let (Way::For(timeout) | Way::Until(timeout)) = way else {
            return self.accuse(Fault::Early, at, nanos(waited));
        };
        let Some(late) = waited.checked_sub(timeout) else {
            return self.accuse(Fault::Early, at, nanos(waited));
        };
        if was_stopped {
            return;
        }
        self.seat().tally.was_late(nanos(late));
        if late > TOLERANCE {
            self.accuse(Fault::Late, at, nanos(late));
        }
    }

    /// Tries the lock by a second handle of the thread that holds it: that is refused, with the
    /// error that waiting would deadlock. (If the exit event is set, with `Cancelled`.)
    fn try_twice(&self, lock: &ShmLock, visit: &Visit) {
        let Some(second) = self.opened(visit.lock, lock.try_clone()) else { return };
        let tried = second.try_lock();
        let waited = second.lock();
        let is_refused = match &waited {
            Err(Error::WouldDeadlock { .. }) => true,
            Err(Error::Cancelled { .. }) => second.exit_event().is_some(),
            _ => false,
        };
        if !matches!(tried, Ok(None)) || !is_refused {
            eprintln!("torture: life {}: {tried:?}, {waited:?}", self.number());
            self.accuse(Fault::Undeadlocked, visit.lock, 0);
        }
        drop((tried, waited));
        self.close(visit.lock, second);
    }
}

/// Stays in the critical section, as told.
pub(crate) fn hold(how: Hold) {
    match how {
        Hold::Nothing => {}
        Hold::Yield(times) => (0..times).for_each(|_| thread::yield_now()),
        Hold::Spin(times) => (0..times).for_each(|_| std::hint::spin_loop()),
        Hold::Sleep(time) => thread::sleep(time),
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
