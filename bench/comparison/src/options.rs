//! Reads the command line.

use std::path::PathBuf;

use shmlock_bench_support::args::Args;

use crate::contenders::Kind;
use crate::crowd::Size;
use crate::worker::{Duty, Orders};

/// The options.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Short measurements.
    pub quick: bool,
    /// Also the measurements that take long.
    pub long: bool,
    /// The number of rounds.
    pub rounds: Option<usize>,
    /// The letters of the figures; `None` for the program's default.
    pub figures: Option<String>,
    /// The contenders beside the references; empty for all.
    pub only: Vec<Kind>,
    /// The file for the values.
    pub json: Option<PathBuf>,
    /// The directory for the plots.
    pub plots: Option<PathBuf>,
    /// A worker's orders. `None` in the coordinator; not in the help text.
    pub worker: Option<Orders>,
}

/// What a program accepts on its command line.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// The help text.
    pub help: &'static str,
    /// The contenders.
    pub contenders: &'static [Kind],
    /// The letters of its figures.
    pub letters: Vec<char>,
}

impl Options {
    /// Returns the options of this program. Exits after `--help` or a wrong option.
    pub(crate) fn from_env(accepted: &Accepted) -> Self {
        Self::read(Args::from_env(), accepted).unwrap_or_else(|message| {
            eprintln!("error: {message}\n(--help lists the options)");
            std::process::exit(2)
        })
    }

    /// Returns the waits of figure R before the kill, in milliseconds.
    pub(crate) fn waited(&self) -> &'static [u64] {
        match (self.long, self.quick) {
            (true, _) => &[1, 10, 1000, 10_000],
            (false, false) => &[1, 10, 1000],
            (false, true) => &[1, 10, 200],
        }
    }

    /// Returns the crowds of figure W, and the number of processes of figure D.
    pub(crate) fn crowds(&self) -> (Vec<Size>, u32) {
        let (many, threads): (u32, &[u32]) =
            if self.quick { (30, &[30]) } else { (1000, &[100, 3500]) };
        let processes = [1, 2, 15, many].map(Size::processes);
        (processes.into_iter().chain(threads.iter().copied().map(Size::threads)).collect(), many)
    }

    /// Returns the number of handles in one process, for figure O.
    pub(crate) fn handles(&self) -> usize {
        if self.quick { 500 } else { 5000 }
    }

    /// Returns the mean sleeps of figure H before a hand-off, in milliseconds; 0 if the waiter has
    /// just arrived. The kernel idles a CPU much sooner. A waiter of shmlock does not probe yet
    /// after 5 ms, and has long begun to after 50 ms.
    pub(crate) fn asleep(&self) -> &'static [u64] {
        if self.long { &[0, 5, 50] } else { &[0, 5] }
    }

    fn read(mut args: Args, accepted: &Accepted) -> Result<Self, String> {
        let mut options = Self::default();
        let (mut board, mut row, mut kind, mut place, mut duty) = (None, 0, None, None, None);
        while let Some(option) = args.option()? {
            match option.as_str() {
                "--quick" => options.quick = true,
                "--long" => options.long = true,
                "--rounds" => options.rounds = Some(args.number(&option, 1..=1000)?),
                "--figures" => {
                    options.figures = Some(letters(args.text(&option)?, &accepted.letters)?);
                }
                "--only" => {
                    options.only.push(contender(&args.text(&option)?, accepted.contenders)?);
                }
                "--json" => options.json = Some(args.text(&option)?.into()),
                "--plots" => options.plots = Some(args.text(&option)?.into()),
                "--worker" => board = Some(args.text(&option)?),
                "--row" => row = args.number(&option, 0..=usize::MAX)?,
                "--kind" => kind = Some(contender(&args.text(&option)?, Kind::ALL)?),
                "--place" => place = Some(args.text(&option)?),
                "--duty" => duty = Duty::from_label(&args.text(&option)?),
                "--help" | "-h" => {
                    print!("{}", accepted.help);
                    std::process::exit(0)
                }
                _ => return Err(format!("there is no option {option:?}")),
            }
        }
        if let (Some(board), Some(kind), Some(place), Some(duty)) = (board, kind, place, duty) {
            options.worker = Some(Orders { board, row, kind, place, duty });
        }
        Ok(options)
    }
}

fn letters(letters: String, known: &[char]) -> Result<String, String> {
    match letters.chars().find(|letter| !known.contains(letter)) {
        Some(letter) => Err(format!("there is no figure {letter:?}")),
        None => Ok(letters),
    }
}

fn contender(name: &str, among: &[Kind]) -> Result<Kind, String> {
    let names =
        || among.iter().map(|kind| format!("{:?}", kind.label())).collect::<Vec<_>>().join(", ");
    let found = among.iter().copied().find(|kind| kind.label() == name);
    found.ok_or_else(|| format!("there is no contender {name:?}; there are {}", names()))
}
