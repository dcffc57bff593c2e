//! Reads the command line.

use shmlock_bench_support::args::Args;

use crate::board::ROWS;

const HELP: &str = "\
Several processes increment one counter in shared memory, under a lock that they know by its name.

usage: shmlock-counting [OPTION]...

  --processes N    start N processes, 1 to 256                        [default: 8]
  --increments K   have each of them increment the counter K times    [default: 200000]
  --kill           kill processes while they hold the lock; the next owner repairs the counter
  --no-lock        increment without the lock, and see the loss
  --name NAME      the name of the lock and of the counter            [default: shmlock-counter]
  --help           print this

Started in several terminals at once, all runs use one counter. Runs with --no-lock use another.
Exit status: 0 if nothing was lost, or --no-lock; 1 if something was; 2 if an option is wrong.
";

/// Hours of work, and the sum over all workers still fits 64 bits.
const INCREMENTS_MAX: u64 = 1_000_000_000_000;

/// The options.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The number of workers.
    pub(crate) processes: usize,
    /// The number of increments of each worker.
    pub(crate) increments: u64,
    /// Workers ask to be killed.
    pub(crate) kill: bool,
    /// Workers do not lock.
    pub(crate) no_lock: bool,
    /// The given name.
    pub(crate) name: String,
    /// A worker's row on the board. `None` in the coordinator; not in the help text.
    pub(crate) row: Option<usize>,
}

impl Options {
    /// Returns the options of this program. Exits after `--help` or a wrong option.
    pub(crate) fn from_env() -> Self {
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
                "--increments" => options.increments = args.number(&option, 1..=INCREMENTS_MAX)?,
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
            return Err("--kill shows recovery of the lock, so --no-lock excludes it; \
                        leave one out"
                .into());
        }
        Ok(options)
    }

    /// Returns the name of the lock and of the board. `--no-lock` has its own, so that it does not
    /// spoil the counter of a run with the lock.
    pub(crate) fn shared_name(&self) -> String {
        if self.no_lock { format!("{}-no-lock", self.name) } else { self.name.clone() }
    }

    /// Returns a worker's arguments: the name and the kind of work. The board holds the rest.
    pub(crate) fn for_worker(&self, row: usize) -> Vec<String> {
        let mut arguments = vec![format!("--name={}", self.name), format!("--row={row}")];
        arguments.extend(self.kill.then(|| "--kill".to_owned()));
        arguments.extend(self.no_lock.then(|| "--no-lock".to_owned()));
        arguments
    }
}
