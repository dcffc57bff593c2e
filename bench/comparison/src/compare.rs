//! The program `shmlock-comparison`: all contenders, all figures.

use shmlock_bench_support::Result;

use crate::campaign::{Program, Results};
use crate::contenders::Kind;
use crate::figures::Figure;
use crate::options::Options;

const PROGRAM: Program = Program {
    help: "\
Measures shmlock beside every other lock that processes can share. All take turns in every round.

usage: shmlock-comparison [OPTION]...

  --quick            little time for each: shows that all of it works, and the rough shape
  --long             recovery also of a lock that has been waited for for 10 s, hand-off also to one asleep for 50 ms
  --rounds N         how often to go round, 1 to 1000                 [default: 3; 1 with --quick]
  --figures LETTERS  which figures: U uncontended, C contended, H hand-off, R recovery, S the Python package's,
                     O opening, W waiting                             [default: UCHRSO]
  --only NAME        only this contender beside the references, by its name in the tables; may be repeated
  --json PATH        write every value there, as lines of JSON
  --plots DIRECTORY  draw the figures there, as SVG
  --help             print this

Exit status: 0; 1 if a lock lost a count, failed or hung, or the control lost none; 2 if an option is wrong.
",
    contenders: Kind::COMPARED,
    figures,
    letters: "UCHRSO",
    prefix: "",
    reference,
};

fn figures(options: &Options) -> Vec<Figure> {
    let contended = [2, 4, 15, 64]
        .into_iter()
        .flat_map(|processes| [false, true].map(|work| Figure::Contended { processes, work }));
    let hand_off = options.asleep().iter().map(|asleep| Figure::HandOff { asleep: *asleep });
    let recovery = options.waited().iter().map(|waited| Figure::Recovery { waited: *waited });
    [Figure::Uncontended]
        .into_iter()
        .chain(contended)
        .chain(hand_off)
        .chain(recovery)
        .chain([Figure::Waiting, Figure::Seed, Figure::Opening])
        .collect()
}

/// The plain limit for a lock that sleeps. It does not recover, so there it is the C library's that
/// does.
fn reference(figure: Figure) -> Kind {
    match figure {
        Figure::Recovery { .. } => Kind::Robust,
        _ => Kind::BareFutex,
    }
}

/// Runs the program.
///
/// # Errors
/// A lock that lost a count, failed or hung; a control that lost none; and what the system says.
pub fn compare() -> Result<()> {
    match PROGRAM.run()? {
        Some((_, results)) => check_the_control(&results),
        None => Ok(()),
    }
}

/// If many processes without a lock have lost nothing, then our check of the counts sees nothing.
fn check_the_control(results: &Results) -> Result<()> {
    let contended = results.iter().filter(|(figure, _)| figure.letter() == 'C');
    let of_control: Vec<u64> = contended
        .flat_map(|(_, entries)| &entries.list)
        .filter(|entry| !entry.kind.excludes())
        .map(|entry| entry.measured.lost)
        .collect();
    if !of_control.is_empty() && of_control.iter().sum::<u64>() == 0 {
        return Err("the control lost nothing, so the check of the counts is worth nothing".into());
    }
    Ok(())
}
