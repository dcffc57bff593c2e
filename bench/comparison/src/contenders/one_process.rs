//! What do mutexes cost that only threads of one process can share? They take part in the
//! uncontended figure alone.

use std::sync::{Mutex, PoisonError};

use shmlock_bench_support::Result;

use super::Contender;
use crate::place::Place;

/// The standard library's.
#[derive(Debug)]
pub(crate) struct Std(Mutex<()>);

impl Contender for Std {
    fn open(_place: &Place) -> Result<Self> {
        Ok(Self(Mutex::new(())))
    }

    #[inline]
    fn locked<R>(&mut self, section: impl FnOnce() -> R) -> Result<R> {
        let mutex = &self.0; // through a shared reference, as its users have it
        let _guard = mutex.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(section())
    }
}

/// `parking_lot`'s.
#[derive(Debug)]
pub(crate) struct ParkingLot(parking_lot::Mutex<()>);

impl Contender for ParkingLot {
    fn open(_place: &Place) -> Result<Self> {
        Ok(Self(parking_lot::Mutex::new(())))
    }

    #[inline]
    fn locked<R>(&mut self, section: impl FnOnce() -> R) -> Result<R> {
        let mutex = &self.0;
        let _guard = mutex.lock();
        Ok(section())
    }
}
