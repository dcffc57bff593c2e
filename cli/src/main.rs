//! `shmlock`: locks between processes for shell scripts and for people. One file per verb; each has
//! its arguments and what it does. What several need: `args` (where, how long to wait), `taking`,
//! `report` and `owner` (a lock as it is shown), `table`, `text`, `process`, `exit`. What `run` is
//! made of: `inherited`, `signals`, `witness`, `child`.

mod acquire;
mod args;
mod bench;
mod child;
mod clean;
mod completions;
mod display;
mod events;
mod exit;
mod hint;
mod hold;
mod inherited;
mod list;
mod man;
mod owner;
mod process;
mod report;
mod run;
mod signals;
mod status;
mod table;
mod watch;
mod witness;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::exit::{Ending, Failure};

/// Locks between processes, known only by their names.
///
/// A lock of the name NAME is the file /dev/shm/NAME.shmlock, shared with every program that opens
/// the name by the library shmlock. It survives `kill -9` of its holder, and nothing has to be
/// cleaned up before the next use.
#[derive(Debug, Parser)]
#[command(name = "shmlock", version, propagate_version = true, after_long_help = exit::GENERAL, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Args),
    Status(status::Args),
    List(list::Args),
    Watch(watch::Args),
    Clean(clean::Args),
    Hold(hold::Args),
    Bench(bench::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Verb {
    fn perform(&self) -> Result<Ending, Failure> {
        match self {
            Self::Run(args) => args.perform(),
            Self::Hold(args) => args.perform(),
            Self::Status(args) => args.perform().map(Ending::from),
            Self::List(args) => args.perform().map(Ending::from),
            Self::Watch(args) => args.perform().map(Ending::from),
            Self::Clean(args) => args.perform().map(Ending::from),
            Self::Bench(args) => args.perform().map(Ending::from),
            Self::Completions(args) => args.perform(Cli::command()).map(Ending::from),
            Self::Man(args) => args.perform(Cli::command()).map(Ending::from),
        }
    }
}

fn main() -> ExitCode {
    let outcome =
        Cli::try_parse().map_err(|error| refused(&error)).and_then(|cli| cli.verb.perform());
    ExitCode::from(outcome.map_or_else(
        |failure| {
            failure.say();
            failure.code()
        },
        Ending::carry_out,
    ))
}

/// What clap says about the arguments: help as it is, an error on one line.
fn refused(error: &clap::Error) -> Failure {
    if !error.use_stderr() {
        return match error.print() {
            Ok(()) => Failure::silent(0),
            Err(error) => error.into(),
        };
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::usage("what is to be done? Name a verb; `shmlock --help` lists them");
    }
    let text = error.render().to_string();
    let reason = text.split("Usage:").next().unwrap_or_default().trim_start_matches("error: ");
    let reason =
        reason.split_whitespace().collect::<Vec<_>>().join(" ").replace(" tip: ", "; tip: ");
    let reason = reason.trim_end_matches("For more information, try '--help'.").trim_end();
    let is_verb =
        |word: &String| Cli::command().get_subcommands().any(|verb| verb.get_name() == word);
    let verb = std::env::args_os().nth(1).and_then(|word| word.into_string().ok()).filter(is_verb);
    let help =
        verb.map_or_else(|| "shmlock --help".to_owned(), |verb| format!("shmlock {verb} --help"));
    Failure::usage(format!("{reason}; see `{help}`"))
}
