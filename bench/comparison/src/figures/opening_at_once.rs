//! O, by several processes at once: critical sections a second, each of which opens the lock, uses
//! it and closes it. The name exists all the time.

use shmlock_bench_support::Result;

use super::{Effort, Metric, Unit};
use crate::contenders::Kind;
use crate::results::Measured;
use crate::statistics::float;
use crate::team::{Run, run};
use crate::worker::Duty;

pub(super) const METRICS: [Metric; 3] =
    [("sections", Unit::Rate), ("fewest/most", Unit::Plain), ("CPU/section", Unit::Time)];

pub(super) fn measure(kind: Kind, effort: Effort, processes: usize) -> Result<Measured> {
    let duties = vec![Duty::Openings; processes];
    let outcome =
        run(kind, Run { duties: &duties, window: effort.millis(50, 500), ..Run::default() })?;
    let sections: u64 = outcome.counted.iter().sum();
    let fewest = outcome.counted.iter().min().copied().unwrap_or(0);
    let most = outcome.counted.iter().max().copied().unwrap_or(0).max(1);
    Ok(Measured {
        values: vec![
            float(sections) / outcome.seconds,
            float(fewest) / float(most),
            float(outcome.cpu) / float(sections.max(1)),
        ],
        lost: outcome.lost,
        ..Measured::default()
    })
}
