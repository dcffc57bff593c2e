//! Compares sets of sequences of events: those of the machine code with the pattern of a litmus
//! file.
//!
//! A pattern is a sequence of names; `[...]` may be missing, `[...]*` may also be repeated; the
//! code may also end at `!`. The marks `<` and `>` say which parts a litmus file runs, one after
//! the other, and are no part of the pattern. The names between two such parts may be missing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A finite automaton. State 0 is its beginning.
#[derive(Debug, Default)]
pub(crate) struct Automaton {
    steps: Vec<Vec<(String, usize)>>,
    skips: Vec<Vec<usize>>,
    ends: BTreeSet<usize>,
}

impl Automaton {
    pub(crate) fn with_states(count: usize) -> Self {
        Self { steps: vec![Vec::new(); count], skips: vec![Vec::new(); count], ..Self::default() }
    }

    pub(crate) fn state(&mut self) -> usize {
        self.steps.push(Vec::new());
        self.skips.push(Vec::new());
        self.steps.len() - 1
    }

    pub(crate) fn step(&mut self, from: usize, name: &str, to: usize) {
        self.steps[from].push((name.to_owned(), to));
    }

    pub(crate) fn skip(&mut self, from: usize, to: usize) {
        self.skips[from].push(to);
    }

    pub(crate) fn end(&mut self, state: usize) {
        self.ends.insert(state);
    }

    pub(crate) fn end_after(&mut self, from: usize, name: &str) {
        let end = self.state();
        self.step(from, name, end);
        self.end(end);
    }

    fn closed(&self, states: impl IntoIterator<Item = usize>) -> BTreeSet<usize> {
        let (mut closed, mut todo) = (BTreeSet::new(), states.into_iter().collect::<Vec<_>>());
        while let Some(state) = todo.pop() {
            if closed.insert(state) {
                todo.extend(&self.skips[state]);
            }
        }
        closed
    }

    /// Returns the sets of states that one more name leads to.
    fn next(&self, states: &BTreeSet<usize>) -> BTreeMap<&str, BTreeSet<usize>> {
        let mut next: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        for (name, to) in states.iter().flat_map(|&state| &self.steps[state]) {
            next.entry(name).or_default().insert(*to);
        }
        next.into_iter().map(|(name, states)| (name, self.closed(states))).collect()
    }

    fn is_end(&self, states: &BTreeSet<usize>) -> bool {
        !states.is_disjoint(&self.ends)
    }

    /// Returns a shortest sequence that this automaton has and the other has not; `None` if there
    /// is none. Beginnings count as well: code that ends in a trap has run until there.
    pub(crate) fn excess(&self, other: &Self) -> Option<String> {
        let begin = (self.closed([0]), other.closed([0]));
        let mut seen = BTreeSet::from([begin.clone()]);
        let mut todo = VecDeque::from([(begin, String::new())]);
        while let Some(((mine, theirs), word)) = todo.pop_front() {
            if self.is_end(&mine) && !other.is_end(&theirs) {
                return Some(format!("{word} (end)"));
            }
            let mut other_next = other.next(&theirs);
            for (name, mine) in self.next(&mine) {
                let longer = format!("{word} {name}");
                let Some(theirs) = other_next.remove(name) else { return Some(longer) };
                let pair = (mine, theirs);
                if seen.insert(pair.clone()) {
                    todo.push_back((pair, longer));
                }
            }
        }
        None
    }
}

/// A pattern, and the part of it that a litmus file runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// Names and brackets.
    tokens: Vec<String>,
    /// The names between the marks, by their place among all names.
    marked: Vec<(usize, String)>,
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("not a pattern with marked parts: {text}");
        let (mut tokens, mut marked, mut inside, mut place) = (Vec::new(), Vec::new(), false, 0);
        // The brackets that were opened since a marked part ended: `true` if one has a name.
        let mut between = Vec::new();
        for token in lexed(text) {
            match token.as_str() {
                "<" | ">" if inside == (token == "<") => return Err(wrong()),
                "<" if !marked.is_empty() && between.contains(&true) => return Err(wrong()),
                "<" | ">" => {
                    inside = token == "<";
                    between = vec![false];
                }
                "[" | "]" | "]*" | "!" => {
                    match token.as_str() {
                        "[" => between.push(false),
                        "!" => {}
                        _ => drop(between.pop()),
                    }
                    tokens.push(token);
                }
                name => {
                    if inside {
                        marked.push((place, name.to_owned()));
                    } else if let Some(last) = between.last_mut() {
                        *last = true;
                    }
                    place += 1;
                    tokens.push(name.to_owned());
                }
            }
        }
        let (opened, closed) = (
            tokens.iter().filter(|token| *token == "[").count(),
            tokens.iter().filter(|token| token.starts_with(']')).count(),
        );
        if inside || marked.is_empty() || opened != closed {
            return Err(wrong());
        }
        Ok(Self { tokens, marked })
    }

    /// Returns the names between the marks.
    pub(crate) fn marked(&self) -> impl Iterator<Item = &str> {
        self.marked.iter().map(|(_, name)| name.as_str())
    }

    /// Returns the places of the marked barriers, and of all that are no repetition.
    pub(crate) fn barriers(&self) -> (BTreeSet<usize>, BTreeSet<usize>) {
        let mut all: Vec<usize> = Vec::new();
        let (mut open, mut place) = (Vec::new(), 0);
        for token in &self.tokens {
            match token.as_str() {
                "!" => {}
                "[" => open.push(place),
                "]" => drop(open.pop()),
                "]*" => {
                    let begin = open.pop().unwrap_or_default();
                    all.retain(|place| *place < begin);
                }
                name => {
                    if is_barrier(name) {
                        all.push(place);
                    }
                    place += 1;
                }
            }
        }
        let marked = self.marked.iter().filter(|(_, name)| is_barrier(name));
        (marked.map(|(place, _)| *place).collect(), all.into_iter().collect())
    }

    /// Returns the pattern without its marks.
    pub(crate) fn unmarked(&self) -> String {
        self.tokens.join(" ")
    }

    /// Returns the sequences that the code may have. `barriers` returns the names allowed for one.
    pub(crate) fn allowed(&self, barriers: impl Fn(&str) -> Vec<String>) -> Automaton {
        self.automaton(barriers, true)
    }

    /// Returns the sequences that the code must have, if this one stands for a barrier. The number
    /// of repetitions is free.
    pub(crate) fn required(&self, barrier: impl Fn(&str) -> String) -> Automaton {
        self.automaton(|name| vec![barrier(name)], false)
    }

    fn automaton(&self, barriers: impl Fn(&str) -> Vec<String>, repeats: bool) -> Automaton {
        let mut automaton = Automaton::with_states(1);
        let (mut here, mut open) = (0, Vec::new());
        for token in &self.tokens {
            match token.as_str() {
                "!" => automaton.end(here),
                "[" => open.push(here),
                "]" | "]*" => {
                    let begin = open.pop().unwrap_or_default();
                    let end = automaton.state();
                    automaton.skip(here, end);
                    automaton.skip(begin, end);
                    if token == "]*" && repeats {
                        automaton.skip(here, begin);
                    }
                    here = end;
                }
                name => {
                    let next = automaton.state();
                    let names =
                        if is_barrier(name) { barriers(name) } else { vec![name.to_owned()] };
                    for name in names {
                        automaton.step(here, &name, next);
                    }
                    here = next;
                }
            }
        }
        automaton.end(here);
        automaton
    }
}

