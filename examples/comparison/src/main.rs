//! How fast is shmlock beside every other lock that processes can share?
//!
//! Real processes, found again by arguments; all contenders take turns in every round, beginning with another one each
//! time; the counter under the lock is checked after every run. Read ratios, not absolutes, and those of a quiet machine.
//!
//! ```text
//! cargo run --release -p shmlock-comparison              # under 4 minutes on two cores
//! cargo run --release -p shmlock-comparison -- --quick   # under 40 seconds: shows that it works
//! ```
//!
//! | file | its question |
//! |---|---|
//! | [`options`] | what is it asked to do? |
//! | [`contenders`] | who takes part? |
//! | [`figures`] | which questions are asked of each? |
//! | [`team`], [`worker`], [`board`], [`work`] | who starts the processes, what do they do and share? |
//! | [`place`], [`memory`] | where are the files, and what is in them? |
//! | [`clock`], [`machine`], [`watchdog`] | what time is it, who else is here, what if something hangs? |
//! | [`histogram`], [`statistics`], [`results`] | what do many values say? |
//! | [`table`], [`json`] | who reads it, and how? |

mod board;
mod clock;
mod contenders;
mod figures;
mod histogram;
mod json;
mod machine;
mod memory;
mod options;
mod place;
mod results;
mod statistics;
mod table;
mod team;
mod watchdog;
mod work;
mod worker;

use std::fs;
use std::io::{IsTerminal, stderr};

use shmlock_examples::Result;

use contenders::Kind;
use figures::{Effort, Figure};
use machine::{Machine, Watch};
use options::Options;
use results::{Entries, Entry};
use watchdog::Watchdog;

fn main() -> Result<()> {
    let options = Options::from_env();
    match &options.worker {
        Some(orders) => worker::run(orders),
        None => lead(&options),
    }
}

/// What the program does that the user started.
fn lead(options: &Options) -> Result<()> {
    watchdog::tidy_up_on_signals();
    let watch = Watch::start();
    let effort = Effort { quick: options.quick, microsecond: work::turns_of_a_microsecond() };
    let rounds = options.rounds.unwrap_or(effort.pick(1, 3));
    let figures = Figure::all(options.figures.as_deref().unwrap_or("UCSO"));
    let begin = watch.read();
    println!("Linux {}, {}, {} cores, rounds: {rounds}", begin.kernel, begin.processor, begin.cores);
    println!("load at the beginning: {}", begin.load);

    let mut all: Vec<Entries> = figures.iter().map(|_| Entries::default()).collect();
    let contenders = take_part(options.only);
    let watchdog = Watchdog::start();
    for round in 1..=rounds {
        for (figure, entries) in figures.iter().zip(&mut all) {
            measure_round(*figure, round, &contenders, effort, &watchdog, entries)?;
        }
    }
    drop(watchdog);
    show_progress("");

    let machine = watch.read();
    for (figure, entries) in figures.iter().zip(&all) {
        println!("{}", table::table(*figure, entries));
    }
    println!("\nload at the end: {}; others kept {:.2} cores busy", machine.load, machine.others);
    if !machine.is_quiet() {
        println!("WARNING: the machine was not quiet, so these figures are not worth much");
    }
    if let Some(path) = &options.json {
        fs::write(path, as_json(&machine, &figures, &all))?;
    }
    check_the_control(&contenders, &figures, &all)
}

/// Those that this system has; says who stays away, and why.
fn take_part(only: Option<Kind>) -> Vec<Kind> {
    let wanted = |kind: &Kind| only.is_none_or(|only| [only, Kind::REFERENCE].contains(kind));
    let works = |kind: &Kind| match place::Prepared::new(*kind) {
        Ok(_) => true,
        Err(error) => {
            println!("not on this system: {}: {error:?}", kind.label());
            false
        }
    };
    Kind::ALL.iter().copied().filter(wanted).filter(works).collect()
}

/// One figure, for all contenders in turn. Each round begins with another one, for the first may have it harder.
fn measure_round(
    figure: Figure,
    round: usize,
    contenders: &[Kind],
    effort: Effort,
    watchdog: &Watchdog,
    entries: &mut Entries,
) -> Result<()> {
    let mut turns: Vec<Kind> = contenders.iter().copied().filter(|kind| figure.suits(*kind)).collect();
    let first = round % turns.len().max(1);
    turns.rotate_left(first);
    for kind in turns {
        let label = format!("round {round}, {}, {}", figure.title(), kind.label());
        show_progress(&label);
        watchdog.begins(&label);
        let (values, lost) = figure.measure(kind, effort).map_err(|error| format!("{label}: {error:?}"))?;
        entries.0.push(Entry { round, kind, values, lost });
    }
    Ok(())
}

/// If many processes without a lock have lost nothing, then our check of the counts sees nothing.
fn check_the_control(contenders: &[Kind], figures: &[Figure], all: &[Entries]) -> Result<()> {
    let contended = figures.iter().any(|figure| figure.letter() == 'C');
    let of_control = all.iter().flat_map(|entries| &entries.0).filter(|entry| !entry.kind.excludes());
    let lost: u64 = of_control.map(|entry| entry.lost).sum();
    if contended && lost == 0 && contenders.iter().any(|kind| !kind.excludes()) {
        return Err("the control lost nothing, so the check of the counts is worth nothing".into());
    }
    Ok(())
}

fn as_json(machine: &Machine, figures: &[Figure], all: &[Entries]) -> String {
    let lines = figures.iter().zip(all).map(|(figure, entries)| json::lines(*figure, entries));
    json::head(machine) + &lines.collect::<String>()
}

/// A line that the next one replaces. On terminals only.
fn show_progress(text: &str) {
    if stderr().is_terminal() {
        eprint!("\r\x1b[K{text}");
    }
}
