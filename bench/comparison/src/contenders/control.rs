//! No lock: the cost of the measurement itself, and the proof that a loss of counts is seen.

use shmlock_bench_support::Result;

use super::Contender;
use crate::place::Place;

/// Excludes no process.
#[derive(Debug)]
pub(crate) struct Control;

impl Contender for Control {
    fn open(_place: &Place) -> Result<Self> {
        Ok(Self)
    }

    #[inline]
    fn locked<R>(&mut self, critical_section: impl FnOnce() -> R) -> Result<R> {
        Ok(critical_section())
    }
}
