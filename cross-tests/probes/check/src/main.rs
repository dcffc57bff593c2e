//! Reads a disassembly of the probes and prints missing barriers.
//! It checks only presence and order: every path through a probe from one kind of access to another
//! contains a strong enough barrier. [`rules`] lists the kinds for each probe.
//! `objdump -d --no-show-raw-insn PROGRAM | shmlock-probe-check aarch64|armv7a|mprofile`

mod flow;
mod listing;
mod rules;

use std::io::{self, Read as _};
use std::process::ExitCode;

use listing::Listing;
use rules::Architecture;

fn main() -> ExitCode {
    let Some(architecture) = std::env::args().nth(1).as_deref().and_then(Architecture::named)
    else {
        eprintln!("usage: shmlock-probe-check aarch64|armv7a|mprofile <LISTING");
        return ExitCode::from(2);
    };
    let mut text = String::new();
    if let Err(error) = io::stdin().read_to_string(&mut text) {
        eprintln!("cannot read the listing: {error}");
        return ExitCode::from(2);
    }
    let mut sound = true;
    for finding in rules::check(&Listing::parse(&text), architecture) {
        println!("{finding}");
        sound &= finding.is_sound();
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
