//! What does it cost without any lock? And does our check see the loss?

use shmlock_bench_support::Result;

use super::Contender;
use crate::place::Place;

/// Lets everybody in.
#[derive(Debug)]
pub(crate) struct Control;

impl Contender for Control {
    fn open(_place: &Place) -> Result<Self> {
        Ok(Self)
    }

    #[inline]
    fn locked<R>(&mut self, section: impl FnOnce() -> R) -> Result<R> {
        Ok(section())
    }
}
