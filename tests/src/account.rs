//! Memory beside the lock, in which its users note what the lock is supposed to order.

#![allow(unsafe_code, reason = "implements a trait for types of atomics")]

use std::ops::Deref;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::thread;

use crate::shared::{self, Shared};

/// The words of an account. All are zero at first.
#[repr(C)]
#[derive(Debug)]
pub struct AccountWords {
    /// Incremented by a load and a store: two increments at one time lose one.
    pub count: AtomicU64,
    /// The process that is in the critical section; 0 if there is none.
    pub inside: AtomicU64,
    /// The number of times a process found another one in the critical section.
    pub collisions: AtomicU64,
    /// The number of processes that have arrived at [`Account::meet`].
    pub met: AtomicU64,
    /// Not zero: processes that loop without end stop; those that meet before each round stop after
    /// the round of this number.
    pub stop: AtomicU64,
    /// The number of critical sections entered after a death.
    pub recoveries: AtomicU64,
    /// The number of critical sections that the process under test has finished, which may die at
    /// any instruction.
    pub done: AtomicU64,
    /// The number of rounds that have been run.
    pub rounds: AtomicU64,
    /// The number of files that were created under one name.
    pub births: AtomicU64,
}

/// The owner yields in the middle of every this many critical sections, so that others meet a held
/// lock on one core as well.
const YIELD_EVERY: u64 = 8;

// SAFETY: atomics only.
unsafe impl shared::Words for AccountWords {}

/// The account of one test, shared by its processes and threads.
#[derive(Debug, Default)]
pub struct Account(Shared<AccountWords>);

impl Account {
    /// Creates an account.
    ///
    /// # Panics
    /// If the system has no memory for it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the account of another process at its [`path`](Self::path).
    ///
    /// # Panics
    /// If it is not there.
    #[must_use]
    pub fn open(path: &str) -> Self {
        Self(Shared::open(path))
    }

    /// Returns the path by which other processes open it, valid for as long as this value lives.
    #[must_use]
    pub fn path(&self) -> String {
        self.0.path()
    }

    /// Waits until `all` processes have called this.
    pub fn meet(&self, all: u64) {
        self.met.fetch_add(1, Release); // partner: the load below by the others
        while self.met.load(Acquire) < all {
            thread::yield_now();
        }
    }

    /// Returns `true` if this round was the last of processes that meet before each. If the time is
    /// over for one of them, they make one more round: none can have begun it without this one.
    #[must_use]
    pub fn ends_tide(&self, round: u64, is_over: bool) -> bool {
        if is_over {
            // Partner: the load below by the others. The first swap decides. Relaxed: `meet`
            // orders.
            let _ = self.stop.compare_exchange(0, round + 1, Relaxed, Relaxed);
        }
        // Partner: the same by others, which `meet` orders before the end of their next round.
        let last = self.stop.load(Relaxed);
        last != 0 && round >= last
    }

    /// Executes one critical section. `me` is not 0 and unique; `after_death` says that the
    /// previous owner may have been stopped at any instruction.
    ///
    /// Relaxed loads and stores, except for noting an error: nothing here may order what the lock
    /// has to order.
    pub fn section(&self, me: u64, round: u64, after_death: bool) {
        let before = self.inside.load(Relaxed);
        self.inside.store(me, Relaxed);
        let count = self.count.load(Relaxed);
        if round % YIELD_EVERY == 0 {
            thread::yield_now();
        }
        self.count.store(count + 1, Relaxed);
        let after = self.inside.load(Relaxed);
        self.inside.store(0, Relaxed);
        if (before != 0 && !after_death) || after != me {
            self.collisions.fetch_add(1, Relaxed);
        }
        if after_death {
            self.recoveries.fetch_add(1, Relaxed);
        }
    }

    /// Returns the count, to be called once all increments are done.
    ///
    /// # Panics
    /// If two processes were in the critical section at one time.
    #[must_use]
    pub fn balance(&self) -> u64 {
        assert_eq!(
            self.collisions.load(Relaxed),
            0,
            "two processes were in the critical section at one time"
        );
        self.count.load(Relaxed)
    }
}

impl Deref for Account {
    type Target = AccountWords;

    fn deref(&self) -> &AccountWords {
        &self.0
    }
}
