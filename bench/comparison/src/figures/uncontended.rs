//! U: the time of a lock and unlock without contention.
//!
//! One process acquires and releases the lock in batches, and counts in shared memory. The value is
//! the median of the batches. It includes the loop and the counting, which "no lock" measures.

use shmlock_bench_support::Result;

use super::{Effort, Metric, Unit};
use crate::board::Board;
use crate::clock::now;
use crate::contenders::{Contender, Kind, Task};
use crate::memory::Mapping;
use crate::place::Place;
use crate::prepared::Prepared;
use crate::results::Measured;
use crate::section::critical_section;
use crate::statistics::{float, median};

pub(super) const METRICS: [Metric; 1] = [("pair", Unit::Time)];

/// The length of a batch in nanoseconds: long compared with a clock read, short compared with a
/// time slice.
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
                contender.locked(|| critical_section(&board, 0))?;
            }
            Ok(now() - begin)
        };
        batch(1000)?; // the costs of the first use
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
