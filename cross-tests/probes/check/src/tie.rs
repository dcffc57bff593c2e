//! Compares litmus files with the machine code of the probes.
//!
//! Each thread of ours is a part of one or several probes. The file has a pattern for each: **all**
//! sequences of accesses and barriers of that function, on all paths. The code must have exactly
//! these, and the thread exactly the marked part. So neither can change alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::events;
use crate::listing::Listing;
use crate::litmus::Litmus;
use crate::rules::{Architecture, PROBES};

/// The result for all files.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) wrong: Vec<String>,
    /// Comparisons that found no difference.
    pub(crate) compared: usize,
}

/// What the files say about a probe.
#[derive(Debug, Default)]
struct Known {
    pattern: String,
    /// The places of barriers that a thread has, and all.
    run: BTreeSet<usize>,
    all: BTreeSet<usize>,
}

/// Compares files, given as name and text.
pub(crate) fn check(
    listing: &Listing,
    architecture: Architecture,
    files: &[(String, String)],
) -> Report {
    let mut report = Report::default();
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    for (name, text) in files {
        let wrong = check_file(listing, architecture, text, &mut known, &mut report.compared);
        report.wrong.extend(wrong.into_iter().map(|wrong| format!("{name}: {wrong}")));
    }
    // The handles call the same functions; `flow` says why their paths say less.
    let kinds = PROBES.iter().filter_map(|probe| Some(probe.split_once('_')?.0));
    let kinds: BTreeSet<_> = kinds.filter(|kind| *kind != "region").collect();
    for kind in kinds {
        match known.get(kind) {
            None => report.wrong.push(format!("no file has the probe {kind}")),
            Some(known) if known.run != known.all => {
                report.wrong.push(format!("no file runs every barrier of {kind}"));
            }
            Some(_) => {}
        }
    }
    report
}

fn check_file(
    listing: &Listing,
    architecture: Architecture,
    text: &str,
    known: &mut BTreeMap<String, Known>,
    compared: &mut usize,
) -> Vec<String> {
    let litmus = match Litmus::parse(text) {
        Ok(litmus) => litmus,
        Err(wrong) => return vec![wrong],
    };
    let mut wrong = Vec::new();
    for tie in &litmus.ties {
        let thread = tie.thread;
        match litmus.events(tie) {
            Err(error) => wrong.push(format!("P{thread}: {error}")),
            Ok(events) if !tie.pattern.marked().eq(events.iter().map(String::as_str)) => {
                wrong.push(format!("P{thread} is not the marked part: {}", events.join(" ")));
            }
            Ok(_) => {}
        }
        for probe in &tie.probes {
            let entry = known.entry(probe.clone()).or_default();
            let (run, all) = tie.pattern.barriers();
            let pattern = tie.pattern.unmarked();
            if entry.pattern.is_empty() {
                entry.pattern.clone_from(&pattern);
            } else if entry.pattern != pattern {
                wrong.push(format!("another file has another pattern for {probe}"));
            }
            entry.run.extend(run);
            entry.all.extend(all);
            let mut found = false;
            for scope in ["", "_inner", "_full", "_chosen"] {
                let function = format!("{probe}{scope}");
                let Some(code) = events::automaton(listing, &function, probe, architecture) else {
                    continue;
                };
                found = true;
                let scopes = scopes(scope, architecture);
                let stand_in = |name: &str, full: bool| (if full { "sy" } else { name }).to_owned();
                let allowed = tie
                    .pattern
                    .allowed(|name| scopes.iter().map(|&full| stand_in(name, full)).collect());
                let mut different = code.excess(&allowed).map(|word| format!("has:{word}"));
                for &full in scopes {
                    let required = tie.pattern.required(|name| stand_in(name, full));
                    let lacks = || Some(format!("has not:{}", required.excess(&code)?));
                    different = different.or_else(lacks);
                }
                match different {
                    None => *compared += 1,
                    Some(different) => wrong.push(format!("{function} {different}")),
                }
            }
            if !found {
                wrong.push(format!("no such probe: {probe}"));
            }
        }
    }
    wrong
}

/// Returns whether the barriers of a function are full-system ones: `false` for those of the files,
/// both if the scope is chosen at run time.
fn scopes(scope: &str, architecture: Architecture) -> &'static [bool] {
    match (scope, architecture) {
        ("_full", _) | (_, Architecture::MProfile) => &[true],
        ("_chosen", _) => &[false, true],
        _ => &[false],
    }
}
