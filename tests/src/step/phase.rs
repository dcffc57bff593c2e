//! Defines what the child is doing when its fate meets it, and the state of the lock before.

use std::fmt;
use std::process;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use shmlock::ShmLock;

use super::fate::{Fate, LOCK};
use super::marks::within;
use super::reenter;
use crate::account::Account;
use crate::hostile::{Denied, Folder, If, deny};

/// An interval in a handle's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Opening a lock whose file is not there.
    OpenNew,
    /// Opening a lock that another process has open.
    OpenPresent,
    /// Opening a lock whose owner is dead, where the handle draws the dead owner's token.
    OpenStale,
    /// Acquiring and releasing undisturbed: for the first time, which writes the owner record;
    /// again, which writes nothing; and nested.
    Section,
    /// Acquiring a lock whose owner releases it when the child sleeps; then a third process sleeps
    /// as well.
    Contended,
    /// Releasing while two others sleep.
    Release,
    /// Recovering a dead owner's lock and declaring the data consistent.
    TakeOver,
    /// Closing a handle that holds the lock, while another process has it open.
    CloseHeld,
    /// Closing a handle while another process holds the lock, which may close before the child is
    /// through.
    CloseBeside,
    /// Closing the last handle.
    CloseLast,
}

/// The child goes on only when it is woken. So its path is the same each time, and a lost wake is a
/// hang.
const NEVER: Duration = Duration::from_secs(3600);

impl Phase {
    /// Returns `true` if another process, the keeper, has the lock open throughout.
    pub(super) fn is_kept(self) -> bool {
        !matches!(self, Self::OpenNew | Self::Release | Self::CloseLast)
    }

    /// Returns `true` if the keeper holds the lock when the child starts.
    pub(super) fn begins_held(self) -> bool {
        matches!(self, Self::Contended | Self::CloseBeside)
    }

    /// Returns `true` if the sleepers fall asleep before the child begins its phase.
    pub(super) fn begins_with_waiters(self) -> bool {
        self == Self::Release
    }

    /// Returns `true` if the child falls asleep in its phase; then the keeper releases.
    pub(super) fn sleeps(self) -> bool {
        self == Self::Contended
    }

    /// Returns how many other processes sleep on the lock, with or after the child.
    pub(super) fn sleepers(self) -> usize {
        match self {
            Self::Contended => 1,
            Self::Release => 2,
            _ => 0,
        }
    }

    /// Returns `true` if the owner of the lock is dead when the child starts.
    pub(super) fn begins_dead(self) -> bool {
        matches!(self, Self::OpenStale | Self::TakeOver)
    }

    /// Returns `true` if DIED is set once the child has ended its phase.
    pub(super) fn ends_with_died(self) -> bool {
        self == Self::OpenStale
    }

    /// Returns how many critical sections the child has executed once it has ended its phase.
    pub(super) fn sections(self) -> u64 {
        match self {
            Self::Section => 3,
            Self::CloseHeld | Self::CloseBeside | Self::CloseLast => 0,
            _ => 1,
        }
    }

    /// Executes the child's part, from its start to its end.
    pub(super) fn play(self, fate: Fate, folder: &Folder, account: &Account) {
        fate.expect();
        if self.sleeps() {
            // The thread that would watch for the child is not traced: a breakpoint would kill it.
            // So the child cannot start it, and sleeps for its interval.
            let refused = |call| Denied { call, when: If::Called, errno: libc::EAGAIN };
            let _ = deny(&[refused(libc::SYS_clone3), refused(libc::SYS_clone)]);
        }
        even_out_memory();
        let open =
            || folder.lock(LOCK).poll_interval(NEVER).open().expect("a lock that can be opened");
        if matches!(self, Self::OpenNew | Self::OpenPresent | Self::OpenStale) {
            section(&within(open), account);
            return;
        }
        let lock = open();
        match self {
            Self::CloseHeld => {
                lock.acquire().expect("a free lock");
                within(|| drop(lock));
            }
            Self::CloseBeside | Self::CloseLast => within(|| drop(lock)),
            _ => {
                let _aim = reenter::aim(&lock, account);
                self.hold(&lock, account);
            }
        }
    }

    /// The phases in which the handle stays open.
    fn hold(self, lock: &ShmLock, account: &Account) {
        match self {
            Self::Section => within(|| {
                section(lock, account);
                section(lock, account);
                lock.acquire().expect("a free lock");
                section(lock, account);
                lock.release().expect("held");
            }),
            Self::Contended => within(|| section(lock, account)),
            Self::Release => {
                let guard = lock.lock().expect("a free lock");
                work(account, false);
                within(|| drop(guard));
            }
            Self::TakeOver => within(|| {
                let guard = lock.lock().expect("a dead owner's lock");
                assert!(guard.recovered().is_some(), "the owner was dead");
                work(account, true);
                guard.declare_consistent().expect("held");
            }),
            other => unreachable!("{other}: begins or ends with no handle"),
        }
    }
}

/// Fills the allocator's caches: a few free blocks of each size that a phase asks for. The blocks
/// that were free in the parent differ from fork to fork, and so would the child's path through
/// `malloc`.
fn even_out_memory() {
    let block = |size: usize| Vec::<u8>::with_capacity(16 * size);
    for size in 1..=64 {
        // More than the allocator caches for one thread; never freed.
        (0..8).for_each(|_| std::mem::forget(block(size)));
        let _few: [_; 4] = std::array::from_fn(|_| block(size));
    }
}

fn section(lock: &ShmLock, account: &Account) {
    let guard = lock.lock().expect("no obstacle");
    work(account, guard.recovered().is_some());
}

/// Executes the work of the critical section.
fn work(account: &Account, after_death: bool) {
    account.section(u64::from(process::id()), 1, after_death);
    account.done.store(account.done.load(Relaxed) + 1, Relaxed);
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenNew => "opening a new lock",
            Self::OpenPresent => "opening a lock in use",
            Self::OpenStale => "drawing a dead owner's token",
            Self::Section => "acquiring and releasing",
            Self::Contended => "waiting and being woken",
            Self::Release => "releasing beside sleepers",
            Self::TakeOver => "recovering a dead owner's lock",
            Self::CloseHeld => "closing a lock it holds",
            Self::CloseBeside => "closing a lock that another process holds",
            Self::CloseLast => "closing the last handle",
        })
    }
}