/// Splits a pattern into names, brackets and marks.
fn lexed(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = vec![String::new()];
    for letter in text.chars() {
        let last = tokens.last_mut().filter(|last| !last.is_empty());
        match (letter, last) {
            ('*', Some(last)) if last == "]" => last.push(letter),
            ('[' | ']' | '<' | '>' | '!', _) => tokens.extend([letter.to_string()]),
            _ if letter.is_whitespace() => tokens.push(String::new()),
            (_, Some(name)) if !"[]<>!*".contains(&name[..1]) => name.push(letter),
            _ => tokens.push(letter.to_string()),
        }
    }
    tokens.retain(|token| !token.is_empty());
    tokens
}

/// Returns `true` if this is the scope of a `dmb`.
pub(crate) fn is_barrier(name: &str) -> bool {
    ["ish", "ishld", "ishst", "sy", "ld", "st"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn automaton(text: &str) -> Automaton {
        let pattern = Pattern::parse(text).expect("a pattern");
        pattern.allowed(|name| vec![name.to_owned()])
    }

    #[test]
    fn the_marked_part_and_its_barriers_are_found() {
        let pattern = Pattern::parse("swap [ishld <data ish swap>]").expect("a pattern");
        assert_eq!(pattern.marked().collect::<Vec<_>>(), ["data", "ish", "swap"]);
        assert_eq!(pattern.barriers(), (BTreeSet::from([3]), BTreeSet::from([1, 3])));
        assert_eq!(pattern.unmarked(), "swap [ ishld data ish swap ]");
        let pattern = Pattern::parse("<data ishld data>[ishld data]*").expect("a pattern");
        assert_eq!(pattern.barriers(), (BTreeSet::from([1]), BTreeSet::from([1])));
        let pattern = Pattern::parse("<data> [word !] [<ish data> !] ish").expect("a pattern");
        assert_eq!(pattern.marked().collect::<Vec<_>>(), ["data", "ish", "data"]);
        assert_eq!(pattern.barriers(), (BTreeSet::from([2]), BTreeSet::from([2, 4])));
        let between = ["<data> word <ish>", "<data> [word <ish>]", "<data> [word] ish [<swap>]"];
        let alone = ["swap", "<swap", "swap [<ish>", "<>", "<data <ish>>"];
        for wrong in alone.into_iter().chain(between) {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_first_sequence_that_is_too_much_is_found() {
        let excess = |one: &str, other: &str| automaton(one).excess(&automaton(other));
        let loops = "<data> ishld data [ishld data]*";
        let unrolled = "data <ishld data> [ishld data [ishld data]*]";
        assert_eq!((excess(loops, unrolled), excess(unrolled, loops)), (None, None));
        let twice = "<data> ishld data [ishld data]";
        assert_eq!(excess(loops, twice).as_deref(), Some(" data ishld data ishld data ishld"));
        assert_eq!(excess(twice, loops), None);
        assert_eq!(excess("<data> [ish]", "<data> ish").as_deref(), Some(" data (end)"));
        assert_eq!(
            excess("<data> [word !] ish", "<data> [word] ish").as_deref(),
            Some(" data word (end)")
        );
        assert_eq!(excess("<data> [word] ish", "<data> [word !] ish"), None);
    }

    #[test]
    fn a_scope_and_a_number_of_repetitions_may_be_chosen() {
        let pattern = Pattern::parse("<data ish data> [ish data]*").expect("a pattern");
        let allowed = pattern.allowed(|name| vec![name.to_owned(), "sy".to_owned()]);
        for code in ["<data> ish data", "<data> sy data [ish data]", "<data> sy data [sy data]*"] {
            assert_eq!(automaton(code).excess(&allowed), None, "{code}");
        }
        let required = pattern.required(|_| "sy".to_owned());
        assert_eq!(required.excess(&automaton("<data> sy data [sy data]")), None);
        assert!(required.excess(&automaton("<data> ish data [ish data]")).is_some());
    }
}
