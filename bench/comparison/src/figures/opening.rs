//! O: the time to open, use and close a lock, and the files left after the last user.
//!
//! The bare futex is the measure: its opening maps a page of an existing file, and nothing else.

use std::fs;

use shmlock_bench_support::Result;

use super::{Effort, Metric, Unit};
use crate::clock::now;
use crate::contenders::{Contender, Kind, Task};
use crate::place::Place;
use crate::prepared::Prepared;
use crate::results::Measured;
use crate::statistics::{float, median};
use crate::team::Keeper;

pub(super) const METRICS: [Metric; 3] =
    [("open+use+close", Unit::Time), ("descriptors", Unit::Count), ("files left", Unit::Count)];

pub(super) fn measure(kind: Kind, effort: Effort) -> Result<Measured> {
    let place = Prepared::new(kind)?;
    // Another process keeps the name alive. In this process a crate might cache the lock.
    let keeper = Keeper::start(kind, place.place())?;
    let mut values =
        kind.dispatch(OpenAndClose { place: place.place(), times: effort.pick(100, 1000) })?;
    drop(keeper);
    // The last user leaves, after a user that was killed.
    kind.dispatch(OpenAndClose { place: place.place(), times: 1 })?;
    values.push(float(place.place().files()? as u64));
    Ok(Measured::values(values))
}

struct OpenAndClose<'a> {
    place: &'a Place,
    times: usize,
}

impl Task for OpenAndClose<'_> {
    type Output = Result<Vec<f64>>;

    fn run<C: Contender>(self) -> Result<Vec<f64>> {
        let times = (0..self.times).map(|_| {
            let begin = now();
            C::open(self.place)?.locked(|| ())?;
            Ok(float(now() - begin))
        });
        let time = median(times.collect::<Result<Vec<_>>>()?);
        let before = descriptors()?;
        let second = C::open(self.place)?;
        let descriptors = descriptors()? - before;
        drop(second);
        Ok(vec![time, float(descriptors)])
    }
}

/// Counts the open descriptors of this process, including that of the directory itself.
fn descriptors() -> Result<u64> {
    Ok(fs::read_dir("/proc/self/fd")?.count() as u64)
}
