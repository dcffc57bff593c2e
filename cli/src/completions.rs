//! `completions`: writes completions for the shell's Tab key.

use std::io::Write;

use clap::Command;
use clap_complete::Shell;

use crate::exit::Failure;

const AFTER: &str = "\
For bash:  shmlock completions bash > ~/.local/share/bash-completion/completions/shmlock
For zsh:   shmlock completions zsh > a file _shmlock in a directory of $fpath
For fish:  shmlock completions fish > ~/.config/fish/completions/shmlock.fish";

/// Write completions for a shell to standard output
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

impl Args {
    pub(crate) fn perform(&self, mut program: Command) -> Result<u8, Failure> {
        let mut text = Vec::new(); // first in memory: the generator panics on a broken pipe
        clap_complete::generate(self.shell, &mut program, "shmlock", &mut text);
        anstream::stdout().write_all(&text)?;
        Ok(0)
    }
}
