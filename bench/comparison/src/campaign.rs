//! Runs the rounds: in each, every figure is measured for all contenders in turn.

use std::fs;

use shmlock_bench_support::Result;

use crate::contenders::Kind;
use crate::figures::{Effort, Figure, Results};
use crate::machine::{Machine, Watch};
use crate::options::{Accepted, Options};
use crate::progress::Progress;
use crate::results::{Entries, Entry};
use crate::watchdog::{self, Watchdog};
use crate::{json, limits, overview, plots, prepared, table, work, worker};

/// The definition of a program.
#[derive(Debug)]
pub(crate) struct Program {
    /// The help text.
    pub help: &'static str,
    /// The contenders, in the order of the tables.
    pub contenders: &'static [Kind],
    /// All its figures.
    pub figures: fn(&Options) -> Vec<Figure>,
    /// The letters of the figures it measures by default.
    pub letters: &'static str,
    /// The prefix of its plots' names.
    pub prefix: &'static str,
    /// Selects the contenders of the plots that are to be read at a glance.
    pub at_a_glance: fn(Kind) -> bool,
    /// Returns the reference of a figure.
    pub reference: fn(Figure) -> Kind,
}

impl Program {
    /// Runs the program, and returns its results. A worker runs its duty, and returns `None`.
    pub(crate) fn run(&self) -> Result<Option<(Options, Results)>> {
        let figures = (self.figures)(&Options::default());
        let options = Options::from_env(&Accepted {
            help: self.help,
            contenders: self.contenders,
            letters: figures.iter().map(|figure| figure.letter()).collect(),
        });
        if let Some(orders) = &options.worker {
            worker::run(orders)?;
            return Ok(None);
        }
        watchdog::tidy_up_on_signals();
        limits::raise_descriptors();
        let watch = Watch::start();
        let effort = Effort { quick: options.quick, microsecond: work::turns_of_a_microsecond() };
        let rounds = options.rounds.unwrap_or(effort.pick(1, 3));
        print_machine(&watch.read(), rounds);

        let contenders = self.available(&options.only);
        let mut all = self.results(&options);
        let turns = |(figure, _): &(Figure, _)| {
            let suited = contenders.iter().filter(|kind| figure.suits(**kind)).count();
            suited * rounds.min(figure.most_rounds())
        };
        let mut turns = Turns {
            effort,
            watchdog: Watchdog::start(),
            progress: Progress::of(all.iter().map(turns).sum()),
        };
        for round in 1..=rounds {
            for (figure, entries) in &mut all {
                if round > figure.most_rounds() {
                    continue;
                }
                turns.run(*figure, round, &contenders, entries)?;
            }
        }
        drop(turns);
        self.report(&watch.read(), &all, &options)?;
        Ok(Some((options, all)))
    }

    /// Returns the wanted contenders that this system supports; prints the others, with the error.
    fn available(&self, only: &[Kind]) -> Vec<Kind> {
        let is_reference = |kind: &Kind| {
            (self.figures)(&Options::default()).iter().any(|f| (self.reference)(*f) == *kind)
        };
        let wanted = |kind: &Kind| only.is_empty() || only.contains(kind) || is_reference(kind);
        let works = |kind: &Kind| match prepared::Prepared::new(*kind) {
            Ok(_) => true,
            Err(error) => {
                println!("not on this system: {}: {error:?}", kind.label());
                false
            }
        };
        self.contenders.iter().copied().filter(wanted).filter(works).collect()
    }

    /// Returns the wanted figures, without entries.
    fn results(&self, options: &Options) -> Results {
        let letters = options.figures.as_deref().unwrap_or(self.letters);
        let wanted =
            (self.figures)(options).into_iter().filter(|figure| letters.contains(figure.letter()));
        wanted.map(|figure| (figure, Entries::beside((self.reference)(figure)))).collect()
    }

    /// Prints the tables, and writes the values and the plots where the options ask for them.
    fn report(&self, machine: &Machine, all: &Results, options: &Options) -> Result<()> {
        let by_itself = |(figure, _): &&(Figure, _)| !overview::has(*figure);
        for (figure, entries) in all.iter().filter(by_itself) {
            println!("{}", table::table(*figure, entries));
        }
        if let Some(overview) = overview::waiting(all) {
            println!("{overview}");
        }
        println!(
            "\nload at the end: {}; others kept {:.2} cores busy",
            machine.load, machine.others
        );
        if !machine.is_quiet() {
            println!(
                "WARNING: other processes were busy, so these figures are unreliable; \
                 repeat them on a quiet machine"
            );
        }
        if let Some(path) = &options.json {
            let lines = all.iter().map(|(figure, entries)| json::lines(*figure, entries));
            fs::write(path, json::head(machine) + &lines.collect::<String>())?;
        }
        if let Some(directory) = &options.plots {
            plots::draw(all, directory, self.prefix, self.at_a_glance)?;
        }
        Ok(())
    }
}

/// Runs the turns, with progress and watchdog.
struct Turns {
    effort: Effort,
    watchdog: Watchdog,
    progress: Progress,
}

impl Turns {
    /// Measures one figure for all contenders in turn. Each round begins with another contender, as
    /// the first may be at a disadvantage.
    fn run(
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

fn print_machine(machine: &Machine, rounds: usize) {
    println!(
        "Linux {}, {}, {} cores, rounds: {rounds}",
        machine.kernel, machine.processor, machine.cores
    );
    println!("load at the beginning: {}", machine.load);
}
