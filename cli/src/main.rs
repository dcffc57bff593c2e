//! `shmlock`: named locks between processes, for shell scripts and people.
//!
//! Each verb has a file, with its arguments and its work. Several verbs share `args` (directory,
//! timeout), `acquire`, `report`, `events` and `owner` (their output), `table`, `display`,
//! `process`, `hint` and `exit`. `run` is made of `inherited`, `signals`, `witness`, `exec` and
//! `child`. `fleet` has the locks over machines, of several verbs; `no_fleet` takes its place in a
//! build without them.

mod acquire;
mod args;
mod bench;
mod child;
mod clean;
mod completions;
mod display;
mod events;
mod exec;
mod exit;
#[cfg(feature = "fleet")]
mod fleet;
#[cfg(not(feature = "fleet"))]
#[path = "no_fleet.rs"]
mod fleet;
mod hint;
mod hold;
mod inherited;
mod list;
mod man;
mod owner;
mod probe_memory;
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
/// The lock NAME is the file /dev/shm/NAME.shmlock. Every program that opens this name by the
/// library shmlock shares it. It survives `kill -9` of its owner; the next use needs no cleaning.
#[derive(Debug, Parser)]
#[command(
    name = "shmlock",
    version,
    propagate_version = true,
    after_long_help = exit::GENERAL,
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one value")]
enum Verb {
    Run(run::Args),
    Status(status::Args),
    List(list::Args),
    Watch(watch::Args),
    Clean(clean::Args),
    Hold(hold::Args),
    Bench(bench::Args),
    ProbeMemory(probe_memory::Args),
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
            Self::ProbeMemory(args) => args.perform().map(Ending::from),
            Self::Completions(args) => args.perform(Cli::command()).map(Ending::from),
            Self::Man(args) => args.perform(Cli::command()).map(Ending::from),
        }
    }
}

fn main() -> ExitCode {
    let outcome =
        Cli::try_parse().map_err(|error| usage_failure(&error)).and_then(|cli| cli.verb.perform());
    ExitCode::from(outcome.map_or_else(
        |failure| {
            failure.say();
            failure.code()
        },
        Ending::carry_out,
    ))
}

/// Makes a failure of clap's answer: help is printed as it is, an error becomes one line.
fn usage_failure(error: &clap::Error) -> Failure {
    if !error.use_stderr() {
        return match error.print() {
            Ok(()) => Failure::silent(0),
            Err(error) => error.into(),
        };
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::usage("the verb is missing; `shmlock --help` lists them");
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
