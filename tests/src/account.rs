//! Memory that several processes share beside the lock, in which they note what the lock is
//! supposed to order.

#![allow(unsafe_code, reason = "promises that its words are atomics")]

use std::ops::Deref;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use crate::shared::{self, Shared};

/// The words of an account. All zero at first.
#[repr(C)]
#[derive(Debug)]
pub struct AccountWords {
    /// Counted up without an atomic addition: two who do so at one time lose one.
    pub count: AtomicU64,
    /// Who is in the section; 0 if nobody.
    pub inside: AtomicU64,
    /// How often somebody found another in the section.
    pub collisions: AtomicU64,
    /// How many have arrived at the starting line.
    pub met: AtomicU64,
    /// Not zero: whoever runs without end is to stop.
    pub stop: AtomicU64,
    /// How many sections were entered after a death.
    pub recoveries: AtomicU64,
    /// How many sections the one has finished that may die at any instruction.
    pub done: AtomicU64,
    /// How many rounds of something have been run.
    pub rounds: AtomicU64,
    /// How many files have been made of one name.
    pub births: AtomicU64,
}

/// Every this many sections the holder gives its processor away in the middle: then others really
/// meet a held lock, also on one core.
const YIELD_EVERY: u64 = 8;

// SAFETY: atomics only.
unsafe impl shared::Words for AccountWords {}

/// The account of one test, shared by its processes and threads.
#[derive(Debug, Default)]
pub struct Account(Shared<AccountWords>);

impl Account {
    /// A new one.
    ///
    /// # Panics
    /// If the system has no memory for it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The one at this [`path`](Self::path), of another process.
    ///
    /// # Panics
    /// If it is not there.
    #[must_use]
    pub fn open(path: &str) -> Self {
        Self(Shared::open(path))
    }

    /// Where other processes find it, for as long as this one lives.
    #[must_use]
    pub fn path(&self) -> String {
        self.0.path()
    }

    /// Waits until `all` have come this far.
    pub fn meet(&self, all: u64) {
        self.met.fetch_add(1, Relaxed);
        while self.met.load(Relaxed) < all {
            thread::yield_now();
        }
    }

    /// What is to be done by one at a time. `me` is not 0 and nobody else's; `after_death` says
    /// that the one before may have been stopped at any instruction.
    ///
    /// Plain loads and stores, but for noting a mistake: nothing here may order what the lock has
    /// to order.
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

    /// The count, once nobody adds to it any more.
    ///
    /// # Panics
    /// If two were in the section at one time.
    #[must_use]
    pub fn balance(&self) -> u64 {
        assert_eq!(self.collisions.load(Relaxed), 0, "two were in the section at one time");
        self.count.load(Relaxed)
    }
}

impl Deref for Account {
    type Target = AccountWords;

    fn deref(&self) -> &AccountWords {
        &self.0
    }
}
