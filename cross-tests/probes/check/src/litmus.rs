//! Reads a litmus file: the instructions of each thread, and what its comments tie them to.
//!
//! ```text
//! tie P0 steps fast = swap [ishld <data ish swap>]
//! tie P1 seq:data rec:data snapshot = <data ishld data> [ishld data]*
//! world P2: why this thread is no code of ours
//! redundant P1 1: why the first barrier of this thread may be missing
//! either P1 1 2: why one of these may be missing, but not all
//! ```
//!
//! A line that ends with `\` goes on in the next. The name of a location, without digits at its
//! end, is its class; `seq:data` replaces it for one tie, `proof:` leaves the accesses out. The
//! words of a line of a ticket lock end with the number of the thread that is its party; for the
//! others, their class begins with `other-`.

use std::collections::{BTreeMap, BTreeSet};

use crate::events::{Event, access};
use crate::words::Pattern;

/// A thread is a part of these probes.
#[derive(Debug)]
pub(crate) struct Tie {
    pub(crate) thread: usize,
    pub(crate) probes: Vec<String>,
    pub(crate) pattern: Pattern,
    /// Other names for classes of locations.
    renamed: BTreeMap<String, String>,
}

/// The instructions of a thread, and the locations in its registers.
#[derive(Debug, Default)]
struct Thread {
    code: Vec<(String, String)>,
    locations: BTreeMap<String, String>,
}

/// A litmus file.
#[derive(Debug, Default)]
pub(crate) struct Litmus {
    pub(crate) ties: Vec<Tie>,
    threads: Vec<Thread>,
}

impl Litmus {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (comments, code) = split_comments(text)?;
        let (init, code) = code
            .split_once('{')
            .and_then(|(_, rest)| rest.split_once('}'))
            .ok_or("no initial state in braces")?;
        let mut litmus = Self::default();
        let mut rows = code.lines().filter_map(|line| line.trim().strip_suffix(';'));
        let names = rows.next().ok_or("no threads")?.split('|');
        litmus.threads.extend(names.map(|_| Thread::default()));
        for row in rows {
            for (thread, cell) in litmus.threads.iter_mut().zip(row.split('|')) {
                let cell = cell.trim();
                let cell = cell.rsplit_once(':').map_or(cell, |(_, after)| after.trim());
                if !cell.is_empty() {
                    let (name, operands) = cell.split_once(' ').unwrap_or((cell, ""));
                    thread.code.push((name.to_owned(), operands.trim().to_owned()));
                }
            }
        }
        for entry in init.split(';') {
            // `0:X1=data`; others are values.
            let Some((thread, (register, location))) = entry
                .split_once(':')
                .and_then(|(thread, entry)| Some((thread.trim(), entry.split_once('=')?)))
            else {
                continue;
            };
            let thread: usize = thread.parse().map_err(|_| format!("no thread: {entry}"))?;
            let thread = litmus.threads.get_mut(thread).ok_or(format!("no thread: {entry}"))?;
            thread.locations.insert(register.trim().to_owned(), location.trim().to_owned());
        }
        litmus.read_comments(&comments)?;
        Ok(litmus)
    }

    fn read_comments(&mut self, comments: &str) -> Result<(), String> {
        let mut known = BTreeSet::new();
        for line in comments.replace("\\\n", " ").lines().map(str::trim) {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            if !["tie", "world", "redundant", "either"].contains(&word) {
                continue;
            }
            let wrong = || format!("cannot read: {line}");
            let (thread, rest) = rest.split_once([' ', ':']).ok_or_else(wrong)?;
            let thread: usize =
                thread.strip_prefix('P').and_then(|n| n.parse().ok()).ok_or_else(wrong)?;
            let code = &self.threads.get(thread).ok_or_else(wrong)?.code;
            match word {
                "tie" => {
                    let (left, pattern) = rest.split_once('=').ok_or_else(wrong)?;
                    let (renamed, probes): (Vec<_>, Vec<_>) =
                        left.split_whitespace().partition(|word| word.contains(':'));
                    let renamed = renamed.iter().filter_map(|word| word.split_once(':'));
                    self.ties.push(Tie {
                        thread,
                        probes: probes.into_iter().map(str::to_owned).collect(),
                        pattern: Pattern::parse(pattern)?,
                        renamed: renamed.map(|(a, b)| (a.to_owned(), b.to_owned())).collect(),
                    });
                    known.insert(thread);
                }
                "redundant" => {
                    let barriers = code.iter().filter(|(name, _)| name == "DMB").count();
                    let number = rest.split_once(':').and_then(|(n, _)| n.trim().parse().ok());
                    number.filter(|number| (1..=barriers).contains(number)).ok_or_else(wrong)?;
                }
                "either" => {
                    let barriers = code.iter().filter(|(name, _)| name == "DMB").count();
                    let numbers = rest.split_once(':').ok_or_else(wrong)?.0.split_whitespace();
                    let is_one = |n: &str| n.parse().is_ok_and(|n| (1..=barriers).contains(&n));
                    if numbers.clone().count() < 2 || !numbers.clone().all(is_one) {
                        return Err(wrong());
                    }
                }
                _ => {
                    known.insert(thread);
                }
            }
        }
        match (0..self.threads.len()).find(|thread| !known.contains(thread)) {
            Some(thread) => Err(format!("P{thread} is neither tied nor of the world")),
            None => Ok(()),
        }
    }

    /// Returns the events of a tied thread, by name, in order.
    pub(crate) fn events(&self, tie: &Tie) -> Result<Vec<String>, String> {
        let thread = &self.threads[tie.thread];
        let mut events: Vec<Event> = Vec::new();
        for (name, operands) in &thread.code {
            let Some(event) = thread.event(name, operands, tie)? else { continue };
            match events.last_mut() {
                Some(last) if event.continues(last) => *last = event,
                _ => events.push(event),
            }
        }
        Ok(events.iter().map(|event| event.name().to_owned()).collect())
    }
}

