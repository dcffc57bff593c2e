//! Whose turn is it? In every round each figure is asked of all contenders, one after the other.

use std::fs;

use shmlock_bench_support::Result;

use crate::contenders::Kind;
use crate::figures::{Effort, Figure};
use crate::machine::{Machine, Watch};
use crate::options::Options;
use crate::progress::Progress;
use crate::results::{Entries, Entry};
use crate::watchdog::{self, Watchdog};
use crate::{json, place, plots, table, work, worker};

/// What one of the programs measures.
#[derive(Debug)]
pub(crate) struct Program {
    /// What it says of itself.
    pub help: &'static str,
    /// The contenders, in the order of the tables.
    pub contenders: &'static [Kind],
    /// All the figures it knows.
    pub figures: fn(&Options) -> Vec<Figure>,
    /// The letters of those it measures if none are asked for.
    pub letters: &'static str,
    /// What the names of its plots begin with.
    pub prefix: &'static str,
    /// What the contenders are compared with in this figure.
    pub reference: fn(Figure) -> Kind,
}

/// What came out of it, by figure.
pub(crate) type Results = Vec<(Figure, Entries)>;

impl Program {
    /// Does what the command line says. `None` in a worker, which has done its part by then.
    pub(crate) fn run(&self) -> Result<Option<(Options, Results)>> {
        let options = Options::from_env(self);
        if let Some(orders) = &options.worker {
            worker::run(orders)?;
            return Ok(None);
        }
        watchdog::tidy_up_on_signals();
        let watch = Watch::start();
        let effort = Effort { quick: options.quick, microsecond: work::turns_of_a_microsecond() };
        let rounds = options.rounds.unwrap_or(effort.pick(1, 3));
        say_where(&watch.read(), rounds);

        let contenders = self.take_part(&options.only);
        let mut all = self.results(&options);
        let turns = |(figure, _): &(Figure, _)| {
            contenders.iter().filter(|kind| figure.suits(**kind)).count()
        };
        let mut turns = Turns {
            effort,
            watchdog: Watchdog::start(),
            progress: Progress::of(rounds * all.iter().map(turns).sum::<usize>()),
        };
        for round in 1..=rounds {
            for (figure, entries) in &mut all {
                turns.take(*figure, round, &contenders, entries)?;
            }
        }
        drop(turns);
        self.report(&watch.read(), &all, &options)?;
        Ok(Some((options, all)))
    }

    /// Those that this system has; says who stays away, and why.
    fn take_part(&self, only: &[Kind]) -> Vec<Kind> {
        let is_reference = |kind: &Kind| {
            (self.figures)(&Options::default()).iter().any(|f| (self.reference)(*f) == *kind)
        };
        let wanted = |kind: &Kind| only.is_empty() || only.contains(kind) || is_reference(kind);
        let works = |kind: &Kind| match place::Prepared::new(*kind) {
            Ok(_) => true,
            Err(error) => {
                println!("not on this system: {}: {error:?}", kind.label());
                false
            }
        };
        self.contenders.iter().copied().filter(wanted).filter(works).collect()
    }

    /// The figures that are asked for, without any entries yet.
    fn results(&self, options: &Options) -> Results {
        let letters = options.figures.as_deref().unwrap_or(self.letters);
        let wanted =
            (self.figures)(options).into_iter().filter(|figure| letters.contains(figure.letter()));
        wanted.map(|figure| (figure, Entries::beside((self.reference)(figure)))).collect()
    }

    /// For people, for programs, and for documents.
    fn report(&self, machine: &Machine, all: &Results, options: &Options) -> Result<()> {
        for (figure, entries) in all {
            println!("{}", table::table(*figure, entries));
        }
        println!(
            "\nload at the end: {}; others kept {:.2} cores busy",
            machine.load, machine.others
        );
        if !machine.is_quiet() {
            println!("WARNING: the machine was not quiet, so these figures are not worth much");
        }
        if let Some(path) = &options.json {
            let lines = all.iter().map(|(figure, entries)| json::lines(*figure, entries));
            fs::write(path, json::head(machine) + &lines.collect::<String>())?;
        }
        if let Some(directory) = &options.plots {
            plots::draw(all, directory, self.prefix)?;
        }
        Ok(())
    }
}

/// Who sees to it that the turns go on.
struct Turns {
    effort: Effort,
    watchdog: Watchdog,
    progress: Progress,
}

impl Turns {
    /// One figure, for all contenders in turn. Each round begins with another one, for the first
    /// may have it harder.
    fn take(
        &mut self,
        figure: Figure,
        round: usize,
        contenders: &[Kind],
        entries: &mut Entries,
    ) -> Result<()> {
        let mut turns: Vec<Kind> =
            contenders.iter().copied().filter(|kind| figure.suits(*kind)).collect();
        let first = round % turns.len().max(1);
        turns.rotate_left(first);
        for kind in turns {
            let label = format!("round {round}, {}, {}", figure.title(), kind.label());
            self.progress.begins(&label);
            self.watchdog.begins(&label);
            let measured =
                figure.measure(kind, self.effort).map_err(|error| format!("{label}: {error:?}"))?;
            entries.list.push(Entry { round, kind, measured });
        }
        Ok(())
    }
}

fn say_where(machine: &Machine, rounds: usize) {
    println!(
        "Linux {}, {}, {} cores, rounds: {rounds}",
        machine.kernel, machine.processor, machine.cores
    );
    println!("load at the beginning: {}", machine.load);
}
