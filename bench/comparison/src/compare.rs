//! The program `shmlock-comparison`: all contenders, all figures.

use shmlock_bench_support::Result;

use crate::campaign::Program;
use crate::contenders::Kind;
use crate::figures::Figure;
use crate::figures::Results;
use crate::options::Options;

const PROGRAM: Program = Program {
    help: "\
Measures shmlock beside every other lock that processes can share. All take turns in every round.

usage: shmlock-comparison [OPTION]...

  --quick            little time for each measurement: a smoke test, and rough figures
  --long             also recovery after waiting 10 s, and hand-off to a waiter asleep for 50 ms
  --rounds N         the number of rounds, 1 to 1000                  [default: 3; 1 with --quick]
  --figures LETTERS  the figures: U uncontended, C contended, H hand-off, R recovery,
                     S the Python package's, O opening, W waiting, D draining a crowd
                     of waiters (W and D in 2 rounds at most)         [default: UCHRSOWD]
  --only NAME        only this contender and the references; NAME as in the tables; repeatable
  --json PATH        write every value to PATH, as lines of JSON
  --plots DIRECTORY  draw the figures in DIRECTORY, as SVG
  --help             print this

Exit status: 0; 1 if a lock lost a count, failed or hung, or if no count was lost without a lock;
2 if an option is wrong.
",
    contenders: Kind::COMPARED,
    figures,
    letters: "UCHRSOWD",
    prefix: "",
    at_a_glance: Kind::is_main,
    reference,
};

fn figures(options: &Options) -> Vec<Figure> {
    let contended = [2, 4, 15, 64]
        .into_iter()
        .flat_map(|processes| [false, true].map(|work| Figure::Contended { processes, work }));
    let hand_off = options.asleep().iter().map(|asleep| Figure::HandOff { asleep: *asleep });
    let recovery = [0, 256].into_iter().flat_map(|memory| {
        options.waited().iter().map(move |waited| Figure::Recovery { waited: *waited, memory })
    });
    let (crowds, processes) = options.crowds();
    [Figure::Uncontended]
        .into_iter()
        .chain(contended)
        .chain(hand_off)
        .chain(recovery)
        .chain([Figure::Seed, Figure::Opening, Figure::OpeningAtOnce { processes: 4 }])
        .chain([Figure::Handles { handles: options.handles() }])
        .chain(crowds.into_iter().map(Figure::Waiting))
        .chain([Figure::Draining { processes }])
        .collect()
}

/// Returns the reference: the bare futex, the least cost of a lock that sleeps. Its opening maps a
/// page of a file. Where waiters sleep for long, and it does not recover, the reference is flock.
fn reference(figure: Figure) -> Kind {
    match figure {
        Figure::Recovery { .. } | Figure::Waiting(_) | Figure::Draining { .. } => Kind::Flock,
        _ => Kind::BareFutex,
    }
}

/// Runs the program `shmlock-comparison`.
///
/// # Errors
/// If a lock lost a count, failed or hung, if the control lost none, or if the system fails.
pub fn compare() -> Result<()> {
    match PROGRAM.run()? {
        Some((_, results)) => check_control(&results),
        None => Ok(()),
    }
}

/// Checks that the processes without a lock lost counts; else the check of the counts is blind.
fn check_control(results: &Results) -> Result<()> {
    let contended = results.iter().filter(|(figure, _)| figure.letter() == 'C');
    let of_control: Vec<u64> = contended
        .flat_map(|(_, entries)| &entries.list)
        .filter(|entry| !entry.kind.excludes())
        .map(|entry| entry.measured.lost)
        .collect();
    if !of_control.is_empty() && of_control.iter().sum::<u64>() == 0 {
        return Err("the control lost nothing, so the check of the counts proves nothing".into());
    }
    Ok(())
}
