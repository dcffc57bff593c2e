//! What is the program asked to do?

use std::path::PathBuf;

use shmlock_examples::args::Args;

use crate::contenders::Kind;
use crate::worker::Orders;

const HELP: &str = "\
Measures shmlock beside every other lock that processes can share. All take turns in every round.

usage: shmlock-comparison [OPTION]...

  --quick            little time for each: shows that all of it works, and the rough shape
  --rounds N         how often to go round, 1 to 1000                 [default: 3; 1 with --quick]
  --figures LETTERS  which figures: U uncontended, C contended, S the Python package's, O opening  [default: UCSO]
  --only NAME        one contender beside the bare futex, by its name in the tables
  --json PATH        write every value there, as lines of JSON
  --help             print this

Exit status: 0; 1 if a lock lost a count, failed or hung, or the control lost none; 2 if an option is wrong.
";

/// The command line.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Whether to take little time.
    pub quick: bool,
    /// How often to go round.
    pub rounds: Option<usize>,
    /// Which figures; none for all.
    pub figures: Option<String>,
    /// The only contender.
    pub only: Option<Kind>,
    /// Where to write the values.
    pub json: Option<PathBuf>,
    /// Only in a worker, and in no help text.
    pub worker: Option<Orders>,
}

impl Options {
    /// What this program was called with. Ends it if that was a cry for help, or wrong.
    pub(crate) fn from_env() -> Self {
        Self::read(Args::from_env()).unwrap_or_else(|message| {
            eprintln!("error: {message}\n(--help lists the options)");
            std::process::exit(2)
        })
    }

    fn read(mut args: Args) -> Result<Self, String> {
        let mut options = Self::default();
        let (mut board, mut row, mut kind, mut place) = (None, 0, None, None);
        while let Some(option) = args.option()? {
            match option.as_str() {
                "--quick" => options.quick = true,
                "--rounds" => options.rounds = Some(args.number(&option, 1..=1000)?),
                "--figures" => options.figures = Some(args.text(&option)?),
                "--only" => options.only = Some(contender(&args.text(&option)?)?),
                "--json" => options.json = Some(args.text(&option)?.into()),
                "--worker" => board = Some(args.text(&option)?),
                "--row" => row = args.number(&option, 0..=usize::MAX)?,
                "--kind" => kind = Some(contender(&args.text(&option)?)?),
                "--place" => place = Some(args.text(&option)?),
                "--help" | "-h" => {
                    print!("{HELP}");
                    std::process::exit(0)
                }
                _ => return Err(format!("there is no option {option:?}")),
            }
        }
        if let (Some(board), Some(kind), Some(place)) = (board, kind, place) {
            options.worker = Some(Orders { board, row, kind, place });
        }
        Ok(options)
    }
}

fn contender(name: &str) -> Result<Kind, String> {
    let names = || Kind::ALL.iter().map(|kind| kind.label()).collect::<Vec<_>>().join(", ");
    Kind::from_label(name).ok_or_else(|| format!("there is no contender {name:?}; there are {}", names()))
}
