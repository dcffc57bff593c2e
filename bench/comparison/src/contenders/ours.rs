//! shmlock as its README shows it: guards, and the defaults but for the changes of a [`Variant`].

use std::marker::PhantomData;
use std::time::Duration;

use shmlock::{Builder, ShmLock, WaitStrategy};
use shmlock_bench_support::Result;

use super::Contender;
use crate::place::Place;

/// A variant of shmlock, by its differences to the defaults. A new variant also needs a line in
/// `contenders!`.
pub(crate) trait Variant {
    /// Asks after each acquisition whether an owner died, as users do that repair data.
    const ASKS: bool = false;

    /// Changes the defaults.
    fn apply(builder: Builder) -> Builder {
        builder
    }
}

/// The defaults: waiters sleep in the futex.
#[derive(Debug)]
pub(crate) struct Futex;

impl Variant for Futex {}

/// The defaults, and asks for deaths, which the C library's robust mutexes report unasked.
#[derive(Debug)]
pub(crate) struct Asking;

impl Variant for Asking {
    const ASKS: bool = true;
}

/// Waiters sleep for this many milliseconds at a time, and are not woken.
#[derive(Debug)]
pub(crate) struct Poll<const INTERVAL: u64>;

impl<const INTERVAL: u64> Variant for Poll<INTERVAL> {
    fn apply(builder: Builder) -> Builder {
        builder
            .wait_strategy(WaitStrategy::SleepPolling)
            .poll_interval(Duration::from_millis(INTERVAL))
    }
}

/// An open lock.
#[derive(Debug)]
pub(crate) struct Ours<M>(ShmLock, PhantomData<M>);

impl<M: Variant> Contender for Ours<M> {
    fn open(place: &Place) -> Result<Self> {
        let builder = ShmLock::builder("lock").directory(place.directory());
        Ok(Self(M::apply(builder).open()?, PhantomData))
    }

    #[inline]
    fn locked<R>(&mut self, critical_section: impl FnOnce() -> R) -> Result<R> {
        let guard = self.0.lock()?;
        if M::ASKS && guard.recovered().is_some() {
            guard.declare_consistent()?;
        }
        Ok(critical_section())
    }
}
