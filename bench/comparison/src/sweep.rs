//! The program `poll_sweep`: shmlock by itself, with several poll intervals.
//!
//! With a short interval a polling waiter acquires the lock sooner, and every waiter notices a
//! death sooner. The price is processor time during each wait.

use shmlock_bench_support::Result;

use crate::campaign::Program;
use crate::contenders::Kind;
use crate::figures::Figure;
use crate::figures::waiting::SWEPT;
use crate::options::Options;

const PROGRAM: Program = Program {
    help: "\
Measures the cost and the benefit of shmlock's poll interval. All intervals take turns in every
round.

usage: poll_sweep [OPTION]...

  --quick            little time for each measurement: a smoke test, and rough figures
  --long             also recovery after waiting 10 s
  --rounds N         the number of rounds, 1 to 1000                  [default: 3; 1 with --quick]
  --figures LETTERS  the figures: C contended, W waiting, R recovery            [default: CWR]
  --only NAME        only this interval and the reference; NAME as in the tables; repeatable
  --json PATH        write every value to PATH, as lines of JSON
  --plots DIRECTORY  draw the figures in DIRECTORY, as SVG
  --help             print this

Exit status: 0; 1 if a lock lost a count, failed or hung; 2 if an option is wrong.
",
    contenders: Kind::SWEPT,
    figures,
    letters: "CWR",
    prefix: "poll-",
    at_a_glance: |_| true,
    reference: |_| Kind::OursFutex,
};

fn figures(options: &Options) -> Vec<Figure> {
    [Figure::Contended { processes: 4, work: true }, Figure::Waiting(SWEPT)]
        .into_iter()
        .chain(
            options.waited().iter().map(|waited| Figure::Recovery { waited: *waited, memory: 0 }),
        )
        .collect()
}

/// Runs the program `poll_sweep`.
///
/// # Errors
/// If a lock lost a count, failed or hung, or if the system fails.
pub fn sweep() -> Result<()> {
    PROGRAM.run().map(drop)
}
