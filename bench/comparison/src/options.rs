//! What is the program asked to do?

use std::path::PathBuf;

use shmlock_bench_support::args::Args;

use crate::campaign::Program;
use crate::contenders::Kind;
use crate::worker::{Duty, Orders};

/// The command line.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Whether to take little time.
    pub quick: bool,
    /// Whether to take the time for what takes long.
    pub long: bool,
    /// How often to go round.
    pub rounds: Option<usize>,
    /// Which figures; none for the usual ones.
    pub figures: Option<String>,
    /// The only contenders beside the references; none for all.
    pub only: Vec<Kind>,
    /// Where to write the values.
    pub json: Option<PathBuf>,
    /// The directory in which to draw them.
    pub plots: Option<PathBuf>,
    /// Only in a worker, and in no help text.
    pub worker: Option<Orders>,
}

impl Options {
    /// What this program was called with. Ends it if that was a cry for help, or wrong.
    pub(crate) fn from_env(program: &Program) -> Self {
        Self::read(Args::from_env(), program).unwrap_or_else(|message| {
            eprintln!("error: {message}\n(--help lists the options)");
            std::process::exit(2)
        })
    }

    /// How long the waiters of figure R have waited, in milliseconds.
    pub(crate) fn waited(&self) -> &'static [u64] {
        match (self.long, self.quick) {
            (true, _) => &[10, 1000, 10_000],
            (false, false) => &[10, 1000],
            (false, true) => &[10, 200],
        }
    }

    /// How long the waiters of figure H have been asleep, in milliseconds: many times as long as
    /// the kernel takes to put a core to rest, and with ours once before the watch begins and once
    /// long after.
    pub(crate) fn asleep(&self) -> &'static [u64] {
        if self.long { &[0, 5, 50] } else { &[0, 5] }
    }

    fn read(mut args: Args, program: &Program) -> Result<Self, String> {
        let mut options = Self::default();
        let (mut board, mut row, mut kind, mut place, mut duty) = (None, 0, None, None, None);
        while let Some(option) = args.option()? {
            match option.as_str() {
                "--quick" => options.quick = true,
                "--long" => options.long = true,
                "--rounds" => options.rounds = Some(args.number(&option, 1..=1000)?),
                "--figures" => options.figures = Some(letters(args.text(&option)?, program)?),
                "--only" => options.only.push(contender(&args.text(&option)?, program.contenders)?),
                "--json" => options.json = Some(args.text(&option)?.into()),
                "--plots" => options.plots = Some(args.text(&option)?.into()),
                "--worker" => board = Some(args.text(&option)?),
                "--row" => row = args.number(&option, 0..=usize::MAX)?,
                "--kind" => kind = Some(contender(&args.text(&option)?, Kind::ALL)?),
                "--place" => place = Some(args.text(&option)?),
                "--duty" => duty = Duty::from_label(&args.text(&option)?),
                "--help" | "-h" => {
                    print!("{}", program.help);
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

fn letters(letters: String, program: &Program) -> Result<String, String> {
    let known: Vec<char> =
        (program.figures)(&Options::default()).iter().map(|figure| figure.letter()).collect();
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
