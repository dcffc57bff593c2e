//! What is `counter` asked to do?

use crate::args::Args;
use crate::board::ROWS;

const HELP: &str = "\
Several processes increment one counter in shared memory, under a lock that they know by its name only.

usage: counter [OPTION]...

  --processes N    how many processes to start, 1 to 256             [default: 8]
  --increments K   how often each of them increments the counter     [default: 200000]
  --kill           kill processes while they hold the lock; others take over and mend the counter
  --no-lock        increment without the lock, and see the loss
  --name NAME      the name of the lock and of the counter           [default: shmlock-counter]
  --help           print this

Start it in several terminals at once, and they work on the same counter. Names are separate with --no-lock.
Exit status: 0 if nothing was lost, or --no-lock; 1 if something was; 2 if an option is wrong.
";

/// More than anybody waits for, and still a sum that fits 64 bits.
const MOST_INCREMENTS: u64 = 1_000_000_000_000;

/// The command line of `counter`.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many workers to start.
    pub processes: usize,
    /// How often each of them is to increment the counter.
    pub increments: u64,
    /// Whether workers offer themselves to be killed.
    pub kill: bool,
    /// Whether to do without the lock.
    pub no_lock: bool,
    /// The name that was given.
    pub name: String,
    /// Only in a worker, and in no help text: its row on the board.
    pub row: Option<usize>,
}

impl Options {
    /// What this program was called with. Ends it if that was a cry for help, or wrong.
    #[must_use]
    pub fn from_env() -> Self {
        Self::read(Args::from_env()).unwrap_or_else(|message| {
            eprintln!("error: {message}\n(--help lists the options)");
            std::process::exit(2)
        })
    }

    fn read(mut args: Args) -> Result<Self, String> {
        let name = "shmlock-counter".to_owned();
        let mut options = Self {
            processes: 8,
            increments: 200_000,
            kill: false,
            no_lock: false,
            name,
            row: None,
        };
        while let Some(option) = args.option()? {
            match option.as_str() {
                "--processes" => options.processes = args.number(&option, 1..=ROWS)?,
                "--increments" => options.increments = args.number(&option, 1..=MOST_INCREMENTS)?,
                "--kill" => options.kill = true,
                "--no-lock" => options.no_lock = true,
                "--name" => options.name = args.text(&option)?,
                "--row" => options.row = Some(args.number(&option, 0..=ROWS - 1)?),
                "--help" | "-h" => {
                    print!("{HELP}");
                    std::process::exit(0)
                }
                _ => return Err(format!("there is no option {option:?}")),
            }
        }
        if options.kill && options.no_lock {
            return Err("--kill shows how the lock recovers, so it does not go with --no-lock; leave one out".into());
        }
        Ok(options)
    }

    /// The name of the lock and of the board. Without the lock another one, so that nobody's
    /// counter is spoilt.
    #[must_use]
    pub fn shared_name(&self) -> String {
        if self.no_lock { format!("{}-no-lock", self.name) } else { self.name.clone() }
    }

    /// The arguments for a worker in this row: the name, and what kind of work. It finds everything
    /// else by the name.
    #[must_use]
    pub fn for_worker(&self, row: usize) -> Vec<String> {
        let mut arguments = vec![format!("--name={}", self.name), format!("--row={row}")];
        arguments.extend(self.kill.then(|| "--kill".to_owned()));
        arguments.extend(self.no_lock.then(|| "--no-lock".to_owned()));
        arguments
    }
}
