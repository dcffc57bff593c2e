//! The program `poll_sweep`: shmlock by itself, with one poll interval after the other.
//!
//! A short interval lets a waiter that only polls have the lock sooner, and every waiter notice a
//! death sooner. It costs processor time for as long as somebody waits.

use shmlock_bench_support::Result;

use crate::campaign::Program;
use crate::contenders::Kind;
use crate::figures::Figure;
use crate::options::Options;

const PROGRAM: Program = Program {
    help: "\
Measures what the poll interval of shmlock costs and what it buys. All intervals take turns in every round.

usage: poll_sweep [OPTION]...

  --quick            little time for each: shows that all of it works, and the rough shape
  --long             recovery also of a lock that has been waited for for 10 s
  --rounds N         how often to go round, 1 to 1000                 [default: 3; 1 with --quick]
  --figures LETTERS  which figures: C contended, W waiting, R recovery          [default: CWR]
  --only NAME        only this interval beside the reference, by its name in the tables; may be repeated
  --json PATH        write every value there, as lines of JSON
  --plots DIRECTORY  draw the figures there, as SVG
  --help             print this

Exit status: 0; 1 if a lock lost a count, failed or hung; 2 if an option is wrong.
",
    contenders: Kind::SWEPT,
    figures,
    letters: "CWR",
    prefix: "poll-",
    reference: |_| Kind::OursFutex,
};

fn figures(options: &Options) -> Vec<Figure> {
    [Figure::Contended { processes: 4, work: true }, Figure::Waiting]
        .into_iter()
        .chain(options.waited().iter().map(|waited| Figure::Recovery { waited: *waited }))
        .collect()
}

/// Runs the program.
///
/// # Errors
/// A lock that lost a count, failed or hung; and what the system says.
pub fn sweep() -> Result<()> {
    PROGRAM.run().map(drop)
}
