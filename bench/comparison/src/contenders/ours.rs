//! How is shmlock used here? As its README shows: by guards, with the defaults, but for what a
//! [`Manner`] changes.

use std::marker::PhantomData;
use std::time::Duration;

use shmlock::{Builder, ShmLock, WaitStrategy};
use shmlock_bench_support::Result;

use super::Contender;
use crate::place::Place;

/// What one of ours does otherwise than the defaults. A new one needs this and a line in
/// `contenders!`.
pub(crate) trait Manner {
    /// Whether it asks, each time, whether an owner has died, as who mends data after a death has
    /// to.
    const ASKS: bool = false;

    /// Changes the defaults.
    fn apply(builder: Builder) -> Builder {
        builder
    }
}

/// The defaults: sleeps in the futex.
#[derive(Debug)]
pub(crate) struct Futex;

impl Manner for Futex {}

/// The defaults, and asks for deaths. Robust mutexes of the C library answer that without being
/// asked.
#[derive(Debug)]
pub(crate) struct Asking;

impl Manner for Asking {
    const ASKS: bool = true;
}

/// Sleeps for so many milliseconds at a time, and is not woken.
#[derive(Debug)]
pub(crate) struct Poll<const INTERVAL: u64>;

impl<const INTERVAL: u64> Manner for Poll<INTERVAL> {
    fn apply(builder: Builder) -> Builder {
        builder
            .wait_strategy(WaitStrategy::SleepPolling)
            .poll_interval(Duration::from_millis(INTERVAL))
    }
}

/// An open lock.
#[derive(Debug)]
pub(crate) struct Ours<M>(ShmLock, PhantomData<M>);

impl<M: Manner> Contender for Ours<M> {
    fn open(place: &Place) -> Result<Self> {
        let builder = ShmLock::builder("lock").directory(place.directory());
        Ok(Self(M::apply(builder).open()?, PhantomData))
    }

    #[inline]
    fn locked<R>(&mut self, section: impl FnOnce() -> R) -> Result<R> {
        let guard = self.0.lock()?;
        if M::ASKS && guard.recovered().is_some() {
            guard.declare_consistent()?;
        }
        Ok(section())
    }
}
