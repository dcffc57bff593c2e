//! Reads a disassembly of the probes and says which barriers are missing.
//!
//! Not the whole code is compared, only presence and order: on every way through a probe from one kind of access to
//! another there stands a barrier that is strong enough. Which kinds, for which probe, is in [`rules`].
//!
//! `objdump -d --no-show-raw-insn PROGRAM | shmlock-probe-check aarch64|armv7a|mprofile`

mod flow;
mod listing;
mod rules;

use std::io::{self, Read as _};
use std::process::ExitCode;

use listing::Listing;
use rules::Architecture;

fn main() -> ExitCode {
    let Some(architecture) = std::env::args().nth(1).as_deref().and_then(Architecture::named) else {
        eprintln!("usage: shmlock-probe-check aarch64|armv7a|mprofile <LISTING");
        return ExitCode::from(2);
    };
    let mut text = String::new();
    if let Err(error) = io::stdin().read_to_string(&mut text) {
        eprintln!("the listing is not readable: {error}");
        return ExitCode::from(2);
    }
    let mut sound = true;
    for finding in rules::check(&Listing::parse(&text), architecture) {
        println!("{finding}");
        sound &= finding.is_sound();
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
