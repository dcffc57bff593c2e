//! U: what does a lock cost that nobody else wants?
//!
//! One process takes and gives it back in batches, and counts in shared memory; the median of the
//! batches counts. What the loop and the counting cost by themselves is what "no lock" says.

use shmlock_bench_support::Result;

use super::{Effort, Metric, Unit, float};
use crate::board::Board;
use crate::clock::now;
use crate::contenders::{Contender, Kind, Task};
use crate::memory::Mapping;
use crate::place::{Place, Prepared};
use crate::results::Measured;
use crate::statistics::median;
use crate::worker::section;

pub(super) const METRICS: [Metric; 1] = [("pair", Unit::Time)];

/// How long a batch is, in nanoseconds: long beside reading the clock, short beside a time slice.
const BATCH: u64 = 500_000;

pub(super) fn measure(kind: Kind, effort: Effort) -> Result<Measured> {
    let place = Prepared::new(kind)?;
    let pair = kind.dispatch(Pairs { place: place.place(), batches: effort.pick(11, 51) })?;
    Ok(Measured::values(vec![pair]))
}

struct Pairs<'a> {
    place: &'a Place,
    batches: usize,
}

impl Task for Pairs<'_> {
    type Output = Result<f64>;

    fn run<C: Contender>(self) -> Result<f64> {
        let mut contender = C::open(self.place)?;
        let (board, _descriptor, _path) = Mapping::<Board>::anonymous()?;
        let mut batch = |pairs: u64| -> Result<u64> {
            let begin = now();
            for _ in 0..pairs {
                contender.locked(|| section(&board, 0))?;
            }
            Ok(now() - begin)
        };
        batch(1000)?; // what happens at the first use only
        let pairs = (1000 * BATCH / batch(1000)?.max(1)).max(1);
        let times = (0..self.batches)
            .map(|_| Ok(float(batch(pairs)?) / float(pairs)))
            .collect::<Result<Vec<_>>>()?;
        let done = 2000 + pairs * self.batches as u64;
        if board.counter.0.load(std::sync::atomic::Ordering::Relaxed) != done {
            return Err("one process alone has lost counts".into());
        }
        Ok(median(times))
    }
}
