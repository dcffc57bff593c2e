//! `man`: the manual pages, from the same description as the help.

use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::{Command, CommandFactory};

use crate::Cli;
use crate::exit::{CANNOT_CREATE, Failure};

/// Write the manual pages
///
/// Without --to, one page to standard output: `shmlock man run | man -l -`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The verb whose page it is [default: the page of the whole program]
    verb: Option<String>,

    /// Write all pages into this directory, such as ~/.local/share/man/man1
    #[arg(long, value_name = "DIR", conflicts_with = "verb")]
    to: Option<PathBuf>,
}

impl Args {
    pub(crate) fn perform(&self) -> Result<u8, Failure> {
        let mut all = Cli::command().disable_help_subcommand(true);
        all.build(); // which also names the verbs "shmlock-run" and so on
        let mut pages = vec![("shmlock", all.clone())];
        pages.extend(all.get_subcommands().map(|verb| (verb.get_name(), verb.clone())));
        if let Some(directory) = &self.to {
            for (_, command) in pages {
                let path = directory.join(format!("{}.1", full_name(&command)));
                std::fs::write(&path, page(command)?).map_err(|error| {
                    let line = format!("cannot write {}: {error}; is the directory there?", path.display());
                    Failure::new(CANNOT_CREATE, line)
                })?;
            }
            return Ok(0);
        }
        let wanted = self.verb.as_deref().unwrap_or("shmlock");
        let Some((_, command)) = pages.into_iter().find(|(name, _)| *name == wanted) else {
            return Err(Failure::usage(format!("there is no verb {wanted:?}; `shmlock --help` lists them")));
        };
        stdout().write_all(&page(command)?)?;
        Ok(0)
    }
}

fn full_name(command: &Command) -> String {
    command.get_display_name().unwrap_or(command.get_name()).to_owned()
}

fn page(command: Command) -> std::io::Result<Vec<u8>> {
    let title = full_name(&command);
    let mut text = Vec::new();
    clap_mangen::Man::new(command).title(title).render(&mut text)?;
    Ok(text)
}
