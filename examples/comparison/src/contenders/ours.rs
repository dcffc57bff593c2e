//! How is shmlock used here? As its README shows: by guards, with the defaults, but for the wait strategy.

use std::time::Duration;

use shmlock::{Builder, ShmLock, WaitStrategy};
use shmlock_examples::Result;

use super::Contender;
use crate::place::Place;

fn builder(place: &Place) -> Builder {
    ShmLock::builder("lock").directory(place.directory())
}

#[inline]
fn locked<R>(lock: &ShmLock, section: impl FnOnce() -> R) -> Result<R> {
    let _guard = lock.lock()?;
    Ok(section())
}

/// Sleeps in the futex.
#[derive(Debug)]
pub(crate) struct Futex(ShmLock);

impl Contender for Futex {
    fn open(place: &Place) -> Result<Self> {
        Ok(Self(builder(place).open()?))
    }

    #[inline]
    fn locked<R>(&mut self, section: impl FnOnce() -> R) -> Result<R> {
        locked(&self.0, section)
    }
}

/// Sleeps for so many milliseconds at a time.
#[derive(Debug)]
pub(crate) struct Poll<const INTERVAL: u64>(ShmLock);

impl<const INTERVAL: u64> Contender for Poll<INTERVAL> {
    fn open(place: &Place) -> Result<Self> {
        let builder = builder(place).wait_strategy(WaitStrategy::SleepPolling);
        Ok(Self(builder.poll_interval(Duration::from_millis(INTERVAL)).open()?))
    }

    #[inline]
    fn locked<R>(&mut self, section: impl FnOnce() -> R) -> Result<R> {
        locked(&self.0, section)
    }
}