impl Thread {
    fn event(&self, name: &str, operands: &str, tie: &Tie) -> Result<Option<Event>, String> {
        const LINE: [&str; 5] = ["choosing", "number", "section", "life", "buried"];
        const QUIET: [&str; 13] = [
            "MOV", "CMP", "CBZ", "CBNZ", "B", "B.EQ", "B.NE", "BEQ", "BNE", "ADD", "ORR", "AND",
            "EOR",
        ];
        if name == "DMB" {
            return Ok(Some(Event::Other(operands.to_lowercase())));
        }
        if QUIET.contains(&name) {
            return Ok(None);
        }
        let address = operands.split_once('[').and_then(|(_, rest)| rest.strip_suffix(']'));
        let location = address.and_then(|register| self.locations.get(register)).map(|location| {
            let class = location.trim_end_matches(|letter: char| letter.is_ascii_digit());
            if LINE.contains(&class) && location[class.len()..] != tie.thread.to_string() {
                return format!("other-{class}");
            }
            tie.renamed.get(class).map_or(class, String::as_str).to_owned()
        });
        Ok(match (name, location.as_deref()) {
            (_, Some("")) => None,
            ("CAS", Some("word")) => Some(Event::Swap),
            ("LDXR" | "LDREX", Some("word")) => Some(Event::LoadExclusive),
            ("STXR" | "STREX", Some("word")) => Some(Event::StoreExclusive),
            ("LDR" | "STR", Some(class)) => Some(Event::Other(access(name == "STR", class))),
            _ => return Err(format!("no access of ours: {name} {operands}")),
        })
    }
}

/// Separates the comments, `(* ... *)`.
fn split_comments(text: &str) -> Result<(String, String), String> {
    let (mut comments, mut code, mut rest) = (String::new(), String::new(), text);
    while let Some((before, after)) = rest.split_once("(*") {
        let (comment, after) = after.split_once("*)").ok_or("a comment without an end")?;
        code.push_str(before);
        comments.push_str(comment);
        comments.push('\n');
        rest = after;
    }
    code.push_str(rest);
    Ok((comments, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "AArch64 example
(* An example.
   tie P0 steps = swap [ishld <data ish swap>]
   world P1: the rest
   redundant P0 1: because
*)
{ 0:X1=data1; 0:X2=word; 1:X1=data1; word=1; }
 P0             | P1          ;
 STR W0,[X1]    | LDR W5,[X1] ;
 DMB ISH        |             ;
 L1:            |             ;
 LDXR W3,[X2]   |             ;
 CBNZ W3,L0     |             ;
 STXR W6,W4,[X2] |            ;
 L0:            |             ;
exists (1:X5=0)
";

    #[test]
    fn threads_become_events() {
        let litmus = Litmus::parse(FILE).expect("a file");
        let [tie] = litmus.ties.as_slice() else { panic!("one tie") };
        assert_eq!(litmus.events(tie).expect("events"), ["data", "ish", "swap"]);
    }

    #[test]
    fn a_line_is_of_the_thread_with_its_number() {
        let file = FILE.replace("0:X1=data1", "0:X1=number0");
        let events = |file: &str| {
            let litmus = Litmus::parse(file).expect("a file");
            litmus.events(&litmus.ties[0]).expect("events").swap_remove(0)
        };
        assert_eq!(events(&file), "W.number");
        assert_eq!(events(&file.replace("number0", "number1")), "W.other-number");
    }

    #[test]
    fn a_program_that_is_not_understood_is_an_error() {
        for (from, to) in [
            ("world P1", "about P1"),
            ("world P1", "world P2"),
            ("redundant P0 1", "redundant P0 2"),
            ("redundant P0 1", "either P0 1"),
            ("redundant P0 1", "either P0 1 2"),
            ("steps =", "steps"),
            ("<data", "data"),
        ] {
            assert!(Litmus::parse(&FILE.replace(from, to)).is_err(), "{to}");
        }
        let acquiring = FILE.replace("LDXR", "LDAXR");
        let litmus = Litmus::parse(&acquiring).expect("a file");
        assert!(litmus.events(&litmus.ties[0]).is_err());
    }
}
