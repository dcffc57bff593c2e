//! Mutexes for the threads of one process. They take part in the uncontended figure only.

use std::sync::{Mutex, PoisonError};

use shmlock_bench_support::Result;

use super::Contender;
use crate::place::Place;

/// The standard library's mutex.
#[derive(Debug)]
pub(crate) struct Std(Mutex<()>);

impl Contender for Std {
    fn open(_place: &Place) -> Result<Self> {
        Ok(Self(Mutex::new(())))
    }

    #[inline]
    fn locked<R>(&mut self, critical_section: impl FnOnce() -> R) -> Result<R> {
        let mutex = &self.0; // as users have it: a mutable one needs no locking
        let _guard = mutex.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(critical_section())
    }
}

/// The mutex of `parking_lot`.
#[derive(Debug)]
pub(crate) struct ParkingLot(parking_lot::Mutex<()>);

impl Contender for ParkingLot {
    fn open(_place: &Place) -> Result<Self> {
        Ok(Self(parking_lot::Mutex::new(())))
    }

    #[inline]
    fn locked<R>(&mut self, critical_section: impl FnOnce() -> R) -> Result<R> {
        let mutex = &self.0;
        let _guard = mutex.lock();
        Ok(critical_section())
    }
}
