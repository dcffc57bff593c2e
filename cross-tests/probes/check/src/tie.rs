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

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "00000100 <steps_inner>:
 100:\tstp\tx30, x19, [sp, #-16]!
 104:\tmov\tx19, x2
 108:\tmov\tw9, wzr
 10c:\tcas\tw9, w1, [x0]
 110:\tcbnz\tw9, 12c <steps_inner+0x2c>
 114:\tdmb\tishld
 118:\tldr\tw8, [x19, #1204]
 11c:\tstr\tw8, [x19, #1204]
 120:\tdmb\tish
 124:\tmov\tw8, w1
 128:\tcas\tw8, wzr, [x0]
 12c:\tldp\tx30, x19, [sp], #16
 130:\tret
";

    const FILE: &str = "AArch64 example
(* tie P0 steps = swap [ishld <data ish swap>]
   tie P1 steps = <swap [ishld data> ish swap]
*)
{ 0:X1=data; 0:X2=word; 1:X1=data; 1:X2=word; word=1; }
 P0             | P1             ;
 STR W0,[X1]    | CAS W3,W4,[X2] ;
 DMB ISH        | DMB ISHLD      ;
 CAS W3,W4,[X2] | LDR W5,[X1]    ;
exists (1:X5=0)
";

    /// Returns the faults found, but for probes that this listing lacks.
    fn wrong(code: &str, file: &str) -> Vec<String> {
        let files = [("example".to_owned(), file.to_owned())];
        let report = check(&Listing::parse(code), Architecture::Aarch64, &files);
        let missing = |wrong: &String| wrong.starts_with("no file has the probe");
        report.wrong.into_iter().filter(|wrong| !missing(wrong)).collect()
    }

    #[test]
    fn the_same_accesses_and_barriers_are_tied() {
        assert_eq!(wrong(CODE, FILE), Vec::<String>::new());
        let pairs = CODE.replace(
            " 10c:\tcas\tw9, w1, [x0]\n 110:\tcbnz\tw9, 12c <steps_inner+0x2c>\n",
            " 108:\tldxr\tw9, [x0]
 109:\tcbnz\tw9, 12c <steps_inner+0x2c>
 10c:\tstxr\tw9, w1, [x0]
 110:\tcbnz\tw9, 108 <steps_inner+0x8>\n",
        );
        assert_eq!(wrong(&pairs, FILE), Vec::<String>::new());
    }

    #[test]
    fn other_code_is_noticed() {
        for (from, to) in [
            ("\tdmb\tishld", "\tnop"),
            ("\tdmb\tishld", "\tdmb\tish"),
            ("\tdmb\tish\n", "\tdmb\tishld\n"),
            ("\tdmb\tish\n", "\tdsb\tish\n"),
            ("cas\tw9", "casal\tw9"),
            ("cas\tw9", "casp\tw9"),
            // A path around the barrier; one that enters although the swap failed.
            ("\tmov\tw8, w1", "\tb.eq\t11c <steps_inner+0x1c>"),
            ("\tcbnz\tw9, 12c <steps_inner+0x2c>", "\tcbnz\tw9, 118 <steps_inner+0x18>"),
            // An access of the word that is no swap, of unknown memory, by a call.
            ("\tmov\tw9, wzr", "\tstr\twzr, [x0]"),
            ("\tmov\tw8, w1", "\tstr\tx19, [sp, #8]"),
            ("\tmov\tw8, w1", "\tbl\t200 <memcpy>"),
            ("\tmov\tw8, w1", "\tblr\tx8"),
        ] {
            assert!(!wrong(&CODE.replace(from, to), FILE).is_empty(), "{from} to {to}");
        }
    }

    #[test]
    fn another_file_is_noticed() {
        for (from, to) in [
            ("| DMB ISHLD", "| DMB ISH"),
            ("DMB ISH  ", "         "),
            ("STR W0,[X1]", "STR W0,[X2]"),
            ("<data ish swap>", "data <ish swap>"),
            ("<data ish swap>", "<data ish swap> swap"),
            ("[ishld <data ish swap>]", "ishld <data ish swap>"),
            ("tie P1 steps", "tie P1 stepping"),
            // Every barrier of a probe has to be in a program.
            ("tie P1 steps = <swap [ishld data> ish swap]", "world P1: nothing"),
        ] {
            assert!(!wrong(CODE, &FILE.replace(from, to)).is_empty(), "{from} to {to}");
        }
    }
}
