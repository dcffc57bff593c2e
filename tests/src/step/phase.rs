//! What the child is doing when it happens, and who else is there.

use std::fmt;
use std::process;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use shmlock::{Builder, ShmLock};

use super::fate::{Fate, LOCK};
use super::marks::{before_the_wait, within};
use super::reenter;
use crate::account::Account;
use crate::hostile::Folder;

/// A stretch of a handle's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Opening a lock whose file is not there.
    OpenNew,
    /// Opening a lock that somebody else has open.
    OpenPresent,
    /// Opening a lock whose owner is dead, and being given the very token of the dead.
    OpenStale,
    /// Taking and giving back undisturbed: for the first time, when the owner's record is written;
    /// again, which writes nothing; and nested.
    Section,
    /// Taking a lock that another holds, who gives it back when the child is asleep; then a third
    /// one sleeps as well.
    Contended,
    /// Giving back while two others sleep.
    Release,
    /// Passing the lock on while two others sleep, after having got it by waiting awake for a long
    /// section.
    PassOn,
    /// Taking over from a dead owner, and settling that.
    TakeOver,
    /// Closing a handle that holds the lock, while somebody else has it open.
    CloseHeld,
    /// Closing a handle while another process holds the lock, which then may close before the child
    /// is through.
    CloseBeside,
    /// Closing the last handle.
    CloseLast,
}

/// The child is woken or never gets on. Thereby its way is the same each time, and a wake that is
/// lost is a hang.
const NEVER: Duration = Duration::from_secs(3600);

impl Phase {
    /// Whether another process has the lock open throughout: the keeper.
    pub(super) fn is_kept(self) -> bool {
        !matches!(self, Self::OpenNew | Self::Release | Self::CloseLast)
    }

    /// Whether the keeper holds the lock when the child comes.
    pub(super) fn begins_held(self) -> bool {
        matches!(self, Self::Contended | Self::PassOn | Self::CloseBeside)
    }

    /// Whether the child waits awake before its phase begins; then the keeper gives the lock back.
    pub(super) fn waits_awake(self) -> bool {
        self == Self::PassOn
    }

    /// Whether the others come to sleep when the child is about to begin.
    pub(super) fn begins_awaited(self) -> bool {
        matches!(self, Self::Release | Self::PassOn)
    }

    /// Whether the child comes to sleep; then the keeper gives the lock back.
    pub(super) fn sleeps(self) -> bool {
        self == Self::Contended
    }

    /// How many others come to sleep on the lock, with or after the child.
    pub(super) fn sleepers(self) -> usize {
        match self {
            Self::Contended => 1,
            Self::Release | Self::PassOn => 2,
            _ => 0,
        }
    }

    /// Whether the owner of the lock is dead when the child comes.
    pub(super) fn begins_dead(self) -> bool {
        matches!(self, Self::OpenStale | Self::TakeOver)
    }

    /// Whether the crash mark stands in the word once the child has come to its end.
    pub(super) fn ends_marked(self) -> bool {
        self == Self::OpenStale
    }

    /// How often the child has been in the section once it has come to its end.
    pub(super) fn sections(self) -> u64 {
        match self {
            Self::Section => 3,
            Self::CloseHeld | Self::CloseBeside | Self::CloseLast => 0,
            _ => 1,
        }
    }

    /// What the child does, from its beginning to its end.
    pub(super) fn play(self, fate: Fate, folder: &Folder, account: &Account) {
        fate.expect();
        even_out_memory();
        let turn = |lock: Builder| {
            if self == Self::PassOn { lock.fairness_interval(Duration::MAX) } else { lock }
        };
        let open = || {
            turn(folder.lock(LOCK).poll_interval(NEVER)).open().expect("a lock that can be opened")
        };
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
            Self::PassOn => {
                before_the_wait();
                let guard = lock.lock().expect("it comes free");
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

/// Leaves the allocator as it is in every child: with a few free blocks at hand of each size that a
/// phase asks for. What was free in the parent differs from fork to fork, and so would the child's
/// way through `malloc`.
fn even_out_memory() {
    let block = |size: usize| Vec::<u8>::with_capacity(16 * size);
    for size in 1..=64 {
        // More than the allocator keeps at hand for one thread: never given back.
        (0..8).for_each(|_| std::mem::forget(block(size)));
        let _few: [_; 4] = std::array::from_fn(|_| block(size));
    }
}

fn section(lock: &ShmLock, account: &Account) {
    let guard = lock.lock().expect("no obstacle");
    work(account, guard.recovered().is_some());
}

/// What is done in the section.
fn work(account: &Account, after_death: bool) {
    account.section(u64::from(process::id()), 1, after_death);
    account.done.store(account.done.load(Relaxed) + 1, Relaxed);
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenNew => "opening a new lock",
            Self::OpenPresent => "opening a lock in use",
            Self::OpenStale => "being given a dead owner's token",
            Self::Section => "taking and giving back",
            Self::Contended => "waiting and being woken",
            Self::Release => "giving back to sleepers",
            Self::PassOn => "passing on beside sleepers",
            Self::TakeOver => "taking over from the dead",
            Self::CloseHeld => "closing a lock it holds",
            Self::CloseBeside => "closing a lock that another holds",
            Self::CloseLast => "closing as the last one",
        })
    }
}
