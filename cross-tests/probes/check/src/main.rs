//! Reads a disassembly of the probes and prints missing barriers.
//!
//! It checks only presence and order: every path through a probe from one kind of access to another
//! contains a strong enough barrier. [`rules`] lists the kinds for each probe.
//!
//! With litmus files as arguments, it compares them with the disassembly instead: see [`tie`].
//!
//! `objdump -d --no-show-raw-insn PROGRAM | shmlock-probe-check aarch64|armv7a|mprofile [FILE...]`

mod events;
mod flow;
mod listing;
mod litmus;
mod origin;
mod predicated;
mod rules;
mod tie;
mod words;

use std::io::{self, Read as _};
use std::process::ExitCode;

use listing::Listing;
use rules::Architecture;

fn main() -> ExitCode {
    let Some(architecture) = std::env::args().nth(1).as_deref().and_then(Architecture::named)
    else {
        eprintln!("usage: shmlock-probe-check aarch64|armv7a|mprofile [FILE...] <LISTING");
        return ExitCode::from(2);
    };
    let mut text = String::new();
    if let Err(error) = io::stdin().read_to_string(&mut text) {
        eprintln!("cannot read the listing: {error}");
        return ExitCode::from(2);
    }
    let listing = Listing::parse(&text);
    let files: Vec<String> = std::env::args().skip(2).collect();
    let sound = if files.is_empty() {
        let findings = rules::check(&listing, architecture);
        for finding in &findings {
            println!("{finding}");
        }
        findings.iter().all(rules::Finding::is_sound)
    } else {
        let texts: io::Result<Vec<_>> = files
            .into_iter()
            .map(|file| Ok((file.clone(), std::fs::read_to_string(file)?)))
            .collect();
        match texts {
            Ok(files) => is_tied(&tie::check(&listing, architecture, &files)),
            Err(error) => {
                eprintln!("cannot read a litmus file: {error}");
                return ExitCode::from(2);
            }
        }
    };
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints a report; returns `true` if nothing is wrong.
fn is_tied(report: &tie::Report) -> bool {
    println!("    {} comparisons without a difference", report.compared);
    for wrong in &report.wrong {
        println!("    WRONG: {wrong}");
    }
    report.wrong.is_empty()
}
