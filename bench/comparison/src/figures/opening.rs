//! O: what does it cost to come and go? And what is left when all have gone?

use std::fs;

use shmlock_bench_support::Result;

use super::{Effort, Metric, Unit, float};
use crate::clock::now;
use crate::contenders::{Contender, Kind, Task};
use crate::place::{Place, Prepared};
use crate::results::Measured;
use crate::statistics::median;
use crate::team::Keeper;

pub(super) const METRICS: [Metric; 3] =
    [("open+use+close", Unit::Time), ("descriptors", Unit::Count), ("files left", Unit::Count)];

pub(super) fn measure(kind: Kind, effort: Effort) -> Result<Measured> {
    let place = Prepared::new(kind)?;
    // Another process has it open, so the name exists all the time. In ours a crate might remember
    // it.
    let keeper = Keeper::start(kind, place.place())?;
    let mut values =
        kind.dispatch(ComeAndGo { place: place.place(), times: effort.pick(100, 1000) })?;
    drop(keeper);
    kind.dispatch(ComeAndGo { place: place.place(), times: 1 })?; // the last one out, after one who was killed
    values.push(float(place.place().files()? as u64));
    Ok(Measured::values(values))
}

struct ComeAndGo<'a> {
    place: &'a Place,
    times: usize,
}

impl Task for ComeAndGo<'_> {
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

/// How many this process has open, one for the look included.
fn descriptors() -> Result<u64> {
    Ok(fs::read_dir("/proc/self/fd")?.count() as u64)
}
